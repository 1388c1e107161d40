"""`nepxy bulk …`: the levers that touch many payouts. First what it would touch, then a yes, then progress."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Final

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from nepxy.cli.ops.api import Api, JsonObject, Refused, segment
from nepxy.cli.ops.giving import checked_reason, post_once, report, sure
from nepxy.cli.ops.options import (
    CommandIdOption,
    EveryOption,
    JsonOption,
    ReasonOption,
    WatchOption,
    YesOption,
    seconds_of,
)
from nepxy.cli.ops.person import WRONG, engine
from nepxy.cli.ops.selecting import (
    AmountMaxOption,
    AmountMinOption,
    ClientOption,
    ErrorOption,
    InDoubtOption,
    OlderThanOption,
    ProviderOption,
    ReferenceOption,
    RetryableOption,
    StatusOption,
    StuckForOption,
    selector_of,
)
from nepxy.cli.ops.show import (
    Column,
    amount,
    cell,
    console,
    duration,
    fields,
    print_json,
    sections,
    show,
    state,
    table,
)

bulk = typer.Typer(no_args_is_help=True, help="Levers that touch many payouts: a dry run first, then a ramp.")

CountMaxOption = Annotated[int, typer.Option(min=1, help="Refuse if it would touch more payouts than this.")]
AmountCapOption = Annotated[
    int | None, typer.Option("--amount-cap", min=1, help="Refuse if they add up to more, in minor units.")
]
PerMinuteOption = Annotated[int, typer.Option(min=1, help="The ramp: so many payouts a minute.")]
ExpiresInOption = Annotated[str, typer.Option(help="What is not done by then is not done at all: 1h.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only say what it would touch; changes nothing.")
]
RunId = Annotated[str, typer.Argument(metavar="ID", help="The run_id.")]

WATCH_S: Final = 1.0
RUNS: Final[tuple[Column, ...]] = (
    ("run_id", "run_id"), ("started", "started_at"), ("who", "who"), ("command", "command"),
    ("state", state("state")), ("done", lambda it: f"{it.get('done')}/{it.get('count')}"), ("outcomes", "outcomes"),
    ("reason", "reason"),
)  # fmt: skip
AMOUNTS: Final[tuple[Column, ...]] = (("amount", amount), ("payouts", "count"))
SAMPLE: Final[tuple[Column, ...]] = (
    ("transaction_id", "transaction_id"), ("status", state("status")), ("reason", "status_reason"),
    ("provider", "provider"), ("amount", amount), ("updated", "updated_at"),
)  # fmt: skip


def _lever(name: str, what: str) -> None:
    """One command of `nepxy bulk`; they differ in nothing but the word."""

    def lever(
        reason: ReasonOption,
        status: StatusOption = "",
        provider: ProviderOption = "",
        client: ClientOption = "",
        stuck_for: StuckForOption = "",
        older_than: OlderThanOption = "",
        in_doubt: InDoubtOption = False,
        retryable: RetryableOption = None,
        error: ErrorOption = "",
        amount_min: AmountMinOption = None,
        amount_max: AmountMaxOption = None,
        reference: ReferenceOption = "",
        force: Annotated[bool, typer.Option("--force", help="Needed for payouts in a final state.")] = False,
        dry_run: DryRunOption = False,
        count_max: CountMaxOption = 1000,
        amount_cap: AmountCapOption = None,
        per_minute: PerMinuteOption = 60,
        expires_in: ExpiresInOption = "1h",
        watch: WatchOption = False,
        yes: YesOption = False,
        command_id: CommandIdOption = "",
        as_json: JsonOption = False,
    ) -> None:
        with engine() as api:
            selector = selector_of(
                status=status, provider=provider, client=client, stuck_for=stuck_for, older_than=older_than,
                in_doubt=in_doubt, retryable=retryable, error=error, amount_min=amount_min, amount_max=amount_max,
                reference=reference,
            )  # fmt: skip
            if not selector:
                raise Refused(
                    "VALIDATION_FAILED", "no filter is given, so this would touch every payout",
                    "Give at least one, such as --status SENT --stuck-for 15m.",
                )  # fmt: skip
            body = {
                "command": name, "selector": selector, "reason": checked_reason(reason), "force": force or None,
                "count_max": count_max, "amount_max": amount_cap, "per_minute": per_minute,
                "expires_in_s": seconds_of(expires_in, "--expires-in"),
            }  # fmt: skip
            pull(
                api,
                "/bulk",
                body,
                dry_run=dry_run,
                watch=watch,
                yes=yes,
                command_id=command_id,
                as_json=as_json,
            )

    lever.__doc__ = f"{what} Shows count and amount first, then asks."
    bulk.command(name)(lever)


_lever("retry", "Retry every payout that the filters find, so many a minute.")
_lever("poll", "Ask the provider about every payout that the filters find, so many a minute.")
_lever("release", "Release every payout in REVIEW that the filters find, so many a minute.")
_lever("cancel", "Cancel every unsent payout that the filters find, so many a minute.")


def pull(
    api: Api,
    path: str,
    body: JsonObject,
    *,
    dry_run: bool,
    watch: bool,
    yes: bool,
    command_id: str,
    as_json: bool,
) -> None:
    """A dry run, shown; then a yes; then the run itself, watched to its end if asked to.

    With `--json` one document is printed: the dry run's if it is one, else the run as it stands in the end.
    """
    would = api.post(path, {**body, "dry_run": True}).body
    if dry_run:
        show(lambda: would, _would, as_json=as_json)
        return
    if not as_json:
        console().print(_would(would))
    if not would["count"]:
        if as_json:
            print_json(would)
        return
    if would.get("over_the_cap"):
        raise Refused(
            "BULK_OVER_THE_CAP",
            f"it would touch more than {body['count_max']} payouts",
            "Narrow the filters, or raise --count-max.",
        )
    sure(f"Go on, with {would['count']} payouts?", yes=yes)
    answer = post_once(api, path, {**body, "dry_run": False}, command_id)
    run = answer.body.get("run")
    if not watch or run is None:
        report(answer, as_json=as_json, extra=lambda it: _run(it["run"]) if it.get("run") else None)
        return
    ended = follow(api, str(run["run_id"]))
    if as_json:
        print_json(ended)
    else:
        console().print(_run(ended))
    if ended["state"] != "DONE":
        raise typer.Exit(WRONG)


def _would(document: JsonObject) -> RenderableType:
    lasts = duration(document.get("would_take_s"))
    more = "more than " if document.get("over_the_cap") else ""
    took = f"{more}{document['count']} payouts, at {document.get('per_minute')} a minute: {lasts}"
    return sections(
        ("would touch", Text(took)),
        ("amounts", table(document.get("amounts", ()), AMOUNTS, nothing="none")),
        ("some of them", table(document.get("sample", ()), SAMPLE, nothing="none")),
    )


def _run(run: JsonObject) -> RenderableType:
    lines = fields({name: value for name, value in run.items() if name not in ("items", "links", "amounts")})
    return sections(("run", lines), ("amounts", table(run.get("amounts") or (), AMOUNTS, nothing="none")))


def follow(api: Api, run_id: str, every_s: float = WATCH_S) -> JsonObject:
    """A progress bar on stderr until the run has ended; Ctrl-C stops watching, not the run."""
    path = f"/bulk/{segment(run_id, 'run id')}"
    run = api.get(path)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task(f"run {run_id}", total=run["count"])
            while run["state"] == "RUNNING":
                progress.update(
                    task, completed=run["done"], description=f"run {run_id} {cell(run['outcomes']).plain}"
                )
                time.sleep(every_s)
                run = api.get(path)
            progress.update(task, completed=run["done"])
    except KeyboardInterrupt:
        typer.echo(
            f"the run goes on: nepxy bulk show {run_id} --watch; to stop it: nepxy bulk stop {run_id}",
            err=True,
        )
    return run


@bulk.command("list")
def list_runs(as_json: JsonOption = False, watch: WatchOption = False, every: EveryOption = 2.0) -> None:
    """List the runs, newest first."""
    with engine() as api:
        show(
            lambda: api.get("/bulk"),
            lambda it: table(it["runs"], RUNS, nothing="no lever was pulled yet"),
            as_json=as_json,
            watch=watch,
            every_s=every,
        )


@bulk.command("show")
def show_run(run_id: RunId, watch: WatchOption = False, as_json: JsonOption = False) -> None:
    """Show a run; with --watch a progress bar until it has ended."""
    with engine() as api:
        if watch and not as_json:
            follow(api, run_id)
        show(
            lambda: api.get(f"/bulk/{segment(run_id, 'run id')}"),
            _run,
            as_json=as_json,
            watch=watch and as_json,
        )


@bulk.command("stop")
def stop(run_id: RunId, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """Stop a run: what was not done yet is not done."""
    with engine() as api:
        path = f"/bulk/{segment(run_id, 'run id')}/stop"
        report(api.post(path, {"reason": checked_reason(reason)}), as_json=as_json)
