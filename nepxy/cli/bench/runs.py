"""One run: so many payouts through one program, each settled, and what that cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any, Final

from nepxy.cli.bench.load import Posted
from nepxy.cli.bench.postgres import Counted, Server, counted
from nepxy.cli.bench.towns import RunFailed, Town

REPORT_S: Final = 1.1
"""PostgreSQL's sessions tell what they counted at most once a second, and then with their next statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Figures of one run, as measured."""

    taken_count: int
    settled_per_s: float
    accepted_per_s: float
    cpu_ms_a_payout: float
    """Of the program alone: not of PostgreSQL, the provider or the load."""
    wal_bytes_a_payout: float
    rss_mib: float
    accept_ms: dict[str, float] = field(default_factory=dict)


async def settle(town: Town, server: Server, payouts_count: int, *, at_once: int) -> Run:
    """Post so many as fast as they are answered, and wait until all are reported paid."""
    load = town.load()
    before = await town.counts()
    wal, cpu_s, began_s = server.wal_bytes(), town.program.cpu_s(), perf_counter()
    posted = await load.as_fast_as_answered(payouts_count, at_once=at_once)
    refuse_refusals(town, posted, payouts_count)
    await town.until_reported(before["webhooks_taken"] + posted.taken_count)
    took_s = perf_counter() - began_s
    return Run(
        taken_count=posted.taken_count,
        settled_per_s=posted.taken_count / took_s,
        accepted_per_s=posted.taken_count / posted.duration_s,
        cpu_ms_a_payout=1000 * (town.program.cpu_s() - cpu_s) / posted.taken_count,
        wal_bytes_a_payout=(server.wal_bytes() - wal) / posted.taken_count,
        rss_mib=town.program.rss_bytes() / 2**20,
        accept_ms=percentiles(posted.latencies_s),
    )


async def counted_now(town: Town) -> Counted:
    """PostgreSQL's counts of this town, with everything in them that was done so far, and one payout more."""
    before = await town.counts()
    await asyncio.sleep(REPORT_S)
    await town.load().one()
    await town.until_reported(before["webhooks_taken"] + 1)
    return await asyncio.to_thread(counted, town.database_url)


def costs(before: Counted, after: Counted) -> dict[str, float]:
    """What a payout cost PostgreSQL between two counts."""
    payouts = max(1, after.inserts - before.inserts)
    updates = after.updates - before.updates
    return {
        "commits_a_payout": (after.commits - before.commits) / payouts,
        "updates_a_payout": updates / payouts,
        "hot_share": (after.hot_updates - before.hot_updates) / max(1, updates),
    }


def medians(runs: Sequence[Run]) -> dict[str, Any]:
    """Of each figure the median; the runs themselves go with it."""
    names = (
        *("settled_per_s", "accepted_per_s", "cpu_ms_a_payout"),
        *("wal_bytes_a_payout", "rss_mib"),
    )
    found: dict[str, Any] = {name: median(getattr(run, name) for run in runs) for name in names}
    found["accept_ms"] = {name: median(run.accept_ms[name] for run in runs) for name in runs[0].accept_ms}
    found["settled_per_s_of_runs"] = [run.settled_per_s for run in runs]
    return found


def percentiles(latencies_s: Sequence[float]) -> dict[str, float]:
    """Milliseconds: p50, p99, p99.9 and the longest."""
    ordered = sorted(latencies_s)
    if not ordered:
        return {}

    def at(share: float) -> float:
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": 1000 * ordered[-1]}


async def check(town: Town, accepted_count: int) -> dict[str, int]:
    """Nothing lost, nothing twice: the invariants that make the figures mean something.

    Raises:
        RunFailed: a payout that was accepted is not settled, or one was submitted again.
    """
    counts, statuses = await town.counts(), await asyncio.to_thread(town.statuses)
    confirmed, all_count = statuses.get("CONFIRMED", 0), sum(statuses.values())
    if not (confirmed == all_count == accepted_count) or counts["repeated"] or counts["submits"] != confirmed:
        raise RunFailed(
            f"{town.name}: of {accepted_count} accepted payouts {confirmed} are CONFIRMED ({statuses}); "
            f"the provider saw {counts['submits']} submits, {counts['repeated']} of them again"
        )
    return {"accepted": accepted_count, "settled": confirmed, "submitted_twice": counts["repeated"]}


def refuse_refusals(town: Town, posted: Posted, wanted_count: int) -> None:
    """Raise where a load within the program's means was not taken whole."""
    if posted.taken_count != wanted_count:
        raise RunFailed(
            f"{town.name} took {posted.taken_count} of {wanted_count}; it refused {posted.refused}"
        )


async def saturation_per_s(town: Town, server: Server, payouts_count: int, *, at_once: int) -> float:
    """Payouts a second that this program settles when it has as many as it likes."""
    return (await settle(town, server, payouts_count, at_once=at_once)).settled_per_s
