"""`nepxy bench`: figures of this machine, or of a deployment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from nepxy.cli.parts import stop_with
from nepxy.config.environ import process_environ

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
    provider: Annotated[str, typer.Option(help="With --against.")] = "TMONEY",
    phone: Annotated[str, typer.Option(help="With --against: all digits but the last four.")] = "+2289012",
    country: Annotated[str, typer.Option(help="With --against.")] = "TG",
    yes: Annotated[bool, typer.Option("--yes", help="With --against: do not ask.")] = False,
) -> None:
    """Measure: scenarios on this machine beside the floor program, or a deployment with its own providers."""
    if not against:
        _here(scenario or [], size, out)
        return
    from nepxy.cli.bench.against import Order, measure
    from nepxy.cli.bench.load import Purse

    token = process_environ().get(TOKEN_VARIABLE, "")
    if not token:
        hint = "Set it to a client's token with payouts:write and payouts:read."
        stop_with(f"{TOKEN_VARIABLE} is not set.", hint)
    typer.echo(f"This makes {payouts} payouts of 1,000 to 1,999 XOF at {against}.")
    typer.echo("Where the account is real, so is the money.")
    if not yes and not typer.confirm("Make them?"):
        raise typer.Exit(2)
    purse = Purse(provider=provider, phone=phone, country=country)
    order = Order(
        url=against.rstrip("/"), token=token, payouts_count=payouts, per_s=per_s, wait_s=wait_s, purse=purse
    )
    figures = asyncio.run(measure(order))
    Console().print_json(data=figures)
    if not figures["accepted"]:
        stop_with(
            "Nothing was accepted.", "401 and 403: the token. 422: provider, phone or country. 0: the URL."
        )


def _here(names: list[str], size: str, out: Path) -> None:
    try:
        import psutil  # noqa: F401 - a package of requirements-dev.in
    except ImportError:
        stop_with("The bench measures processes with psutil, which is not installed.", "Run: make setup")
    from nepxy.cli.bench.postgres import version_of
    from nepxy.cli.bench.processes import ProgramFailed
    from nepxy.cli.bench.run import SCENARIOS, run_and_write
    from nepxy.cli.bench.sizes import SIZES
    from nepxy.cli.bench.towns import RunFailed

    if size not in SIZES:
        stop_with(f"--size is one of {', '.join(SIZES)}, not {size!r}")
    if unknown := [name for name in names if name not in SCENARIOS]:
        stop_with(f"--scenario is one of {', '.join(SCENARIOS)}, not {unknown[0]!r}")
    url = process_environ().get("DATABASE_URL", "")
    if url and not version_of(url):
        stop_with(
            "DATABASE_URL names no server that answers.", "Unset it to measure on an embedded PostgreSQL."
        )
    console = Console()
    with console.status("starting") as status:
        try:
            files = run_and_write(
                names or list(SCENARIOS),
                sizes=SIZES[size],
                database_url=url,
                folder=out,
                tell=lambda name, doing: status.update(f"{name}: {doing}"),
                done=lambda result: console.print(_table(result)),
            )
        except (ProgramFailed, RunFailed) as failed:
            stop_with(f"No figures: {failed}")
    if files is None:
        typer.echo("Interrupted; everything is stopped, and nothing was written.")
        raise typer.Exit(130)
    typer.echo(f"Written: {', '.join(map(str, files))}")


def _table(result: object) -> Table:
    from nepxy.cli.bench.report import shown
    from nepxy.cli.bench.scenario import Result

    if not isinstance(result, Result):
        raise TypeError(f"{type(result).__name__} is no result")
    table = Table(
        "", "NepXy", "floor", "ratio", "target", title=result.title, caption=" ".join(result.remarks)
    )
    for row in result.rows:
        verdict = {True: "[green]met", False: "[red]missed", None: ""}[row.met]
        cells = (shown(row.nepxy, row.unit), shown(row.floor, row.unit), shown(row.ratio))
        table.add_row(row.what, *cells, f"{row.target} {verdict}".strip())
    return table
