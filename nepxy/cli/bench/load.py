"""The load: clients that post payouts, as fast as they are answered or at a pace of their own.

At a pace, a latency counts from when the request was due, not from when it could be sent: else a server that stalls
would be measured by the requests that it never got to see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter
from typing import Final
from uuid import uuid4

import aiohttp
import orjson

JSON: Final = "application/json"
CONNECTIONS_MAX: Final = 1_000


@dataclass(slots=True, kw_only=True)
class Posted:
    """What a load came to."""

    taken_count: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    """By HTTP status; 0: no answer at all."""
    latencies_s: list[float] = field(default_factory=list)
    duration_s: float = 0.0


class Load:
    """Posts payouts to one server."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], *, phones: tuple[str, str]
    ) -> None:
        """Post to `url`. `phones`: the head of the numbers, and their country; the load counts their last digits."""
        self._session = session
        self._url = url
        self._headers = dict(headers)
        self._phone, self._country = phones
        self._numbers = count()
        self._run = uuid4().hex[:12]

    async def as_fast_as_answered(self, payouts_count: int, *, at_once: int) -> Posted:
        """Post so many, with so many requests open at any time."""
        posted = Posted()
        left = iter(range(payouts_count))
        began_s = perf_counter()

        async def client() -> None:
            for _ in left:
                await self._post(posted, perf_counter())

        await asyncio.gather(*(client() for _ in range(at_once)))
        posted.duration_s = perf_counter() - began_s
        return posted

    async def at_a_pace(self, per_s: float, *, duration_s: float) -> Posted:
        """Post `per_s` a second for so long, whether they are answered or not."""
        posted = Posted()
        began_s = perf_counter()
        open_posts: set[asyncio.Task[None]] = set()
        for n in range(int(per_s * duration_s)):
            due_s = began_s + n / per_s
            wait_s = due_s - perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            task = asyncio.get_running_loop().create_task(self._post(posted, due_s))
            open_posts.add(task)
            task.add_done_callback(open_posts.discard)
        if open_posts:
            await asyncio.wait(open_posts, timeout=60)
        posted.duration_s = perf_counter() - began_s
        return posted

    async def _post(self, posted: Posted, due_s: float) -> None:
        number = next(self._numbers)
        key = f"{self._run}-{number}"
        body = orjson.dumps(
            {
                "amount": 1000 + number % 1000,
                "currency": "XOF",
                "phone_e164": f"{self._phone}{number % 10_000:04d}",
                "country": self._country,
                "external_ref": key,
                "provider": "TMONEY",
            }
        )
        headers = {**self._headers, "Idempotency-Key": key, "Content-Type": JSON}
        try:
            async with self._session.post(self._url, data=body, headers=headers) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        if status == 202:
            posted.taken_count += 1
            posted.latencies_s.append(perf_counter() - due_s)
        else:
            posted.refused[status] = posted.refused.get(status, 0) + 1


def session() -> aiohttp.ClientSession:
    """A session that never waits for a connection of its own."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX))
