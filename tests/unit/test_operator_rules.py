"""What an operator may ask of a payout in each state, what is refused, and what the engine goes on to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nepxy.engine.capabilities import RepeatedReference
from nepxy.engine.decide import Decision, Policy, commands_for, decide, second_person_needed
from nepxy.engine.effects import Ask, PauseProvider, RequestSlot, Submit, WakeAt
from nepxy.engine.events import Command, DueReached, OperatorAsked, SlotGranted, Work
from nepxy.engine.outcomes import Finding
from nepxy.engine.payout import Payout, ProviderRef, Status
from tests.factories import NOW, a_payout, a_policy, a_reference, reported

C = Command
SECOND: dict[str, Any] = {"second_person": "bea"}


def asked(payout: Payout, command: Command, *, policy: Policy | None = None, **said: Any) -> Decision:
    order = OperatorAsked(command=command, reason="ticket 17", **said)
    return decide(payout, order, now=NOW, policy=policy or a_policy(), jitter=0.5)


def in_review(reason: str = "ABSENT_UNPROVEN", **changes: Any) -> Payout:
    return a_payout(status=Status.REVIEW, status_reason=reason, retryable=False, **changes)


@pytest.mark.parametrize(
    ("payout", "valid"),
    [
        (a_payout(), (C.RETRY, C.CANCEL, C.NOTE)),
        (a_payout(expires_at=NOW), (C.CANCEL, C.NOTE)),
        (a_payout(status=Status.SENT), (C.RETRY, C.POLL, C.CONFIRM, C.FAIL, C.NOTE)),
        (in_review(), (C.RETRY, C.POLL, C.RELEASE, C.CONFIRM, C.FAIL, C.NOTE)),
        (in_review(expires_at=NOW), (C.RETRY, C.POLL, C.CONFIRM, C.FAIL, C.NOTE)),
        (in_review("ACCOUNT_CHANGED", account="another"), (C.CONFIRM, C.FAIL, C.NOTE)),
        (in_review("OLDER_REFERENCE_PAID"), (C.RETRY, C.POLL, C.CONFIRM, C.FAIL, C.NOTE)),
        (in_review("CRASHED_TOO_OFTEN", account=None, attempt_count=0), (C.RELEASE, C.CANCEL, C.NOTE)),
        (a_payout(status=Status.FAILED), (C.RETRY, C.CONFIRM, C.NOTE)),
        (a_payout(status=Status.CONFIRMED), (C.FAIL, C.NOTE)),
        (a_payout(status=Status.CANCELLED), (C.NOTE,)),
    ],
    ids=lambda value: f"{value.status}-{value.status_reason}" if isinstance(value, Payout) else "",
)
def test_each_state_has_its_commands(payout: Payout, valid: tuple[Command, ...]) -> None:
    assert commands_for(payout, now=NOW, policy=a_policy()) == valid
    for command in set(Command) - set(valid):
        refused = asked(payout, command, force=True, **SECOND)
        assert (refused.payout, refused.answer, refused.effects) == (payout, "COMMAND_NOT_VALID", ())


@pytest.mark.parametrize("command", [C.RETRY, C.POLL, C.CONFIRM, C.FAIL, C.NOTE])
def test_a_command_for_another_version_changes_nothing(command: Command) -> None:
    payout = a_payout(status=Status.SENT, version=7)
    refused = asked(payout, command, expected_version=6, **SECOND)
    assert (refused.payout, refused.answer) == (payout, "VERSION_CONFLICT")
    assert asked(payout, command, expected_version=7, **SECOND).answer == "APPLIED"


def test_retry_of_what_waits_skips_the_backoff_and_sends_the_same_reference() -> None:
    payout = a_payout(attempt_count=1, unreached_count=1, next_retry_at=NOW + timedelta(hours=1))
    decision = asked(payout, C.RETRY)
    assert decision.effects == (RequestSlot(work=Work.SUBMIT),)
    assert (decision.payout.status, decision.noted_as) == (Status.PENDING, "RETRY_ASKED")
    granted = decide(decision.payout, SlotGranted(work=Work.SUBMIT), now=NOW, policy=a_policy(), jitter=0)
    assert granted.effects == (Submit(reference=payout.submission_ref, attempt=2),)


def test_retry_of_what_is_sent_asks_at_once_and_sends_nothing() -> None:
    payout = a_payout(status=Status.SENT, in_doubt_since=NOW - timedelta(minutes=1))
    decision = asked(payout, C.RETRY, policy=a_policy(repeated=RepeatedReference.REJECTS))
    assert decision.effects == (RequestSlot(work=Work.LOOKUP),)
    assert decision.payout.status_reason == payout.status_reason
    assert decision.payout.submission_ref == payout.submission_ref


def test_retry_where_nobody_can_be_asked_repeats_only_what_may_be_repeated() -> None:
    payout = a_payout(status=Status.SENT, in_doubt_since=NOW - timedelta(minutes=1))
    deaf: dict[str, Any] = {"lookup": False, "status": False}
    safe = asked(payout, C.RETRY, policy=a_policy(repeated=RepeatedReference.REPLAYS, **deaf))
    assert safe.effects == (RequestSlot(work=Work.RESEND),)
    unsafe = asked(payout, C.RETRY, policy=a_policy(repeated=RepeatedReference.UNKNOWN, **deaf))
    assert (unsafe.answer, unsafe.effects) == ("COMMAND_NOT_VALID", ())


def test_while_an_attempts_own_answer_may_come_nobody_asks_and_nobody_fails_it() -> None:
    answer_by = NOW + timedelta(seconds=20)
    payout = a_payout(status=Status.SENT, answer_by=answer_by)
    asked_early = asked(payout, C.POLL)
    assert asked_early.effects == (WakeAt(at=answer_by),)
    assert asked_early.payout.next_retry_at == answer_by
    assert asked(payout, C.FAIL, **SECOND).answer == "ANSWER_AWAITED"


@pytest.mark.parametrize("status", [Status.SENT, Status.REVIEW])
@pytest.mark.parametrize(
    ("command", "to", "why"),
    [
        (C.CONFIRM, Status.CONFIRMED, "CONFIRMED_BY_OPERATOR"),
        (C.FAIL, Status.FAILED, "FAILED_BY_OPERATOR"),
    ],
)
def test_confirm_and_fail_want_two_people_and_keep_their_word_as_evidence(
    status: Status, command: Command, to: Status, why: str
) -> None:
    payout = a_payout(status=status)
    assert asked(payout, command).answer == "SECOND_PERSON_NEEDED"
    decision = asked(payout, command, **SECOND)
    assert (decision.payout.status, decision.payout.status_reason) == (to, why)
    assert decision.payout.settled_at == NOW
    assert decision.evidence is not None
    assert decision.evidence.reference == payout.submission_ref
    assert "bea" in decision.evidence.rule
    assert decision.evidence.answer == "ticket 17"
    assert decision.effects == ()


def test_one_person_is_enough_where_it_is_configured_but_never_for_what_is_final() -> None:
    alone = replace(a_policy(), second_person=False)
    assert asked(a_payout(status=Status.SENT), C.FAIL, policy=alone).answer == "APPLIED"
    for payout, command in (
        (a_payout(status=Status.FAILED), C.RETRY),
        (a_payout(status=Status.FAILED), C.CONFIRM),
        (a_payout(status=Status.CONFIRMED), C.FAIL),
    ):
        assert asked(payout, command, policy=alone, force=True).answer == "SECOND_PERSON_NEEDED"
        assert second_person_needed(payout, command, now=NOW, policy=alone)
    assert not second_person_needed(a_payout(status=Status.FAILED), C.NOTE, now=NOW, policy=alone)


def test_a_failed_payout_is_reopened_under_a_new_reference_by_force_and_two_people() -> None:
    payout = a_payout(status=Status.FAILED, expires_at=NOW - timedelta(hours=1))
    assert asked(payout, C.RETRY, **SECOND).answer == "FORCE_NEEDED"
    assert asked(payout, C.RETRY, force=True).answer == "SECOND_PERSON_NEEDED"
    decision = asked(payout, C.RETRY, force=True, **SECOND)
    reopened = decision.payout
    assert decision.reopens
    assert (reopened.status, reopened.status_reason) == (Status.PENDING, "REOPENED")
    assert (reopened.generation, reopened.submission_ref) == (1, a_reference(1))
    assert (reopened.account, reopened.provider_ref, reopened.settled_at) == (None, None, None)
    assert reopened.expires_at == NOW + timedelta(hours=72)
    due = decide(reopened, DueReached(), now=NOW, policy=a_policy(), jitter=0)
    assert due.effects == (RequestSlot(work=Work.SUBMIT),)


def test_the_clients_consent_stands_in_for_the_second_person_of_a_reopening_only() -> None:
    failed = a_payout(status=Status.FAILED)
    assert asked(failed, C.RETRY, force=True, client_consents=True).answer == "APPLIED"
    assert asked(failed, C.CONFIRM, force=True, client_consents=True).answer == "SECOND_PERSON_NEEDED"
    assert asked(a_payout(status=Status.SENT), C.FAIL, client_consents=True).answer == "SECOND_PERSON_NEEDED"


def test_what_is_released_from_review_is_followed_again_and_waits_its_settling_time_anew() -> None:
    payout = in_review(in_doubt_since=NOW - timedelta(days=1), answer_by=NOW - timedelta(days=1))
    decision = asked(payout, C.RELEASE)
    released = decision.payout
    assert (released.status, released.status_reason) == (Status.SENT, "RELEASED")
    due = decide(released, DueReached(), now=NOW + timedelta(seconds=1), policy=a_policy(), jitter=0)
    assert due.effects == (RequestSlot(work=Work.LOOKUP),)
    absent = decide(
        released, reported(Finding.ABSENT), now=NOW + timedelta(seconds=1), policy=a_policy(), jitter=0
    )
    assert absent.payout.status is Status.SENT
    later = decide(
        released, reported(Finding.ABSENT), now=NOW + timedelta(hours=1), policy=a_policy(), jitter=0
    )
    assert later.payout.status is Status.REVIEW


def test_what_was_never_at_the_provider_is_released_to_be_sent() -> None:
    payout = in_review(
        "CRASHED_TOO_OFTEN", account=None, attempt_count=0, last_attempt_at=None, answer_by=None
    )
    decision = asked(payout, C.RELEASE)
    assert decision.payout.status is Status.PENDING
    assert decision.effects == (RequestSlot(work=Work.SUBMIT),)


def test_a_release_never_lets_go_what_may_have_been_paid_under_another_name() -> None:
    for reason in ("OLDER_REFERENCE_PAID", "TERMS_DIFFER", "PROVIDER_REF_TAKEN", "FAILURE_BESIDE_UNRESOLVED"):
        refused = asked(in_review(reason), C.RELEASE, force=True, **SECOND)
        assert (refused.answer, refused.effects) == ("COMMAND_NOT_VALID", ())


def test_a_confirmation_may_name_the_payment_but_not_rename_it() -> None:
    named = asked(a_payout(status=Status.SENT), C.CONFIRM, provider_ref=ProviderRef("TX-9"), **SECOND)
    assert named.payout.provider_ref == "TX-9"
    known = a_payout(status=Status.SENT, provider_ref=ProviderRef("TX-1"))
    assert asked(known, C.CONFIRM, provider_ref=ProviderRef("TX-9"), **SECOND).payout.provider_ref == "TX-1"


@pytest.mark.parametrize("status", list(Status))
def test_a_note_leaves_everything_but_the_history(status: Status) -> None:
    payout = a_payout(status=status)
    decision = asked(payout, C.NOTE)
    assert decision.noted_as == "NOTE"
    assert decision.payout == replace(payout, version=payout.version + 1)
    assert decision.effects == ()


def test_no_command_calls_or_pauses_a_provider_by_itself() -> None:
    for status in Status:
        for command in Command:
            effects = asked(a_payout(status=status), command, force=True, **SECOND).effects
            assert not any(isinstance(effect, Ask | Submit | PauseProvider) for effect in effects)
