"""What the wallet profiles have in common: reading a stranger's fields, and keeping what was heard.

Nothing here decides what an answer means; each profile's own tables do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from nepxy.config.masking import mask_text
from nepxy.config.providers import MsisdnForm
from nepxy.config.secret import Secret
from nepxy.engine.failures import FailureCode
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, ReportedTerms, Shortfall, StatusReport
from nepxy.engine.payout import Payout, ProviderRef
from nepxy.providers.wire import Answered

REFERENCE_CHARACTERS_MAX: Final = 200
WORD_BYTES_MAX: Final = 64
NO_AMOUNT_OF_OURS: Final = -1
"""Differs from every amount that we can have sent, so that a person looks."""
INSUFFICIENT_FLOAT: Final = "INSUFFICIENT_FLOAT"
"""The reason of every refusal for want of our own money, whatever the provider calls it."""

NOT_SERVED: Final[Mapping[str, FailureCode]] = {
    "CURRENCY_NOT_SERVED": FailureCode.CURRENCY_NOT_PAYABLE,
    "COUNTRY_NOT_SERVED": FailureCode.COUNTRY_NOT_SERVED,
}
"""What clients are told of our own refusals (`not_served`)."""

_DIGITS_MIN: Final = 10
"""Of a number that names its country: Benin's old form has 11, and 8 digits alone could be anybody's."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, with the call that it answers: what every outcome made of it keeps as evidence."""

    result: Answered
    call: str
    secrets: tuple[Secret, ...]

    def outcome(
        self,
        kind: OutcomeClass,
        reason: str,
        rule: str,
        *,
        provider_ref: str | None = None,
        terms: ReportedTerms | None = None,
        reference_was_used: bool = False,
        shortfall: Shortfall | None = None,
    ) -> Outcome:
        """What it says of a submit."""
        return Outcome(
            kind=kind,
            reason=reason,
            rule=rule,
            provider_ref=ProviderRef(provider_ref) if provider_ref else None,
            terms=terms or ReportedTerms(),
            reference_was_used=reference_was_used,
            shortfall=shortfall,
            call=self.call,
            request=self.result.asked(*self.secrets),
            answer=self.result.masked(*self.secrets),
            retry_after_s=self.result.retry_after_s,
        )

    def report(
        self,
        finding: Finding,
        reason: str,
        rule: str,
        *,
        provider_ref: str | None = None,
        terms: ReportedTerms | None = None,
        shortfall: Shortfall | None = None,
    ) -> StatusReport:
        """What it says of a payout's state."""
        return StatusReport(
            finding=finding,
            reason=reason,
            rule=rule,
            provider_ref=ProviderRef(provider_ref) if provider_ref else None,
            terms=terms or ReportedTerms(),
            # Their attempt is closed; once our money is there, a new one may succeed.
            retry_with_new_reference=shortfall is not None,
            blocks_provider=shortfall is not None,
            shortfall=shortfall,
            call=self.call,
            request=self.result.asked(*self.secrets),
            answer=self.result.masked(*self.secrets),
        )

    def code(self, text: str) -> str:
        """Their word as a code of ours."""
        return as_code(text, *self.secrets)


def not_served(reason: str, rule: str) -> Outcome:
    """A payout that this profile cannot express: our own validation, and nothing is sent."""
    return Outcome(
        kind=OutcomeClass.REJECTED, reason=reason, rule=rule, answer="nothing was sent", call="none was made"
    )


def shortfall_of(payout: Payout) -> Shortfall:
    """No wallet's contract says how much is missing: as much as the payout at least."""
    return Shortfall(amount=payout.amount, currency=payout.currency)


def first_text(fields: Mapping[str, object], keys: tuple[str, ...]) -> str | None:
    """The first non-empty value among these keys, as text."""
    for key in keys:
        value = fields.get(key)
        if isinstance(value, bool) or value is None:
            continue
        text = str(value).strip() if isinstance(value, (str, int)) else ""
        if text:
            return text
    return None


def readable(reference: str | None) -> str | None:
    """A reference that can be stored whole and asked for; None for any other.

    Dots alone would lead to another path than the one of a status template.
    """
    if reference is None or len(reference) > REFERENCE_CHARACTERS_MAX or not reference.isprintable():
        return None
    return reference if reference.strip(".") else None


def as_code(text: str, *secrets: Secret) -> str:
    """The provider's words as a code of one line: they may hold a number or a secret, and are stored and shown."""
    masked = mask_text(text.strip(), WORD_BYTES_MAX, secrets=secrets)
    return re.sub(r"[\s\x00-\x1f\x7f]+", "_", masked).upper()


def whole_amount(value: object) -> int | None:
    """The amount in minor units; `NO_AMOUNT_OF_OURS` for one that is reported and is no whole number."""
    match value:
        case None | bool() | "":
            return None
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        case str() if re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
            return int(value)
        case _:
            return NO_AMOUNT_OF_OURS


def reported_number(text: str | None) -> str | None:
    """A number as E.164 that can be compared with ours; None where they mask it or leave out the country.

    Benin's old form (229 and 8 digits, withdrawn in November 2024) is the same wallet as its new one.
    """
    digits = re.sub(r"[ +().-]", "", text or "")
    if not (digits.isascii() and digits.isdigit() and len(digits) >= _DIGITS_MIN):
        return None
    if digits.startswith("229") and len(digits) == 11:
        digits = f"22901{digits[3:]}"
    return f"+{digits}"


def msisdn(payout: Payout, form: MsisdnForm) -> str:
    """The payee's number as a rail wants it (provider page 2.2: the outgoing form is a setting of the rail)."""
    digits = payout.phone_e164.removeprefix("+")
    match form:
        case "e164":
            return payout.phone_e164
        case "digits":
            return digits
        case "national":
            return re.sub(r"^22[89]", "", digits)
        case "old-benin":
            return re.sub(r"^22901(?=[0-9]{8}$)", "229", digits)
        case _:
            assert_never(form)


def unwrapped(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is under `data`, where there is an object; else the document itself."""
    inner = document.get("data")
    return inner if isinstance(inner, dict) else document


def fingerprint(*parts: str) -> str:
    """Tells accounts apart; what it is made of cannot be had back from it."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:12]
