"""MOMO passes the conformance suite, against a small stand-in written from providers.md, section 3."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from aiohttp import web
from aiohttp.test_utils import TestServer

from nepxy.config.groups import Mode
from nepxy.config.providers import MomoSettings
from nepxy.config.secret import Secret
from nepxy.engine.payout import Payout
from nepxy.providers.conformance import AdapterConformance, Stage, a_payout
from nepxy.providers.contract import Adapter
from nepxy.providers.momo import Momo
from nepxy.providers.wire import ProviderHttp

USER, KEY, SUBSCRIPTION = (
    "11111111-1111-4111-8111-111111111111",
    "api-key-nobody-may-see",
    "sub-key-nobody-may-see",
)
TOKEN = "access-token-nobody-may-see"
SETTLE_S = 0.005


class StandIn:
    """MTN's disbursement sandbox, as far as a submit, its status, a balance and a wallet go."""

    def __init__(self) -> None:
        self.transfers: dict[str, dict[str, Any]] = {}
        self.moved: Counter[str] = Counter()
        self.settling: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        app = web.Application()
        base = "/disbursement/v1_0"
        app.router.add_post("/disbursement/token/", self.token)
        app.router.add_post(f"{base}/transfer", self.transfer)
        app.router.add_get(f"{base}/transfer/{{reference}}", self.status)
        app.router.add_get(f"{base}/account/balance", self.balance)
        app.router.add_get(f"{base}/accountholder/msisdn/{{msisdn}}/active", self.active)
        return app

    async def token(self, request: web.Request) -> web.Response:
        basic = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {basic}" or await request.read():
            return web.json_response({"error": "login_failed"}, status=401)
        said = {"access_token": TOKEN, "token_type": "access_token", "expires_in": 3600}
        return web.json_response(said)

    def _refused(self, request: web.Request) -> web.Response | None:
        headers = request.headers
        if headers.get("Ocp-Apim-Subscription-Key") != SUBSCRIPTION:
            return web.json_response({"statusCode": 401, "message": "invalid subscription key"}, status=401)
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "invalid_token"}, status=401)
        if headers.get("X-Target-Environment") != "sandbox":
            return web.json_response({"code": "NOT_ALLOWED_TARGET_ENVIRONMENT"}, status=500)
        return None

    async def transfer(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        reference, order = request.headers["X-Reference-Id"], await request.json()
        if UUID(reference).version != 4 or set(order["payee"]) != {"partyIdType", "partyId"}:
            return web.json_response({"code": "BAD_REQUEST"}, status=400)
        if reference in self.transfers:
            return web.json_response({"code": "RESOURCE_ALREADY_EXIST", "message": "duplicated"}, status=409)
        if order["currency"] != "EUR":
            return web.json_response({"code": "INVALID_CURRENCY"}, status=500)
        names = ("amount", "currency", "externalId", "payee")
        self.transfers[reference] = {name: order[name] for name in names} | {"status": "PENDING"}
        task = asyncio.create_task(self.settle(reference))
        self.settling.add(task)
        task.add_done_callback(self.settling.discard)
        return web.Response(status=202)

    async def settle(self, reference: str) -> None:
        await asyncio.sleep(SETTLE_S)
        transfer = self.transfers[reference]
        if transfer["payee"]["partyId"].endswith("0401"):
            transfer.update(status="FAILED", reason="PAYEE_NOT_FOUND")
        else:
            transfer.update(status="SUCCESSFUL", financialTransactionId=str(len(self.transfers)))
            self.moved[reference] += 1

    async def status(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        transfer = self.transfers.get(request.match_info["reference"])
        if transfer is None:
            return web.json_response({"code": "RESOURCE_NOT_FOUND", "message": "not found"}, status=404)
        return web.json_response(transfer)

    async def balance(self, request: web.Request) -> web.Response:
        said = {"availableBalance": "1000000", "currency": "EUR"}
        return self._refused(request) or web.json_response(said)

    async def active(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response({"result": True})


class MomoStage:
    secrets: tuple[str, ...] = (KEY, SUBSCRIPTION, TOKEN)

    def __init__(self, url: str, stand_in: StandIn) -> None:
        self.url = url
        self._stand_in = stand_in

    def adapter(self, url: str) -> Adapter:
        return self._adapter(url)

    def variants(self, url: str) -> Mapping[str, Adapter]:
        return {
            "user": self._adapter(url, api_user="another"),
            "mode": self._adapter(url, mode=Mode.REAL),
            "country": self._adapter(url, target_env="mtnbenin"),
            "URL": self._adapter(f"{url}/elsewhere"),
        }

    def payout(self, number: int, *, fails: bool = False) -> Payout:
        return a_payout(
            number,
            provider="MOMO",
            amount=1000 + number,
            currency="EUR",
            phone_e164="+2290151000401" if fails else "+2290151001234",
            country="BJ",
        )

    async def settle(self) -> None:
        await asyncio.gather(*self._stand_in.settling)

    async def moved(self, payout: Payout) -> int:
        return self._stand_in.moved[payout.submission_ref]

    def webhook(self, payout: Payout) -> Mapping[str, object] | None:
        return {
            "externalId": payout.submission_ref,
            "amount": "10.01",
            "currency": "EUR",
            "status": "SUCCESSFUL",
            "financialTransactionId": "1",
        }

    def _adapter(self, url: str, **changes: Any) -> Adapter:
        settings = MomoSettings(
            base_url=url, api_user=USER, api_key=Secret(KEY), subscription_key=Secret(SUBSCRIPTION)
        ).model_copy(update=changes)
        return Momo(settings=settings, http=ProviderHttp(timeout_s=5.0, connections_max=8))


class TestMomo(AdapterConformance):
    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        stand_in = StandIn()
        async with TestServer(stand_in.app()) as server:
            yield MomoStage(str(server.make_url("")).rstrip("/"), stand_in)
