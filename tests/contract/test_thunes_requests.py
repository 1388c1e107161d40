"""What Thunes is sent: the parties, the purpose, the payer of the country, exact amounts; and what never leaves us."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from nepxy.config.groups import Mode
from nepxy.engine.outcomes import Outcome, OutcomeClass
from nepxy.providers.thunes_requests import Order, PayerRules, order_of, payer_rules
from tests.contract.awkward_server import AwkwardServer, Peer
from tests.contract.support import Serve
from tests.contract.thunes_support import (
    DETAILS,
    Steps,
    ThunesAtWork,
    a_sandbox,
    a_thunes_payout,
    thunes_settings,
)


@pytest.fixture
async def thunes() -> AsyncIterator[ThunesAtWork]:
    async with ThunesAtWork(a_sandbox()) as thunes:
        yield thunes


def an_order(settings: dict[str, Any] | None = None, **changes: Any) -> Order:
    order = order_of(a_thunes_payout(**changes), thunes_settings("http://thunes.invalid", **(settings or {})))
    assert isinstance(order, Order)
    return order


def a_refusal(settings: dict[str, Any] | None = None, **changes: Any) -> Outcome:
    outcome = order_of(
        a_thunes_payout(**changes), thunes_settings("http://thunes.invalid", **(settings or {}))
    )
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize(
    ("country", "amount", "payer", "literal"),
    [
        ("TG", 1000, 1001, "1000"),
        ("BJ", 12345, 1002, "12345"),
        ("GH", 1005, 1003, "10.05"),
        ("GH", 1000, 1003, "10"),
    ],
)
def test_the_recipients_amount_is_fixed_exactly_with_the_payer_of_its_country(
    country: str, amount: int, payer: int, literal: str
) -> None:
    raw = an_order(country=country, amount=amount).quotation_body()

    body = json.loads(raw, parse_float=str, parse_int=str)

    assert (body["mode"], body["payer_id"]) == ("DESTINATION_AMOUNT", str(payer))
    assert (body["destination"]["amount"], body["source"]["amount"]) == (literal, None)
    assert body["source"] == {"amount": None, "currency": "EUR", "country_iso_code": "FRA"}


def test_each_attempt_has_a_quotation_of_its_own_and_all_have_one_transaction() -> None:
    orders = [an_order(attempt_count=attempt) for attempt in (1, 2)]
    reference = a_thunes_payout().submission_ref
    assert [order.quotation_id for order in orders] == [f"{reference}-q1", f"{reference}-q2"]
    assert {order.external_id for order in orders} == {reference}
    assert all(len(order.quotation_id) <= 64 for order in orders)


def test_a_client_who_names_no_sender_sends_as_we_are_set_up() -> None:
    body = json.loads(an_order(details={**DETAILS, "purpose": "Family support"}).transaction_body())
    assert body["purpose_of_remittance"] == "FAMILY_SUPPORT"
    assert body["beneficiary"] == {"firstname": "Ama", "lastname": "Mensah"}
    assert (body["sender"]["firstname"], body["sender"]["nationality_country_iso_code"]) == ("Jeanne", "FRA")
    assert body["credit_party_identifier"] == {"msisdn": "+22890001234"}
    assert "callback_url" not in body


def test_a_clients_sender_is_sent_whole_and_nothing_of_ours_with_it() -> None:
    sender = {
        "first_name": "Kofi",
        "last_name": "Ansah",
        "date_of_birth": "1970-01-01",
        "gender": "MALE",
        "nationality": "GH",
        "country_of_birth": "GH",
        "country": "DE",
        "address": "Hauptstraße 1",
        "city": "Köln",
        "postal_code": "50667",
        "id_type": "National id",
        "id_number": "X1",
        "relationship": "brother",
    }
    body = json.loads(an_order(details={**DETAILS, "sender": sender}).transaction_body())
    assert body["sender"] == {
        "firstname": "Kofi",
        "lastname": "Ansah",
        "date_of_birth": "1970-01-01",
        "gender": "MALE",
        "nationality_country_iso_code": "GHA",
        "country_of_birth_iso_code": "GHA",
        "country_iso_code": "DEU",
        "address": "Hauptstraße 1",
        "city": "Köln",
        "postal_code": "50667",
        "id_type": "NATIONAL_ID",
        "id_number": "X1",
        "beneficiary_relationship": "BROTHER",
    }


def test_a_business_sends_as_a_business() -> None:
    settings = {"tx_type": "B2C", "sender_business_name": "NepXy SA"}
    body = json.loads(an_order(settings).transaction_body())
    assert body["sending_business"]["registered_name"] == "NepXy SA"
    assert "sender" not in body
    assert body["beneficiary"]["firstname"] == "Ama"


def test_a_business_is_paid_as_a_business() -> None:
    details = {"recipient": {"name": "Boulangerie Ama", "country": "TG"}, "purpose": "GOODS_PAYMENT"}
    body = json.loads(an_order({"tx_type": "C2B"}, details=details).transaction_body())
    assert body["receiving_business"] == {"registered_name": "Boulangerie Ama", "country_iso_code": "TGO"}
    assert "beneficiary" not in body


def test_our_callback_url_goes_with_the_transaction() -> None:
    url = "https://pay.example.com/v1/webhooks/thunes"
    assert json.loads(an_order({"callback_url": url}).transaction_body())["callback_url"] == url


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"recipient": DETAILS["recipient"]}, "PURPOSE_MISSING"),
        ({**DETAILS, "purpose": "???"}, "PURPOSE_MISSING"),
        ({**DETAILS, "purpose": "x" * 65}, "PURPOSE_INVALID"),
        ({"purpose": "FAMILY_SUPPORT"}, "RECIPIENT_NAME_MISSING"),
        ({**DETAILS, "recipient": {"first_name": "Ama"}}, "RECIPIENT_NAME_MISSING"),
        ({**DETAILS, "recipient": {"name": "Ama Mensah"}}, "RECIPIENT_NAME_MISSING"),
        ({**DETAILS, "recipient": {"first_name": " ", "last_name": "Mensah"}}, "RECIPIENT_NAME_MISSING"),
        ({**DETAILS, "recipient": "Ama Mensah"}, "RECIPIENT_NAME_MISSING"),
        ({**DETAILS, "sender": {"first_name": "Kofi"}}, "SENDER_NAME_MISSING"),
        ("{}", "PURPOSE_MISSING"),
        ("[]", "PURPOSE_MISSING"),
        ("not json", "PURPOSE_MISSING"),
    ],
    ids=str,
)
async def test_without_the_parties_and_a_purpose_nothing_is_sent(
    thunes: ThunesAtWork, details: object, reason: str
) -> None:
    payout = a_thunes_payout(details=details)

    outcome = await thunes.submit(payout)

    assert (outcome.kind, outcome.reason) == (OutcomeClass.REJECTED, reason)
    assert (await thunes.counts(payout))["quotations"] == []


def test_a_country_without_a_payer_is_refused() -> None:
    refusal = a_refusal({"payer_ids": {"GH": "1003"}})
    assert (refusal.kind, refusal.reason) == (OutcomeClass.REJECTED, "COUNTRY_NOT_SERVED")


def test_a_source_amount_that_does_not_fix_what_is_paid_is_an_operators_matter() -> None:
    refusal = a_refusal({"quote_mode": "SOURCE_AMOUNT"})
    assert (refusal.kind, refusal.reason) == (OutcomeClass.BLOCKED, "QUOTE_MODE_UNSUITABLE")
    assert "THUNES_QUOTE_MODE" in refusal.rule


def test_a_source_amount_in_the_payouts_own_currency_fixes_it() -> None:
    body = json.loads(an_order({"quote_mode": "SOURCE_AMOUNT", "source_currency": "XOF"}).quotation_body())
    assert (body["source"]["amount"], body["destination"]["amount"]) == (1000, None)


async def test_a_payer_that_thunes_does_not_know_is_an_operators_matter(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout(country="TG")
    adapter = thunes.an_adapter(payer_ids={"TG": "9999"})
    outcome = await adapter.submit(payout, Steps())
    await adapter.close()
    assert (outcome.kind, outcome.reason) == (OutcomeClass.BLOCKED, "PAYER_INVALID")


async def test_a_payer_of_another_currency_is_refused_before_anything_is_sent(thunes: ThunesAtWork) -> None:
    adapter = thunes.an_adapter(payer_ids={"TG": "1003"})
    outcome = await adapter.submit(a_thunes_payout(), Steps())
    await adapter.close()
    assert (outcome.kind, outcome.reason) == (OutcomeClass.REJECTED, "CURRENCY_NOT_PAID")
    assert (await thunes.counts(a_thunes_payout()))["quotations"] == []


@pytest.mark.parametrize(
    ("precision", "increment", "amount", "problem"),
    [
        (0, "1", "1000", None),
        (0, "1", "10.5", "AMOUNT_PRECISION"),
        (1, "0.1", "10.5", None),
        (2, "0.01", "10.05", None),
        (1, "0.1", "10.05", "AMOUNT_PRECISION"),
        (0, "5", "1003", "AMOUNT_INCREMENT"),
        (0, "5", "1005", None),
        (2, "0.05", "10.03", "AMOUNT_INCREMENT"),
        (None, None, "10.05", None),
    ],
)
def test_a_payers_precision_and_increment_are_honoured(
    precision: int | None, increment: str | None, amount: str, problem: str | None
) -> None:
    rules = PayerRules(
        currency="XOF", precision=precision, increment=None if increment is None else Decimal(increment)
    )
    assert rules.problem(Decimal(amount), "XOF") == problem


@pytest.mark.parametrize(
    ("document", "rules"),
    [
        (
            {"currency": "XOF", "precision": 0, "increment": 1},
            PayerRules(currency="XOF", precision=0, increment=Decimal(1)),
        ),
        (
            {"precision": "2", "increment": "0.01"},
            PayerRules(currency=None, precision=None, increment=Decimal("0.01")),
        ),
        ({"precision": True, "increment": 0}, PayerRules(currency=None, precision=None, increment=None)),
        ({"precision": -1, "increment": "x"}, PayerRules(currency=None, precision=None, increment=None)),
        ({}, PayerRules(currency=None, precision=None, increment=None)),
    ],
    ids=str,
)
def test_what_a_payer_does_not_say_is_not_checked(document: dict[str, Any], rules: PayerRules) -> None:
    assert payer_rules(document) == rules


@pytest.mark.parametrize(
    ("amount", "reason"),
    [(2_000_001, "AMOUNT_ABOVE_MAXIMUM"), (10**14, "AMOUNT_ABOVE_MAXIMUM")],
)
async def test_a_payers_limits_are_thunes_to_refuse(thunes: ThunesAtWork, amount: int, reason: str) -> None:
    outcome = await thunes.submit(a_thunes_payout(amount=amount))
    assert (outcome.kind, outcome.reason) == (OutcomeClass.REJECTED, reason)


# ---- on the wire -------------------------------------------------------------------------------------------


async def refuses_all(peer: Peer) -> None:
    while True:
        request = await peer.request()
        if request.method == "GET":
            await peer.answer(200, b"{}")
        else:
            await peer.answer(500, b"{}")


@pytest.mark.parametrize("path", ["", "/", "/v2/money-transfer", "/v2/money-transfer/"])
async def test_the_prefix_is_added_once_and_credentials_are_basic(serve: Serve, path: str) -> None:
    from nepxy.providers.thunes import build_thunes

    server: AwkwardServer = await serve(refuses_all)
    adapter = build_thunes(thunes_settings(server.url + path))
    await adapter.submit(a_thunes_payout(), Steps())
    await adapter.close()

    assert [request.target for request in server.requests] == [
        "/v2/money-transfer/payers/1001",
        "/v2/money-transfer/quotations",
    ]
    # base64 of thunes-key-of-tests:thunes-secret-of-tests
    basic = "Basic dGh1bmVzLWtleS1vZi10ZXN0czp0aHVuZXMtc2VjcmV0LW9mLXRlc3Rz"
    assert {request.headers["authorization"] for request in server.requests} == {basic}


@pytest.mark.parametrize(("use", "sent"), [(True, "true"), (False, None)])
async def test_the_simulation_header_goes_with_a_transaction_where_it_is_wanted(
    serve: Serve, use: bool, sent: str | None
) -> None:
    from nepxy.providers.thunes import build_thunes

    quotation = b'{"id": 7, "destination": {"amount": 1000, "currency": "XOF"}}'

    async def quotes(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.answer(201 if request.method == "POST" else 200, quotation)

    server = await serve(quotes)
    adapter = build_thunes(thunes_settings(server.url, use_simulation=use))
    await adapter.submit(a_thunes_payout(), Steps())
    await adapter.close()

    assert server.requests[-1].target == "/v2/money-transfer/quotations/7/transactions"
    assert [request.headers.get("x-simulated-transaction") for request in server.requests] == [
        None,
        None,
        sent,
    ]


def test_a_business_that_sends_needs_its_name_and_no_birthday() -> None:
    persons = ("sender_firstname", "sender_lastname", "sender_dob", "sender_gender")
    blank = dict.fromkeys(persons, "")
    as_person = thunes_settings("https://thunes.example.com", **blank)
    as_business = thunes_settings("https://thunes.example.com", tx_type="B2C", **blank)
    named = thunes_settings(
        "https://thunes.example.com", tx_type="B2C", sender_business_name="NepXy SA", **blank
    )
    assert len(as_person.ready_problems) == 4
    assert as_business.ready_problems == ("THUNES_SENDER_BUSINESS_NAME",)
    assert named.ready_problems == ()


def test_its_answer_window_holds_the_read_after_the_last_write() -> None:
    settings = thunes_settings("https://thunes.example.com", mode=Mode.REAL, http_timeout_s=20.0)
    assert settings.answer_window_s >= settings.retry.send_window_s + 2 * settings.http_timeout_s
