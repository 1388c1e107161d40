"""`nepxy reconcile …`: compare what we hold with what providers say, by asking them or by their settlement files."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import Progress
from rich.text import Text

from nepxy.cli.ops.api import Api, JsonObject, Refused, segment
from nepxy.cli.ops.giving import checked_reason
from nepxy.cli.ops.options import EveryOption, JsonOption, ReasonOption, WatchOption, time_of
from nepxy.cli.ops.person import WRONG, engine
from nepxy.cli.ops.selecting import ProviderOption
from nepxy.cli.ops.show import Column, Row, console, fields, print_json, sections, show, state, table

PATH: Final = "/reconcile"
FILE_BYTES_MAX: Final = 64 * 1024 * 1024

reconcile = typer.Typer(no_args_is_help=True, help="Compare our records with the providers'.")

ReportId = Annotated[str, typer.Argument(metavar="ID", help="The report_id.")]

REPORTS: Final[tuple[Column, ...]] = (
    ("report_id", "report_id"), ("started", "started_at"), ("who", "who"), ("kind", "kind"),
    ("provider", "provider"), ("state", state("state")), ("figures", "figures"),
)  # fmt: skip


@reconcile.command("run")
def run(
    reason: ReasonOption,
    provider: ProviderOption = "",
    since_h: Annotated[
        int, typer.Option(min=1, help="What was settled in so many hours is asked about, too.")
    ] = 24,
    count_max: Annotated[int | None, typer.Option(min=1, help="Ask about so many payouts at most.")] = None,
    payout: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Ask about this payout only, settled or not; repeatable."),
    ] = None,
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask the providers about what is in doubt, in review or recently settled; --watch waits for the report."""
    with engine() as api:
        body = {
            "provider": provider.upper() or None, "since_h": float(since_h), "count_max": count_max,
            "reason": checked_reason(reason), "transaction_ids": payout or [],
        }  # fmt: skip
        report = api.post(PATH, body).body["report"]
        _print(follow(api, report) if watch else report, as_json=as_json)


@reconcile.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The provider's settlement file, CSV.")],
    provider: Annotated[str, typer.Option(help="Whose file it is.")],
    reason: ReasonOption,
    begin: Annotated[str, typer.Option("--from", help="The first moment that the file covers.")] = "",
    end: Annotated[str, typer.Option("--to", help="The last moment that it covers.")] = "",
    currency: Annotated[str, typer.Option(help="Of every line, where the file has no such column.")] = "",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=HEADER",
            help="A header that is not known: reference, amount, currency, status or date; repeatable.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Match a settlement file line by line: missing here, missing there, amount or state differs.

    What the file lacks is looked for only where --from and --to say what it covers.
    """
    with engine() as api:
        query = {
            "provider": provider.upper(), "reason": checked_reason(reason), "currency": currency.upper(),
            "from": time_of(begin, "--from"), "to": time_of(end, "--to"), **_columns(column or []),
        }  # fmt: skip
        content = _content(file)
        with Console(stderr=True).status(f"Matching {file.name}"):
            report = api.upload(f"{PATH}/files", content, **query).body["report"]
        _print(report, as_json=as_json)


def _columns(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for (field, equals, header), one in zip(pairs, given, strict=True):
        if not (field and equals and header):
            raise Refused(
                "VALIDATION_FAILED",
                f"--column {one!r} is not FIELD=HEADER",
                "Such as --column reference=TxnNo.",
            )
    return {f"column.{field}": header for field, _, header in pairs}


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(
            "FILE_UNREADABLE", f"{file} cannot be read: {error.strerror}", "Check the path."
        ) from None
    if len(content) > FILE_BYTES_MAX:
        raise Refused("FILE_TOO_LARGE", f"{file} is larger than {FILE_BYTES_MAX} bytes", "Split it by days.")
    return content


@reconcile.command("reports")
def reports(as_json: JsonOption = False, watch: WatchOption = False, every: EveryOption = 2.0) -> None:
    """List the reports, newest first."""
    with engine() as api:
        show(
            lambda: api.get(f"{PATH}/reports"),
            lambda it: table(it["reports"], REPORTS, nothing="nothing was reconciled yet"),
            as_json=as_json,
            watch=watch,
            every_s=every,
        )


@reconcile.command("show")
def show_report(
    report_id: ReportId,
    csv: Annotated[bool, typer.Option("--csv", help="Print the differences as CSV.")] = False,
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a report: its figures, and each difference with the command for it."""
    with engine() as api:
        path = f"{PATH}/reports/{segment(report_id, 'report id')}"
        if csv:
            typer.echo(api.text(f"{path}.csv"), nl=False)
            return
        if watch:
            follow(api, api.get(path))
        show(lambda: api.get(path), _report, as_json=as_json)


def follow(api: Api, report: JsonObject) -> JsonObject:
    """A progress bar on stderr until the report has ended; Ctrl-C stops watching, not the work."""
    path = f"{PATH}/reports/{report['report_id']}"
    try:
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task(f"report {report['report_id']}", total=None)
            while report.get("ended_at") is None:
                progress.update(task, completed=report["progress"]["done"], total=report["progress"]["total"])
                time.sleep(1.0)
                report = api.get(path)
    except KeyboardInterrupt:
        typer.echo(f"it goes on: nepxy reconcile show {report['report_id']} --watch", err=True)
    return report


def _print(report: JsonObject, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
    else:
        console().print(_report(report))
        if report.get("ended_at") is None:
            typer.echo(f"it goes on: nepxy reconcile show {report['report_id']} --watch")
    if report.get("state") == "FAILED":
        raise typer.Exit(WRONG)


def _report(report: JsonObject) -> RenderableType:
    head = {name: value for name, value in report.items() if name not in ("differences", "links", "figures")}
    differences = report.get("differences")
    parts: list[tuple[str, RenderableType]] = [
        ("report", fields(head)),
        ("figures", fields(report.get("figures") or {})),
    ]
    if differences is not None:
        parts.append(("differences", Group(*map(_difference, differences)) if differences else Text("none")))
    return sections(*parts)


def _difference(row: Row) -> RenderableType:
    """What differs, both sides, and the commands for it."""
    head = Text(
        f"{row['n']}. {row['kind']}  {row.get('transaction_id') or 'no payout of ours'}", style="bold"
    )
    sides = fields(row, ("detail", "ours", "theirs"))
    commands = (Text(f"$ {one['cli']}   {one.get('does', '')}") for one in row.get("commands") or ())
    return Group(head, Padding(Group(sides, *commands), (0, 0, 0, 3)))
