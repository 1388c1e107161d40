"""`nepxy idempotency …`: what a client's key stands for, and how a body differs from the first one sent with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import RenderableType
from rich.text import Text

from nepxy.cli.ops.api import JsonObject, Refused
from nepxy.cli.ops.options import JsonOption
from nepxy.cli.ops.person import WRONG, engine
from nepxy.cli.ops.show import Column, fields, print_json, sections, show, table

PATH: Final = "/idempotency"
BODY_BYTES_MAX: Final = 1_048_576

idempotency = typer.Typer(no_args_is_help=True, help="Idempotency keys of clients' requests.")

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="The Idempotency-Key, as the client sent it.")
]


@idempotency.command("show")
def show_key(
    key: KeyArgument,
    client: Annotated[str, typer.Option(help="The client; without it, every client that used the key.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show what is stored under a key: the first request, its answer and its payout (masked)."""
    with engine() as api:
        show(lambda: api.get(PATH, key=key, client_id=client), _keys, as_json=as_json)


def _keys(document: JsonObject) -> RenderableType:
    found = document["keys"]
    if not found:
        return Text("no client has used this key", style="dim")
    return sections(*((str(record["client_id"]), _key(record)) for record in found))


def _key(record: JsonObject) -> RenderableType:
    plain = {name: value for name, value in record.items() if name not in ("request", "response", "links")}
    return sections(
        ("key", fields(plain)),
        ("request", fields(_object(record.get("request")))),
        ("response", fields(_object(record.get("response")))),
    )


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {"": value}


@idempotency.command("compare")
def compare(
    key: KeyArgument,
    client: Annotated[str, typer.Option(help="The client that reports the conflict.")],
    body: Annotated[
        str, typer.Option(help="The JSON body that the client sends now, @FILE with it, or - for stdin.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Say field by field how a body differs from the first one under the key; exit status 1 if it does."""
    with engine() as api:
        sent = _body_of(body)
        document = api.post(f"{PATH}/compare", {"client_id": client, "key": key, "body": sent}).body
    if as_json:
        print_json(document)
    else:
        show(lambda: document, _differences, as_json=False)
    if not document["same"]:
        raise typer.Exit(WRONG)


def _differences(document: JsonObject) -> RenderableType:
    columns: tuple[Column, ...] = (("field", "field"), ("stored", "stored"), ("sent", "sent"))
    if document["same"]:
        return Text("the same request: it would get the stored answer", style="green")
    return table(document["differences"], columns)


def _body_of(given: str) -> JsonObject:
    try:
        text = _text_of(given)
        parsed = json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            "VALIDATION_FAILED", f"--body cannot be read: {error}", "Give JSON, @FILE or -."
        ) from None
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise Refused(
            "VALIDATION_FAILED", "--body is not a JSON object", "Give JSON, @FILE with it, or - for stdin."
        )
    return parsed


def _text_of(given: str) -> str:
    if given == "-":
        return typer.get_text_stream("stdin").read(BODY_BYTES_MAX)
    if given.startswith("@"):
        with Path(given[1:]).open(encoding="utf-8") as file:
            return file.read(BODY_BYTES_MAX)
    return given
