"""The floor: the least program that does a payout's I/O durably. What every figure of NepXy is divided by.

Accept, commit, answer; intent, commit; submit; reference, commit; signed webhook, commit, answer. Commits go in
groups, as NepXy's do. There are no actors, no authentication, no validation, no history, no attempts, no recovery:
nothing of what makes it safe to use. It was committed before anything was measured with it, and is left alone since:
to change it would change what every older figure means.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import queue
import threading
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import aiohttp
import orjson
import psycopg2
import uvloop
from aiohttp import web

BATCH_MAX: Final = 500
CONNECTIONS_MAX: Final = 1_000

SCHEMA: Final = """
DROP SCHEMA IF EXISTS floor CASCADE;
CREATE SCHEMA floor;
CREATE TABLE floor.payouts (
    id           bigint PRIMARY KEY,
    amount       bigint NOT NULL,
    status       text NOT NULL,
    key          text NOT NULL UNIQUE,
    phone        text NOT NULL,
    provider_ref text
) WITH (fillfactor = 60);
"""

_BATCH: Final = """
WITH accepted AS (
    INSERT INTO floor.payouts (id, amount, status, key, phone)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[]) RETURNING 1),
intended AS (UPDATE floor.payouts SET status = 'SENT' WHERE id = ANY(%s::bigint[]) RETURNING 1),
named AS (
    UPDATE floor.payouts AS p SET provider_ref = n.ref
    FROM unnest(%s::bigint[], %s::text[]) AS n (id, ref) WHERE p.id = n.id RETURNING 1)
UPDATE floor.payouts SET status = 'CONFIRMED' WHERE id = ANY(%s::bigint[])
"""


class Accept(NamedTuple):
    """A new payout."""

    id: int
    amount: int
    key: str
    phone: str


class Intend(NamedTuple):
    """It is about to be sent."""

    id: int


class Name(NamedTuple):
    """The provider has given it a reference."""

    id: int
    ref: str


class Confirm(NamedTuple):
    """The provider says that it is paid."""

    id: int


Write = Accept | Intend | Name | Confirm


class Committer(threading.Thread):
    """Commits what waits, all of it in one round trip, and then tells everybody."""

    def __init__(self, dsn: str, loop: asyncio.AbstractEventLoop) -> None:
        """Connect; `loop` is told of commits."""
        super().__init__(daemon=True, name="committer")
        self._loop = loop
        self._connection = psycopg2.connect(dsn)
        # One statement is one transaction: BEGIN and COMMIT cost no trip of their own.
        self._connection.autocommit = True
        self._queue: queue.SimpleQueue[tuple[Write, asyncio.Future[None]]] = queue.SimpleQueue()

    def commit(self, write: Write) -> asyncio.Future[None]:
        """Done once it is committed."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((write, future))
        return future

    def run(self) -> None:
        """Until the process ends."""
        cursor = self._connection.cursor()
        while True:
            batch = [self._queue.get()]
            held = []
            ids = {batch[0][0].id}
            while len(batch) < BATCH_MAX:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                # One statement changes a row once.
                if item[0].id in ids:
                    held.append(item)
                    continue
                ids.add(item[0].id)
                batch.append(item)
            cursor.execute(_BATCH, _arguments([write for write, _ in batch]))
            self._loop.call_soon_threadsafe(_resolve, [future for _, future in batch])
            for item in held:
                self._queue.put(item)


def _arguments(writes: Sequence[Write]) -> tuple[Any, ...]:
    accepts = [one for one in writes if isinstance(one, Accept)]
    names = [one for one in writes if isinstance(one, Name)]
    return (
        [one.id for one in accepts],
        [one.amount for one in accepts],
        ["PENDING"] * len(accepts),
        [one.key for one in accepts],
        [one.phone for one in accepts],
        [one.id for one in writes if isinstance(one, Intend)],
        [one.id for one in names],
        [one.ref for one in names],
        [one.id for one in writes if isinstance(one, Confirm)],
    )


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class Floor:
    """The program."""

    def __init__(
        self, committer: Committer, session: aiohttp.ClientSession, provider_url: str, secret: bytes
    ) -> None:
        """Pay by the provider at `provider_url`, whose webhooks are signed with `secret`."""
        self._committer = committer
        self._session = session
        self._provider_url = provider_url
        self._secret = secret
        self._last_id = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, request: web.Request) -> web.Response:
        """A new payout: answered once it is committed."""
        document = orjson.loads(await request.read())
        self._last_id += 1
        payout = Accept(
            self._last_id, document["amount"], request.headers["Idempotency-Key"], document["phone_e164"]
        )
        await self._committer.commit(payout)
        task = asyncio.get_running_loop().create_task(self._pay(payout))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.Response(
            status=202, body=orjson.dumps({"transaction_id": payout.id}), content_type="application/json"
        )

    async def webhook(self, request: web.Request) -> web.Response:
        """The provider says that it is paid: answered once that is committed."""
        body = await request.read()
        signature = hmac.digest(self._secret, body, hashlib.sha256).hex()
        if not hmac.compare_digest(signature, request.headers["X-Signature"]):
            return web.Response(status=401)
        document = orjson.loads(body)
        await self._committer.commit(Confirm(int(document["external_ref"])))
        return web.Response(body=b'{"ok":true}', content_type="application/json")

    async def _pay(self, payout: Accept) -> None:
        await self._committer.commit(Intend(payout.id))
        body = orjson.dumps(
            {
                "external_id": str(payout.id),
                "amount_cents": payout.amount,
                "currency": "XOF",
                "msisdn": payout.phone,
            }
        )
        async with self._session.post(
            self._provider_url, data=body, headers={"Content-Type": "application/json"}
        ) as answer:
            document = orjson.loads(await answer.read())
        await self._committer.commit(Name(payout.id, document["provider_ref"]))


async def serve(*, dsn: str, port: int, provider_url: str, secret: str) -> None:
    """Serve until the process is ended."""
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA)
    connection.close()
    committer = Committer(dsn, asyncio.get_running_loop())
    committer.start()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX)) as session:
        floor = Floor(committer, session, provider_url, secret.encode())
        app = web.Application()
        app.router.add_post("/v1/payouts", floor.accept)
        app.router.add_post("/v1/webhooks/tmoney", floor.webhook)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        await asyncio.Event().wait()


def main() -> None:
    """The command line: a process of its own, as NepXy is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--provider-url", required=True)
    parser.add_argument("--secret", required=True)
    given = parser.parse_args()
    uvloop.run(serve(dsn=given.dsn, port=given.port, provider_url=given.provider_url, secret=given.secret))


if __name__ == "__main__":
    main()
