"""The rows of Moov Africa Benin's SOAP contract (provider page 5.2), and the safe readings of what it leaves open."""

from __future__ import annotations

from typing import Any

import pytest

from nepxy.config.providers import FloozSettings
from nepxy.config.secret import Secret
from nepxy.engine.outcomes import Finding, OutcomeClass
from nepxy.errors import WebhookRefused
from nepxy.providers.contract import AccountState, Balance
from nepxy.providers.moov_soap import MoovSoapWallet
from nepxy.providers.soap import DEPTH_MAX, ELEMENTS_MAX, SoapAnswer, read_soap
from nepxy.providers.wire import ProviderHttp
from nepxy.sandbox.config import DuplicateBehaviour
from tests.contract.awkward_server import AwkwardServer, an_answer, keeps_answering
from tests.contract.profiles import SECRET, a_sent_payout, played, taken
from tests.contract.support import Guard, Serve, our_ref

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
UNKNOWN = OutcomeClass.UNKNOWN


def soap(inside: str) -> bytes:
    text = f'<s:Envelope xmlns:s="{ENVELOPE}"><s:Body>{inside}</s:Body></s:Envelope>'
    return text.encode()


def an_answer_of(operation: str, **fields: str) -> bytes:
    leaves = "".join(f"<{name}>{text}</{name}>" for name, text in fields.items())
    namespace = 'xmlns:n="http://api.merchant.tlc.com/"'
    return soap(f"<n:{operation}Response {namespace}><return>{leaves}</return></n:{operation}Response>")


async def saying(
    serve: Serve, body: bytes, status: int = 200, **changes: Any
) -> tuple[MoovSoapWallet, AwkwardServer]:
    server = await serve(keeps_answering(an_answer(status, body, content_type="text/xml")))
    fields: dict[str, Any] = {"profile": "moov-soap", "base_url": f"{server.url}/UssdPush?wsdl"}
    ours = FloozSettings(**{**fields, "moov_token": Secret(SECRET), **changes})
    return MoovSoapWallet("FLOOZ", ours, ProviderHttp(timeout_s=30, connections_max=2)), server


# ---- submit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "request_xml"),
    [
        (
            "transferFlooz",
            "<destination>2290195001234</destination><amount>2500</amount><referenceid>{ref}</referenceid>"
            "<walletid>0</walletid><extendeddata></extendeddata>",
        ),
        (
            "cashintrans",
            "<destination>2290195001234</destination><amount>2500</amount><referenceid>{ref}</referenceid>"
            "<remarks></remarks>",
        ),
    ],
)
async def test_a_submit_is_what_the_contract_asks_for(serve: Serve, operation: str, request_xml: str) -> None:
    body = an_answer_of(operation, status="0", transactionid="t-1")
    wallet, server = await saying(serve, body, moov_operation=operation)
    payout = a_sent_payout("moov-soap", amount=2500)

    outcome = await wallet.submit(payout, Guard())
    await wallet.close()

    assert (outcome.kind, outcome.provider_ref) == (OutcomeClass.CONFIRMED, "t-1")
    request = server.requests[0]
    assert (request.method, request.target) == ("POST", "/UssdPush?wsdl")
    assert request.headers["content-type"] == "text/xml; charset=utf-8"
    xml = request.body.decode()
    assert f"<token>{SECRET}</token><request>{request_xml.format(ref=payout.submission_ref)}</request>" in xml
    assert f"<api:{operation}>" in xml
    assert 'xmlns:api="http://api.merchant.tlc.com/"' in xml


@pytest.mark.parametrize("operation", ["transferFlooz", "cashintrans"])
async def test_the_sandbox_takes_both_operations_and_pays_within_the_call(operation: str) -> None:
    async with played("moov-soap", change={"moov_operation": operation}) as town:
        payout = a_sent_payout("moov-soap")

        outcome = await town.adapter.submit(payout, Guard())

        assert outcome.kind is OutcomeClass.CONFIRMED
        assert await town.moved(payout) == 1


