"""TMONEY on the generic JSON profile passes the conformance suite, against the sandbox's stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from nepxy.config.providers import TmoneySettings
from nepxy.engine.payout import Payout
from nepxy.providers.conformance import AdapterConformance, Stage, a_payout
from nepxy.providers.contract import Adapter
from nepxy.providers.registry import plugins
from nepxy.sandbox.app import create_app
from nepxy.sandbox.config import ProviderConfig, SandboxConfig

KEY = "key-of-tmoney-that-nobody-may-see"
PATH = "/tmoney/v1/cashout"


class TmoneyStage:
    """The sandbox, playing TMONEY."""

    secrets: tuple[str, ...] = (KEY,)

    def __init__(self, url: str, control: aiohttp.ClientSession) -> None:
        self.url = url
        self._control = control

    def adapter(self, url: str) -> Adapter:
        return self._adapter(url)

    def variants(self, url: str) -> Mapping[str, Adapter]:
        return {
            "key": self._adapter(url, api_key="another"),
            "mode": self._adapter(url, mode="real"),
            "URL": self._adapter(url + "/elsewhere"),
        }

    def payout(self, number: int, *, fails: bool = False) -> Payout:
        return a_payout(
            number,
            provider="TMONEY",
            amount=1000 + number,
            currency="XOF",
            phone_e164="+22890000401" if fails else "+22890001234",
            country="TG",
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
            "external_ref": payout.submission_ref,
            "provider_ref": payout.provider_ref,
            "status": "SUCCESS",
        }

    def _adapter(self, url: str, **changes: Any) -> Adapter:
        fields: dict[str, Any] = {
            "api_key": KEY,
            "cashout_url": url + PATH,
            "status_url_template": url + PATH + "/{provider_ref}",
            "http_timeout_s": 5.0,
        }
        return plugins()["TMONEY"].build(TmoneySettings(**{**fields, **changes}))


class TestTmoney(AdapterConformance):
    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        account = ProviderConfig(api_key=KEY, status_lookup_by_our_reference=True)
        app = create_app(SandboxConfig(tmoney=account, settle_delay_s=0.005, hang_s=1.0, late_reply_s=1.0))
        async with TestServer(app) as server, aiohttp.ClientSession() as control:
            yield TmoneyStage(str(server.make_url("")).rstrip("/"), control)


def test_a_provider_without_a_stage_proves_nothing() -> None:
    with pytest.raises(NotImplementedError):
        AdapterConformance().stage()
