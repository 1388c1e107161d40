"""`nepxy bench`: figures of this machine, or of a deployment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from nepxy.cli.ops.person import REFUSED, WRONG
from nepxy.cli.parts import stop_with
from nepxy.config.environ import process_environ

if TYPE_CHECKING:
    from nepxy.cli.bench.against import Order
    from nepxy.cli.bench.scenario import Result

TOKEN_VARIABLE = "NEPXY_TOKEN"  # noqa: S105 - the variable's name


def bench(
    scenario: Annotated[
        list[str] | None, typer.Option(help="One of them only; again for more. Unknown ones are listed.")
    ] = None,
    size: Annotated[str, typer.Option(help="tiny, usual or full.")] = "usual",
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
    against: Annotated[
        str,
        typer.Option(help=f"A deployment's URL: makes real payouts there, by the token in {TOKEN_VARIABLE}."),
    ] = "",
    payouts: Annotated[int, typer.Option(min=1, max=1_000, help="With --against: how many.")] = 50,
    per_s: Annotated[float, typer.Option(min=0.1, max=100, help="With --against: how many a second.")] = 5.0,
    wait_s: Annotated[float, typer.Option(min=1, max=3600, help="With --against: for their end.")] = 120.0,
    provider: Annotated[str, typer.Option(help="With --against: whose payouts.")] = "TMONEY",
    phone: Annotated[
        str, typer.Option(help="With --against: all but the last four digits; else one of that provider.")
    ] = "",
    country: Annotated[
        str, typer.Option(help="With --against: of that phone; else that provider's usual one.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="With --against: do not ask.")] = False,
) -> None:
    """Measure: scenarios on this machine beside the floor program, or a deployment with its own providers."""
    if not against:
        _here(scenario or [], size, out)
        return
    if scenario:
        stop_with("--scenario is for this machine.", "Leave it or --against out.")
    from nepxy.cli.bench.against import PURSES, CannotMeasure, Order, base_url

    known = PURSES.get(provider.upper())
    if known is None:
        stop_with(f"--provider is one of {', '.join(PURSES)}, not {provider!r}")
    token = process_environ().get(TOKEN_VARIABLE, "").strip()
    if not token:
        hint = "Set it to a client's token with payouts:write and payouts:read."
        stop_with(f"{TOKEN_VARIABLE} is not set.", hint)
    try:
        order = Order(
            url=base_url(against),
            token=token,
            payouts_count=payouts,
            per_s=per_s,
            wait_s=wait_s,
            purse=replace(known, phone=phone or known.phone, country=country or known.country),
        )
        _there(order, yes=yes)
    except CannotMeasure as wrong:
        stop_with(wrong.message, wrong.hint)


def _there(order: Order, *, yes: bool) -> None:
    """Ask, make the payouts, and print; stdout is the figures alone."""
    from nepxy.cli.bench.against import look, measure

    asyncio.run(look(order))
    purse = order.purse
    typer.echo(
        f"This makes {order.payouts_count} payouts of 1,000 to 1,999 {purse.currency} at {order.url}, "
        f"by {purse.provider} to {purse.phone}….\nWhere the account is real, so is the money.",
        err=True,
    )
    if not yes and not typer.confirm("Make them?", err=True):
        typer.echo("Nothing was made.", err=True)
        raise typer.Exit(REFUSED)
    figures = asyncio.run(measure(order))
    Console().print_json(data=figures.document)
    for line in figures.refusals:
        typer.secho(line, err=True, fg=typer.colors.RED)
    if not figures.accepted_count:
        stop_with("Nothing was accepted.")
    if figures.open_count:
        typer.secho(
            f"{figures.open_count} of {figures.accepted_count} had no end after {order.wait_s:g} s. They are not lost: "
            "ask again (GET /v1/payouts), or wait longer with --wait-s.",
            err=True,
            fg=typer.colors.RED,
        )
        raise typer.Exit(WRONG)


def _here(names: list[str], size: str, out: Path) -> None:
    try:
        import psutil  # noqa: F401 - a package of requirements-dev.in
    except ImportError:
        stop_with("The bench measures processes with psutil, which is not installed.", "Run: make setup")
    from nepxy.cli.bench.postgres import version_of
    from nepxy.cli.bench.run import SCENARIOS, run_and_write
    from nepxy.cli.bench.sizes import SIZES

    if size not in SIZES:
        stop_with(f"--size is one of {', '.join(SIZES)}, not {size!r}")
    if unknown := [name for name in names if name not in SCENARIOS]:
        stop_with(f"--scenario is one of {', '.join(SCENARIOS)}, not {unknown[0]!r}")
    url = process_environ().get("DATABASE_URL", "")
    if url and not version_of(url):
        stop_with(
            "DATABASE_URL names no server that answers.", "Unset it to measure on an embedded PostgreSQL."
        )
    console, failed = Console(), list[str]()

    def done(result: Result) -> None:
        console.print(_table(result))
        if result.failed:
            failed.append(result.name)

    with console.status("starting") as status:
        files = run_and_write(
            names or list(SCENARIOS),
            sizes=SIZES[size],
            database_url=url,
            folder=out,
            tell=lambda name, doing: status.update(f"{name}: {doing}"),
            done=done,
        )
    if files is None:
        typer.echo("Interrupted; everything is stopped, and nothing was written.")
        raise typer.Exit(130)
    typer.echo(f"Written: {', '.join(map(str, files))}")
    if failed:
        typer.secho(f"No figures of: {', '.join(failed)}", err=True, fg=typer.colors.RED)
        raise typer.Exit(WRONG)


def _table(result: Result) -> Table:
    from nepxy.cli.bench.report import shown

    table = Table(
        "", "NepXy", "floor", "ratio", "target", title=result.title, caption=" ".join(result.remarks)
    )
    for row in result.rows:
        verdict = {True: "[green]met", False: "[red]missed", None: ""}[row.met]
        cells = (shown(row.nepxy, row.unit), shown(row.floor, row.unit), shown(row.ratio))
        table.add_row(row.what, *cells, f"{row.target} {verdict}".strip())
    return table
