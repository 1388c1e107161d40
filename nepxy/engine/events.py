"""What can happen to a payout: the facts and wishes that `decide` looks at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nepxy.engine.evidence import Evidence
from nepxy.engine.outcomes import Outcome, StatusReport
from nepxy.engine.payout import ProviderRef, SubmissionRef


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
class StepReached:
    """A submit of several writes has come so far, and asks whether it may make the next one (money rule 2)."""

    reference: SubmissionRef
    attempt: int
    step: str
    """The adapter's own code, as `CREATED`, `CONFIRMING`."""
    provider_ref: ProviderRef | None = None
    """What the provider calls it, once it does. It does not mean that it was taken."""


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
    attempt: int | None = None
    """`attempt_count` when the question was asked: what is negative speaks of nothing newer (money rule 5).
    None for a webhook, which nobody asked for."""
    trusted: bool = True
    """False for a hint (unsigned webhook): it makes the engine ask, and settles nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRefRefused:
    """The database refused to record the provider's reference: another payout of this provider has it."""

    provider_ref: ProviderRef
    evidence: Evidence
    """Of the decision that could not be recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashedTooOften:
    """The payout's actor keeps dying: a defect of ours, or a row that contradicts itself."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """The client wants it stopped."""


class Command(StrEnum):
    """What an operator may ask of one payout; what each does in which state is in `decide/operator_rules`."""

    RETRY = "retry"
    """Go on now: send what waits to be sent, ask about what is sent; reopen what failed."""
    POLL = "poll"
    """Ask the provider now."""
    CONFIRM = "confirm"
    """It was paid: a person knows from the provider."""
    FAIL = "fail"
    """It was not paid, and will not be: a person knows from the provider."""
    CANCEL = "cancel"
    """Stop what was never sent."""
    RELEASE = "release"
    """Out of REVIEW: let the engine follow it again."""
    NOTE = "note"
    """Say something about it, for its history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAsked:
    """An operator's command, with what makes it allowed. Who the operator is, the envelope says."""

    command: Command
    reason: str
    """The operator's own words: why. Masked before they are stored."""
    expected_version: int | None = None
    """The version that the operator looked at; None: whichever it is."""
    force: bool = False
    """The operator knows that it is final."""
    second_person: str | None = None
    """Who else approved this very command; None: nobody."""
    client_consents: bool = False
    """The client's consent to reopen it is on record; the reason says where."""
    provider_ref: ProviderRef | None = None
    """Of a confirmation: the provider's name for the payment, where the operator has it."""


Event = (
    DueReached
    | SlotGranted
    | IntentRefused
    | StepReached
    | SubmitAnswered
    | StatusReported
    | ProviderRefRefused
    | CrashedTooOften
    | CancelRequested
    | OperatorAsked
)
