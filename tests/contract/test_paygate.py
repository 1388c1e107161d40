"""The rows of PayGate Global's contract (provider page 5.3), and the safe readings of what it leaves open."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nepxy.config.providers import FloozSettings, TmoneySettings
from nepxy.config.secret import Secret
from nepxy.engine.outcomes import Finding, OutcomeClass, ReportedTerms
from nepxy.errors import WebhookRefused
from nepxy.providers.contract import Balance
from nepxy.providers.paygate import PayGateWallet
from nepxy.providers.wire import ProviderHttp
from nepxy.sandbox.config import DuplicateBehaviour
from tests.contract.awkward_server import AwkwardServer, an_answer, keeps_answering
from tests.contract.profiles import SECRET, a_sent_payout, played, taken
from tests.contract.support import Guard, Serve, our_ref


async def saying(
    serve: Serve, body: object, status: int = 200, settings: type[Any] = TmoneySettings
) -> tuple[PayGateWallet, AwkwardServer]:
    server = await serve(keeps_answering(an_answer(status, json.dumps(body).encode())))
    ours = settings(profile="paygate", base_url=server.url, paygate_auth_token=Secret(SECRET))
    return PayGateWallet(ours.name, ours, ProviderHttp(timeout_s=30, connections_max=2)), server


# ---- submit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "network"), [(TmoneySettings, "TMONEY"), (FloozSettings, "FLOOZ")])
async def test_a_submit_is_what_the_contract_asks_for(
    serve: Serve, settings: type[Any], network: str
) -> None:
    wallet, server = await saying(serve, {"tx_reference": "t-1", "status": 200}, settings=settings)
    payout = a_sent_payout("paygate", amount=2500)

    outcome = await wallet.submit(payout, Guard())
    await wallet.close()

    assert (outcome.kind, outcome.provider_ref) == (OutcomeClass.ACCEPTED, "t-1")
    request = server.requests[0]
    assert (request.method, request.target) == ("POST", "/api/v1/disburse")
    assert json.loads(request.body) == {
        "auth_token": SECRET,
        "phone_number": payout.phone_e164,
        "amount": 2500,
        "reason": "Payout",
        "network": network,
        "reference": payout.submission_ref,
    }


@pytest.mark.parametrize(
    ("suffix", "kind", "reason", "used"),
    [
        ("1234", OutcomeClass.ACCEPTED, "ACCEPTED", False),
        ("0600", OutcomeClass.UNKNOWN, "PAYGATE_0", False),
        ("0602", OutcomeClass.BLOCKED, "BAD_TOKEN", False),
        ("0604", OutcomeClass.REJECTED, "BAD_PARAMETERS", False),
        ("0606", OutcomeClass.UNKNOWN, "DUPLICATE_IDENTIFIER", True),
        ("0605", OutcomeClass.UNKNOWN, "PAYGATE_DISBURSE_FAILED", False),
        ("0102", OutcomeClass.UNKNOWN, "PAYGATE_DISBURSE_FAILED", False),
        ("0104", OutcomeClass.BLOCKED, "HTTP_403", False),
        ("0105", OutcomeClass.BLOCKED, "BAD_TOKEN", False),
    ],
)
async def test_each_submit_code_has_its_class(
    suffix: str, kind: OutcomeClass, reason: str, used: bool
) -> None:
    async with played("paygate") as town:
        outcome = await town.adapter.submit(a_sent_payout("paygate", suffix), Guard())

        assert (outcome.kind, outcome.reason, outcome.reference_was_used) == (kind, reason, used)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"tx_reference": "t", "status": "200"}, OutcomeClass.ACCEPTED),
        (200, {"status": 200}, OutcomeClass.ACCEPTED),
        (200, {"tx_reference": "..", "status": 200}, OutcomeClass.UNKNOWN),
        (200, {"tx_reference": "t"}, OutcomeClass.UNKNOWN),
        (200, {"tx_reference": "t", "status": 0}, OutcomeClass.UNKNOWN),
        (200, {"tx_reference": "t", "status": 4}, OutcomeClass.UNKNOWN),
        (200, {"tx_reference": "t", "status": 2}, OutcomeClass.UNKNOWN),
        (200, {"status": True}, OutcomeClass.UNKNOWN),
        (200, {"status": 4.0}, OutcomeClass.UNKNOWN),
        (200, [], OutcomeClass.UNKNOWN),
        (400, {"status": 4}, OutcomeClass.REJECTED),
        (400, {"status": 200, "tx_reference": "t"}, OutcomeClass.UNKNOWN),
        (400, {"error_code": 400}, OutcomeClass.UNKNOWN),
        (404, {"status": 4}, OutcomeClass.UNKNOWN),
        (500, {"status": 4}, OutcomeClass.UNKNOWN),
        (401, {"status": 4}, OutcomeClass.BLOCKED),
        (429, {"status": 4}, OutcomeClass.THROTTLED),
    ],
)
async def test_a_submit_is_decided_only_by_its_own_codes(
    serve: Serve, status: int, body: object, kind: OutcomeClass
) -> None:
    wallet, _ = await saying(serve, body, status)

    outcome = await wallet.submit(a_sent_payout("paygate"), Guard())
    await wallet.close()

    assert outcome.kind is kind


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"phone_e164": "+2290195001234"}, "COUNTRY_NOT_SERVED"),
        ({"currency": "GHS"}, "CURRENCY_NOT_SERVED"),
    ],
)
async def test_what_paygate_does_not_pay_is_refused_before_anything_is_sent(
    serve: Serve, changes: dict[str, str], reason: str
) -> None:
    wallet, server = await saying(serve, {"status": 200})

    outcome = await wallet.submit(a_sent_payout("paygate", **changes), Guard())
    await wallet.close()

    assert (outcome.kind, outcome.reason) == (OutcomeClass.REJECTED, reason)
    assert server.requests == []


async def test_a_repeat_that_is_refused_proves_only_that_the_reference_was_used() -> None:
    async with played("paygate", account={"duplicate_behaviour": DuplicateBehaviour.REJECTS}) as town:
        payout = a_sent_payout("paygate", "0204")
        assert (await town.adapter.submit(payout, Guard())).kind is OutcomeClass.UNKNOWN

        again = await town.adapter.submit(payout, Guard())

        assert (again.kind, again.reference_was_used) == (OutcomeClass.UNKNOWN, True)
        assert await town.moved(payout) == 1


# ---- status ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "finding", "reason"),
    [
        ("1234", Finding.PAID, "PAID"),
        ("0401", Finding.UNPAID, "EXPIRED"),
        ("0403", Finding.UNPAID, "CANCELLED"),
    ],
)
async def test_each_final_status_is_found_by_both_references(
    suffix: str, finding: Finding, reason: str
) -> None:
    async with played("paygate") as town:
        payout = a_sent_payout("paygate", suffix)
        outcome = await town.adapter.submit(payout, Guard())

        polled = await town.settled(lambda: town.adapter.poll(taken(payout, outcome.provider_ref)))
        found = await town.adapter.look_up(payout)

        assert (polled.finding, polled.reason) == (finding, reason)
        assert (found.finding, found.reason, found.provider_ref) == (finding, reason, outcome.provider_ref)
        assert polled.terms.amount == payout.amount


async def test_a_stuck_payout_is_in_flight() -> None:
    async with played("paygate") as town:
        payout = a_sent_payout("paygate", "0402")
        outcome = await town.adapter.submit(payout, Guard())

        report = await town.adapter.poll(taken(payout, outcome.provider_ref))

        assert (report.finding, report.reason) == (Finding.IN_FLIGHT, "IN_PROGRESS")


async def test_an_unknown_identifier_is_absent_and_no_more() -> None:
    async with played("paygate", account={"visible_after_s": 3600.0}) as town:
        payout = a_sent_payout("paygate")
        await town.adapter.submit(payout, Guard())

        assert (await town.adapter.look_up(payout)).finding is Finding.ABSENT
        assert await town.moved(payout) == 1


@pytest.mark.parametrize("code", [0, 2, 4, 6, 99])
async def test_a_status_that_names_no_transaction_says_nothing(serve: Serve, code: int) -> None:
    wallet, _ = await saying(serve, {"status": code})

    for report in (
        await wallet.poll(taken(a_sent_payout("paygate"), "t")),
        await wallet.look_up(a_sent_payout("paygate")),
    ):
        assert (report.finding, report.reason) == (Finding.NO_ANSWER, "REFERENCE_NOT_ECHOED")
    await wallet.close()


@pytest.mark.parametrize(
    ("status", "body", "polled", "found"),
    [
        (200, {"tx_reference": "t", "status": "0"}, Finding.PAID, Finding.PAID),
        (200, {"tx_reference": "t", "status": 5}, Finding.IN_FLIGHT, Finding.IN_FLIGHT),
        (200, {"tx_reference": "t", "status": -1}, Finding.IN_FLIGHT, Finding.IN_FLIGHT),
        (200, {"tx_reference": "u", "status": 0}, Finding.NO_ANSWER, Finding.PAID),
        (200, {"tx_reference": "t", "identifier": "x", "status": 6}, Finding.UNPAID, Finding.NO_ANSWER),
        (200, {"tx_reference": "t"}, Finding.NO_ANSWER, Finding.NO_ANSWER),
        (200, {"error_code": 4, "error_message": "no"}, Finding.NO_ANSWER, Finding.NO_ANSWER),
        (201, {"tx_reference": "t", "status": 0}, Finding.NO_ANSWER, Finding.NO_ANSWER),
        (404, {"tx_reference": "t", "status": 0}, Finding.ABSENT, Finding.ABSENT),
        (403, {"tx_reference": "t", "status": 0}, Finding.NO_ANSWER, Finding.NO_ANSWER),
    ],
)
async def test_a_status_counts_only_for_what_was_asked(
    serve: Serve, status: int, body: object, polled: Finding, found: Finding
) -> None:
    wallet, server = await saying(serve, body, status)

    reports = (
        await wallet.poll(taken(a_sent_payout("paygate"), "t")),
        await wallet.look_up(a_sent_payout("paygate")),
    )
    await wallet.close()

    assert [report.finding for report in reports] == [polled, found]
    assert [request.target for request in server.requests] == ["/api/v1/status", "/api/v2/status"]
    assert json.loads(server.requests[0].body) == {"auth_token": SECRET, "tx_reference": "t"}
    assert json.loads(server.requests[1].body) == {"auth_token": SECRET, "identifier": our_ref()}


async def test_the_terms_that_it_reports_are_kept(serve: Serve) -> None:
    body = {"tx_reference": "t", "status": 0, "amount": 999, "phone_number": "22890001234"}
    wallet, _ = await saying(serve, body)

    report = await wallet.poll(taken(a_sent_payout("paygate"), "t"))
    await wallet.close()

    assert report.terms == ReportedTerms(amount=999, phone_e164="+22890001234")


# ---- balance -----------------------------------------------------------------------------------------------


async def test_each_wallet_has_its_own_float() -> None:
    async with played("paygate", account={"balance": 5000}) as town:
        wallet: Any = town.adapter
        payout = a_sent_payout("paygate", amount=1000)
        await wallet.submit(payout, Guard())
        assert await town.moved(payout) == 1

        assert await wallet.balance("XOF") == Balance(amount=4000, currency="XOF")
        assert await wallet.balance("GHS") is None
        await town.set_faults(down=True)
        assert await wallet.balance("XOF") is None


@pytest.mark.parametrize(
    "body", [{"flooz": 1}, {"tmoney": "much"}, {"tmoney": -1}, {"tmoney": None}, {"status": 2}, [], "1"]
)
async def test_a_balance_that_cannot_be_read_is_none(serve: Serve, body: object) -> None:
    wallet, _ = await saying(serve, body)

    assert await wallet.balance("XOF") is None
    await wallet.close()


# ---- callbacks ---------------------------------------------------------------------------------------------


def test_a_callback_names_a_transaction_and_says_nothing_of_it() -> None:
    wallet = PayGateWallet("TMONEY", TmoneySettings(), ProviderHttp(timeout_s=1, connections_max=1))

    notice = wallet.read_webhook(
        {"tx_reference": "t", "identifier": our_ref(), "amount": 1000, "status": "0", "phone_number": "x"}
    )

    assert (notice.provider_ref, notice.our_ref, notice.status_word) == ("t", our_ref(), "")
    assert (notice.report.finding, notice.report.provider_ref) == (Finding.NO_ANSWER, None)


@pytest.mark.parametrize("document", [{}, {"tx_reference": ""}, {"identifier": "a\0b"}, {"status": 0}])
def test_a_callback_that_names_nothing_is_refused(document: dict[str, object]) -> None:
    wallet = PayGateWallet("TMONEY", TmoneySettings(), ProviderHttp(timeout_s=1, connections_max=1))

    with pytest.raises(WebhookRefused, match="MISSING_PROVIDER_REF"):
        wallet.read_webhook(document)


@pytest.mark.parametrize(
    ("reported", "kept"),
    [
        ("+22890001234", "+22890001234"),
        ("22995001234", "+2290195001234"),
        ("2290195001234", "+2290195001234"),
        ("90001234", None),
        ("228900***34", None),
    ],
)
async def test_a_reported_number_is_compared_only_where_it_names_its_country(
    serve: Serve, reported: str, kept: str | None
) -> None:
    wallet, _ = await saying(serve, {"tx_reference": "t", "status": 0, "phone_number": reported})

    report = await wallet.poll(taken(a_sent_payout("paygate"), "t"))
    await wallet.close()

    assert report.terms.phone_e164 == kept
