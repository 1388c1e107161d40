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
class Shortfall:
    """What our account at a provider would have to hold, and does not: minor units of the account's own currency.

    An adapter that does not know better gives the payout's own amount and currency.
    """

    amount: int
    currency: str


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
    shortfall: Shortfall | None = None
    """For BLOCKED: what is missing is money of ours. With the capability `balance`, the pause ends by itself."""
    terms: ReportedTerms = NO_TERMS
    call: str = ""
    """Which call it was, as `METHOD path`; no host secrets, no numbers."""
    request: str = ""
    """What was asked: masked, at most 300 bytes."""
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
    UNFINISHED = "UNFINISHED"
    """It has what an earlier step of a submit left, and moves no money until we finish it: not IN_FLIGHT, which
    would mean that the provider goes on by itself. A submit under the same reference finishes it; like ABSENT it
    proves nothing by itself, because our last step may still be on its way."""
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
    blocks_provider: bool = False
    """For UNPAID: for want of something on our side (balance, a limit, a permission) the next payouts would end so,
    too. Submits are paused until an operator acts. With `retry_with_new_reference`, no try is used up."""
    shortfall: Shortfall | None = None
    """With `blocks_provider`: what is missing is money of ours, as in `Outcome.shortfall`."""
    provider_failed: bool = False
    """For NO_ANSWER: there was none, or a 5xx, as opposed to one that we have no use for; the breaker counts it."""
    terms: ReportedTerms = NO_TERMS
    call: str = ""
    request: str = ""
    answer: str = ""
    rule: str = ""
