"""A deployment's own figures: accept latency and reads, and how long its own provider takes. It makes payouts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from nepxy.cli.bench.load import FLOOZ, MOMO, THUNES, TMONEY, Load, Posted, Purse, session
from nepxy.cli.bench.runs import percentiles

PURSES: Final = {purse.provider: purse for purse in (TMONEY, FLOOZ, MOMO, THUNES)}
"""What is paid where only the provider is named."""
FINAL: Final = frozenset({"CONFIRMED", "FAILED", "CANCELLED", "REVIEW"})
POLL_S: Final = 0.25
WORDS_MAX: Final = 300
"""Of an answer that is no problem document."""


class CannotMeasure(Exception):
    """There is nothing to measure at this address with this token; the message says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        """What is wrong, and what to do about it."""
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked of a deployment."""

    url: str
    token: str = field(repr=False)
    payouts_count: int
    per_s: float
    wait_s: float
    """How long the payouts' ends are waited for."""
    purse: Purse

    @property
    def payouts_url(self) -> str:
        """Where payouts are made and read."""
        return f"{self.url}/v1/payouts"

    @property
    def headers(self) -> dict[str, str]:
        """Of every request."""
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured, and what a reader should know beside it."""

    document: dict[str, Any]
    accepted_count: int
    open_count: int
    """Accepted, and without an end when the time was up."""
    refusals: tuple[str, ...]
    """For each way in which a payout was refused: how many, and why the first of them was."""


def base_url(given: str) -> str:
    """The address without what follows its path.

    Raises:
        CannotMeasure: it is none.
    """
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise CannotMeasure(
            f"--against {given!r} is not a base URL.", "Say http://HOST:PORT or https://HOST, without /v1."
        )
    return given.rstrip("/").removesuffix("/v1")


async def look(order: Order) -> None:
    """See, without making anything, whether payouts can be read there with this token.

    Raises:
        CannotMeasure: they cannot.
    """
    asked = f"{order.payouts_url}?limit=1"
    try:
        async with _session() as http, http.get(asked, headers=order.headers) as answer:
            status, said = answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError, ValueError) as away:
        raise CannotMeasure(
            f"Nobody answers at {order.url}: {str(away) or type(away).__name__}.",
            "Is it up, and is the address right? Nothing was made.",
        ) from None
    if status in (401, 403):
        raise CannotMeasure(
            f"The token is refused: {_why(status, said)}",
            "Set NEPXY_TOKEN to a client's token with payouts:write and payouts:read. Nothing was made.",
        )
    if status != 200 or "items" not in _document(said):
        raise CannotMeasure(
            f"{order.payouts_url} does not list payouts: {_why(status, said)}",
            "Is this NepXy's address, without /v1, and is the engine ready (/readyz)? Nothing was made.",
        )


async def measure(order: Order) -> Figures:
    """Post so many at a modest pace, then read them in turn until each has its end."""
    async with _session() as http:
        load = Load(http, order.payouts_url, order.headers, purses=(order.purse,))
        posted = await load.so_many_at_a_pace(order.payouts_count, order.per_s)
        followed = await _follow(http, order, posted)
    document = {
        "accepted": posted.taken_count,
        "accepted_per_s": round(posted.taken_count / posted.duration_s, 2),
        "refused": {str(status): count for status, count in posted.refused.items()},
        "accept_ms": _rounded(posted.latencies_s),
        "read_ms": _rounded(followed.reads_s),
        "reads_failed": followed.failed_count,
        "settle_ms": _rounded(followed.settle_s),
        "statuses": dict(Counter(followed.statuses.values())),
    }
    refusals = tuple(
        f"{count} refused: {_why(status, posted.first_words[status])}"
        for status, count in posted.refused.items()
    )
    return Figures(
        document=document,
        accepted_count=posted.taken_count,
        open_count=sum(status not in FINAL for status in followed.statuses.values()),
        refusals=refusals,
    )


@dataclass(slots=True)
class _Followed:
    statuses: dict[str, str]
    settle_s: list[float] = field(default_factory=list)
    reads_s: list[float] = field(default_factory=list)
    failed_count: int = 0


async def _follow(http: aiohttp.ClientSession, order: Order, posted: Posted) -> _Followed:
    """Ask for each payout in turn until it has its end or the time is up."""
    began_s = perf_counter()
    followed = _Followed(dict.fromkeys(posted.transaction_ids, "unread"))
    while perf_counter() - began_s < order.wait_s:
        left = [one for one, status in followed.statuses.items() if status not in FINAL]
        if not left:
            break
        for transaction_id in left:
            await _read(http, order, transaction_id, followed)
        await asyncio.sleep(POLL_S)
    return followed


async def _read(http: aiohttp.ClientSession, order: Order, transaction_id: str, followed: _Followed) -> None:
    began_s = perf_counter()
    try:
        async with http.get(f"{order.payouts_url}/{transaction_id}", headers=order.headers) as answer:
            status, document = answer.status, _document(await answer.read())
    except (aiohttp.ClientError, TimeoutError):
        status, document = 0, {}
    if status != 200:
        # The payout is where it was: it is asked for again.
        followed.failed_count += 1
        return
    followed.reads_s.append(perf_counter() - began_s)
    followed.statuses[transaction_id] = str(document["status"])
    if document["status"] in FINAL:
        followed.settle_s.append(_duration_s(document))


def _session() -> aiohttp.ClientSession:
    return session(timeout_s=30)


def _duration_s(document: Mapping[str, Any]) -> float:
    """From acceptance to the end, by the deployment's own clock."""
    ended = document.get("settled_at") or document["updated_at"]
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(document["created_at"])).total_seconds()


def _rounded(durations_s: Sequence[float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in percentiles(durations_s).items()}


def _why(status: int, said: bytes) -> str:
    """What a refusal says, in a line."""
    document = _document(said)
    if "code" not in document:
        return " ".join(filter(None, (f"HTTP {status}" if status else "", _text(said))))
    fields = [f"{one['name']}: {one['problem']}" for one in document.get("fields", ())]
    return "; ".join((f"{status} {document['code']}: {document.get('detail', '')}".rstrip(": "), *fields))


def _text(said: bytes) -> str:
    return " ".join(said.decode(errors="replace").split())[:WORDS_MAX]


def _document(said: bytes) -> dict[str, Any]:
    """The JSON object of an answer; empty: it is none."""
    try:
        found = orjson.loads(said)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
