"""Scenarios of speed: end to end, the latency of accepting, a burst of webhooks, reads while writing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from time import perf_counter
from typing import Final

from nepxy.cli.bench.load import Posted
from nepxy.cli.bench.runs import (
    Run,
    check,
    costs,
    counted_now,
    medians,
    percentiles,
    refuse_refusals,
    settle,
)
from nepxy.cli.bench.scenario import Result, Row, Stage, against_floor
from nepxy.cli.bench.towns import RunFailed, Town, floor_town, nepxy_town

FLOOR_PER_S: Final = (1_400.0, 1_700.0)
"""What the floor settled on the 2-core machine that the targets were made on."""


@asynccontextmanager
async def both(stage: Stage) -> AsyncIterator[tuple[Town, Town]]:
    """NepXy and the floor, warm."""
    room = stage.room()
    async with AsyncExitStack() as stack:
        towns = (
            await stack.enter_async_context(nepxy_town(stage.server, room)),
            await stack.enter_async_context(floor_town(stage.server, room)),
        )
        for town in towns:
            stage.tell(f"warming {town.name} up")
            await settle(town, stage.server, stage.sizes.warm_up, at_once=stage.sizes.at_once)
        yield towns


async def end_to_end(stage: Stage, *, latency_ms: int) -> Result:
    """From the POST to CONFIRMED by a signed webhook, as many as can be had."""
    sizes = stage.sizes
    result = Result(name=f"end_to_end_{latency_ms}", title=f"End to end, provider latency {latency_ms} ms")
    async with both(stage) as towns:
        runs: dict[str, list[Run]] = {town.name: [] for town in towns}
        before = {}
        for town in towns:
            await town.habits(latency_s=latency_ms / 1000)
            before[town.name] = await counted_now(town)
        for n in range(sizes.runs):
            for town in towns:
                stage.tell(f"run {n + 1} of {sizes.runs}: {town.name}")
                runs[town.name].append(await settle(town, stage.server, sizes.run, at_once=sizes.at_once))
        for town in towns:
            figures = medians(runs[town.name]) | costs(before[town.name], await counted_now(town))
            result.detail[town.name] = figures
            # Two payouts went with the counts, and the warm-up came before.
            accepted = sizes.warm_up + sizes.runs * sizes.run + 2
            checked = await check(town, accepted)
            if town.name == "nepxy":
                result.checked = checked
    nepxy, floor = result.detail["nepxy"], result.detail["floor"]
    if latency_ms == 50:
        stage.saturation = {name: result.detail[name]["settled_per_s"] for name in ("nepxy", "floor")}
        _remark_on_the_floor(result, floor["settled_per_s"])
    result.rows = [
        against_floor("settled", nepxy["settled_per_s"], floor["settled_per_s"], "/s", at_least=0.7),
        *(
            against_floor(what, nepxy[name] * scale, floor[name] * scale, unit)
            for what, name, scale, unit in (
                ("CPU of the program a payout", "cpu_ms_a_payout", 1, "ms"),
                ("WAL a payout", "wal_bytes_a_payout", 1, "B"),
                ("commits a payout", "commits_a_payout", 1, ""),
                ("updates of its row a payout", "updates_a_payout", 1, ""),
                ("of these, HOT", "hot_share", 100, "%"),
                ("memory of the program", "rss_mib", 1, "MiB"),
            )
        ),
    ]
    return result


async def accept_latency(stage: Stage) -> Result:
    """How long a client waits for its 202 when the machine is half busy."""
    sizes = stage.sizes
    result = Result(name="accept_latency", title="Accepting, at half of each program's saturation")
    async with both(stage) as towns:
        await need_saturation(stage, towns)
        accepted = {town.name: (await town.counts())["submits"] for town in towns}
        found: dict[str, list[dict[str, float]]] = {town.name: [] for town in towns}
        for n in range(min(2, sizes.runs)):
            for town in towns:
                pace = stage.saturation[town.name] / 2
                stage.tell(f"run {n + 1}: {town.name} at {pace:.0f}/s")
                posted = await _paced(town, pace, sizes.pace_s)
                refuse_refusals(town, posted, int(pace * sizes.pace_s))
                accepted[town.name] += posted.taken_count
                found[town.name].append(percentiles(posted.latencies_s))
        for town in towns:
            checked = await check(town, accepted[town.name])
            if town.name == "nepxy":
                result.checked = checked
    figures = {
        name: {key: median(one[key] for one in runs) for key in runs[0]} for name, runs in found.items()
    }
    result.detail = figures | {"pace_per_s": {name: rate / 2 for name, rate in stage.saturation.items()}}
    result.rows = [
        against_floor(
            name,
            figures["nepxy"][name],
            figures["floor"][name],
            "ms",
            **({"at_most": 3} if name == "p99" else {}),
        )
        for name in ("p50", "p99", "p99.9")
    ]
    return result


async def webhook_burst(stage: Stage) -> Result:
    """Everything is reported paid at once, as after a provider's outage."""
    sizes = stage.sizes
    result = Result(name="webhook_burst", title=f"{sizes.burst:,} webhooks at once")
    async with both(stage) as towns:
        for town in towns:
            before = await town.counts()
            await town.habits(webhook_after_s=-1)
            stage.tell(f"{town.name}: {sizes.burst:,} payouts that nobody reports")
            posted = await town.load().as_fast_as_answered(sizes.burst, at_once=sizes.at_once)
            refuse_refusals(town, posted, sizes.burst)
            await _until_submitted(town, before["submits"] + sizes.burst)
            stage.tell(f"{town.name}: all are reported")
            cpu_s, began_s = town.program.cpu_s(), perf_counter()
            async with town.http.post(f"{town.provider.url}/burst") as answer:
                answer.raise_for_status()
            await town.until_reported(before["webhooks_taken"] + sizes.burst)
            took_s = perf_counter() - began_s
            result.detail[town.name] = {
                "settled_per_s": sizes.burst / took_s,
                "cpu_ms_a_webhook": 1000 * (town.program.cpu_s() - cpu_s) / sizes.burst,
                "rss_mib": town.program.rss_bytes() / 2**20,
            }
            checked = await check(town, before["submits"] + sizes.burst)
            if town.name == "nepxy":
                result.checked = checked
    nepxy, floor = result.detail["nepxy"], result.detail["floor"]
    result.rows = [
        against_floor("settled by webhook", nepxy["settled_per_s"], floor["settled_per_s"], "/s"),
        against_floor(
            "CPU of the program a webhook", nepxy["cpu_ms_a_webhook"], floor["cpu_ms_a_webhook"], "ms"
        ),
    ]
    return result


