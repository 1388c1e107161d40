"""Phone numbers of wallets: checked, normalised to E.164, and with the network that their prefix hints at.

Which number may be paid is decided here, once; what a provider wants on its wire is the adapter's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, carrier

from nepxy.errors import FieldProblem, ValidationFailed

FIELD: Final = "phone_e164"

_SHAPE: Final = re.compile(r"\+[0-9][0-9 ().\-]{5,28}")
_OLD_BENIN: Final = re.compile(r"\+229([0-9]{8})")
_MOBILE: Final = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})

_OUR_NAMES: Final[Mapping[str, str]] = {
    "togo telecom": "Togocom",
    "togocel": "Togocom",
    "togocom": "Togocom",
    "moov": "Moov",
    "moov africa": "Moov",
    "mtn": "MTN",
    "mtn cameroon": "MTN",
    "swazi mtn": "MTN",
    "areeba": "MTN",
    "lonestar cell": "MTN",
}
"""The library's names, and those of older releases of it, by the name that routing knows."""

_PREFIXES: Final[tuple[tuple[str, str], ...]] = (
    *((f"+228{prefix}", "Togocom") for prefix in (*range(70, 74), *range(90, 94))),
    *((f"+228{prefix}", "Moov") for prefix in (78, 79, *range(96, 100))),
)
"""For numbers that the library knows no network of (providers.md 2.2; one table elsewhere disagrees about 97)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Msisdn:
    """A mobile number that may be paid."""

    phone_e164: str
    country: str
    """ISO 3166 alpha-2: where the number belongs."""
    carrier: str | None
    """The network that the prefix was given to; only a hint, because numbers are ported (providers.md 2.2)."""


def parse_msisdn(text: str, country: str | None = None) -> Msisdn:
    """Read a mobile number in its international form; Benin's old 8 digits become `01` and the 8 digits.

    Args:
        text: E.164, with or without spaces and the like between the digits.
        country: ISO 3166 alpha-2 that the number must belong to; None: any.

    Raises:
        ValidationFailed: `phone_e164` or `country` is wrong; the number itself is not quoted.
    """
    number = _parsed(text)
    if not phonenumbers.is_valid_number(number):
        raise _refused("is not a number that exists in its country's numbering plan", "check each digit")
    if phonenumbers.number_type(number) not in _MOBILE:
        raise _refused("is not a mobile number, so it has no wallet")
    home = phonenumbers.region_code_for_number(number) or ""
    if country is not None and home != country:
        problem = FieldProblem("country", f"is {country}, and the number belongs to {home or 'no country'}")
        raise ValidationFailed([problem])
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return Msisdn(phone_e164=e164, country=home, carrier=carrier_of(number, e164))


def carrier_of(number: PhoneNumber, e164: str) -> str | None:
    """The network by the library's data, else by our own table; None: nobody knows."""
    name = carrier.name_for_number(number, "en").strip()
    if name:
        return _OUR_NAMES.get(name.casefold(), name)
    return next((network for prefix, network in _PREFIXES if e164.startswith(prefix)), None)


def _parsed(text: str) -> PhoneNumber:
    shape = text.strip()
    if not _SHAPE.fullmatch(shape):
        raise _refused("is not an international number", "send + and the country code first: +22890123456")
    digits = "+" + re.sub(r"[^0-9]", "", shape)
    if old := _OLD_BENIN.fullmatch(digits):
        digits = f"+22901{old[1]}"
    try:
        return phonenumbers.parse(digits, None)
    except phonenumbers.NumberParseException:
        raise _refused("does not begin with a country code that exists") from None


def _refused(problem: str, hint: str = "") -> ValidationFailed:
    return ValidationFailed([FieldProblem(FIELD, problem, hint)])
