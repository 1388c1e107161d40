"""What Thunes' numbers mean (provider page, 4.3 to 4.5): its error codes, and the state of a transaction.

Tables and pure functions. A code that is not in them says nothing: unknown is not failed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from nepxy.engine.failures import FailureCode
from nepxy.engine.money import EXPONENTS, from_major
from nepxy.engine.outcomes import Finding, ReportedTerms, Shortfall, StatusReport
from nepxy.engine.payout import ProviderRef

NO_AMOUNT_OF_OURS: Final = -1
"""Differs from every amount that we can have sent, so that a person looks."""
ID_CHARACTERS_MAX: Final = 64


class ErrorClass(Enum):
    """The class column of the page, 4.5."""

    TERMINAL = "T"
    OPERATOR = "O"
    ASK = "?"
    SIGNAL = "flow"
    """Says where the three writes stand (4.3)."""


EXTERNAL_ID_USED: Final = "1007001"
ALREADY_CONFIRMED: Final = "1007002"
CANNOT_CONFIRM: Final = "1007003"
QUOTATION_EXPIRED: Final = frozenset({"1007004", "1008003"})
INSUFFICIENT_BALANCE: Final = "1007005"
ACCOUNT_INVALID: Final = "1005001"
NOT_FOUND: Final = frozenset({"1000404", "1008004"})

_T, _O, _ASK, _SIGNAL = ErrorClass.TERMINAL, ErrorClass.OPERATOR, ErrorClass.ASK, ErrorClass.SIGNAL

API_ERRORS: Final[Mapping[str, tuple[ErrorClass, str]]] = MappingProxyType(
    {
        "1000401": (_O, "UNAUTHORISED"),
        "1000997": (_O, "COUNTRY_NOT_AUTHORISED"),
        "1000998": (_O, "SOURCE_COUNTRY_NOT_AUTHORISED"),
        "1003001": (_O, "PAYER_INACTIVE"),
        "1003002": (_O, "PAYER_INVALID"),
        INSUFFICIENT_BALANCE: (_O, "INSUFFICIENT_BALANCE"),
        "1007100": (_O, "METHOD_UNSUPPORTED"),
        "1000404": (_ASK, "NOT_FOUND"),
        "1008002": (_ASK, "QUOTATION_NOT_FOUND"),
        "1008004": (_ASK, "TRANSACTION_NOT_FOUND"),
        "1003007": (_ASK, "PAYER_UNAVAILABLE"),
        "1007101": (_ASK, "METHOD_UNAVAILABLE"),
        "1009001": (_ASK, "UNEXPECTED_ERROR"),
        "1000999": (_T, "INVALID_PARAMETER"),
        "1003008": (_T, "AMOUNT_INVALID"),
        "1003010": (_T, "CURRENCY_NOT_PAID"),
        "1003011": (_T, "AMOUNT_BELOW_MINIMUM"),
        "1003012": (_T, "AMOUNT_ABOVE_MAXIMUM"),
        ACCOUNT_INVALID: (_T, "ACCOUNT_INVALID"),
        "1006001": (_T, "AMOUNT_LIMIT_EXCEEDED"),
        "1006002": (_T, "COUNT_LIMIT_EXCEEDED"),
        "1006099": (_T, "LIMIT_EXCEEDED"),
        **dict.fromkeys((f"100740{n}" for n in range(1, 6)), (_T, "ATTACHMENT_REFUSED")),
        EXTERNAL_ID_USED: (_SIGNAL, "EXTERNAL_ID_USED"),
        ALREADY_CONFIRMED: (_SIGNAL, "ALREADY_CONFIRMED"),
        CANNOT_CONFIRM: (_SIGNAL, "CANNOT_CONFIRM"),
        **dict.fromkeys(QUOTATION_EXPIRED, (_SIGNAL, "QUOTATION_EXPIRED")),
        "1007014": (_SIGNAL, "CANNOT_CANCEL"),
    }
)

_WHY_UNPAID: Final[Mapping[str, str]] = MappingProxyType(
    {
        "0110": "SENDER_SCREENED",
        "0120": "BENEFICIARY_SCREENED",
        "0200": "INVALID_BENEFICIARY",
        "0201": "BARRED_BENEFICIARY",
        "0210": "INVALID_BENEFICIARY_DETAILS",
        "0392": "COMPLIANCE_REASON",
        "0400": "PAYER_UNAVAILABLE",
        "0500": "INSUFFICIENT_BALANCE",
    }
)
"""By the last four digits of a 3xxxx (by Thunes) or 9xxxx (by the payer)."""

_FAILURES: Final[Mapping[str, FailureCode]] = MappingProxyType(
    {
        "INVALID_BENEFICIARY": FailureCode.UNKNOWN_PAYEE,
        "BARRED_BENEFICIARY": FailureCode.PAYEE_CANNOT_RECEIVE,
        "UNSUPPORTED_BENEFICIARY": FailureCode.PAYEE_CANNOT_RECEIVE,
        "INVALID_BENEFICIARY_DETAILS": FailureCode.PAYEE_DETAILS_WRONG,
        "LIMIT_EXCEEDED": FailureCode.LIMIT_EXCEEDED,
    }
)
FAILURES: Final[Mapping[str, FailureCode]] = MappingProxyType(
    {
        **{f"{by}_{why}": code for by in ("REJECTED", "DECLINED") for why, code in _FAILURES.items()},
        "ACCOUNT_INVALID": FailureCode.UNKNOWN_PAYEE,
        **dict.fromkeys(
            ("AMOUNT_LIMIT_EXCEEDED", "COUNT_LIMIT_EXCEEDED", "LIMIT_EXCEEDED"), FailureCode.LIMIT_EXCEEDED
        ),
        **dict.fromkeys(
            (
                "AMOUNT_INVALID",
                "AMOUNT_BELOW_MINIMUM",
                "AMOUNT_ABOVE_MAXIMUM",
                "AMOUNT_PRECISION",
                "AMOUNT_INCREMENT",
            ),
            FailureCode.AMOUNT_NOT_PAYABLE,
        ),
        "CURRENCY_NOT_PAID": FailureCode.CURRENCY_NOT_PAYABLE,
        "COUNTRY_NOT_SERVED": FailureCode.COUNTRY_NOT_SERVED,
    }
)
"""By our names of its codes and statuses."""

_ENDED_BY: Final[Mapping[str, str]] = MappingProxyType({"3": "REJECTED", "4": "CANCELLED", "9": "DECLINED"})
REVERSAL_DONE: Final = "60020"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transaction as Thunes tells it, so far as we use it."""

    id: str
    external_id: str | None
    code: str
    """Five digits."""
    status_class: str
    """One digit: the class that the code is followed by, where the code itself is new."""
    class_message: str
    terms: ReportedTerms
    source: Shortfall | None
    """What it takes from our balance there."""

    @property
    def is_created(self) -> bool:
        """Class 1: it waits for our confirm, and moves nothing until then."""
        return self.status_class == "1"


