"""Flooz on profile A: the same protocol as TMoney's, for Moov's numbers in two countries."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.sandbox.support import API_KEY, Inbox, Sandbox, a_submit
from tests.sandbox.wallets import a_wallet_config, post

AUTH = {"Authorization": f"Bearer {API_KEY}"}


@pytest.fixture
async def flooz(inbox: Inbox) -> AsyncIterator[Sandbox]:
    async with Sandbox(a_wallet_config(inbox.url)) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("msisdn", "status"),
    [
        *((f"+228{prefix}001234", 202) for prefix in (78, 79, 96, 97, 98, 99)),
        ("+2290195001234", 202),
        ("+22890001234", 422),
        ("+22995001234", 422),
        ("+229019500123", 422),
        ("22896001234", 422),
    ],
)
async def test_moovs_numbers_are_taken(flooz: Sandbox, msisdn: str, status: int) -> None:
    answer, _ = await post(flooz, "/flooz/v1/cashout", a_submit(msisdn=msisdn), AUTH)
    assert answer == status


async def test_it_settles_with_a_signed_webhook(flooz: Sandbox, inbox: Inbox) -> None:
    await post(flooz, "/flooz/v1/cashout", a_submit(msisdn="+22896001234"), AUTH)

    (webhook,) = await inbox.wait_for(1)

    assert webhook.is_signed_well
    assert (webhook.body["status"], webhook.body["external_id"]) == ("SUCCESS", "ref-1")
    assert await flooz.moved() == 1


async def test_its_faults_are_its_own(flooz: Sandbox) -> None:
    async with flooz.client.post("/_sandbox/faults?provider=flooz", json={"out_of_float": True}) as response:
        assert response.status == 200
    status, body = await post(flooz, "/flooz/v1/cashout", a_submit(msisdn="+22896001234"), AUTH)
    assert (status, body["error"]) == (402, "INSUFFICIENT_FLOAT")
    faults = await flooz.control("faults")
    assert [name for name, knobs in faults.items() if knobs["out_of_float"]] == ["flooz"]