REJECTED_CODES = ("3", "6", "7", "9", "11", "12", "17", "18", "555")
FLOAT_CODES = ("8", "10")
BLOCKED_CODES = ("1", "2", "4", "13", "14", "15", "16", "19", "20")
UNKNOWN_CODES = ("91", "92", "94", "95", "98", "99", "-1", "101", "5")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, OutcomeClass.REJECTED) for code in REJECTED_CODES),
        *((code, OutcomeClass.BLOCKED) for code in (*FLOAT_CODES, *BLOCKED_CODES)),
        *((code, UNKNOWN) for code in UNKNOWN_CODES),
    ],
)
async def test_each_code_of_a_payout_has_its_class(code: str, kind: OutcomeClass) -> None:
    suffix = {"555": "0655", "-1": "0690", "101": "0693"}.get(code) or f"06{int(code):02}"
    async with played("moov-soap") as town:
        payout = a_sent_payout("moov-soap", suffix)

        outcome = await town.adapter.submit(payout, Guard())

        reason = "INSUFFICIENT_FLOAT" if code in FLOAT_CODES else f"MOOV_{code}"
        assert (outcome.kind, outcome.reason) == (kind, reason)
        assert (outcome.shortfall is not None) == (code in FLOAT_CODES)
        assert outcome.provider_ref is None
        assert await town.moved(payout) == 0


@pytest.mark.parametrize("suffix", ["0790", "0791", "0792", "0794", "0795", "0798", "0799"])
async def test_the_codes_that_nobody_agrees_on_are_unknown_because_they_may_have_paid(suffix: str) -> None:
    async with played("moov-soap") as town:
        payout = a_sent_payout("moov-soap", suffix)

        assert (await town.adapter.submit(payout, Guard())).kind is UNKNOWN
        assert await town.moved(payout) == 1


async def test_100_is_taken_and_polled_to_its_end() -> None:
    async with played("moov-soap", settle_delay_s=0.05) as town:
        payout = a_sent_payout("moov-soap", "0402")

        outcome = await town.adapter.submit(payout, Guard())

        assert (outcome.kind, bool(outcome.provider_ref)) == (OutcomeClass.ACCEPTED, True)
        report = await town.adapter.poll(taken(payout, outcome.provider_ref))
        assert (report.finding, report.reason) == (Finding.IN_FLIGHT, "PENDING")


async def test_no_status_says_that_a_payout_failed() -> None:
    async with played("moov-soap") as town:
        payout = a_sent_payout("moov-soap", "0401")
        outcome = await town.adapter.submit(payout, Guard())

        report = await town.settled(lambda: town.adapter.poll(taken(payout, outcome.provider_ref)))

        assert (report.finding, report.reason) == (Finding.NO_ANSWER, "MOOV_92")


@pytest.mark.parametrize(
    ("fields", "kind", "reason"),
    [
        ({"status": "0", "transactionid": "t"}, OutcomeClass.CONFIRMED, "CONFIRMED"),
        ({"status": "0", "referenceid": our_ref()}, OutcomeClass.CONFIRMED, "CONFIRMED"),
        ({"status": "0"}, UNKNOWN, "PAID_WITHOUT_REFERENCE"),
        ({"status": "0", "transactionid": "t", "referenceid": "another"}, UNKNOWN, "OTHER_REFERENCE"),
        ({"status": "3", "referenceid": "another"}, UNKNOWN, "OTHER_REFERENCE"),
        ({"status": "100"}, OutcomeClass.ACCEPTED, "ACCEPTED"),
        ({"status": "00", "transactionid": "t"}, UNKNOWN, "MOOV_00"),
        ({"status": ""}, UNKNOWN, "ANSWER_UNREADABLE"),
        ({"message": "SUCCESS"}, UNKNOWN, "ANSWER_UNREADABLE"),
    ],
)
async def test_paid_needs_more_than_a_zero(
    serve: Serve, fields: dict[str, str], kind: OutcomeClass, reason: str
) -> None:
    wallet, _ = await saying(serve, an_answer_of("transferFlooz", **fields))

    outcome = await wallet.submit(a_sent_payout("moov-soap"), Guard())
    await wallet.close()

    assert (outcome.kind, outcome.reason) == (kind, reason)


