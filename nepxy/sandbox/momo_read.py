"""Reads what MTN is sent, as strictly as it does (providers page 3.2, 3.6, 9), and says no in its words.

Stricter than the contract where that is silent [U]: unknown fields are refused, and payees that are no numbers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from nepxy.sandbox.config import MomoConfig
from nepxy.sandbox.wire import json_response

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
_AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,11})(?:\.([0-9]{1,2}))?")
_DIGITS = re.compile(r"[1-9][0-9]{7,14}")
_NOTE = re.compile(r"[A-Za-z0-9 .,_-]{0,160}")
_ADDRESS = re.compile(r"[0-9.]+|.*:.*")
_PLACES = {"XOF": 0, "XAF": 0, "GNF": 0, "RWF": 0, "UGX": 0}
_REQUIRED = frozenset({"amount", "currency", "externalId", "payee"})
_OPTIONAL = frozenset({"payerMessage", "payeeNote"})


class MomoRefused(Exception):
    """Answered with a code, and nothing was done."""

    def __init__(self, status: int, code: str, message: str = "refused") -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message

    def response(self) -> web.Response:
        """The gateway has a shape of its own for 401 and 429, the token endpoint another (3.5)."""
        if self.code == "login_failed":
            return json_response({"error": self.code}, status=self.status)
        if self.status in (401, 429):
            shown = {"statusCode": self.status, "error": self.code, "message": self.message}
            return json_response(shown, status=self.status)
        return json_response({"code": self.code, "message": self.message}, status=self.status)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer as it was asked for; every field has been checked."""

    shown: Mapping[str, Any]
    """What a status read gives back of it, as it came."""
    digits: str
    """The payee's number, without `+`."""
    amount: int
    """Minor units."""
    currency: str


def read_reference(text: str) -> str:
    """Our reference, in lower case.

    Raises:
        MomoRefused: 400, it is no UUIDv4.
    """
    if _UUID4.fullmatch(text) is None:
        raise MomoRefused(400, "INVALID_REFERENCE_ID", "X-Reference-Id is not a UUIDv4")
    return text.lower()


def read_digits(text: str) -> str:
    """A number as MTN writes it: digits with the country code.

    Raises:
        MomoRefused: 400.
    """
    if _DIGITS.fullmatch(text) is None:
        raise MomoRefused(400, "BAD_REQUEST", "msisdn")
    return text


def read_transfer(raw: bytes) -> Transfer:
    """The body of a transfer.

    Raises:
        MomoRefused: 400 for all that is not exactly as it should be.
    """
    body = _object(raw)
    if not _REQUIRED <= set(body) <= _REQUIRED | _OPTIONAL:
        raise _bad("fields")
    payee = body["payee"]
    if not isinstance(payee, dict) or set(payee) != {"partyIdType", "partyId"}:
        raise _bad("payee")
    texts = [body["amount"], body["currency"], body["externalId"], *payee.values()]
    if not all(isinstance(text, str) and text for text in texts):
        raise _bad("amount, currency, externalId and payee are texts")
    for name in sorted(_OPTIONAL & set(body)):
        if not isinstance(body[name], str) or _NOTE.fullmatch(body[name]) is None:
            raise _bad(name)
    if payee["partyIdType"] != "MSISDN":
        raise _bad("partyIdType")
    return Transfer(
        shown={name: body[name] for name in ("amount", "currency", "externalId", "payee")},
        digits=read_digits(payee["partyId"]),
        amount=_minor(body["amount"], body["currency"]),
        currency=body["currency"],
    )


def read_callback_url(url: str | None, config: MomoConfig) -> str | None:
    """Where a result is posted; None: nowhere.

    Raises:
        MomoRefused: 500, MTN would not call this URL (3.6).
    """
    if url is None:
        return None
    refused = MomoRefused(500, "INVALID_CALLBACK_URL_HOST", "Callback URL with invalid host")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise refused from None
    if not host or parts.query or parts.scheme not in ("https", "http"):
        raise refused
    if config.provider_callback_host not in (None, host):
        raise refused
    is_public = parts.scheme == "https" and port in (None, 443) and _ADDRESS.fullmatch(host) is None
    if not is_public and not config.plain_http_callbacks:
        raise refused
    return url


def to_major(minor: int, currency: str) -> Decimal:
    """An amount as MTN writes it."""
    return Decimal(minor).scaleb(-places_of(currency))


def places_of(currency: str) -> int:
    """Decimals of a currency; where MTN takes none, none."""
    return _PLACES.get(currency, 2)


def _minor(amount: str, currency: str) -> int:
    read, places = _AMOUNT.fullmatch(amount), places_of(currency)
    if read is None or (read[1] is not None and places == 0) or Decimal(amount) <= 0:
        raise _bad("amount")
    return int(Decimal(amount).scaleb(places))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise _bad("not JSON") from None
    if not isinstance(body, dict):
        raise _bad("not an object")
    return body


def _bad(what: str) -> MomoRefused:
    return MomoRefused(400, "BAD_REQUEST", f"Bad request: {what}")
