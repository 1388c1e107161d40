"""Thunes' API errors, row by row of the provider page, 4.5; and answers to a write that nobody can read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from nepxy.config.secret import Secret
from nepxy.engine.outcomes import Finding, OutcomeClass
from nepxy.providers.thunes_codes import API_ERRORS, ErrorClass
from tests.contract.thunes_support import (
    Steps,
    ThunesAtWork,
    a_sandbox,
    a_thunes_payout,
    a_transaction,
    again,
)

T, O, ASK = OutcomeClass.REJECTED, OutcomeClass.BLOCKED, OutcomeClass.UNKNOWN  # noqa: E741 - the page's letters


@pytest.fixture
async def thunes() -> AsyncIterator[ThunesAtWork]:
    async with ThunesAtWork(a_sandbox()) as thunes:
        yield thunes


# ---- API errors (4.5) --------------------------------------------------------------------------------------

BY_CLASS = {ErrorClass.TERMINAL: T, ErrorClass.OPERATOR: O, ErrorClass.ASK: ASK, ErrorClass.SIGNAL: ASK}


@pytest.mark.parametrize("code", [code for code in sorted(API_ERRORS) if code != "1007001"])
@pytest.mark.parametrize("step", ["quotation", "transaction"])
async def test_each_error_before_the_confirm_has_its_class(
    thunes: ThunesAtWork, step: str, code: str
) -> None:
    body = {"errors": [{"code": code, "message": "for +22890001234"}]}
    await thunes.plan({"step": step, "reply": "RAW", "status": 400, "body": body})

    outcome = await thunes.submit(a_thunes_payout())

    error_class, name = API_ERRORS[code]
    assert (outcome.kind, outcome.reason) == (BY_CLASS[error_class], name)
    assert "22890001234" not in outcome.answer
    assert not outcome.retry_with_new_reference


@pytest.mark.parametrize(
    "code", [code for code, (kind, _) in API_ERRORS.items() if kind in (ErrorClass.OPERATOR, ErrorClass.ASK)]
)
async def test_an_error_of_the_confirm_that_is_not_final_leaves_the_transaction(
    thunes: ThunesAtWork, code: str
) -> None:
    payout = a_thunes_payout()
    body = {"errors": [{"code": code, "message": ""}]}
    await thunes.plan({"step": "confirm", "reply": "RAW", "status": 400, "body": body})

    outcome = await thunes.submit(payout)

    assert (outcome.kind, outcome.reason) == (BY_CLASS[API_ERRORS[code][0]], API_ERRORS[code][1])
    assert (await thunes.counts(payout))["status"] == "10000"
    assert (await thunes.submit(again(payout))).kind is OutcomeClass.ACCEPTED


@pytest.mark.parametrize("step", ["quotation", "transaction", "confirm"])
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"errors": [{"code": "1999999"}]}, ASK),
        (400, {"errors": [{"code": "1005001"}, {"code": "1999999"}]}, ASK),
        (400, {"errors": [{"code": "1005001"}, {"code": "1007005"}]}, ASK),
        (400, {"errors": [{"code": "1005001"}, "x"]}, ASK),
        (400, {"errors": []}, ASK),
        (400, {}, ASK),
        (400, "<html>", ASK),
        (500, {"errors": [{"code": "1005001"}]}, ASK),
        (408, {"errors": [{"code": "1005001"}]}, ASK),
        (200, {"errors": [{"code": "1005001"}]}, ASK),
        (201, {}, ASK),
        (302, {}, ASK),
        (401, "<html>", O),
        (403, {}, O),
        (429, {"errors": [{"code": "1005001"}]}, OutcomeClass.THROTTLED),
    ],
)
async def test_an_answer_that_nobody_mapped_is_unknown(
    thunes: ThunesAtWork, step: str, status: int, body: object, kind: OutcomeClass
) -> None:
    await thunes.plan({"step": step, "reply": "RAW", "status": status, "body": body})

    outcome = await thunes.submit(a_thunes_payout())

    assert outcome.kind is kind
    assert not outcome.refused_before_processing


async def test_a_create_that_names_another_reference_is_not_confirmed(thunes: ThunesAtWork) -> None:
    body = a_transaction("10000", external_id="another")
    await thunes.plan({"step": "transaction", "reply": "RAW", "status": 201, "body": body})

    outcome = await thunes.submit(a_thunes_payout())

    assert (outcome.kind, outcome.reason) == (ASK, "ANSWER_UNREADABLE")
    assert (await thunes.see("summary"))["orders_accepted"] == 0


@pytest.mark.parametrize(
    "changed", [{"external_id": "another"}, {"status": "CONFIRMED"}, {"status": "10000", "status_class": "1"}]
)
async def test_a_confirm_that_does_not_say_so_is_unknown(
    thunes: ThunesAtWork, changed: dict[str, Any]
) -> None:
    body = {**a_transaction("20000"), **changed}
    await thunes.plan({"step": "confirm", "acts": True, "reply": "RAW", "status": 200, "body": body})
    assert (await thunes.submit(a_thunes_payout())).kind is ASK


@pytest.mark.parametrize(
    ("status", "kind"),
    [("70000", OutcomeClass.ACCEPTED), ("50000", OutcomeClass.ACCEPTED), ("30201", T), ("60020", ASK)],
)
async def test_a_confirm_may_tell_the_end_and_paid_is_read_again(
    thunes: ThunesAtWork, status: str, kind: OutcomeClass
) -> None:
    await thunes.plan({"step": "confirm", "reply": "RAW", "status": 200, "body": a_transaction(status)})
    assert (await thunes.submit(a_thunes_payout())).kind is kind


async def test_a_quotation_of_another_amount_is_not_used(thunes: ThunesAtWork) -> None:
    body = {"id": 7, "destination": {"amount": "999.00000000", "currency": "XOF"}}
    await thunes.plan({"step": "quotation", "reply": "RAW", "status": 201, "body": body})

    outcome = await thunes.submit(a_thunes_payout())

    assert (outcome.kind, outcome.reason) == (O, "QUOTATION_DIFFERS")
    assert (await thunes.counts(a_thunes_payout()))["transactions"] == 0


@pytest.mark.parametrize(
    ("suffix", "kind", "reason"),
    [
        ("0101", T, "ACCOUNT_INVALID"),
        ("0701", T, "AMOUNT_LIMIT_EXCEEDED"),
        ("0702", ASK, "PAYER_UNAVAILABLE"),
        ("0703", O, "COUNTRY_NOT_AUTHORISED"),
        ("0102", O, "INSUFFICIENT_BALANCE"),
        ("0105", O, "UNAUTHORISED"),
        ("0106", OutcomeClass.THROTTLED, "HTTP_429"),
        ("0107", ASK, "HTTP_503"),
        ("0711", ASK, "CANNOT_CONFIRM"),
        ("0712", T, "LIMIT_EXCEEDED"),
    ],
)
async def test_a_refusal_has_its_class(
    thunes: ThunesAtWork, suffix: str, kind: OutcomeClass, reason: str
) -> None:
    payout = a_thunes_payout(suffix)

    outcome = await thunes.submit(payout)

    assert (outcome.kind, outcome.reason) == (kind, reason)
    assert (outcome.retry_after_s is not None) is (suffix in ("0106", "0107"))
    assert (await thunes.counts(payout))["moved"] == 0


@pytest.mark.parametrize("changed", [{"api_key": Secret("wrong")}, {"api_secret": Secret("wrong")}])
async def test_wrong_credentials_block(thunes: ThunesAtWork, changed: dict[str, Any]) -> None:
    adapter = thunes.an_adapter(**changed)

    outcome = await adapter.submit(a_thunes_payout(), Steps())
    report = await adapter.look_up(a_thunes_payout())
    held = await adapter.balance("XOF")
    await adapter.close()

    assert (outcome.kind, outcome.reason) == (O, "UNAUTHORISED")
    assert (report.finding, report.reason, held) == (Finding.NO_ANSWER, "HTTP_401", None)