@pytest.mark.parametrize("status", [200, 400, 404, 500])
async def test_a_soap_fault_proves_nothing(serve: Serve, status: int) -> None:
    fault = "<s:Fault><faultcode>s:Server</faultcode><faultstring>x</faultstring><status>0</status></s:Fault>"
    wallet, _ = await saying(serve, soap(fault), status)

    outcome = await wallet.submit(a_sent_payout("moov-soap"), Guard())
    report = await wallet.poll(taken(a_sent_payout("moov-soap"), "t"))
    await wallet.close()

    assert (outcome.kind, report.finding) == (UNKNOWN, Finding.NO_ANSWER)


@pytest.mark.parametrize("status", [201, 202, 400, 500])
async def test_an_answer_counts_only_in_a_200(serve: Serve, status: int) -> None:
    wallet, _ = await saying(serve, an_answer_of("transferFlooz", status="3"), status)

    outcome = await wallet.submit(a_sent_payout("moov-soap"), Guard())
    await wallet.close()

    assert outcome.kind is UNKNOWN


async def test_the_answer_to_another_operation_is_none(serve: Serve) -> None:
    wallet, _ = await saying(serve, an_answer_of("getBalance", status="0", transactionid="t"))

    outcome = await wallet.submit(a_sent_payout("moov-soap"), Guard())
    await wallet.close()

    assert outcome.kind is UNKNOWN


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"phone_e164": "+22896001234"}, "COUNTRY_NOT_SERVED"), ({"currency": "GHS"}, "CURRENCY_NOT_SERVED")],
)
async def test_what_moov_benin_does_not_pay_is_refused_before_anything_is_sent(
    serve: Serve, changes: dict[str, str], reason: str
) -> None:
    wallet, server = await saying(serve, b"")

    outcome = await wallet.submit(a_sent_payout("moov-soap", **changes), Guard())
    await wallet.close()

    assert (outcome.kind, outcome.reason, server.requests) == (OutcomeClass.REJECTED, reason, [])


async def test_a_repeat_may_pay_again_and_its_refusal_proves_nothing() -> None:
    async with played("moov-soap", account={"duplicate_behaviour": DuplicateBehaviour.REJECTS}) as town:
        payout = a_sent_payout("moov-soap", "0204")
        await town.adapter.submit(payout, Guard())

        assert (await town.adapter.submit(payout, Guard())).kind is UNKNOWN
        assert await town.moved(payout) == 1


# ---- the table is configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "status", "kind"),
    [
        ("92=rejected", "92", OutcomeClass.REJECTED),
        ("92=rejected, 101=blocked", "101", OutcomeClass.BLOCKED),
        ("11=unknown", "11", UNKNOWN),
        ("13=float", "13", OutcomeClass.BLOCKED),
        ("0=accepted", "0", OutcomeClass.ACCEPTED),
        ("0=unknown", "0", UNKNOWN),
        ("-1=rejected", "-1", OutcomeClass.REJECTED),
        ("", "3", OutcomeClass.REJECTED),
    ],
)
async def test_the_code_table_is_configuration(
    serve: Serve, codes: str, status: str, kind: OutcomeClass
) -> None:
    body = an_answer_of("transferFlooz", status=status, transactionid="t")
    wallet, _ = await saying(serve, body, moov_codes=codes)

    outcome = await wallet.submit(a_sent_payout("moov-soap"), Guard())
    await wallet.close()

    assert outcome.kind is kind


@pytest.mark.parametrize(
    "codes", ["92=confirmed", "100=paid", "0=rejected", "0=float", "92", "92=", "x=rejected", "92=Rejected"]
)
def test_no_other_code_can_be_made_to_mean_paid_nor_0_unpaid(codes: str) -> None:
    with pytest.raises(ValueError, match="moov_codes"):
        FloozSettings(moov_codes=codes)


