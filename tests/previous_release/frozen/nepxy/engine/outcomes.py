"""What one call to a provider told us: a value, never an exception.

A submit gives an `Outcome`; a poll, a look-up or a webhook gives a `StatusReport`. Adapters map wire
formats to these; what follows from them is decided in `decide`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nepxy.engine.payout import ProviderRef


class OutcomeClass(StrEnum):
    """The seven things that a submit can mean (design page)."""

    ACCEPTED = "ACCEPTED"
    """Taken for processing; not paid yet."""
    CONFIRMED = "CONFIRMED"
    """Paid within the call."""
    REJECTED = "REJECTED"
    """Read and refused: no money moved under this reference, and none will."""
    BLOCKED = "BLOCKED"
    """Refused until an operator acts (credentials, allow-list, balance): the payout waits."""
    NOT_SENT = "NOT_SENT"
    """Nothing of the request left this machine."""
    THROTTLED = "THROTTLED"
    """Too fast. In doubt unless `refused_before_processing`."""
    UNKNOWN = "UNKNOWN"
    """Anything else. Unknown is not failed (money rule 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedTerms:
    """Amount (minor units), currency and number as the provider reports them; None: it does not say."""

    amount: int | None = None
    currency: str | None = None
    phone_e164: str | None = None

    def differ_from(self, *, amount: int, currency: str, phone_e164: str) -> tuple[str, ...]:
        """The names of the terms that are reported and are not ours."""
        pairs = (
            ("amount", self.amount, amount),
            ("currency", self.currency, currency),
            ("phone_e164", self.phone_e164, phone_e164),
        )
        return tuple(name for name, theirs, ours in pairs if theirs is not None and theirs != ours)


NO_TERMS = ReportedTerms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a submit told us, with the words that prove it."""

    kind: OutcomeClass
    reason: str
    """A stable upper-case code: the provider's own where it has one, else ours (`CONNECT_REFUSED`, `HTTP_500`)."""
    provider_ref: ProviderRef | None = None
    retry_after_s: float | None = None
    refused_before_processing: bool = False
    """For THROTTLED: it is proven that the request was turned away unread."""
    retry_with_new_reference: bool = False
    """For REJECTED: the provider closed this reference, yet a new attempt may succeed."""
    reference_was_used: bool = False
    """For UNKNOWN: the provider says that our reference is a repeated one."""
    terms: ReportedTerms = NO_TERMS
    call: str = ""
    """Which call it was, as `METHOD path`; no host secrets, no numbers."""
    answer: str = ""
    """What was answered: masked, at most 300 bytes."""
    rule: str = ""
    """The rule by which the answer was read, for the dispute page."""


class Finding(StrEnum):
    """What a status read or a webhook says of a payout."""

    PAID = "PAID"
    UNPAID = "UNPAID"
    """Proven failure under this reference."""
    IN_FLIGHT = "IN_FLIGHT"
    ABSENT = "ABSENT"
    """The provider answers that it knows no such reference. Never proof by itself."""
    REVERSED = "REVERSED"
    """It was paid, and the provider took it back."""
    NO_ANSWER = "NO_ANSWER"
    """The read failed or cannot be understood: it says nothing about the payout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """What a poll, look-up or webhook says, with the words that prove it."""

    finding: Finding
    reason: str
    """The provider's own word or code."""
    provider_ref: ProviderRef | None = None
    retry_after_s: float | None = None
    retry_with_new_reference: bool = False
    """For UNPAID: a new attempt may succeed."""
    terms: ReportedTerms = NO_TERMS
    call: str = ""
    answer: str = ""
    rule: str = ""
