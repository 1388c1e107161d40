"""The money rules hold under any sequence of events, for every kind of provider."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nepxy.engine.capabilities import RepeatedReference
from nepxy.engine.decide import Decision, Policy
from nepxy.engine.effects import Ask, RequestSlot, Submit
from nepxy.engine.events import (
    CancelRequested,
    CrashedTooOften,
    DueReached,
    Event,
    IntentRefused,
    SlotGranted,
    Source,
    StatusReported,
    SubmitAnswered,
    Work,
)
from nepxy.engine.outcomes import NO_TERMS, Finding, Outcome, OutcomeClass, ReportedTerms, StatusReport
from nepxy.engine.payout import MOVES, Payout, ProviderRef, Status
from tests.factories import ACCOUNT, NOW, THEIRS, a_payout, a_policy, a_reference, answered, decided, reported

POLICIES = tuple(
    a_policy(repeated=repeated, lookup=lookup, account=account)
    for repeated, lookup, account in product(RepeatedReference, (True, False), (ACCOUNT, "account-2", None))
)
TERMS = (NO_TERMS, ReportedTerms(amount=1000, currency="XOF"), ReportedTerms(amount=999))
REFS = (None, THEIRS, ProviderRef("another"))
STEPS_S = (0, 1, 31, 600, 3600, 90_000)
PROVEN_UNSENT = (OutcomeClass.NOT_SENT, OutcomeClass.BLOCKED, OutcomeClass.THROTTLED)

outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(OutcomeClass),
    reason=st.just("CODE"),
    provider_ref=st.sampled_from(REFS),
    refused_before_processing=st.booleans(),
    retry_with_new_reference=st.booleans(),
    reference_was_used=st.booleans(),
    terms=st.sampled_from(TERMS),
)
reports = st.builds(
    StatusReport,
    finding=st.sampled_from(Finding),
    reason=st.just("CODE"),
    provider_ref=st.sampled_from(REFS),
    retry_with_new_reference=st.booleans(),
    terms=st.sampled_from(TERMS),
)


def events(payout: Payout) -> st.SearchStrategy[Event]:
    """Any event, about this generation or an older one, this attempt or an older one."""
    references = st.integers(0, payout.generation).map(a_reference) | st.just(payout.submission_ref)
    attempts = st.integers(1, max(1, payout.attempt_count)) | st.just(payout.attempt_count)
    return st.one_of(
        st.just(DueReached()),
        st.builds(SlotGranted, work=st.sampled_from(Work)),
        st.sampled_from([IntentRefused(reason="EXPIRED"), IntentRefused(reason="PAUSED")]),
        st.builds(SubmitAnswered, reference=references, attempt=attempts, outcome=outcomes),
        st.builds(
            StatusReported,
            source=st.sampled_from(Source),
            reference=references,
            report=reports,
            trusted=st.booleans(),
        ),
        st.just(CrashedTooOften(detail="boom")),
        st.just(CancelRequested()),
    )


def proves_failure(event: Event) -> bool:
    match event:
        case StatusReported(report=report, trusted=trusted):
            return trusted and report.finding is Finding.UNPAID
        case SubmitAnswered(outcome=outcome):
            return outcome.kind is OutcomeClass.REJECTED
        case _:
            return False


def terms_of(event: Event) -> ReportedTerms:
    match event:
        case StatusReported(report=report):
            return report.terms
        case SubmitAnswered(outcome=outcome):
            return outcome.terms
        case _:
            return NO_TERMS


def hold_the_rules(before: Payout, event: Event, decision: Decision, policy: Policy, at_s: float) -> None:
    """Every money rule that one decision can break."""
    after, now = decision.payout, NOW + timedelta(seconds=at_s)
    after.check()
    moved = after != before
    if moved:
        assert after.status in MOVES[before.status]
        assert after.version == before.version + 1
        assert decision.evidence is not None, "a transition without evidence"
    if before.status.is_final:
        assert not moved
    if isinstance(event, StatusReported) and not event.trusted:
        assert not moved
        assert decision.discrepancy is None

    for effect in decision.effects:
        repeats = (isinstance(effect, RequestSlot) and effect.work is Work.RESEND) or (
            isinstance(effect, Submit) and before.status is not Status.PENDING
        )
        if repeats:
            assert policy.capabilities.resend_allowed
            assert before.answer_by is None or now >= before.answer_by
            assert before.provider_ref is None
        if isinstance(effect, Submit):
            assert decision.is_intent
            assert after.status is Status.SENT
            assert after.attempt_count == before.attempt_count + 1
            assert effect.reference == after.submission_ref == before.submission_ref
            assert after.account == policy.account
        if isinstance(effect, Ask) or repeats:
            assert before.account == policy.account, "rule 10: asked through another account"

    assert after.generation in (before.generation, before.generation + 1)
    assert (after.generation == before.generation) == (after.submission_ref == before.submission_ref)
    if after.generation > before.generation:
        assert proves_failure(event)
        assert before.status is Status.SENT
        assert after.status is Status.PENDING
        retry = event.outcome if isinstance(event, SubmitAnswered) else None
        retry_report = event.report if isinstance(event, StatusReported) else None
        assert (retry or retry_report) is not None
        assert (retry is not None and retry.retry_with_new_reference) or (
            retry_report is not None and retry_report.retry_with_new_reference
        )

    became = after.status if after.status is not before.status else None
    if became is Status.FAILED and before.status is not Status.PENDING:
        unsent = isinstance(event, SubmitAnswered) and event.outcome.kind in PROVEN_UNSENT
        assert proves_failure(event) or unsent
    if became in (Status.FAILED, Status.PENDING) and before.status is not Status.PENDING:
        taken = before.provider_ref is not None or before.status_reason == "ACCEPTED_BY_PROVIDER"
        assert not (taken and isinstance(event, SubmitAnswered)), "refused, after the provider had it"
        if isinstance(event, SubmitAnswered):
            assert event.outcome.kind is not OutcomeClass.UNKNOWN
            assert before.in_doubt_since is None, "an earlier attempt is unresolved"
            assert event.reference == before.submission_ref
            assert event.attempt == before.attempt_count
            if event.outcome.kind is OutcomeClass.THROTTLED:
                assert event.outcome.refused_before_processing
        else:
            assert terms_of(event).amount in (None, before.amount)
    if became is Status.PENDING and before.in_doubt_since is not None:
        assert proves_failure(event)
        assert after.generation == before.generation + 1
    if became is Status.CONFIRMED:
        assert terms_of(event).amount in (None, before.amount)
        assert isinstance(event, StatusReported | SubmitAnswered)
        assert event.reference == before.submission_ref
    if became is Status.CANCELLED:
        assert isinstance(event, CancelRequested)
        assert before.status is Status.PENDING
    if before.provider_ref is not None and after.generation == before.generation:
        assert after.provider_ref == before.provider_ref


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_sequence_of_events_breaks_a_money_rule(data: st.DataObject) -> None:
    payout, at_s = a_payout(), 0
    policy = data.draw(st.sampled_from(POLICIES))
    opening: list[Event] = [SlotGranted(work=Work.SUBMIT)] if data.draw(st.booleans()) else []
    for _ in range(data.draw(st.integers(1, 15))):
        at_s += data.draw(st.sampled_from(STEPS_S))
        event = opening.pop() if opening else data.draw(events(payout))
        if data.draw(st.integers(0, 9)) == 0:
            policy = data.draw(st.sampled_from(POLICIES))
        decision = decided(payout, event, policy=policy, now=NOW + timedelta(seconds=at_s))
        hold_the_rules(payout, event, decision, policy, at_s)
        payout = decision.payout


ONE_OF_EACH: tuple[Event, ...] = (
    DueReached(),
    *(SlotGranted(work=work) for work in Work),
    IntentRefused(reason="EXPIRED"),
    IntentRefused(reason="PAUSED"),
    *(answered(kind) for kind in OutcomeClass),
    *(answered(kind, provider_ref=THEIRS, terms=TERMS[2]) for kind in OutcomeClass),
    *(answered(kind, retry_with_new_reference=True) for kind in OutcomeClass),
    *(reported(finding, trusted=trusted) for finding in Finding for trusted in (True, False)),
    *(reported(finding, provider_ref=THEIRS, retry_with_new_reference=True) for finding in Finding),
    *(reported(finding, reference=a_reference(7)) for finding in Finding),
    CrashedTooOften(detail="boom"),
    CancelRequested(),
)


@pytest.mark.parametrize("status", Status)
def test_every_pair_of_state_and_event_has_an_answer_that_keeps_the_rules(status: Status) -> None:
    first = a_payout(status=status)
    variants = [first]
    if status is Status.SENT:
        variants += [replace(first, provider_ref=THEIRS), replace(first, in_doubt_since=NOW)]
    for payout, event, policy, at_s in product(variants, ONE_OF_EACH, POLICIES, (0, 400_000)):
        decision = decided(payout, event, policy=policy, now=NOW + timedelta(seconds=at_s))
        assert decision.answer
        hold_the_rules(payout, event, decision, policy, at_s)
