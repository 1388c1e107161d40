"""Which engine, and who asks: from the environment, or in development from what `make run` left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer

from nepxy.cli.ops.api import Api, Person, Refused, Unreachable
from nepxy.config.environ import process_environ

DONE: Final = 0
WRONG: Final = 1
"""Answered, and something is not as it should be: `doctor` found an incident, `compare` a difference."""
REFUSED: Final = 2
UNREACHABLE: Final = 3
SECOND_PERSON: Final = 4
"""Nothing was done yet: another operator has to approve it."""

DEV_FILE: Final = "dev-client.json"
"""Where `make run` keeps its people, in `NEPXY_DATA_DIR`."""


@contextmanager
def engine() -> Iterator[Api]:
    """The engine of this environment; what it refuses ends the command with the exit status for it."""
    try:
        yield api_from(process_environ())
    except Refused as refused:
        _say(f"{refused.code}: {refused.message}", *_details(refused.document), refused.hint)
        raise typer.Exit(REFUSED) from None
    except Unreachable as away:
        _say(away.message, away.hint)
        raise typer.Exit(UNREACHABLE) from None


def api_from(environ: Mapping[str, str]) -> Api:
    """Who and where, by `NEPXY_URL` and `NEPXY_TOKEN` (or `NEPXY_OPERATOR_ID` and `NEPXY_OPERATOR_SECRET`).

    Raises:
        Refused: something of it is missing; says what to set.
    """
    url, token, operator_id, secret = (
        environ.get(name, "").strip()
        for name in ("NEPXY_URL", "NEPXY_TOKEN", "NEPXY_OPERATOR_ID", "NEPXY_OPERATOR_SECRET")
    )
    if not url:
        known = _development(Path(environ.get("NEPXY_DATA_DIR", "").strip() or ".nepxy") / DEV_FILE)
        if known is None:
            raise Refused(
                "URL_MISSING",
                "NEPXY_URL is not set, so there is no engine to ask",
                "Set NEPXY_URL to the engine's address, such as https://payouts.example.com, and NEPXY_TOKEN to an "
                "operator's token; or start one here with `make run`.",
            )
        typer.secho(f"(the development instance, {known['url']})", err=True, dim=True)
        url, operator_id, secret = known["url"], known["operator_id"], known["operator_secret"]
    if not token and not (operator_id and secret):
        raise Refused(
            "TOKEN_MISSING",
            "there is neither a token nor an operator's credentials",
            "Set NEPXY_TOKEN; or NEPXY_OPERATOR_ID and NEPXY_OPERATOR_SECRET, as `nepxy operators add` printed them.",
        )
    return Api(url, Person(token=token, operator_id=operator_id, secret="" if token else secret))


def _development(file: Path) -> dict[str, str] | None:
    try:
        known: dict[str, str] = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return known if {"url", "operator_id", "operator_secret"} <= known.keys() else None


def _details(document: Mapping[str, Any]) -> Iterator[str]:
    """What a problem document says besides its sentence."""
    for field in document.get("fields", ()):
        yield f"  {field['name']}: {field['problem']}" + (f" ({field['hint']})" if field.get("hint") else "")
    if valid := document.get("valid_commands"):
        yield f"  commands valid now: {valid}"
    if (version := document.get("version")) is not None:
        yield f"  its version is now {version}"


def _say(first: str, *rest: str) -> None:
    typer.secho(first, err=True, fg=typer.colors.RED)
    for line in filter(None, rest):
        typer.echo(line, err=True)
