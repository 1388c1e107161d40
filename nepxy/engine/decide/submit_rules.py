"""A submit's next write, and its answer: what it says of its own attempt, and what it does not say of another."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from nepxy.engine.decide.case import KEEPS_REVIEW_OPEN, Case
from nepxy.engine.decide.decision import STEP_COMMITTED, STEP_REFUSED, Decision
from nepxy.engine.decide.taken_rules import renamed, taken
from nepxy.engine.decide.unpaid_rules import failed, unpaid_after_confirmed
from nepxy.engine.effects import Effect, PauseProvider, SlowDown, WakeAt
from nepxy.engine.events import StepReached, SubmitAnswered
from nepxy.engine.evidence import Evidence
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass
from nepxy.engine.payout import Status

LATE_ANSWER: Final = "LATE_ANSWER"
"""The `why` of an answer that settles nothing any more."""


def step_reached(case: Case, event: StepReached) -> Decision:
    """A submit of several writes wants to make its next one: only while nothing else is known of it.

    Whether it is late is for the database to say, whose clock `answer_by` is by. A name that the provider gives it
    on the way is kept, and does not mean that it was taken: money moves at the last write.
    """
    payout = case.payout
    current = event.reference == payout.submission_ref and event.attempt == payout.attempt_count
    evidence = Evidence(
        source="submit",
        reference=event.reference,
        attempt=event.attempt,
        provider_ref=event.provider_ref,
        rule=f"rule 2: step {event.step}",
    )
    if not current or payout.status is not Status.SENT or payout.is_taken or case.nobody_to_ask:
        return case.nothing(answer=STEP_REFUSED)
    differs = renamed(case, event.provider_ref)
    if differs is not None:
        # A second thing of theirs under one reference of ours: going on could pay both.
        return case.nothing(answer=STEP_REFUSED, discrepancy=differs, evidence=evidence)
    answer_by = case.now + timedelta(seconds=case.policy.retry.answer_window_s)
    reached = payout.moved(
        Status.SENT,
        f"STEP_{event.step}",
        provider_ref=case.their_name or event.provider_ref or payout.provider_ref,
        answer_by=answer_by,
        next_retry_at=max(answer_by, payout.next_retry_at or answer_by),
    )
    return Decision(payout=reached, evidence=evidence, step=event.step, answer=STEP_COMMITTED)


def submit_answered(case: Case, event: SubmitAnswered) -> Decision:
    """A submit call ended, one way or another."""
    payout, outcome = case.payout, event.outcome
    evidence = Evidence(
        source="submit",
        reference=event.reference,
        attempt=event.attempt,
        provider_ref=outcome.provider_ref,
        call=outcome.call,
        request=outcome.request,
        answer=outcome.answer,
        rule=outcome.rule,
    )
    if outcome.kind in (OutcomeClass.ACCEPTED, OutcomeClass.CONFIRMED):
        return taken(
            case,
            Finding.PAID if outcome.kind is OutcomeClass.CONFIRMED else Finding.IN_FLIGHT,
            reference=event.reference,
            provider_ref=outcome.provider_ref,
            terms=outcome.terms,
            reason=outcome.reason,
            evidence=evidence,
            event=event,
        )
    current = event.reference == payout.submission_ref and event.attempt == payout.attempt_count
    if not current or payout.status is not Status.SENT or payout.is_taken:
        return _too_late(case, event, evidence)
    if _is_unclear(outcome):
        return _unknown(case, outcome, evidence)
    if payout.in_doubt_since is not None:
        # An earlier submit of this reference is unresolved: this answer speaks of the last one only.
        return _refused_beside_doubt(case, outcome, evidence)
    return _refused(case, outcome, evidence)


def _is_unclear(outcome: Outcome) -> bool:
    throttled = outcome.kind is OutcomeClass.THROTTLED and not outcome.refused_before_processing
    return outcome.kind is OutcomeClass.UNKNOWN or throttled


def _for_the_provider(outcome: Outcome) -> tuple[Effect, ...]:
    """What an answer says of the provider as a whole holds whatever it says of this payout."""
    if outcome.kind is OutcomeClass.BLOCKED:
        return (PauseProvider(reason=outcome.reason, shortfall=outcome.shortfall),)
    if outcome.kind is OutcomeClass.THROTTLED:
        return (SlowDown(retry_after_s=outcome.retry_after_s),)
    return ()


# ---- nobody knows ------------------------------------------------------------------------------


def _unknown(case: Case, outcome: Outcome, evidence: Evidence) -> Decision:
    used = outcome.reference_was_used
    reason = "DUPLICATE_REFERENCE" if used else "IN_DOUBT"
    text = f"No clear answer to the last attempt ({outcome.reason})"
    doubtful = in_doubt(case, reason, text, evidence, bars_repeat=used)
    return replace(doubtful, effects=(*doubtful.effects, *_for_the_provider(outcome)))


def in_doubt(
    case: Case, reason: str, problem: str, evidence: Evidence, *, bars_repeat: bool = False
) -> Decision:
    """The provider may have it: it is asked, and nothing is sent again without proof (money rule 4)."""
    payout = case.payout
    barred = payout.repeat_barred or bars_repeat
    look_at = max(case.now, payout.answer_by or case.now)
    if payout.in_doubt_since is not None:
        look_at = max(look_at, case.poll_time())
    doubtful = payout.moved(
        Status.SENT,
        reason,
        in_doubt_since=payout.in_doubt_since or case.now,
        repeat_barred=barred,
        next_retry_at=look_at,
        last_error=f"{problem}; {_what_is_done_about_it(case, barred=barred)}.",
    )
    return Decision(payout=doubtful, evidence=evidence, effects=(WakeAt(at=look_at),))


def _what_is_done_about_it(case: Case, *, barred: bool) -> str:
    capabilities = case.policy.capabilities
    if capabilities.lookup_by_reference:
        return "it is being looked into, and it is not sent again without proof"
    if capabilities.resend_allowed and not barred:
        return "it is sent again under the same reference, which this provider does not pay twice"
    return "it is not sent again: a word from the provider is waited for, and after that a person must look"


# ---- refused, beside an earlier attempt that is unresolved -------------------------------------


def _refused_beside_doubt(case: Case, outcome: Outcome, evidence: Evidence) -> Decision:
    payout = case.payout
    if outcome.kind is OutcomeClass.REJECTED:
        return _repeat_rejected(case, outcome, evidence)
    later = case.retry_time(payout.counted_attempts, outcome.retry_after_s)
    doubtful = payout.moved(
        Status.SENT,
        "IN_DOUBT",
        # Bounded: the same answer may be decided twice, and stays one attempt.
        unreached_count=min(payout.unreached_count + 1, payout.attempt_count),
        next_retry_at=later,
        last_error=f"The repeated attempt did not get through ({outcome.reason}); "
        f"an earlier one is unresolved: {_what_is_done_about_it(case, barred=payout.repeat_barred)}.",
    )
    effects = (*_for_the_provider(outcome), WakeAt(at=later))
    return Decision(payout=doubtful, evidence=evidence, effects=effects)


def _repeat_rejected(case: Case, outcome: Outcome, evidence: Evidence) -> Decision:
    """A refused repeat says nothing about the earlier attempt, not even where the provider replays its answers.

    The earlier request may still be on its way: found by the simulation, a repeat that overtook it was refused and
    forgotten, and then the earlier one arrived and was paid.
    """
    if case.policy.capabilities.lookup_by_reference or case.question is not None:
        text = (
            f"The repeated attempt was refused ({outcome.reason}), which says nothing about the earlier one"
        )
        return in_doubt(case, "REPEAT_REFUSED", text, evidence, bars_repeat=True)
    return case.review(
        "FAILURE_BESIDE_UNRESOLVED",
        f"The repeated attempt was refused ({outcome.reason}), yet an earlier one is unresolved: "
        "check the provider's portal for our reference, then confirm or fail it.",
        evidence,
        repeat_barred=True,
    )


# ---- refused, and nothing else is unresolved ---------------------------------------------------


def _refused(case: Case, outcome: Outcome, evidence: Evidence) -> Decision:
    """The attempt is proven not to have moved money, and it is the only one."""
    match outcome.kind:
        case OutcomeClass.NOT_SENT:
            return _back_to_pending(case, outcome, evidence, "NOT_SENT", "Nothing was sent")
        case OutcomeClass.THROTTLED:
            return _back_to_pending(case, outcome, evidence, "THROTTLED", "The provider is asking for less")
        case OutcomeClass.BLOCKED:
            return _back_to_pending(case, outcome, evidence, "BLOCKED", "The provider waits for an operator")
        case _:
            return failed(case, outcome.reason, evidence, again=outcome.retry_with_new_reference)


def _back_to_pending(case: Case, outcome: Outcome, evidence: Evidence, reason: str, text: str) -> Decision:
    """Proven not processed: the same reference may be used, and no try is used up."""
    payout = case.payout
    problem = f"{text} ({outcome.reason})"
    effects = _for_the_provider(outcome)
    if case.expired:
        return replace(case.expire(evidence, problem=problem), effects=effects)
    unreached = payout.unreached_count + 1
    later = min(case.retry_time(unreached, outcome.retry_after_s), payout.expires_at)
    waiting = payout.moved(
        Status.PENDING,
        reason,
        unreached_count=unreached,
        # What its steps left at the provider is found again by our reference, which stays.
        provider_ref=None,
        next_retry_at=later,
        answer_by=None,
        account=None,
        last_error=f"{problem}; it is tried again by itself.",
    )
    return Decision(payout=waiting, evidence=evidence, effects=(*effects, WakeAt(at=later)))


# ---- too late to settle anything ---------------------------------------------------------------


def _too_late(case: Case, event: SubmitAnswered, evidence: Evidence) -> Decision:
    """A negative answer settles nothing but the attempt that it belongs to, and that one is history; it is kept."""
    payout, outcome = case.payout, event.outcome
    rejected = outcome.kind is OutcomeClass.REJECTED
    if event.reference != payout.submission_ref:
        return case.noted(LATE_ANSWER, evidence, *_for_the_provider(outcome))
    if payout.status is Status.CONFIRMED and rejected and event.attempt == payout.attempt_count == 1:
        return unpaid_after_confirmed(case, outcome.reason, evidence)
    if rejected and _was_the_only_attempt(case, event):
        return failed(case, outcome.reason, evidence, again=outcome.retry_with_new_reference)
    if outcome.reference_was_used and payout.status in (Status.SENT, Status.REVIEW):
        doubt_since = payout.in_doubt_since if payout.is_taken else payout.in_doubt_since or case.now
        return case.noted(LATE_ANSWER, evidence, repeat_barred=True, in_doubt_since=doubt_since)
    return case.noted(LATE_ANSWER, evidence, *_for_the_provider(outcome))


def _was_the_only_attempt(case: Case, event: SubmitAnswered) -> bool:
    """In REVIEW, a refusal of the one attempt that was ever made proves that nothing is unresolved."""
    payout = case.payout
    return (
        payout.status is Status.REVIEW
        and payout.status_reason not in KEEPS_REVIEW_OPEN
        and event.attempt == payout.attempt_count == 1
        and not payout.is_taken
        and not payout.repeat_barred
    )
