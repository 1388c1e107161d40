"""The network of the number chooses the provider, and the reason says so."""

from __future__ import annotations

import pytest

from nepxy.engine.msisdn import Msisdn
from nepxy.engine.routing import choose_provider
from nepxy.errors import ProviderDisabled, ProviderUnknown, ValidationFailed

ALL = ("TMONEY", "FLOOZ", "MOMO", "THUNES")


def a_number(country: str, carrier: str | None) -> Msisdn:
    return Msisdn(phone_e164="+10000000", country=country, carrier=carrier)


@pytest.mark.parametrize(
    ("country", "carrier", "usable", "provider"),
    [
        ("TG", "Togocom", ALL, "TMONEY"),
        ("TG", "Moov", ALL, "FLOOZ"),
        ("BJ", "Moov", ALL, "FLOOZ"),
        ("BJ", "MTN", ALL, "MOMO"),
        ("GH", "MTN", ALL, "MOMO"),
        ("CM", "MTN", ALL, "MOMO"),
        ("GH", "Telecel", ALL, "THUNES"),
        ("BJ", "Celtiis", ALL, "THUNES"),
        ("SN", "Orange", ALL, "THUNES"),
        ("TG", "Moov", ("TMONEY", "THUNES"), "THUNES"),
        ("TG", None, ("TMONEY",), "TMONEY"),
        ("TG", None, ALL, "THUNES"),
    ],
)
def test_carrier_and_country_choose_the_provider(
    country: str, carrier: str | None, usable: tuple[str, ...], provider: str
) -> None:
    choice = choose_provider(a_number(country, carrier), wanted=None, usable=usable, known=ALL)
    assert choice.provider == provider
    assert country in choice.reason


def test_a_number_is_never_given_to_another_networks_provider() -> None:
    with pytest.raises(ValidationFailed) as failed:
        choose_provider(a_number("TG", "Moov"), wanted=None, usable=("TMONEY",), known=ALL)
    assert "FLOOZ" in failed.value.fields[0].hint


def test_the_clients_own_choice_counts_because_numbers_are_ported() -> None:
    choice = choose_provider(a_number("TG", "Moov"), wanted="TMONEY", usable=ALL, known=ALL)
    assert (choice.provider, choice.reason) == ("TMONEY", "the client named it")


def test_a_wanted_provider_must_exist_be_on_and_pay_there() -> None:
    number = a_number("GH", "MTN")
    with pytest.raises(ProviderUnknown):
        choose_provider(number, wanted="WAVE", usable=ALL, known=ALL)
    with pytest.raises(ProviderDisabled):
        choose_provider(number, wanted="MOMO", usable=("TMONEY",), known=ALL)
    with pytest.raises(ValidationFailed):
        choose_provider(number, wanted="TMONEY", usable=ALL, known=ALL)
