"""What Thunes is sent (provider page, 4.2): who pays whom, why, how much; checked before anything leaves.

What a payer requires besides differs from payer to payer; what we do not know of, Thunes refuses itself, before
money moves. A client's sender is sent whole or not at all: a mixture of two people would be nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import orjson

from nepxy.config.providers import ThunesSettings
from nepxy.engine.capabilities import RequiredField
from nepxy.engine.money import EXPONENTS, to_major
from nepxy.engine.outcomes import Outcome, OutcomeClass
from nepxy.engine.payout import Payout
from nepxy.providers.iso3166 import ALPHA_3
from nepxy.providers.thunes_codes import decimal_of

PURPOSE_CHARACTERS_MAX: Final = 64
"""Ours, for want of theirs: no purpose of Thunes' list is near it."""
_PRECISION_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerRules:
    """What a payer says of amounts; None: it does not say, and refuses itself what does not suit it."""

    currency: str | None
    precision: int | None
    """Decimal places."""
    increment: Decimal | None
    """Amounts are multiples of it."""

    def problem(self, amount: Decimal, currency: str) -> str | None:
        """Why this amount cannot be paid; None where nothing speaks against it."""
        if self.currency not in (None, currency):
            return "CURRENCY_NOT_PAID"
        if self.precision is not None and amount != round(amount, self.precision):
            return "AMOUNT_PRECISION"
        if self.increment is not None and amount % self.increment:
            return "AMOUNT_INCREMENT"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A payout in Thunes' terms."""

    payer_id: int
    amount: Decimal
    currency: str
    parties: Mapping[str, Any]
    """The transaction's fields that say who and why."""
    payout: Payout
    settings: ThunesSettings

    @property
    def external_id(self) -> str:
        """The transaction's: our reference itself, which look-ups and callbacks name."""
        return self.payout.submission_ref

    @property
    def quotation_id(self) -> str:
        """The quotation's own external id: another one for each attempt, and never the transaction's."""
        return f"{self.payout.submission_ref}-q{self.payout.attempt_count}"

    def quotation_body(self) -> bytes:
        """Asks for the recipient's amount to be fixed, exactly."""
        settings = self.settings
        amount = orjson.Fragment(format(self.amount.normalize(), "f").encode())
        by_source = settings.quote_mode == "SOURCE_AMOUNT"
        return orjson.dumps(
            {
                "external_id": self.quotation_id,
                "payer_id": self.payer_id,
                "mode": settings.quote_mode,
                "transaction_type": settings.tx_type,
                "source": {
                    "amount": amount if by_source else None,
                    "currency": settings.source_currency,
                    "country_iso_code": settings.source_country_iso3,
                },
                "destination": {"amount": None if by_source else amount, "currency": self.currency},
            }
        )

    def transaction_body(self) -> bytes:
        """Says who is paid, by whom and why."""
        body = {
            "external_id": self.external_id,
            # International, with or without `+` [D]: E.164 as it is.
            "credit_party_identifier": {"msisdn": self.payout.phone_e164},
            **self.parties,
        }
        if self.settings.callback_url:
            body["callback_url"] = self.settings.callback_url
        return orjson.dumps(body)


def required_fields(tx_type: str) -> tuple[RequiredField, ...]:
    """What of a request a transaction of this type cannot be without (4.2 [D]): recipient, sender and purpose.

    A sender that is left out is the one of `THUNES_SENDER_*`, without which THUNES is not ready.
    """
    names = ("first_name", "last_name")
    to, by = ("name",) if tx_type[2] == "B" else names, () if tx_type[0] == "B" else names
    return (
        *(RequiredField(name=f"recipient.{name}", hint="name who is paid") for name in to),
        *(
            RequiredField(
                name=f"sender.{name}", where_given="sender", hint="name who pays, or leave sender out"
            )
            for name in by
        ),
        RequiredField(
            name="purpose",
            characters_max=PURPOSE_CHARACTERS_MAX,
            pattern="[A-Za-z0-9]",
            hint="say why it is paid, such as FAMILY_SUPPORT",
        ),
    )


def order_of(payout: Payout, settings: ThunesSettings) -> Order | Outcome:
    """The payout in Thunes' terms, or why it cannot be sent: nothing has left then."""
    if payout.country not in settings.payer_ids:
        return _refused("COUNTRY_NOT_SERVED")
    if payout.currency not in EXPONENTS:
        return _refused("CURRENCY_NOT_PAID")
    if settings.quote_mode == "SOURCE_AMOUNT" and payout.currency != settings.source_currency:
        return Outcome(
            kind=OutcomeClass.BLOCKED,
            reason="QUOTE_MODE_UNSUITABLE",
            rule="a source amount does not fix what the recipient gets; set THUNES_QUOTE_MODE=DESTINATION_AMOUNT",
        )
    parties = _parties(payout, settings)
    if isinstance(parties, str):
        return _refused(parties)
    return Order(
        payer_id=int(settings.payer_ids[payout.country]),
        amount=to_major(payout.amount, payout.currency),
        currency=payout.currency,
        parties=parties,
        payout=payout,
        settings=settings,
    )


