"""One bench: the scenarios one after the other, everything stopped at the end, however it ends."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from nepxy.cli.bench import report, speed, standing, strain
from nepxy.cli.bench.machine import describe
from nepxy.cli.bench.postgres import server
from nepxy.cli.bench.processes import ProgramFailed
from nepxy.cli.bench.scenario import Result, Stage
from nepxy.cli.bench.sizes import Sizes
from nepxy.cli.bench.towns import RunFailed

Scenario = Callable[[Stage], Awaitable[Result]]

SCENARIOS: Final[dict[str, Scenario]] = {
    # First, because it finds the saturation rate that others go by.
    "end_to_end_50": partial(speed.end_to_end, latency_ms=50),
    "end_to_end_500": partial(speed.end_to_end, latency_ms=500),
    "accept_latency": speed.accept_latency,
    "webhook_burst": speed.webhook_burst,
    "reads_while_writing": speed.reads_while_writing,
    "recovery": standing.recovery,
    "memory": standing.memory,
    "dead_provider": strain.dead_provider,
    "settled_rows": standing.settled_rows,
    "back_pressure": strain.back_pressure,
}


async def run(
    names: Sequence[str],
    *,
    sizes: Sizes,
    database_url: str,
    tell: Callable[[str, str], None],
    done: Callable[[Result], None] = lambda result: None,
) -> tuple[dict[str, str | int | float], list[Result]]:
    """Run these scenarios; the machine, and their results.

    Args:
        names: of `SCENARIOS`.
        sizes: how much of everything.
        database_url: a server on which databases may be made; empty: an embedded one.
        tell: shows the scenario and what it does.
        done: told of each result at once, so that an interrupted bench has shown what it had.
    """
    folder = Path(tempfile.mkdtemp(prefix="nepxy-bench-logs-"))
    results = []
    try:
        with server(database_url) as postgres:
            machine = describe(postgres.version)
            stage = Stage(server=postgres, folder=folder, sizes=sizes)
            for name in names:
                stage.tell = partial(tell, name)
                stage.tell("starting")
                result = await _result_of(name, stage)
                results.append(result)
                done(result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return machine, results


async def _result_of(name: str, stage: Stage) -> Result:
    """Its result; a scenario that fails takes no figures of others along."""
    try:
        return await SCENARIOS[name](stage)
    except (ProgramFailed, RunFailed) as error:
        return Result(
            name=name, title=f"{name}: no figures", remarks=[f"It failed: {error}"], failed=str(error)
        )


def run_and_write(
    names: Sequence[str],
    *,
    sizes: Sizes,
    database_url: str,
    folder: Path,
    tell: Callable[[str, str], None],
    done: Callable[[Result], None],
) -> tuple[Path, ...] | None:
    """`run`, and write its report; None where it was interrupted, with everything stopped all the same."""

    async def main() -> tuple[dict[str, str | int | float], list[Result]]:
        task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else lambda: None)
        return await run(names, sizes=sizes, database_url=database_url, tell=tell, done=done)

    with suppress(asyncio.CancelledError):
        machine, results = uvloop.run(main())
        return report.write(folder, sizes.name, machine=machine, sizes=asdict(sizes), results=results)
    return None
