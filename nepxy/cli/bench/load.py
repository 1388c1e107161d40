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
from typing import Any, Final
from uuid import uuid4

import aiohttp
import orjson

JSON: Final = "application/json"
CONNECTIONS_MAX: Final = 1_000
OPEN_MAX: Final = 4_000
"""At a pace, requests that may be open at once; what is due beyond is sent late, and its latency says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What is paid by one provider."""

    provider: str
    phone: str
    """The head of the numbers; the load counts the last four digits, from 1000 on: below, the sandbox has its magic."""
    country: str
    currency: str = "XOF"
    extra: Mapping[str, Any] = field(default_factory=dict)


TMONEY: Final = Purse(provider="TMONEY", phone="+2289012", country="TG")
FLOOZ: Final = Purse(provider="FLOOZ", phone="+2289612", country="TG")
MOMO: Final = Purse(provider="MOMO", phone="+229015100", country="BJ")
THUNES: Final = Purse(
    provider="THUNES",
    phone="+2289012",
    country="TG",
    extra={"recipient": {"first_name": "Awa", "last_name": "Mensah"}, "purpose": "FAMILY_SUPPORT"},
)


@dataclass(slots=True, kw_only=True)
class Posted:
    """What a load came to."""

    taken_count: int = 0
    transaction_ids: list[str] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)
    """By HTTP status; 0: no answer at all."""
    first_words: dict[int, bytes] = field(default_factory=dict)
    """What the first of each said; without an answer, what went wrong."""
    without_retry_after: int = 0
    """Of the 429 and 503: those that did not say when to come again."""
    latencies_s: list[float] = field(default_factory=list)
    duration_s: float = 0.0


class Load:
    """Posts payouts to one server."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: Mapping[str, str],
        *,
        purses: tuple[Purse, ...] = (TMONEY,),
    ) -> None:
        """Post to `url`, one purse after the other."""
        self._session = session
        self._url = url
        self._headers = dict(headers)
        self._purses = purses
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
        return await self.so_many_at_a_pace(int(per_s * duration_s), per_s)

    async def so_many_at_a_pace(self, payouts_count: int, per_s: float) -> Posted:
        """Post so many, `per_s` a second, whether they are answered or not."""
        posted = Posted()
        began_s = perf_counter()
        open_posts: set[asyncio.Task[None]] = set()
        for n in range(payouts_count):
            due_s = began_s + n / per_s
            wait_s = due_s - perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if len(open_posts) >= OPEN_MAX:
                await asyncio.wait(open_posts, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.get_running_loop().create_task(self._post(posted, due_s))
            open_posts.add(task)
            task.add_done_callback(open_posts.discard)
        if open_posts:
            await asyncio.wait(open_posts, timeout=60)
        posted.duration_s = perf_counter() - began_s
        return posted

    async def one(self) -> Posted:
        """Post a single payout."""
        return await self.as_fast_as_answered(1, at_once=1)

    async def _post(self, posted: Posted, due_s: float) -> None:
        number = next(self._numbers)
        key = f"{self._run}-{number}"
        purse = self._purses[number % len(self._purses)]
        body = orjson.dumps(
            {
                "amount": 1000 + number % 1000,
                "currency": purse.currency,
                "phone_e164": f"{purse.phone}{1000 + number % 9000}",
                "country": purse.country,
                "external_ref": key,
                "provider": purse.provider,
                **purse.extra,
            }
        )
        headers = {**self._headers, "Idempotency-Key": key, "Content-Type": JSON}
        try:
            async with self._session.post(self._url, data=body, headers=headers) as answer:
                said = await answer.read()
                status = answer.status
                told_when = "Retry-After" in answer.headers
        except (aiohttp.ClientError, TimeoutError) as away:
            said, status, told_when = f"no answer: {str(away) or type(away).__name__}".encode(), 0, True
        if status == 202:
            posted.taken_count += 1
            posted.latencies_s.append(perf_counter() - due_s)
            posted.transaction_ids.append(str(orjson.loads(said)["transaction_id"]))
        else:
            posted.refused[status] = posted.refused.get(status, 0) + 1
            posted.first_words.setdefault(status, said)
            posted.without_retry_after += status in (429, 503) and not told_when


def session(*, timeout_s: float = 300) -> aiohttp.ClientSession:
    """A session that never waits for a connection of its own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX), timeout=aiohttp.ClientTimeout(total=timeout_s)
    )
