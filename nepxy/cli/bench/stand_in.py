"""A provider that costs little: takes every payout after a fixed latency, and reports it paid a while later.

It speaks the generic JSON profile of the wallets, signs its webhooks, and counts what came, so that a run can tell
whether anything was sent twice. For behaviour there is the sandbox; this is for speed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson
import uvloop
from aiohttp import web

JSON: Final = "application/json"
CONNECTIONS_MAX: Final = 1_000


@dataclass(slots=True, kw_only=True)
class Habits:
    """How it behaves; may be changed while it runs, by `POST /habits`."""

    latency_s: float = 0.05
    webhook_after_s: float = 0.05
    """Negative: no webhook ever."""
    dead: bool = False
    """Takes connections and never answers."""


@dataclass(slots=True)
class Counts:
    """What came and went."""

    submits: int = 0
    repeated: int = 0
    """Submits of a reference that had come before: with no fault on, each is money paid twice."""
    webhooks_taken: int = 0
    webhooks_refused: int = 0
    seen: set[str] = field(default_factory=set)


class StandIn:
    """The provider."""

    def __init__(
        self, session: aiohttp.ClientSession, webhook_url: str, secret: bytes, habits: Habits
    ) -> None:
        """Tell `webhook_url` of each payment, signed with `secret`."""
        self._session = session
        self._webhook_url = webhook_url
        self._secret = secret
        self._habits = habits
        self._counts = Counts()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[str] = []

    async def cashout(self, request: web.Request) -> web.Response:
        """Take a payout."""
        document = orjson.loads(await request.read())
        if self._habits.dead:
            await asyncio.Event().wait()
        reference = document["external_id"]
        await asyncio.sleep(self._habits.latency_s)
        self._counts.submits += 1
        if reference in self._counts.seen:
            self._counts.repeated += 1
        self._counts.seen.add(reference)
        if self._habits.webhook_after_s >= 0:
            self._start(self._report(reference, self._habits.webhook_after_s))
        else:
            self._held.append(reference)
        body = orjson.dumps({"status": "ACCEPTED", "provider_ref": f"B-{reference}"})
        return web.Response(status=202, body=body, content_type=JSON)

    async def status(self, request: web.Request) -> web.Response:
        """Say how one stands: always still on its way."""
        reference = request.match_info["reference"]
        return web.Response(
            body=orjson.dumps({"status": "PENDING", "provider_ref": reference}), content_type=JSON
        )

    async def burst(self, request: web.Request) -> web.Response:
        """Report everything that was held back, all at once."""
        held, self._held = self._held, []
        limit = asyncio.Semaphore(int(request.query.get("at_once", "256")))

        async def report(reference: str) -> None:
            async with limit:
                await self._report(reference, 0.0)

        for reference in held:
            self._start(report(reference))
        return web.json_response({"count": len(held)})

    async def counts(self, _: web.Request) -> web.Response:
        """What came and went."""
        counts = self._counts
        return web.json_response(
            {
                "submits": counts.submits,
                "repeated": counts.repeated,
                "webhooks_taken": counts.webhooks_taken,
                "webhooks_refused": counts.webhooks_refused,
            }
        )

    async def change(self, request: web.Request) -> web.Response:
        """Behave otherwise from now on; counts begin anew with `{"reset": true}`."""
        document = orjson.loads(await request.read())
        for name, value in document.items():
            if name == "reset":
                self._counts = Counts()
            else:
                setattr(self._habits, name, value)
        return web.json_response({"ok": True})

    async def _report(self, reference: str, after_s: float) -> None:
        if after_s:
            await asyncio.sleep(after_s)
        body = orjson.dumps(
            {"provider_ref": f"B-{reference}", "external_ref": reference, "status": "SUCCESS"}
        )
        signature = hmac.digest(self._secret, body, hashlib.sha256).hex()
        headers = {"Content-Type": JSON, "X-Signature": signature}
        for wait_s in (0.1, 0.5, 2.0, 5.0, 10.0, 0.0):
            try:
                async with self._session.post(self._webhook_url, data=body, headers=headers) as answer:
                    document = orjson.loads(await answer.read()) if answer.status == 200 else {}
            except aiohttp.ClientError:
                document = {}
            if document.get("ok"):
                self._counts.webhooks_taken += 1
                return
            await asyncio.sleep(wait_s)
        self._counts.webhooks_refused += 1

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def serve(*, port: int, webhook_url: str, secret: str, habits: Habits) -> None:
    """Serve until the process is ended."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
    async with aiohttp.ClientSession(connector=connector) as session:
        provider = StandIn(session, webhook_url, secret.encode(), habits)
        app = web.Application()
        app.router.add_post("/cashout", provider.cashout)
        app.router.add_get("/cashout/{reference}", provider.status)
        app.router.add_post("/burst", provider.burst)
        app.router.add_post("/habits", provider.change)
        app.router.add_get("/counts", provider.counts)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        await asyncio.Event().wait()


def main() -> None:
    """The command line: a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--webhook-url", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--latency-s", type=float, default=0.05)
    parser.add_argument("--webhook-after-s", type=float, default=0.05)
    given = parser.parse_args()
    habits = Habits(latency_s=given.latency_s, webhook_after_s=given.webhook_after_s)
    uvloop.run(serve(port=given.port, webhook_url=given.webhook_url, secret=given.secret, habits=habits))


if __name__ == "__main__":
    main()
