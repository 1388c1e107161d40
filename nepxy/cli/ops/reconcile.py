"""`nepxy reconcile …`: compare what we hold with what providers say, by asking them or by their settlement files."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console, RenderableType
from rich.progress import Progress

from nepxy.cli.ops.api import Api, JsonObject, Refused, segment
from nepxy.cli.ops.giving import checked_reason
from nepxy.cli.ops.options import EveryOption, JsonOption, ReasonOption, WatchOption, time_of
from nepxy.cli.ops.person import WRONG, engine
from nepxy.cli.ops.selecting import ProviderOption
from nepxy.cli.ops.show import Column, console, fields, print_json, sections, show, state, table

PATH: Final = "/reconcile"
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
ENDED_MAX: Final = 24 * 3600

reconcile = typer.Typer(no_args_is_help=True, help="Compare our records with the providers'.")

ReportId = Annotated[str, typer.Argument(metavar="ID", help="The report_id.")]

REPORTS: Final[tuple[Column, ...]] = (
    ("report_id", "report_id"), ("started", "started_at"), ("who", "who"), ("kind", "kind"),
    ("provider", "provider"), ("state", state("state")), ("figures", "figures"),
)  # fmt: skip
DIFFERENCES: Final[tuple[Column, ...]] = (
    ("n", "n"), ("kind", "kind"), ("transaction_id", "transaction_id"), ("ours", "ours"), ("theirs", "theirs"),
    ("detail", "detail"), ("commands", "commands"),
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
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """Match a settlement file line by line: missing here, missing there, amount or state differs."""
    with engine() as api:
        report = api.upload(
            f"{PATH}/files", _content(file), provider=provider.upper(), reason=checked_reason(reason),
            **{"from": time_of(begin, "--from"), "to": time_of(end, "--to")},
        ).body["report"]  # fmt: skip
        _print(follow(api, report) if watch else report, as_json=as_json)


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
                done, total = _progress(report)
                progress.update(task, completed=done, total=total)
                time.sleep(1.0)
                report = api.get(path)
    except KeyboardInterrupt:
        typer.echo(f"it goes on: nepxy reconcile show {report['report_id']} --watch", err=True)
    return report


def _progress(report: JsonObject) -> tuple[float, float | None]:
    progress = report.get("progress")
    if isinstance(progress, dict):
        return float(progress.get("done") or 0), progress.get("total") or progress.get("count")
    if isinstance(progress, int | float):
        return float(progress), 1.0 if progress <= 1 else None
    return 0.0, None


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
        parts.append(("differences", table(differences, DIFFERENCES, nothing="none")))
    return sections(*parts)
