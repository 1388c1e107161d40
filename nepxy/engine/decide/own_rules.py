"""What does not come from the provider: a client's wish, and what went wrong on our side."""

from __future__ import annotations

from nepxy.engine.decide.case import Case
from nepxy.engine.decide.decision import Decision
from nepxy.engine.events import ProviderRefRefused
from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.payout import Status


def cancel_requested(case: Case) -> Decision:
    """Only what was never sent, or is proven unsent, can be cancelled."""
    payout = case.payout
    if payout.status is Status.CANCELLED:
        return case.nothing(answer="ALREADY_CANCELLED")
    if payout.status is not Status.PENDING:
        return case.nothing(answer="PAYOUT_NOT_CANCELLABLE")
    return case.settle(
        Status.CANCELLED,
        "CANCELLED_BY_CLIENT",
        Evidence(source="client", rule="rule 6: nothing was sent"),
        retryable=False,
        last_error=None,
    )


def crashed_too_often(case: Case, detail: str) -> Decision:
    """Its actor keeps dying: the payout is parked, and others go on."""
    if case.payout.status.is_final or case.payout.status is Status.REVIEW:
        return case.nothing(answer=case.already())
    return case.review(
        "CRASHED_TOO_OFTEN",
        f"Its actor crashed again and again ({detail}): find the cause in the log, and the payout at the provider, "
        "then confirm or fail it.",
        case.clock_evidence("restart intensity exceeded"),
    )


def provider_ref_refused(case: Case, event: ProviderRefRefused) -> Decision:
    """Two payouts, one reference of the provider: one of them is told something untrue (money rule 9)."""
    payout = case.payout
    text = f"The provider calls it {event.provider_ref}, and another payout has that reference"
    discrepancy = Discrepancy(kind="PROVIDER_REF_TAKEN", detail=f"{text}.")
    parked = payout.status is Status.REVIEW and payout.status_reason == "PROVIDER_REF_TAKEN"
    if payout.status.is_final or parked:
        return case.later(discrepancy=discrepancy, evidence=event.evidence)
    return case.review(
        "PROVIDER_REF_TAKEN",
        f"{text}: find out at the provider which of the two was paid, then confirm or fail each.",
        event.evidence,
        discrepancy,
        # It has something of ours, whatever it is: nothing is sent again.
        **({} if payout.status is Status.PENDING else {"repeat_barred": True}),
    )
