"""The stand-in of Moov Africa Benin's SOAP endpoint, held against its contract (provider page 5.2) by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from nepxy.sandbox.config import DuplicateBehaviour
from nepxy.sandbox.moov_soap import CODES, PAID_YET
from tests.sandbox.support import Inbox, Sandbox
from tests.sandbox.wallets import a_transfer, a_wallet_config, an_envelope, soap, transfer


@pytest.fixture
async def moov(inbox: Inbox) -> AsyncIterator[Sandbox]:
    async with Sandbox(a_wallet_config(inbox.url)) as sandbox:
        yield sandbox


async def status_of(sandbox: Sandbox, transid: str) -> dict[str, str]:
    _, fields = await soap(sandbox, an_envelope("getTransactionStatus", {"transid": transid}))
    return fields


async def test_it_pays_within_the_call_and_tells_both_balances(moov: Sandbox, inbox: Inbox) -> None:
    first = await transfer(moov)
    assert (first["status"], first["referenceid"]) == ("0", "ref-1")
    assert int(first["senderbalancebefore"]) - int(first["senderbalanceafter"]) == 1000
    assert await moov.moved() == 1

    second = await transfer(moov, referenceid="ref-2", amount="500")
    assert second["senderbalancebefore"] == first["senderbalanceafter"]
    _, balance = await soap(moov, an_envelope("getBalance", {"msisdn": "2290199999999"}))
    assert balance["balance"] == second["senderbalanceafter"]
    await moov.at_rest()
    assert inbox.received == []


async def test_the_variant_pays_too_and_answers_by_its_own_name(moov: Sandbox) -> None:
    fields = a_transfer(walletid=None, extendeddata=None, remarks="")
    path = "/moov-soap/com.tlc.merchant.api/UssdPush"
    async with moov.client.post(path, data=an_envelope("cashintrans", fields).encode()) as response:
        text = await response.text()
    assert "cashintransResponse" in text
    assert "<status>0</status>" in text
    assert await moov.moved() == 1


@pytest.mark.parametrize(("suffix", "code"), sorted(CODES.items()))
async def test_its_own_magic_numbers_refuse_with_their_code(moov: Sandbox, suffix: str, code: str) -> None:
    fields = await transfer(moov, destination=f"229019500{suffix}")
    assert fields["status"] == code
    await moov.at_rest()
    assert await moov.moved() == 0


@pytest.mark.parametrize(("suffix", "code"), sorted(PAID_YET.items()))
async def test_some_codes_come_with_the_money_moved(moov: Sandbox, suffix: str, code: str) -> None:
    fields = await transfer(moov, destination=f"229019500{suffix}")
    assert fields["status"] == code
    await moov.at_rest()
    assert await moov.moved() == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"destination": "+2290195001234"}, "3"),
        ({"destination": "22995001234"}, "3"),
        ({"destination": "22896001234"}, "3"),
        ({"amount": "1000.00"}, "91"),
        ({"amount": "0"}, "91"),
        ({"amount": "-5"}, "91"),
        ({"amount": ""}, "91"),
        ({"referenceid": ""}, "91"),
        ({"referenceid": "x" * 65}, "91"),
        ({"walletid": "7"}, "91"),
    ],
)
async def test_a_bad_value_gets_a_code_and_nothing_is_noted(
    moov: Sandbox, changes: dict[str, object], code: str
) -> None:
    assert (await transfer(moov, **changes))["status"] == code
    assert (await moov.control("summary"))["submits_received"] == 0


async def test_the_token_is_checked(moov: Sandbox) -> None:
    for operation, fields in (("transferFlooz", a_transfer()), ("getBalance", {"msisdn": "2290199999999"})):
        status, answer = await soap(moov, an_envelope(operation, dict(fields), token="wrong"))
        assert (status, answer["status"]) == (200, "98")
    assert await moov.moved() == 0


GOOD = an_envelope("transferFlooz", a_transfer())


@pytest.mark.parametrize(
    "envelope",
    [
        "",
        "{}",
        GOOD[:-1],
        '<!DOCTYPE x [<!ENTITY a "1000">]>' + GOOD,
        GOOD.replace("http://api.merchant.tlc.com/", "http://elsewhere/"),
        GOOD.replace("http://schemas.xmlsoap.org/soap/envelope/", "http://elsewhere/"),
        GOOD.replace("transferFlooz", "transferAll"),
        GOOD.replace("<extendeddata></extendeddata>", ""),
        GOOD.replace("<extendeddata>", "<more></more><extendeddata>"),
        GOOD.replace("<amount>1000</amount>", "<amount>1000</amount><amount>2000</amount>"),
        GOOD.replace("<request>", "<api:request>").replace("</request>", "</api:request>"),
        GOOD.replace("<token>", "<tokens>").replace("</token>", "</tokens>"),
    ],
)
async def test_what_is_no_known_request_gets_a_fault(moov: Sandbox, envelope: str) -> None:
    status, fields = await soap(moov, envelope)
    assert (status, "faultstring" in fields) == (500, True)
    assert (await moov.control("summary"))["submits_received"] == 0


@pytest.mark.parametrize(
    ("suffix", "at_once", "later", "word"),
    [
        ("1234", "0", "0", "SUCCESS"),
        ("0401", "100", "92", "FAILED"),
        ("0402", "100", "100", "PENDING"),
        ("0506", "100", "0", "SUCCESS"),
    ],
)
async def test_a_status_tells_how_it_ended(
    moov: Sandbox, suffix: str, at_once: str, later: str, word: str
) -> None:
    paid = await transfer(moov, destination=f"229019500{suffix}")
    assert paid["status"] == at_once
    await moov.at_rest()

    found = await status_of(moov, paid["transactionid"])

    assert (found["status"], found["description"], found["referenceid"]) == (later, word, "ref-1")
    assert await moov.moved() == (word == "SUCCESS")


async def test_our_reference_is_found_only_where_the_provider_allows_it() -> None:
    for allowed, status in ((False, "94"), (True, "0")):
        config = a_wallet_config()
        account = type(config.moov_soap)(token=config.moov_soap.token, status_lookup_by_our_reference=allowed)
        async with Sandbox(type(config)(moov_soap=account)) as moov:
            await transfer(moov)
            assert (await status_of(moov, "ref-1"))["status"] == status


@pytest.mark.parametrize(("suffix", "code"), [("1234", "0"), ("0609", "9"), ("0655", "555")])
async def test_a_wallet_can_be_checked(moov: Sandbox, suffix: str, code: str) -> None:
    envelope = an_envelope("getMobileAccountStatus", {"msisdn": f"229019500{suffix}"})
    _, fields = await soap(moov, envelope)
    assert (fields["status"], "allowedtransfer" in fields) == (code, code == "0")


@pytest.mark.parametrize(
    ("behaviour", "code", "moved"),
    [
        (DuplicateBehaviour.PAYS_AGAIN, "0", 2),
        (DuplicateBehaviour.REPLAYS, "0", 1),
        (DuplicateBehaviour.REJECTS, "92", 1),
    ],
)
async def test_a_repeated_reference(behaviour: DuplicateBehaviour, code: str, moved: int) -> None:
    async with Sandbox(a_wallet_config(account={"duplicate_behaviour": behaviour})) as moov:
        await transfer(moov)
        assert (await transfer(moov))["status"] == code
        assert await moov.moved() == moved
