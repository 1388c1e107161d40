"""Scenarios of what stands and waits: recovery, memory, and many settled payouts in the table."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict
from statistics import median
from time import perf_counter
from typing import Final

from nepxy.cli.bench.load import Posted
from nepxy.cli.bench.postgres import query
from nepxy.cli.bench.runs import check, refuse_refusals, settle
from nepxy.cli.bench.scenario import Result, Row, Stage
from nepxy.cli.bench.seed import SEEDED, seed_settled, seed_waiting
from nepxy.cli.bench.towns import RunFailed, Town, nepxy_town

FEW: Final = 20
QUIET_S: Final = 2.0
"""After a start, before its memory is measured."""
RECOVERY_S_MAX: Final = 600.0
FAR_S: Final = 6 * 3600.0
MIB: Final = 2**20
NEVER: Final = {"NEPXY_PASSIVATE_AFTER_S": "86400"}


async def recovery(stage: Stage) -> Result:
    """SIGKILL with so many payouts in flight: when is it ready, when does it accept, when has it taken all up."""
    waiting = stage.sizes.in_flight
    result = Result(name="recovery", title=f"Killed with {waiting:,} payouts in flight")
    room = _room_for(waiting)
    async with nepxy_town(stage.server, stage.room(), variables=room | NEVER) as town:
        await settle(town, stage.server, FEW, at_once=8)
        await town.habits(webhook_after_s=-1)
        posted = await town.load().as_fast_as_answered(FEW, at_once=8)
        await _until_in_memory(town, FEW)
        stage.tell(f"{waiting:,} payouts in flight are written")
        # Each is to have an actor again, and none is to be asked about while that is measured.
        await asyncio.to_thread(seed_waiting, town.database_url, waiting, due_in_s=1_800, spread_s=300)
        # What was held back stays held; a payout that comes later is reported as usual.
        await town.habits(webhook_after_s=0.05)
        town.program.kill()
        stage.tell("killed; it comes up again")
        began_s = perf_counter()
        town.program.launch()
        accepted = asyncio.create_task(_until_accepted(town))
        try:
            await town.program.until_up(town.up_path)
            ready_s = perf_counter() - began_s
            first_s = await accepted - began_s
            taken_s = await _until_recovered(town, waiting + FEW) - began_s
        finally:
            accepted.cancel()
        async with town.http.post(f"{town.provider.url}/burst") as answer:
            answer.raise_for_status()
        # Counted from the very start: the one that came after the kill may be reported before the burst.
        await town.until_reported(FEW + posted.taken_count + 1)
        result.checked = await check(town, FEW + posted.taken_count + 1)
        result.checked |= {"in_flight_kept": await asyncio.to_thread(_kept, town, waiting)}
        rss = town.program.rss_bytes()
    result.rows = [
        Row(what="ready after", nepxy=ready_s, unit="s"),
        Row(what="first new payout accepted after", nepxy=first_s, unit="s", target="≤ 2 s", met=first_s <= 2),
        Row(
            what="all taken up after", nepxy=taken_s, unit="s", target="a million in under 60 s",
            met=taken_s < 60 if waiting >= 1_000_000 else None,
        ),
        Row(what="taken up", nepxy=waiting / taken_s, unit="/s"),
        Row(what="memory then", nepxy=rss / MIB, unit="MiB"),
    ]  # fmt: skip
    return result


async def memory(stage: Stage) -> Result:
    """What a payout costs that waits in an actor, and one that waits in the table."""
    sizes = stage.sizes
    result = Result(name="memory", title="Memory of a payout that waits")
    room = _room_for(sizes.actors)
    async with nepxy_town(stage.server, stage.room(), variables=room | NEVER) as town:
        warm = min(sizes.warm_up, sizes.actors)
        await settle(town, stage.server, warm, at_once=sizes.at_once)
        before = await town.counts()
        await town.habits(webhook_after_s=-1)
        empty = town.program.rss_bytes()
        stage.tell(f"{sizes.actors:,} payouts that wait in actors")
        posted = await town.load().as_fast_as_answered(sizes.actors, at_once=sizes.at_once)
        refuse_refusals(town, posted, sizes.actors)
        await _until_in_memory(town, sizes.actors)
        an_actor = (town.program.rss_bytes() - empty) / sizes.actors
        async with town.http.post(f"{town.provider.url}/burst") as answer:
            answer.raise_for_status()
        await town.until_reported(before["webhooks_taken"] + sizes.actors)
        result.checked = await check(town, warm + sizes.actors)
    async with nepxy_town(stage.server, stage.room()) as town:
        await settle(town, stage.server, FEW, at_once=8)
        none_wait = await _rss_after_restart(town)
        stage.tell(f"{sizes.passivated:,} payouts that wait in the table")
        await asyncio.to_thread(seed_waiting, town.database_url, sizes.passivated, due_in_s=FAR_S)
        many_wait = await _rss_after_restart(town)
        result.checked |= {"passivated_kept": await asyncio.to_thread(_kept, town, sizes.passivated)}
    passivated = (many_wait - none_wait) / sizes.passivated
    tells = sizes.actors >= 10_000
    result.rows = [
        Row(
            what=f"an actor that waits, of {sizes.actors:,}", nepxy=an_actor, unit="B",
            target="≤ 4,096 B", met=an_actor <= 4096 if tells else None,
        ),
        Row(
            what=f"a payout passivated, of {sizes.passivated:,}", nepxy=passivated, unit="B",
            target="none", met=passivated < 50 if tells else None,
        ),
        Row(what="the program with none waiting", nepxy=none_wait / MIB, unit="MiB"),
        Row(what=f"the program with {sizes.passivated:,} passivated", nepxy=many_wait / MIB, unit="MiB"),
    ]  # fmt: skip
    return result


async def settled_rows(stage: Stage) -> Result:
    """Whether a payout costs more when many settled ones are in the table."""
    sizes = stage.sizes
    result = Result(name="settled_rows", title="Cost against the settled payouts in the table")
    found = []
    async with nepxy_town(stage.server, stage.room()) as town:
        await settle(town, stage.server, sizes.warm_up, at_once=sizes.at_once)
        accepted, seeded = sizes.warm_up, 0
        for size in sizes.settled:
            stage.tell(f"{size:,} settled payouts are written")
            await asyncio.to_thread(seed_settled, town.database_url, size - seeded)
            seeded = size
            # The pages that the copies have pushed out are read again.
            warm = await settle(town, stage.server, sizes.warm_up, at_once=sizes.at_once)
            accepted += warm.taken_count
            runs = []
            for n in range(sizes.runs):
                stage.tell(f"{size:,} settled: run {n + 1} of {sizes.runs}")
                runs.append(await settle(town, stage.server, sizes.run // 2, at_once=sizes.at_once))
            accepted += sum(run.taken_count for run in runs)
            found.append((size, runs))
        result.checked = await check(town, accepted)
    result.detail["runs"] = {str(size): [asdict(run) for run in runs] for size, runs in found}
    rates = [(size, median(run.settled_per_s for run in runs)) for size, runs in found]
    cpus = [(size, median(run.cpu_ms_a_payout for run in runs)) for size, runs in found]
    result.detail["curve"] = rates
    for (size, rate), (_, cpu) in zip(rates, cpus, strict=True):
        slower = 1 - rate / rates[0][1]
        row = Row(what=f"settled, beside {size:,} rows", nepxy=rate, unit="/s")
        if size:
            row = Row(
                what=row.what, nepxy=rate, unit="/s", target="within 10 % of an empty table",
                met=slower <= 0.1 if sizes.run >= 1_000 else None,
            )  # fmt: skip
        result.rows += [row, Row(what=f"CPU a payout, beside {size:,} rows", nepxy=cpu, unit="ms")]
    return result


def _room_for(payouts_count: int) -> dict[str, str]:
    """Memory for so many payouts of one provider: half of what there is belongs to others for good (OWN_SHARE)."""
    return {"NEPXY_PAYOUTS_IN_MEMORY_MAX": str(2 * payouts_count + 10_000)}


async def metric(town: Town, *names: str) -> tuple[float, ...]:
    """The sum of each metric's series, all of one look: to make all metrics takes tens of milliseconds."""
    async with town.http.get(f"{town.program.url}/metrics", headers=town.headers) as answer:
        text = await answer.text()
    found = [re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE) for name in names]
    for name, values in zip(names, found, strict=True):
        if not values:
            raise RunFailed(f"{name} is not among the metrics (HTTP {answer.status})")
    return tuple(sum(map(float, values)) for values in found)


