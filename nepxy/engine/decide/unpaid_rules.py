"""The provider ended a reference unpaid: the end of the payout, or of this reference only."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from nepxy.engine.decide.case import KEEPS_REVIEW_OPEN, Case
from nepxy.engine.decide.decision import Decision
from nepxy.engine.decide.taken_rules import renamed, terms_differ
from nepxy.engine.effects import PauseProvider, WakeAt
from nepxy.engine.events import Source, StatusReported
from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.payout import Status
from nepxy.engine.references import submission_ref

UNPAID_UNPLACED: Final = "UNPAID_UNPLACED"
"""The `why` of a webhook's "unpaid" of which nobody can tell whether it speaks of the last attempt."""


def unpaid(case: Case, event: StatusReported, evidence: Evidence, *, outdated: bool) -> Decision:
    """A poll, a look-up or a webhook says "unpaid".

    Args:
        case: the payout.
        event: the report; its finding is UNPAID.
        evidence: made of it.
        outdated: it was asked for before the last attempt began, and so does not speak of that one.
    """
    payout, report = case.payout, event.report
    current = event.reference == payout.submission_ref
    if payout.status is Status.CONFIRMED and current:
        return unpaid_after_confirmed(case, report.reason, evidence)
    if payout.status.is_final or payout.status is Status.PENDING or not current:
        return case.nothing(answer=case.already())
    # Once the reference is known to have been taken, a refused repeat leaves nothing open beside it.
    answered = payout.status_reason == "FAILURE_BESIDE_UNRESOLVED" and payout.is_taken
    held = payout.status is Status.REVIEW and payout.status_reason in KEEPS_REVIEW_OPEN and not answered
    if outdated or held:
        return case.later()
    names_another = renamed(case, report.provider_ref)
    if names_another is not None:
        return case.stays(evidence, names_another)
    if event.source is Source.WEBHOOK and case.other_attempts_may_be_unresolved:
        # It names no attempt: it may be the late word on one that was refused before (money rule 5).
        return case.noted(UNPAID_UNPLACED, evidence, *case.asking_soon())
    differ = report.terms.differ_from(
        amount=payout.amount, currency=payout.currency, phone_e164=payout.phone_e164
    )
    if differ:
        # What they hold under our reference is not our payout: its failure proves nothing about ours.
        text = f"The provider calls our reference unpaid, with another {', '.join(differ)} than ours"
        return terms_differ(case, text, evidence)
    blocked = report.blocks_provider
    would_renew = report.retry_with_new_reference and _may_renew(case, blocked=blocked)
    if would_renew and event.source is Source.WEBHOOK and case.question is not None:
        # A new reference is a new chance to pay twice: what can be asked is asked before one is made.
        return case.nothing(*case.asking_soon())
    decision = failed(case, report.reason, evidence, again=report.retry_with_new_reference, blocked=blocked)
    if not blocked:
        return decision
    pause = PauseProvider(reason=report.reason, shortfall=report.shortfall)
    return replace(decision, effects=(pause, *decision.effects))


def _may_renew(case: Case, *, blocked: bool) -> bool:
    payout = case.payout
    tries_left = blocked or payout.counted_attempts < case.policy.retry.attempts_max
    return tries_left and not case.expired and payout.status is Status.SENT


def failed(case: Case, reason: str, evidence: Evidence, *, again: bool, blocked: bool = False) -> Decision:
    """Proven unpaid. Either a new generation, or the end; never FAILED while policy would retry (rule 6).

    Args:
        case: the payout.
        reason: the provider's code.
        evidence: of its word.
        again: a new attempt may succeed.
        blocked: it failed for want of something on our side, which is not the payout's fault: no try is used up.
    """
    payout = case.payout
    if not again or not _may_renew(case, blocked=blocked):
        then = "a new payout may succeed" if again else "correct the cause before making a new payout"
        return case.settle(
            Status.FAILED,
            reason,
            evidence,
            retryable=again,
            last_error=f"The provider did not pay it ({reason}); it is not tried again: {then}.",
        )
    generation = payout.generation + 1
    # Bounded as in `submit_rules`: the same report may be decided twice, and stays one attempt.
    unreached = min(payout.unreached_count + blocked, payout.attempt_count)
    later = min(case.retry_time(unreached if blocked else payout.counted_attempts), payout.expires_at)
    renewed = payout.moved(
        Status.PENDING,
        "RETRY_WITH_NEW_REFERENCE",
        generation=generation,
        submission_ref=submission_ref(
            installation_id=case.policy.installation_id,
            client_id=payout.client_id,
            idempotency_key=payout.idempotency_key,
            generation=generation,
        ),
        # All that was known of the older reference.
        unreached_count=unreached,
        provider_ref=None,
        taken_at=None,
        repeat_barred=False,
        in_doubt_since=None,
        answer_by=None,
        account=None,
        next_retry_at=later,
        last_error=f"The provider ended the last attempt unpaid ({reason}); it is tried again by itself.",
    )
    return Decision(payout=renewed, evidence=evidence, effects=(WakeAt(at=later),))


def unpaid_after_confirmed(case: Case, reason: str, evidence: Evidence) -> Decision:
    """The provider contradicts its own "paid": final is final, and a person must know (rule 6)."""
    text = f"The payout is CONFIRMED, and the provider says that it is unpaid ({reason})."
    discrepancy = Discrepancy(kind="UNPAID_AFTER_CONFIRMED", detail=text)
    return case.nothing(answer=case.already(), discrepancy=discrepancy, evidence=evidence)
