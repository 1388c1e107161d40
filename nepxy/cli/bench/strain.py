"""Scenarios of strain: one provider dead among four, and twice as much as can be done."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Final

from nepxy.cli.bench.load import FLOOZ, MOMO, THUNES, TMONEY
from nepxy.cli.bench.postgres import query
from nepxy.cli.bench.processes import Program, free_port
from nepxy.cli.bench.runs import check, refuse_refusals
from nepxy.cli.bench.scenario import Result, Row, Stage
from nepxy.cli.bench.speed import both, need_saturation
from nepxy.cli.bench.towns import (
    CLIENT,
    STALL_S_MAX,
    RunFailed,
    Town,
    nepxy_town,
    second_stand_in,
    wallet_variables,
)
from nepxy.cli.dev_accounts import account_variables

PURSES: Final = (TMONEY, FLOOZ, MOMO, THUNES)
DEAD: Final = "TMONEY"
RAMP_S: Final = 2.0
"""Of an overload, until it counts."""
_CONFIRMED: Final = """
SELECT provider, count(*) FILTER (WHERE status = 'CONFIRMED'), count(*) FROM app.mobile_money_payouts
WHERE client_id = %s GROUP BY 1
"""


async def dead_provider(stage: Stage) -> Result:
    """One provider takes connections and never answers; the throughput of the three others against all healthy."""
    count, sizes = stage.sizes.of_each, stage.sizes
    result = Result(name="dead_provider", title="One provider dead, three work")
    found: dict[str, list[float]] = {"healthy": [], "one_dead": []}
    async with _four_town(stage) as town:
        stage.tell("warming four providers up")
        wanted = await _three(town, max(5, count // 10), sizes.at_once, 0, everybody=True)
        for state, rates in found.items():
            if state == "one_dead":
                await town.habits(dead=True)
            for n in range(min(2, sizes.runs)):
                stage.tell(f"{state.replace('_', ' ')}: run {n + 1}")
                began_s = perf_counter()
                everybody = state == "healthy"
                wanted = await _three(town, count, sizes.at_once, wanted, everybody=everybody)
                rates.append(3 * count / (perf_counter() - began_s))
        rows = await asyncio.to_thread(query, town.database_url, _CONFIRMED, (CLIENT,))
        if {name: all_count for name, _, all_count in rows} != {purse.provider: wanted for purse in PURSES}:
            raise RunFailed(f"of {wanted} payouts for each provider there are {rows}")
        result.checked = {"accepted": 4 * wanted, "settled": sum(int(settled) for _, settled, _ in rows)}
    healthy, one_dead = median(found["healthy"]), median(found["one_dead"])
    result.detail = dict(found)
    result.rows = [
        Row(what="the three settle, all four healthy", nepxy=healthy, unit="/s"),
        Row(what="the three settle, the fourth dead", nepxy=one_dead, unit="/s"),
        Row(
            what="the second to the first", nepxy=one_dead / healthy, unit="", target="≥ 0.95",
            met=one_dead / healthy >= 0.95 if count >= 100 else None,
        ),
    ]  # fmt: skip
    return result


async def back_pressure(stage: Stage) -> Result:
    """Twice as many payouts as can be settled: what is done, what is refused, and what becomes of the rest."""
    sizes = stage.sizes
    result = Result(name="back_pressure", title="Twice the saturation rate")
    async with both(stage) as towns:
        await need_saturation(stage, towns)
        town, best = towns[0], stage.saturation["nepxy"]
        before = await town.counts()
        rss_before = town.program.rss_bytes()
        stage.tell(f"{2 * best:.0f} payouts a second for {sizes.pace_s:.0f} s")
        watch = asyncio.create_task(_watch(town, sizes.pace_s))
        posted = await town.load().at_a_pace(2 * best, duration_s=sizes.pace_s)
        watched = await watch
        stage.tell("what was accepted is settled")
        await town.until_reported(before["webhooks_taken"] + posted.taken_count)
        result.checked = await check(town, before["submits"] + posted.taken_count)
    refused = {status: count for status, count in posted.refused.items() if status in (429, 503)}
    wrong = {status: count for status, count in posted.refused.items() if status not in (429, 503)}
    if posted.without_retry_after:
        raise RunFailed(f"{posted.without_retry_after} refusals did not say when to come again")
    result.detail = {
        "best_per_s": best,
        "offered": int(2 * best * sizes.pace_s),
        "taken": posted.taken_count,
        "refused": posted.refused,
    }
    tells = sizes.run >= 1_000
    result.rows = [
        Row(what="best throughput", nepxy=best, unit="/s"),
        Row(
            what="settled under twice as much", nepxy=watched.settled_per_s, unit="/s", target="≥ 0.9 of the best",
            met=watched.settled_per_s >= 0.9 * best if tells else None,
        ),
        Row(what="accepted of what was offered", nepxy=100 * posted.taken_count / (2 * best * sizes.pace_s), unit="%"),
        Row(what="refused with 429 or 503 and Retry-After", nepxy=sum(refused.values()), unit=""),
        Row(
            what="refused otherwise, or not answered", nepxy=sum(wrong.values()), unit="", target="none",
            met=not wrong,
        ),
        Row(what="memory before", nepxy=rss_before / 2**20, unit="MiB"),
        Row(what="memory at most", nepxy=watched.rss_bytes_max / 2**20, unit="MiB"),
    ]  # fmt: skip
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    settled_per_s: float
    rss_bytes_max: int


async def _watch(town: Town, duration_s: float) -> _Watched:
    """Settled a second between the ramp and the end, and the most memory."""
    await asyncio.sleep(min(RAMP_S, duration_s / 4))
    began_s, before, rss = perf_counter(), (await town.counts())["webhooks_taken"], 0
    until_s = began_s + duration_s - min(RAMP_S, duration_s / 4)
    while perf_counter() < until_s:
        rss = max(rss, town.program.rss_bytes())
        await asyncio.sleep(0.1)
    settled = (await town.counts())["webhooks_taken"] - before
    return _Watched(settled_per_s=settled / (perf_counter() - began_s), rss_bytes_max=rss)


@asynccontextmanager
async def _four_town(stage: Stage) -> AsyncIterator[Town]:
    """TMONEY and FLOOZ at cheap stand-ins, MOMO and THUNES at the sandbox, which speaks their protocols."""
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    flooz_port, sandbox_port, folder = free_port(), free_port(), stage.room()
    sandbox_url = f"http://127.0.0.1:{sandbox_port}"
    engine_port = free_port()
    engine_url = f"http://127.0.0.1:{engine_port}"
    variables = account_variables(sandbox=sandbox_url, engine=engine_url, key=key, webhook_secret=secret)
    variables |= wallet_variables("FLOOZ", f"http://127.0.0.1:{flooz_port}", secret)
    # MTN's callbacks are hints: one that comes too early is made good by a poll, which must not take a minute.
    variables |= {"MOMO_POLL_BASE_S": "1", "MOMO_POLL_CAP_S": "2", "MOMO_CONCURRENCY_MAX": "1000"}
    variables |= {"THUNES_CONCURRENCY_MAX": "1000"}
    # The town brings TMONEY's own.
    variables = {name: value for name, value in variables.items() if not name.startswith("TMONEY_")}
    sandbox = Program(
        "sandbox",
        (
            *("-m", "nepxy", "sandbox", "--port", str(sandbox_port), "--api-key", key),
            *("--webhook-url", f"{engine_url}/v1/webhooks/tmoney", "--webhook-secret", secret),
            *("--settle-delay-s", "0.05"),
        ),
        url=sandbox_url,
        folder=folder,
    )
    flooz: Program | None = None
    try:
        await sandbox.start("/healthz")
        async with nepxy_town(stage.server, folder, variables=variables, port=engine_port) as town:
            flooz = second_stand_in(town, "flooz", flooz_port, secret, folder)
            await flooz.start("/counts")
            yield town
    finally:
        if flooz is not None:
            flooz.kill()
        sandbox.kill()


async def _three(town: Town, count: int, at_once: int, wanted: int, *, everybody: bool) -> int:
    """Post so many for each provider, and wait until those of the three, or of everybody, are settled."""
    posted = await town.load(PURSES).as_fast_as_answered(4 * count, at_once=at_once)
    refuse_refusals(town, posted, 4 * count)
    names = {purse.provider for purse in PURSES if everybody or purse.provider != DEAD}
    last, last_s = -1, perf_counter()
    while True:
        rows = await asyncio.to_thread(query, town.database_url, _CONFIRMED, (CLIENT,))
        settled = {name: int(confirmed) for name, confirmed, _ in rows}
        if all(settled.get(name, 0) >= wanted + count for name in names):
            return wanted + count
        if sum(settled.values()) != last:
            last, last_s = sum(settled.values()), perf_counter()
        elif perf_counter() - last_s > STALL_S_MAX:
            raise RunFailed(
                f"of {wanted + count} payouts for each provider only these are settled: {settled}"
            )
        # The count goes over all of the client's payouts: more often, it takes a third of a core from what it counts.
        await asyncio.sleep(0.25)
