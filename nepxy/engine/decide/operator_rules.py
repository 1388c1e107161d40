"""What an operator may ask of a payout, in which state, and what follows (money rule 6; docs/decisions/0008).

A person's word is evidence like any other: it is stored with who gave it and why. What the engine may not decide by
itself (REVIEW, a final state) only such a command moves; what it decides well enough (whether a reference may be sent
again) no command overrides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from nepxy.engine.decide.case import KEEPS_REVIEW_OPEN, Case
from nepxy.engine.decide.decision import Decision
from nepxy.engine.effects import Effect, RequestSlot, WakeAt
from nepxy.engine.events import Command, OperatorAsked, Work
from nepxy.engine.evidence import Evidence
from nepxy.engine.payout import Status
from nepxy.engine.references import submission_ref

REOPENED_FOR: Final = timedelta(hours=72)
"""How long a reopened payout may be tried: as long as a new one by default."""

COMMAND_NOT_VALID: Final = "COMMAND_NOT_VALID"
VERSION_CONFLICT: Final = "VERSION_CONFLICT"
FORCE_NEEDED: Final = "FORCE_NEEDED"
SECOND_PERSON_NEEDED: Final = "SECOND_PERSON_NEEDED"
ANSWER_AWAITED: Final = "ANSWER_AWAITED"
"""An attempt's own answer may still come: what a person saw at the provider may be older than that."""


def operator_asked(case: Case, order: OperatorAsked) -> Decision:
    """An operator's command; the answer is `APPLIED`, or the code of why not."""
    payout = case.payout
    if order.expected_version is not None and order.expected_version != payout.version:
        return case.nothing(answer=VERSION_CONFLICT)
    if order.command not in valid_commands(case):
        return case.nothing(answer=COMMAND_NOT_VALID)
    if payout.status.is_final and order.command is not Command.NOTE and not order.force:
        return case.nothing(answer=FORCE_NEEDED)
    if _wants_second_person(case, order):
        return case.nothing(answer=SECOND_PERSON_NEEDED)
    if order.command is Command.FAIL and case.answer_is_awaited:
        return case.nothing(answer=ANSWER_AWAITED)
    return _RULES[order.command](case, order)


def valid_commands(case: Case) -> tuple[Command, ...]:
    """Which commands mean anything now, in the order in which to think of them; the note always does."""
    return (*_STATES[case.payout.status](case), Command.NOTE)


def needs_second_person(case: Case, command: Command) -> bool:
    """Whether this command wants another operator's approval; for a reopening the client's consent does, too."""
    if case.payout.status.is_final and command is not Command.NOTE:
        return True
    return case.policy.second_person and command in (Command.CONFIRM, Command.FAIL)


# ---- which commands mean anything ------------------------------------------------------------------


def _in_pending(case: Case) -> tuple[Command, ...]:
    return (Command.CANCEL,) if case.expired else (Command.RETRY, Command.CANCEL)


def _in_sent(case: Case) -> tuple[Command, ...]:
    asks = (Command.RETRY, Command.POLL) if case.question is not None else ()
    resends = (Command.RETRY,) if not asks and case.may_resend else ()
    return (*asks, *resends, Command.CONFIRM, Command.FAIL)


def _in_review(case: Case) -> tuple[Command, ...]:
    if case.payout.status_reason == "CRASHED_TOO_OFTEN" and not case.payout.is_at_provider:
        # After a restore nobody knows that it was never sent.
        return (Command.RELEASE,) if case.policy.restored is not None else (Command.RELEASE, Command.CANCEL)
    asks = (Command.RETRY, Command.POLL) if case.question is not None else ()
    # Money may have moved besides, or under another name: nothing may go on by itself over that.
    held = case.payout.status_reason in KEEPS_REVIEW_OPEN
    stuck = case.expired or case.account_changed or not case.payout.is_at_provider
    release = () if held or stuck else (Command.RELEASE,)
    return (*asks, *release, Command.CONFIRM, Command.FAIL)


_STATES: Final[Mapping[Status, Callable[[Case], tuple[Command, ...]]]] = {
    Status.PENDING: _in_pending,
    Status.SENT: _in_sent,
    Status.REVIEW: _in_review,
    Status.FAILED: lambda _: (Command.RETRY, Command.CONFIRM),
    Status.CONFIRMED: lambda _: (Command.FAIL,),
    Status.CANCELLED: lambda _: (),
}


def _wants_second_person(case: Case, order: OperatorAsked) -> bool:
    if order.second_person is not None or not needs_second_person(case, order.command):
        return False
    reopens = case.payout.status is Status.FAILED and order.command is Command.RETRY
    return not (reopens and order.client_consents)


# ---- what they do -----------------------------------------------------------------------------------


def _retry(case: Case, order: OperatorAsked) -> Decision:
    payout = case.payout
    if payout.status is Status.FAILED:
        return _reopen(case, order)
    if payout.status is Status.PENDING:
        return _noted(case, order, "RETRY_ASKED", RequestSlot(work=Work.SUBMIT), next_retry_at=case.now)
    if case.question is None:
        return _noted(case, order, "RETRY_ASKED", RequestSlot(work=Work.RESEND), next_retry_at=case.now)
    return _ask_now(case, order, "RETRY_ASKED")


