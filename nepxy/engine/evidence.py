"""What proves a transition, and what contradicts one: plain values, stored with the transition or beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What proved a transition (money rule 5); texts are masked and bounded."""

    source: str
    reference: str | None = None
    attempt: int | None = None
    """Which attempt it speaks of; None: of the reference, whatever the attempt (a webhook)."""
    provider_ref: str | None = None
    call: str = ""
    request: str = ""
    answer: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """The provider and we disagree about something that money hangs on."""

    kind: str
    """Stable code, as `PAID_AFTER_FAILED`."""
    detail: str
    """One sentence for the operator."""