async def _until_in_memory(town: Town, count: int) -> None:
    """Wait until so many actors wait for their provider, each with its reference recorded."""
    waiting = (
        "SELECT count(*) FROM app.mobile_money_payouts WHERE settled_at IS NULL AND provider_ref IS NOT NULL"
    )
    deadline_s = perf_counter() + RECOVERY_S_MAX
    while int((await asyncio.to_thread(query, town.database_url, waiting))[0][0]) < count:
        town.program.check()
        if perf_counter() > deadline_s:
            raise RunFailed(f"{count} payouts were accepted, and not all of them were submitted")
        await asyncio.sleep(0.1)
    (in_memory,) = await metric(town, "nepxy_payouts_in_memory")
    if in_memory != count:
        raise RunFailed(f"{count} payouts wait, and {in_memory:.0f} are in memory")


async def _until_accepted(town: Town) -> float:
    load, posted = town.load(), Posted()
    while True:
        posted = await load.one()
        if posted.taken_count:
            return perf_counter()
        await asyncio.sleep(0.02)


async def _until_recovered(town: Town, count: int) -> float:
    deadline_s = perf_counter() + RECOVERY_S_MAX
    while True:
        done, in_memory = await metric(town, "nepxy_recovery_done", "nepxy_payouts_in_memory")
        if done >= 1 and in_memory >= count:
            return perf_counter()
        town.program.check()
        if perf_counter() > deadline_s:
            raise RunFailed(
                f"not all of {count} payouts in flight were taken up within {RECOVERY_S_MAX:.0f} s"
            )
        # More often, the looks would keep the engine from what they measure.
        await asyncio.sleep(0.5)


async def _rss_after_restart(town: Town) -> int:
    await asyncio.to_thread(town.program.stop)
    await town.restart()
    before = await town.counts()
    posted = await town.load().as_fast_as_answered(FEW, at_once=8)
    await town.until_reported(before["webhooks_taken"] + posted.taken_count)
    await asyncio.sleep(QUIET_S)
    return town.program.rss_bytes()


def _kept(town: Town, count: int) -> int:
    """The seeded payouts, each as it was: on its way."""
    rows = query(
        town.database_url,
        "SELECT status, count(*) FROM app.mobile_money_payouts WHERE client_id = %s GROUP BY 1",
        (SEEDED,),
    )
    if dict(rows) != {"SENT": count}:
        raise RunFailed(f"of {count} payouts in flight there are now {dict(rows)}")
    return count
