"""What shall happen after a decision: data, performed by the payout actor once the journal has committed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from nepxy.engine.events import Event, Work
from nepxy.engine.payout import SubmissionRef


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSlot:
    """Ask the provider actor for a place to do this work."""

    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBackSlot:
    """A place was granted, and is not needed any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Call the provider: the intent is committed."""

    reference: SubmissionRef
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Read the payout's state at the provider: by our reference (LOOKUP) or by its own (POLL)."""

    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAt:
    """Look again then."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Postpone:
    """Nothing was learned: only the due time moves, in a batch, without an event row."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseProvider:
    """The provider refuses until an operator acts: no more submits to it until then."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDown:
    """The provider says that we are too fast."""

    retry_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideAgain:
    """The same fact once more, on the state that this decision leads to."""

    event: Event


Effect = (
    RequestSlot | GiveBackSlot | Submit | Ask | WakeAt | Postpone | PauseProvider | SlowDown | DecideAgain
)
