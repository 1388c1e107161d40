"""`nepxy token …`, `clients …` and `operators …`: who may call the API, and their secrets."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from nepxy.cli.parts import database_of, read_settings, reader_of, stop_with
from nepxy.http.tokens import issue_token
from nepxy.storage.people import NamesakeRegistered, save_client, save_operator

token = typer.Typer(no_args_is_help=True, help="Access tokens for development and scripts.")
clients = typer.Typer(no_args_is_help=True, help="Clients of the API.")
operators = typer.Typer(no_args_is_help=True, help="Named people who may steer the engine.")

CLIENT_ID: Final = "dev-client"
OPERATOR_ID: Final = "dev-operator"
"""Those of `make run`."""


@token.command("client")
def token_client(
    client_id: str = CLIENT_ID, minutes: Annotated[int, typer.Option(min=1, max=1440)] = 60
) -> None:
    """Print a token with a client's scopes."""
    typer.echo(_token(client_id, ("payouts:write", "payouts:read"), minutes))


@token.command("operator")
def token_operator(
    operator_id: str = OPERATOR_ID, minutes: Annotated[int, typer.Option(min=1, max=1440)] = 60
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
    # With the web server behind it; see main.py.
    from nepxy.http.auth import OPERATOR_SCOPES

    if wrong := [one for one in scope or () if one not in OPERATOR_SCOPES]:
        stop_with(f"There is no scope {', '.join(wrong)}.", f"There are: {', '.join(OPERATOR_SCOPES)}")
    settings, secret = read_settings(), secrets.token_urlsafe(32)
    with database_of(settings) as url, reader_of(settings, url) as reader:
        try:
            reader.run_here(
                save_operator, operator_id=operator_id, name=name, secret=secret, scopes=scope or None
            )
        except NamesakeRegistered as known:
            stop_with(
                f"There is an operator {known.registered_id}, who is not {operator_id}, and reads the same.",
                "Write the id as it is registered to give a new secret, or choose another one.",
            )
    typer.echo(f"client_id={operator_id}\nclient_secret={secret}")
