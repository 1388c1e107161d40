"""A deployment's own figures: accept latency and reads, and how long its own provider takes. It makes payouts."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, Final

import aiohttp

from nepxy.cli.bench.load import Load, Posted, Purse
from nepxy.cli.bench.runs import percentiles

PAYOUTS_MAX: Final = 1_000
FINAL: Final = frozenset({"CONFIRMED", "FAILED", "CANCELLED", "REVIEW"})
POLL_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked of a deployment."""

    url: str
    token: str
    payouts_count: int
    per_s: float
    wait_s: float
    """How long the payouts' ends are waited for."""
    purse: Purse


async def measure(order: Order) -> dict[str, Any]:
    """Post so many at a modest pace, follow them to their end, and read them meanwhile.

    Raises:
        aiohttp.ClientError: the deployment cannot be reached.
    """
    headers = {"Authorization": f"Bearer {order.token}"}
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        load = Load(http, f"{order.url}/v1/payouts", headers, purses=(order.purse,))
        posted = await load.at_a_pace(order.per_s, duration_s=order.payouts_count / order.per_s)
        ends, settle_s, reads_s = await _follow(http, order, headers, posted)
    return {
        "accepted": posted.taken_count,
        "refused": {str(status): count for status, count in posted.refused.items()},
        "accept_ms": percentiles(posted.latencies_s),
        "read_ms": percentiles(reads_s),
        "settle_ms": percentiles(settle_s),
        "statuses": dict(ends),
    }


async def _follow(
    http: aiohttp.ClientSession, order: Order, headers: dict[str, str], posted: Posted
) -> tuple[Counter[str], list[float], list[float]]:
    """Ask for each payout in turn until it is final or the time is up; statuses, durations, and each read's."""
    began_s = perf_counter()
    statuses = dict.fromkeys(posted.transaction_ids, "unread")
    settle_s: list[float] = []
    reads_s: list[float] = []
    while perf_counter() - began_s < order.wait_s:
        left = [one for one, status in statuses.items() if status not in FINAL]
        if not left:
            break
        for transaction_id in left:
            read_s = perf_counter()
            async with http.get(f"{order.url}/v1/payouts/{transaction_id}", headers=headers) as answer:
                document = await answer.json(content_type=None)
            reads_s.append(perf_counter() - read_s)
            statuses[transaction_id] = str(document.get("status", f"HTTP {answer.status}"))
            if statuses[transaction_id] in FINAL:
                settle_s.append(_duration_s(document))
        await asyncio.sleep(POLL_S)
    return Counter(statuses.values()), settle_s, reads_s


def _duration_s(document: dict[str, Any]) -> float:
    """From acceptance to the end, by the deployment's own clock."""
    ended = document.get("settled_at") or document["updated_at"]
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(document["created_at"])).total_seconds()
