"""The stand-in of Qosic, held against its contract (provider page 5.4) by hand-made requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from nepxy.sandbox.config import DuplicateBehaviour, QosicConfig
from nepxy.sandbox.qosic import CODES
from tests.sandbox.support import API_KEY, Inbox, Sandbox
from tests.sandbox.wallets import BASIC, a_deposit, a_wallet_config, post

AUTH = {"Authorization": BASIC}
DEPOSIT = "/qosic/QosicBridge/tg/v1/deposit"
QUERY = "/qosic/QosicBridge/tg/v1/gettransactionstatus"
QUESTION = {"transref": "ref-1", "clientid": "MOOVTG"}


@pytest.fixture
async def qosic(inbox: Inbox) -> AsyncIterator[Sandbox]:
    async with Sandbox(a_wallet_config(inbox.url)) as sandbox:
        yield sandbox


async def test_00_is_accepted_first_and_done_later(qosic: Sandbox) -> None:
    status, accepted = await post(qosic, DEPOSIT, a_deposit(), AUTH)
    assert (status, accepted["responsecode"], accepted["transref"]) == (202, "00", "ref-1")
    await qosic.at_rest()

    status, done = await post(qosic, QUERY, QUESTION, AUTH)

    assert (status, done["responsecode"], done["serviceref"]) == (200, "00", accepted["serviceref"])
    assert await qosic.moved() == 1


async def test_togocoms_path_takes_togocoms_numbers_and_client_id(qosic: Sandbox) -> None:
    body = a_deposit(msisdn="22890001234", clientid="TOGOCOM")
    status, answer = await post(qosic, DEPOSIT.replace("/tg/", "/tm/"), body, AUTH)
    assert (status, answer["responsecode"]) == (202, "00")


@pytest.mark.parametrize(
    "changes",
    [
        {"msisdn": None},
        {"msisdn": 22896001234},
        {"amount": 1000},
        {"amount": "1000.00"},
        {"amount": "0"},
        {"amount": "-1"},
        {"amount": "1" * 14},
        {"transref": ""},
        {"transref": "x" * 65},
        {"clientid": "TOGOCOM"},
        {"clientid": None},
        {"currency": "XOF"},
    ],
)
async def test_a_malformed_deposit_is_refused_and_nothing_is_noted(
    qosic: Sandbox, changes: dict[str, object]
) -> None:
    status, _ = await post(qosic, DEPOSIT, a_deposit(**changes), AUTH)
    assert status == 400
    assert (await qosic.control("summary"))["submits_received"] == 0


@pytest.mark.parametrize(
    ("msisdn", "code"),
    [
        ("+22896001234", "849"),
        ("96001234", "849"),
        ("228960012345", "849"),
        ("22890001234", "515"),
        ("2290195001234", "515"),
    ],
)
async def test_a_number_of_another_shape_or_network_gets_its_code(
    qosic: Sandbox, msisdn: str, code: str
) -> None:
    status, answer = await post(qosic, DEPOSIT, a_deposit(msisdn=msisdn), AUTH)
    assert (status, answer["responsecode"], answer["serviceref"]) == (200, code, "0")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic x"}, {"Authorization": BASIC + "x"}])
async def test_credentials_are_checked_everywhere(qosic: Sandbox, headers: dict[str, str]) -> None:
    assert (await post(qosic, DEPOSIT, a_deposit(), headers))[0] == 401
    assert (await post(qosic, QUERY, QUESTION, headers))[0] == 401


async def test_a_reference_that_nobody_knows_looks_like_a_failure(qosic: Sandbox) -> None:
    status, answer = await post(qosic, QUERY, QUESTION, AUTH)
    assert (status, answer["responsecode"], answer["responsemsg"]) == (200, "-1", "FAILED")
    assert answer["serviceref"] == "0"


async def test_so_does_one_that_is_not_visible_yet() -> None:
    lagging = QosicConfig(user="us", password=API_KEY, visible_after_s=3600.0)
    async with Sandbox(replace(a_wallet_config(), qosic=lagging)) as qosic:
        await post(qosic, DEPOSIT, a_deposit(), AUTH)
        _, answer = await post(qosic, QUERY, QUESTION, AUTH)
        assert (answer["responsecode"], answer["serviceref"]) == ("-1", "0")
        await qosic.at_rest()
        assert await qosic.moved() == 1


@pytest.mark.parametrize(("suffix", "code"), sorted(CODES.items()))
async def test_its_own_magic_numbers_refuse_with_their_code(qosic: Sandbox, suffix: str, code: str) -> None:
    _, answer = await post(qosic, DEPOSIT, a_deposit(msisdn=f"2289600{suffix}"), AUTH)
    assert (answer["responsecode"], answer["serviceref"]) == (code, "0")
    await qosic.at_rest()
    assert await qosic.moved() == 0


@pytest.mark.parametrize(
    ("suffix", "code"), [("0401", "-1"), ("0403", "02"), ("0404", "-2"), ("0405", "529"), ("0402", "01")]
)
async def test_how_it_ends_is_a_code_with_a_serviceref(qosic: Sandbox, suffix: str, code: str) -> None:
    await post(qosic, DEPOSIT, a_deposit(msisdn=f"2289600{suffix}"), AUTH)
    await qosic.at_rest()
    _, answer = await post(qosic, QUERY, QUESTION, AUTH)
    assert (answer["responsecode"], answer["serviceref"] == "0") == (code, False)
    assert await qosic.moved() == 0


@pytest.mark.parametrize(
    ("suffix", "word", "code"), [("1234", "SUCCESSFUL", "200"), ("0401", "FAILED", "-1")]
)
async def test_a_callback_is_unsigned(
    qosic: Sandbox, inbox: Inbox, suffix: str, word: str, code: str
) -> None:
    _, accepted = await post(qosic, DEPOSIT, a_deposit(msisdn=f"2289600{suffix}"), AUTH)

    (callback,) = await inbox.wait_for(1)

    assert callback.signature is None
    assert callback.body == {
        "status": word,
        "transRef": "ref-1",
        "serviceRef": accepted["serviceref"],
        "amount": "1000",
        "code": code,
    }


@pytest.mark.parametrize(
    ("behaviour", "code", "moved"),
    [
        (DuplicateBehaviour.PAYS_AGAIN, "00", 2),
        (DuplicateBehaviour.REPLAYS, "00", 1),
        (DuplicateBehaviour.REJECTS, "-1", 1),
    ],
)
async def test_a_repeated_reference(behaviour: DuplicateBehaviour, code: str, moved: int) -> None:
    async with Sandbox(a_wallet_config(account={"duplicate_behaviour": behaviour})) as qosic:
        await post(qosic, DEPOSIT, a_deposit(), AUTH)
        _, again = await post(qosic, DEPOSIT, a_deposit(), AUTH)
        assert again["responsecode"] == code
        await qosic.at_rest()
        assert await qosic.moved() == moved
