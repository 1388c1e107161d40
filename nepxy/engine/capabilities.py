"""What a provider promises: the contract from which the engine derives which actions are legal.

An adapter declares it; the engine decides by capability, never by a provider's name. Whatever is not
proven is declared unknown, and unknown always means the careful action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nepxy.engine.failures import FailureCode


class RepeatedReference(StrEnum):
    """What a submit with an already used reference gets. Only the first two unlock an automatic resend.

    Both mean *once used, for good*: a reference that was refused on record, or ended unpaid, is never processed
    anew. A provider that lets an ended reference be used again is `UNKNOWN` (docs/decisions, 0006).
    """

    REJECTS = "rejects"
    REPLAYS = "replays"
    PAYS_AGAIN = "pays_again"
    UNKNOWN = "unknown"


class WebhookTrust(StrEnum):
    """How far a webhook of this provider may be believed."""

    SIGNED = "signed"
    """Its signature is checked: it may settle a payout."""
    HINT = "hint"
    """Anybody could have sent it: it only makes the engine ask."""
    NONE = "none"
    """The provider sends none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredField:
    """A field of a payout's request that the provider cannot pay without; refused at the door where it is missing."""

    name: str
    """As the client writes it, nested names joined with a dot: `recipient.first_name`."""
    where_given: str = ""
    """Only where the request has this field: what is left out whole is filled in from the settings."""
    characters_max: int | None = None
    pattern: str = ""
    """What must be found in it, as a regular expression; empty: anything that is not blank."""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """One provider's contract. Durations in seconds."""

    repeated_reference: RepeatedReference = RepeatedReference.UNKNOWN
    lookup_by_reference: bool = False
    """Can it be asked what became of *our* reference?"""
    absent_counts_after_s: float = 900.0
    """How long after `answer_by` a look-up's "absent" is no longer mere lag. It is never proof by itself."""
    status_by_provider_ref: bool = True
    """Can it be asked for the state of *its* reference?"""
    webhooks: WebhookTrust = WebhookTrust.NONE
    reverses_after_success: bool = False
    """May it take a confirmed payout back later?"""
    balance: bool = False
    """Can it be asked what we hold? Then a provider that was paused for want of money resumes by itself."""
    account_check: bool = False
    """Can it be asked whether a wallet takes money?"""
    requires: tuple[RequiredField, ...] = ()
    """What a request must say beyond what every payout needs."""
    failures: Mapping[str, FailureCode] = field(default_factory=dict)
    """What a client is told of the provider's reasons; any other is `NOT_PAID`."""

    @property
    def resend_allowed(self) -> bool:
        """Whether an unresolved attempt may be sent again under the same reference (money rule 4)."""
        return self.repeated_reference in (RepeatedReference.REJECTS, RepeatedReference.REPLAYS)
