"""`python -m tests.simulation`: run seeds; print what was injected, and every seed that broke a rule.

docs/simulation.md says how to read it.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.simulation.run import Report, default_jobs, run_seed, run_seeds

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(width=140)
SHOWN_MAX = 10


@app.command()
def simulate(
    seeds: Annotated[str, typer.Option(help="How many, from 0; or a range, as 200-299.")] = "1000",
    seed: Annotated[int | None, typer.Option(help="Replay this one, and tell its story.")] = None,
    real: Annotated[
        bool, typer.Option(help="All four providers with the contracts of their own adapters.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Processes at once; 0: one a core.")] = 0,
) -> None:
    """Run the engine's real actors through storms of faults, and hold the outcome against the money rules."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # A set's order must be the same in a replay; Python fixes it only at its start.
        again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    if seed is not None:
        raise typer.Exit(_replay(seed, real=real))
    first, _, last = seeds.partition("-")
    chosen = range(int(first), int(last) + 1) if last else range(int(first))
    raise typer.Exit(_many(chosen, jobs or default_jobs(), real=real))


def _replay(seed: int, *, real: bool) -> int:
    report = run_seed(seed, real=real, with_story=True)
    for line in report.story:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    _show_violations(report, real=real)
    console.print(f"fingerprint {report.fingerprint}")
    return 1 if report.violations else 0


def _many(seeds: range, jobs: int, *, real: bool) -> int:
    began_s = time.monotonic()
    injected: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    reviews: Counter[str] = Counter()
    contracts: Counter[tuple[str, str]] = Counter()
    failed: list[Report] = []
    steps = payments = discrepancies = 0
    virtual_s = 0.0
    for report in track(
        run_seeds(seeds, jobs=jobs, real=real), "simulating", total=len(seeds), console=console
    ):
        injected.update(report.injected)
        statuses.update(report.statuses)
        reviews.update(report.reviews)
        contracts.update(report.contracts)
        steps += report.steps
        payments += report.payments
        discrepancies += report.discrepancies
        virtual_s += report.virtual_s
        if report.violations:
            failed.append(report)
    _table("Faults injected", injected)
    _table("Why in REVIEW", reviews)
    if real:
        _table("Payouts by contract", Counter({": ".join(key): count for key, count in contracts.items()}))
    figures = ", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items()))
    console.print(
        f"{len(seeds):,} seeds, {sum(statuses.values()):,} payouts ({figures}), {payments:,} payments, "
        f"{discrepancies:,} discrepancies; {steps:,} steps, {virtual_s / 3600:,.0f} virtual hours "
        f"in {time.monotonic() - began_s:.0f} s"
    )
    for report in failed[:SHOWN_MAX]:
        _show_violations(report, real=real)
    console.print(f"{len(failed)} of {len(seeds):,} seeds broke a rule")
    return 1 if failed else 0


def _table(title: str, counts: Counter[str]) -> None:
    table = Table("", "", title=title, show_header=False)
    for name, count in sorted(counts.items()):
        table.add_row(name, f"{count:,}")
    console.print(table)


def _show_violations(report: Report, *, real: bool) -> None:
    for violation in report.violations:
        console.print(f"seed {report.seed}: {violation}", markup=False, highlight=False, soft_wrap=True)
    if report.violations:
        console.print(f"replay: make simulate SEED={report.seed}{' REAL=1' if real else ''}")


if __name__ == "__main__":
    app()
