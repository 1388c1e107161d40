"""Money: integers in a currency's ISO 4217 minor unit; decimals only at the wire, and never a float (money rule 11)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from types import MappingProxyType
from typing import Final

from nepxy.errors import FieldProblem

EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "XOF",
                "XAF",
                "XPF",
                "BIF",
                "CLP",
                "DJF",
                "GNF",
                "JPY",
                "KMF",
                "KRW",
                "PYG",
                "RWF",
                "UGX",
                "VND",
                "VUV",
            ),
            0,
        ),
        **dict.fromkeys(
            (
                "GHS",
                "NGN",
                "USD",
                "EUR",
                "GBP",
                "CHF",
                "CAD",
                "AUD",
                "CNY",
                "INR",
                "AED",
                "SAR",
                "BRL",
                "MXN",
                "TRY",
            ),
            2,
        ),
        **dict.fromkeys(
            (
                "ZAR",
                "KES",
                "TZS",
                "ZMW",
                "MAD",
                "EGP",
                "ETB",
                "CDF",
                "GMD",
                "LRD",
                "SLE",
                "MZN",
                "MWK",
                "AOA",
                "SZL",
            ),
            2,
        ),
        **dict.fromkeys(("CVE", "SSP", "BWP", "NAD", "LSL", "MRU", "MGA"), 2),
        **dict.fromkeys(("TND", "LYD", "BHD", "KWD", "OMR", "JOD", "IQD"), 3),
    }
)
"""Decimal places of each currency that we take. Source: ISO 4217, list one; providers.md 2.1 [D] for those in use."""

# The default context rounds at 28 digits without a word; this one refuses.
_EXACT: Final = Context(prec=64, traps=[InvalidOperation, Overflow, Inexact])

AMOUNT_MAX: Final = 10**15
"""More than any wallet holds, and far from the column's limit (`bigint`): a larger one is a slip."""


def check_amount(amount: int, currency: str) -> tuple[FieldProblem, ...]:
    """What is wrong with an amount of this currency; empty when nothing is.

    Args:
        amount: in minor units.
        currency: ISO 4217, upper case.
    """
    problems = []
    if currency not in EXPONENTS:
        problems.append(FieldProblem("currency", "is not a currency that we pay", "send XOF, XAF or GHS"))
    if amount <= 0:
        problems.append(FieldProblem("amount", "is not above zero", amount_hint(currency)))
    elif amount > AMOUNT_MAX:
        problems.append(FieldProblem("amount", f"is more than {AMOUNT_MAX}", amount_hint(currency)))
    return tuple(problems)


def amount_hint(currency: str | None) -> str:
    """How an amount is written in this currency, for whoever wrote it otherwise."""
    places = EXPONENTS.get(currency or "")
    if places is None:
        return "amount is an integer in the currency's minor units: 1000 XOF is 1000, 10.00 GHS is 1000"
    if places == 0:
        return f"amount is an integer in minor units ({currency} has none): for 1000 {currency} send 1000"
    written = to_major(1050, currency or "")
    return f"amount is an integer in minor units: for {written} {currency} send 1050"


def to_major(amount: int, currency: str) -> Decimal:
    """The amount as people and most providers write it: 1000 GHS minor units are `Decimal("10.00")`.

    Raises:
        TypeError: the amount is no integer.
        ValueError: the currency is not in `EXPONENTS`.
    """
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise TypeError(f"an amount is an int in minor units, not {type(amount).__name__}")
    return Decimal(amount).scaleb(-exponent_of(currency), _EXACT)


def from_major(value: Decimal | str, currency: str) -> int:
    """The amount in minor units; only where nothing is lost: 999.50 XOF does not exist.

    Raises:
        TypeError: the value is neither a Decimal nor text.
        ValueError: the currency is not in `EXPONENTS`, or the value is not representable in it.
    """
    if not isinstance(value, (Decimal, str)):
        raise TypeError(f"a major amount is Decimal or text, not {type(value).__name__}")
    places = exponent_of(currency)
    try:
        scaled = Decimal(value).scaleb(places, _EXACT)
        # Compared before it becomes an int: "1e999999" would be a number of a million digits.
        representable = abs(scaled) <= AMOUNT_MAX and scaled == scaled.to_integral_value()
    except ArithmeticError as error:  # not a number, infinite, out of range
        raise ValueError("not a finite decimal number of a sensible length") from error
    if not representable:
        raise ValueError(f"not representable in {currency}'s minor unit")
    return int(scaled)


def exponent_of(currency: str) -> int:
    """Decimal places of a currency.

    Raises:
        ValueError: the currency is not in `EXPONENTS`.
    """
    places = EXPONENTS.get(currency)
    if places is None:
        raise ValueError(f"{currency} is not a currency that we pay")
    return places
