"""MOMO passes the conformance suite, against the sandbox's stand-in: in MTN's own sandbox, and in a country."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import aiohttp
from aiohttp.test_utils import TestServer

from nepxy.config.groups import Mode
from nepxy.config.providers import MomoSettings
from nepxy.config.secret import Secret
from nepxy.engine.payout import Payout
from nepxy.providers.conformance import AdapterConformance, Stage, a_payout
from nepxy.providers.contract import Adapter
from nepxy.providers.registry import plugins
from nepxy.sandbox.app import create_app
from nepxy.sandbox.config import MomoConfig, SandboxConfig

USER, KEY, SUBSCRIPTION = (
    "11111111-1111-4111-8111-111111111111",
    "api-key-nobody-may-see",
    "sub-key-nobody-may-see",
)
BASIC = base64.b64encode(f"{USER}:{KEY}".encode()).decode()


class MomoStage:
    """The sandbox, playing MTN."""

    secrets: tuple[str, ...] = (KEY, SUBSCRIPTION, BASIC)

    def __init__(self, url: str, control: aiohttp.ClientSession, suite: MomoConformance) -> None:
        self.url = url
        self._control = control
        self._suite = suite

    def adapter(self, url: str) -> Adapter:
        return self._adapter(url)

    def variants(self, url: str) -> Mapping[str, Adapter]:
        return {
            "user": self._adapter(url, api_user="another"),
            "mode": self._adapter(url, mode=Mode.REAL),
            "country": self._adapter(url, target_env="mtncameroon"),
            "URL": self._adapter(f"{url}/elsewhere"),
        }

    def payout(self, number: int, *, fails: bool = False) -> Payout:
        return a_payout(
            number,
            provider="MOMO",
            amount=1000 + number,
            currency="XOF",
            phone_e164="+2290151000401" if fails else "+2290151001234",
            country="BJ",
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
            "externalId": payout.submission_ref,
            "amount": str(payout.amount),
            "currency": self._suite.currency,
            "payee": {"partyIdType": "MSISDN", "partyId": payout.phone_e164[1:]},
            "status": "SUCCESSFUL",
            "financialTransactionId": "1",
        }

    def _adapter(self, url: str, **changes: Any) -> Adapter:
        fields: dict[str, Any] = {
            "base_url": f"{url}/momo",
            "api_user": USER,
            "api_key": Secret(KEY),
            "subscription_key": Secret(SUBSCRIPTION),
            "target_env": self._suite.target_env,
            "http_timeout_s": 5.0,
        }
        return plugins()["MOMO"].build(MomoSettings(**{**fields, **changes}))


class MomoConformance(AdapterConformance):
    """The suite, for one target environment."""

    __test__ = False
    target_env: ClassVar[str]
    currency: ClassVar[str]
    account: ClassVar[Mapping[str, object]] = {}

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        account: dict[str, Any] = {
            "api_user": USER,
            "api_key": KEY,
            "subscription_key": SUBSCRIPTION,
            "target_environment": self.target_env,
            "currency": self.currency,
            # The suite asks faster than any engine does; what a 429 means is among the rows of test_momo.
            "status_reads_per_s_max": 100_000,
        }
        app = create_app(
            SandboxConfig(
                momo=MomoConfig(**{**account, **self.account}),
                settle_delay_s=0.005,
                hang_s=1.0,
                late_reply_s=1.0,
            )
        )
        async with TestServer(app) as server, aiohttp.ClientSession() as control:
            yield MomoStage(str(server.make_url("")).rstrip("/"), control, self)


class TestMomoInTheSandbox(MomoConformance):
    """Francs are sent as so many euros: MTN's sandbox takes no others."""

    __test__ = True
    target_env = "sandbox"
    currency = "EUR"


class TestMomoInBenin(MomoConformance):
    """The country's own currency, and reasons as objects."""

    __test__ = True
    target_env = "mtnbenin"
    currency = "XOF"
    account: ClassVar[Mapping[str, object]] = {"reason_as_object": True}