async def reads_while_writing(stage: Stage) -> Result:
    """Clients that ask how their payouts stand, while others post at half of saturation. The floor has no reads."""
    sizes = stage.sizes
    result = Result(name="reads_while_writing", title="Reads while writing at half of saturation")
    async with both(stage) as towns:
        await need_saturation(stage, towns)
        town, pace = towns[0], stage.saturation["nepxy"] / 2
        before = await town.counts()
        first = await town.load().as_fast_as_answered(sizes.warm_up, at_once=sizes.at_once)
        await town.until_reported(before["webhooks_taken"] + first.taken_count)
        alone = await _paced(town, pace, sizes.pace_s)
        stop = asyncio.Event()
        stage.tell(f"{sizes.readers} readers beside {pace:.0f} payouts a second")
        readers = [asyncio.create_task(_read(town, first, stop)) for _ in range(sizes.readers)]
        try:
            beside = await _paced(town, pace, sizes.pace_s)
        finally:
            stop.set()
        latencies = [one for reads in await asyncio.gather(*readers) for one in reads]
        taken = first.taken_count + alone.taken_count + beside.taken_count
        result.checked = await check(town, before["submits"] + taken)
    reads, quiet, busy = map(percentiles, (latencies, alone.latencies_s, beside.latencies_s))
    result.detail = {"reads_ms": reads, "accept_ms": busy, "accept_without_reads_ms": quiet}
    result.rows = [
        Row(what="reads", nepxy=len(latencies) / beside.duration_s, unit="/s"),
        Row(what="a read, p50", nepxy=reads["p50"], unit="ms"),
        Row(what="a read, p99", nepxy=reads["p99"], unit="ms"),
        Row(what="accepting, p99, without reads", nepxy=quiet["p99"], unit="ms"),
        Row(what="accepting, p99, beside reads", nepxy=busy["p99"], unit="ms"),
    ]
    return result


async def need_saturation(stage: Stage, towns: tuple[Town, ...]) -> None:
    """Measure it, unless an earlier scenario has."""
    for town in towns:
        if town.name not in stage.saturation:
            stage.tell(f"finding how much {town.name} settles")
            run = await settle(town, stage.server, stage.sizes.run, at_once=stage.sizes.at_once)
            stage.saturation[town.name] = run.settled_per_s


async def _paced(town: Town, per_s: float, duration_s: float) -> Posted:
    before = await town.counts()
    posted = await town.load().at_a_pace(per_s, duration_s=duration_s)
    await town.until_reported(before["webhooks_taken"] + posted.taken_count)
    return posted


async def _read(town: Town, posted: Posted, stop: asyncio.Event) -> list[float]:
    latencies: list[float] = []
    while not stop.is_set():
        for transaction_id in posted.transaction_ids:
            began_s = perf_counter()
            url = f"{town.program.url}/v1/payouts/{transaction_id}"
            async with town.http.get(url, headers=town.headers) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RunFailed(f"a read was answered {answer.status}")
            latencies.append(perf_counter() - began_s)
            if stop.is_set():
                break
    return latencies


async def _until_submitted(town: Town, count: int) -> None:
    deadline_s = perf_counter() + 600
    while (await town.counts())["submits"] < count:
        town.program.check()
        if perf_counter() > deadline_s:
            raise RunFailed(f"{town.name} has not submitted everything within ten minutes")
        await asyncio.sleep(0.05)
    # The answers to the last ones are still to be recorded.
    await asyncio.sleep(1.0)


def _remark_on_the_floor(result: Result, per_s: float) -> None:
    low, high = FLOOR_PER_S
    if not low <= per_s <= high:
        result.remarks.append(
            f"The floor settled {per_s:.0f}/s, outside the {low:.0f} to {high:.0f}/s of a quiet 2-core machine: "
            "this machine is another one, or was busy. Ratios still compare; absolute figures do not."
        )
