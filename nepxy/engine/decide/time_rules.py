"""The payout's time has come, or a place at its provider: what may be done now, and what an attempt begins with."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from nepxy.engine.decide.case import Case
from nepxy.engine.decide.decision import Decision
from nepxy.engine.decide.submit_rules import in_doubt
from nepxy.engine.effects import Ask, GiveBackSlot, Postpone, RequestSlot, Submit, WakeAt
from nepxy.engine.events import Work
from nepxy.engine.evidence import Evidence
from nepxy.engine.payout import Status


def due(case: Case) -> Decision:
    """Look at the payout again: it is time."""
    match case.payout.status:
        case Status.PENDING:
            return _due_pending(case)
        case Status.SENT | Status.REVIEW:
            return _due_at_provider(case)
        case Status.CONFIRMED | Status.FAILED | Status.CANCELLED:
            return case.nothing()
        case _:
            assert_never(case.payout.status)


def _due_pending(case: Case) -> Decision:
    if case.expired:
        return case.expire()
    if case.held:
        return case.nothing(Postpone(until=case.poll_time()))
    return case.nothing(_backoff(case) or RequestSlot(work=Work.SUBMIT))


def _backoff(case: Case) -> WakeAt | None:
    """After an earlier attempt, `next_retry_at` is when the next one may begin, not before."""
    payout = case.payout
    ahead = payout.next_retry_at is not None and payout.next_retry_at > case.now
    if payout.attempt_count == 0 or not ahead or payout.next_retry_at is None:
        return None
    return WakeAt(at=payout.next_retry_at)


def _due_at_provider(case: Case) -> Decision:
    payout = case.payout
    if case.account_changed and payout.status is Status.SENT:
        # Money rule 10: never look a payout up, or send it, through another account than it was sent by.
        return case.review(
            "ACCOUNT_CHANGED",
            "It was sent through another provider account than the one configured now: "
            "restore that account, or look at its statement, then confirm or fail it.",
            case.clock_evidence("rule 10: account differs"),
        )
    if payout.status is Status.SENT and case.long_expired:
        # Without a place at a provider that is dead nobody would ever say so.
        return case.overdue(case.clock_evidence("expires_at passed long ago"))
    if payout.status is Status.SENT and payout.is_unresolved:
        if case.answer_is_awaited and payout.answer_by is not None:
            return case.nothing(WakeAt(at=payout.answer_by))
        if payout.in_doubt_since is None:
            # The answer never came back to us: a crash or a stop lay between.
            return in_doubt(
                case,
                "ANSWER_LOST",
                "The answer to the last attempt was lost",
                case.clock_evidence("answer_by passed"),
            )
    if case.question is not None:
        return case.nothing(*case.asking_soon())
    if case.may_resend:
        return case.nothing(RequestSlot(work=Work.RESEND))
    if case.repeat_is_harmless:
        # Held after a restore: it is repeated once an operator has released the engine.
        return case.nothing(Postpone(until=case.poll_time()))
    return _nothing_can_be_asked(case)


def _nothing_can_be_asked(case: Case) -> Decision:
    """It waits for a webhook, or for an account to be configured again; in SENT not for ever."""
    payout = case.payout
    if payout.status is Status.REVIEW:
        return case.later()
    if payout.is_taken or case.nobody_to_ask:
        if not case.expired:
            return case.nothing(Postpone(until=min(case.poll_time(), payout.expires_at)))
        return case.overdue(case.clock_evidence("expires_at passed, and nobody can be asked"))
    if case.now < case.settle_at:
        return case.nothing(Postpone(until=min(case.settle_at, case.poll_time())))
    return case.review(
        "UNRESOLVED",
        "Nobody can say whether the provider took it, and this provider offers no safe way to ask or to repeat: "
        "check the provider's portal for our reference, then confirm or fail it.",
        case.clock_evidence("rule 4: no look-up, no safe resend"),
    )


def slot_granted(case: Case, work: Work) -> Decision:
    """The provider actor has a place: use it if what it was asked for still holds, else give it back."""
    payout = case.payout
    match work:
        case Work.SUBMIT:
            if payout.status is not Status.PENDING:
                return case.nothing(GiveBackSlot())
            if case.expired:
                return replace(case.expire(), effects=(GiveBackSlot(),))
            if case.policy.account is None or case.held:
                return case.nothing(GiveBackSlot(), Postpone(until=case.poll_time()))
            backoff = _backoff(case)
            if backoff is not None:
                # The place was asked for before the last attempt ended.
                return case.nothing(GiveBackSlot(), backoff)
            return _begin_attempt(case, "ATTEMPT_STARTED")
        case Work.RESEND:
            return _begin_attempt(case, "RESEND_STARTED") if case.may_resend else case.nothing(GiveBackSlot())
        case Work.LOOKUP | Work.POLL:
            question = case.question or case.question_after_end
            if question is None or case.answer_is_awaited:
                return case.nothing(GiveBackSlot())
            return case.nothing(Ask(work=question))
        case _:
            assert_never(work)


def _begin_attempt(case: Case, reason: str) -> Decision:
    payout, retry = case.payout, case.policy.retry
    attempt = payout.attempt_count + 1
    answer_by = case.now + timedelta(seconds=retry.answer_window_s)
    begun = payout.moved(
        Status.SENT,
        reason,
        attempt_count=attempt,
        last_attempt_at=case.now,
        answer_by=answer_by,
        account=case.policy.account,
        # Left alone where it is late enough: an indexed column that a hot update need not change.
        next_retry_at=max(answer_by, payout.next_retry_at or answer_by),
        last_error=payout.last_error and f"Attempt {attempt} is under way; its answer is waited for.",
    )
    return Decision(
        payout=begun,
        evidence=Evidence(
            source="engine", reference=payout.submission_ref, attempt=attempt, rule="rule 2: intent"
        ),
        effects=(Submit(reference=payout.submission_ref, attempt=attempt),),
        is_intent=True,
    )


def intent_refused(case: Case, reason: str) -> Decision:
    """The database did not let the attempt begin: no call was made, and none is counted."""
    if case.payout.status.is_final:
        return case.nothing(GiveBackSlot())
    if reason == "EXPIRED" and case.payout.status is Status.PENDING:
        return replace(case.expire(), effects=(GiveBackSlot(),))
    return case.nothing(GiveBackSlot(), Postpone(until=case.retry_time(1)))
