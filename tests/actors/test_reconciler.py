"""The reconciler on virtual time: how far recovery looks, and that only an owner sweeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, repeat
from typing import Any

import pytest

from nepxy.actors.context import Ownership
from nepxy.actors.messages import PayoutsDue, TakenUp
from nepxy.actors.reconciler import Reconciler
from nepxy.engine.payout import SHARDS, Payout
from nepxy.engine.runtime import LoopActor, LoopActorRef, Runtime
from nepxy.storage.webhooks import StoredWebhook
from tests.actors.support import FakeStore, a_world
from tests.factories import a_payout


class Takes(LoopActor):
    """A supervisor that takes up whatever is due, in its time, and as far as it has room."""

    kind = "supervisor"

    def __init__(
        self, *, due: list[Payout], takes_s: float = 0.0, rooms: Iterator[int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._due = due
        self._takes_s = takes_s
        self._rooms = rooms or repeat(1)

    def on_receive(self, message: Any) -> None:
        match message:
            case PayoutsDue(payouts=payouts):
                self._due += payouts
                self.tell_later(self._takes_s, message.reply_to)
            case LoopActorRef():
                taken = TakenUp(started_count=1, room_count=next(self._rooms))
                self.runtime.tell_or_dead_letter(message, taken)


@dataclass
class CountedStore(FakeStore):
    """Counts the reconciler's questions."""

    due_count: int = 0
    joinable_count: int = 0
    asked_after: list[Any] = field(default_factory=list)
    taken_up: list[Payout] = field(default_factory=list)

    async def due(self, **asked: Any) -> list[Payout]:
        self.due_count += 1
        self.asked_after.append(asked["after"])
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
    sweep(store, runtime, epochs=epochs, interval_s=1.0, batch=10)
    world.run_for(within_s)
    world.close()
    return store


def sweep(
    store: CountedStore,
    runtime: Runtime,
    *,
    epochs: dict[int, int],
    interval_s: float,
    batch: int,
    **takes: Any,
) -> None:
    """Start a reconciler, and the supervisor that it tells."""
    Reconciler.start(
        store=store,
        ownership=Ownership(node_id="a", epochs=epochs),
        supervisor=Takes.start(due=store.taken_up, runtime=runtime, **takes),
        interval_s=interval_s,
        batch=batch,
        reach_s=4.0,
        join_every_s=5.0,
        runtime=runtime,
    )


ALL = dict.fromkeys(range(SHARDS), 1)


def test_recovery_reaches_every_payout_that_was_never_tried_however_soon_payouts_leave_memory() -> None:
    assert taken_up(due_in_s=59.0, within_s=1.0)


def test_recovery_leaves_alone_what_is_due_much_later() -> None:
    assert taken_up(due_in_s=300.0, within_s=10.0) == []


@pytest.mark.parametrize(("epochs", "asks"), [(ALL, True), ({}, False)], ids=["owner", "standby"])
def test_only_an_owner_asks_the_database_what_is_due_or_joinable(epochs: dict[int, int], asks: bool) -> None:
    store = taken_up_by(epochs=epochs, within_s=30.0)
    assert (store.due_count > 0, store.joinable_count > 0) == (asks, asks)


def swept(payouts_count: int, *, rooms: Iterator[int], within_s: float) -> CountedStore:
    """Two payouts a batch, each of which takes the supervisor half a second."""
    world, node, runtime = a_world()
    store = CountedStore(node=node)
    for n in range(payouts_count):
        payout = a_payout(
            transaction_id=f"0193a5c8-0000-7000-8000-{n:012x}",
            next_retry_at=world.now() + timedelta(seconds=n),
        )
        store.rows[payout.transaction_id] = payout
    sweep(store, runtime, epochs=ALL, interval_s=100.0, batch=2, takes_s=0.5, rooms=rooms)
    world.run_for(within_s)
    return store


def test_the_next_batch_is_read_while_the_supervisor_takes_one_up() -> None:
    store = swept(6, rooms=repeat(9), within_s=0.4)
    assert (len(store.taken_up), store.due_count) == (2, 2)


def test_each_batch_is_handed_over_once_and_in_order() -> None:
    store = swept(7, rooms=repeat(9), within_s=50.0)
    assert [one.transaction_id for one in store.taken_up] == sorted(store.rows)


def test_what_was_read_ahead_is_read_anew_where_there_was_no_room_for_it() -> None:
    store = swept(6, rooms=chain([0], repeat(9)), within_s=60.0)
    assert (len(store.taken_up), store.due_count) == (2, 2)
    store = swept(6, rooms=chain([0], repeat(9)), within_s=150.0)
    assert [one.transaction_id for one in store.taken_up] == sorted(store.rows)
    # The second batch was asked for twice: before the wait, and after it.
    assert store.asked_after.count(store.asked_after[1]) == 2
