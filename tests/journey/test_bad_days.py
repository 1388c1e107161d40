"""Bad days at the providers, with a real engine process: no money of ours, no such payee, tokens and keys that end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from nepxy.sandbox.app import create_app
from nepxy.sandbox.config import MomoConfig, MoovConfig, SandboxConfig, ThunesConfig
from tests.journey.harness import Client, Town, a_body

pytestmark = pytest.mark.timeout(180)

PERSONS = {"recipient": {"first_name": "Ama", "last_name": "Mensah"}, "purpose": "FAMILY_SUPPORT"}
WHERE: dict[str, dict[str, Any]] = {
    "MOMO": {"phone_e164": "+2290151{}", "country": "BJ"},
    "FLOOZ": {"phone_e164": "+2290195{}", "country": "BJ"},
    "THUNES": {"phone_e164": "+2289000{}", "country": "TG", **PERSONS},
}
CONTROL = {"MOMO": "momo", "FLOOZ": "moov-soap", "THUNES": "thunes"}


def request_for(provider: str, suffix: str) -> dict[str, Any]:
    where = WHERE[provider]
    digits = suffix.rjust(6, "0") if provider != "THUNES" else suffix
    return a_body(1, provider=provider) | where | {"phone_e164": where["phone_e164"].format(digits)}


class Elsewhere:
    """The providers' side, in this process, and an engine of its own that is set up for it."""

    def __init__(self, client: Client, sandbox: str) -> None:
        self.client = client
        self.sandbox = sandbox

    async def turn(self, provider: str, **knobs: object) -> None:
        url = f"{self.sandbox}/_sandbox/faults"
        async with self.client.session.post(
            url, params={"provider": CONTROL[provider]}, json=knobs
        ) as answer:
            assert answer.status == 200, await answer.text()

    async def turn_momo(self, **knobs: object) -> None:
        async with self.client.session.post(f"{self.sandbox}/_sandbox/momo", json=knobs) as answer:
            assert answer.status == 200, await answer.text()

    async def post(self, provider: str, suffix: str = "1234", *, key: str = "one") -> str:
        status, body, _ = await self.client.post(key, request_for(provider, suffix) | {"external_ref": key})
        assert status == 202, body
        return str(json.loads(body)["transaction_id"])

    async def metric(self, line: str) -> None:
        """Wait until /metrics says so."""
        async with asyncio.timeout(60):
            while True:
                async with self.client.session.get(f"{self.client.town.base}/metrics") as metrics:
                    if line in await metrics.text():
                        return
                await asyncio.sleep(0.1)

    async def moved_count(self) -> int:
        async with self.client.session.get(f"{self.sandbox}/_sandbox/ledger") as answer:
            return len((await answer.json())["entries"])

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.client.town.log_text().splitlines() if event in line)
        return [line for line in lines if line.get("event") == event]


def settings(sandbox: str) -> dict[str, str]:
    return {
        "MM_ENABLED_PROVIDERS": "MOMO,FLOOZ,THUNES",
        "NEPXY_BALANCE_CHECK_S": "1",
        "MOMO_SANDBOX_BASE_URL": f"{sandbox}/momo",
        "MOMO_SANDBOX_SUBSCRIPTION_KEY_DISBURSEMENT": MomoConfig().subscription_key,
        "MOMO_SANDBOX_API_USER": MomoConfig().api_user,
        "MOMO_SANDBOX_API_KEY": MomoConfig().api_key,
        "FLOOZ_PROFILE": "moov-soap",
        "FLOOZ_SANDBOX_BASE_URL": f"{sandbox}/moov-soap/com.tlc.merchant.api/UssdPush",
        "FLOOZ_SANDBOX_MOOV_TOKEN": MoovConfig().token,
        "FLOOZ_SANDBOX_MOOV_MSISDN": MoovConfig().merchant_msisdn,
        "THUNES_SANDBOX_API_ENDPOINT": f"{sandbox}/thunes",
        "THUNES_SANDBOX_API_KEY": ThunesConfig().api_key,
        "THUNES_SANDBOX_API_SECRET": ThunesConfig().api_secret,
        "THUNES_ALLOW_UNSIGNED_WEBHOOKS": "true",
        "THUNES_PAYER_ID_TG": "1001",
        "THUNES_SOURCE_CURRENCY": "EUR",
        "THUNES_SOURCE_COUNTRY_ISO3": "FRA",
        "THUNES_TX_TYPE": "B2C",
        "THUNES_SENDER_BUSINESS_NAME": "NepXy SA",
        "THUNES_SENDER_ADDRESS": "1 rue de la Paix",
        "THUNES_SENDER_CITY": "Paris",
        "THUNES_SENDER_POSTAL": "75002",
        "THUNES_SENDER_COUNTRY_ISO3": "FRA",
    }


