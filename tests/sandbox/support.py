"""A sandbox under test, and the client's webhook endpoint that it reports to; both on real ports."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from nepxy.sandbox.app import create_app
from nepxy.sandbox.config import ProviderConfig, SandboxConfig

API_KEY = "key-of-the-tests"
SECRET = "secret-of-the-tests"
T = TypeVar("T")
PATIENCE_S = 20.0
PATH = "/tmoney/v1/cashout"


def number(suffix: str) -> str:
    """A TMoney number with these last four digits."""
    return f"+2289000{suffix}"


ORDINARY = number("1234")


def a_submit(external_id: str = "ref-1", **changes: object) -> dict[str, object]:
    fields = {"external_id": external_id, "amount_cents": 1000, "currency": "XOF", "msisdn": ORDINARY}
    return {**fields, **changes}


@dataclass(frozen=True, slots=True)
class Webhook:
    raw: bytes
    signature: str | None

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body

    @property
    def is_signed_well(self) -> bool:
        expected = hmac.new(SECRET.encode(), self.raw, hashlib.sha256).hexdigest()
        return self.signature == f"sha256={expected}"


class Inbox:
    """The client's webhook endpoint: answers as told, remembers all."""

    def __init__(self, port: int | None = None) -> None:
        self.received: list[Webhook] = []
        self.answers: list[int] = []
        """Statuses of the next answers; 200 when none is left."""
        self.gate = asyncio.Event()
        """Cleared: no webhook is answered until it is set."""
        self.gate.set()
        self._arrived = asyncio.Condition()
        app = web.Application()
        app.router.add_post("/v1/webhooks/tmoney", self._take)
        self.server = TestServer(app, port=port)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/v1/webhooks/tmoney"))

    @property
    def statuses(self) -> list[str]:
        return [webhook.body["status"] for webhook in self.received]

    async def wait_for(self, count: int) -> list[Webhook]:
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def _take(self, request: web.Request) -> web.Response:
        webhook = Webhook(await request.read(), request.headers.get("X-Signature"))
        await self.gate.wait()
        async with self._arrived:
            self.received.append(webhook)
            self._arrived.notify_all()
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


class Sandbox:
    """A running sandbox and a client of it."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.client = TestClient[web.Request, web.Application](TestServer(create_app(config)))

    async def __aenter__(self) -> Self:
        await self.client.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {API_KEY}"}

    async def submit(self, external_id: str = "ref-1", **changes: object) -> tuple[int, Any]:
        return await self.submit_raw(json.dumps(a_submit(external_id, **changes)).encode())

    async def submit_raw(self, raw: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        async with self.client.post(
            PATH, data=raw, headers=self.auth if headers is None else headers
        ) as response:
            return response.status, json.loads(await response.read())

    async def status(self, reference: str) -> tuple[int, Any]:
        async with self.client.get(f"{PATH}/{reference}", headers=self.auth) as response:
            return response.status, await response.json()

    async def control(self, path: str) -> Any:
        async with self.client.get(f"/_sandbox/{path}") as response:
            assert response.status == 200
            return await response.json()

    async def set_faults(self, **knobs: object) -> None:
        async with self.client.post("/_sandbox/faults", json=knobs) as response:
            assert response.status == 200, await response.text()

    async def moved(self, external_id: str = "ref-1") -> int:
        count: int = (await self.control(f"ledger/{external_id}"))["moved_count"]
        return count

    async def at_rest(self) -> dict[str, Any]:
        """The summary, once no order has anything left to happen and no webhook is under way."""

        async def is_at_rest() -> dict[str, Any] | None:
            summary: dict[str, Any] = await self.control("summary")
            busy = summary["orders_settling"] or summary["webhooks"]["outstanding"]
            return None if busy else summary

        return await eventually(is_at_rest)


Play = Callable[..., Awaitable[Sandbox]]
"""Starts a sandbox that reports to the inbox; keywords change its config, `provider` its provider's."""


def a_config(
    webhook_url: str | None, provider: dict[str, Any] | None = None, **changes: Any
) -> SandboxConfig:
    account: dict[str, Any] = {"api_key": API_KEY, "webhook_url": webhook_url, "webhook_secret": SECRET}
    defaults: dict[str, Any] = {"settle_delay_s": 0.02, "webhook_backoff_s": 0.01, "slow_s": 0.05}
    return SandboxConfig(tmoney=ProviderConfig(**{**account, **(provider or {})}), **{**defaults, **changes})


async def eventually(probe: Callable[[], Awaitable[T | None]]) -> T:
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await probe()) is None:
            await asyncio.sleep(0.005)
        return answer


CONNECTION_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
