"""What MTN's codes and words mean, and how its values are written: tables and pure functions (providers.md, 3.2-3.6).

MTN answers client and configuration errors with HTTP 500 too [D], so the code decides, and the HTTP status only where
there is none that we know.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import Final

from nepxy.config.masking import mask_text
from nepxy.config.secret import Secret
from nepxy.engine.failures import FailureCode
from nepxy.engine.money import EXPONENTS, exponent_of, from_major, to_major
from nepxy.engine.outcomes import Finding, ReportedTerms
from nepxy.engine.payout import Payout

NOT_ENOUGH_FUNDS: Final = "NOT_ENOUGH_FUNDS"

OURS_TO_MEND: Final = frozenset(
    {
        NOT_ENOUGH_FUNDS,
        "PAYER_LIMIT_REACHED",
        "SENDER_ACCOUNT_NOT_ACTIVE",
        "PAYER_NOT_FOUND",
        "NOT_ALLOWED",
        "NOT_ALLOWED_TARGET_ENVIRONMENT",
        "INVALID_CURRENCY",
        "INVALID_CALLBACK_URL_HOST",
    }
)
"""Class O, 3.5: the next payout would end the same way until an operator acts. The first with the doubt of `momo`."""

FAILURES: Final[Mapping[str, FailureCode]] = {
    "PAYEE_NOT_FOUND": FailureCode.UNKNOWN_PAYEE,
    "PAYEE_NOT_ALLOWED_TO_RECEIVE": FailureCode.PAYEE_CANNOT_RECEIVE,
    "PAYEE_LIMIT_REACHED": FailureCode.LIMIT_EXCEEDED,
    "CURRENCY_NOT_SUPPORTED": FailureCode.CURRENCY_NOT_PAYABLE,
}

SAYS_NOTHING: Final = frozenset({"INTERNAL_PROCESSING_ERROR", "SERVICE_UNAVAILABLE"})
"""Class ? when they answer a call, whatever the HTTP status: what became of it is asked."""

REFERENCE_USED: Final = "RESOURCE_ALREADY_EXIST"
NOT_FOUND: Final = "RESOURCE_NOT_FOUND"

WORDS: Final[Mapping[str, Finding]] = {
    "CREATED": Finding.IN_FLIGHT,
    "PENDING": Finding.IN_FLIGHT,
    "SUCCESSFUL": Finding.PAID,
    "FAILED": Finding.UNPAID,
}
"""Transfer states, 3.4. Any other word says nothing: it is not documented, so it is neither paid nor unpaid."""

WEBHOOK_WORDS: Final[Mapping[str, Finding]] = {
    **WORDS,
    **dict.fromkeys(("SUCCESS", "CONFIRMED", "COMPLETED"), Finding.PAID),
    **dict.fromkeys(("REJECTED", "CANCELLED", "CANCELED"), Finding.UNPAID),
}
"""With those of the signed webhooks that deployments have in front of us (section 8 [N])."""

WORD_BYTES_MAX: Final = 64
NOTE_CHARACTERS_MAX: Final = 160
NO_AMOUNT_OF_OURS: Final = -1
"""Differs from every amount that we can have sent, so that a person looks."""


def code_of(document: Mapping[str, object] | None) -> str | None:
    """The code of an error body: `{code, message}`, or the gateway's `{statusCode, message}`, which names none."""
    return code_text((document or {}).get("code"))


def reason_of(document: Mapping[str, object], *secrets: Secret) -> str | None:
    """Why a transfer failed: a text in what was observed, an object in the published schema [O, D]."""
    reason = document.get("reason")
    return code_text(reason.get("code") if isinstance(reason, Mapping) else reason, *secrets)


def code_text(value: object, *secrets: Secret) -> str | None:
    """A code of theirs as one short upper-case word; None where there is none."""
    if not isinstance(value, str) or not value.strip():
        return None
    masked = mask_text(value.strip(), WORD_BYTES_MAX, secrets=secrets)
    return re.sub(r"[\s\x00-\x1f\x7f]+", "_", masked).upper()


def wire_amount(amount: int, currency: str) -> str:
    """Major units as text, with the currency's decimals and no others: `1000` for 1000 XOF, `10.05` for 1005 GHS.

    Raises:
        ValueError: the currency's decimals are not known.
    """
    return format(to_major(amount, currency), "f")


def read_terms(document: Mapping[str, object], payout: Payout, *, sent_as: str) -> ReportedTerms:
    """Amount, currency and payee of a status body.

    Args:
        document: the body.
        payout: ours.
        sent_as: the currency that it was sent in, which the sandbox makes another than the payout's.
    """
    named = document.get("currency")
    currency = mask_text(named.strip(), WORD_BYTES_MAX).upper() if isinstance(named, str) and named else None
    # Sent as EUR for the sandbox, the number is still that of the payout's own currency.
    ours = currency in (None, sent_as)
    counted_in = payout.currency if ours else (currency or payout.currency)
    return ReportedTerms(
        amount=_amount(document.get("amount"), counted_in),
        currency=None if currency is None else payout.currency if ours else currency,
        phone_e164=_phone(document.get("payee")),
    )


def balance_amount(value: object, currency: str) -> int | None:
    """A balance in minor units, rounded down: part of a franc pays nobody."""
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    try:
        amount = Decimal(text).scaleb(exponent_of(currency))
        whole = amount.to_integral_value(rounding=ROUND_FLOOR)
    except (InvalidOperation, ValueError):
        return None
    return int(whole) if whole.is_finite() and abs(whole) < 10**18 else None


def wire_msisdn(phone_e164: str, *, benin_digits: int) -> str:
    """Digits with the country code and no `+`; Benin's in the form that this account wants (2.2)."""
    digits = phone_e164.removeprefix("+")
    short = re.fullmatch(r"22901([0-9]{8})", digits)
    return f"229{short[1]}" if short and benin_digits == 8 else digits


def note_text(*parts: str) -> str:
    """A note to a payer or payee: letters, digits and spaces only, because others cause a 400 [D], and bounded."""
    joined = unicodedata.normalize("NFKD", " ".join(parts)).encode("ascii", errors="ignore").decode()
    return " ".join(re.sub(r"[^A-Za-z0-9]+", " ", joined).split())[:NOTE_CHARACTERS_MAX].strip()


def transaction_of(document: Mapping[str, object]) -> str | None:
    """MTN's own id of the transaction, for the evidence: nothing can be looked up by it (3.3)."""
    value = document.get("financialTransactionId")
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return text if re.fullmatch(r"[0-9A-Za-z_-]{1,40}", text) else None


def _amount(value: object, currency: str) -> int | None:
    if value is None or value == "" or currency not in EXPONENTS:
        return None
    try:
        # A JSON number is read by its own digits: `str` of a parsed one gives them back.
        return from_major("" if isinstance(value, bool) else str(value), currency)
    except ValueError:
        return NO_AMOUNT_OF_OURS


def _phone(payee: object) -> str | None:
    if not isinstance(payee, Mapping) or payee.get("partyIdType", "MSISDN") != "MSISDN":
        return None
    party = payee.get("partyId")
    digits = re.sub(r"[ +]", "", str(party) if isinstance(party, (str, int)) else "")
    if not (digits.isascii() and digits.isdigit()):
        return None  # a number that they mask cannot be compared
    old_benin = re.fullmatch(r"229([0-9]{8})", digits)
    return f"+22901{old_benin[1]}" if old_benin else f"+{digits}"
