"""Reconciliation, the pure part: what to ask about a payout, and what its provider's word is beside ours.

Nothing here moves a payout. What a look-up finds becomes an ordinary `StatusReported`, and the rules decide; this says
only what a person should read of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from nepxy.engine.decide.case import Case
from nepxy.engine.decide.decision import Policy
from nepxy.engine.events import Work
from nepxy.engine.outcomes import NO_TERMS, Finding, ReportedTerms
from nepxy.engine.payout import Payout, Status


class ReportKind(StrEnum):
    """How a report came about."""

    LOOK_UP = "LOOK_UP"
    """The providers were asked, payout by payout."""
    SETTLEMENT_FILE = "SETTLEMENT_FILE"
    """A provider's own list was imported."""


class DifferenceKind(StrEnum):
    """What is different."""

    SETTLED_THERE = "SETTLED_THERE"
    """The provider has ended it; here it was not settled yet."""
    STATE_DIFFERS = "STATE_DIFFERS"
    """Both have ended it, in another way; or it is settled here and goes on there."""
    AMOUNT_DIFFERS = "AMOUNT_DIFFERS"
    """Also where the currency or the number does; `detail` names what."""
    MISSING_THERE = "MISSING_THERE"
    """The provider does not know it, or its file lacks it."""
    MISSING_HERE = "MISSING_HERE"
    """A line of the file names no payout of ours."""
    DUPLICATE = "DUPLICATE"
    """A line of the file names what a line before it named."""
    AMBIGUOUS = "AMBIGUOUS"
    """The references of one line are those of different payouts."""


AGREES: Final = "agree"
DIFFERS: Final = "differ"
UNKNOWN: Final = "unknown"
NOT_ASKED: Final = "not_asked"
VERDICTS: Final = (AGREES, DIFFERS, UNKNOWN, NOT_ASKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One row of a report. `ours` and `theirs` hold no phone number."""

    kind: DifferenceKind
    transaction_id: str | None
    ours: Mapping[str, object] = field(default_factory=dict)
    theirs: Mapping[str, object] = field(default_factory=dict)
    detail: str = ""
    """One sentence for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the provider's word is beside ours; `kind` is None where they agree."""

    kind: DifferenceKind | None = None
    detail: str = ""


@dataclass(slots=True)
class Tally:
    """A report's figures while it is made."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, count: int = 1) -> None:
        """Count a payout or a line that was compared, or something about it."""
        self.counts[what] += count

    def differ(self, kind: DifferenceKind) -> None:
        """Count a difference, under its kind, too."""
        self.counts[DIFFERS] += 1
        self.counts[kind.value.lower()] += 1

    def figures(self) -> dict[str, int]:
        """All of them; the differences' kinds are there with zero, too."""
        always = (AGREES, DIFFERS, UNKNOWN, *(kind.value.lower() for kind in DifferenceKind))
        checked = self.counts[AGREES] + self.counts[DIFFERS] + self.counts[UNKNOWN]
        return {"checked": checked} | dict.fromkeys(always, 0) | dict(self.counts)


def question_of(payout: Payout, *, now: datetime, policy: Policy) -> Work | None:
    """How the provider may be asked about this payout now, settled or not; None: it may not, or not yet.

    By its own name first where it takes that, else by our reference. Never through another account than the one that
    it was sent through (money rule 10), and not while the last attempt's own answer may come (money rule 2).
    """
    case = Case(payout=payout, now=now, policy=policy, jitter=0.0)
    if not payout.status.is_final:
        return None if case.answer_is_awaited else case.question
    if case.nobody_to_ask:
        return None
    if payout.provider_ref is not None and policy.capabilities.status_by_provider_ref:
        return Work.POLL
    return Work.LOOKUP if policy.capabilities.lookup_by_reference else None


def compare(payout: Payout, finding: Finding, terms: ReportedTerms = NO_TERMS) -> Verdict | None:
    """What a provider's word says beside our row; None: it says nothing.

    Args:
        payout: as last committed when it was asked about, or as it is when a file is read.
        finding: the provider's word on this very payout.
        terms: as far as the provider reports them.
    """
    if finding is Finding.NO_ANSWER:
        return None
    state = _compared(payout.status, finding)
    if state.kind is not None:
        return state
    differ = terms.differ_from(amount=payout.amount, currency=payout.currency, phone_e164=payout.phone_e164)
    if differ and finding is not Finding.ABSENT:
        return Verdict(
            kind=DifferenceKind.AMOUNT_DIFFERS,
            detail=f"The provider has it with another {', '.join(differ)} than ours.",
        )
    return state


_ENDED: Final[Mapping[Finding, str]] = {
    Finding.PAID: "paid it",
    Finding.UNPAID: "ended it unpaid",
    Finding.REVERSED: "paid it and took the money back",
}


def _compared(ours: Status, finding: Finding) -> Verdict:
    if finding is Finding.ABSENT:
        return _absent(ours)
    ended = _ENDED.get(finding)
    if not ours.is_final:
        if ended is None:
            return Verdict()
        return Verdict(
            kind=DifferenceKind.SETTLED_THERE, detail=f"It is {ours.value} here, and the provider {ended}."
        )
    if ended is None:
        return Verdict(
            kind=DifferenceKind.STATE_DIFFERS,
            detail=f"It is {ours.value} here, and the provider has not ended it yet.",
        )
    expected = Finding.PAID if ours is Status.CONFIRMED else Finding.UNPAID
    if finding is expected:
        return Verdict()
    return Verdict(
        kind=DifferenceKind.STATE_DIFFERS, detail=f"It is {ours.value} here, and the provider {ended}."
    )


def _absent(ours: Status) -> Verdict:
    if ours in (Status.FAILED, Status.CANCELLED, Status.PENDING):
        return Verdict()
    return Verdict(
        kind=DifferenceKind.MISSING_THERE,
        detail=f"It is {ours.value} here, and the provider says that it does not know it.",
    )


def shown(payout: Payout) -> dict[str, object]:
    """Our side of a difference: no phone number."""
    return {
        "status": payout.status.value,
        "status_reason": payout.status_reason,
        "amount": payout.amount,
        "currency": payout.currency,
        "submission_ref": payout.submission_ref,
        "provider_ref": payout.provider_ref,
        "external_ref": payout.external_ref,
        "settled_at": payout.settled_at.isoformat() if payout.settled_at is not None else None,
    }
