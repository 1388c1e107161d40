"""The payout actor between a journal and a store that can be told what to do."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

from prometheus_client import CollectorRegistry

from nepxy.actors.context import EngineParts, Ownership, ProviderDoor, ProviderParts, Store
from nepxy.actors.messages import Commit, Committed, Deliver, PayoutAnswer
from nepxy.actors.metrics import EngineMetrics
from nepxy.actors.payout import PayoutActor
from nepxy.engine.events import CancelRequested
from nepxy.engine.payout import Payout, Status, TransactionId
from nepxy.engine.runtime import Doorway, LoopActor, LoopScheduler, Runtime
from nepxy.errors import DatabaseUnavailable
from nepxy.storage.writes import Moved, MovePayout, Stale
from tests.factories import NEVER, a_payout, a_policy


class StubbornJournal(LoopActor):
    """Answers the first move with Stale, later ones with Moved."""

    kind = "journal"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stale_count = 0

    def on_receive(self, message: Any) -> None:
        if isinstance(message, Commit) and isinstance(message.write, MovePayout):
            self.stale_count += 1
            answer = Stale() if self.stale_count == 1 else Moved(payout=message.write.after)
            message.reply_to.tell(Committed(tag=message.tag, answer=answer))


class Sink(LoopActor):
    """A provider and a supervisor that take everything and answer nothing."""

    kind = "supervisor"

    def on_receive(self, message: Any) -> None:
        return None


class FaintingStore:
    """Its first read fails."""

    def __init__(self, payout: Payout) -> None:
        self.payout = payout
        self.load_count = 0

    async def load(self, transaction_id: TransactionId) -> Payout:
        self.load_count += 1
        if self.load_count == 1:
            raise DatabaseUnavailable
        return self.payout


async def test_a_fact_is_decided_again_even_if_the_first_reload_fails() -> None:
    metrics = EngineMetrics(CollectorRegistry(), ["TMONEY"])
    runtime = Runtime(scheduler=LoopScheduler(), observer=metrics)
    payout = a_payout(status=Status.PENDING, expires_at=NEVER)
    store = FaintingStore(payout)
    journal, sink = StubbornJournal.start(runtime=runtime), Sink.start(runtime=runtime)
    engine = EngineParts(
        store=cast(Store, store),
        journal=journal,
        ownership=Ownership(node_id="here"),
        metrics=metrics,
        new_id=lambda: "00000000-0000-4000-8000-000000000000",
        dice=random.Random(1),
    )
    parts = ProviderParts(
        name="TMONEY",
        engine=engine,
        adapter=None,
        configured=a_policy(),
        door=ProviderDoor(ref=sink),
        supervisor=sink,
    )
    actor = PayoutActor.start(payout=payout, parts=parts, runtime=runtime)
    waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    actor.tell(
        Deliver(event=CancelRequested(), who="client:acme", reply_to=Doorway(runtime.scheduler, waiter))
    )
    async with asyncio.timeout(10):
        answer = await waiter
    assert isinstance(answer, PayoutAnswer)
    assert answer.payout.status is Status.CANCELLED
    assert store.load_count == 2
    for ref in (actor, journal, sink):
        ref.stop(block=False)