def _poll(case: Case, order: OperatorAsked) -> Decision:
    return _ask_now(case, order, "POLL_ASKED")


def _ask_now(case: Case, order: OperatorAsked, why: str) -> Decision:
    """Ask at once, or as soon as the last attempt's own answer cannot come any more (money rule 2)."""
    awaited = case.payout.answer_by if case.answer_is_awaited else None
    return _noted(case, order, why, *case.asking_soon(), next_retry_at=awaited or case.now)


def _confirm(case: Case, order: OperatorAsked) -> Decision:
    payout = case.payout
    learned = (
        {"provider_ref": order.provider_ref} if order.provider_ref and payout.provider_ref is None else {}
    )
    return _settle(case, order, Status.CONFIRMED, "CONFIRMED_BY_OPERATOR", last_error=None, **learned)


def _fail(case: Case, order: OperatorAsked) -> Decision:
    return _settle(
        case,
        order,
        Status.FAILED,
        "FAILED_BY_OPERATOR",
        retryable=False,
        last_error="An operator found at the provider that it was not paid, and will not be.",
    )


def _cancel(case: Case, order: OperatorAsked) -> Decision:
    return _settle(case, order, Status.CANCELLED, "CANCELLED_BY_OPERATOR", retryable=False, last_error=None)


def _release(case: Case, order: OperatorAsked) -> Decision:
    payout = case.payout
    if not payout.is_at_provider:
        freed = payout.moved(
            Status.PENDING,
            "RELEASED",
            by_operator=True,
            next_retry_at=case.now,
            in_doubt_since=None,
            retryable=True,
            last_error=None,
        )
        return Decision(payout=freed, evidence=_word(case, order), effects=(RequestSlot(work=Work.SUBMIT),))
    freed = payout.moved(
        Status.SENT,
        "RELEASED",
        by_operator=True,
        next_retry_at=case.now,
        retryable=True,
        # The settling time begins anew: else the same silence would put it back at once.
        answer_by=case.now if payout.is_unresolved else payout.answer_by,
        in_doubt_since=case.now if payout.in_doubt_since is not None else None,
        last_error=None,
    )
    return Decision(payout=freed, evidence=_word(case, order), effects=(WakeAt(at=case.now),))


def _reopen(case: Case, order: OperatorAsked) -> Decision:
    """A failed payout is tried again, under a new reference: its failure is proven (money rules 3 and 6).

    The database lets it through only where no attempt is unresolved and nothing contradicts the failure.
    """
    payout = case.payout
    generation = payout.generation + 1
    reopened = payout.moved(
        Status.PENDING,
        "REOPENED",
        by_operator=True,
        generation=generation,
        submission_ref=submission_ref(
            installation_id=case.policy.installation_id,
            client_id=payout.client_id,
            idempotency_key=payout.idempotency_key,
            generation=generation,
        ),
        provider_ref=None,
        taken_at=None,
        repeat_barred=False,
        in_doubt_since=None,
        answer_by=None,
        account=None,
        settled_at=None,
        retryable=True,
        next_retry_at=case.now,
        expires_at=max(payout.expires_at, case.now + REOPENED_FOR),
        last_error=None,
    )
    return Decision(
        payout=reopened,
        evidence=_word(case, order),
        effects=(RequestSlot(work=Work.SUBMIT),),
        reopens=True,
    )


def _note(case: Case, order: OperatorAsked) -> Decision:
    return _noted(case, order, "NOTE")


_RULES: Final[Mapping[Command, Callable[[Case, OperatorAsked], Decision]]] = {
    Command.RETRY: _retry,
    Command.POLL: _poll,
    Command.CONFIRM: _confirm,
    Command.FAIL: _fail,
    Command.CANCEL: _cancel,
    Command.RELEASE: _release,
    Command.NOTE: _note,
}


# ---- how they end -----------------------------------------------------------------------------------


def _noted(case: Case, order: OperatorAsked, why: str, *effects: Effect, **changes: Any) -> Decision:
    """State and reason stay; the history says who asked for what."""
    payout = case.payout
    noted = payout.moved(payout.status, payout.status_reason, by_operator=True, **changes)
    return Decision(payout=noted, evidence=_word(case, order), effects=effects, noted_as=why)


def _settle(case: Case, order: OperatorAsked, to: Status, reason: str, **changes: Any) -> Decision:
    settled = case.payout.moved(
        to,
        reason,
        by_operator=True,
        settled_at=case.now,
        next_retry_at=None,
        in_doubt_since=None,
        **changes,
    )
    return Decision(payout=settled, evidence=_word(case, order))


def _word(case: Case, order: OperatorAsked) -> Evidence:
    payout = case.payout
    second = f", approved by {order.second_person}" if order.second_person else ""
    consent = ", the client consents" if order.client_consents else ""
    return Evidence(
        source="operator",
        reference=payout.submission_ref,
        attempt=payout.attempt_count or None,
        provider_ref=order.provider_ref,
        call=order.command.value,
        answer=order.reason,
        rule=f"an operator's word{second}{consent}",
    )
