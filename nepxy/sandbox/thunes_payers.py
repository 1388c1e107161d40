"""Who pays out for Thunes here, and what they say of themselves (providers page 4.2, step 0)."""

import re
from decimal import Decimal
from typing import Any

import orjson

from nepxy.sandbox.thunes_read import Payer


def _payer(number: int, name: str, country: str, currency: str, precision: int, msisdn: str) -> Payer:
    return Payer(
        id=number,
        name=name,
        country=country,
        currency=currency,
        precision=precision,
        increment=Decimal(1).scaleb(-precision),
        minimum=Decimal(1),
        maximum=Decimal(2_000_000),
        msisdn=re.compile(msisdn),
    )


PAYERS = {
    payer.id: payer
    for payer in (
        _payer(1001, "Togo wallets", "TGO", "XOF", 0, r"228[0-9]{8}"),
        _payer(1002, "Benin wallets", "BEN", "XOF", 0, r"22901[0-9]{8}"),
        _payer(1003, "Ghana wallets", "GHA", "GHS", 2, r"233[0-9]{9}"),
    )
}


def show_payer(payer: Payer) -> dict[str, Any]:
    """As answered."""
    kind = {
        "credit_party_identifiers_accepted": [["msisdn"]],
        "required_sending_entity_fields": [["firstname", "lastname"]],
        "required_receiving_entity_fields": [["firstname", "lastname"]],
        "minimum_transaction_amount": str(payer.minimum),
        "maximum_transaction_amount": str(payer.maximum),
    }
    return {
        "id": payer.id,
        "name": payer.name,
        "country_iso_code": payer.country,
        "currency": payer.currency,
        "precision": payer.precision,
        "increment": orjson.Fragment(str(payer.increment).encode()),
        "transaction_types": {"C2C": kind, "B2C": kind},
    }
