"""THUNES passes the conformance suite, against the sandbox's stand-in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from nepxy.config.secret import Secret
from nepxy.engine.payout import Payout
from nepxy.providers.conformance import AdapterConformance, Stage, a_payout
from nepxy.providers.contract import Adapter
from nepxy.providers.registry import plugins
from nepxy.sandbox.app import create_app
from tests.contract.thunes_support import API_KEY, API_SECRET, DETAILS, a_sandbox, thunes_settings


class ThunesStage:
    """The sandbox, playing THUNES."""

    secrets: tuple[str, ...] = (API_KEY, API_SECRET)

    def __init__(self, url: str, control: aiohttp.ClientSession) -> None:
        self.url = url
        self._control = control

    def adapter(self, url: str) -> Adapter:
        return self._adapter(url)

    def variants(self, url: str) -> Mapping[str, Adapter]:
        return {
            "key": self._adapter(url, api_key=Secret("another")),
            "mode": self._adapter(url, mode="real"),
            "endpoint": self._adapter(url + "/elsewhere"),
        }

    def payout(self, number: int, *, fails: bool = False) -> Payout:
        return a_payout(
            number,
            provider="THUNES",
            amount=1000 + number,
            currency="XOF",
            phone_e164="+22890000401" if fails else "+22890001234",
            country="TG",
            details=json.dumps(DETAILS),
        )

    async def settle(self) -> None:
        async with asyncio.timeout(20):
            while True:
                async with self._control.get(f"{self.url}/_sandbox/summary") as answer:
                    if not (await answer.json())["orders_settling"]:
                        return
                await asyncio.sleep(0.005)

    async def moved(self, payout: Payout) -> int:
        async with self._control.get(f"{self.url}/_sandbox/ledger/{payout.submission_ref}") as answer:
            return int((await answer.json())["moved_count"])

    def webhook(self, payout: Payout) -> Mapping[str, object] | None:
        return {
            "id": int(payout.provider_ref or 7),
            "external_id": payout.submission_ref,
            "status": "70000",
            "status_message": "COMPLETED",
            "status_class": "7",
            "status_class_message": "COMPLETED",
            "destination": {"amount": f"{payout.amount}.00000000", "currency": payout.currency},
            "credit_party_identifier": {"msisdn": payout.phone_e164},
            "callback_url": "https://example.com/v1/webhooks/thunes",
        }

    def _adapter(self, url: str, **changes: Any) -> Adapter:
        settings = thunes_settings(f"{url}/thunes", http_timeout_s=5.0, **changes)
        return plugins()["THUNES"].build(settings)


class TestThunes(AdapterConformance):
    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        app = create_app(a_sandbox(settle_delay_s=0.005, hang_s=1.0, late_reply_s=1.0))
        async with TestServer(app) as server, aiohttp.ClientSession() as control:
            yield ThunesStage(str(server.make_url("")).rstrip("/"), control)
