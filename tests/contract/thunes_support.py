"""Thunes' sandbox on a real port, an adapter of an account there, and guards that remember."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from nepxy.config.groups import Mode
from nepxy.config.providers import ThunesSettings
from nepxy.config.secret import Secret
from nepxy.engine.outcomes import Finding, Outcome, StatusReport
from nepxy.engine.payout import Payout, ProviderRef, Status
from nepxy.providers.thunes import Thunes
from nepxy.providers.wire import ProviderHttp
from nepxy.sandbox.app import create_app
from nepxy.sandbox.config import SandboxConfig, ThunesConfig
from tests.factories import a_payout

T = TypeVar("T")
API_KEY, API_SECRET = "thunes-key-of-tests", "thunes-secret-of-tests"
PATIENCE_S = 20.0
DETAILS: dict[str, Any] = {
    "recipient": {"first_name": "Ama", "last_name": "Mensah"},
    "purpose": "FAMILY_SUPPORT",
}
WHERE = {"TG": ("+2289000{}", "XOF"), "BJ": ("+229019000{}", "XOF"), "GH": ("+23320000{}", "GHS")}


def thunes_settings(endpoint: str, **changes: Any) -> ThunesSettings:
    fields: dict[str, Any] = {
        "mode": Mode.SANDBOX,
        "api_endpoint": endpoint,
        "api_key": Secret(API_KEY),
        "api_secret": Secret(API_SECRET),
        "payer_ids": {"TG": "1001", "BJ": "1002", "GH": "1003", "CI": "9999"},
        "source_currency": "EUR",
        "source_country_iso3": "FRA",
        "sender_firstname": "Jeanne",
        "sender_lastname": "Martin",
        "sender_dob": "1980-02-29",
        "sender_gender": "FEMALE",
        "sender_nationality_iso3": "FRA",
        "sender_country_of_birth_iso3": "FRA",
        "sender_address": "1 rue de la Paix",
        "sender_city": "Paris",
        "sender_postal": "75002",
        "sender_country_iso3": "FRA",
    }
    return ThunesSettings(**{**fields, **changes})


def a_thunes_payout(suffix: str = "1234", *, country: str = "TG", **changes: Any) -> Payout:
    """A payout in its first attempt; the suffix is what the sandbox looks at."""
    form, currency = WHERE[country]
    details = changes.pop("details", DETAILS)
    fields: dict[str, Any] = {
        "provider": "THUNES",
        "status": Status.SENT,
        "country": country,
        "currency": currency,
        "phone_e164": form.format(suffix),
        "details": details if isinstance(details, str) else json.dumps(details),
    }
    return a_payout(**{**fields, **changes})


def again(payout: Payout, **changes: Any) -> Payout:
    """The same payout in its next attempt."""
    fields = {
        name: getattr(payout, name) for name in ("country", "currency", "phone_e164", "details", "amount")
    }
    return a_payout(
        status=Status.SENT,
        provider="THUNES",
        generation=payout.generation,
        submission_ref=payout.submission_ref,
        attempt_count=payout.attempt_count + 1,
        **{**fields, **changes},
    )


def a_transaction(status: object = "70000", **changes: Any) -> dict[str, Any]:
    """A transaction as Thunes tells it, of `a_thunes_payout`."""
    document: dict[str, Any] = {
        "id": 243051154002258,
        "external_id": a_thunes_payout().submission_ref,
        "status": status,
        "status_class": str(status)[:1],
        "status_class_message": "",
        "source": {"amount": "1.53000000", "currency": "EUR"},
        "destination": {"amount": "1000.00000000", "currency": "XOF"},
        "credit_party_identifier": {"msisdn": "+22890001234"},
    }
    return {**document, **changes}


class Steps:
    """A guard that remembers which steps were reached, and stops at the ones that it is told."""

    def __init__(self, *, stops_at: str = "", late_from: str = "") -> None:
        self.stops_at = stops_at
        self.late_from = late_from
        self.reached_steps: list[tuple[str, str | None]] = []
        self.late = False
        self.asked = 0

    def is_late(self) -> bool:
        self.asked += 1
        return self.late

    async def reached(self, step: str, *, provider_ref: ProviderRef | None = None) -> bool:
        self.reached_steps.append((step, provider_ref))
        self.late = self.late or step == self.late_from
        return step != self.stops_at


class ThunesAtWork:
    """A sandbox, and an account of it."""

    def __init__(self, config: SandboxConfig, **settings: Any) -> None:
        self._config = config
        self._settings = settings
        self.timeout_s: float = settings.pop("timeout_s", 10.0)

    async def __aenter__(self) -> Self:
        self.client = TestClient[web.Request, web.Application](TestServer(create_app(self._config)))
        await self.client.start_server()
        self.endpoint = str(self.client.make_url("/thunes"))
        self.adapter = self.an_adapter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.adapter.close()
        await self.client.close()

    def an_adapter(self, **changes: Any) -> Thunes:
        settings = thunes_settings(self.endpoint, **{**self._settings, **changes})
        return Thunes.over(settings, ProviderHttp(timeout_s=self.timeout_s, connections_max=4))

    async def submit(self, payout: Payout, guard: Steps | None = None) -> Outcome:
        return await self.adapter.submit(payout, guard or Steps())

    async def plan(self, *mishaps: dict[str, Any]) -> None:
        async with self.client.post("/_sandbox/thunes/plan", json=list(mishaps)) as response:
            assert response.status == 200, await response.text()

    async def set_faults(self, **knobs: object) -> None:
        async with self.client.post(
            "/_sandbox/faults", params={"provider": "thunes"}, json=knobs
        ) as response:
            assert response.status == 200, await response.text()

    async def see(self, path: str) -> Any:
        async with self.client.get(f"/_sandbox/{path}") as response:
            return await response.json()

    async def counts(self, payout: Payout) -> dict[str, Any]:
        """What there is at Thunes of this payout, and in the ledger."""
        ledger = await self.see(f"ledger/{payout.submission_ref}")
        there: dict[str, Any] = await self.see(f"thunes/transactions/{payout.submission_ref}")
        return {
            **there,
            "accepted": ledger["accepted_count"],
            "moved": ledger["moved_count"],
            "ledger": ledger,
        }

    async def settled(self, payout: Payout) -> StatusReport:
        """Its state once it is neither in flight nor unfinished."""

        async def probe() -> StatusReport | None:
            report = await self.adapter.look_up(payout)
            return None if report.finding is Finding.IN_FLIGHT else report

        return await eventually(probe)

    async def at_rest(self) -> dict[str, Any]:
        async def probe() -> dict[str, Any] | None:
            summary: dict[str, Any] = await self.see("summary")
            return None if summary["orders_settling"] else summary

        return await eventually(probe)


async def eventually(probe: Callable[[], Awaitable[T | None]]) -> T:
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await probe()) is None:
            await asyncio.sleep(0.005)
        return answer


def a_sandbox(thunes: dict[str, Any] | None = None, **changes: Any) -> SandboxConfig:
    account = {"api_key": API_KEY, "api_secret": API_SECRET, **(thunes or {})}
    defaults: dict[str, Any] = {"settle_delay_s": 0.02, "hang_s": 30.0, "webhook_backoff_s": 0.01}
    return SandboxConfig(thunes=ThunesConfig(**account), **{**defaults, **changes})
