"""Webhooks, for operators: those that came, one of them, and giving it to its payout again."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import BeforeValidator

from nepxy.config.masking import mask_text
from nepxy.errors import CommandRefused
from nepxy.http.auth import ADMIN_READ, ADMIN_WRITE
from nepxy.http.bodies import json_response, read_object
from nepxy.http.control.given import Given
from nepxy.http.control.orders import Order
from nepxy.http.control.replays import replay_webhook
from nepxy.http.ids import as_transaction_id
from nepxy.http.operator_views import WEBHOOKS_PATH, webhook_view
from nepxy.http.parts import note, parts_of, request_id_of
from nepxy.http.schemas import Moment, Provider, upper
from nepxy.http.searches import PageQuery, Text, binding
from nepxy.http.validation import query_fields, read_query
from nepxy.storage.webhook_events import WebhookSearch, find_webhook, search_webhooks

LOOKED_BACK: Final = timedelta(days=7)
"""How far back is looked for what no index leads to, where no `since` says."""
BODY_BYTES_MAX: Final = 16_384


class WebhookListQuery(PageQuery):
    """`GET /v1/admin/webhooks/events`."""

    provider: Provider | None = None
    state: Annotated[Literal["INVALID", "PARKED", "APPLIED", "IGNORED"], BeforeValidator(upper)] | None = None
    signature_valid: bool | None = None
    reason: Text | None = None
    since: Moment | None = None
    reference: Text | None = None


async def browse(request: web.Request) -> web.Response:
    """A page of webhooks, newest first."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    query = read_query(WebhookListQuery, query_fields(request))
    search = WebhookSearch(
        provider=query.provider,
        state=query.state,
        signature_valid=query.signature_valid,
        reason=query.reason,
        since=query.since,
        reference=query.reference.strip() if query.reference is not None else None,
    )
    since = parts.now() - LOOKED_BACK if search.needs_since else search.since
    bound_to = binding("webhooks", query)
    before = None
    if query.cursor is not None:
        (before,) = parts.cursors.open(query.cursor, bound_to=bound_to, length=1)
    found = await parts.front.reader.run(
        search_webhooks,
        WebhookSearch(**{name: getattr(search, name) for name in WebhookSearch.__slots__} | {"since": since}),
        providers=tuple(parts.front.settings.providers),
        before=before,
        limit=query.limit + 1,
    )
    shown, more = found[: query.limit], len(found) > query.limit
    cursor = parts.cursors.seal([shown[-1].webhook_id], bound_to=bound_to) if more else None
    return json_response(
        {"webhooks": [webhook_view(record) for record in shown], "next_cursor": cursor, "since": since}
    )


async def read(request: web.Request) -> web.Response:
    """One, with its headers and its body, masked."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    webhook_id = _id_of(request)
    stored = await parts.front.reader.run(find_webhook, webhook_id)
    if stored is None:
        raise CommandRefused("WEBHOOK_NOT_FOUND", f"there is no webhook {webhook_id}")
    body = mask_text(stored.body, BODY_BYTES_MAX)
    return json_response(webhook_view(stored.record) | {"headers": stored.headers, "body": body})


async def replay(request: web.Request) -> web.Response:
    """Give one to its payout again."""
    parts = parts_of(request)
    operator = await parts.gatekeeper.operator(request, ADMIN_WRITE)
    webhook_id = _id_of(request)
    order = read_query(Order, await read_object(request))
    given = Given(operator_id=operator.operator_id, request_id=request_id_of(request))
    note(operator_id=operator.operator_id, webhook_id=webhook_id)
    answered = await replay_webhook(parts, given, webhook_id, order)
    return json_response(answered.document, status=answered.status)


def _id_of(request: web.Request) -> str:
    given = request.match_info["webhook_id"]
    webhook_id = as_transaction_id(given)
    if webhook_id is None:
        raise CommandRefused("WEBHOOK_NOT_FOUND", f"{given[:80]!r} is no webhook_id: it is a UUID")
    return webhook_id


ROUTES: Final = (
    ("GET", WEBHOOKS_PATH, browse),
    ("GET", f"{WEBHOOKS_PATH}/{{webhook_id}}", read),
    ("POST", f"{WEBHOOKS_PATH}/{{webhook_id}}/replay", replay),
)
