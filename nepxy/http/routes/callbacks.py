"""`POST` and `PUT /v1/webhooks/{provider}/{token}`: calls of the URLs that we gave to a provider that signs nothing.

The token says which payout was meant, and nothing in the body is believed: it is a hint, and makes the actor ask.
A token that is wrong or too old leads nowhere, as any path that does not exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import orjson
from aiohttp import web

from nepxy.actors.messages import WebhookAnswer, WebhookArrived
from nepxy.config.masking import without_nul
from nepxy.errors import EngineBusy, InvariantViolation, RouteNotFound
from nepxy.http.bodies import json_response, read_body
from nepxy.http.front import WebhookNotice
from nepxy.http.metrics import label
from nepxy.http.parts import note, parts_of, request_id_of
from nepxy.http.webhook_rows import Allowance, webhook_row

PATH: Final = "/v1/webhooks/{provider}/{token}"

Handler = Callable[[web.Request], Awaitable[web.Response]]


@runtime_checkable
class CallbackReader(Protocol):
    """The adapter of a provider that is given callback URLs of our making."""

    def read_callback(self, token: str, document: Mapping[str, object] | None) -> WebhookNotice | None:
        """What it is a hint about; None: the token is not ours."""


def routes(allowance: web.AppKey[Allowance]) -> tuple[tuple[str, str, Handler], ...]:
    """The routes, with the key of the allowance that all unsigned webhooks share."""

    async def receive(request: web.Request) -> web.Response:
        """Find out which payout is meant, keep what came, and have its actor ask."""
        parts = parts_of(request)
        given, token = request.match_info["provider"], request.match_info["token"]
        reader: object = parts.front.adapters.get(given.upper()) if given == given.lower() else None
        if not isinstance(reader, CallbackReader) or reader.read_callback(token, None) is None:
            raise RouteNotFound(request.path)
        provider = given.upper()
        note(provider=provider)
        body = await read_body(request)
        notice = reader.read_callback(token, _document(body))
        if notice is None:
            raise RouteNotFound(request.path)
        if not request.app[allowance].take():
            # A hint is worth no more than a look, and polls go on: nobody may fill the disk with them.
            parts.metrics.webhooks_unstored.labels(provider).inc()
            raise EngineBusy
        row = webhook_row(
            webhook_id=parts.front.new_id(),
            provider=provider,
            body=body,
            headers=request.headers,
            signed_with=None,
            notice=notice,
            request_id=request_id_of(request),
        )
        answer = await parts.engine.ask(WebhookArrived(webhook=row, report=notice.report, trusted=False))
        if not isinstance(answer, WebhookAnswer):
            raise InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(answer).__name__}")
        parts.metrics.webhooks.labels(provider, label(False), label(answer.applied)).inc()
        note(webhook_id=row.webhook_id, reason=answer.reason)
        if answer.transaction_id is not None:
            note(transaction_id=answer.transaction_id)
        # Whoever calls learns nothing of the payout.
        return json_response({"ok": True})

    return (("POST", PATH, receive), ("PUT", PATH, receive))


def _document(body: bytes) -> Mapping[str, Any] | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    cleaned: Mapping[str, Any] | None = without_nul(document) if isinstance(document, dict) else None
    return cleaned
