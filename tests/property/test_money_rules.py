"""The money rules hold under any sequence of events, for every kind of provider."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nepxy.engine.capabilities import RepeatedReference
from nepxy.engine.decide import STEP_COMMITTED, Decision, Evidence, Policy
from nepxy.engine.decide.taken_rules import NAME_LEARNED
from nepxy.engine.effects import Ask, RequestSlot, Submit
from nepxy.engine.events import (
    CancelRequested,
    CrashedTooOften,
    DueReached,
    Event,
    IntentRefused,
    ProviderRefRefused,
    SlotGranted,
    Source,
    StatusReported,
    StepReached,
    SubmitAnswered,
    Work,
)
from nepxy.engine.outcomes import NO_TERMS, Finding, Outcome, OutcomeClass, ReportedTerms, StatusReport
from nepxy.engine.payout import MOVES, Payout, ProviderRef, Status
from tests.factories import ACCOUNT, NOW, THEIRS, a_payout, a_policy, a_reference, answered, decided, reported

POLICIES = tuple(
    a_policy(repeated=repeated, lookup=lookup, status=status, account=account)
    for repeated, (lookup, status), account in product(
        RepeatedReference, ((True, True), (False, True), (False, False)), (ACCOUNT, "account-2", None)
    )
)
SAID = Evidence(source="submit", rule="ACCEPTED")
TERMS = (NO_TERMS, ReportedTerms(amount=1000, currency="XOF"), ReportedTerms(amount=999))
REFS = (None, THEIRS, ProviderRef("another"))
STEPS_S = (0, 1, 31, 600, 3600, 90_000)
NEGATIVE = (Finding.UNPAID, Finding.UNFINISHED, Finding.ABSENT, Finding.NO_ANSWER)
TAKEN = (OutcomeClass.ACCEPTED, OutcomeClass.CONFIRMED)
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
    blocks_provider=st.booleans(),
    terms=st.sampled_from(TERMS),
)


def events(payout: Payout) -> st.SearchStrategy[Event]:
    """Any event, about this generation or an older one, this attempt or an older one."""
    return events_about(payout.generation, payout.attempt_count)


@cache
def events_about(generation: int, attempt_count: int) -> st.SearchStrategy[Event]:
    references = st.integers(0, generation).map(a_reference) | st.just(a_reference(generation))
    attempts = st.integers(1, max(1, attempt_count)) | st.just(attempt_count)
    return st.one_of(
        st.just(DueReached()),
        st.builds(SlotGranted, work=st.sampled_from(Work)),
        st.sampled_from([IntentRefused(reason="EXPIRED"), IntentRefused(reason="PAUSED")]),
        st.builds(SubmitAnswered, reference=references, attempt=attempts, outcome=outcomes),
        st.builds(
            StepReached,
            reference=references,
            attempt=attempts,
            step=st.sampled_from(["CREATED", "CONFIRMING"]),
            provider_ref=st.sampled_from(REFS),
        ),
        st.builds(
            StatusReported,
            source=st.sampled_from([Source.POLL, Source.LOOKUP]),
            reference=references,
            attempt=attempts,
            report=reports,
        ),
        st.builds(
            StatusReported,
            source=st.just(Source.WEBHOOK),
            reference=references,
            report=reports,
            trusted=st.booleans(),
        ),
        st.builds(ProviderRefRefused, provider_ref=st.just(THEIRS), evidence=st.just(SAID)),
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


def can_be_asked(payout: Payout, policy: Policy) -> bool:
    by_theirs = payout.provider_ref is not None and policy.capabilities.status_by_provider_ref
    same_account = payout.account is not None and payout.account == policy.account
    return same_account and (by_theirs or policy.capabilities.lookup_by_reference)


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
        # Final is final; only the provider's name for it may still be learned.
        learned = replace(before, version=after.version, provider_ref=after.provider_ref)
        assert after == learned
        assert not moved or decision.noted_as == NAME_LEARNED
    if isinstance(event, StatusReported) and not event.trusted:
        assert not moved
        assert decision.discrepancy is None

    for effect in decision.effects:
        repeats = (isinstance(effect, RequestSlot) and effect.work is Work.RESEND) or (
            isinstance(effect, Submit) and before.status is not Status.PENDING
        )
        if repeats:
            assert policy.capabilities.resend_allowed
            assert before.answer_by is not None, "resent without waiting"
            assert now >= before.answer_by
            assert not before.is_taken, "resent what the provider has"
            assert not before.repeat_barred, "resent what must not be repeated"
        if isinstance(effect, Submit):
            assert decision.is_intent
            assert after.status is Status.SENT
            assert after.attempt_count == before.attempt_count + 1
            assert effect.reference == after.submission_ref == before.submission_ref
            assert after.account == policy.account
            early = before.next_retry_at is not None and before.next_retry_at > now
            assert not (before.status is Status.PENDING and before.attempt_count and early), (
                "backoff cut short"
            )
        if isinstance(effect, Ask) or repeats:
            assert before.account == policy.account, "rule 10: asked through another account"
        if isinstance(effect, Ask):
            assert can_be_asked(before, policy)
            awaited = before.is_unresolved and before.answer_by is not None and now < before.answer_by
            assert not awaited, "looked up while its own answer may come"

    if after.generation == before.generation:
        assert before.taken_at in (None, after.taken_at), "what was taken stays taken"
        assert after.repeat_barred >= before.repeat_barred
    else:
        assert (after.taken_at, after.repeat_barred) == (None, False), "known of an older reference"
    if isinstance(event, StatusReported) and event.report.finding in NEGATIVE:
        outdated = event.attempt is not None and event.attempt < before.attempt_count
        if outdated or event.reference != before.submission_ref:
            assert not moved, "an older attempt's evidence settled something"
            assert not any(isinstance(effect, RequestSlot) for effect in decision.effects)
    if isinstance(event, SubmitAnswered) and event.outcome.kind not in TAKEN and not before.status.is_final:
        assert moved, "a fact without a row"
        assert decision.evidence is not None
    if moved:
        hold_what_is_said(after)
    if decision.noted_as is not None:
        assert moved
        assert (after.status, after.status_reason) == (before.status, before.status_reason)

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
        unasked = isinstance(event, StatusReported) and event.source is Source.WEBHOOK
        assert not (unasked and can_be_asked(before, policy)), "a webhook alone made a new reference"

    became = after.status if after.status is not before.status else None
    if became is Status.FAILED and before.status is not Status.PENDING:
        unsent = isinstance(event, SubmitAnswered) and event.outcome.kind in PROVEN_UNSENT
        assert proves_failure(event) or unsent
    if became in (Status.FAILED, Status.PENDING) and before.status is not Status.PENDING:
        assert not (before.is_taken and isinstance(event, SubmitAnswered)), (
            "refused, after the provider had it"
        )
        if isinstance(event, SubmitAnswered):
            assert event.outcome.kind is not OutcomeClass.UNKNOWN
            assert event.reference == before.submission_ref
            assert event.attempt == before.attempt_count
            if before.in_doubt_since is not None:
                assert event.outcome.kind is OutcomeClass.REJECTED
                replayed = policy.capabilities.repeated_reference is RepeatedReference.REPLAYS
                assert replayed or before.attempt_count == 1, "an earlier attempt is unresolved"
                assert not before.repeat_barred
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
        assert after.provider_ref == before.provider_ref or became is Status.PENDING
    hold_the_steps(before, event, decision)


def hold_the_steps(before: Payout, event: Event, decision: Decision) -> None:
    """A submit goes on only while nothing else is known; a name that the provider gave on the way proves nothing."""
    after, went_on = decision.payout, decision.answer == STEP_COMMITTED
    assert went_on == (decision.step is not None)
    if decision.step is not None:
        assert isinstance(event, StepReached)
        assert (before.status, after.status) == (Status.SENT, Status.SENT)
        assert not before.is_taken, "went on with what the provider has"
        assert (event.reference, event.attempt) == (before.submission_ref, before.attempt_count)
        assert event.provider_ref in (None, after.provider_ref), "went on with a second thing of theirs"
        assert after.attempt_count == before.attempt_count
        assert not decision.effects
    if isinstance(event, StepReached):
        assert after.taken_at == before.taken_at, "a step is no proof"
        assert (after.in_doubt_since, after.status) == (before.in_doubt_since, before.status)
    if isinstance(event, StatusReported) and event.report.finding is Finding.UNFINISHED:
        assert after.taken_at == before.taken_at
        assert after.status in (before.status, Status.REVIEW), "unfinished settled something"


def hold_what_is_said(payout: Payout) -> None:
    """`last_error` says what happens next, or what to do; and nothing that is over."""
    said = payout.last_error or ""
    if payout.status is Status.REVIEW:
        assert "find out" in said or re.search(r"confirm(, fail)? or (fail|release)", said), said
    if payout.status is Status.SENT and payout.in_doubt_since is not None:
        assert re.search(
            "is being looked into|is asked again|is sent again|is not sent again|under way", said
        ), said
    assert payout.status is Status.PENDING or "tried again by itself" not in said
    assert payout.status is Status.SENT or "under way" not in said
    assert "{" not in said


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
    *(
        StepReached(reference=a_reference(), attempt=attempt, step="CONFIRMING", provider_ref=ref)
        for attempt in (1, 2)
        for ref in REFS
    ),
    *(answered(kind) for kind in OutcomeClass),
    *(answered(kind, provider_ref=THEIRS, terms=TERMS[2]) for kind in OutcomeClass),
    *(answered(kind, retry_with_new_reference=True) for kind in OutcomeClass),
    *(answered(kind, attempt=2) for kind in OutcomeClass),
    *(reported(finding, trusted=trusted) for finding in Finding for trusted in (True, False)),
    *(reported(finding, provider_ref=THEIRS, retry_with_new_reference=True) for finding in Finding),
    *(reported(finding, reference=a_reference(7)) for finding in Finding),
    *(reported(finding, attempt=0) for finding in Finding),
    *(reported(Finding.UNPAID, retry_with_new_reference=True, source=source) for source in Source),
    ProviderRefRefused(provider_ref=THEIRS, evidence=SAID),
    CrashedTooOften(detail="boom"),
    CancelRequested(),
)


@pytest.mark.parametrize("status", Status)
def test_every_pair_of_state_and_event_has_an_answer_that_keeps_the_rules(status: Status) -> None:
    first = a_payout(status=status)
    variants = [first]
    if status is Status.SENT:
        variants += [
            replace(first, provider_ref=THEIRS),
            replace(first, provider_ref=THEIRS, taken_at=NOW),
            replace(first, provider_ref=THEIRS, in_doubt_since=NOW, last_error="It is being looked into."),
            doubtful := replace(first, in_doubt_since=NOW, last_error="It is being looked into."),
            replace(first, taken_at=NOW),
            replace(doubtful, attempt_count=2),
            replace(doubtful, attempt_count=2, repeat_barred=True),
        ]
    for payout, event, policy, at_s in product(variants, ONE_OF_EACH, POLICIES, (0, 400_000)):
        decision = decided(payout, event, policy=policy, now=NOW + timedelta(seconds=at_s))
        assert decision.answer
        hold_the_rules(payout, event, decision, policy, at_s)


LEARNS_NOTHING = (Finding.IN_FLIGHT, Finding.NO_ANSWER, Finding.ABSENT, Finding.UNFINISHED)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_payout_is_sent_for_ever(data: st.DataObject) -> None:
    """However it became SENT: once it has expired, a few looks that teach nothing put it before a person."""
    policy = data.draw(st.sampled_from(POLICIES))
    payout = decided(a_payout(), SlotGranted(work=Work.SUBMIT)).payout
    for _ in range(data.draw(st.integers(0, 5))):
        moved_on = decided(payout, data.draw(events(payout)), policy=policy).payout
        payout = moved_on if moved_on.status is Status.SENT else payout
    now = payout.expires_at
    for _ in range(3):
        # Long enough for every settling time, and too short for anything to be due only by chance.
        now += timedelta(hours=2)
        decision = decided(payout, DueReached(), policy=policy, now=now)
        payout = decision.payout
        for effect in decision.effects:
            assert not isinstance(effect, RequestSlot) or effect.work in (Work.POLL, Work.LOOKUP)
            if isinstance(effect, RequestSlot):
                asked = decided(payout, SlotGranted(work=effect.work), policy=policy, now=now)
                assert asked.effects == (Ask(work=effect.work),)
                finding = data.draw(st.sampled_from(LEARNS_NOTHING))
                heard = reported(finding, reference=payout.submission_ref, attempt=payout.attempt_count)
                payout = decided(payout, heard, policy=policy, now=now).payout
    # In REVIEW, where a person decides, looks that teach nothing move the due time and no row.
    assert payout.status is Status.REVIEW
    if not payout.is_taken:
        return
    for finding in LEARNS_NOTHING:
        assert (
            decided(payout, reported(finding, attempt=payout.attempt_count), policy=policy, now=now).payout
            == payout
        )
