"""The decision table, row by row, where money hangs on the answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nepxy.engine.capabilities import RepeatedReference
from nepxy.engine.decide import STEP_COMMITTED, Evidence, Policy
from nepxy.engine.decide.decision import STEP_REFUSED
from nepxy.engine.effects import Ask, GiveBackSlot, PauseProvider, Postpone, RequestSlot, Submit, WakeAt
from nepxy.engine.events import (
    CancelRequested,
    DueReached,
    Event,
    ProviderRefRefused,
    SlotGranted,
    Source,
    StepReached,
    Work,
)
from nepxy.engine.outcomes import Finding, OutcomeClass, ReportedTerms, Shortfall
from nepxy.engine.payout import Payout, ProviderRef, Status
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
    assert taken.taken_at == NOW
    assert only_noted(taken, answered(kind, attempt=2))


# ---- what the provider has ---------------------------------------------------------------------


@pytest.mark.parametrize("event", [answered(OutcomeClass.ACCEPTED), reported(Finding.IN_FLIGHT)])
def test_what_is_taken_without_a_reference_of_theirs_is_looked_up_by_ours_and_never_resent(
    event: Event,
) -> None:
    taken = decided(a_payout(status=Status.SENT, in_doubt_since=NOW), event).payout
    assert (taken.taken_at, taken.provider_ref, taken.in_doubt_since) == (NOW, None, None)
    replays = a_policy(repeated=RepeatedReference.REPLAYS)
    assert decided(taken, DueReached(), policy=replays).effects == (RequestSlot(work=Work.LOOKUP),)
    # What came later hides the reason, and not the fact.
    doubted = replace(taken, status_reason="IN_DOUBT", in_doubt_since=NOW)
    for policy in (replays, a_policy(repeated=RepeatedReference.REPLAYS, lookup=False)):
        for heard in (DueReached(), reported(Finding.ABSENT), SlotGranted(work=Work.RESEND)):
            decision = decided(doubted, heard, policy=policy, now=NOW + timedelta(hours=1))
            assert RequestSlot(work=Work.RESEND) not in decision.effects
            assert not decision.is_intent


def test_what_is_taken_and_cannot_be_asked_about_waits_for_a_webhook_until_it_expires() -> None:
    deaf = a_policy(lookup=False, status=False)
    payout = a_payout(status=Status.SENT, taken_at=NOW)
    decision = decided(payout, DueReached(), policy=deaf, now=NOW + timedelta(hours=1))
    assert decision.payout == payout
    (postponed,) = decision.effects
    assert isinstance(postponed, Postpone)
    soon = payout.expires_at - timedelta(seconds=5)
    assert decided(payout, DueReached(), policy=deaf, now=soon).effects == (
        Postpone(until=payout.expires_at),
    )
    late = decided(payout, DueReached(), policy=deaf, now=payout.expires_at).payout
    assert (late.status, late.status_reason) == (Status.REVIEW, "OVERDUE")
    paid = decided(late, reported(Finding.PAID, source=Source.WEBHOOK), policy=deaf, now=late.expires_at)
    assert paid.payout.status is Status.CONFIRMED


@pytest.mark.parametrize("finding", [Finding.IN_FLIGHT, Finding.NO_ANSWER])
@pytest.mark.parametrize("known", [{"provider_ref": THEIRS, "taken_at": NOW}, {"taken_at": NOW}])
def test_what_the_provider_has_and_does_not_end_goes_to_a_person_when_it_expires(
    finding: Finding, known: dict[str, Any]
) -> None:
    payout = a_payout(status=Status.SENT, **known)
    early = decided(payout, reported(finding), now=payout.expires_at - timedelta(seconds=1)).payout
    assert early.status is Status.SENT
    late = decided(payout, reported(finding), now=payout.expires_at)
    assert (late.payout.status, late.payout.status_reason) == (Status.REVIEW, "OVERDUE")
    assert "confirm or fail it" in (late.payout.last_error or "")
    # Polling goes on there, moves only the due time, and still settles it.
    asked = decided(late.payout, DueReached(), now=payout.expires_at)
    (slot,) = asked.effects
    assert isinstance(slot, RequestSlot)
    again = decided(late.payout, reported(finding), now=payout.expires_at)
    assert again.payout == late.payout
    assert (
        decided(late.payout, reported(Finding.UNPAID), now=payout.expires_at).payout.status is Status.FAILED
    )


def test_an_account_that_is_not_configured_is_waited_for_only_until_the_payout_expires() -> None:
    nobody = a_policy(account=None)
    payout = a_payout(status=Status.SENT, in_doubt_since=NOW)
    assert decided(payout, DueReached(), policy=nobody, now=NOW + timedelta(hours=1)).payout == payout
    late = decided(payout, DueReached(), policy=nobody, now=payout.expires_at).payout
    assert (late.status, late.status_reason) == (Status.REVIEW, "UNRESOLVED")


def test_absent_contradicts_what_was_taken_a_doubt_first_and_a_persons_matter_after_the_settling_time() -> (
    None
):
    policy = a_policy(repeated=RepeatedReference.REPLAYS)
    payout = a_payout(status=Status.SENT, taken_at=NOW, provider_ref=THEIRS)
    day = NOW + timedelta(hours=24)
    first = decided(payout, reported(Finding.ABSENT, source=Source.POLL), policy=policy, now=day)
    assert (first.payout.status, first.payout.in_doubt_since) == (Status.SENT, day)
    found = decided(first.payout, reported(Finding.IN_FLIGHT), policy=policy, now=day).payout
    assert (found.status_reason, found.in_doubt_since) == ("ACCEPTED_BY_PROVIDER", None)
    soon = decided(first.payout, reported(Finding.ABSENT), policy=policy, now=day + timedelta(minutes=5))
    assert soon.payout == first.payout
    later = decided(first.payout, reported(Finding.ABSENT), policy=policy, now=day + timedelta(minutes=16))
    assert (later.payout.status, later.payout.status_reason) == (Status.REVIEW, "TAKEN_THEN_ABSENT")
    assert later.discrepancy is not None
    for decision in (first, soon, later):
        assert not any(isinstance(effect, RequestSlot) for effect in decision.effects)


def test_a_reference_of_theirs_is_looked_up_by_ours_where_theirs_cannot_be_asked_for() -> None:
    payout = a_payout(status=Status.SENT, provider_ref=THEIRS, taken_at=NOW)
    by_ours = a_policy(status=False)
    assert decided(payout, DueReached(), policy=by_ours).effects == (RequestSlot(work=Work.LOOKUP),)
    assert decided(payout, SlotGranted(work=Work.POLL), policy=by_ours).effects == (Ask(work=Work.LOOKUP),)


def test_an_adopted_payout_is_taken_and_never_resent() -> None:
    replays = a_policy(repeated=RepeatedReference.REPLAYS)
    adopted = decided(a_payout(), reported(Finding.IN_FLIGHT), policy=replays).payout
    assert (adopted.status_reason, adopted.answer_by, adopted.is_taken) == ("ADOPTED", NOW, True)
    for event in (reported(Finding.ABSENT), SlotGranted(work=Work.RESEND), DueReached()):
        doubted = replace(adopted, in_doubt_since=NOW)
        decision = decided(doubted, event, policy=replays, now=NOW + timedelta(hours=1))
        assert RequestSlot(work=Work.RESEND) not in decision.effects
        assert not decision.is_intent


def test_money_taken_back_before_the_end_is_a_persons_matter_and_never_sent_again() -> None:
    replays = a_policy(repeated=RepeatedReference.REPLAYS)
    payout = a_payout(status=Status.SENT, in_doubt_since=NOW)
    decision = decided(payout, reported(Finding.REVERSED), policy=replays)
    assert (decision.payout.status, decision.payout.status_reason) == (Status.REVIEW, "REVERSED")
    assert decision.discrepancy is not None
    assert decision.payout.is_taken


# ---- what must not be repeated -----------------------------------------------------------------


def test_nothing_is_resent_of_which_nobody_knows_until_when_its_answer_may_come() -> None:
    replays = a_policy(repeated=RepeatedReference.REPLAYS)
    payout = a_payout(status=Status.SENT, in_doubt_since=NOW, answer_by=None)
    assert not decided(payout, SlotGranted(work=Work.RESEND), policy=replays).is_intent
    assert decided(replace(payout, answer_by=NOW), SlotGranted(work=Work.RESEND), policy=replays).is_intent


def test_a_duplicate_answer_bars_the_resend_whatever_is_heard_after_it() -> None:
    replays = a_policy(repeated=RepeatedReference.REPLAYS)
    used = answered(OutcomeClass.UNKNOWN, reference_was_used=True)
    payout = decided(a_payout(status=Status.SENT), used, policy=replays).payout
    assert payout.repeat_barred
    later = NOW + timedelta(hours=1)
    silence = decided(payout, answered(OutcomeClass.UNKNOWN), policy=replays, now=later).payout
    assert silence.status_reason == "IN_DOUBT"
    for event in (reported(Finding.ABSENT), SlotGranted(work=Work.RESEND), DueReached()):
        decision = decided(silence, event, policy=replays, now=later)
        assert RequestSlot(work=Work.RESEND) not in decision.effects
        assert not decision.is_intent


def test_a_late_duplicate_answer_of_an_older_attempt_bars_the_resend_too() -> None:
    payout = a_payout(status=Status.SENT, attempt_count=2, in_doubt_since=NOW)
    heard = decided(payout, answered(OutcomeClass.UNKNOWN, attempt=1, reference_was_used=True)).payout
    assert (heard.repeat_barred, heard.in_doubt_since) == (True, NOW)


def test_what_was_known_of_a_reference_ends_with_its_generation() -> None:
    payout = a_payout(
        status=Status.SENT, taken_at=NOW, provider_ref=THEIRS, in_doubt_since=NOW, repeat_barred=True
    )
    renewed = decided(payout, reported(Finding.UNPAID, retry_with_new_reference=True)).payout
    assert renewed.generation == 1
    assert (renewed.taken_at, renewed.repeat_barred, renewed.provider_ref) == (None, False, None)


RESENT: dict[str, Any] = {
    "status": Status.SENT,
    "attempt_count": 2,
    "in_doubt_since": NOW - timedelta(minutes=5),
}


@pytest.mark.parametrize("repeated", [RepeatedReference.REJECTS, RepeatedReference.REPLAYS])
def test_a_refused_repeat_says_nothing_of_the_earlier_attempt_which_is_looked_up(
    repeated: RepeatedReference,
) -> None:
    # Found by the simulation (seed 829 of its day): the earlier request was still on its way, arrived, and was paid.
    policy = a_policy(repeated=repeated)
    after = decided(a_payout(**RESENT), answered(OutcomeClass.REJECTED, attempt=2), policy=policy).payout
    assert (after.status, after.status_reason) == (Status.SENT, "REPEAT_REFUSED")
    assert after.repeat_barred
    assert after.in_doubt_since == RESENT["in_doubt_since"]
    due = decided(after, DueReached(), policy=policy, now=NOW + timedelta(minutes=2))
    assert due.effects == (RequestSlot(work=Work.LOOKUP),)
    absent = reported(Finding.ABSENT, attempt=2)
    early = decided(after, absent, policy=policy, now=NOW + timedelta(minutes=2))
    assert early.payout == after
    assert RequestSlot(work=Work.RESEND) not in early.effects
    late = decided(after, absent, policy=policy, now=NOW + timedelta(hours=1)).payout
    assert (late.status, late.status_reason) == (Status.REVIEW, "ABSENT_UNPROVEN")


def test_a_refused_repeat_that_cannot_be_looked_up_goes_to_a_person() -> None:
    policy = a_policy(repeated=RepeatedReference.REJECTS, lookup=False)
    after = decided(a_payout(**RESENT), answered(OutcomeClass.REJECTED, attempt=2), policy=policy).payout
    assert (after.status, after.status_reason) == (Status.REVIEW, "FAILURE_BESIDE_UNRESOLVED")


# ---- evidence speaks of its own attempt --------------------------------------------------------


@pytest.mark.parametrize("finding", [Finding.ABSENT, Finding.NO_ANSWER, Finding.UNPAID])
@pytest.mark.parametrize("of", [{"attempt": 1}, {"reference": a_reference(1)}], ids=["attempt", "reference"])
def test_what_is_negative_of_an_older_attempt_settles_nothing_and_is_asked_again(
    finding: Finding, of: dict[str, Any]
) -> None:
    policy = a_policy(repeated=RepeatedReference.REPLAYS)
    payout = a_payout(**RESENT)
    for now in (NOW, payout.expires_at):
        decision = decided(payout, reported(finding, **({"attempt": 2} | of)), policy=policy, now=now)
        assert decision.payout == payout
        assert not any(isinstance(effect, RequestSlot) for effect in decision.effects)


def test_absent_in_a_webhook_answers_no_question_and_settles_nothing() -> None:
    for policy in (a_policy(), a_policy(repeated=RepeatedReference.REPLAYS)):
        unasked = reported(Finding.ABSENT, source=Source.WEBHOOK)
        decision = decided(a_payout(**RESENT), unasked, policy=policy, now=NOW + timedelta(hours=1))
        assert decision.payout == a_payout(**RESENT)
        assert not any(isinstance(effect, RequestSlot) for effect in decision.effects)


def test_an_outdated_report_does_not_put_off_the_look_at_an_answer_that_may_still_come() -> None:
    payout = a_payout(**RESENT | {"answer_by": NOW + timedelta(seconds=20)})
    assert decided(payout, reported(Finding.ABSENT, attempt=1)).effects == ()


@pytest.mark.parametrize(
    ("finding", "status"), [(Finding.PAID, Status.CONFIRMED), (Finding.IN_FLIGHT, Status.SENT)]
)
def test_that_the_provider_has_it_is_taken_whatever_the_attempt(finding: Finding, status: Status) -> None:
    after = decided(a_payout(**RESENT), reported(finding, attempt=1)).payout
    assert (after.status, after.is_taken) == (status, True)


@pytest.mark.parametrize("attempt", [None, 1])
def test_evidence_names_the_attempt_that_was_asked_about(attempt: int | None) -> None:
    decision = decided(a_payout(**RESENT), reported(Finding.PAID, attempt=attempt))
    assert decision.evidence is not None
    assert decision.evidence.attempt == attempt


def test_nobody_looks_up_before_the_attempts_own_answer_may_have_come() -> None:
    payout = a_payout(status=Status.SENT, answer_by=NOW + timedelta(seconds=20))
    hint = reported(Finding.PAID, trusted=False, source=Source.WEBHOOK)
    wake = WakeAt(at=NOW + timedelta(seconds=20))
    assert decided(payout, hint).effects == (wake,)
    assert decided(payout, DueReached()).effects == (wake,)
    assert decided(payout, SlotGranted(work=Work.LOOKUP)).effects == (GiveBackSlot(),)


# ---- webhooks ----------------------------------------------------------------------------------


RENEWING: dict[str, Any] = {"source": Source.WEBHOOK, "retry_with_new_reference": True}


@pytest.mark.parametrize(
    ("known", "policy", "asked"),
    [
        ({"provider_ref": THEIRS}, a_policy(lookup=False), Work.POLL),
        ({"provider_ref": THEIRS, "taken_at": NOW}, a_policy(), Work.POLL),
        ({"provider_ref": THEIRS}, a_policy(), Work.LOOKUP),
        ({}, a_policy(), Work.LOOKUP),
        ({"provider_ref": THEIRS}, a_policy(status=False), Work.LOOKUP),
    ],
)
def test_a_webhook_alone_makes_no_new_reference_where_the_provider_can_be_asked(
    known: dict[str, Any], policy: Policy, asked: Work
) -> None:
    payout = a_payout(status=Status.SENT, **known)
    decision = decided(payout, reported(Finding.UNPAID, **RENEWING), policy=policy)
    assert decision.payout == payout
    assert decision.effects == (RequestSlot(work=asked),)
    heard = reported(Finding.UNPAID, source=Source.POLL, attempt=1, retry_with_new_reference=True)
    assert decided(payout, heard, policy=policy).payout.generation == 1


def test_a_signed_webhook_counts_where_nobody_can_be_asked() -> None:
    deaf = a_policy(lookup=False, status=False)
    payout = a_payout(status=Status.SENT, provider_ref=THEIRS)
    assert decided(payout, reported(Finding.UNPAID, **RENEWING), policy=deaf).payout.generation == 1


def test_a_plain_unpaid_webhook_settles_at_once() -> None:
    payout = a_payout(status=Status.SENT, provider_ref=THEIRS)
    after = decided(payout, reported(Finding.UNPAID, source=Source.WEBHOOK)).payout
    assert after.status is Status.FAILED


# ---- places ------------------------------------------------------------------------------------


def test_a_place_that_comes_before_the_next_try_is_due_is_given_back() -> None:
    waiting = a_payout(attempt_count=1, unreached_count=1, next_retry_at=NOW + timedelta(minutes=1))
    assert decided(waiting, SlotGranted(work=Work.SUBMIT)).effects == (
        GiveBackSlot(),
        WakeAt(at=NOW + timedelta(minutes=1)),
    )
    first = a_payout(next_retry_at=NOW + timedelta(minutes=1))
    assert decided(first, SlotGranted(work=Work.SUBMIT)).is_intent


# ---- a provider reference that another payout has ----------------------------------------------


REFUSED = ProviderRefRefused(
    provider_ref=THEIRS, evidence=Evidence(source="submit", reference=a_reference(), provider_ref=THEIRS)
)


@pytest.mark.parametrize("status", [Status.PENDING, Status.SENT, Status.REVIEW])
def test_a_reference_that_another_payout_has_is_a_persons_matter_and_is_said_once(status: Status) -> None:
    decision = decided(a_payout(status=status), REFUSED)
    held = decision.payout
    assert (held.status, held.status_reason, held.provider_ref) == (Status.REVIEW, "PROVIDER_REF_TAKEN", None)
    assert decision.evidence == REFUSED.evidence
    assert decision.discrepancy is not None
    # Nothing that comes with the same reference is written again and refused again.
    assert decided(held, REFUSED).payout == held
    for finding in (Finding.PAID, Finding.IN_FLIGHT, Finding.UNPAID):
        assert decided(held, reported(finding, provider_ref=THEIRS)).payout == held


# ---- submits of several writes -----------------------------------------------------------------


REJECTS = a_policy(repeated=RepeatedReference.REJECTS)


def a_step(
    step: str = "CONFIRMING", *, attempt: int = 1, generation: int = 0, named: Any = None
) -> StepReached:
    return StepReached(reference=a_reference(generation), attempt=attempt, step=step, provider_ref=named)


def test_a_step_is_committed_with_what_the_provider_calls_it_and_moves_the_time_of_its_answer() -> None:
    payout = a_payout(status=Status.SENT, answer_by=NOW + timedelta(seconds=3))
    decision = decided(payout, a_step(named=THEIRS))
    after = decision.payout
    assert (after.status, after.status_reason, decision.step) == (
        Status.SENT,
        "STEP_CONFIRMING",
        "CONFIRMING",
    )
    assert (after.provider_ref, after.taken_at, after.is_unresolved) == (THEIRS, None, True)
    assert after.answer_by == after.next_retry_at == NOW + timedelta(seconds=30)
    assert (decision.answer, after.attempt_count) == (STEP_COMMITTED, 1)
    assert decision.evidence is not None
    assert (decision.evidence.attempt, decision.evidence.provider_ref) == (1, THEIRS)


@pytest.mark.parametrize(
    ("payout", "step"),
    [
        (a_payout(), a_step()),
        (a_payout(status=Status.REVIEW), a_step()),
        (a_payout(status=Status.CONFIRMED), a_step()),
        (a_payout(status=Status.CANCELLED), a_step()),
        (a_payout(status=Status.SENT, attempt_count=2), a_step()),
        (a_payout(status=Status.SENT, generation=1), a_step()),
        (a_payout(status=Status.SENT, taken_at=NOW), a_step()),
        (a_payout(status=Status.SENT, account="account-2"), a_step()),
    ],
    ids=[
        "pending",
        "review",
        "confirmed",
        "cancelled",
        "older attempt",
        "older reference",
        "taken",
        "account",
    ],
)
def test_a_step_is_refused_where_anything_else_is_known(payout: Payout, step: StepReached) -> None:
    decision = decided(payout, step)
    assert (decision.payout, decision.answer, decision.effects) == (payout, STEP_REFUSED, ())


def test_a_step_with_another_name_than_the_one_known_is_refused_and_told() -> None:
    payout = a_payout(status=Status.SENT, provider_ref=THEIRS)
    decision = decided(payout, a_step(named=ProviderRef("another")))
    assert (decision.payout, decision.answer) == (payout, STEP_REFUSED)
    assert decision.discrepancy is not None
    assert decision.discrepancy.kind == "PROVIDER_REF_DIFFERS"
    assert decided(payout, a_step(named=THEIRS)).answer == STEP_COMMITTED


def test_a_name_of_theirs_alone_does_not_mean_that_it_was_taken() -> None:
    payout = a_payout(status=Status.SENT, provider_ref=THEIRS)
    lost = decided(payout, DueReached(), policy=REJECTS)
    assert (lost.payout.status_reason, lost.payout.in_doubt_since) == ("ANSWER_LOST", NOW)
    # By our reference first: theirs may be one of two.
    assert decided(lost.payout, DueReached(), policy=REJECTS).effects == (RequestSlot(work=Work.LOOKUP),)
    refused = decided(payout, answered(OutcomeClass.REJECTED)).payout
    assert refused.status is Status.FAILED


@pytest.mark.parametrize("finding", [Finding.UNFINISHED, Finding.ABSENT])
def test_what_was_begun_and_not_finished_is_sent_again_only_where_repeating_is_proven_harmless(
    finding: Finding,
) -> None:
    payout = a_payout(status=Status.SENT, provider_ref=THEIRS, in_doubt_since=NOW)
    assert decided(payout, reported(finding, attempt=1), policy=REJECTS).effects == (
        RequestSlot(work=Work.RESEND),
    )
    begun = decided(payout, SlotGranted(work=Work.RESEND), policy=REJECTS)
    assert begun.is_intent
    assert begun.payout.provider_ref == THEIRS
    careful = decided(payout, reported(finding, attempt=1), now=NOW + timedelta(hours=1)).payout
    assert careful.status is Status.REVIEW
    assert careful.status_reason == {"UNFINISHED": "UNFINISHED", "ABSENT": "ABSENT_UNPROVEN"}[finding.value]


def test_unfinished_proves_nothing_by_itself() -> None:
    taken = a_payout(status=Status.SENT, taken_at=NOW, in_doubt_since=NOW)
    for payout in (taken, a_payout(status=Status.CONFIRMED), a_payout()):
        decision = decided(payout, reported(Finding.UNFINISHED), policy=REJECTS)
        assert decision.payout == payout
        assert RequestSlot(work=Work.RESEND) not in decision.effects
    unasked = reported(Finding.UNFINISHED, source=Source.WEBHOOK)
    doubtful = a_payout(status=Status.SENT, in_doubt_since=NOW)
    assert RequestSlot(work=Work.RESEND) not in decided(doubtful, unasked, policy=REJECTS).effects


def test_what_was_begun_with_other_terms_is_never_finished() -> None:
    payout = a_payout(status=Status.SENT, provider_ref=THEIRS, in_doubt_since=NOW)
    decision = decided(payout, reported(Finding.UNFINISHED, terms=OTHER_AMOUNT), policy=REJECTS)
    assert (decision.payout.status, decision.payout.status_reason) == (Status.REVIEW, "TERMS_DIFFER")


def test_what_goes_back_keeps_no_name_of_theirs_and_keeps_its_reference() -> None:
    payout = a_payout(status=Status.SENT, provider_ref=THEIRS)
    back = decided(payout, answered(OutcomeClass.BLOCKED)).payout
    assert (back.status, back.provider_ref) == (Status.PENDING, None)
    assert back.submission_ref == payout.submission_ref


def test_what_is_in_flight_under_another_name_than_a_step_told_is_taken_all_the_same() -> None:
    payout = a_payout(status=Status.SENT, provider_ref=THEIRS, in_doubt_since=NOW)
    decision = decided(
        payout, reported(Finding.IN_FLIGHT, provider_ref=ProviderRef("another")), policy=REJECTS
    )
    assert (decision.payout.taken_at, decision.payout.provider_ref) == (NOW, THEIRS)
    assert decision.discrepancy is not None


# ---- for want of money of ours -----------------------------------------------------------------


SHORT = Shortfall(amount=1000, currency="XOF")


def test_a_refusal_for_want_of_balance_pauses_the_provider_and_says_how_much_is_wanted() -> None:
    blocked = answered(OutcomeClass.BLOCKED, reason="NOT_ENOUGH_FUNDS", shortfall=SHORT)
    decision = decided(a_payout(status=Status.SENT), blocked)
    assert decision.payout.status is Status.PENDING
    assert PauseProvider(reason="NOT_ENOUGH_FUNDS", shortfall=SHORT) in decision.effects


def test_an_end_unpaid_for_want_of_balance_pauses_and_tries_again_without_using_up_a_try() -> None:
    tired = a_payout(status=Status.SENT, attempt_count=5, taken_at=NOW)
    short: dict[str, Any] = {"reason": "NOT_ENOUGH_FUNDS", "blocks_provider": True, "shortfall": SHORT}
    heard = reported(Finding.UNPAID, attempt=5, retry_with_new_reference=True, **short)
    decision = decided(tired, heard)
    after = decision.payout
    assert (after.status, after.generation, after.counted_attempts) == (Status.PENDING, 1, 4)
    assert decision.effects[0] == PauseProvider(reason="NOT_ENOUGH_FUNDS", shortfall=SHORT)
    # The same fact without that word is the payout's own matter, and its tries are used up.
    plain = decided(tired, reported(Finding.UNPAID, attempt=5, retry_with_new_reference=True))
    assert plain.payout.status is Status.FAILED
    assert not any(isinstance(effect, PauseProvider) for effect in plain.effects)


def test_an_end_unpaid_that_blocks_and_is_final_pauses_all_the_same() -> None:
    decision = decided(a_payout(status=Status.SENT), reported(Finding.UNPAID, blocks_provider=True))
    assert decision.payout.status is Status.FAILED
    assert decision.effects[0] == PauseProvider(reason="CODE")


def test_a_webhook_that_blocks_is_asked_about_before_anything_follows() -> None:
    told = reported(
        Finding.UNPAID, source=Source.WEBHOOK, retry_with_new_reference=True, blocks_provider=True
    )
    decision = decided(a_payout(status=Status.SENT), told)
    assert decision.effects == (RequestSlot(work=Work.LOOKUP),)


# ---- facts that settle nothing are kept --------------------------------------------------------


def only_noted(payout: Payout, event: Event) -> bool:
    """A row in the history, and nothing else changed."""
    decision = decided(payout, event)
    noted = replace(payout, version=payout.version + 1)
    return decision.payout == noted and decision.evidence is not None and decision.noted_as == "LATE_ANSWER"


@pytest.mark.parametrize("kind", [kind for kind in OutcomeClass if kind not in ("ACCEPTED", "CONFIRMED")])
@pytest.mark.parametrize(
    ("payout", "event"),
    [
        (a_payout(**RESENT | {"status": Status.REVIEW}), {"attempt": 2}),
        (a_payout(**RESENT), {"attempt": 1}),
        (a_payout(**RESENT, generation=1), {"attempt": 2, "reference": a_reference()}),
        (a_payout(attempt_count=1, generation=1), {"reference": a_reference()}),
    ],
    ids=["in review", "older attempt", "older reference", "pending again"],
)
def test_a_negative_answer_that_settles_nothing_leaves_its_row(
    kind: OutcomeClass, payout: Payout, event: dict[str, Any]
) -> None:
    assert only_noted(payout, answered(kind, **event))


def test_a_late_refusal_of_the_only_attempt_ever_made_ends_a_review() -> None:
    payout = a_payout(status=Status.REVIEW, status_reason="UNRESOLVED")
    assert decided(payout, answered(OutcomeClass.REJECTED)).payout.status is Status.FAILED
    others: tuple[dict[str, Any], ...] = (
        {"attempt_count": 2},
        {"taken_at": NOW},
        {"repeat_barred": True},
        {"status_reason": "OLDER_REFERENCE_PAID"},
        {"status_reason": "FAILURE_BESIDE_UNRESOLVED"},
    )
    for other in others:
        resolved = answered(OutcomeClass.REJECTED, attempt=2 if "attempt_count" in other else 1)
        assert only_noted(replace(payout, **other), resolved)


def test_a_late_refusal_still_pauses_the_provider() -> None:
    late = decided(a_payout(**RESENT), answered(OutcomeClass.BLOCKED, attempt=1, reason="HTTP_403"))
    assert PauseProvider(reason="HTTP_403") in late.effects


def test_a_refusal_after_the_provider_paid_is_a_contradiction_that_alerts() -> None:
    payout = a_payout(status=Status.CONFIRMED)
    decision = decided(payout, answered(OutcomeClass.REJECTED))
    assert decision.payout == payout
    assert decision.discrepancy is not None
    assert decision.discrepancy.kind == "UNPAID_AFTER_CONFIRMED"


# ---- what an operator reads --------------------------------------------------------------------


def test_an_expired_payout_does_not_say_that_it_is_tried_again() -> None:
    back = decided(a_payout(status=Status.SENT), answered(OutcomeClass.NOT_SENT, reason="REFUSED")).payout
    assert back.last_error == "Nothing was sent (REFUSED); it is tried again by itself."
    expired = decided(back, DueReached(), now=back.expires_at).payout
    assert (expired.last_error or "").endswith("Last problem: Nothing was sent (REFUSED).")
    sent = a_payout(status=Status.SENT, expires_at=NOW, last_error="Attempt 1 is under way.")
    at_once = decided(sent, answered(OutcomeClass.NOT_SENT, reason="REFUSED")).payout
    assert (at_once.status, at_once.last_error) == (Status.FAILED, expired.last_error)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (a_policy(), "being looked into"),
        (a_policy(lookup=False, repeated=RepeatedReference.REPLAYS), "sent again under the same reference"),
        (a_policy(lookup=False), "a person must look"),
    ],
)
def test_a_doubt_says_what_this_provider_lets_the_engine_do_about_it(policy: Policy, said: str) -> None:
    doubtful = decided(a_payout(status=Status.SENT), answered(OutcomeClass.UNKNOWN), policy=policy).payout
    assert said in (doubtful.last_error or "")


def test_an_attempt_that_follows_a_failed_one_says_that_it_is_under_way() -> None:
    waiting = a_payout(attempt_count=1, unreached_count=1, last_error="Nothing was sent; it is tried again.")
    begun = decided(waiting, SlotGranted(work=Work.SUBMIT)).payout
    assert begun.last_error == "Attempt 2 is under way; its answer is waited for."


def test_what_is_found_after_all_no_longer_says_that_nobody_knows() -> None:
    payout = a_payout(status=Status.REVIEW, status_reason="UNRESOLVED", last_error="Nobody can say; confirm.")
    found = decided(payout, reported(Finding.IN_FLIGHT)).payout
    assert (found.status, found.taken_at) == (Status.REVIEW, NOW)
    assert "The provider has it after all" in (found.last_error or "")


# ---- and the rest ------------------------------------------------------------------------------


def test_the_same_answer_twice_never_counts_more_unreached_attempts_than_made() -> None:
    payout = a_payout(status=Status.SENT, in_doubt_since=NOW)
    for _ in range(3):
        payout = decided(payout, answered(OutcomeClass.NOT_SENT)).payout
    assert payout.unreached_count == 1


def test_a_report_in_review_that_teaches_nothing_writes_no_row() -> None:
    payout = a_payout(status=Status.REVIEW, provider_ref=THEIRS, taken_at=NOW)
    assert decided(payout, reported(Finding.IN_FLIGHT, provider_ref=THEIRS)).payout == payout


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_paid_after_the_end_opens_a_discrepancy_and_rewrites_nothing(status: Status) -> None:
    payout = a_payout(status=status)
    decision = decided(payout, reported(Finding.PAID))
    assert decision.payout == payout
    assert decision.discrepancy is not None


# ---- names -------------------------------------------------------------------------------------


def test_our_own_reference_given_back_is_no_name_of_theirs_and_the_real_one_is_learned() -> None:
    echoed = a_payout(status=Status.SENT, taken_at=NOW)
    echoed = replace(echoed, provider_ref=ProviderRef(echoed.submission_ref))
    in_flight = decided(echoed, reported(Finding.IN_FLIGHT, provider_ref=THEIRS))
    assert (in_flight.payout.provider_ref, in_flight.discrepancy) == (THEIRS, None)
    paid = decided(echoed, reported(Finding.PAID, provider_ref=THEIRS))
    assert (paid.payout.status, paid.payout.provider_ref, paid.discrepancy) == (
        Status.CONFIRMED,
        THEIRS,
        None,
    )
    assert decided(echoed, reported(Finding.UNPAID, provider_ref=THEIRS)).payout.status is Status.FAILED


@pytest.mark.parametrize("finding", [Finding.IN_FLIGHT, Finding.UNPAID])
def test_a_second_name_does_not_keep_a_payout_sent_for_ever(finding: Finding) -> None:
    payout = a_payout(status=Status.SENT, taken_at=NOW, provider_ref=THEIRS)
    other = reported(finding, provider_ref=ProviderRef("another"))
    before = decided(payout, other)
    assert before.payout == payout
    assert before.discrepancy is not None
    after = decided(payout, other, now=payout.expires_at)
    assert (after.payout.status, after.payout.status_reason) == (Status.REVIEW, "OVERDUE")
    assert after.discrepancy is not None


def test_a_name_that_comes_after_the_end_is_learned_and_a_second_one_is_a_discrepancy() -> None:
    confirmed = decided(a_payout(status=Status.SENT), reported(Finding.PAID)).payout
    assert confirmed.provider_ref is None
    late = decided(confirmed, answered(OutcomeClass.ACCEPTED, provider_ref=THEIRS))
    assert (late.payout.status, late.payout.provider_ref) == (Status.CONFIRMED, THEIRS)
    assert late.noted_as == "NAME_LEARNED"
    again = decided(late.payout, reported(Finding.PAID, provider_ref=ProviderRef("another")))
    assert again.payout == late.payout
    assert again.discrepancy is not None
    assert again.discrepancy.kind == "PROVIDER_REF_DIFFERS"


def test_an_unpaid_webhook_that_may_speak_of_an_earlier_attempt_is_asked_about_and_fails_nothing() -> None:
    second = a_payout(status=Status.SENT, attempt_count=2, unreached_count=1)
    webhook = reported(Finding.UNPAID, source=Source.WEBHOOK, attempt=None)
    decision = decided(second, webhook)
    assert (decision.payout.status, decision.noted_as) == (Status.SENT, "UNPAID_UNPLACED")
    assert decision.evidence is not None
    only = a_payout(status=Status.SENT)
    assert decided(only, webhook).payout.status is Status.FAILED
    taken = replace(second, taken_at=NOW)
    assert decided(taken, webhook).payout.status is Status.FAILED


def test_a_payout_long_past_its_time_needs_no_place_at_a_dead_provider_to_leave_sent() -> None:
    payout = a_payout(status=Status.SENT, taken_at=NOW, provider_ref=THEIRS)
    grace = timedelta(seconds=a_policy().retry.poll_cap_s)
    assert decided(payout, DueReached(), now=payout.expires_at).payout.status is Status.SENT
    late = decided(payout, DueReached(), now=payout.expires_at + grace).payout
    assert (late.status, late.status_reason) == (Status.REVIEW, "OVERDUE")


ENDED: dict[Status, dict[str, Any]] = {
    status: {"status": status, "settled_at": NOW, "taken_at": NOW, "attempt_count": 1}
    for status in (Status.CONFIRMED, Status.FAILED)
}


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        (Status.CONFIRMED, Finding.UNPAID),
        (Status.CONFIRMED, Finding.REVERSED),
        (Status.FAILED, Finding.PAID),
        (Status.FAILED, Finding.IN_FLIGHT),
        (Status.FAILED, Finding.NO_ANSWER),
    ],
)
def test_a_hint_that_the_end_was_not_the_end_is_asked_about_and_moves_nothing(
    status: Status, finding: Finding
) -> None:
    payout = a_payout(**ENDED[status])
    hint = reported(finding, trusted=False, source=Source.WEBHOOK)
    decision = decided(payout, hint)
    assert decision.payout is payout
    assert decision.effects == (RequestSlot(work=Work.LOOKUP),)
    granted = decided(payout, SlotGranted(work=Work.LOOKUP))
    assert granted.effects == (Ask(work=Work.LOOKUP),)
    # Where nobody can be asked, or at another account than its own, it is not.
    assert decided(payout, hint, policy=a_policy(lookup=False, status=False)).effects == ()
    assert decided(payout, hint, policy=a_policy(account="another")).effects == ()
    assert decided(payout, replace(hint, reference=a_reference(9))).effects == ()


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        (Status.CONFIRMED, Finding.PAID),
        (Status.CONFIRMED, Finding.IN_FLIGHT),
        (Status.CONFIRMED, Finding.NO_ANSWER),
        (Status.FAILED, Finding.UNPAID),
    ],
)
def test_a_hint_that_agrees_with_the_end_costs_no_question(status: Status, finding: Finding) -> None:
    payout = a_payout(**ENDED[status])
    assert decided(payout, reported(finding, trusted=False, source=Source.WEBHOOK)).effects == ()


@pytest.mark.parametrize(
    ("status", "finding", "kind"),
    [
        (Status.CONFIRMED, Finding.REVERSED, "REVERSED"),
        (Status.CONFIRMED, Finding.UNPAID, "UNPAID_AFTER_CONFIRMED"),
        (Status.FAILED, Finding.PAID, "PAID_AFTER_FAILED"),
        (Status.CONFIRMED, Finding.PAID, None),
        (Status.FAILED, Finding.NO_ANSWER, None),
        (Status.FAILED, Finding.ABSENT, None),
    ],
)
def test_what_is_answered_about_an_end_opens_a_discrepancy_where_it_contradicts(
    status: Status, finding: Finding, kind: str | None
) -> None:
    payout = a_payout(**ENDED[status])
    decision = decided(payout, reported(finding, attempt=1))
    assert decision.payout is payout
    assert (decision.discrepancy.kind if decision.discrepancy else None) == kind
    assert decision.effects == ()