def meaning(codes: tuple[str, ...]) -> tuple[ErrorClass, str] | None:
    """Class and name of a refusal; None where a code is not known, or several disagree about what to do."""
    known = [API_ERRORS.get(code) for code in codes]
    classes = {entry[0] for entry in known if entry is not None}
    first = known[0] if known else None
    return first if None not in known and len(classes) == 1 else None


def read_transaction(document: Mapping[str, Any]) -> Transaction | None:
    """A transaction object; None where it has no id or no numeric status, or its class and code disagree."""
    named, code = identifier(document.get("id")), status_code(document.get("status"))
    if named is None or code is None:
        return None
    given = document.get("status_class")
    status_class = code[0] if given is None else _text(given)
    if status_class != code[0]:
        return None
    destination, source = _object(document, "destination"), _object(document, "source")
    currency = _currency(destination)
    identifiers = _object(document, "credit_party_identifier")
    return Transaction(
        id=named,
        external_id=identifier(document.get("external_id")),
        code=code,
        status_class=status_class,
        class_message=(_text(document.get("status_class_message")) or "").upper(),
        terms=ReportedTerms(
            amount=_minor(destination.get("amount"), currency),
            currency=currency,
            phone_e164=_phone(identifiers.get("msisdn")),
        ),
        source=_spent(source, _object(document, "fee")),
    )


def status_code(value: object) -> str | None:
    """A five-digit status, string or integer [D]; None for all else, Thunes' own words among it."""
    text = _text(value)
    return text if text is not None and re.fullmatch(r"[1-9][0-9]{4}", text) else None


def identifier(value: object) -> str | None:
    """An id that can be stored whole and asked for."""
    text = _text(value)
    return text if text and re.fullmatch(rf"[A-Za-z0-9._:-]{{1,{ID_CHARACTERS_MAX}}}", text) else None


