"""What Thunes' numbers mean to us, row by row of the provider page, 4.3 to 4.5; and answers that nobody can read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from nepxy.engine.outcomes import Finding, OutcomeClass, ReportedTerms
from nepxy.providers.contract import AccountState
from nepxy.providers.thunes_codes import read_transaction, report_of
from nepxy.providers.thunes_wire import exact_json
from tests.contract.thunes_support import (
    ThunesAtWork,
    a_sandbox,
    a_thunes_payout,
    a_transaction,
)

T, O, ASK = OutcomeClass.REJECTED, OutcomeClass.BLOCKED, OutcomeClass.UNKNOWN  # noqa: E741 - the page's letters


@pytest.fixture
async def thunes() -> AsyncIterator[ThunesAtWork]:
    async with ThunesAtWork(a_sandbox()) as thunes:
        yield thunes


# ---- states (4.4) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("10000", Finding.UNFINISHED),
        ("20000", Finding.IN_FLIGHT),
        ("20110", Finding.IN_FLIGHT),
        ("20150", Finding.IN_FLIGHT),
        ("20999", Finding.IN_FLIGHT),
        ("30000", Finding.UNPAID),
        ("30777", Finding.UNPAID),
        ("40000", Finding.UNPAID),
        ("50000", Finding.IN_FLIGHT),
        ("60000", Finding.IN_FLIGHT),
        ("60001", Finding.IN_FLIGHT),
        ("60010", Finding.IN_FLIGHT),
        ("60020", Finding.REVERSED),
        ("70000", Finding.PAID),
        ("70001", Finding.PAID),
        ("80000", Finding.IN_FLIGHT),
        ("90000", Finding.UNPAID),
    ],
)
@pytest.mark.parametrize("kind", [str, int])
async def test_each_status_has_one_meaning_as_text_and_as_number(
    thunes: ThunesAtWork, code: str, finding: Finding, kind: type
) -> None:
    document = a_transaction(kind(code), status_class=kind(code[0]))
    await thunes.plan({"step": "read", "reply": "RAW", "status": 200, "body": document})

    report = await thunes.adapter.poll(a_thunes_payout())

    assert report.finding is finding
    assert (report.provider_ref, report.call) == (
        "243051154002258",
        "GET /thunes/v2/money-transfer/transactions/ext-{}",
    )
    assert code in report.rule


async def test_class_8_that_says_reversed_is_reversed(thunes: ThunesAtWork) -> None:
    document = a_transaction("80000", status_class_message="Reversed")
    await thunes.plan({"step": "read", "reply": "RAW", "status": 200, "body": document})
    assert (await thunes.adapter.poll(a_thunes_payout())).finding is Finding.REVERSED


@pytest.mark.parametrize(
    "document",
    [
        a_transaction("CONFIRMED"),
        a_transaction("COMPLETED", status_class="7"),
        a_transaction("7000"),
        a_transaction("700000"),
        a_transaction("00000"),
        a_transaction("70000", status_class="2"),
        a_transaction("20000", status_class="7"),
        a_transaction("70000", id=None),
        a_transaction("70000", id=1.5),
        a_transaction("70000", external_id="another"),
        a_transaction("70000", external_id=None),
        a_transaction(None),
        a_transaction(True),
        a_transaction(70000.0),
        a_transaction(["70000"]),
        {**a_transaction(), "errors": [{"code": "1008004"}]},
        {},
        [],
        [a_transaction()],
        None,
        "70000",
        "<html>70000</html>",
    ],
    ids=str,
)
async def test_what_is_no_transaction_of_ours_says_nothing(thunes: ThunesAtWork, document: object) -> None:
    await thunes.plan({"step": "read", "reply": "RAW", "status": 200, "body": document})

    report = await thunes.adapter.look_up(a_thunes_payout())

    assert report.finding is Finding.NO_ANSWER
    assert not report.provider_failed


@pytest.mark.parametrize("status", [202, 400, 401, 404, 429, 500, 503])
async def test_a_transaction_with_another_http_status_says_nothing(thunes: ThunesAtWork, status: int) -> None:
    await thunes.plan({"step": "read", "reply": "RAW", "status": status, "body": a_transaction()})

    report = await thunes.adapter.look_up(a_thunes_payout())

    assert (report.finding, report.reason) == (Finding.NO_ANSWER, f"HTTP_{status}")
    assert report.provider_failed is (status >= 500)


@pytest.mark.parametrize(
    ("status", "body", "finding"),
    [
        (404, {"errors": [{"code": "1008004", "message": "Transaction not found"}]}, Finding.ABSENT),
        (404, {"errors": [{"code": 1008004, "message": "Transaction not found"}]}, Finding.ABSENT),
        (404, {"errors": [{"code": "1000404", "message": "Resource not found"}]}, Finding.ABSENT),
        (400, {"errors": [{"code": "1008004"}]}, Finding.ABSENT),
        (404, {"errors": [{"code": "1008004"}, {"code": "1009001"}]}, Finding.NO_ANSWER),
        (404, {"errors": []}, Finding.NO_ANSWER),
        (404, {"errors": [{}]}, Finding.NO_ANSWER),
        (404, {"errors": "1008004"}, Finding.NO_ANSWER),
        (404, {"code": "1008004"}, Finding.NO_ANSWER),
        (404, "<html>404</html>", Finding.NO_ANSWER),
        (500, {"errors": [{"code": "1008004"}]}, Finding.NO_ANSWER),
        (401, {"errors": [{"code": "1000401"}]}, Finding.NO_ANSWER),
    ],
)
async def test_only_thunes_own_not_found_is_absent(
    thunes: ThunesAtWork, status: int, body: object, finding: Finding
) -> None:
    await thunes.plan({"step": "read", "reply": "RAW", "status": status, "body": body})
    assert (await thunes.adapter.look_up(a_thunes_payout())).finding is finding


# ---- why it failed (4.5) -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "again", "blocks"),
    [
        ("30000", "REJECTED", False, False),
        ("90000", "DECLINED", False, False),
        ("40000", "CANCELLED", False, False),
        ("40400", "CANCELLED", False, False),
        ("30110", "REJECTED_SENDER_SCREENED", False, False),
        ("30120", "REJECTED_BENEFICIARY_SCREENED", False, False),
        ("90200", "DECLINED_INVALID_BENEFICIARY", False, False),
        ("30201", "REJECTED_BARRED_BENEFICIARY", False, False),
        ("30202", "REJECTED_BARRED_SENDER", False, False),
        ("90202", "DECLINED_UNSUPPORTED_BENEFICIARY", False, False),
        ("90210", "DECLINED_INVALID_BENEFICIARY_DETAILS", False, False),
        ("30305", "REJECTED_LIMIT_EXCEEDED", False, False),
        ("90370", "DECLINED_LIMIT_EXCEEDED", False, False),
        ("90371", "DECLINED_90371", False, False),
        ("30392", "REJECTED_COMPLIANCE_REASON", False, False),
        ("30400", "REJECTED_PAYER_UNAVAILABLE", True, False),
        ("90400", "DECLINED_PAYER_UNAVAILABLE", True, False),
        ("30500", "REJECTED_INSUFFICIENT_BALANCE", True, True),
        ("90500", "DECLINED_INSUFFICIENT_BALANCE", False, False),
        ("31234", "REJECTED_31234", False, False),
    ],
)
def test_a_failure_keeps_its_reason(code: str, reason: str, again: bool, blocks: bool) -> None:
    transaction = read_transaction(a_transaction(code))
    assert transaction is not None

    report = report_of(transaction, call="", answer="")

    assert (report.finding, report.reason) == (Finding.UNPAID, reason)
    assert (report.retry_with_new_reference, report.blocks_provider) == (again, blocks)
    assert (report.shortfall is not None) is blocks


@pytest.mark.parametrize(
    ("suffix", "finding", "reason"),
    [
        ("0401", Finding.UNPAID, "DECLINED"),
        ("0601", Finding.UNPAID, "REJECTED_SENDER_SCREENED"),
        ("0602", Finding.UNPAID, "REJECTED_BARRED_BENEFICIARY"),
        ("0603", Finding.UNPAID, "DECLINED_INVALID_BENEFICIARY"),
        ("0604", Finding.UNPAID, "DECLINED_LIMIT_EXCEEDED"),
        ("0605", Finding.UNPAID, "REJECTED_PAYER_UNAVAILABLE"),
        ("0606", Finding.UNPAID, "REJECTED_INSUFFICIENT_BALANCE"),
        ("0607", Finding.UNPAID, "DECLINED_UNSUPPORTED_BENEFICIARY"),
        ("1234", Finding.PAID, "STATUS_70000"),
        ("0612", Finding.PAID, "STATUS_70000"),
        ("0613", Finding.PAID, "STATUS_70000"),
    ],
)
async def test_a_payout_ends_as_its_number_says(
    thunes: ThunesAtWork, suffix: str, finding: Finding, reason: str
) -> None:
    payout = a_thunes_payout(suffix)
    assert (await thunes.submit(payout)).kind is OutcomeClass.ACCEPTED

    report = await thunes.settled(payout)

    assert (report.finding, report.reason) == (finding, reason)
    assert (await thunes.counts(payout))["moved"] == (1 if finding is Finding.PAID else 0)


@pytest.mark.parametrize("suffix", ["0608", "0609"])
async def test_an_end_that_contracts_read_differently_stays_in_flight(
    thunes: ThunesAtWork, suffix: str
) -> None:
    payout = a_thunes_payout(suffix)
    await thunes.submit(payout)
    await thunes.at_rest()

    report = await thunes.adapter.look_up(payout)

    assert report.finding is Finding.IN_FLIGHT
    assert "a person must look" in report.rule


@pytest.mark.parametrize("suffix", ["0610", "0611"])
async def test_a_reversal_after_completion_is_told(thunes: ThunesAtWork, suffix: str) -> None:
    payout = a_thunes_payout(suffix)
    await thunes.submit(payout)
    assert (await thunes.settled(payout)).finding is Finding.PAID
    await thunes.at_rest()
    assert (await thunes.adapter.poll(payout)).finding is Finding.REVERSED


@pytest.mark.parametrize(
    ("fee", "amount"),
    [
        ({"amount": "0.50", "currency": "EUR"}, 203),
        ({"amount": "0.501", "currency": "EUR"}, 204),
        ({"amount": "-1", "currency": "EUR"}, 153),
        ({"amount": "5", "currency": "XOF"}, 153),
        ({"amount": None, "currency": "EUR"}, 153),
        ({}, 153),
        (None, 153),
    ],
    ids=str,
)
def test_what_is_missing_for_a_confirm_counts_its_fee(fee: object, amount: int) -> None:
    transaction = read_transaction(a_transaction("10000", fee=fee))
    assert transaction is not None
    assert transaction.source is not None
    assert (transaction.source.amount, transaction.source.currency) == (amount, "EUR")


# ---- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quirks", [{"amounts_as_strings": True}, {"amounts_as_strings": False, "status_as_integer": True}]
)
async def test_amounts_are_read_exactly_as_text_and_as_numbers(quirks: dict[str, Any]) -> None:
    async with ThunesAtWork(a_sandbox(quirks)) as thunes:
        payout = a_thunes_payout(country="GH", amount=1005)
        assert (await thunes.submit(payout)).kind is OutcomeClass.ACCEPTED

        report = await thunes.settled(payout)

        assert report.finding is Finding.PAID
        assert report.terms == ReportedTerms(amount=1005, currency="GHS", phone_e164=payout.phone_e164)
        assert (await thunes.counts(payout))["ledger"]["amount"] == 1005


@pytest.mark.parametrize(
    ("destination", "amount"),
    [
        ({"amount": "1000", "currency": "XOF"}, 1000),
        ({"amount": 1000, "currency": "xof"}, 1000),
        ({"amount": Decimal("1000.00"), "currency": "XOF"}, 1000),
        ({"amount": Decimal("10.05"), "currency": "GHS"}, 1005),
        ({"amount": Decimal("1000.5"), "currency": "XOF"}, -1),
        ({"amount": "1000,00", "currency": "XOF"}, -1),
        ({"amount": "NaN", "currency": "XOF"}, -1),
        ({"amount": True, "currency": "XOF"}, -1),
        ({"amount": Decimal("1E+999999"), "currency": "XOF"}, -1),
        ({"amount": 10**40, "currency": "XOF"}, -1),
        ({"amount": None, "currency": "XOF"}, None),
        ({"amount": "1000"}, None),
        ({}, None),
    ],
)
def test_an_amount_that_is_none_of_ours_is_told_as_such(
    destination: dict[str, Any], amount: int | None
) -> None:
    transaction = read_transaction(a_transaction(destination=destination))
    assert transaction is not None
    assert transaction.terms.amount == amount


def test_an_amount_never_passes_through_a_float() -> None:
    read = exact_json(b'{"amount": 0.1, "big": 12345678901234567890.123456789}')
    assert read == {"amount": Decimal("0.1"), "big": Decimal("12345678901234567890.123456789")}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b'{"a": Infinity}', b"[" * 5000 + b"]" * 5000, b"\xff", b"1" * 10_000]
)
def test_what_is_no_json_is_none(body: bytes) -> None:
    assert exact_json(body) is None


# ---- the float ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "amount"),
    [
        ([{"currency": "EUR", "available": "50.00000000"}], 5000),
        ([{"currency": "EUR", "available": 50.019}], 5001),
        ([{"currency": "EUR", "available": "-3.001"}], -301),
        ([{"currency": "USD", "available": "9"}, {"currency": "EUR", "available": 0}], 0),
        ([{"currency": "USD", "available": "9"}], None),
        ([{"currency": "EUR", "balance": "9"}], None),
        ([{"currency": "EUR", "available": "lots"}], None),
        ([{"currency": "EUR", "available": 1e30}], None),
        ([], None),
        ({"currency": "EUR", "available": "9"}, None),
        ("<html>", None),
    ],
    ids=str,
)
async def test_the_balance_is_what_is_available_in_our_currency(
    thunes: ThunesAtWork, body: object, amount: int | None
) -> None:
    await thunes.plan({"step": "balances", "reply": "RAW", "status": 200, "body": body})

    held = await thunes.adapter.balance("XOF")

    assert (None if held is None else held.amount) == amount
    assert held is None or held.currency == "EUR"


async def test_a_confirm_holds_money_and_a_failure_gives_it_back(thunes: ThunesAtWork) -> None:
    async def available() -> int:
        held = await thunes.adapter.balance("XOF")
        assert held is not None
        return held.amount

    before = await available()
    await thunes.submit(a_thunes_payout())
    assert await available() == before - 153
    failing = a_thunes_payout("0401", generation=1)
    await thunes.submit(failing)
    await thunes.settled(failing)
    assert await available() == before - 153


# ---- accounts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "state"),
    [
        ("1234", AccountState.ACTIVE),
        ("0602", AccountState.UNKNOWN_PAYEE),
        ("0603", AccountState.UNKNOWN_PAYEE),
        ("0607", AccountState.UNKNOWN_PAYEE),
        ("0101", AccountState.UNKNOWN_PAYEE),
        ("0614", AccountState.NOT_TOLD),
        ("0703", AccountState.NOT_TOLD),
    ],
)
async def test_a_wallet_is_asked_for_at_the_payer_of_its_country(
    thunes: ThunesAtWork, suffix: str, state: AccountState
) -> None:
    assert await thunes.adapter.check_account(a_thunes_payout(suffix).phone_e164) is state


@pytest.mark.parametrize("phone", ["+33612345678", "+2289", "", "x"])
async def test_a_number_that_no_payer_is_for_is_not_asked_for(thunes: ThunesAtWork, phone: str) -> None:
    assert await thunes.adapter.check_account(phone) is AccountState.NOT_TOLD


@pytest.mark.parametrize(
    "body", [{}, {"account_status": None}, {"account_status": ["AVAILABLE"]}, [], "<html>"], ids=str
)
@pytest.mark.parametrize("status", [200, 404, 500])
async def test_a_verification_that_is_not_understood_tells_nothing(
    thunes: ThunesAtWork, status: int, body: object
) -> None:
    await thunes.plan({"step": "verification", "reply": "RAW", "status": status, "body": body})
    assert await thunes.adapter.check_account("+22890001234") is AccountState.NOT_TOLD
