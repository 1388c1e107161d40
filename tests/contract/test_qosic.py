"""The rows of Qosic's contract (provider page 5.4), its trap, and the safe readings of what it leaves open."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from nepxy.config.providers import FloozSettings, TmoneySettings
from nepxy.config.secret import Secret
from nepxy.engine.outcomes import Finding, OutcomeClass, ReportedTerms
from nepxy.errors import WebhookRefused
from nepxy.providers.qosic import QosicWallet
from nepxy.providers.wire import ProviderHttp
from tests.contract.awkward_server import AwkwardServer, an_answer, keeps_answering
from tests.contract.profiles import SECRET, a_sent_payout, played, taken
from tests.contract.support import Guard, Serve, our_ref


def an_account(url: str, settings: type[Any] = FloozSettings, **changes: Any) -> QosicWallet:
    fields: dict[str, Any] = {
        "profile": "qosic",
        "base_url": url,
        "qosic_user": "us",
        "qosic_password": Secret(SECRET),
        "qosic_client_id_tg": "client-tg",
    }
    ours = settings(**{**fields, **changes})
    return QosicWallet(ours.name, ours, ProviderHttp(timeout_s=30, connections_max=2))


async def saying(
    serve: Serve, body: object, status: int = 200, **changes: Any
) -> tuple[QosicWallet, AwkwardServer]:
    server = await serve(keeps_answering(an_answer(status, json.dumps(body).encode())))
    return an_account(server.url, **changes), server


def an_answer_of(code: str, **changes: object) -> dict[str, object]:
    fields = {"responsecode": code, "responsemsg": "", "transref": our_ref(), "serviceref": "s-1"}
    return {**fields, **changes}


# ---- submit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "operator"), [(TmoneySettings, "tm"), (FloozSettings, "tg")])
async def test_a_submit_is_what_the_contract_asks_for(
    serve: Serve, settings: type[Any], operator: str
) -> None:
    wallet, server = await saying(serve, an_answer_of("00"), settings=settings)
    payout = a_sent_payout("qosic", amount=2500)

    outcome = await wallet.submit(payout, Guard())
    await wallet.close()

    assert (outcome.kind, outcome.provider_ref) == (OutcomeClass.ACCEPTED, "s-1")
    request = server.requests[0]
    assert (request.method, request.target) == ("POST", f"/{operator}/v1/deposit")
    credential = base64.b64encode(f"us:{SECRET}".encode()).decode()
    assert request.headers["authorization"] == f"Basic {credential}"
    assert json.loads(request.body) == {
        "msisdn": payout.phone_e164[1:],
        "amount": "2500",
        "transref": payout.submission_ref,
        "clientid": "client-tg",
    }


async def test_each_country_has_its_own_operator_and_client_id(serve: Serve) -> None:
    benin: dict[str, Any] = {"qosic_operator_bj": "mv", "qosic_client_id_bj": "client-bj"}
    wallet, server = await saying(serve, an_answer_of("00"), **benin)

    await wallet.submit(a_sent_payout("qosic", phone_e164="+2290195001234"), Guard())
    await wallet.look_up(a_sent_payout("qosic", phone_e164="+2290195001234"))
    await wallet.close()

    targets = [request.target for request in server.requests]
    assert targets == ["/mv/v1/deposit", "/mv/v1/gettransactionstatus"]
    assert [json.loads(request.body)["clientid"] for request in server.requests] == ["client-bj"] * 2
    assert json.loads(server.requests[0].body)["msisdn"] == "2290195001234"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"phone_e164": "+2290195001234"}, "COUNTRY_NOT_SERVED"),
        ({"phone_e164": "+233241234567"}, "COUNTRY_NOT_SERVED"),
        ({"currency": "GHS"}, "CURRENCY_NOT_SERVED"),
    ],
)
async def test_what_has_no_client_id_is_refused_before_anything_is_sent(
    serve: Serve, changes: dict[str, str], reason: str
) -> None:
    wallet, server = await saying(serve, an_answer_of("00"))

    outcome = await wallet.submit(a_sent_payout("qosic", **changes), Guard())
    await wallet.close()

    assert (outcome.kind, outcome.reason) == (OutcomeClass.REJECTED, reason)
    assert server.requests == []


async def test_where_there_is_no_client_id_nothing_can_be_asked(serve: Serve) -> None:
    wallet, server = await saying(serve, an_answer_of("02"))

    report = await wallet.look_up(a_sent_payout("qosic", phone_e164="+2290195001234"))
    await wallet.close()

    assert (report.finding, server.requests) == (Finding.NO_ANSWER, [])


@pytest.mark.parametrize(
    ("suffix", "kind", "reason"),
    [
        ("1234", OutcomeClass.ACCEPTED, "ACCEPTED"),
        ("0601", OutcomeClass.ACCEPTED, "PENDING"),
        ("0602", OutcomeClass.REJECTED, "QOSIC_02"),
        ("0611", OutcomeClass.REJECTED, "QOSIC_-1"),
        ("0612", OutcomeClass.REJECTED, "QOSIC_-2"),
        ("0615", OutcomeClass.REJECTED, "OTHER_NETWORK"),
        ("0680", OutcomeClass.REJECTED, "RECEIVER_LIMIT"),
        ("0649", OutcomeClass.REJECTED, "VALIDATION_FAILED"),
        ("0629", OutcomeClass.BLOCKED, "INSUFFICIENT_FLOAT"),
        ("0627", OutcomeClass.UNKNOWN, "QOSIC_527"),
        ("0682", OutcomeClass.UNKNOWN, "QOSIC_682"),
        ("0610", OutcomeClass.UNKNOWN, "QOSIC_100"),
        ("0699", OutcomeClass.UNKNOWN, "QOSIC_96"),
        ("0104", OutcomeClass.BLOCKED, "HTTP_401"),
        ("0105", OutcomeClass.BLOCKED, "HTTP_401"),
    ],
)
async def test_each_code_of_a_deposit_has_its_class(suffix: str, kind: OutcomeClass, reason: str) -> None:
    async with played("qosic") as town:
        outcome = await town.adapter.submit(a_sent_payout("qosic", suffix), Guard())

        assert (outcome.kind, outcome.reason) == (kind, reason)
        assert (outcome.shortfall is not None) == (suffix == "0629")


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (200, an_answer_of, OutcomeClass.ACCEPTED, "ACCEPTED"),
        (202, an_answer_of, OutcomeClass.ACCEPTED, "ACCEPTED"),
        (400, an_answer_of, OutcomeClass.UNKNOWN, "HTTP_400"),
        (500, an_answer_of, OutcomeClass.UNKNOWN, "HTTP_500"),
        (401, an_answer_of, OutcomeClass.BLOCKED, "HTTP_401"),
    ],
)
async def test_an_acceptance_counts_only_in_a_2xx(
    serve: Serve, status: int, body: Any, kind: OutcomeClass, reason: str
) -> None:
    wallet, _ = await saying(serve, body("00"), status)

    outcome = await wallet.submit(a_sent_payout("qosic"), Guard())
    await wallet.close()

    assert (outcome.kind, outcome.reason) == (kind, reason)


async def test_a_refusal_of_another_reference_is_not_ours(serve: Serve) -> None:
    wallet, _ = await saying(serve, an_answer_of("02", transref="another", serviceref="0"))

    outcome = await wallet.submit(a_sent_payout("qosic"), Guard())
    await wallet.close()

    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "OTHER_REFERENCE")


async def test_a_refusal_that_has_a_number_of_theirs_is_no_refusal(serve: Serve) -> None:
    wallet, _ = await saying(serve, an_answer_of("-1", serviceref="s-1"))

    outcome = await wallet.submit(a_sent_payout("qosic"), Guard())
    await wallet.close()

    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "REFUSED_YET_TAKEN")


@pytest.mark.parametrize("body", [{}, {"responsecode": None}, {"responsecode": True}, []])
async def test_an_answer_without_a_code_is_unknown(serve: Serve, body: object) -> None:
    wallet, _ = await saying(serve, body)

    outcome = await wallet.submit(a_sent_payout("qosic"), Guard())
    await wallet.close()

    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "ANSWER_UNREADABLE")


# ---- query -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "finding", "reason"),
    [
        ("1234", Finding.PAID, "PAID"),
        ("0401", Finding.UNPAID, "QOSIC_-1"),
        ("0403", Finding.UNPAID, "QOSIC_02"),
        ("0404", Finding.UNPAID, "QOSIC_-2"),
        ("0405", Finding.UNPAID, "INSUFFICIENT_FLOAT"),
    ],
)
async def test_each_final_code_of_a_query(suffix: str, finding: Finding, reason: str) -> None:
    async with played("qosic") as town:
        payout = a_sent_payout("qosic", suffix)
        outcome = await town.adapter.submit(payout, Guard())

        report = await town.settled(lambda: town.adapter.look_up(payout))

        assert (report.finding, report.reason, report.provider_ref) == (finding, reason, outcome.provider_ref)
        assert await town.moved(payout) == (finding is Finding.PAID)


async def test_want_of_float_found_later_blocks_the_provider_and_may_be_tried_anew() -> None:
    async with played("qosic") as town:
        payout = a_sent_payout("qosic", "0405")
        await town.adapter.submit(payout, Guard())

        report = await town.settled(lambda: town.adapter.look_up(payout))

        assert report.retry_with_new_reference
        assert report.blocks_provider
        assert report.shortfall is not None
        assert report.shortfall.amount == payout.amount


async def test_00_means_accepted_in_a_deposit_and_done_only_in_a_query() -> None:
    async with played("qosic", settle_delay_s=3600.0) as town:
        payout = a_sent_payout("qosic")
        outcome = await town.adapter.submit(payout, Guard())

        report = await town.adapter.poll(taken(payout, outcome.provider_ref))

        assert outcome.kind is OutcomeClass.ACCEPTED
        assert (report.finding, report.reason) == (Finding.IN_FLIGHT, "PENDING")


async def test_the_trap_an_unknown_reference_looks_like_a_failure_and_is_only_absent() -> None:
    async with played("qosic", account={"visible_after_s": 3600.0}) as town:
        payout = a_sent_payout("qosic")
        outcome = await town.adapter.submit(payout, Guard())

        for report in (
            await town.adapter.look_up(payout),
            await town.adapter.poll(taken(payout, outcome.provider_ref)),
        ):
            assert (report.finding, report.reason) == (Finding.ABSENT, "QOSIC_-1")
        assert await town.moved(payout) == 1


@pytest.mark.parametrize("code", ["02", "-1", "-2", "515", "529", "580", "849"])
@pytest.mark.parametrize("service_ref", ["0", "", "00", None, 0])
async def test_no_failure_without_a_serviceref_counts(serve: Serve, code: str, service_ref: object) -> None:
    wallet, _ = await saying(serve, an_answer_of(code, serviceref=service_ref))

    report = await wallet.look_up(a_sent_payout("qosic"))
    await wallet.close()

    assert report.finding is Finding.ABSENT


@pytest.mark.parametrize("code", ["00", "01", "02", "-1", "515", "529", "849"])
@pytest.mark.parametrize("transref", ["another", None, ""])
async def test_a_query_counts_only_where_it_names_our_reference(
    serve: Serve, code: str, transref: object
) -> None:
    wallet, _ = await saying(serve, an_answer_of(code, transref=transref))

    report = await wallet.look_up(a_sent_payout("qosic"))
    await wallet.close()

    assert (report.finding, report.reason) == (Finding.NO_ANSWER, "REFERENCE_NOT_ECHOED")


@pytest.mark.parametrize("code", ["100", "527", "682", "96", "11", "SUCCESSFUL", "0"])
async def test_a_code_that_nobody_mapped_says_nothing(serve: Serve, code: str) -> None:
    wallet, _ = await saying(serve, an_answer_of(code))

    report = await wallet.look_up(a_sent_payout("qosic"))
    await wallet.close()

    assert report.finding is Finding.NO_ANSWER


async def test_the_terms_that_it_reports_are_kept(serve: Serve) -> None:
    wallet, _ = await saying(serve, an_answer_of("00", amount="999", msisdn="22896001234"))

    report = await wallet.look_up(a_sent_payout("qosic"))
    await wallet.close()

    assert report.terms == ReportedTerms(amount=999, phone_e164="+22896001234")


# ---- callbacks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({}, Finding.PAID),
        ({"status": "FAILED", "code": "-1"}, Finding.UNPAID),
        ({"status": "FAILED", "serviceRef": "0"}, Finding.NO_ANSWER),
        ({"status": "WHATEVER"}, Finding.IN_FLIGHT),
    ],
)
def test_a_callback_gives_its_references_and_its_word(changes: dict[str, object], finding: Finding) -> None:
    wallet = an_account("https://provider.invalid")
    body: dict[str, object] = {"transRef": our_ref(), "serviceRef": "s-1", "status": "SUCCESSFUL"}
    body |= {"amount": "1000", "code": "200", **changes}

    notice = wallet.read_webhook(body)

    assert notice.our_ref == our_ref()
    assert notice.provider_ref == (None if body["serviceRef"] == "0" else "s-1")
    assert (notice.report.finding, notice.report.terms.amount) == (finding, 1000)
    assert notice.status_word == body["status"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"transRef": "r"}, "MISSING_STATUS"),
        ({"status": "FAILED", "serviceRef": "0"}, "MISSING_PROVIDER_REF_OR_EXTERNAL_REF"),
    ],
)
def test_a_callback_without_a_status_or_a_reference_is_refused(
    document: dict[str, object], code: str
) -> None:
    with pytest.raises(WebhookRefused, match=code):
        an_account("https://provider.invalid").read_webhook(document)


@pytest.mark.parametrize("status", [201, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("code", ["00", "02"])
async def test_a_query_counts_only_in_a_200_or_202(serve: Serve, status: int, code: str) -> None:
    wallet, _ = await saying(serve, an_answer_of(code), status)

    report = await wallet.look_up(a_sent_payout("qosic"))
    await wallet.close()

    assert (report.finding, report.reason) == (Finding.NO_ANSWER, f"HTTP_{status}")
