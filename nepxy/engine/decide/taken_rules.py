"""The provider has one of our references, or has paid it, or has paid it and took the money back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from nepxy.engine.decide.case import Case
from nepxy.engine.decide.decision import Decision
from nepxy.engine.effects import DecideAgain, WakeAt
from nepxy.engine.events import Event, StatusReported
from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.outcomes import Finding, ReportedTerms
from nepxy.engine.payout import ProviderRef, Status, SubmissionRef

NAME_LEARNED: Final = "NAME_LEARNED"
"""The `why` of a provider reference that came after the end."""


def taken(
    case: Case,
    finding: Finding,
    *,
    reference: SubmissionRef,
    provider_ref: ProviderRef | None,
    terms: ReportedTerms,
    reason: str,
    evidence: Evidence,
    event: Event,
) -> Decision:
    """A submit's own answer, or a report, says that the provider has it (IN_FLIGHT) or has paid it (PAID).

    True of the reference whatever the attempt: such a fact is taken however late it comes.
    """
    payout, paid = case.payout, finding is Finding.PAID
    differ = terms.differ_from(amount=payout.amount, currency=payout.currency, phone_e164=payout.phone_e164)
    if payout.status.is_final:
        return _after_final(case, paid, reference, provider_ref, differ, evidence)
    if reference != payout.submission_ref:
        return _older_reference(case, paid, reference, evidence)
    if differ:
        text = f"The provider has our reference with another {', '.join(differ)} than ours"
        return terms_differ(case, text, evidence)
    if payout.status is Status.PENDING:
        return _adopt_unsent(case, evidence, event)
    if case.held_for_a_person:
        return _beside_what_is_held(case, paid, evidence)
    differs = renamed(case, provider_ref)
    if paid:
        settled = case.settle(
            Status.CONFIRMED,
            reason,
            evidence,
            provider_ref=case.their_name or provider_ref or payout.provider_ref,
            taken_at=payout.taken_at or case.now,
            last_error=None,
        )
        return replace(settled, discrepancy=differs)
    if differs is not None and payout.is_taken:
        return case.stays(evidence, differs)
    return replace(_in_flight(case, provider_ref, evidence), discrepancy=differs)


def renamed(case: Case, provider_ref: ProviderRef | None) -> Discrepancy | None:
    """Rule 9: a provider reference is given only where none is stored; another one is a matter for a person."""
    known = case.their_name
    if known is None or provider_ref is None or known == provider_ref:
        return None
    text = (
        f"The provider calls our reference {provider_ref}, and called it {known} before: was it paid twice?"
    )
    return Discrepancy(kind="PROVIDER_REF_DIFFERS", detail=text)


def terms_differ(case: Case, text: str, evidence: Evidence) -> Decision:
    """What the provider holds under our reference is not our payout: a person must look, once."""
    discrepancy = Discrepancy(kind="TERMS_DIFFER", detail=f"{text}.")
    if case.held_for_a_person:
        return case.later(discrepancy=discrepancy, evidence=evidence)
    what_to_do = f"{text}: compare it with the provider's portal, then confirm or fail it."
    return case.review("TERMS_DIFFER", what_to_do, evidence, discrepancy)


def _beside_what_is_held(case: Case, paid: bool, evidence: Evidence) -> Decision:
    if not paid:
        return case.later()
    text = (
        "The provider says that it paid this, beside what put it into review "
        f"({case.payout.status_reason}): find out whether it was paid twice."
    )
    return case.later(discrepancy=Discrepancy(kind="PAID_BESIDE_OTHER", detail=text), evidence=evidence)


# ---- in flight ---------------------------------------------------------------------------------


def _in_flight(case: Case, provider_ref: ProviderRef | None, evidence: Evidence) -> Decision:
    payout = case.payout
    name, taken_at = case.their_name or provider_ref or payout.provider_ref, payout.taken_at or case.now
    new_name = name != payout.provider_ref
    if payout.status is Status.SENT and payout.is_taken and case.expired:
        return case.overdue(evidence, provider_ref=name, taken_at=taken_at)
    ends_a_doubt = payout.status is Status.SENT and payout.in_doubt_since is not None
    if payout.is_taken and not new_name and not ends_a_doubt:
        return case.later()
    poll_at = case.poll_time()
    if payout.status is Status.REVIEW:
        return _in_flight_in_review(case, evidence, poll_at=poll_at, provider_ref=name, taken_at=taken_at)
    accepted = payout.moved(
        Status.SENT,
        "ACCEPTED_BY_PROVIDER",
        provider_ref=name,
        taken_at=taken_at,
        in_doubt_since=None,
        next_retry_at=poll_at,
        last_error=None,
    )
    return Decision(payout=accepted, evidence=evidence, effects=(WakeAt(at=poll_at),))


def _in_flight_in_review(
    case: Case, evidence: Evidence, *, poll_at: datetime, provider_ref: ProviderRef | None, taken_at: datetime
) -> Decision:
    """It stays with a person (REVIEW -> SENT is theirs), now with what polling and webhooks can use."""
    payout = case.payout
    text = payout.last_error
    if payout.status_reason in ("UNRESOLVED", "ABSENT_UNPROVEN"):
        text = (
            "The provider has it after all, and has not settled it yet: it is settled by itself once the provider "
            "reports its end; else ask the provider, then confirm or fail it."
        )
    known = payout.moved(
        Status.REVIEW,
        payout.status_reason,
        provider_ref=provider_ref,
        taken_at=taken_at,
        next_retry_at=poll_at,
        last_error=text,
    )
    return Decision(payout=known, evidence=evidence, effects=(WakeAt(at=poll_at),))


def _adopt_unsent(case: Case, evidence: Evidence, event: Event) -> Decision:
    """The provider knows a reference that our row says was not sent: a restored backup, or a wrong "not sent"."""
    payout = case.payout
    adopted = payout.moved(
        Status.SENT,
        "ADOPTED",
        attempt_count=max(payout.attempt_count, 1),
        last_attempt_at=payout.last_attempt_at or case.now,
        account=case.policy.account or "unknown",
        taken_at=case.now,
        answer_by=case.now,
        next_retry_at=case.poll_time(),
        last_error="The provider has our reference, though our records said that nothing was sent; "
        "it is being followed, and nothing is sent again.",
    )
    return Decision(payout=adopted, evidence=evidence, effects=(DecideAgain(event=event),))


# ---- what contradicts --------------------------------------------------------------------------


def _older_reference(case: Case, paid: bool, reference: SubmissionRef, evidence: Evidence) -> Decision:
    if not paid:
        return case.nothing()
    text = (
        f"The provider says that it paid our older reference {reference}, which it had called failed: "
        "find out which of the references moved money before anything else is done."
    )
    discrepancy = Discrepancy(kind="OLDER_REFERENCE_PAID", detail=text)
    if case.held_for_a_person:
        return case.nothing(discrepancy=discrepancy, evidence=evidence)
    return case.review("OLDER_REFERENCE_PAID", text, evidence, discrepancy)


def _after_final(
    case: Case,
    paid: bool,
    reference: SubmissionRef,
    provider_ref: ProviderRef | None,
    differ: tuple[str, ...],
    evidence: Evidence,
) -> Decision:
    payout = case.payout
    current = reference == payout.submission_ref
    name = case.their_name or provider_ref or payout.provider_ref
    if paid and current and payout.status is Status.CONFIRMED and not differ:
        renaming = renamed(case, provider_ref)
        if renaming is not None:
            return case.nothing(answer=case.already(), discrepancy=renaming, evidence=evidence)
    if current and name != payout.provider_ref and payout.status is Status.CONFIRMED and not differ:
        # By this name it may be reversed one day: the state stays, the name is learned.
        named = payout.moved(payout.status, payout.status_reason, provider_ref=name)
        return Decision(payout=named, evidence=evidence, answer=case.already(), noted_as=NAME_LEARNED)
    kind = None
    if paid and payout.status is not Status.CONFIRMED:
        kind = f"PAID_AFTER_{payout.status.value}"
    elif paid and reference != payout.submission_ref:
        kind = "OLDER_REFERENCE_PAID"
    elif paid and differ:
        kind = "TERMS_DIFFER"
    if kind is None:
        return case.nothing(answer=case.already())
    text = f"The payout is {payout.status.value}, and the provider says that it paid reference {reference}."
    return case.nothing(
        answer=case.already(), discrepancy=Discrepancy(kind=kind, detail=text), evidence=evidence
    )


def reversed_by_provider(case: Case, event: StatusReported, evidence: Evidence) -> Decision:
    """It was paid, and the provider took it back: recorded in any state, and never followed by a submit of ours."""
    payout = case.payout
    text = f"The payout is {payout.status.value}, and the provider says that it took the money back"
    discrepancy = Discrepancy(kind="REVERSED", detail=f"{text}.")
    stands = payout.status.is_final or payout.status is Status.REVIEW
    if stands or event.reference != payout.submission_ref:
        return case.later(discrepancy=discrepancy, evidence=evidence)
    return case.review(
        "REVERSED",
        f"{text}: ask it whether anything was paid, then confirm or fail it.",
        evidence,
        discrepancy,
        taken_at=payout.taken_at or case.now,
    )
