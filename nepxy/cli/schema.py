"""`nepxy migrate …`: the database's schema, forwards, backwards, and compared with this release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import psycopg2
import typer

from nepxy.cli.parts import database_of, read_settings, stop_with
from nepxy.storage.migrate import MIGRATIONS_DIR, MigrationError, migrate_down, migrate_up, migration_status
from nepxy.storage.migration_check import check_files
from nepxy.storage.online_indexes import build_indexes

migrate = typer.Typer(no_args_is_help=True, help="The database's schema.")


@migrate.command("up")
def migrate_up_command() -> None:
    """Apply every pending migration, all of them or none; then build the indexes that are missing, without a pause."""
    settings = read_settings()
    with database_of(settings) as url:
        try:
            applied = migrate_up(
                url, busy=lambda error: typer.echo(f"{error.message}; it is tried again", err=True)
            )
        except MigrationError as error:
            stop_with(str(error), error.hint)
        try:
            built = build_indexes(url)
        except (psycopg2.Error, TimeoutError) as error:
            stop_with(
                f"The migrations are applied; an index could not be built: {error}".strip(), "Run it again."
            )
    done = [*(f"applied {name}" for name in applied), *(f"built index {name}" for name in built)]
    typer.echo("\n".join(done) or "nothing to do: the schema is current")


@migrate.command("down")
def migrate_down_command() -> None:
    """Roll the newest migration back, and only that one."""
    settings = read_settings()
    with database_of(settings) as url:
        try:
            name = migrate_down(url)
        except MigrationError as error:
            stop_with(str(error), error.hint)
    typer.echo(f"rolled back {name}" if name else "nothing to roll back")


@migrate.command("status")
def migrate_status_command() -> None:
    """Compare the schema with this release; exit status 1 if it is not current."""
    settings = read_settings()
    with database_of(settings) as url:
        status = migration_status(url)
    for label in ("applied", "pending", "unknown", "changed"):
        for name in getattr(status, label):
            typer.echo(f"{label:8} {name}")
    raise typer.Exit(0 if status.is_current else 1)


@migrate.command("check")
def migrate_check_command(
    folder: Annotated[
        Path, typer.Option(help="The migrations' folder; this release's otherwise.")
    ] = MIGRATIONS_DIR,
) -> None:
    """Refuse migrations that the release before would not survive, with exit status 1; needs no database."""
    try:
        findings = check_files(folder)
    except MigrationError as error:
        stop_with(error.message, error.hint)
    for finding in findings:
        typer.echo(str(finding), err=True)
    if findings:
        raise typer.Exit(1)
    typer.echo("the migrations only add: the release before can serve on their schema")
