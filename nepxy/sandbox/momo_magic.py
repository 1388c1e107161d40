"""MTN's magic numbers (providers page 3.7), and how numbers of MTN's own countries reach them.

The real sandbox looks at 46733123450 to 46733123464 alone. Here, so that a number which routing takes for MTN's can
have the same fate, the suffix `06NN` does what 467331234NN does; and the suffixes that all providers share work too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nepxy.sandbox.magic import BY_NAME, script_for
from nepxy.sandbox.script import Script

NOT_ENOUGH_FUNDS = "NOT_ENOUGH_FUNDS"
_MAGIC = re.compile(r"(?:467331234|[0-9]+06)([56][0-9])")


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a transfer that is taken with 202."""

    script: Script
    reason: str | None = None
    """Of its FAILED; None: it is not to fail."""


def _fails(reason: str) -> Fate:
    return Fate(BY_NAME["fails_later"], reason)


TRANSFERS: Mapping[str, Fate] = MappingProxyType(
    {
        "50": _fails("INTERNAL_PROCESSING_ERROR"),
        "51": _fails("APPROVAL_REJECTED"),
        "52": _fails("EXPIRED"),
        "53": Fate(BY_NAME["expires_at_last"], "EXPIRED"),
        "54": Fate(BY_NAME["created_first"]),
        "55": _fails(NOT_ENOUGH_FUNDS),
        "56": _fails("PAYER_LIMIT_REACHED"),
        "57": _fails("PAYEE_NOT_FOUND"),
        "58": _fails("NOT_ALLOWED"),
        "59": _fails("NOT_ALLOWED_TARGET_ENVIRONMENT"),
        "60": _fails("INVALID_CALLBACK_URL_HOST"),
        "61": _fails("INVALID_CURRENCY"),
        "62": _fails("INTERNAL_PROCESSING_ERROR"),
        "63": _fails("SERVICE_UNAVAILABLE"),
        "64": _fails("TRANSFER_TYPE_UNKNOWN"),
    }
)
"""By the last two digits. Doomed transfers get their 202 like all others [O]."""

_SHARED: Mapping[str, Fate] = MappingProxyType(
    {
        "0101": _fails("PAYEE_NOT_FOUND"),
        "0102": _fails(NOT_ENOUGH_FUNDS),
        "0103": _fails(NOT_ENOUGH_FUNDS),
        "0401": _fails("PAYEE_NOT_ALLOWED_TO_RECEIVE"),
    }
)
"""What the other providers refuse at the door, MTN takes, and fails. Our balance suffices with 0102 and 0103: then
the code means the payee's limit (3.5)."""

HOLDERS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "50": (404, "RESOURCE_NOT_FOUND"),
        "51": (200, ""),
        "52": (500, "NOT_ALLOWED"),
        "53": (500, "NOT_ALLOWED_TARGET_ENVIRONMENT"),
        "54": (500, "INTERNAL_PROCESSING_ERROR"),
        "55": (503, "SERVICE_UNAVAILABLE"),
    }
)
"""What a question about an account holder gets, a list of its own in 3.7: status and code; no code: not active."""

_HOLDER_UNKNOWN = (404, "RESOURCE_NOT_FOUND")


def fate_of(msisdn: str) -> Fate:
    """What a payee's number, digits with or without `+`, does to its transfer."""
    magic = _MAGIC.fullmatch(msisdn.removeprefix("+"))
    if magic is not None and magic[1] in TRANSFERS:
        return TRANSFERS[magic[1]]
    return _SHARED.get(msisdn[-4:]) or Fate(script_for(msisdn))


def holder_of(digits: str) -> tuple[int, str] | None:
    """How a question about this number's holder ends; None: the holder is there, and active."""
    magic = _MAGIC.fullmatch(digits)
    if magic is not None and magic[1] in HOLDERS:
        return HOLDERS[magic[1]]
    return _HOLDER_UNKNOWN if digits.endswith("0101") else None


def describe_momo() -> list[tuple[str, str, str]]:
    """Rows for people: suffix, reason, what happens."""
    rows = [
        (f"06{digits}", fate.reason or fate.script.name, f"as 467331234{digits}: {_what(fate)}")
        for digits, fate in TRANSFERS.items()
    ]
    return rows + [(suffix, fate.reason or "", _what(fate)) for suffix, fate in _SHARED.items()]


def _what(fate: Fate) -> str:
    return fate.script.what if fate.script.name != "fails_later" else "202; then FAILED; no money moves"
