"""`nepxy webhooks …`: what providers told us, with what signature, and what became of it."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import RenderableType
from rich.syntax import Syntax
from rich.text import Text

from nepxy.cli.ops.api import JsonObject, segment
from nepxy.cli.ops.giving import checked_reason, post_once, report
from nepxy.cli.ops.options import EveryOption, JsonOption, LimitOption, ReasonOption, WatchOption, time_of
from nepxy.cli.ops.person import engine
from nepxy.cli.ops.selecting import ProviderOption
from nepxy.cli.ops.show import Column, fields, sections, show, table

PATH: Final = "/webhooks/events"

webhooks = typer.Typer(
    no_args_is_help=True, help="Webhooks as they came in, stored before they were answered."
)

WebhookId = Annotated[str, typer.Argument(metavar="ID", help="The webhook_id.")]

WEBHOOK_COLUMNS: Final[tuple[Column, ...]] = (
    ("webhook_id", "webhook_id"), ("received", "received_at"), ("provider", "provider"), ("state", "state"),
    ("reason", "reason"), ("signature valid", "signature_valid"), ("signed with", "signed_with"),
    ("says", "status_word"), ("transaction_id", "transaction_id"),
)  # fmt: skip


@webhooks.command("list")
def list_webhooks(
    provider: ProviderOption = "",
    state: Annotated[str, typer.Option(help="APPLIED, PARKED, IGNORED or INVALID.")] = "",
    signature_valid: Annotated[
        bool | None, typer.Option("--signature-valid/--signature-invalid", help="By what our secrets say.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it was not applied.")] = "",
    since: Annotated[str, typer.Option(help="A time, or how long ago: 15m, 2h.")] = "",
    reference: Annotated[
        str, typer.Option(help="Any reference in it: the provider's, ours, the client's.")
    ] = "",
    limit: LimitOption = 50,
    cursor: Annotated[str, typer.Option(help="Go on where the page before ended.")] = "",
    as_json: JsonOption = False,
    watch: WatchOption = False,
    every: EveryOption = 2.0,
) -> None:
    """List webhooks, newest first."""
    with engine() as api:
        since_at = time_of(since, "--since")
        show(
            lambda: api.get(
                PATH, provider=provider.upper(), state=state, signature_valid=signature_valid, reason=reason,
                since=since_at, reference=reference, limit=limit, cursor=cursor,
            ),
            _page,
            as_json=as_json,
            watch=watch,
            every_s=every,
        )  # fmt: skip


def _page(document: JsonObject) -> RenderableType:
    listed = table(document["webhooks"], WEBHOOK_COLUMNS, nothing="no webhook is like that")
    following = document.get("next_cursor")
    return sections(("webhooks", listed), ("more", Text(f"--cursor {following}"))) if following else listed


@webhooks.command("show")
def show_webhook(webhook_id: WebhookId, as_json: JsonOption = False) -> None:
    """Show one webhook with its headers and body, masked."""
    with engine() as api:
        show(lambda: api.get(f"{PATH}/{segment(webhook_id, 'webhook id')}"), _webhook, as_json=as_json)


def _webhook(document: JsonObject) -> RenderableType:
    rest = {name: value for name, value in document.items() if name not in ("headers", "body", "links")}
    body = document.get("body")
    return sections(
        ("webhook", fields(rest)),
        ("headers", fields(document.get("headers") or {})),
        ("body", _body(body)),
    )


def _body(body: object) -> RenderableType:
    if isinstance(body, dict | list):
        import json

        return Syntax(json.dumps(body, indent=2, ensure_ascii=False), "json", background_color="default")
    return Text(str(body or ""))


@webhooks.command("replay")
def replay(webhook_id: WebhookId, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """Give a stored webhook to its payout once more; the same rules decide what it may do."""
    with engine() as api:
        path = f"{PATH}/{segment(webhook_id, 'webhook id')}/replay"
        report(post_once(api, path, {"reason": checked_reason(reason)}), as_json=as_json)
