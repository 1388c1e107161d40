"""Reads what a client of Thunes sends, strictly (providers page 4.2): exact fields, exact types, the payer's rules."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

MODES = ("SOURCE_AMOUNT", "DESTINATION_AMOUNT")
TYPES = ("C2C", "C2B", "B2C", "B2B")
PURPOSES = frozenset(
    {
        "FAMILY_SUPPORT",
        "EDUCATION",
        "SALARY",
        "BUSINESS_PAYMENT",
        "GOODS_PAYMENT",
        "SERVICES_PAYMENT",
        "MEDICAL",
        "RENT",
        "REFUND",
    }
)
"""What the payers here take; the page names the first."""

_EXTERNAL_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ALPHA_3 = re.compile(r"[A-Z]{3}")
_QUOTATION_FIELDS = frozenset(
    {"external_id", "payer_id", "mode", "transaction_type", "source", "destination"}
)
_TRANSACTION_FIELDS = frozenset(
    {
        "credit_party_identifier",
        "external_id",
        "purpose_of_remittance",
        "sender",
        "sending_business",
        "beneficiary",
        "receiving_business",
        "callback_url",
        "reference",
        "external_code",
        "additional_information_1",
        "additional_information_2",
        "additional_information_3",
    }
)
_PERSON_FIELDS = frozenset(
    {
        "firstname",
        "lastname",
        "date_of_birth",
        "gender",
        "nationality_country_iso_code",
        "country_of_birth_iso_code",
        "address",
        "city",
        "postal_code",
        "country_iso_code",
        "id_type",
        "id_number",
        "beneficiary_relationship",
        "msisdn",
        "email",
    }
)
_BUSINESS_FIELDS = frozenset({"registered_name", "address", "city", "postal_code", "country_iso_code"})


class ThunesRefused(Exception):
    """The request gets this answer, in Thunes' shape, and nothing was done."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message

    def response(self) -> web.Response:
        """`{"errors": [{"code", "message"}]}` [D]."""
        body = orjson.dumps({"errors": [{"code": self.code, "message": self.message}]})
        return web.Response(status=self.status, body=body, content_type="application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Somebody who pays out in a country."""

    id: int
    name: str
    country: str
    """ISO 3166 alpha-3."""
    currency: str
    precision: int
    increment: Decimal
    minimum: Decimal
    maximum: Decimal
    msisdn: re.Pattern[str]
    """Digits with the country code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotationRequest:
    """As it was read; every field has been checked."""

    external_id: str
    payer: Payer
    mode: str
    transaction_type: str
    source_country: str
    amount: Decimal
    """Of the side that the mode fixes."""


def read_quotation(raw: bytes, payers: Mapping[int, Payer], source_currency: str) -> QuotationRequest:
    """Reads a quotation.

    Raises:
        ThunesRefused: 1000999 for its shape, 1003xxx for what its payer does not take.
    """
    body = _object(raw)
    _known(body, _QUOTATION_FIELDS)
    payer_id = body.get("payer_id")
    if type(payer_id) is not int or payer_id not in payers:
        raise ThunesRefused("1003002", "Invalid payer")
    payer = payers[payer_id]
    mode, kind = body.get("mode"), body.get("transaction_type")
    if mode not in MODES or kind not in TYPES:
        raise ThunesRefused("1000999", "Invalid parameter: mode or transaction_type")
    source = _side(body, "source", {"amount", "currency", "country_iso_code"})
    destination = _side(body, "destination", {"amount", "currency"})
    if _ALPHA_3.fullmatch(str(source.get("country_iso_code"))) is None:
        raise ThunesRefused("1000999", "Invalid parameter: source.country_iso_code")
    if source.get("currency") != source_currency:
        raise ThunesRefused("1000999", "Invalid parameter: source.currency")
    if destination.get("currency") != payer.currency:
        raise ThunesRefused("1003010", "Destination currency is not provided by payer")
    fixed, left = (source, destination) if mode == "SOURCE_AMOUNT" else (destination, source)
    if left.get("amount") is not None:
        raise ThunesRefused("1000999", "Invalid parameter: only one side has an amount")
    amount = fixed.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, (int, Decimal)) or amount <= 0:
        raise ThunesRefused("1000999", "Invalid parameter: amount")
    amount = Decimal(amount)
    if mode == "DESTINATION_AMOUNT":
        _suits(amount, payer)
    return QuotationRequest(
        external_id=_external_id(body),
        payer=payer,
        mode=mode,
        transaction_type=kind,
        source_country=source["country_iso_code"],
        amount=amount,
    )


def read_transaction(raw: bytes, kind: str, payer: Payer) -> dict[str, Any]:
    """Reads a transaction's body for a quotation of this type and payer.

    Raises:
        ThunesRefused: 1000999, or 1005001 for a number that the payer has no wallet for.
    """
    body = _object(raw)
    _known(body, _TRANSACTION_FIELDS)
    _external_id(body)
    if body.get("purpose_of_remittance") not in PURPOSES:
        raise ThunesRefused("1000999", "Invalid parameter: purpose_of_remittance")
    read_msisdn(body, payer)
    wanted = {
        "sender" if kind[0] == "C" else "sending_business",
        "beneficiary" if kind[2] == "C" else "receiving_business",
    }
    parties = {"sender", "sending_business", "beneficiary", "receiving_business"}
    if set(body) & parties != wanted:
        raise ThunesRefused("1000999", f"Invalid parameter: a {kind} has {' and '.join(sorted(wanted))}")
    for name in wanted:
        _check_party(name, body[name])
    callback = body.get("callback_url")
    if callback is not None and re.fullmatch(r"https?://[^\s/]+(/\S*)?", str(callback)) is None:
        raise ThunesRefused("1000999", "Invalid parameter: callback_url")
    return body


def read_verification(raw: bytes, payer: Payer) -> str:
    """Reads the number whose account is to be verified.

    Raises:
        ThunesRefused: 1000999, or 1005001.
    """
    body = _object(raw)
    _known(body, frozenset({"credit_party_identifier"}))
    return read_msisdn(body, payer)


def read_msisdn(body: Mapping[str, Any], payer: Payer) -> str:
    """The credit party's number, which must be one of the payer's.

    Raises:
        ThunesRefused: 1000999, or 1005001.
    """
    identifiers = body.get("credit_party_identifier")
    if type(identifiers) is not dict or set(identifiers) != {"msisdn"}:
        raise ThunesRefused("1000999", "Invalid parameter: credit_party_identifier")
    msisdn = identifiers["msisdn"]
    if type(msisdn) is not str or re.fullmatch(r"\+?[0-9]{8,15}", msisdn) is None:
        raise ThunesRefused("1000999", "Invalid parameter: credit_party_identifier.msisdn")
    if payer.msisdn.fullmatch(msisdn.lstrip("+")) is None:
        raise ThunesRefused("1005001", "Account invalid")
    return msisdn


def _check_party(name: str, party: object) -> None:
    business = name.endswith("_business")
    allowed = _BUSINESS_FIELDS if business else _PERSON_FIELDS
    required = {"registered_name"} if business else {"firstname", "lastname"}
    if type(party) is not dict or not required <= set(party) <= allowed:
        raise ThunesRefused("1000999", f"Invalid parameter: {name}")
    for key, value in party.items():
        if type(value) is not str or not value.strip():
            raise ThunesRefused("1000999", f"Invalid parameter: {name}.{key}")
        shape = {
            "gender": r"MALE|FEMALE|OTHER",
            "date_of_birth": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
        }.get(key, r"[A-Z]{3}" if key.endswith("iso_code") else r"(?s).+")
        if re.fullmatch(shape, value) is None:
            raise ThunesRefused("1000999", f"Invalid parameter: {name}.{key}")


def _suits(amount: Decimal, payer: Payer) -> None:
    exponent = amount.as_tuple().exponent
    # The literal counts: 1000.00 is not a number of francs.
    if not isinstance(exponent, int) or -exponent > payer.precision or amount % payer.increment:
        raise ThunesRefused("1003008", "Destination amount is invalid")
    if amount < payer.minimum:
        raise ThunesRefused("1003011", "Below the minimum transaction amount")
    if amount > payer.maximum:
        raise ThunesRefused("1003012", "Above the maximum transaction amount")


def _object(raw: bytes) -> dict[str, Any]:
    try:
        orjson.loads(raw)
        body: Any = json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise ThunesRefused("1000999", "Invalid parameter: the body is not JSON") from None
    if type(body) is not dict:
        raise ThunesRefused("1000999", "Invalid parameter: the body is not a JSON object")
    return body


def _known(body: Mapping[str, Any], fields: frozenset[str]) -> None:
    unknown = sorted(set(body) - fields)
    if unknown:
        raise ThunesRefused("1000999", f"Invalid parameter: {', '.join(unknown)[:200]}")


def _external_id(body: Mapping[str, Any]) -> str:
    external_id = body.get("external_id")
    if type(external_id) is not str or _EXTERNAL_ID.fullmatch(external_id) is None:
        raise ThunesRefused("1000999", "Invalid parameter: external_id")
    return external_id


def _side(body: Mapping[str, Any], name: str, fields: set[str]) -> dict[str, Any]:
    side = body.get(name)
    if type(side) is not dict or set(side) - {"amount"} != fields - {"amount"}:
        raise ThunesRefused("1000999", f"Invalid parameter: {name}")
    return side
