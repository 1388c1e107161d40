"""What a payout actor does when the database refuses a provider's reference because another payout has it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from nepxy.actors.context import EngineParts, Ownership, ProviderDoor, ProviderParts, Store
from nepxy.actors.messages import Commit, Committed, Deliver, PayoutAnswer
from nepxy.actors.metrics import EngineMetrics
from nepxy.actors.payout import PayoutActor
from nepxy.engine.outcomes import Finding
from nepxy.engine.payout import Payout, Status
from nepxy.engine.runtime import Doorway, LoopActor, LoopScheduler, Runtime
from nepxy.errors import EngineBusy, NepXyError
from nepxy.storage.writes import PROVIDER_REF_UNIQUE, Moved, MovePayout, WriteFailed
from tests.factories import NEVER, THEIRS, a_payout, a_policy, reported


class RefusingJournal(LoopActor):
    """Refuses every move that brings a provider's reference, with the words that it was started with."""

    kind = "journal"

    def __init__(self, *, says: str, landed: list[MovePayout], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.says = says
        self.landed = landed

    def on_receive(self, message: Any) -> None:
        if isinstance(message, Commit) and isinstance(message.write, MovePayout):
            write = message.write
            refused = write.gains_provider_ref
            if not refused:
                self.landed.append(write)
            error = NepXyError("INTERNAL_ERROR", self.says)
            answer = WriteFailed(error=error) if refused else Moved(payout=write.after)
            message.reply_to.tell(Committed(tag=message.tag, answer=answer))


class Sink(LoopActor):
    """A provider and a supervisor that take everything and answer nothing."""

    kind = "supervisor"

    def on_receive(self, message: Any) -> None:
        return None


class Stage:
    """One payout actor between a refusing journal and nobody."""

    def __init__(self, says: str) -> None:
        self.metrics = EngineMetrics(CollectorRegistry(), ["TMONEY"])
        self.runtime = Runtime(scheduler=LoopScheduler(), observer=self.metrics)
        self.landed: list[MovePayout] = []
        self.journal = RefusingJournal.start(runtime=self.runtime, says=says, landed=self.landed)
        self.sink = Sink.start(runtime=self.runtime)
        self.refs: list[Any] = [self.journal, self.sink]

    def actor(self, payout: Payout) -> Any:
        engine = EngineParts(
            store=cast(Store, None),
            journal=self.journal,
            ownership=Ownership(node_id="here"),
            metrics=self.metrics,
            new_id=lambda: "00000000-0000-4000-8000-000000000000",
            dice=random.Random(1),
        )
        parts = ProviderParts(
            name="TMONEY",
            engine=engine,
            adapter=None,
            configured=a_policy(),
            door=ProviderDoor(ref=self.sink),
            supervisor=self.sink,
        )
        actor = PayoutActor.start(payout=payout, parts=parts, runtime=self.runtime)
        self.refs.append(actor)
        return actor

    async def told(self, actor: Any, **deliver: Any) -> Any:
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        actor.tell(Deliver(reply_to=Doorway(self.runtime.scheduler, waiter), **deliver))
        async with asyncio.timeout(10):
            return await waiter


@pytest.fixture
async def stage() -> AsyncIterator[Any]:
    stages: list[Stage] = []

    def build(says: str) -> Stage:
        stages.append(Stage(says))
        return stages[-1]

    yield build
    for ref in (ref for stage in stages for ref in stage.refs):
        ref.stop(block=False)


async def test_a_reference_that_another_payout_has_puts_this_one_before_a_person(stage: Any) -> None:
    here = stage(f'duplicate key value violates unique constraint "{PROVIDER_REF_UNIQUE}"')
    actor = here.actor(a_payout(status=Status.SENT, provider="TMONEY", expires_at=NEVER, next_retry_at=NEVER))

    answer = await here.told(
        actor, event=reported(Finding.IN_FLIGHT, provider_ref=THEIRS), who="provider:TMONEY"
    )

    assert isinstance(answer, PayoutAnswer)
    assert (answer.payout.status, answer.payout.status_reason) == (Status.REVIEW, "PROVIDER_REF_TAKEN")
    (move,) = here.landed
    assert move.who == "provider:TMONEY"
    assert move.evidence.provider_ref == THEIRS
    assert move.discrepancy is not None


async def test_any_other_refusal_does_not_pose_as_one(stage: Any) -> None:
    here = stage('null value in column "evidence" violates not-null constraint')
    actor = here.actor(a_payout(status=Status.SENT, provider="TMONEY", expires_at=NEVER, next_retry_at=NEVER))

    with pytest.raises(EngineBusy):
        await here.told(actor, event=reported(Finding.IN_FLIGHT, provider_ref=THEIRS))

    assert here.landed == []
