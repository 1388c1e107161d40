"""`POST /v1/webhooks/{provider}`: what providers tell us (providers.md, section 8).

Stored before it is answered (money rule 9): a 200 means that it is in the database, and so does a 4xx to a signed one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from nepxy.actors.messages import WebhookAnswer, WebhookArrived
from nepxy.actors.messages import WebhookRefused as KeepRefused
from nepxy.engine.capabilities import WebhookTrust
from nepxy.errors import CODES, InvariantViolation, RequestError, RouteNotFound, WebhookRefused
from nepxy.http.bodies import json_response, read_body
from nepxy.http.front import WebhookNotice, WebhookReader
from nepxy.http.metrics import label
from nepxy.http.parts import Parts, note, parts_of, request_id_of
from nepxy.http.webhook_rows import (
    UNSIGNED_STORED_PER_S_MAX,
    Allowance,
    webhook_row,
    without_nul,
)
from nepxy.storage.writes import WebhookRow

SIGNATURE: Final = "X-Signature"
ALLOWANCE: Final = web.AppKey("webhook_allowance", Allowance)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Came:
    """A webhook as it came over the wire."""

    parts: Parts
    request: web.Request
    provider: str
    adapter: WebhookReader
    body: bytes
    signed_with: str | None

    def row(self, notice: WebhookNotice | None) -> WebhookRow:
        return webhook_row(
            webhook_id=self.parts.front.new_id(),
            provider=self.provider,
            body=self.body,
            headers=self.request.headers,
            signed_with=self.signed_with,
            notice=notice,
            request_id=request_id_of(self.request),
        )

    def count(self, *, applied: bool) -> None:
        valid = label(self.signed_with is not None)
        self.parts.metrics.webhooks.labels(self.provider, valid, label(applied)).inc()


async def receive(request: web.Request) -> web.Response:
    """Check who signed it, read it, hand it to the engine; answer once it is stored."""
    parts = parts_of(request)
    provider, adapter = _provider(parts, request)
    note(provider=provider)
    body = await read_body(request)
    settings = parts.front.settings.providers[provider]
    signature = request.headers.get(SIGNATURE, "").strip()
    signed_with = None
    if signature:
        signed_with = parts.front.signed_with(
            body, signature, current=settings.webhook_secret, previous=settings.webhook_secret_previous
        )
    came = _Came(
        parts=parts,
        request=request,
        provider=provider,
        adapter=adapter,
        body=body,
        signed_with=signed_with,
    )
    unsigned_is_a_hint = adapter.capabilities.webhooks is WebhookTrust.HINT and not signature
    if signed_with is None and not unsigned_is_a_hint:
        has_secret = settings.webhook_secret or settings.webhook_secret_previous
        raise await _refused(came, _signature_problem(bool(has_secret), signature))
    try:
        notice = adapter.read_webhook(_document(body, provider))
    except RequestError as error:
        raise await _refused(came, error.code) from None
    except Exception:
        # The adapter's own defect: whatever the provider said must not be lost by it.
        await _keep(came, "UNREADABLE")
        raise
    return await _delivered(came, notice)


def _provider(parts: Parts, request: web.Request) -> tuple[str, WebhookReader]:
    """Paths are in lower case, one each; a provider that is switched off is heard all the same (money rule 10)."""
    given = request.match_info["provider"]
    adapter = parts.front.adapters.get(given.upper()) if given == given.lower() else None
    if adapter is None:
        raise RouteNotFound(request.path)
    return given.upper(), adapter


def _signature_problem(has_secret: bool, signature: str) -> str:
    if not has_secret:
        return "WEBHOOK_SECRET_NOT_CONFIGURED"
    return "INVALID_SIGNATURE" if signature else "MISSING_SIGNATURE"


def _document(body: bytes, provider: str) -> Mapping[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise WebhookRefused("INVALID_JSON", provider) from None
    if not isinstance(document, dict):
        raise WebhookRefused("INVALID_JSON", provider)
    if b"\\u0000" in body:
        cleaned: dict[str, Any] = without_nul(document)
        return cleaned
    return document


async def _refused(came: _Came, code: str) -> WebhookRefused:
    """Keep it, then say why nothing follows from it."""
    known = code if code in CODES else "INVALID_JSON"
    await _keep(came, known)
    return WebhookRefused(known, came.provider)


async def _keep(came: _Came, reason: str) -> None:
    if came.signed_with is None and not came.request.app[ALLOWANCE].take():
        came.parts.metrics.webhooks_unstored.labels(came.provider).inc()
    else:
        await came.parts.engine.ask(KeepRefused(webhook=came.row(None), reason=reason))
    came.count(applied=False)


async def _delivered(came: _Came, notice: WebhookNotice) -> web.Response:
    row = came.row(notice)
    answer = await came.parts.engine.ask(
        WebhookArrived(webhook=row, report=notice.report, trusted=came.signed_with is not None)
    )
    if not isinstance(answer, WebhookAnswer):
        raise InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(answer).__name__}")
    came.count(applied=answer.applied)
    note(webhook_id=row.webhook_id, applied=answer.applied, reason=answer.reason)
    if answer.transaction_id is not None:
        note(transaction_id=answer.transaction_id)
    said = {
        "ok": True,
        "provider": came.provider,
        "provider_ref": notice.provider_ref,
        "external_ref": notice.our_ref,
        "status": notice.status_word,
    }
    if answer.applied:
        return json_response({**said, "applied": True})
    return json_response({**said, "applied": False, "ignored": True, "reason": answer.reason})


def allowance() -> Allowance:
    """What of unsigned webhooks is stored; by the clock of whichever loop serves."""
    return Allowance(UNSIGNED_STORED_PER_S_MAX, clock=lambda: asyncio.get_running_loop().time())


ROUTES: Final = (("POST", "/v1/webhooks/{provider}", receive),)
