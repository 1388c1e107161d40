"""A number is checked, normalised and given a network once, before anything is stored."""

from __future__ import annotations

import phonenumbers
import pytest
from phonenumbers import carrier as library

from nepxy.engine import msisdn
from nepxy.engine.msisdn import parse_msisdn
from nepxy.errors import ValidationFailed


@pytest.mark.parametrize(
    ("text", "country", "e164", "carrier"),
    [
        ("+22890123456", "TG", "+22890123456", "Togocom"),
        ("+228 90 12 34 56", "TG", "+22890123456", "Togocom"),
        ("+22871123456", "TG", "+22871123456", "Togocom"),
        ("+22896123456", "TG", "+22896123456", "Moov"),
        ("+22879123456", "TG", "+22879123456", "Moov"),
        ("+2290197000000", "BJ", "+2290197000000", "MTN"),
        ("+2290145000000", "BJ", "+2290145000000", "Moov"),
        ("+2290140000000", "BJ", "+2290140000000", "Celtiis"),
        ("+233241234567", "GH", "+233241234567", "MTN"),
        ("+237670000000", "CM", "+237670000000", "MTN"),
        ("+2250505050505", "CI", "+2250505050505", "MTN"),
    ],
)
def test_a_mobile_number_is_normalised_and_given_its_network(
    text: str, country: str, e164: str, carrier: str
) -> None:
    number = parse_msisdn(text, country)
    assert (number.phone_e164, number.country, number.carrier) == (e164, country, carrier)


def test_benins_old_numbers_become_the_new_form() -> None:
    number = parse_msisdn("+22997000000", "BJ")
    assert number.phone_e164 == "+2290197000000"
    assert len(number.phone_e164) == 1 + 13
    assert number.carrier == "MTN"


def test_the_country_is_known_without_being_told() -> None:
    assert parse_msisdn("+233241234567").country == "GH"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "91555123",
        "22891555123",
        "+228",
        "+2289155512",
        "+228915551234",
        "+99912345678",
        "+1-800-FLOWERS",
        "+22800000000",
        "+228 91 55 51 23 x9",
        "+22891555123\n+22891555124",
        "\u0660\u0661+22891555123",
    ],
)
def test_what_is_no_international_number_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValidationFailed) as failed:
        parse_msisdn(text, "TG")
    (problem,) = failed.value.fields
    assert problem.name == "phone_e164"
    assert "555" not in f"{failed.value} {problem}"


def test_a_landline_has_no_wallet() -> None:
    with pytest.raises(ValidationFailed, match="phone_e164"):
        parse_msisdn("+22822212345", "TG")


def test_a_number_of_another_country_is_the_countrys_problem() -> None:
    with pytest.raises(ValidationFailed) as failed:
        parse_msisdn("+22890123456", "BJ")
    (problem,) = failed.value.fields
    assert problem.name == "country"
    assert "TG" in problem.problem


def test_our_own_table_helps_where_the_library_knows_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "name_for_number", lambda number, language: "")
    networks = {
        text: parse_msisdn(text).carrier for text in ("+22890123456", "+22897123456", "+233241234567")
    }
    assert networks == {"+22890123456": "Togocom", "+22897123456": "Moov", "+233241234567": None}


def test_the_library_still_calls_togos_networks_as_our_table_does() -> None:
    for prefix, network in msisdn._PREFIXES:
        number = phonenumbers.parse(f"{prefix}123456")
        assert msisdn.carrier_of(number, f"{prefix}123456") == network