def report_of(transaction: Transaction, *, call: str, answer: str, request: str = "") -> StatusReport:
    """What the state of a transaction says of its payout (4.4): the class decides, and the code says why."""
    finding = _finding(transaction)
    why = transaction.code[1:]
    unpaid = finding is Finding.UNPAID
    out_of_money = unpaid and transaction.code == "30500"
    reason = _reason(transaction, finding)
    return StatusReport(
        finding=finding,
        reason=reason,
        provider_ref=ProviderRef(transaction.id),
        # Closed for want of a payer at work, or of our own money: nothing is wrong with the payout itself.
        retry_with_new_reference=unpaid
        and transaction.status_class != "4"
        and (why == "0400" or out_of_money),
        blocks_provider=out_of_money,
        shortfall=transaction.source if out_of_money else None,
        terms=transaction.terms,
        call=call,
        request=request,
        answer=answer,
        rule=_rule(transaction, finding),
    )


def _finding(transaction: Transaction) -> Finding:
    match transaction.status_class:
        case "1":
            return Finding.UNFINISHED
        case "2" | "5":
            return Finding.IN_FLIGHT
        case "3" | "4" | "9":
            return Finding.UNPAID
        case "7":
            return Finding.PAID
        case "6" if transaction.code == REVERSAL_DONE:
            return Finding.REVERSED
        case "8" if "REVERS" in transaction.class_message:
            return Finding.REVERSED
        case "6" | "8":
            return Finding.IN_FLIGHT
        case _:
            return Finding.NO_ANSWER


def _reason(transaction: Transaction, finding: Finding) -> str:
    if finding is not Finding.UNPAID:
        return f"STATUS_{transaction.code}"
    ended, why = _ENDED_BY[transaction.status_class], transaction.code[1:]
    if transaction.status_class == "4" or why == "0000":
        return ended
    if why == "0202":
        return f"{ended}_{'BARRED_SENDER' if ended == 'REJECTED' else 'UNSUPPORTED_BENEFICIARY'}"
    if "0300" < why <= "0370":
        return f"{ended}_LIMIT_EXCEEDED"
    return f"{ended}_{_WHY_UNPAID.get(why, transaction.code)}"


def _rule(transaction: Transaction, finding: Finding) -> str:
    said = f"class {transaction.status_class}, code {transaction.code}"
    match finding, transaction.status_class:
        case Finding.UNFINISHED, _:
            return f"{said}: created, and no money moves until we confirm it"
        case Finding.IN_FLIGHT, "2":
            return f"{said}: Thunes' CONFIRMED means queued"
        case Finding.IN_FLIGHT, "6" | "8":
            return f"{said}: its meaning differs by contract, so a person must look if it stays"
        case _:
            return said


def _spent(source: Mapping[str, Any], fee: Mapping[str, Any]) -> Shortfall | None:
    currency, amount = _currency(source), decimal_of(source.get("amount"))
    if currency is None or currency not in EXPONENTS or amount is None or amount <= 0:
        return None
    # Whether the fee is held with the amount is not said [U]: the larger sum is waited for.
    fees = decimal_of(fee.get("amount")) if _currency(fee) == currency else None
    total = amount + max(fees or Decimal(0), Decimal(0))
    return Shortfall(amount=minor_units(total, currency, ROUND_CEILING), currency=currency)


def minor_units(amount: Decimal, currency: str, rounding: str) -> int:
    """A major amount in minor units, rounded: for what is not a payout's own amount."""
    return int(amount.scaleb(EXPONENTS[currency]).to_integral_value(rounding=rounding))


def decimal_of(value: object) -> Decimal | None:
    """A number as Thunes writes it: a JSON number, or a string such as `"50.00000000"` [I]."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        plain = re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", value.strip())
        return Decimal(value.strip()) if plain else None
    if isinstance(value, (int, Decimal)):
        number = Decimal(value)
        return number if number.is_finite() and abs(number.adjusted()) <= 18 else None
    return None


def _minor(value: object, currency: str | None) -> int | None:
    """The amount that is reported, in minor units; one that is none of ours is told as such, not as silence."""
    if value is None or currency is None or isinstance(value, float):
        # Only a callback's body, which others have parsed, holds floats; its amount is compared when it is re-read.
        return None
    number = decimal_of(value)
    if number is None or currency not in EXPONENTS:
        return NO_AMOUNT_OF_OURS
    try:
        return from_major(number, currency)
    except ValueError:
        return NO_AMOUNT_OF_OURS


def _phone(value: object) -> str | None:
    digits = re.sub(r"[ +().-]", "", _text(value) or "")
    # A number that they mask cannot be compared.
    return f"+{digits}" if digits.isascii() and digits.isdigit() else None


def _currency(money: Mapping[str, Any]) -> str | None:
    text = _text(money.get("currency"))
    return text.upper() if text is not None and re.fullmatch(r"[A-Za-z]{3}", text) else None


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    if isinstance(value, int) and value.bit_length() > 64:
        return None
    return str(value).strip()
