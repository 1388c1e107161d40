"""Giving a command: asked back where it is dangerous, safe to send twice, and what became of it in words."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import typer
from rich.console import RenderableType
from rich.text import Text

from nepxy.cli.ops.api import Answer, Api, JsonObject, Refused, Unreachable
from nepxy.cli.ops.person import SECOND_PERSON
from nepxy.cli.ops.show import console, print_json

AGAIN_AFTER_S: Final = 1.0

Extra = Callable[[JsonObject], RenderableType | None]


def control(
    api: Api,
    target: str,
    command: str,
    *,
    reason: str,
    as_json: bool,
    command_id: str = "",
    extra: Extra | None = None,
    **own: Any,
) -> None:
    """Send one control message and print its answer; ends with 4 where a second person has to agree."""
    wanted = checked_reason(reason)
    body = {"target": target, "command": command, "reason": wanted, **own}
    report(post_once(api, "/control", body, command_id), as_json=as_json, extra=extra)


def post_once(api: Api, path: str, body: JsonObject, command_id: str = "") -> Answer:
    """Post a command under one id, and once more if no answer came: it is done once.

    Raises:
        Unreachable: no answer came to the second, either; says how to ask for it again.
    """
    sent = {**body, "command_id": command_id or str(uuid4())}
    try:
        return api.post(path, sent)
    except Unreachable:
        time.sleep(AGAIN_AFTER_S)
    try:
        return api.post(path, sent)
    except Unreachable as away:
        again = f"It may have been done. Give it again with --command-id {sent['command_id']}: it is not done twice."
        raise Unreachable(away.message, f"{away.hint}\n{again}".strip()) from None


def report(answer: Answer, *, as_json: bool, extra: Extra | None = None) -> None:
    """Print what an answer says was done and comes next; the exit status says whether it waits for somebody."""
    body = answer.body
    waits = body.get("outcome") == "SECOND_PERSON_NEEDED"
    if as_json:
        print_json(body)
    else:
        _in_words(body, waits=waits, extra=extra)
    if waits:
        raise typer.Exit(SECOND_PERSON)


def _in_words(body: JsonObject, *, waits: bool, extra: Extra | None) -> None:
    out = console()
    again = " (it had been done before; nothing was done now)" if body.get("replayed") else ""
    head = str(body.get("what") or body.get("outcome") or "done")
    out.print(Text(head + again, style="yellow" if waits else "green"))
    if what_next := body.get("what_next"):
        out.print(Text(f"Next: {what_next}"))
    if waits:
        number = body.get("proposal", {}).get("proposal_id", "ID")
        out.print(Text(f"Another operator: nepxy proposals approve {number} --reason WHY"))
    if extra is not None and (part := extra(body)) is not None:
        out.print(part)


def checked_reason(reason: str) -> str:
    """The reason, which must say something.

    Raises:
        Refused: it is blank.
    """
    if not reason.strip():
        raise Refused(
            "VALIDATION_FAILED", "--reason is empty", "Say why, in words: it is kept in the audit log."
        )
    return reason.strip()


def sure(question: str, *, yes: bool) -> None:
    """Ask before something dangerous.

    Raises:
        Refused: there is no terminal to ask on, and no `--yes`.
        typer.Exit: the person said no.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused("NOT_CONFIRMED", f"{question} There is no terminal to ask on", "Give --yes to mean it.")
    if not typer.confirm(question, err=True):
        typer.echo("nothing was done", err=True)
        raise typer.Exit(2)
