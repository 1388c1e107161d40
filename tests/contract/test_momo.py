"""MOMO over real HTTP, row by row of the contract page: 3.2 to 3.5."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from nepxy.config.groups import Mode
from nepxy.engine.outcomes import Finding, OutcomeClass, Shortfall
from nepxy.engine.payout import Status
from nepxy.providers import momo_codes as codes
from nepxy.providers.contract import AccountState, Balance
from tests.contract.awkward_server import an_answer
from tests.contract.support import Guard
from tests.contract.test_momo_tokens import HTML_411, Mtn, Set, a_transfer, stage

__all__ = ["stage"]  # the fixture

ACCEPTED, REJECTED, BLOCKED = OutcomeClass.ACCEPTED, OutcomeClass.REJECTED, OutcomeClass.BLOCKED
THROTTLED, UNKNOWN = OutcomeClass.THROTTLED, OutcomeClass.UNKNOWN


def said(http_status: int, /, **document: Any) -> bytes:
    return an_answer(http_status, orjson.dumps(document))


def a_status(word: Any, **changes: Any) -> bytes:
    document: dict[str, Any] = {
        "amount": "1000",
        "currency": "EUR",
        "externalId": a_transfer().submission_ref,
        "payee": {"partyIdType": "MSISDN", "partyId": "2290190000001"},
        "status": word,
    }
    return said(200, **(document | changes))


async def test_a_transfer_is_written_as_the_page_says(stage: Set) -> None:
    on = await stage(callback_url="https://pay.example", target_env="mtnbenin")
    outcome = await on.submit(external_ref="l'été n°7 " + "x" * 300)
    (request,) = on.of("POST")
    reference = str(a_transfer().submission_ref)
    assert (outcome.kind, str(outcome.provider_ref)) == (ACCEPTED, reference)
    assert request.target == "/disbursement/v1_0/transfer"
    assert request.headers["x-reference-id"] == reference
    assert request.headers["x-target-environment"] == "mtnbenin"
    assert request.headers["ocp-apim-subscription-key"] == "sub-key-nobody-may-see"
    url = request.headers["x-callback-url"]
    assert (
        on.momo.callbacks.reference_of(url.removeprefix("https://pay.example/v1/webhooks/momo/")) == reference
    )
    body = orjson.loads(request.body)
    assert {name: body[name] for name in ("amount", "currency", "externalId", "payee")} == {
        "amount": "1000",
        "currency": "XOF",
        "externalId": reference,
        "payee": {"partyIdType": "MSISDN", "partyId": "2290190000001"},
    }
    assert body["payerMessage"].startswith("Payout l ete n7 x")
    assert len(body["payerMessage"]) == 160


@pytest.mark.parametrize(
    ("amount", "currency", "text"), [(1000, "XOF", "1000"), (1005, "GHS", "10.05"), (1000, "GHS", "10.00")]
)
def test_an_amount_has_its_currencys_decimals(amount: int, currency: str, text: str) -> None:
    assert codes.wire_amount(amount, currency) == text


@pytest.mark.parametrize(
    ("mode", "environment", "sent"),
    [(Mode.SANDBOX, "sandbox", "EUR"), (Mode.SANDBOX, "mtnbenin", "XOF"), (Mode.REAL, "sandbox", "XOF")],
)
async def test_only_the_sandbox_is_sent_another_currency(
    stage: Set, mode: Mode, environment: str, sent: str
) -> None:
    on = await stage(mode=mode, target_env=environment)
    await on.submit()
    document = orjson.loads(on.of("POST")[0].body)
    assert (document["amount"], document["currency"]) == ("1000", sent)


async def test_a_currency_that_the_country_does_not_pay_is_refused_without_a_call(stage: Set) -> None:
    on = await stage(target_env="mtnghana")
    outcome = await on.submit()
    assert (outcome.kind, outcome.reason, on.server.requests) == (REJECTED, "CURRENCY_NOT_SUPPORTED", [])


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (an_answer(202, b""), ACCEPTED, "ACCEPTED"),
        (an_answer(202, b"<html>"), UNKNOWN, "ANSWER_UNREADABLE"),
        (an_answer(200, b"{}"), UNKNOWN, "ANSWER_UNREADABLE"),
        (said(400, code="INVALID_REFERENCE", message="no"), REJECTED, "INVALID_REFERENCE"),
        (an_answer(400, b"<html>"), UNKNOWN, "HTTP_400"),
        (said(400, code="INTERNAL_PROCESSING_ERROR"), UNKNOWN, "INTERNAL_PROCESSING_ERROR"),
        (said(403, code="FORBIDDEN IP"), BLOCKED, "FORBIDDEN_IP"),
        (said(404, code="RESOURCE_NOT_FOUND"), UNKNOWN, "RESOURCE_NOT_FOUND"),
        (an_answer(411, HTML_411), UNKNOWN, "HTTP_411"),
        (said(429, statusCode=429), THROTTLED, "HTTP_429"),
        (said(500, code="INTERNAL_PROCESSING_ERROR"), UNKNOWN, "INTERNAL_PROCESSING_ERROR"),
        (said(500, code="PAYEE_NOT_FOUND"), UNKNOWN, "PAYEE_NOT_FOUND"),
        (said(503, code="SERVICE_UNAVAILABLE"), UNKNOWN, "SERVICE_UNAVAILABLE"),
        (an_answer(502, b"<html>"), UNKNOWN, "HTTP_502"),
        (said(500, code="NOT_ALLOWED"), BLOCKED, "NOT_ALLOWED"),
        (said(500, code="NOT_ALLOWED_TARGET_ENVIRONMENT"), BLOCKED, "NOT_ALLOWED_TARGET_ENVIRONMENT"),
        (said(500, code="INVALID_CALLBACK_URL_HOST"), BLOCKED, "INVALID_CALLBACK_URL_HOST"),
        (said(500, code="INVALID_CURRENCY"), BLOCKED, "INVALID_CURRENCY"),
    ],
)
async def test_each_answer_to_a_submit_gives_one_class(
    stage: Set, answer: bytes, kind: OutcomeClass, reason: str
) -> None:
    on = await stage(Mtn(transfers=[answer]))
    outcome = await on.submit()
    assert (outcome.kind, outcome.reason) == (kind, reason)
    assert not outcome.reference_was_used


@pytest.mark.parametrize("answer", [said(409, code="RESOURCE_ALREADY_EXIST"), an_answer(409, b"<html>")])
async def test_a_duplicate_is_unknown_and_says_that_the_reference_was_used(stage: Set, answer: bytes) -> None:
    outcome = await (await stage(Mtn(transfers=[answer]))).submit()
    assert (outcome.kind, outcome.reference_was_used) == (UNKNOWN, True)


async def test_a_refusal_by_500_is_not_believed_when_the_transfer_is_there_or_nobody_can_say(
    stage: Set,
) -> None:
    refusal = said(500, code="NOT_ALLOWED")
    on = await stage(Mtn(transfers=[refusal] * 3, statuses=[a_status("PENDING"), an_answer(500, b"")]))
    assert (await on.submit()).kind is ACCEPTED
    assert (await on.submit()).kind is UNKNOWN

    class LateAfterwards(Guard):
        def is_late(self) -> bool:
            self.asked += 1
            return self.asked > 1

    assert (await on.submit(LateAfterwards())).kind is UNKNOWN


@pytest.mark.parametrize(
    ("answer", "finding", "reason"),
    [
        (a_status("CREATED"), Finding.IN_FLIGHT, "CREATED"),
        (a_status("PENDING", reason="EXPIRED"), Finding.IN_FLIGHT, "PENDING"),
        (a_status("SUCCESSFUL", reason="EXPIRED"), Finding.PAID, "SUCCESSFUL"),
        (a_status("FAILED"), Finding.UNPAID, "FAILED"),
        (a_status("FAILED", reason="PAYEE_NOT_FOUND"), Finding.UNPAID, "PAYEE_NOT_FOUND"),
        (a_status("FAILED", reason={"code": "EXPIRED"}), Finding.UNPAID, "EXPIRED"),
        (a_status("REJECTED"), Finding.NO_ANSWER, "STATUS_REJECTED"),
        (a_status(None), Finding.NO_ANSWER, "ANSWER_UNREADABLE"),
        (a_status("SUCCESSFUL", externalId="another"), Finding.NO_ANSWER, "OTHER_REFERENCE"),
        (said(404, code="RESOURCE_NOT_FOUND"), Finding.ABSENT, "RESOURCE_NOT_FOUND"),
        (said(404, statusCode=404, message="Resource not found"), Finding.NO_ANSWER, "HTTP_404"),
        (an_answer(404, b"<html>"), Finding.NO_ANSWER, "HTTP_404"),
        (said(429, statusCode=429), Finding.NO_ANSWER, "HTTP_429"),
        (said(500, status="FAILED"), Finding.NO_ANSWER, "HTTP_500"),
        (an_answer(200, b"[]"), Finding.NO_ANSWER, "ANSWER_UNREADABLE"),
    ],
)
async def test_each_answer_to_a_look_up_gives_one_finding(
    stage: Set, answer: bytes, finding: Finding, reason: str
) -> None:
    report = await (await stage(Mtn(statuses=[answer]))).momo.look_up(a_transfer())
    assert (report.finding, report.reason) == (finding, reason)
    assert (report.retry_with_new_reference, report.blocks_provider) == (False, False)


@pytest.mark.parametrize("reason", sorted(codes.OURS_TO_MEND - {codes.NOT_ENOUGH_FUNDS}))
async def test_a_failure_that_is_ours_to_mend_waits_for_an_operator(stage: Set, reason: str) -> None:
    report = await (await stage(Mtn(statuses=[a_status("FAILED", reason=reason)]))).momo.look_up(a_transfer())
    assert (report.finding, report.retry_with_new_reference, report.blocks_provider) == (
        Finding.UNPAID,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("held", "reason", "again", "blocks"),
    [
        (said(200, availableBalance="999", currency="EUR"), "NOT_ENOUGH_FUNDS", True, True),
        (said(200, availableBalance="1000", currency="EUR"), "PAYEE_LIMIT_REACHED", False, False),
        (an_answer(500, b""), "NOT_ENOUGH_FUNDS", True, False),
    ],
)
async def test_not_enough_funds_is_decided_by_our_balance(
    stage: Set, held: bytes, reason: str, again: bool, blocks: bool
) -> None:
    on = await stage(Mtn(statuses=[a_status("FAILED", reason="NOT_ENOUGH_FUNDS")], balances=[held]))
    report = await on.momo.look_up(a_transfer())
    assert (report.finding, report.reason) == (Finding.UNPAID, reason)
    assert (report.retry_with_new_reference, report.blocks_provider) == (again, blocks)
    assert report.shortfall == (Shortfall(amount=1000, currency="XOF") if blocks else None)


async def test_a_success_keeps_mtns_transaction_in_the_evidence_and_our_reference_on_the_row(
    stage: Set,
) -> None:
    on = await stage(Mtn(statuses=[a_status("SUCCESSFUL", financialTransactionId="363440463")]))
    report = await on.momo.look_up(a_transfer())
    assert str(report.provider_ref) == str(a_transfer().submission_ref)
    assert "363440463" in report.rule


@pytest.mark.parametrize(
    ("changes", "differ"),
    [
        ({}, ()),
        ({"amount": "1000.00"}, ()),
        ({"amount": "1001"}, ("amount",)),
        ({"amount": "1000.5"}, ("amount",)),
        ({"currency": "GHS"}, ("amount", "currency")),
        ({"payee": {"partyIdType": "MSISDN", "partyId": "22990000001"}}, ()),
        ({"payee": {"partyIdType": "MSISDN", "partyId": "2290190000002"}}, ("phone_e164",)),
    ],
)
async def test_what_is_reported_is_held_against_ours(
    stage: Set, changes: dict[str, Any], differ: tuple[str, ...]
) -> None:
    payout = a_transfer()
    report = await (await stage(Mtn(statuses=[a_status("PENDING", **changes)]))).momo.look_up(payout)
    found = report.terms.differ_from(amount=1000, currency="XOF", phone_e164=payout.phone_e164)
    assert found == differ


async def test_balance_and_account_holder(stage: Set) -> None:
    on = await stage(
        Mtn(
            balances=[
                said(200, availableBalance="1000.75", currency="EUR"),
                said(200, availableBalance="1000", currency="UGX"),
                said(200, result=True),
                said(200, result=False),
                said(404, code="RESOURCE_NOT_FOUND"),
                an_answer(500, b""),
            ]
        )
    )
    assert await on.momo.balance("XOF") == Balance(amount=1000, currency="XOF")
    assert await on.momo.balance("XOF") is None
    states = [await on.momo.check_account("+2290190000001") for _ in range(4)]
    unknown = AccountState.UNKNOWN_PAYEE
    assert states == [AccountState.ACTIVE, unknown, unknown, AccountState.NOT_TOLD]
    assert on.of("GET")[-1].target == "/disbursement/v1_0/accountholder/msisdn/2290190000001/active"


async def test_a_token_endpoint_that_echoes_user_and_key_gives_neither_away(stage: Set) -> None:
    on = await stage(Mtn())
    basic = on.momo._basic.get_secret_value()
    on.mtn.tokens = [said(400, code="BAD", message=f"bad credentials {basic}")] * 3
    outcome, report = await on.submit(), await on.momo.look_up(a_transfer())
    assert basic not in outcome.answer + outcome.reason + report.answer + report.reason
    assert "bad credentials" in outcome.answer


async def test_no_secret_and_no_number_is_kept(stage: Set) -> None:
    echo = said(400, code="BAD", message="token-number-1 sub-key-nobody-may-see 2290190000001")
    outcome = await (await stage(Mtn(transfers=[echo]))).submit()
    for hidden in ("token-number-1", "sub-key-nobody-may-see", "2290190000001"):
        assert hidden not in outcome.answer
    assert a_transfer().status is Status.SENT