def payer_rules(document: Mapping[str, Any]) -> PayerRules:
    """What a payer's object says of amounts."""
    currency, precision = document.get("currency"), document.get("precision")
    increment = decimal_of(document.get("increment"))
    whole = (
        isinstance(precision, int) and not isinstance(precision, bool) and 0 <= precision <= _PRECISION_MAX
    )
    return PayerRules(
        currency=currency.upper() if isinstance(currency, str) and currency else None,
        precision=precision if whole else None,
        increment=increment if increment is not None and increment > 0 else None,
    )


def _refused(reason: str) -> Outcome:
    return Outcome(
        kind=OutcomeClass.REJECTED,
        reason=reason,
        answer="nothing was sent",
        rule="refused by our own check, before anything was sent",
    )


def _parties(payout: Payout, settings: ThunesSettings) -> Mapping[str, Any] | str:
    """Sender, recipient and purpose as fields of a transaction; or the code of what is missing."""
    details = _details(payout)
    recipient, sender = _party(details, "recipient"), _party(details, "sender")
    from_type, to_type = settings.tx_type[0], settings.tx_type[2]
    purpose = re.sub(r"[^A-Z0-9]+", "_", str(details.get("purpose") or "").upper()).strip("_")
    if not purpose:
        return "PURPOSE_MISSING"
    if len(purpose) > PURPOSE_CHARACTERS_MAX:
        return "PURPOSE_INVALID"
    if to_type == "B":
        if "name" not in recipient:
            return "RECIPIENT_NAME_MISSING"
        to = {"receiving_business": _business(recipient)}
    elif not _has_names(recipient):
        return "RECIPIENT_NAME_MISSING"
    else:
        to = {"beneficiary": _person(recipient)}
    if from_type == "B":
        by = {"sending_business": _our_business(settings)}
    elif not sender:
        by = {"sender": _our_sender(settings)}
    elif not _has_names(sender):
        return "SENDER_NAME_MISSING"
    else:
        by = {"sender": _person(sender)}
    relationship = sender.get("relationship") or recipient.get("relationship")
    if relationship and "sender" in by:
        by["sender"]["beneficiary_relationship"] = _word(relationship)
    return {"purpose_of_remittance": purpose, **by, **to}


def _person(party: Mapping[str, str]) -> dict[str, str]:
    fields = {
        "firstname": party.get("first_name"),
        "lastname": party.get("last_name"),
        "date_of_birth": party.get("date_of_birth"),
        "gender": party.get("gender"),
        "nationality_country_iso_code": ALPHA_3.get(party.get("nationality", "")),
        "country_of_birth_iso_code": ALPHA_3.get(party.get("country_of_birth", "")),
        "id_type": _word(party["id_type"]) if "id_type" in party else None,
        "id_number": party.get("id_number"),
        **_address(party),
    }
    return {name: value for name, value in fields.items() if value}


def _business(party: Mapping[str, str]) -> dict[str, str]:
    fields = {"registered_name": party.get("name"), **_address(party)}
    return {name: value for name, value in fields.items() if value}


def _address(party: Mapping[str, str]) -> dict[str, str | None]:
    return {
        "address": party.get("address"),
        "city": party.get("city"),
        "postal_code": party.get("postal_code"),
        "country_iso_code": ALPHA_3.get(party.get("country", "")),
    }


def _our_sender(settings: ThunesSettings) -> dict[str, str]:
    fields = {
        "firstname": settings.sender_firstname,
        "lastname": settings.sender_lastname,
        "date_of_birth": settings.sender_dob,
        "gender": settings.sender_gender,
        "nationality_country_iso_code": settings.sender_nationality_iso3,
        "country_of_birth_iso_code": settings.sender_country_of_birth_iso3,
        **_our_address(settings),
    }
    return {name: value for name, value in fields.items() if value}


def _our_business(settings: ThunesSettings) -> dict[str, str]:
    fields = {"registered_name": settings.sender_business_name, **_our_address(settings)}
    return {name: value for name, value in fields.items() if value}


def _our_address(settings: ThunesSettings) -> dict[str, str]:
    return {
        "address": settings.sender_address,
        "city": settings.sender_city,
        "postal_code": settings.sender_postal,
        "country_iso_code": settings.sender_country_iso3,
    }


def _has_names(party: Mapping[str, str]) -> bool:
    return bool(party.get("first_name")) and bool(party.get("last_name"))


def _word(text: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")


def _details(payout: Payout) -> Mapping[str, Any]:
    """The request's own JSON; a row that somebody wrote by hand may hold anything."""
    try:
        details = orjson.loads(payout.details)
    except orjson.JSONDecodeError:
        return {}
    return details if isinstance(details, dict) else {}


def _party(details: Mapping[str, Any], key: str) -> Mapping[str, str]:
    party = details.get(key)
    if not isinstance(party, dict):
        return {}
    return {name: value for name, value in party.items() if isinstance(value, str) and value.strip()}
