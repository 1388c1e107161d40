"""`python -m nepxy …` and `nepxy …`: the commands, each a thin shell over a room."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from nepxy.cli import dev
from nepxy.cli.config import config
from nepxy.cli.ops.commands import add_to
from nepxy.cli.parts import database_of, read_settings, reader_of, stop_with
from nepxy.cli.restored import restored
from nepxy.cli.sandbox import sandbox_command
from nepxy.cli.serve import serve as serve_process
from nepxy.http.auth import OPERATOR_SCOPES
from nepxy.http.tokens import issue_token
from nepxy.storage.migrate import MIGRATIONS_DIR, MigrationError, migrate_down, migrate_up, migration_status
from nepxy.storage.migration_check import check_files
from nepxy.storage.people import save_client, save_operator

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="NepXy pays people's mobile-money wallets."
)
migrate = typer.Typer(no_args_is_help=True, help="The database's schema.")
token = typer.Typer(no_args_is_help=True, help="Access tokens for development and scripts.")
clients = typer.Typer(no_args_is_help=True, help="Clients of the API.")
operators = typer.Typer(no_args_is_help=True, help="Named people who may steer the engine.")
app.add_typer(migrate, name="migrate")
app.add_typer(token, name="token")
app.add_typer(clients, name="clients")
app.add_typer(operators, name="operators")
app.add_typer(config, name="config")
app.add_typer(restored, name="restored")
app.command("sandbox")(sandbox_command)
add_to(app)

Port = Annotated[int | None, typer.Option(help="TCP port; PORT otherwise.")]


@app.command()
def serve(port: Port = None) -> None:
    """Run the engine until SIGTERM or SIGINT."""
    settings = read_settings()
    if port is not None:
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})
    with database_of(settings) as url:
        status = serve_process(settings, url)
    raise typer.Exit(status)


@app.command()
def run(
    port: Port = None, sandbox_port: Annotated[int, typer.Option(help="The sandbox's TCP port.")] = 8002
) -> None:
    """Run everything that a developer needs: PostgreSQL, sandbox and engine, migrated and ready."""
    settings = read_settings()
    if port is not None:
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})
    raise typer.Exit(dev.run(settings, sandbox_port=sandbox_port))


@migrate.command("up")
def migrate_up_command() -> None:
    """Apply every pending migration: all of them, or none."""
    settings = read_settings()
    with database_of(settings) as url:
        try:
            applied = migrate_up(
                url, busy=lambda error: typer.echo(f"{error.message}; it is tried again", err=True)
            )
        except MigrationError as error:
            stop_with(str(error), error.hint)
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do: the schema is current")


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


@token.command("client")
def token_client(
    client_id: str = dev.CLIENT_ID, minutes: Annotated[int, typer.Option(min=1, max=1440)] = 60
) -> None:
    """Print a token with a client's scopes."""
    typer.echo(_token(client_id, ("payouts:write", "payouts:read"), minutes))


@token.command("operator")
def token_operator(
    operator_id: str = dev.OPERATOR_ID, minutes: Annotated[int, typer.Option(min=1, max=1440)] = 60
) -> None:
    """Print a token with an operator's scopes; honoured only if the operator is registered."""
    typer.echo(_token(operator_id, ("admin",), minutes))


def _token(subject: str, scopes: tuple[str, ...], minutes: int) -> str:
    secret = read_settings().auth.jwt_secret
    return issue_token(
        subject=subject, scopes=scopes, secret=secret, now=datetime.now(UTC), expires_in_s=minutes * 60
    )


@clients.command("add")
def clients_add(
    client_id: str,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    external_ref_unique: Annotated[
        bool, typer.Option(help="Refuse a second payout with one external_ref.")
    ] = True,
) -> None:
    """Register a client, or give it a new secret (the one before goes on working); prints the secret once."""
    settings, secret = read_settings(), secrets.token_urlsafe(32)
    with database_of(settings) as url, reader_of(settings, url) as reader:
        reader.run_here(
            save_client,
            client_id=client_id,
            name=name or client_id,
            secret=secret,
            external_ref_unique=external_ref_unique,
        )
    typer.echo(f"client_id={client_id}\nclient_secret={secret}")


@operators.command("add")
def operators_add(
    operator_id: str,
    name: Annotated[str, typer.Option(help="The person's name.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="admin:read, admin:write or admin (both); may be given twice. Default: admin for a new one."
        ),
    ] = None,
) -> None:
    """Register an operator, or give one a new secret; prints the secret once."""
    if wrong := [one for one in scope or () if one not in OPERATOR_SCOPES]:
        stop_with(f"There is no scope {', '.join(wrong)}.", f"There are: {', '.join(OPERATOR_SCOPES)}")
    settings, secret = read_settings(), secrets.token_urlsafe(32)
    with database_of(settings) as url, reader_of(settings, url) as reader:
        reader.run_here(
            save_operator, operator_id=operator_id, name=name, secret=secret, scopes=scope or None
        )
    typer.echo(f"client_id={operator_id}\nclient_secret={secret}")
