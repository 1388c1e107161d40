"""A wallet profile's adapter at the sandbox, over real HTTP; and at a server that says what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from nepxy.config.providers import FloozSettings, TmoneySettings, WalletSettings
from nepxy.config.secret import Secret
from nepxy.engine.outcomes import Finding, StatusReport
from nepxy.engine.payout import Payout, ProviderRef, Status
from nepxy.providers.contract import Adapter
from nepxy.providers.wallets import build_wallet
from nepxy.sandbox.app import create_app
from nepxy.sandbox.config import (
    MoovConfig,
    PayGateConfig,
    ProviderConfig,
    QosicConfig,
    SandboxConfig,
)
from tests.contract.awkward_server import PATIENCE_S
from tests.factories import a_payout

SECRET = "profile-secret-that-nobody-may-see"

SETTINGS: dict[str, Callable[[str], WalletSettings]] = {
    "tmoney": lambda url: TmoneySettings(
        api_key=Secret(SECRET),
        cashout_url=f"{url}/tmoney/v1/cashout",
        status_url_template=f"{url}/tmoney/v1/cashout/{{provider_ref}}",
    ),
    "flooz": lambda url: FloozSettings(
        api_key=Secret(SECRET),
        cashout_url=f"{url}/flooz/v1/cashout",
        status_url_template=f"{url}/flooz/v1/cashout/{{provider_ref}}",
    ),
    "moov-soap": lambda url: FloozSettings(
        profile="moov-soap",
        base_url=f"{url}/moov-soap/com.tlc.merchant.api/UssdPush",
        moov_token=Secret(SECRET),
        moov_msisdn="2290199999999",
    ),
    "paygate": lambda url: TmoneySettings(
        profile="paygate", base_url=f"{url}/paygate", paygate_auth_token=Secret(SECRET)
    ),
    "qosic": lambda url: FloozSettings(
        profile="qosic",
        base_url=f"{url}/qosic/QosicBridge",
        qosic_user="us",
        qosic_password=Secret(SECRET),
        qosic_client_id_tg="MOOVTG",
    ),
}
"""Complete settings of each profile, at a base URL."""

NUMBERS = {
    "tmoney": "+2289000{}",
    "flooz": "+2289600{}",
    "moov-soap": "+229019500{}",
    "paygate": "+2289000{}",
    "qosic": "+2289600{}",
}


def number(profile: str, suffix: str) -> str:
    """A number that the profile pays, with these last four digits."""
    return NUMBERS[profile].format(suffix)


def a_sent_payout(profile: str, suffix: str = "1234", **changes: Any) -> Payout:
    """A payout whose intent is committed, to a number with these last four digits."""
    return a_payout(status=Status.SENT, **{"phone_e164": number(profile, suffix), **changes})


def taken(payout: Payout, provider_ref: str | None) -> Payout:
    """The same payout, once the provider has named it."""
    return a_payout(
        status=Status.SENT,
        phone_e164=payout.phone_e164,
        provider_ref=ProviderRef(provider_ref) if provider_ref else None,
    )


@dataclass
class Played:
    """A running sandbox and one adapter at it."""

    url: str
    adapter: Adapter
    session: aiohttp.ClientSession = field(repr=False)

    async def control(self, path: str) -> Any:
        async with self.session.get(f"{self.url}/_sandbox/{path}") as response:
            return await response.json()

    async def set_faults(self, **knobs: object) -> None:
        async with self.session.post(f"{self.url}/_sandbox/faults", json=knobs) as response:
            assert response.status == 200, await response.text()

    async def moved(self, payout: Payout) -> int:
        """How often money moved under the payout's reference, once nothing is left to happen."""

        async def is_at_rest() -> bool:
            summary = await self.control("summary")
            return not (summary["orders_settling"] or summary["webhooks"]["outstanding"])

        await until(is_at_rest)
        count: int = (await self.control(f"ledger/{payout.submission_ref}"))["moved_count"]
        return count

    async def settled(self, ask: Callable[[], Awaitable[StatusReport]]) -> StatusReport:
        """The first report that is not about something in flight."""
        reports: list[StatusReport] = []

        async def is_settled() -> bool:
            reports.append(await ask())
            return reports[-1].finding is not Finding.IN_FLIGHT

        await until(is_settled)
        return reports[-1]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def played(
    profile: str,
    *,
    change: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[Played]:
    """A sandbox and the profile's adapter.

    Args:
        profile: one of `SETTINGS`.
        change: settings of ours that differ.
        account: the provider's side that differs.
        config: the sandbox's own.
    """
    theirs: dict[str, Any] = {}
    match profile:
        case "tmoney" | "flooz":
            theirs[profile] = ProviderConfig(**{"api_key": SECRET, **(account or {})})
        case "moov-soap":
            theirs["moov_soap"] = MoovConfig(**{"token": SECRET, **(account or {})})
        case "paygate":
            theirs["paygate"] = PayGateConfig(**{"auth_token": SECRET, **(account or {})})
        case "qosic":
            theirs["qosic"] = QosicConfig(**{"user": "us", "password": SECRET, **(account or {})})
    pace: dict[str, Any] = {"settle_delay_s": 0.02, "slow_s": 0.02, "late_reply_s": 0.05, "hang_s": 0.05}
    async with AsyncExitStack() as stack:
        server = TestServer(create_app(SandboxConfig(**{**theirs, **pace, **config})))
        await stack.enter_async_context(server)
        url = str(server.make_url("")).rstrip("/")
        settings = SETTINGS[profile](url)
        adapter = build_wallet(settings.model_copy(update=change or {}))
        stack.push_async_callback(adapter.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Played(url, adapter, session)
