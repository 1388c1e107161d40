"""What several commands need: settings with a readable refusal, the database's URL, and local PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from nepxy.config.settings import Settings
from nepxy.errors import ConfigError, NepXyError
from nepxy.storage.database import Reader
from nepxy.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError


def stop_with(message: str, hint: str = "") -> NoReturn:
    """End the command with a message that says what to do."""
    typer.secho(message, err=True, fg=typer.colors.RED)
    if hint:
        typer.echo(hint, err=True)
    raise typer.Exit(2)


def read_settings() -> Settings:
    """The settings, or the end of the command with every problem in one list."""
    try:
        return Settings.from_environ().with_dev_secrets()
    except ConfigError as refused:
        stop_with(refused.message)


@contextmanager
def database_of(settings: Settings) -> Iterator[str]:
    """The database's URL; without `DATABASE_URL` the embedded PostgreSQL runs for as long as this is open."""
    url = settings.database.url.get_secret_value()
    if url:
        yield url
        return
    try:
        server = EmbeddedPostgres.start(settings.data_dir / "postgres")
    except EmbeddedPostgresError as error:
        stop_with(str(error), error.hint)
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def reader_of(settings: Settings, url: str) -> Iterator[Reader]:
    """A pool for a command, closed at its end; the command ends readably when the database is away."""
    reader = Reader(
        url,
        connections_max=2,
        statement_timeout_s=settings.database.statement_timeout_s,
        connect_timeout_s=settings.database.connect_timeout_s,
        application_name="nepxy-cli",
    )
    try:
        yield reader
    except NepXyError as error:
        stop_with(f"{error.code}: {error.message}", error.hint)
    finally:
        reader.close()
