"""The payout actor: one payout in flight. It decides through the core, journals, performs, and is dull on purpose.

While a commit is in flight (or its row is being reloaded) every other message waits in a bounded stash, so
that each decision is taken on committed state. Effects happen after the commit, never before.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final, assert_never

import structlog
from pykka import ActorRef

from nepxy.actors.context import ProviderParts
from nepxy.actors.messages import (
    CallEnded,
    Commit,
    Committed,
    Deliver,
    LookForReplay,
    MayGoOn,
    ParkedWebhooksFound,
    PauseProvider,
    PayoutAnswer,
    PayoutIdle,
    PayoutLearnedRef,
    ProviderRestarted,
    Retire,
    RowLoaded,
    RowLoadFailed,
    SlotFreed,
    SlotOffered,
    SlotRefused,
    SlotResult,
    SlowDownProvider,
    Wake,
    WantSlot,
    WebhookAnswer,
)
from nepxy.actors.replies import reply
from nepxy.engine import effects as fx
from nepxy.engine.decide import STEP_COMMITTED, Decision, decide
from nepxy.engine.events import (
    DueReached,
    IntentRefused,
    ProviderRefRefused,
    SlotGranted,
    Source,
    StatusReported,
    StepReached,
    SubmitAnswered,
    Work,
)
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, StatusReport
from nepxy.engine.payout import Payout, ProviderRef, Status
from nepxy.engine.runtime import ActorDeadError, AskTimeout, Cancellable, LoopActor, ask
from nepxy.engine.runtime.scheduler import Scheduler
from nepxy.errors import EngineBusy, InvariantViolation, NepXyError
from nepxy.storage.writes import (
    Intent,
    IntentDenied,
    Moved,
    MovePayout,
    Noted,
    NoteOnPayout,
    PostponePayout,
    Stale,
    Step,
    WriteFailed,
)

log = structlog.get_logger("nepxy.payout")

RELOAD_AGAIN_S = 1.0
LOOK_AGAIN_S = 60.0
POSTPONED = "postponed"
ENGINE: Final = "engine"
ASKS = (Work.LOOKUP, Work.POLL)
STEPS_MAX: Final = 8
"""Of one attempt: an adapter that goes round in circles is stopped."""
STEP_CODE: Final = re.compile("[A-Z][A-Z0-9_]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReloadNow:
    """The row could not be read a moment ago: try again. Never stashed, because it is what ends the stashing."""


class Slot(IntEnum):
    """How far a payout is with its place at the provider."""

    NONE = 0
    WAITING = 1
    HELD = 2
    CALLING = 3


_DOES: Final = {
    Slot.NONE: "waits for its time, or for word from {provider}",
    Slot.WAITING: "waits for a place at {provider} to {work}",
    Slot.HELD: "has a place at {provider} to {work}",
    Slot.CALLING: "is calling {provider}",
}


class AttemptGuard:
    """How far one attempt may still go (money rule 2): until `send_by` of its next write, and step by step.

    `send_by` is taken before the intent, or the step, goes out to be committed: never later than the database's. The
    adapter's coroutine outlives the actor that began it by no more than one write: without that actor no step is
    committed any more.
    """

    __slots__ = ("_actor", "_at_s", "_attempt", "_reference", "_scheduler", "_steps_count", "_window_s")

    def __init__(
        self, scheduler: Scheduler, actor: ActorRef[Any], submit: fx.Submit, *, at_s: float, window_s: float
    ) -> None:
        """Guard an attempt whose intent is committed.

        Args:
            scheduler: the actor's.
            actor: the payout's; asked before each further write.
            submit: which attempt it is.
            at_s: `send_by` of the first write, by the scheduler's monotonic clock.
            window_s: from a step's commit to the `send_by` of its write.
        """
        self._scheduler = scheduler
        self._actor = actor
        self._reference = submit.reference
        self._attempt = submit.attempt
        self._at_s = at_s
        self._window_s = window_s
        self._steps_count = 0

    def is_late(self) -> bool:
        """Whether `send_by` has passed, by a clock that counts the time in which the machine slept."""
        return self._scheduler.monotonic() > self._at_s

    async def reached(self, step: str, *, provider_ref: ProviderRef | None = None) -> bool:
        """Whether this step is committed, and its write may be made now.

        Raises:
            InvariantViolation: the step's code is none.
        """
        if STEP_CODE.fullmatch(step) is None:
            raise InvariantViolation("INVARIANT_VIOLATED", f"{step!r} is no code of a step")
        self._steps_count += 1
        began_s = self._scheduler.monotonic()
        event = StepReached(
            reference=self._reference, attempt=self._attempt, step=step, provider_ref=provider_ref
        )
        committed = self._steps_count <= STEPS_MAX and await self._committed(event)
        # A refused step ends the attempt, for an adapter that does not listen, too.
        self._at_s = began_s + self._window_s if committed else float("-inf")
        return not self.is_late()

    async def _committed(self, event: StepReached) -> bool:
        try:
            answer = await ask(self._actor, MayGoOn(event=event), timeout_s=self._window_s)
        except (ActorDeadError, AskTimeout, NepXyError):
            return False
        return isinstance(answer, PayoutAnswer) and answer.answer == STEP_COMMITTED


class PayoutActor(LoopActor):
    """One payout, from its row until it is final or leaves memory."""

    __slots__ = (
        "_busy",
        "_delivered_count",
        "_hinted",
        "_parts",
        "_payout",
        "_retiring",
        "_send_deadline_s",
        "_slot",
        "_stash",
        "_timer",
        "_wanted",
        "_was_reloaded",
    )

    kind = "payout"

    def __init__(self, *, payout: Payout, parts: ProviderParts, **kwargs: Any) -> None:
        """Take up a payout as last committed."""
        super().__init__(**kwargs)
        self._payout = payout
        self._parts = parts
        self._busy: tuple[Deliver, Decision | None] | None = None
        """What is being committed, or reloaded for (no decision yet)."""
        self._stash: deque[Any] | None = None
        self._slot = Slot.NONE
        self._wanted = Work.SUBMIT
        self._timer: Cancellable | None = None
        self._send_deadline_s = 0.0
        self._delivered_count = 0
        self._retiring = False
        self._hinted = False
        """It has ended, and waits for a place to ask whether that was the end."""
        self._was_reloaded = False
        """Others have written the row since: what webhooks they applied, this actor does not know."""

    def on_start(self) -> None:
        """Go on where the row says."""
        payout = self._payout
        fresh = payout.status is Status.PENDING and payout.attempt_count == 0
        if fresh or (payout.next_retry_at is not None and payout.next_retry_at <= self._now()):
            self._deliver(Deliver(event=DueReached()))
        self._settle_down()

    def doing(self) -> str:
        """What an operator reads of it."""
        payout = self._payout
        at = f"{payout.status.value} ({payout.status_reason}), attempt {payout.attempt_count}"
        if self._busy is not None:
            return f"{at}: waits for the journal"
        return f"{at}: {_DOES[self._slot].format(work=self._wanted.value.lower(), provider=payout.provider)}"

    def next_at(self) -> datetime | None:
        """When it is looked at again by itself."""
        return self._payout.next_retry_at

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        """Whoever waits for what was taken out of the mailbox already is told, and may come again."""
        waiting: list[Deliver | MayGoOn] = [self._busy[0]] if self._busy is not None else []
        waiting += [message for message in self._stash or () if isinstance(message, Deliver | MayGoOn)]
        for one in waiting:
            if one.reply_to is not None:
                one.reply_to.fail(EngineBusy("this payout's actor died and is being restarted"))

    def on_receive(self, message: Any) -> Payout | None:
        """Handle one message; `"row"`, asked, is answered with the payout as last committed."""
        if isinstance(message, Deliver):
            self._delivered_count += 1
        if message == "row":
            return self._payout
        if self._busy is not None and not isinstance(
            message, Committed | RowLoaded | RowLoadFailed | _ReloadNow
        ):
            self._stash_away(message)
            return None
        self._react(message)
        while self._stash and self._busy is None:
            self._react(self._stash.popleft())
        self._settle_down()
        return None

    def _react(self, message: Any) -> None:
        match message:
            case Deliver():
                self._deliver(message)
            case MayGoOn(event=event, reply_to=reply_to):
                self._deliver(Deliver(event=event, reply_to=reply_to))
            case Wake(version=version):
                self._timer = None
                if version == self._payout.version:
                    self._deliver(Deliver(event=DueReached()))
            case SlotOffered():
                self._offered()
            case SlotRefused(retry_after_s=retry_after_s):
                self._slot = Slot.NONE
                self._wake_at(self._now() + timedelta(seconds=retry_after_s))
            case Committed():
                self._committed(message)
            case CallEnded(event=event, slot=result):
                if isinstance(event, SubmitAnswered):
                    self._parts.engine.metrics.attempt_ended(self._payout.provider, event.outcome.kind)
                self._free_slot(result)
                self._deliver(Deliver(event=event, who=f"provider:{self._payout.provider}"))
            case RowLoaded(payout=payout):
                self._reloaded(payout)
            case RowLoadFailed():
                self.tell_later(RELOAD_AGAIN_S, _ReloadNow())
            case Retire():
                self._retiring = True
            case ProviderRestarted():
                if self._slot is Slot.WAITING:
                    self._slot = Slot.NONE
                    self._request_slot(self._wanted)
            case _ReloadNow():
                self._reload()
            case _:
                raise TypeError(f"a payout does not take {type(message).__name__}")

    # ---- decide, journal ---------------------------------------------------------------------------

    def _deliver(self, deliver: Deliver) -> None:
        parts, payout = self._parts, self._payout
        if deliver.unchecked and self._was_reloaded:
            reply(deliver.reply_to, LookForReplay())
            return
        decision = decide(
            payout, deliver.event, now=self._now(), policy=parts.policy_now, jitter=parts.engine.dice.random()
        )
        if decision.payout is not payout:
            self._journal(deliver, decision, self._move(deliver, decision))
        elif decision.discrepancy is not None or deliver.webhook is not None:
            note = NoteOnPayout(
                payout=payout,
                evidence=decision.evidence,
                discrepancy=decision.discrepancy,
                webhook=deliver.webhook,
                webhook_reason=decision.answer,
            )
            self._journal(deliver, decision, note)
        else:
            self._perform(deliver, decision)

    def _move(self, deliver: Deliver, decision: Decision) -> MovePayout:
        engine, retry = self._parts.engine, self._parts.policy.retry
        if decision.evidence is None:
            raise InvariantViolation(
                "INVARIANT_VIOLATED", f"a transition to {decision.payout.status} without evidence"
            )
        checked: dict[str, Any] = {
            "lease": engine.ownership.lease_of(self._payout.transaction_id),
            "send_window_s": retry.send_window_s,
            "answer_window_s": retry.answer_window_s,
            "restored_at": engine.ownership.restored.at if engine.ownership.restored is not None else None,
        }
        if decision.is_intent:
            # Taken now, before the statement runs: so it can only be earlier than the database's own.
            self._send_deadline_s = self.runtime.scheduler.monotonic() + retry.send_window_s
        return MovePayout(
            before=self._payout,
            after=decision.payout,
            evidence=decision.evidence,
            write_id=engine.new_id(),
            request_id=deliver.request_id,
            who=ENGINE if decision.presumes_attempt else deliver.who,
            discrepancy=decision.discrepancy,
            # What is decided once more is not applied yet: a crash in between must find its webhook unapplied.
            webhook=None if _is_decided_again(decision) else deliver.webhook,
            intent=Intent(**checked) if decision.is_intent else None,
            step=Step(name=decision.step, **checked) if decision.step is not None else None,
            noted_as=decision.noted_as,
            audit=None if _is_decided_again(decision) else deliver.audit,
            presumes_attempt=decision.presumes_attempt,
            reopens=decision.reopens,
        )

    def _journal(self, deliver: Deliver, decision: Decision, write: MovePayout | NoteOnPayout) -> None:
        self._busy = (deliver, decision)
        self._parts.engine.journal.tell(Commit(write=write, reply_to=self.actor_ref))

    def _committed(self, message: Committed) -> None:
        if message.tag == POSTPONED:
            return
        deliver, decision = self._in_commit()
        match message.answer:
            case Moved(payout=payout, parked_webhooks=parked):
                self._busy = None
                self._moved(payout, deliver, decision)
                self._perform(deliver, decision)
                if parked:
                    found = ParkedWebhooksFound(transaction_id=payout.transaction_id, webhook_ids=parked)
                    self._tell(self._parts.supervisor, found)
            case Noted():
                self._busy = None
                self._noted(decision)
                self._perform(deliver, decision)
            case Stale():
                # A decision on an old row is dropped; the fact that caused it is not: it is decided again.
                self._busy = (deliver, None)
                self._reload()
            case IntentDenied(reason=reason) if decision.step is not None:
                self._busy = None
                log.info("step.denied", reason=reason, step=decision.step, **self._fields())
                self._answer(deliver, reason)
            case IntentDenied(reason=reason) if deliver.audit is not None:
                self._busy = None
                self._answer(deliver, reason)
            case IntentDenied(reason=reason):
                self._busy = None
                log.info("intent.denied", reason=reason, **self._fields())
                self._deliver(Deliver(event=IntentRefused(reason=reason)))
            case WriteFailed():
                self._write_failed(deliver, decision, message.answer)
            case other:
                raise TypeError(f"the journal answered {type(other).__name__} to a payout")

    def _write_failed(self, deliver: Deliver, decision: Decision, failed: WriteFailed) -> None:
        """The database will never take this; a provider reference that another payout has is a fact of its own."""
        refused, evidence = decision.payout.provider_ref, decision.evidence
        if deliver.audit is not None:
            # The operator's own values: told to the operator, who may mend them, and nothing else follows.
            self._busy = None
            if deliver.reply_to is not None:
                deliver.reply_to.fail(failed.error)
            return
        if not failed.another_has_the_provider_ref or refused is None or evidence is None:
            raise failed.error
        log.error("provider_ref.refused", provider_ref=refused, **self._fields())
        self._busy = None
        # In the place of what led here, so that its webhook is kept and its sender answered.
        event = ProviderRefRefused(provider_ref=refused, evidence=evidence)
        self._deliver(replace(deliver, event=event))

    def _in_commit(self) -> tuple[Deliver, Decision]:
        deliver, decision = self._busy or (None, None)
        if deliver is None or decision is None:
            raise InvariantViolation("INVARIANT_VIOLATED", "the journal answered what nobody waits for")
        return deliver, decision

    def _reload(self) -> None:
        self.pipe_to_self(
            self._parts.engine.store.load(self._payout.transaction_id),
            on_result=lambda payout: RowLoaded(payout=payout),
            on_error=lambda error: RowLoadFailed(error=error),
            name="payout-reload",
        )

    def _reloaded(self, payout: Payout | None) -> None:
        if payout is None or self._busy is None:
            raise InvariantViolation(
                "INVARIANT_VIOLATED", f"payout {self._payout.transaction_id} has no row any more"
            )
        deliver, _ = self._busy
        self._busy = None
        self._was_reloaded = True
        if (
            payout.submission_ref != self._payout.submission_ref
            or payout.provider_ref != self._payout.provider_ref
        ):
            self._announce(payout)
        self._payout = payout
        self._deliver(deliver)

    def _moved(self, payout: Payout, deliver: Deliver, decision: Decision) -> None:
        before, self._payout = self._payout, payout
        self._parts.engine.moves.moved(payout)
        metrics = self._parts.engine.metrics
        newly_known = (
            payout.provider_ref != before.provider_ref or payout.submission_ref != before.submission_ref
        )
        if decision.is_intent or newly_known:
            self._announce(payout)
        if payout.status is not before.status:
            metrics.state_left(before, self._now())
        fields = self._fields() | {"why": payout.status_reason, "request_id": deliver.request_id}
        if payout.status.is_final:
            metrics.payout_settled(payout.provider, payout.status)
            log.info(f"payout.{payout.status.value.lower()}", **fields)
        elif payout.status is Status.REVIEW and before.status is not Status.REVIEW:
            metrics.reviews.labels(payout.provider, payout.status_reason).inc()
            log.warning("payout.put_in_review", **fields)
        else:
            log.debug("payout.moved", status=payout.status.value, **fields)
        self._noted(decision)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _noted(self, decision: Decision) -> None:
        if decision.discrepancy is not None:
            kind = decision.discrepancy.kind
            self._parts.engine.metrics.discrepancies.labels(self._payout.provider, kind).inc()
            log.error("discrepancy.opened", kind=kind, **self._fields())

    def _announce(self, payout: Payout) -> None:
        self._tell(
            self._parts.supervisor,
            PayoutLearnedRef(
                transaction_id=payout.transaction_id,
                provider=payout.provider,
                provider_ref=payout.provider_ref,
                submission_ref=payout.submission_ref,
            ),
        )

    # ---- perform -----------------------------------------------------------------------------------

    def _perform(self, deliver: Deliver, decision: Decision) -> None:
        again: Deliver | None = None
        for effect in decision.effects:
            match effect:
                case fx.RequestSlot(work=work):
                    self._request_slot(work)
                case fx.GiveBackSlot():
                    self._free_slot(SlotResult.UNUSED)
                case fx.Submit():
                    self._submit(effect)
                case fx.Ask(work=work):
                    self._ask(work)
                case fx.WakeAt(at=at):
                    self._wake_at(at)
                case fx.Postpone(until=until):
                    self._postpone(until)
                case fx.PauseProvider(reason=reason, shortfall=shortfall):
                    pause = PauseProvider(reason=reason, who="engine", shortfall=shortfall)
                    self._tell(self._parts.door.ref, pause)
                case fx.SlowDown(retry_after_s=retry_after_s):
                    self._tell(self._parts.door.ref, SlowDownProvider(retry_after_s=retry_after_s))
                case fx.DecideAgain(event=event):
                    again = replace(deliver, event=event)
                case _:
                    assert_never(effect)
        if again is not None:
            self._deliver(again)
        else:
            self._answer(deliver, decision.answer)

    def _answer(self, deliver: Deliver, answer: str) -> None:
        if deliver.reply_to is None:
            return
        if deliver.webhook is None:
            deliver.reply_to.tell(PayoutAnswer(payout=self._payout, answer=answer))
            return
        applied = answer == "APPLIED"
        deliver.reply_to.tell(
            WebhookAnswer(
                applied=applied, reason="" if applied else answer, transaction_id=self._payout.transaction_id
            )
        )

    def _submit(self, effect: fx.Submit) -> None:
        adapter = self._parts.adapter
        if adapter is None:
            raise InvariantViolation("INVARIANT_VIOLATED", "an attempt began without an adapter")
        self._slot = Slot.CALLING
        guard = AttemptGuard(
            self.runtime.scheduler,
            self.actor_ref,
            effect,
            at_s=self._send_deadline_s,
            window_s=self._parts.policy.retry.send_window_s,
        )

        def ended(outcome: Outcome) -> CallEnded:
            failed = (
                outcome.kind in (OutcomeClass.UNKNOWN, OutcomeClass.NOT_SENT)
                and not outcome.reference_was_used
            )
            return CallEnded(
                event=SubmitAnswered(reference=effect.reference, attempt=effect.attempt, outcome=outcome),
                slot=SlotResult.FAILED if failed else SlotResult.ANSWERED,
            )

        def broke(error: BaseException) -> CallEnded:
            # Our adapter failed after it may have sent something: unknown, like any other silence.
            log.error("adapter.failed", call="submit", exc_info=error, **self._fields())
            return ended(
                Outcome(kind=OutcomeClass.UNKNOWN, reason="ADAPTER_FAILED", rule="an adapter raised")
            )

        self.pipe_to_self(
            adapter.submit(self._payout, guard), on_result=ended, on_error=broke, name="payout-submit"
        )

    def _ask(self, work: Work) -> None:
        adapter, payout = self._parts.adapter, self._payout
        if adapter is None:
            raise InvariantViolation("INVARIANT_VIOLATED", "a status was to be read without an adapter")
        self._slot = Slot.CALLING
        source = Source.LOOKUP if work is Work.LOOKUP else Source.POLL

        def ended(report: StatusReport) -> CallEnded:
            return CallEnded(
                event=StatusReported(
                    source=source,
                    reference=payout.submission_ref,
                    attempt=payout.attempt_count,
                    report=report,
                ),
                slot=_slot_after(report),
            )

        def broke(error: BaseException) -> CallEnded:
            log.error("adapter.failed", call=source.value, exc_info=error, **self._fields())
            failed = StatusReport(
                finding=Finding.NO_ANSWER,
                reason="ADAPTER_FAILED",
                provider_failed=True,
                rule="an adapter raised",
            )
            return ended(failed)

        call = adapter.look_up(payout) if work is Work.LOOKUP else adapter.poll(payout)
        self.pipe_to_self(call, on_result=ended, on_error=broke, name=f"payout-{source.value}")

    def _postpone(self, until: datetime) -> None:
        payout = self._payout
        write = PostponePayout(transaction_id=payout.transaction_id, version=payout.version, until=until)
        self._parts.engine.journal.tell(Commit(write=write, reply_to=self.actor_ref, tag=POSTPONED))
        self._payout = replace(payout, next_retry_at=until)
        self._wake_at(until)

    # ---- slots and time ----------------------------------------------------------------------------

    def _request_slot(self, work: Work) -> None:
        if self._retiring or self._slot in (Slot.HELD, Slot.CALLING):
            return
        self._hinted = self._payout.status.is_final
        waiting_well = self._slot is Slot.WAITING and (work in ASKS) == (self._wanted in ASKS)
        self._wanted = work
        if waiting_well:
            return
        # Submits and questions have queues of their own: in the wrong one, a pause would hold a question back.
        self._slot = Slot.WAITING
        payout = self._payout
        self._tell(
            self._parts.door.ref,
            WantSlot(
                transaction_id=payout.transaction_id,
                ref=self.actor_ref,
                work=work,
                due_at=payout.next_retry_at or payout.created_at,
                created_at=payout.created_at,
                again=payout.attempt_count > 0,
            ),
        )

    def _offered(self) -> None:
        if self._slot is not Slot.WAITING or self._retiring:
            self._free_slot(SlotResult.UNUSED)
            return
        self._slot = Slot.HELD
        self._deliver(Deliver(event=SlotGranted(work=self._wanted)))

    def _free_slot(self, result: SlotResult) -> None:
        self._slot = Slot.NONE
        self._tell(self._parts.door.ref, SlotFreed(transaction_id=self._payout.transaction_id, result=result))

    def _wake_at(self, at: datetime) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0.0, (at - self._now()).total_seconds())
        self._timer = self.tell_later(delay_s, Wake(version=self._payout.version))

    def _settle_down(self) -> None:
        """With nothing in flight: be woken when due, or leave memory if that is far away."""
        if self._busy is not None or self._stash:
            return
        payout = self._payout
        unwanted = payout.status.is_final and not self._hinted
        if (self._retiring or unwanted) and self._slot is Slot.WAITING:
            self._free_slot(SlotResult.UNUSED)
        if self._slot is Slot.NONE and (payout.status.is_final or self._retiring):
            self._idle(None)
            return
        if payout.status.is_final:
            return
        until = payout.next_retry_at or self._now()
        wait_s = (until - self._now()).total_seconds()
        if self._slot is Slot.NONE and wait_s > self._parts.engine.passivate_after_s:
            # It may linger, and must not oversleep there.
            self._wake_at(until)
            self._idle(until)
        elif self._timer is None:
            # What waits for a slot is looked at again all the same: it may expire there.
            self._wake_at(self._now() + timedelta(seconds=wait_s if wait_s > 0 else LOOK_AGAIN_S))

    def _idle(self, until: datetime | None) -> None:
        self._tell(
            self._parts.supervisor,
            PayoutIdle(
                transaction_id=self._payout.transaction_id,
                ref=self.actor_ref,
                until=until,
                delivered_count=self._delivered_count,
            ),
        )

    # ---- helpers -----------------------------------------------------------------------------------

    def _stash_away(self, message: Any) -> None:
        if self._stash is None:
            self._stash = deque()
        if (
            len(self._stash) >= self._parts.engine.stash_max
            and isinstance(message, Deliver)
            and message.reply_to
        ):
            fail = getattr(message.reply_to, "fail", None)
            if fail is not None:
                # Somebody waits for it and can come again; what nobody would repeat is always kept.
                fail(EngineBusy("this payout has too many messages waiting"))
                return
        self._stash.append(message)

    def _tell(self, ref: Any, message: Any) -> None:
        self.runtime.tell_or_dead_letter(ref, message)

    def _now(self) -> datetime:
        return self.runtime.scheduler.now()

    def _fields(self) -> dict[str, Any]:
        payout = self._payout
        return {
            "actor": "payout",
            "transaction_id": payout.transaction_id,
            "provider": payout.provider,
            "attempt": payout.attempt_count,
        }


def _slot_after(report: StatusReport) -> SlotResult:
    """What a status read says of the provider's health: an answer that is of no use to us says nothing."""
    if report.provider_failed:
        return SlotResult.FAILED
    return SlotResult.UNUSED if report.finding is Finding.NO_ANSWER else SlotResult.ANSWERED


def _is_decided_again(decision: Decision) -> bool:
    return any(isinstance(effect, fx.DecideAgain) for effect in decision.effects)