# ---- status ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "polled", "found"),
    [
        ({"status": "0", "description": "SUCCESS", "transid": "t"}, Finding.PAID, Finding.NO_ANSWER),
        ({"status": "0", "description": "success", "referenceid": our_ref()}, Finding.PAID, Finding.PAID),
        ({"status": "0", "message": "SUCCESS", "transid": our_ref()}, Finding.PAID, Finding.PAID),
        ({"status": "0", "description": "SUCCESS"}, Finding.NO_ANSWER, Finding.NO_ANSWER),
        (
            {"status": "0", "description": "SUCCESS", "transid": "t", "referenceid": "another"},
            Finding.NO_ANSWER,
            Finding.NO_ANSWER,
        ),
        ({"status": "0", "description": "FAILED", "transid": "t"}, Finding.NO_ANSWER, Finding.NO_ANSWER),
        ({"status": "0", "transid": "t"}, Finding.NO_ANSWER, Finding.NO_ANSWER),
        ({"status": "100", "transid": "t"}, Finding.IN_FLIGHT, Finding.NO_ANSWER),
        ({"status": "94"}, Finding.ABSENT, Finding.ABSENT),
        ({"status": "92", "transid": "t"}, Finding.NO_ANSWER, Finding.NO_ANSWER),
        ({"status": "3", "transid": "t"}, Finding.NO_ANSWER, Finding.NO_ANSWER),
        ({"description": "SUCCESS", "transid": "t"}, Finding.NO_ANSWER, Finding.NO_ANSWER),
    ],
)
async def test_a_status_counts_only_where_it_names_what_was_asked_for(
    serve: Serve, fields: dict[str, str], polled: Finding, found: Finding
) -> None:
    wallet, server = await saying(serve, an_answer_of("getTransactionStatus", **fields))

    reports = (
        await wallet.poll(taken(a_sent_payout("moov-soap"), "t")),
        await wallet.look_up(a_sent_payout("moov-soap")),
    )
    await wallet.close()

    assert [report.finding for report in reports] == [polled, found]
    assert b"<transid>t</transid>" in server.requests[0].body
    assert f"<transid>{our_ref()}</transid>".encode() in server.requests[1].body


async def test_what_is_asked_is_escaped(serve: Serve) -> None:
    wallet, server = await saying(serve, an_answer_of("getTransactionStatus", status="94"))

    await wallet.poll(taken(a_sent_payout("moov-soap"), "</transid><transid>&x"))
    await wallet.close()

    assert b"<transid>&lt;/transid&gt;&lt;transid&gt;&amp;x</transid>" in server.requests[0].body


# ---- balance, accounts, callbacks --------------------------------------------------------------------------


async def test_the_balance_of_the_merchant_number() -> None:
    async with played("moov-soap", account={"balance": 5000}) as town:
        wallet: Any = town.adapter
        await wallet.submit(a_sent_payout("moov-soap", amount=1000), Guard())

        assert await wallet.balance("XOF") == Balance(amount=4000, currency="XOF")
        assert await wallet.balance("GHS") is None
        await town.set_faults(out_of_float=True)
        assert await wallet.balance("XOF") == Balance(amount=0, currency="XOF")
        await town.set_faults(down=True)
        assert await wallet.balance("XOF") is None


@pytest.mark.parametrize("changes", [{"moov_msisdn": ""}, {"moov_msisdn": "2290100000000"}])
async def test_a_balance_that_is_not_told_is_none(changes: dict[str, str]) -> None:
    async with played("moov-soap", change=changes) as town:
        wallet: Any = town.adapter
        assert await wallet.balance("XOF") is None


