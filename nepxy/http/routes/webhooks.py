"""`POST /v1/webhooks/{provider}`: what providers tell us (providers.md, section 8).

Stored before it is answered (money rule 9): a 200 means that it is in the database, and so does a 4xx to a signed one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from aiohttp import web

from nepxy.actors.messages import LookForReplay, WebhookAnswer, WebhookArrived
from nepxy.actors.messages import WebhookRefused as KeepRefused
from nepxy.config.masking import without_nul
from nepxy.engine.capabilities import WebhookTrust
from nepxy.engine.payout import Status
from nepxy.errors import CODES, EngineBusy, InvariantViolation, RequestError, RouteNotFound, WebhookRefused
from nepxy.http.bodies import json_response, read_body
from nepxy.http.front import WebhookNotice, WebhookReader
from nepxy.http.metrics import WEBHOOK_REFUSALS, label
from nepxy.http.parts import Parts, note, parts_of, request_id_of
from nepxy.http.routes import callbacks
from nepxy.http.webhook_rows import (
    UNSIGNED_STORED_PER_S_MAX,
    Allowance,
    webhook_row,
)
from nepxy.storage.webhook_replays import AppliedBefore, applied_before
from nepxy.storage.writes import WebhookRow

SIGNATURE: Final = "X-Signature"
ALREADY_APPLIED: Final = "ALREADY_APPLIED"
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

    @property
    def is_trusted(self) -> bool:
        """Whether it may settle: signed, by a provider whose contract says that its webhooks are worth that much."""
        return self.signed_with is not None and self.adapter.capabilities.webhooks is WebhookTrust.SIGNED

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
        self.parts.metrics.webhook(self.provider, valid, label(applied)).inc()


async def receive(request: web.Request) -> web.Response:
    """Check who signed it, read it, hand it to the engine; answer once it is stored."""
    parts = parts_of(request)
    provider, adapter = _provider(parts, request)
    note(provider=provider)
    body = await read_body(request)
    signature = request.headers.get(SIGNATURE, "").strip()
    secrets = parts.secrets.webhooks(provider)
    signed_with = None
    if signature:
        signed_with = parts.front.signed_with(
            body, signature, current=secrets.current, previous=secrets.previous
        )
        parts.metrics.webhook_signature(provider, signed_with or "none").inc()
    came = _Came(
        parts=parts,
        request=request,
        provider=provider,
        adapter=adapter,
        body=body,
        signed_with=signed_with,
    )
    if signed_with is None and not (_takes_hints(parts, provider, adapter) and not signature):
        raise await _refused(came, _signature_problem(bool(secrets), signature))
    try:
        notice = adapter.read_webhook(_document(body, provider))
    except RequestError as error:
        raise await _refused(came, error.code) from None
    except Exception:
        # The adapter's own defect: whatever the provider said must not be lost by it.
        await _keep(came, "UNREADABLE")
        raise
    if signed_with is None and not request.app[ALLOWANCE].take():
        # A hint is worth no more than a look, and polls go on: nobody may fill the disk with them.
        parts.metrics.webhooks_unstored.labels(provider).inc()
        raise EngineBusy
    return await _delivered(came, notice)


def _takes_hints(parts: Parts, provider: str, adapter: WebhookReader) -> bool:
    """Whether an unsigned one is taken, as a hint."""
    unsigned = not parts.front.settings.providers[provider].signs_webhooks
    return unsigned and adapter.capabilities.webhooks is WebhookTrust.HINT


async def _applied_before(came: _Came, row: WebhookRow) -> AppliedBefore | None:
    """The payout that this very body has settled or moved before: a signature has no date, and holds for ever."""
    return await came.parts.front.reader.run(
        applied_before,
        provider=row.provider,
        provider_ref=row.provider_ref,
        our_ref=row.our_ref,
        body_sha256=row.body_sha256,
    )


def _replayed(came: _Came, notice: WebhookNotice, known: AppliedBefore) -> web.Response:
    """Answered as what it is. It is stored already, with the day on which it was applied."""
    # Final ones have had reasons of their own for longer than this check exists.
    settled = known.status in (Status.CONFIRMED, Status.FAILED)
    reason = f"ALREADY_{known.status.value}" if settled else ALREADY_APPLIED
    came.count(applied=False)
    came.parts.metrics.webhook_replays.labels(came.provider).inc()
    note(transaction_id=known.transaction_id, applied=False, reason=reason, replayed=True)
    said = _said(came, notice)
    return json_response({**said, "applied": False, "ignored": True, "reason": reason, "replayed": True})


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
    came.parts.metrics.webhooks_refused.labels(
        came.provider, known if known in WEBHOOK_REFUSALS else "INVALID_JSON"
    ).inc()
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
    arrived = WebhookArrived(
        webhook=row, report=notice.report, trusted=came.is_trusted, unchecked=row.signature_valid
    )
    answer = await came.parts.engine.ask(arrived)
    if isinstance(answer, LookForReplay):
        if (known := await _applied_before(came, row)) is not None:
            return _replayed(came, notice, known)
        answer = await came.parts.engine.ask(replace(arrived, unchecked=False))
    if not isinstance(answer, WebhookAnswer):
        raise InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(answer).__name__}")
    came.count(applied=answer.applied)
    note(webhook_id=row.webhook_id, applied=answer.applied, reason=answer.reason)
    if answer.transaction_id is not None:
        note(transaction_id=answer.transaction_id)
    said = _said(came, notice)
    if answer.applied:
        return json_response({**said, "applied": True})
    return json_response({**said, "applied": False, "ignored": True, "reason": answer.reason})


def _said(came: _Came, notice: WebhookNotice) -> dict[str, Any]:
    return {
        "ok": True,
        "provider": came.provider,
        "provider_ref": notice.provider_ref,
        "external_ref": notice.our_ref,
        "status": notice.status_word,
    }


def allowance() -> Allowance:
    """What of unsigned webhooks is stored; by the clock of whichever loop serves."""
    return Allowance(UNSIGNED_STORED_PER_S_MAX, clock=lambda: asyncio.get_running_loop().time())


ROUTES: Final = (("POST", "/v1/webhooks/{provider}", receive), *callbacks.routes(ALLOWANCE))
