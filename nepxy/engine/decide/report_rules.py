"""What a poll, a look-up or a webhook says, and how far it may be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

from nepxy.engine.decide import restored_rules
from nepxy.engine.decide.case import Case
from nepxy.engine.decide.decision import Decision
from nepxy.engine.decide.taken_rules import reversed_by_provider, taken, terms_differ
from nepxy.engine.decide.unpaid_rules import unpaid
from nepxy.engine.effects import Effect, RequestSlot, WakeAt
from nepxy.engine.events import Source, StatusReported, Work
from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.outcomes import Finding
from nepxy.engine.payout import Status


def status_reported(case: Case, event: StatusReported) -> Decision:
    """The provider said something about one of our references, asked or unasked."""
    payout, report = case.payout, event.report
    if not event.trusted:
        # Anybody could have sent it: it settles nothing, and makes the engine ask.
        return case.nothing(*(case.asking_soon() or _asking_after_end(case, event)), answer=case.already())
    evidence = Evidence(
        source=event.source.value,
        reference=event.reference,
        attempt=event.attempt,
        provider_ref=report.provider_ref,
        call=report.call,
        request=report.request,
        answer=report.answer,
        rule=report.rule,
    )
    # Asked for before the last attempt began: what is negative in it says nothing about that one (money rule 5).
    outdated = event.attempt is not None and event.attempt < payout.attempt_count
    speaks_of_now = event.reference == payout.submission_ref and not outdated
    match report.finding:
        case Finding.PAID | Finding.IN_FLIGHT:
            return taken(
                case,
                report.finding,
                reference=event.reference,
                provider_ref=report.provider_ref,
                terms=report.terms,
                reason=report.reason,
                evidence=evidence,
                event=event,
            )
        case Finding.UNPAID:
            return unpaid(case, event, evidence, outdated=outdated)
        case Finding.REVERSED:
            return reversed_by_provider(case, event, evidence)
        case Finding.ABSENT | Finding.UNFINISHED:
            # "I do not know it" answers a question; unasked it would say nothing.
            if not speaks_of_now or event.source is Source.WEBHOOK or not payout.is_at_provider:
                return case.later()
            if report.finding is Finding.ABSENT:
                return _absent(case, evidence)
            return _unfinished(case, event, evidence)
        case Finding.NO_ANSWER:
            overdue = speaks_of_now and case.expired and payout.status is Status.SENT
            return case.overdue(evidence) if overdue else case.later(retry_after_s=report.retry_after_s)
        case _:
            assert_never(report.finding)


_NOT_THE_END: Final[Mapping[Status, frozenset[Finding]]] = {
    Status.CONFIRMED: frozenset({Finding.UNPAID, Finding.REVERSED}),
    Status.FAILED: frozenset({Finding.PAID, Finding.IN_FLIGHT, Finding.REVERSED, Finding.NO_ANSWER}),
}
"""What a hint must say of an ended payout to be worth a question; one that agrees would cost a read each."""


def _asking_after_end(case: Case, event: StatusReported) -> tuple[Effect, ...]:
    """A hint settles nothing, and a reversal or a late success must not be lost over that (money rule 6)."""
    payout = case.payout
    question = case.question_after_end
    worth_it = _NOT_THE_END.get(payout.status, frozenset())
    if payout.status is Status.CONFIRMED and case.policy.capabilities.reverses_after_success:
        worth_it |= {Finding.NO_ANSWER}
    if question is None or event.reference != payout.submission_ref or event.report.finding not in worth_it:
        return ()
    return (RequestSlot(work=question),)


def _absent(case: Case, evidence: Evidence) -> Decision:
    """The provider knows no such reference, which is never proof by itself (money rule 4)."""
    payout = case.payout
    if payout.is_taken:
        return _taken_then_absent(case, evidence)
    if restored_rules.is_new_after_all(case):
        return restored_rules.first_send(case, evidence)
    if case.may_resend:
        return case.nothing(RequestSlot(work=Work.RESEND))
    if case.repeat_is_harmless:
        return case.later()
    if payout.status is Status.SENT and case.now >= case.absent_counts_at:
        return case.review(
            "ABSENT_UNPROVEN",
            "The provider does not know our reference, which proves nothing by itself, and it may not be "
            "sent again without proof: check the provider's portal, then confirm, fail or release it.",
            evidence,
        )
    return case.later()


def _unfinished(case: Case, event: StatusReported, evidence: Evidence) -> Decision:
    """The provider waits for our next write, as far as it knows: our last one may still be on its way to it."""
    payout = case.payout
    differ = event.report.terms.differ_from(
        amount=payout.amount, currency=payout.currency, phone_e164=payout.phone_e164
    )
    if differ:
        # Finished, it would pay something else.
        text = f"The provider has our reference begun with another {', '.join(differ)} than ours"
        return terms_differ(case, text, evidence)
    if payout.is_taken:
        overdue = case.expired and payout.status is Status.SENT
        return case.overdue(evidence) if overdue else case.later()
    if case.may_resend:
        return case.nothing(RequestSlot(work=Work.RESEND))
    if case.repeat_is_harmless:
        return case.later()
    if payout.status is Status.SENT and case.now >= case.absent_counts_at:
        return case.review(
            "UNFINISHED",
            "The provider has it begun and not finished, and pays nothing until it is; it may not be sent again "
            "without proof: check the provider's portal, then confirm, fail or release it.",
            evidence,
        )
    return case.later()


def _taken_then_absent(case: Case, evidence: Evidence) -> Decision:
    """It contradicts itself: no reason to send again, but a doubt, and after the settling time a person's matter."""
    payout = case.payout
    if payout.status is Status.REVIEW:
        return case.later()
    if case.expired or (payout.in_doubt_since is not None and case.now >= case.absent_counts_at):
        text = "The provider had taken our reference, and says now that it does not know it"
        return case.review(
            "TAKEN_THEN_ABSENT",
            f"{text}: ask it what became of the payout, then confirm or fail it.",
            evidence,
            Discrepancy(kind="TAKEN_THEN_ABSENT", detail=f"{text}."),
        )
    if payout.in_doubt_since is not None:
        return case.later()
    poll_at = case.poll_time()
    doubtful = payout.moved(
        Status.SENT,
        "TAKEN_THEN_ABSENT",
        in_doubt_since=case.now,
        next_retry_at=poll_at,
        last_error="The provider had taken it, and says now that it does not know it; "
        "it is asked again, and nothing is sent again.",
    )
    return Decision(payout=doubtful, evidence=evidence, effects=(WakeAt(at=poll_at),))