@pytest.fixture
async def elsewhere(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path
) -> AsyncIterator[Elsewhere]:
    """Transfers settle after `request.param` seconds, or soon."""
    delay_s: float = getattr(request, "param", 0.1)
    app = create_app(SandboxConfig(settle_delay_s=delay_s, momo=MomoConfig(status_reads_per_s_max=1000)))
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        sandbox = str(server.make_url("")).rstrip("/")
        assert server.port is not None
        town = Town(
            database_url=database_url,
            folder=tmp_path,
            sandbox_port=server.port,
            overrides=settings(sandbox),
        )
        town.overrides["THUNES_CALLBACK_URL"] = f"{town.base}/v1/webhooks/thunes"
        try:
            town.start_engine()
            await town.until_ready(session)
            yield Elsewhere(Client(session, town), sandbox)
        finally:
            await asyncio.to_thread(town.stop)


@pytest.mark.parametrize("provider", ["MOMO", "FLOOZ", "THUNES"])
async def test_without_money_of_ours_a_provider_pauses_alerts_and_goes_on_once_it_is_there(
    elsewhere: Elsewhere, provider: str
) -> None:
    await elsewhere.turn(provider, out_of_float=True)
    waits = await elsewhere.post(provider)
    await elsewhere.metric(f'nepxy_provider_short_of_balance{{provider="{provider}"}} 1.0')
    payout = await elsewhere.client.until(waits, "PENDING")
    assert payout["failure_code"] is None
    (alert,) = elsewhere.logged("provider.short_of_balance")
    assert (alert["provider"], alert["level"]) == (provider, "error")
    # Another one that comes meanwhile waits, too, and is told why.
    other = await elsewhere.post(provider, "5678", key="two")
    assert await elsewhere.moved_count() == 0
    assert (await elsewhere.client.get(f"/v1/payouts/{other}"))["attempt_count"] == 0

    await elsewhere.turn(provider, out_of_float=False)

    for transaction_id in (waits, other):
        assert (await elsewhere.client.until(transaction_id, "CONFIRMED", "FAILED", "REVIEW"))[
            "status"
        ] == "CONFIRMED"
    await elsewhere.metric(f'nepxy_provider_short_of_balance{{provider="{provider}"}} 0.0')
    assert await elsewhere.moved_count() == 2


async def test_an_unknown_payee_is_final_with_a_code_to_show(elsewhere: Elsewhere) -> None:
    for provider, suffix in (("MOMO", "0101"), ("FLOOZ", "0655"), ("THUNES", "0101")):
        made = await elsewhere.post(provider, suffix, key=f"one-of-{provider}")
        payout = await elsewhere.client.until(made, "FAILED", "CONFIRMED", "REVIEW")
        assert (payout["status"], payout["failure_code"]) == ("FAILED", "UNKNOWN_PAYEE"), payout
    assert await elsewhere.moved_count() == 0


async def test_tokens_that_end_and_a_key_that_is_changed_cost_nobody_a_payout(elsewhere: Elsewhere) -> None:
    first = await elsewhere.post("MOMO")
    await elsewhere.client.until(first, "CONFIRMED")
    await elsewhere.turn_momo(revoke_tokens=True)
    second = await elsewhere.post("MOMO", key="two")
    await elsewhere.client.until(second, "CONFIRMED")
    # The key is changed at MTN's, and not yet here: 401, nobody's payout fails, and an operator must act.
    await elsewhere.turn_momo(api_key="another-key-at-mtn", revoke_tokens=True)
    third = await elsewhere.post("MOMO", key="three")
    await elsewhere.metric('nepxy_provider_paused{provider="MOMO"} 1.0')
    waiting = await elsewhere.client.until(third, "PENDING")
    assert waiting["status_reason"] == "BLOCKED"
    assert await elsewhere.moved_count() == 2


@pytest.mark.parametrize("elsewhere", [1.0], indirect=True, ids=["settles-after-1-s"])
async def test_a_reversal_that_only_a_hint_tells_is_asked_about_and_not_lost(elsewhere: Elsewhere) -> None:
    """THUNES takes it back after it was paid; its callback is unsigned, and the payout has left memory."""
    made = await elsewhere.post("THUNES", "0610")
    await elsewhere.client.until(made, "CONFIRMED")
    await elsewhere.metric('nepxy_discrepancies_total{kind="REVERSED",provider="THUNES"} 1.0')
    assert (await elsewhere.client.get(f"/v1/payouts/{made}"))["status"] == "CONFIRMED"
    (opened,) = elsewhere.logged("discrepancy.opened")
    assert (opened["kind"], opened["transaction_id"]) == ("REVERSED", made)
