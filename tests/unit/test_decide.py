"""The decision table, row by row, where money hangs on the answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nepxy.engine.capabilities import RepeatedReference
from nepxy.engine.effects import RequestSlot, Submit
from nepxy.engine.events import CancelRequested, DueReached, Event, SlotGranted, Work
from nepxy.engine.outcomes import Finding, OutcomeClass, ReportedTerms
from nepxy.engine.payout import Status
from tests.factories import NOW, THEIRS, a_payout, a_policy, a_reference, answered, decided, reported

OTHER_AMOUNT = ReportedTerms(amount=999)


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (answered(OutcomeClass.CONFIRMED), Status.CONFIRMED),
        (answered(OutcomeClass.UNKNOWN), Status.SENT),
        (answered(OutcomeClass.THROTTLED), Status.SENT),
        (answered(OutcomeClass.THROTTLED, refused_before_processing=True), Status.PENDING),
        (answered(OutcomeClass.NOT_SENT), Status.PENDING),
        (answered(OutcomeClass.BLOCKED), Status.PENDING),
        (answered(OutcomeClass.REJECTED), Status.FAILED),
        (answered(OutcomeClass.REJECTED, retry_with_new_reference=True), Status.PENDING),
        (answered(OutcomeClass.REJECTED, attempt=9), Status.SENT),
        (answered(OutcomeClass.CONFIRMED, terms=OTHER_AMOUNT), Status.REVIEW),
        (reported(Finding.PAID), Status.CONFIRMED),
        (reported(Finding.PAID, trusted=False), Status.SENT),
        (reported(Finding.PAID, terms=OTHER_AMOUNT), Status.REVIEW),
        (reported(Finding.UNPAID), Status.FAILED),
        (reported(Finding.UNPAID, terms=OTHER_AMOUNT), Status.REVIEW),
        (reported(Finding.ABSENT), Status.SENT),
        (reported(Finding.NO_ANSWER), Status.SENT),
        (CancelRequested(), Status.SENT),
    ],
)
def test_what_is_heard_of_a_sent_payout_leads_where_the_money_rules_say(event: Event, status: Status) -> None:
    assert decided(a_payout(status=Status.SENT), event).payout.status is status


def test_a_granted_slot_commits_an_intent_before_anything_is_submitted() -> None:
    decision = decided(a_payout(), SlotGranted(work=Work.SUBMIT))
    assert decision.is_intent
    assert decision.payout.attempt_count == 1
    assert decision.effects == (Submit(reference=a_reference(), attempt=1),)


def test_an_unresolved_attempt_is_not_resent_without_proof_and_ends_in_review() -> None:
    payout = a_payout(status=Status.SENT, in_doubt_since=NOW)
    decision = decided(payout, reported(Finding.ABSENT), now=NOW + timedelta(hours=1))
    assert decision.payout.status is Status.REVIEW
    assert RequestSlot(work=Work.RESEND) not in decision.effects


@pytest.mark.parametrize("repeated", [RepeatedReference.REJECTS, RepeatedReference.REPLAYS])
def test_an_absent_reference_is_resent_where_repeating_is_proven_harmless(
    repeated: RepeatedReference,
) -> None:
    payout = a_payout(status=Status.SENT, in_doubt_since=NOW)
    decision = decided(payout, reported(Finding.ABSENT), policy=a_policy(repeated=repeated))
    assert decision.effects == (RequestSlot(work=Work.RESEND),)


def test_a_payout_sent_through_another_account_is_never_resent() -> None:
    policy = a_policy(repeated=RepeatedReference.REJECTS, account="account-2")
    payout = a_payout(status=Status.SENT, in_doubt_since=NOW)
    assert (
        RequestSlot(work=Work.RESEND) not in decided(payout, reported(Finding.ABSENT), policy=policy).effects
    )
    assert decided(payout, DueReached(), policy=policy).payout.status_reason == "ACCOUNT_CHANGED"


@pytest.mark.parametrize("kind", [OutcomeClass.NOT_SENT, OutcomeClass.REJECTED, OutcomeClass.BLOCKED])
def test_a_refusal_settles_nothing_after_the_provider_had_it_without_a_reference(kind: OutcomeClass) -> None:
    payout = a_payout(status=Status.SENT, attempt_count=2, in_doubt_since=NOW)
    taken = decided(payout, reported(Finding.IN_FLIGHT)).payout
    assert decided(taken, answered(kind, attempt=2)).payout == taken


def test_the_same_answer_twice_never_counts_more_unreached_attempts_than_made() -> None:
    payout = a_payout(status=Status.SENT, in_doubt_since=NOW)
    for _ in range(3):
        payout = decided(payout, answered(OutcomeClass.NOT_SENT)).payout
    assert payout.unreached_count == 1


def test_a_report_in_review_that_teaches_nothing_writes_no_row() -> None:
    payout = a_payout(status=Status.REVIEW, provider_ref=THEIRS)
    assert decided(payout, reported(Finding.IN_FLIGHT, provider_ref=THEIRS)).payout == payout


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_paid_after_the_end_opens_a_discrepancy_and_rewrites_nothing(status: Status) -> None:
    payout = a_payout(status=status)
    decision = decided(payout, reported(Finding.PAID))
    assert decision.payout == payout
    assert decision.discrepancy is not None
