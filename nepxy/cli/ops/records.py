"""`nepxy proposals …`, `discrepancies …` and `audit`: what waits for a second person, what disagrees, who did what."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import RenderableType
from rich.text import Text

from nepxy.cli.ops.api import JsonObject, segment
from nepxy.cli.ops.giving import checked_reason, post_once, report
from nepxy.cli.ops.options import EveryOption, JsonOption, LimitOption, ReasonOption, WatchOption
from nepxy.cli.ops.person import engine
from nepxy.cli.ops.selecting import ProviderOption
from nepxy.cli.ops.show import Column, fields, sections, show, state, table

proposals = typer.Typer(no_args_is_help=True, help="Commands that wait for a second person.")
discrepancies = typer.Typer(
    no_args_is_help=True, help="Where a provider and we disagree about a final state."
)

Number = Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")]

PROPOSALS: Final[tuple[Column, ...]] = (
    ("id", "proposal_id"), ("proposed", "proposed_at"), ("by", "proposed_by"), ("target", "target"),
    ("command", "command"), ("reason", "reason"), ("expires", "expires_at"), ("state", state("state")),
)  # fmt: skip
DISCREPANCIES: Final[tuple[Column, ...]] = (
    ("id", "discrepancy_id"), ("transaction_id", "transaction_id"), ("provider", "provider"), ("kind", "kind"),
    ("detail", "detail"), ("seen", "seen_count"), ("opened", "opened_at"), ("closed", "closed_at"),
)  # fmt: skip
ENTRIES: Final[tuple[Column, ...]] = (
    ("id", "audit_id"), ("at", "at"), ("who", "who"), ("target", "target"), ("command", "command"),
    ("outcome", "outcome"), ("approved by", "approved_by"), ("reason", "reason"),
)  # fmt: skip


@proposals.command("list")
def list_proposals(as_json: JsonOption = False, watch: WatchOption = False, every: EveryOption = 2.0) -> None:
    """List the proposals that are open."""
    with engine() as api:
        show(
            lambda: api.get("/proposals"),
            lambda it: table(it["proposals"], PROPOSALS, nothing="nothing waits for a second person"),
            as_json=as_json,
            watch=watch,
            every_s=every,
        )


@proposals.command("approve")
def approve(proposal_id: Number, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """Agree to another operator's proposal; the command is done at once."""
    _decide(proposal_id, "approve", reason, as_json=as_json)


@proposals.command("reject")
def reject(proposal_id: Number, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """Turn another operator's proposal down; nothing is done."""
    _decide(proposal_id, "reject", reason, as_json=as_json)


def _decide(proposal_id: str, decision: str, reason: str, *, as_json: bool) -> None:
    with engine() as api:
        path = f"/proposals/{segment(proposal_id, 'proposal id')}/{decision}"
        report(post_once(api, path, {"reason": checked_reason(reason)}), as_json=as_json)


@discrepancies.command("list")
def list_discrepancies(
    provider: ProviderOption = "",
    closed_too: Annotated[bool, typer.Option("--all", help="The closed ones, too.")] = False,
    as_json: JsonOption = False,
    watch: WatchOption = False,
    every: EveryOption = 2.0,
) -> None:
    """List the open discrepancies."""
    with engine() as api:
        show(
            lambda: api.get("/discrepancies", open=None if closed_too else True, provider=provider.upper()),
            lambda it: table(it["discrepancies"], DISCREPANCIES, nothing="nothing disagrees"),
            as_json=as_json,
            watch=watch,
            every_s=every,
        )


@discrepancies.command("close")
def close(discrepancy_id: Number, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """Close a discrepancy that was looked into; the reason says what was found."""
    with engine() as api:
        path = f"/discrepancies/{segment(discrepancy_id, 'discrepancy id')}/close"
        report(post_once(api, path, {"reason": checked_reason(reason)}), as_json=as_json)


def audit(
    who: Annotated[str, typer.Option(help="Who gave it.")] = "",
    target: Annotated[str, typer.Option(help="payouts/ID, providers/NAME or supervisor.")] = "",
    command: Annotated[str, typer.Option(help="Such as retry or pause.")] = "",
    before: Annotated[str, typer.Option(help="Go on below this audit id.")] = "",
    limit: LimitOption = 50,
    full: Annotated[
        bool, typer.Option("--full", help="All of each entry: arguments, before and after.")
    ] = False,
    as_json: JsonOption = False,
    watch: WatchOption = False,
    every: EveryOption = 2.0,
) -> None:
    """Show who commanded what, why, and what it changed; newest first."""
    with engine() as api:
        show(
            lambda: api.get("/audit", who=who, target=target, command=command, before=before, limit=limit),
            _whole if full else _entries,
            as_json=as_json,
            watch=watch,
            every_s=every,
        )


def _entries(document: JsonObject) -> RenderableType:
    listed = table(document["entries"], ENTRIES, nothing="no command is like that")
    following = document.get("next_before")
    return sections(("commands", listed), ("more", Text(f"--before {following}"))) if following else listed


def _whole(document: JsonObject) -> RenderableType:
    return sections(*((str(entry["audit_id"]), fields(entry)) for entry in document["entries"]))
