"""A submit of several writes: none of them leaves before its step is committed, nor once anything else is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from nepxy.actors.context import ProviderDoor, ProviderParts
from nepxy.actors.messages import Commit, Committed, Deliver, Retire, SlotFreed, SlotOffered
from nepxy.actors.payout import STEPS_MAX, PayoutActor
from nepxy.engine.capabilities import Capabilities
from nepxy.engine.events import Work
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass
from nepxy.engine.payout import Payout, Status
from nepxy.engine.runtime import LoopActor
from nepxy.errors import InvariantViolation, NepXyError
from nepxy.storage.writes import (
    PROVIDER_REF_UNIQUE,
    Answer,
    IntentDenied,
    Moved,
    MovePayout,
    Stale,
    WriteFailed,
)
from tests.actors.support import FakeStore, Sink, a_world, engine_parts, new_metrics
from tests.factories import ACCOUNT, THEIRS, a_payout, a_policy, reported

SEND_WINDOW_S = 5.0


class Ledger(LoopActor):
    """A journal that commits at once; steps it answers as it is told to, or not before it is told to."""

    kind = "journal"

    def __init__(self, *, stage: Stage, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._stage = stage

    def on_receive(self, message: Any) -> None:
        stage = self._stage
        match message:
            case Commit(write=MovePayout() as write):
                stage.moves.append(write)
                if write.step is not None and stage.holds_steps:
                    stage.held.append(message)
                    return
                self._answer(message, write)
            case ("let go", Commit(write=MovePayout() as write) as commit):
                self._answer(commit, write)

    def _answer(self, commit: Commit, write: MovePayout) -> None:
        answer: Answer = Moved(payout=write.after)
        if write.step is not None:
            answer = self._stage.says(write)
        if isinstance(answer, Moved):
            self._stage.store.rows[write.after.transaction_id] = answer.payout
        self.runtime.tell_or_dead_letter(commit.reply_to, Committed(tag=commit.tag, answer=answer))


class Stepwise:
    """An adapter whose submit takes two writes; what it was allowed to do is in `went_on`."""

    name = "TMONEY"
    account = ACCOUNT
    capabilities = Capabilities(lookup_by_reference=True)

    def __init__(self, stage: Stage, first_write_s: float) -> None:
        self._stage = stage
        self.guard: Any = None
        self.first_write_s = first_write_s
        self.went_on: list[bool] = []
        self.late: list[bool] = []

    async def submit(self, payout: Payout, guard: Any) -> Outcome:
        self.guard = guard
        await self._stage.node.sleep(self.first_write_s)
        self.late.append(guard.is_late())
        self.went_on.append(await guard.reached("CONFIRMING", provider_ref=THEIRS))
        self.late.append(guard.is_late())
        await self._stage.node.sleep(1.0)
        kind = OutcomeClass.ACCEPTED if self.went_on[-1] else OutcomeClass.UNKNOWN
        return Outcome(kind=kind, reason="CODE", provider_ref=THEIRS if self.went_on[-1] else None)


class Stage:
    """One payout actor whose submit is under way."""

    def __init__(self, *, first_write_s: float = 1.0) -> None:
        self.world, self.node, self.runtime = a_world()
        self.store = FakeStore(self.node)
        self.moves: list[MovePayout] = []
        self.held: list[Commit] = []
        self.holds_steps = False
        self.says: Callable[[MovePayout], Answer] = lambda write: Moved(payout=write.after)
        self.heard: list[Any] = []
        self.ear = Sink.start(heard=self.heard, runtime=self.runtime)
        self.ledger = Ledger.start(stage=self, runtime=self.runtime)
        self.adapter = Stepwise(self, first_write_s)
        metrics, _ = new_metrics()
        parts = ProviderParts(
            name="TMONEY",
            engine=engine_parts(self.runtime, self.store, self.ledger, metrics),
            adapter=self.adapter,  # type: ignore[arg-type]  # nobody asks it anything else here
            configured=a_policy(),
            door=ProviderDoor(ref=self.ear),
            supervisor=self.ear,
        )
        now = self.world.now()
        payout = a_payout(
            provider="TMONEY", created_at=now, next_retry_at=now, expires_at=now + timedelta(hours=72)
        )
        self.store.rows[payout.transaction_id] = payout
        self.id = payout.transaction_id
        self.actor = PayoutActor.start(
            payout=payout, parts=parts, runtime=self.runtime, parent=self.ear, child_id=payout.transaction_id
        )
        self.world.run_for(0.1)
        self.actor.tell(SlotOffered(work=Work.SUBMIT))
        self.world.run_for(0.1)

    @property
    def row(self) -> Payout:
        return self.store.rows[self.id]

    @property
    def slots_freed(self) -> int:
        return sum(isinstance(message, SlotFreed) for message in self.heard)

    def until_asked(self) -> None:
        assert self.world.run_until(
            lambda: any(move.step is not None for move in self.moves), within_s=SEND_WINDOW_S
        )

    def ended(self) -> Stepwise:
        assert self.world.run_until(lambda: bool(self.adapter.went_on), within_s=4 * SEND_WINDOW_S)
        return self.adapter

    def let_go(self) -> None:
        self.ledger.tell(("let go", self.held.pop()))


def test_the_next_write_waits_for_the_commit_of_its_step_and_has_a_window_of_its_own() -> None:
    stage = Stage(first_write_s=SEND_WINDOW_S + 1)
    stage.holds_steps = True
    assert stage.world.run_until(lambda: bool(stage.held), within_s=20)
    stage.world.run_for(1)
    assert stage.adapter.went_on == []
    stage.let_go()
    adapter = stage.ended()
    # The first window is over when the first write has been answered, and says nothing of the second.
    assert (adapter.went_on, adapter.late) == ([True], [True, False])
    (step,) = [move.step for move in stage.moves if move.step is not None]
    assert (step.name, step.send_window_s) == ("CONFIRMING", SEND_WINDOW_S)
    assert (stage.row.status_reason, stage.row.provider_ref, stage.row.taken_at) == (
        "STEP_CONFIRMING",
        THEIRS,
        None,
    )
    stage.world.run_for(SEND_WINDOW_S)
    assert adapter.guard.is_late()
    assert (stage.row.status_reason, stage.row.is_taken) == ("ACCEPTED_BY_PROVIDER", True)


def refused(stage: Stage) -> None:
    """The submit did not go on, and cannot; its place is given back once its own answer is here."""
    adapter = stage.ended()
    assert adapter.went_on == [False]
    assert adapter.guard.is_late()
    stage.world.run_for(3)
    assert stage.slots_freed == 1


@pytest.mark.parametrize("reason", ["LEASE_LOST", "TOO_LATE"])
def test_a_step_that_the_database_denies_ends_the_attempt_in_doubt(reason: str) -> None:
    stage = Stage()
    stage.says = lambda write: IntentDenied(reason=reason)
    refused(stage)
    assert (stage.row.status, stage.row.status_reason) == (Status.SENT, "IN_DOUBT")


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda row: row.moved(Status.CONFIRMED, "PAID", settled_at=row.created_at, next_retry_at=None),
        lambda row: row.moved(Status.REVIEW, "OLDER_REFERENCE_PAID"),
        lambda row: row.moved(Status.SENT, "RESEND_STARTED", attempt_count=2),
        lambda row: row.moved(Status.SENT, "ACCEPTED_BY_PROVIDER", taken_at=row.created_at),
    ],
    ids=["confirmed", "review", "another attempt", "taken"],
)
def test_a_step_beside_somebody_elses_write_is_decided_on_the_new_row(
    meanwhile: Callable[[Payout], Payout],
) -> None:
    stage = Stage()

    def stale(write: MovePayout) -> Answer:
        if write.before.version < stage.row.version:
            return Stale()
        stage.store.rows[stage.id] = meanwhile(stage.row)
        return Stale()

    stage.says = stale
    refused(stage)


def test_a_webhook_that_comes_before_the_step_is_decided_first() -> None:
    stage = Stage()
    paid = reported(Finding.PAID, reference=stage.row.submission_ref, provider_ref=THEIRS)
    stage.actor.tell(Deliver(event=paid))
    refused(stage)
    assert stage.row.status is Status.CONFIRMED


def test_what_comes_while_the_step_is_being_committed_waits() -> None:
    stage = Stage()
    stage.holds_steps = True
    stage.until_asked()
    unpaid = reported(Finding.UNPAID, reference=stage.row.submission_ref)
    stage.actor.tell(Deliver(event=unpaid))
    stage.world.run_for(1)
    assert stage.row.status_reason == "ATTEMPT_STARTED"
    stage.let_go()
    assert stage.ended().went_on == [True]
    stage.world.run_for(1)
    assert stage.row.status is Status.FAILED


def test_a_commit_that_takes_longer_than_the_window_is_too_late() -> None:
    stage = Stage()
    stage.holds_steps = True
    stage.until_asked()
    stage.world.run_for(SEND_WINDOW_S + 1)
    assert stage.ended().went_on == [False]
    stage.let_go()
    stage.world.run_for(5)
    assert stage.adapter.guard.is_late()
    # It is committed all the same: the row says at most more than happened.
    assert (stage.row.provider_ref, stage.row.status_reason) == (THEIRS, "IN_DOUBT")


@pytest.mark.parametrize("waits", [True, False], ids=["asked while it lived", "asked after its end"])
def test_without_its_actor_a_submit_does_not_go_on(waits: bool) -> None:
    stage = Stage()
    stage.holds_steps = True
    stage.says = lambda write: WriteFailed(error=NepXyError("INTERNAL_ERROR", "the actor dies of this"))
    stage.until_asked()
    guard = stage.adapter.guard

    def ask() -> asyncio.Task[bool]:
        # The adapter's own task is cancelled with the actor; nobody else would be let on either.
        return stage.node.scheduler.create_task(guard.reached("CONFIRMING"), name="orphan")

    asked = ask() if waits else None
    stage.world.run_for(0.01)
    stage.let_go()
    assert stage.world.run_until(lambda: not stage.actor.is_alive(), within_s=1)
    task = asked or ask()
    # At once: who waits for the dead is told so.
    assert stage.world.run_until(task.done, within_s=1)
    assert task.result() is False
    assert guard.is_late()
    assert stage.adapter.went_on == []


def test_a_drain_lets_it_go_on() -> None:
    stage = Stage()
    stage.actor.tell(Retire())
    assert stage.ended().went_on == [True]


def test_a_name_that_another_payout_has_stops_the_submit() -> None:
    stage = Stage()
    error = NepXyError("INTERNAL_ERROR", f"duplicate key violates {PROVIDER_REF_UNIQUE}")
    stage.says = lambda write: WriteFailed(error=error)
    refused(stage)
    assert (stage.row.status, stage.row.status_reason) == (Status.REVIEW, "PROVIDER_REF_TAKEN")


def test_an_adapter_that_goes_round_in_circles_is_stopped() -> None:
    stage = Stage()
    guard = stage.adapter.guard

    async def circle() -> list[bool]:
        return [await guard.reached("CREATING") for _ in range(STEPS_MAX + 1)]

    task = stage.node.scheduler.create_task(circle(), name="circle")
    assert stage.world.run_until(task.done, within_s=5)
    assert task.result() == [True] * STEPS_MAX + [False]


@pytest.mark.parametrize("step", ["", "created", "A" * 41, "WITH SPACE"])
def test_a_step_has_a_code(step: str) -> None:
    stage = Stage()
    task = stage.node.scheduler.create_task(stage.adapter.guard.reached(step), name="step")
    assert stage.world.run_until(task.done, within_s=5)
    assert isinstance(task.exception(), InvariantViolation)