@pytest.mark.parametrize(
    ("suffix", "state"),
    [
        ("1234", AccountState.ACTIVE),
        *((f"06{code:02}", AccountState.UNKNOWN_PAYEE) for code in (3, 6, 7, 9)),
        ("0655", AccountState.UNKNOWN_PAYEE),
        ("0610", AccountState.NOT_TOLD),
        ("0692", AccountState.NOT_TOLD),
    ],
)
async def test_a_wallet_is_checked_before_it_is_paid(suffix: str, state: AccountState) -> None:
    async with played("moov-soap") as town:
        wallet: Any = town.adapter
        phone = a_sent_payout("moov-soap", suffix).phone_e164

        assert await wallet.check_account(phone) is state
        await town.set_faults(down=True)
        assert await wallet.check_account(phone) is AccountState.NOT_TOLD


async def test_a_wallet_that_is_not_said_to_take_money_is_not_told(serve: Serve) -> None:
    for fields in ({"status": "0"}, {"status": "0", "allowedtransfer": "0"}):
        wallet, _ = await saying(serve, an_answer_of("getMobileAccountStatus", **fields))
        assert await wallet.check_account("+2290195001234") is AccountState.NOT_TOLD
        await wallet.close()


def test_no_callback_of_moovs_is_known() -> None:
    wallet = MoovSoapWallet("FLOOZ", FloozSettings(), ProviderHttp(timeout_s=1, connections_max=1))
    with pytest.raises(WebhookRefused, match="MISSING_STATUS"):
        wallet.read_webhook({"status": "SUCCESS", "provider_ref": "t"})


# ---- XML that means harm -----------------------------------------------------------------------------------

GOOD = an_answer_of("x", status="0")


def test_an_answer_is_read() -> None:
    assert read_soap(GOOD) == SoapAnswer("xResponse", {"status": "0"})
    assert read_soap(b'<?xml version="1.0" encoding="utf-8"?>\n' + GOOD) == read_soap(GOOD)
    assert read_soap(GOOD.decode().encode("utf-16")) == read_soap(GOOD)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"{}",
        b"<html><body>hello</body></html>",
        GOOD[:-1],
        GOOD + GOOD,
        GOOD.replace(ENVELOPE.encode(), b"http://elsewhere/"),
        b"<!DOCTYPE x>" + GOOD,
        b'<!DOCTYPE x [<!ENTITY a "0">]>' + GOOD.replace(b">0<", b">&a;<"),
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + GOOD.replace(b">0<", b">&a;<"),
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">' + GOOD,
        GOOD.replace(b">0<", b">&undefined;<"),
        GOOD.replace(b"<status>0</status>", b"<status>0</status><status>3</status>"),
        GOOD.replace(b"</s:Body>", b"<other><status>3</status></other></s:Body>"),
        GOOD.replace(b"</s:Body>", b"<other/></s:Body>"),
        GOOD.replace(b"s:Envelope", b"s:Parcel"),
        GOOD.replace(b"<s:Body>", b"<s:Foot><a/></s:Foot><s:Body>"),
        soap("<a>" * 200 + "</a>" * 200),
        soap("<a>" * DEPTH_MAX + "</a>" * DEPTH_MAX),
        soap("<a>" + "<b/>" * ELEMENTS_MAX + "</a>"),
        soap(""),
        b'<?xml version="1.0" encoding="klingon"?>' + GOOD,
        b"\0" * 1_000,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_no_plain_soap_answer_is_not_read(body: bytes) -> None:
    assert read_soap(body) is None


def test_what_stands_in_the_header_is_no_answer() -> None:
    header = b"<s:Header><a><status>0</status></a></s:Header><s:Body>"
    body = GOOD.replace(b"<s:Body>", header).replace(b"<status>0</status></return>", b"</return>")
    answer = read_soap(body)
    assert answer is not None
    assert "status" not in answer.fields


async def test_a_billion_laughs_is_an_unknown_outcome(serve: Serve) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    body = f"<!DOCTYPE x [{laughs}]>".encode() + GOOD.replace(b">0<", b">&l9;<")
    wallet, _ = await saying(serve, body)

    outcome = await wallet.submit(a_sent_payout("moov-soap"), Guard())
    await wallet.close()

    assert (outcome.kind, outcome.reason) == (UNKNOWN, "ANSWER_UNREADABLE")
