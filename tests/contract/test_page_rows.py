"""The provider page's tables, written out a second time: a slip in an adapter's own table must not prove itself.

Over real HTTP: THUNES against its sandbox with a refusal planned, MOMO against a gateway that says what it is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from nepxy.engine.outcomes import Finding, OutcomeClass
from tests.contract.test_momo import a_status
from tests.contract.test_momo_tokens import Mtn, Set, a_transfer, stage
from tests.contract.thunes_support import ThunesAtWork, a_sandbox, a_thunes_payout, a_transaction

__all__ = ["stage"]  # the fixture

T, O, ASK = OutcomeClass.REJECTED, OutcomeClass.BLOCKED, OutcomeClass.UNKNOWN  # noqa: E741 - the page's letters


@pytest.fixture
async def thunes() -> AsyncIterator[ThunesAtWork]:
    async with ThunesAtWork(a_sandbox()) as thunes:
        yield thunes


THUNES_ERRORS = {
    # 4.5, second table, row by row.
    **dict.fromkeys(("1000401", "1000997", "1000998", "1003001", "1003002", "1007005", "1007100"), O),
    **dict.fromkeys(("1000404", "1008002", "1008004"), ASK),
    **dict.fromkeys(("1000999", "1003008", "1003010", "1003011", "1003012", "1005001"), T),
    **dict.fromkeys(("1006001", "1006002", "1006099", "1007401", "1007402"), T),
    **dict.fromkeys(("1003007", "1007101", "1009001"), ASK),
    **dict.fromkeys(("1007003", "1007004", "1008003", "1007014"), ASK),
    "1099999": ASK,
}


@pytest.mark.parametrize("code", THUNES_ERRORS)
@pytest.mark.parametrize("status", [400, 401, 404, 409])
async def test_a_thunes_error_has_the_class_of_the_page_whatever_4xx_carries_it(
    thunes: ThunesAtWork, code: str, status: int
) -> None:
    body = {"errors": [{"code": code, "message": "said"}]}
    await thunes.plan({"step": "transaction", "reply": "RAW", "status": status, "body": body})
    outcome = await thunes.submit(a_thunes_payout())
    # What is not known says nothing by itself; a 401 without a code of theirs is still a 401.
    expected = O if code == "1099999" and status == 401 else THUNES_ERRORS[code]
    assert outcome.kind is expected
    assert (await thunes.counts(a_thunes_payout()))["moved"] == 0


@pytest.mark.parametrize("code", THUNES_ERRORS)
async def test_a_thunes_error_in_a_read_never_says_that_a_payout_failed(
    thunes: ThunesAtWork, code: str
) -> None:
    body = {"errors": [{"code": code, "message": "said"}]}
    await thunes.plan({"step": "read", "reply": "RAW", "status": 404, "body": body})
    found = (await thunes.adapter.look_up(a_thunes_payout())).finding
    assert found is (Finding.ABSENT if code in ("1000404", "1008004") else Finding.NO_ANSWER)


@pytest.mark.parametrize(
    "suffix", ["0110", "0120", "0200", "0201", "0202", "0210", "0310", "0334", "0360", "0400"]
)
@pytest.mark.parametrize("family", ["3", "9"])
async def test_a_thunes_failure_of_either_family_is_unpaid_and_blocks_nobody(
    thunes: ThunesAtWork, family: str, suffix: str
) -> None:
    document = a_transaction(f"{family}{suffix}")
    await thunes.plan({"step": "read", "reply": "RAW", "status": 200, "body": document})
    report = await thunes.adapter.look_up(a_thunes_payout())
    assert (report.finding, report.blocks_provider) == (Finding.UNPAID, False)
    assert report.retry_with_new_reference is (suffix == "0400")


MOMO_TERMINAL = (
    "PAYEE_NOT_FOUND",
    "PAYEE_NOT_ALLOWED_TO_RECEIVE",
    "EXPIRED",
    "APPROVAL_REJECTED",
    "PAYMENT_NOT_APPROVED",
    "TRANSACTION_CANCELED",
    "TRANSFER_TYPE_UNKNOWN",
    # Terminal for this reference; whether to try again with a new one is an operator's to decide.
    "INTERNAL_PROCESSING_ERROR",
    "SERVICE_UNAVAILABLE",
    "COULD_NOT_PERFORM_TRANSACTION",
    "TRANSACTION_NOT_COMPLETED",
)
MOMO_OURS = (
    "PAYER_LIMIT_REACHED",
    "SENDER_ACCOUNT_NOT_ACTIVE",
    "PAYER_NOT_FOUND",
    "NOT_ALLOWED",
    "NOT_ALLOWED_TARGET_ENVIRONMENT",
    "INVALID_CURRENCY",
    "INVALID_CALLBACK_URL_HOST",
)


@pytest.mark.parametrize("as_object", [False, True], ids=["string", "object"])
@pytest.mark.parametrize("reason", [*MOMO_TERMINAL, *MOMO_OURS])
async def test_a_reason_of_momos_has_the_class_of_the_page_in_both_its_shapes(
    stage: Set, reason: str, as_object: bool
) -> None:
    said = {"code": reason, "message": "said"} if as_object else reason
    on = await stage(Mtn(statuses=[a_status("FAILED", reason=said)]))
    report = await on.momo.look_up(a_transfer())
    ours = reason in MOMO_OURS
    assert (report.finding, report.reason) == (Finding.UNPAID, reason)
    assert (report.retry_with_new_reference, report.blocks_provider) == (ours, ours)
