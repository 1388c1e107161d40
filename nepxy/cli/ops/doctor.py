"""`nepxy doctor`: walks what the runbook knows, says what is wrong, and which command helps."""

from __future__ import annotations

from typing import Any, Final

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from nepxy.cli.ops.api import Api, JsonObject, Unreachable
from nepxy.cli.ops.options import EveryOption, JsonOption, WatchOption
from nepxy.cli.ops.person import WRONG, engine
from nepxy.cli.ops.show import STATE_STYLES, show

RUNBOOK: Final = "docs/runbook.md"


def doctor(as_json: JsonOption = False, watch: WatchOption = False, every: EveryOption = 2.0) -> None:
    """Walk the five incidents of the runbook; exit status 1 when something is wrong."""
    with engine() as api:
        last: JsonObject = {}

        def look() -> JsonObject:
            nonlocal last
            last = examine(api)
            return last

        show(look, report, as_json=as_json, watch=watch, every_s=every)
        if any(finding["state"] == "wrong" for finding in last.get("incidents", ())):
            raise typer.Exit(WRONG)


def examine(api: Api) -> JsonObject:
    """What the engine says of itself, before the incidents; where it cannot tell those, that is what is wrong.

    Raises:
        Unreachable: nobody answers at all.
    """
    status, health = api.probe("/readyz")
    node = _node(status, health)
    try:
        incidents = api.get("/incidents")["incidents"]
    except Unreachable as away:
        if node["state"] == "ok":
            raise
        incidents = []
        node["says"] += f" The incidents could not be read: {away.message}"
    return {"incidents": [node, *incidents]}


def _node(status: int, health: JsonObject) -> dict[str, Any]:
    """The engine as an entry of the same shape."""
    found: dict[str, Any] = {
        "id": "engine",
        "title": "The engine answers and takes payouts",
        "state": "ok",
        "says": "It is ready.",
        "figures": health,
        "commands": [],
        "runbook": "engine-down",
    }
    if status != 200:
        reasons = ", ".join(map(str, health.get("reasons") or ("it does not say why",)))
        found |= {
            "state": "wrong",
            "says": f"It answers, and is not ready to take payouts: {reasons}.",
            "commands": [
                {
                    "cli": "nepxy engine show",
                    "http": "GET /v1/admin/engine",
                    "does": "Shows what it waits for.",
                },
                {
                    "cli": "nepxy database",
                    "http": "GET /v1/admin/database",
                    "does": "Shows the database as it sees it.",
                },
            ],
        }
    return found


def report(document: JsonObject) -> RenderableType:
    """One line an incident; below those that are not well, the commands that help."""
    lines: list[RenderableType] = []
    for finding in document["incidents"]:
        line = Text(f"{finding['state']:<8}", style=STATE_STYLES.get(str(finding["state"]), ""))
        line.append(str(finding["title"]), style="bold")
        line.append(f"  {finding['says']}", style="not bold")
        lines.append(line)
        if finding["state"] != "ok":
            lines += [_helpful(command) for command in finding.get("commands", ())]
            lines.append(
                Text(f"         read: {RUNBOOK}#{str(finding.get('runbook', '')).lstrip('#')}", style="dim")
            )
    return Group(*lines)


def _helpful(command: JsonObject) -> Text:
    line = Text("         $ ")
    line.append(str(command["cli"]), style="bold")
    line.append(f"   {command.get('does', '')}", style="dim")
    return line
