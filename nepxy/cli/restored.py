"""`nepxy restored …`: a database that came out of a backup; see docs/backup-and-restore.md.

Straight to the database, so that it works while no engine runs: right after a restore none should.
"""

from __future__ import annotations

from typing import Annotated, Any

import peewee
import typer

from nepxy.cli.parts import database_of, read_settings, reader_of, stop_with
from nepxy.engine.restored import REPOSTS_FOR_H, REPOSTS_FOR_H_MAX
from nepxy.storage import restored as storage
from nepxy.storage.controls import By
from nepxy.storage.database import sqlstate_of

restored = typer.Typer(no_args_is_help=True, help="A database that was restored from a backup.")

UNDEFINED = ("42703", "42883", "42P01", "3F000")
"""SQLSTATEs of a schema that is older than this release: no such column, function, table, schema."""

Reason = Annotated[str, typer.Option(help="Why, in words: kept in the audit log.")]
Who = Annotated[str, typer.Option(help="Who you are.")]


@restored.command("status")
def status() -> None:
    """Say whether the engine is held after a restore, and what is in flight; exit status 1 while it is held."""
    said = _run(storage.status)
    if said.restored_at is None:
        typer.echo("not restored: no restore was noticed, and none was told of")
        raise typer.Exit(0)
    typer.echo(f"restored    {said.restored_at:%Y-%m-%d %H:%M:%S} UTC ({said.why})")
    typer.echo(f"in flight   {_counts(said.in_flight)}")
    if said.held:
        typer.echo("HELD: nothing is submitted. Then: nepxy restored release --reason WHY")
        raise typer.Exit(1)
    typer.echo(f"released    {said.released_at:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(f"re-posts    are looked for until {said.doubt_until:%Y-%m-%d %H:%M:%S} UTC")


@restored.command("mark")
def mark(reason: Reason, who: Who = "cli") -> None:
    """Say that the database was just restored, or rewound: nothing is submitted until it is released."""
    _run(storage.mark, why=_said(reason), who=f"operator:{who}")
    typer.echo("marked: nothing is submitted until `nepxy restored release --reason WHY`")


@restored.command("release")
def release(
    reason: Reason,
    who: Who = "cli",
    reposts_for_h: Annotated[
        float,
        typer.Option(
            min=0,
            max=REPOSTS_FOR_H_MAX,
            help="For how many hours what looks new may be the re-post of what the backup had lost: "
            "it is looked up before it is sent.",
        ),
    ] = REPOSTS_FOR_H,
) -> None:
    """Let the engine submit again; every node follows within seconds."""
    done = _run(
        storage.release,
        by=By(who=f"operator:{who}", reason=_said(reason)),
        reposts_for_s=reposts_for_h * 3600,
    )
    if not done:
        stop_with("The engine is not held: there is nothing to release.", "See: nepxy restored status")
    typer.echo("released: what may have been sent is looked up before it is sent again")


def _said(reason: str) -> str:
    if not reason.strip():
        stop_with("--reason is empty.", "Say why in words; it is kept in the audit log.")
    return reason.strip()


def _run(function: Any, **arguments: Any) -> Any:
    settings = read_settings()
    with database_of(settings) as url, reader_of(settings, url) as reader:
        try:
            return reader.run_here(function, **arguments)
        except peewee.PeeweeException as error:
            if sqlstate_of(error) not in UNDEFINED:
                raise
            stop_with(
                "The database's schema is older than this release.",
                "Run: python -m nepxy migrate up, then this",
            )


def _counts(in_flight: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(in_flight.items())) or "nothing"
