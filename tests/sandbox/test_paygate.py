"""The stand-in of PayGate Global, held against its contract (provider page 5.3) by hand-made requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from nepxy.sandbox.config import DuplicateBehaviour, PayGateConfig
from tests.sandbox.support import API_KEY, Inbox, Sandbox
from tests.sandbox.wallets import a_disburse, a_wallet_config, post

DISBURSE = "/paygate/api/v1/disburse"


@pytest.fixture
async def paygate(inbox: Inbox) -> AsyncIterator[Sandbox]:
    async with Sandbox(a_wallet_config(inbox.url)) as sandbox:
        yield sandbox


async def test_a_disburse_is_accepted_settles_and_is_found_by_both_references(paygate: Sandbox) -> None:
    status, accepted = await post(paygate, DISBURSE, a_disburse())
    assert (status, accepted["status"]) == (200, 200)
    await paygate.at_rest()

    theirs = {"auth_token": API_KEY, "tx_reference": accepted["tx_reference"]}
    ours = {"auth_token": API_KEY, "identifier": "ref-1"}
    by_theirs = await post(paygate, "/paygate/api/v1/status", theirs)
    by_ours = await post(paygate, "/paygate/api/v2/status", ours)

    assert by_theirs == by_ours
    status, body = by_ours
    assert (status, body["status"], body["amount"], body["payment_method"]) == (200, 0, 1000, "T-Money")
    assert await paygate.moved() == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"auth_token": "wrong"}, 2),
        ({"auth_token": None}, 4),
        ({"auth_token": 7}, 4),
        ({"phone_number": None}, 4),
        ({"phone_number": "90001234"}, 4),
        ({"phone_number": "+2289000123"}, 4),
        ({"phone_number": "+22896001234"}, 4),
        ({"amount": "1000"}, 4),
        ({"amount": 1000.0}, 4),
        ({"amount": True}, 4),
        ({"amount": 0}, 4),
        ({"reason": ""}, 4),
        ({"reason": None}, 4),
        ({"network": "MTN"}, 4),
        ({"network": "FLOOZ"}, 4),
        ({"reference": "a b"}, 4),
        ({"reference": 7}, 4),
        ({"currency": "XOF"}, 4),
    ],
)
async def test_a_bad_disburse_gets_a_code_and_nothing_is_noted(
    paygate: Sandbox, changes: dict[str, object], code: int
) -> None:
    status, body = await post(paygate, DISBURSE, a_disburse(**changes))
    assert (status, body) == (200, {"status": code})
    assert (await paygate.control("summary"))["submits_received"] == 0


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'"x"'])
async def test_what_is_no_json_object_is_refused(paygate: Sandbox, raw: bytes) -> None:
    assert await post(paygate, DISBURSE, raw) == (200, {"status": 4})


async def test_both_networks_are_paid_and_have_their_own_float(paygate: Sandbox) -> None:
    flooz = a_disburse(network="FLOOZ", phone_number="22896001234", reference=None, amount=300)
    assert (await post(paygate, DISBURSE, flooz))[1]["status"] == 200
    await post(paygate, DISBURSE, a_disburse())
    await paygate.at_rest()

    _, floats = await post(paygate, "/paygate/api/v1/check-balance", {"auth_token": API_KEY})

    assert floats == {"flooz": 10**12 - 300, "tmoney": 10**12 - 1000}


@pytest.mark.parametrize(("suffix", "code"), [("0401", 4), ("0403", 6), ("0402", 2)])
async def test_how_it_ends_is_a_code(paygate: Sandbox, suffix: str, code: int) -> None:
    await post(paygate, DISBURSE, a_disburse(phone_number=f"+2289000{suffix}"))
    await paygate.at_rest()

    _, body = await post(paygate, "/paygate/api/v2/status", {"auth_token": API_KEY, "identifier": "ref-1"})

    assert body["status"] == code
    assert await paygate.moved() == 0


async def test_a_status_call_that_fails_uses_the_codes_of_a_submit(paygate: Sandbox) -> None:
    for body, code in (
        ({"auth_token": "wrong", "identifier": "ref-1"}, 2),
        ({"auth_token": API_KEY}, 4),
        ({"auth_token": API_KEY, "identifier": "ref-1", "more": 1}, 4),
    ):
        assert await post(paygate, "/paygate/api/v2/status", body) == (200, {"status": code})
    unknown = {"auth_token": API_KEY, "identifier": "nobody"}
    assert (await post(paygate, "/paygate/api/v2/status", unknown))[0] == 404


async def test_a_callback_has_neither_status_nor_signature(paygate: Sandbox, inbox: Inbox) -> None:
    _, accepted = await post(paygate, DISBURSE, a_disburse())

    (callback,) = await inbox.wait_for(1)

    assert callback.signature is None
    assert set(callback.body) == {
        "tx_reference",
        "identifier",
        "payment_reference",
        "amount",
        "datetime",
        "payment_method",
        "phone_number",
    }
    assert callback.body["tx_reference"] == accepted["tx_reference"]
    assert callback.body["identifier"] == "ref-1"


@pytest.mark.parametrize(
    ("behaviour", "code", "moved"),
    [
        (DuplicateBehaviour.PAYS_AGAIN, 200, 2),
        (DuplicateBehaviour.REPLAYS, 200, 1),
        (DuplicateBehaviour.REJECTS, 6, 1),
    ],
)
async def test_a_repeated_reference(behaviour: DuplicateBehaviour, code: int, moved: int) -> None:
    async with Sandbox(a_wallet_config(account={"duplicate_behaviour": behaviour})) as paygate:
        await post(paygate, DISBURSE, a_disburse())
        _, again = await post(paygate, DISBURSE, a_disburse())
        assert again["status"] == code
        await paygate.at_rest()
        assert await paygate.moved() == moved


@pytest.mark.parametrize(("visible_after_s", "status"), [(3600.0, 404), (0.0, 200)])
async def test_an_order_may_be_found_late(visible_after_s: float, status: int) -> None:
    lagging = PayGateConfig(auth_token=API_KEY, visible_after_s=visible_after_s)
    async with Sandbox(replace(a_wallet_config(), paygate=lagging)) as paygate:
        await post(paygate, DISBURSE, a_disburse())
        question = {"auth_token": API_KEY, "identifier": "ref-1"}
        assert (await post(paygate, "/paygate/api/v2/status", question))[0] == status
