"""Hides phone numbers and secrets in text that leaves us: logs, stored evidence, error messages.

Rather too much than too little: a run of eight digits is taken for a phone number, even if it was an amount. What
must stay whole has its own column or field. UUIDs and hexadecimal digests stay whole: operators search for them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from nepxy.config.secret import Secret

HIDDEN = "*****"
"""What stands in the place of a secret."""

_HIDDEN_DIGITS_MIN = 5
_SHOWN_DIGITS_MAX = 3
"""At either end, if enough stays hidden: `+228*****456`."""
_SECRET_CHARACTERS_MIN = 4
"""A shorter known secret would blot out half the text; it is no secret either."""

# Every alternative takes one digit a step and separators are no digits, so that a hostile body costs linear time.
# The first alternative is what must not be taken for a number; the others begin at eight digits, as the shortest
# local numbers that we serve do (Togo's 90 12 34 56). Dashes and dots join pairs only: else dates would go.
# What is looked ahead for is how each of them begins: it spares trying them all at most characters, half of the time.
_PHONE = re.compile(
    r"(?=[+\da-fA-F])(?:"
    r"(?P<id>(?<!(?i:[0-9a-z]))(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?=[0-9]{0,63}[a-fA-F])(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32}))(?!(?i:[0-9a-z])))"
    r"|\+\d(?:[ ().\-/]{0,3}\d){7,}"
    r"|\d(?: ?\d){7,}"
    r"|\d{2,4}(?:-\d{2}){3,}|\d{2,4}(?:\.\d{2}){3,})"
)

_DIGITS = b"0123456789"
_DIGITS_MIN = 8
"""Each number that is looked for has as many: most texts have fewer, and counting them costs a tenth of the search."""

_NAMES_OF_SECRETS = (
    r"authorization|api[_-]?key|secret|token|passw|signature|subscription[_-]?key|private[_-]?key|hmac"
)
_IS_SECRET = re.compile(_NAMES_OF_SECRETS, re.IGNORECASE)
_IS_PHONE = re.compile(r"phone|msisdn|partyid|party_id", re.IGNORECASE)

_SIGNS_OF_SECRETS = (
    "auth", "key", "secret", "token", "passw", "signature", "hmac", "bearer", "basic", "eyj", "://",
)  # fmt: skip
"""Nothing that the five below find is without one of these, and most texts are."""

# JSON (also quoted once more inside JSON), forms, headers and key=value; then XML elements; then what is a secret by
# its shape, wherever it stands: a bearer or basic credential, a JWT, and the user part of a URL.
_NAMED_SECRET = re.compile(
    rf"(?<![\w-])([\w-]{{0,40}}?(?:{_NAMES_OF_SECRETS})[\w-]{{0,40}}(?:\\{{0,3}}[\"'])?\s{{0,4}}[:=]\s{{0,4}})"
    r"(?:\"(?:[^\"\\]|\\.)*\"?|\\{1,3}\"[^\"\\]*|'[^']*'?"
    r"|(?:(?:bearer|basic|digest)\s{1,4})?[^\s,;&}<\"']+)",
    re.IGNORECASE,
)
_XML_SECRET = re.compile(
    rf"(<(?:[\w-]{{1,20}}:)?[\w-]{{0,40}}?(?:{_NAMES_OF_SECRETS})[\w-]{{0,40}}(?:\s[^<>]{{0,200}})?>)[^<]+",
    re.IGNORECASE,
)
_CREDENTIAL = re.compile(r"\b(bearer|basic)\s{1,4}(?=[\w~+/-]{0,200}[\d=.])[\w.~+/=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*")
_URL_USER = re.compile(r"://[^\s/@]{1,200}@")


def mask_phone(text: str) -> str:
    """The text with its phone numbers masked: `+22890123456` becomes `+228*****456`.

    At least five digits are hidden; at most three show at either end, of a short number only the last. A number may
    stand with or without `+`, with single spaces inside, and directly beside letters.
    """
    if text.isascii() and len(text) - len(text.encode().translate(None, _DIGITS)) < _DIGITS_MIN:
        return text
    return _PHONE.sub(_masked_number, text)


def mask_secrets(text: str, secrets: Collection[Secret] = ()) -> str:
    """The text without what looks like a secret by its name or shape, and without these known ones."""
    if secrets:
        # The longest first: one may begin with another.
        for secret in sorted((secret.get_secret_value() for secret in secrets), key=len, reverse=True):
            if len(secret) >= _SECRET_CHARACTERS_MIN:
                text = text.replace(secret, HIDDEN)
    if text.isascii():
        lowered = text.lower()
        for sign in _SIGNS_OF_SECRETS:
            if sign in lowered:
                break
        else:
            return text
    text = _URL_USER.sub(f"://{HIDDEN}@", text)
    text = _NAMED_SECRET.sub(_masked_value, text)
    text = _XML_SECRET.sub(rf"\g<1>{HIDDEN}", text)
    text = _CREDENTIAL.sub(rf"\g<1> {HIDDEN}", text)
    return _JWT.sub(HIDDEN, text)


def mask_text(text: str, bytes_max: int, *, secrets: Collection[Secret] = ()) -> str:
    """An arbitrary text, such as a provider's answer, fit to be stored or logged.

    Args:
        text: whatever came over the wire, decoded; NUL, which PostgreSQL refuses, and lone surrogates are replaced.
        bytes_max: the length of the result in UTF-8 bytes; an ellipsis tells that something was cut.
        secrets: values that must not appear, however they are named.

    Returns:
        At most `bytes_max` bytes of valid UTF-8. Masked before it was cut, so that no half of a number stays.
    """
    clean = (
        text.replace("\0", "�")
        if text.isascii()
        else text.replace("\0", "�").encode(errors="replace").decode()
    )
    masked = mask_phone(mask_secrets(clean, secrets))
    encoded = masked.encode()
    if len(encoded) <= bytes_max:
        return masked
    ellipsis = "…".encode()
    if bytes_max < len(ellipsis):
        return ""
    return (encoded[: bytes_max - len(ellipsis)] + ellipsis).decode(errors="ignore")


@lru_cache(maxsize=1_024)
def is_secret_name(name: str) -> bool:
    """Whether a field, header or variable of this name holds a secret: `X-Api-Key`, `client_secret`."""
    return bool(_IS_SECRET.search(name))


@lru_cache(maxsize=1_024)
def is_phone_name(name: str) -> bool:
    """Whether a field of this name holds a phone number, even as an integer: `msisdn`, `phone_e164`."""
    return bool(_IS_PHONE.search(name))


def _masked_number(found: re.Match[str]) -> str:
    text = found.group()
    if found["id"]:
        return text
    digits = [character for character in text if character.isdecimal()]
    if set(digits) == {"0"}:
        return text  # the fraction of an amount: 50.00000000
    tail = min(_SHOWN_DIGITS_MAX, len(digits) - _HIDDEN_DIGITS_MIN)
    head = min(_SHOWN_DIGITS_MAX, len(digits) - _HIDDEN_DIGITS_MIN - tail)
    stars = "*" * (len(digits) - head - tail)
    plus = "+" if text.startswith("+") else ""
    return f"{plus}{''.join(digits[:head])}{stars}{''.join(digits[len(digits) - tail :])}"


def _masked_value(found: re.Match[str]) -> str:
    """Keeps the quotes, so that masked JSON is still JSON; and leaves `TOKEN_EXPIRED: the access …`, our own words."""
    name, value = found[1], found.group()[len(found[1]) :]
    if name.isupper() and name.rstrip().endswith(":") and value.isalpha() and value.islower():
        return found.group()
    quote = re.match(r"\\*[\"']", value)
    opening = quote.group() if quote else ""
    closing = opening if opening and (value.endswith(opening) and len(value) > len(opening)) else ""
    return f"{found[1]}{opening}{HIDDEN}{closing}"


def without_nul(value: Any) -> Any:
    """A parsed JSON value whose texts PostgreSQL can store: JSON may escape a NUL, and one would refuse the write."""
    if isinstance(value, str):
        return value.replace("\0", "�")
    if isinstance(value, Mapping):
        return {without_nul(name): without_nul(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    return value
