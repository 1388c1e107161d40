"""`nepxy engine …`, `actors` and `database`: the engine itself, its actors, and the database under it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from nepxy.cli.ops.api import JsonObject, segment
from nepxy.cli.ops.giving import control, sure
from nepxy.cli.ops.options import (
    CommandIdOption,
    EveryOption,
    JsonOption,
    ReasonOption,
    WatchOption,
    YesOption,
)
from nepxy.cli.ops.person import engine as an_engine
from nepxy.cli.ops.show import Column, Row, cell, duration, fields, sections, show, table

engine = typer.Typer(no_args_is_help=True, help="The engine: intake, recovery, secrets, limits.")


@engine.command("show")
def show_engine(as_json: JsonOption = False, watch: WatchOption = False, every: EveryOption = 2.0) -> None:
    """Show the node: its state, intake, shards, memory, journal and recovery."""
    with an_engine() as api:
        show(lambda: api.get("/engine"), fields, as_json=as_json, watch=watch, every_s=every)


@engine.command("drain")
def drain(
    reason: ReasonOption,
    yes: YesOption = False,
    command_id: CommandIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Stop this node's intake before it is taken down; what is in flight goes on."""
    _give("drain", reason, command_id, as_json, ask="Stop this node's intake?", yes=yes)


@engine.command("pause-intake")
def pause_intake(
    reason: ReasonOption,
    yes: YesOption = False,
    command_id: CommandIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take no new payouts: clients get 503 and try again later."""
    _give("pause_intake", reason, command_id, as_json, ask="Turn every client's new payouts away?", yes=yes)


@engine.command("resume-intake")
def resume_intake(
    reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False
) -> None:
    """Take new payouts again."""
    _give("resume_intake", reason, command_id, as_json)


@engine.command("recover")
def recover(reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False) -> None:
    """Look through the database now for payouts that nobody works on."""
    _give("recover", reason, command_id, as_json)


@engine.command("reload-secrets")
def reload_secrets(
    reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False
) -> None:
    """Read the secrets anew, such as a webhook secret that was rotated."""
    _give("reload_secrets", reason, command_id, as_json)


@engine.command("release-restored")
def release_restored(
    reason: ReasonOption,
    yes: YesOption = False,
    reposts_for_h: Annotated[
        float | None,
        typer.Option(min=0, help="Hours in which what looks new may be a re-post. Left out: 72."),
    ] = None,
    command_id: CommandIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Submit again after a restore of the database: read docs/backup-and-restore.md first."""
    _give(
        "release_restored", reason, command_id, as_json,
        ask="Was the database looked at, and were the clients told?", yes=yes, reposts_for_h=reposts_for_h,
    )  # fmt: skip


@engine.command("set-limits")
def set_limits(
    reason: ReasonOption,
    payouts_in_memory_max: Annotated[
        int | None, typer.Option(min=1, help="Payout actors alive at once. Left out: as configured.")
    ] = None,
    command_id: CommandIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Set how many payouts may be in memory; without the option, as configured again."""
    _give("set_limits", reason, command_id, as_json, payouts_in_memory_max=payouts_in_memory_max)


def _give(
    command: str, reason: str, command_id: str, as_json: bool, *, ask: str = "", yes: bool = True, **own: Any
) -> None:
    with an_engine() as api:
        sure(ask, yes=yes)
        control(
            api, "supervisor", command, reason=reason, as_json=as_json, command_id=command_id,
            extra=lambda it: fields(it["engine"]) if it.get("engine") else None, **own,
        )  # fmt: skip


# ---- actors -----------------------------------------------------------------------------------------


def actors(
    payout_id: Annotated[str, typer.Argument(metavar="[ID]", help="A payout's transaction_id.")] = "",
    as_json: JsonOption = False,
    watch: WatchOption = False,
    every: EveryOption = 2.0,
) -> None:
    """Show the tree of actors with their mailboxes and work; with an ID, that payout's actor."""
    with an_engine() as api:
        if payout_id:
            path = f"/actors/payouts/{segment(payout_id, 'payout id')}"
            show(lambda: api.get(path), fields, as_json=as_json, watch=watch, every_s=every)
        else:
            show(lambda: api.get("/actors"), tree_of, as_json=as_json, watch=watch, every_s=every)


def tree_of(document: JsonObject) -> RenderableType:
    """The actors under their parents; one whose parent is not listed is a root of its own."""
    rows: dict[str, Row] = {row["name"]: row for row in document["actors"]}
    root = Tree(
        Text(f"{len(rows)} actors, and {document['payouts']['count']} payouts in memory", style="bold")
    )
    branches: dict[str, Tree] = {}

    def branch_of(name: str, seen: frozenset[str]) -> Tree:
        if name not in branches:
            parent = rows[name].get("parent")
            above = branch_of(parent, seen | {name}) if parent in rows and parent not in seen else root
            branches[name] = above.add(_actor(rows[name]))
        return branches[name]

    for name in rows:
        branch_of(name, frozenset({name}))
    return root


def _actor(row: Row) -> Text:
    line = Text(row["name"], style="bold")
    line.append(f"  {row.get('kind')}  {row.get('state')}", style="not bold")
    line.append(f"  mailbox {row.get('mailbox_depth')}", style="not bold")
    for label, name in (
        ("doing", "doing"),
        ("next", "next_at"),
        ("restarts", "restarts"),
        ("last error", "last_error"),
    ):
        if value := row.get(name):
            line.append(f"  {label} {cell(value).plain}", style="red" if name == "last_error" else "not bold")
    return line


# ---- database ---------------------------------------------------------------------------------------

SLOW: Final[tuple[Column, ...]] = (
    ("pid", "pid"), ("application", "application"), ("state", "state"),
    ("runs", lambda it: duration(it.get("running_s"))), ("waits for", "waits_for"), ("query", "query"),
)  # fmt: skip


def database(as_json: JsonOption = False, watch: WatchOption = False, every: EveryOption = 2.0) -> None:
    """Show connections against their limits, the pool, and what is slow or waits for a lock."""
    with an_engine() as api:
        show(lambda: api.get("/database"), _database, as_json=as_json, watch=watch, every_s=every)


def _database(document: JsonObject) -> RenderableType:
    connections, pool = document.get("connections") or {}, document.get("pool") or {}
    head = {
        "ok": document.get("ok"),
        "server": document.get("server_version"),
        "connections": f"{connections.get('ours')} ours, {connections.get('all')} of {connections.get('max')}",
        "pool": f"{pool.get('in_use')} of {pool.get('size')} in use, {pool.get('waiting')} waiting",
        "journal writers": document.get("writers"),
        "oldest transaction": duration(document.get("oldest_transaction_s")),
        "waiting for locks": document.get("locks_waiting"),
    }
    return sections(
        ("database", fields(head)), ("slow", table(document.get("slow", ()), SLOW, nothing="nothing is slow"))
    )
