"""The reconciler on virtual time: how far recovery looks, and that only an owner sweeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from nepxy.actors.context import Ownership
from nepxy.actors.messages import PayoutsDue, TakenUp
from nepxy.actors.reconciler import Reconciler
from nepxy.engine.payout import SHARDS, Payout
from nepxy.engine.runtime import LoopActor
from nepxy.storage.webhooks import StoredWebhook
from tests.actors.support import FakeStore, a_world
from tests.factories import a_payout


class Takes(LoopActor):
    """A supervisor that takes up whatever is due."""

    kind = "supervisor"

    def __init__(self, *, due: list[Payout], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._due = due

    def on_receive(self, message: Any) -> None:
        if isinstance(message, PayoutsDue):
            self._due += message.payouts
            self.runtime.tell_or_dead_letter(message.reply_to, TakenUp(started_count=1, room_count=1))


@dataclass
class CountedStore(FakeStore):
    """Counts the reconciler's questions."""

    due_count: int = 0
    joinable_count: int = 0
    taken_up: list[Payout] = field(default_factory=list)

    async def due(self, **asked: Any) -> list[Payout]:
        self.due_count += 1
        return await super().due(**asked)

    async def joinable_webhooks(self, *, limit: int) -> list[StoredWebhook]:
        self.joinable_count += 1
        return await super().joinable_webhooks(limit=limit)


def taken_up(*, due_in_s: float, within_s: float) -> list[Payout]:
    return taken_up_by(due_in_s=due_in_s, epochs=ALL, within_s=within_s).taken_up


def taken_up_by(*, due_in_s: float = 0.0, epochs: dict[int, int], within_s: float) -> CountedStore:
    world, node, runtime = a_world()
    store = CountedStore(node=node)
    payout = a_payout(next_retry_at=world.now() + timedelta(seconds=due_in_s))
    store.rows[payout.transaction_id] = payout
    Reconciler.start(
        store=store,
        ownership=Ownership(node_id="a", epochs=epochs),
        supervisor=Takes.start(due=store.taken_up, runtime=runtime),
        interval_s=1.0,
        batch=10,
        reach_s=4.0,
        join_every_s=5.0,
        runtime=runtime,
    )
    world.run_for(within_s)
    world.close()
    return store


ALL = dict.fromkeys(range(SHARDS), 1)


def test_recovery_reaches_every_payout_that_was_never_tried_however_soon_payouts_leave_memory() -> None:
    assert taken_up(due_in_s=59.0, within_s=1.0)


def test_recovery_leaves_alone_what_is_due_much_later() -> None:
    assert taken_up(due_in_s=300.0, within_s=10.0) == []


@pytest.mark.parametrize(("epochs", "asks"), [(ALL, True), ({}, False)], ids=["owner", "standby"])
def test_only_an_owner_asks_the_database_what_is_due_or_joinable(epochs: dict[int, int], asks: bool) -> None:
    store = taken_up_by(epochs=epochs, within_s=30.0)
    assert (store.due_count > 0, store.joinable_count > 0) == (asks, asks)
