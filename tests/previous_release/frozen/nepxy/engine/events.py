"""What can happen to a payout: the facts and wishes that `decide` looks at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nepxy.engine.outcomes import Outcome, StatusReport
from nepxy.engine.payout import SubmissionRef


class Work(StrEnum):
    """What a payout wants a place at its provider for."""

    SUBMIT = "SUBMIT"
    RESEND = "RESEND"
    """Submit the same reference once more: only where repeating is proven to be harmless."""
    LOOKUP = "LOOKUP"
    """Ask what became of our reference."""
    POLL = "POLL"
    """Ask for the state of the provider's reference."""


class Source(StrEnum):
    """Where a status report comes from."""

    POLL = "poll"
    LOOKUP = "lookup"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueReached:
    """The payout's time has come: its timer, the reconciler or recovery says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotGranted:
    """The provider actor has a place for this piece of work now."""

    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentRefused:
    """The database did not let an intent in: paused meanwhile, expired, too early, or no longer ours."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitAnswered:
    """A submit call ended, one way or another."""

    reference: SubmissionRef
    attempt: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReported:
    """A poll, a look-up or a webhook said something about a reference of this payout."""

    source: Source
    reference: SubmissionRef
    """Which of our references it speaks of; a report by provider reference carries the reference that led there."""
    report: StatusReport
    trusted: bool = True
    """False for a hint (unsigned webhook): it makes the engine ask, and settles nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashedTooOften:
    """The payout's actor keeps dying: a defect of ours, or a row that contradicts itself."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """The client wants it stopped."""


Event = (
    DueReached
    | SlotGranted
    | IntentRefused
    | SubmitAnswered
    | StatusReported
    | CrashedTooOften
    | CancelRequested
)
