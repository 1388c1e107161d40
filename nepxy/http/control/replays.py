"""A stored webhook is given to its payout once more: what it may do there, the same rules decide as when it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from nepxy.actors.messages import WebhookAnswer, WebhookArrived
from nepxy.config.masking import mask_text, without_nul
from nepxy.engine.capabilities import WebhookTrust
from nepxy.errors import CommandRefused, InvariantViolation, RequestError
from nepxy.http.control.given import Answered, Given
from nepxy.http.control.orders import Order
from nepxy.http.control.payouts import REASON_BYTES_MAX
from nepxy.http.front import WebhookNotice, WebhookReader
from nepxy.http.operator_views import webhook_view
from nepxy.http.parts import Parts
from nepxy.http.webhook_rows import named_by
from nepxy.storage import audit
from nepxy.storage.webhook_events import WholeWebhook, find_webhook, learn_references
from nepxy.storage.webhook_replays import applied_before
from nepxy.storage.writes import WebhookRow

ALREADY_APPLIED: Final = "ALREADY_APPLIED"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    applied: bool
    reason: str


async def replay_webhook(parts: Parts, given: Given, webhook_id: str, order: Order) -> Answered:
    """Give a stored webhook to its payout again.

    Returns:
        200: it was given; `applied` and `reason` say what came of it.

    Raises:
        CommandRefused: it is not there, or nothing may follow from it.
        Unavailable: nobody can say what came of it; given once more, it is applied once.
    """
    target = f"webhooks/{webhook_id}"
    stored = await _found(parts, webhook_id)
    known = await _known(parts, given, target, order)
    if known is not None:
        return _answer(stored, known, replayed=True)
    try:
        outcome = await _given_again(parts, stored)
    except RequestError as refused:
        await _keep(parts, given, target, order, stored, refused.code, None)
        raise
    await _keep(parts, given, target, order, stored, "APPLIED", outcome)
    return _answer(await _found(parts, webhook_id), outcome)


async def _given_again(parts: Parts, stored: WholeWebhook) -> _Outcome:
    row = stored.row()
    adapter = parts.front.adapters.get(row.provider)
    if adapter is None:
        raise _not_replayable(f"no account of {row.provider} is configured here, so nobody can read it")
    trusted = row.signature_valid and adapter.capabilities.webhooks is WebhookTrust.SIGNED
    hint = adapter.capabilities.webhooks is WebhookTrust.HINT and stored.record.state != "INVALID"
    if not row.signature_valid and not hint:
        raise _not_replayable("its signature was not valid: anybody could have sent it")
    notice = _read(stored, adapter)
    named: dict[str, Any] = named_by(notice)
    row = replace(row, **named)
    if await _was_applied(parts, stored, row):
        return _Outcome(applied=False, reason=ALREADY_APPLIED)
    if stored.record.state == "INVALID":
        await parts.front.reader.run(learn_references, row)
    answer = await parts.engine.ask(WebhookArrived(webhook=row, report=notice.report, trusted=trusted))
    if not isinstance(answer, WebhookAnswer):
        raise InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(answer).__name__}")
    return _Outcome(applied=answer.applied, reason=answer.reason)


def _read(stored: WholeWebhook, adapter: WebhookReader) -> WebhookNotice:
    try:
        document = without_nul(orjson.loads(stored.body))
        if not isinstance(document, Mapping):
            raise _not_replayable("its body is no JSON object")
        return adapter.read_webhook(document)
    except orjson.JSONDecodeError:
        raise _not_replayable("its body is no JSON, or was cut short when it was stored") from None
    except CommandRefused:
        raise
    except RequestError as unreadable:
        raise _not_replayable(f"it still cannot be read: {unreadable.code}") from None


async def _was_applied(parts: Parts, stored: WholeWebhook, row: WebhookRow) -> bool:
    """A signed body holds for ever: what it has moved once, it must not move again (money rule 9)."""
    if stored.record.state == "APPLIED":
        return True
    if not row.signature_valid:
        return False
    before = await parts.front.reader.run(
        applied_before,
        provider=row.provider,
        provider_ref=row.provider_ref,
        our_ref=row.our_ref,
        body_sha256=row.body_sha256,
    )
    return before is not None


async def _known(parts: Parts, given: Given, target: str, order: Order) -> _Outcome | None:
    if order.command_id is None:
        return None
    known = await parts.front.reader.run(audit.find_command, order.command_id)
    if known is None:
        return None
    if (known.target, known.command, known.who) != (target, "replay", given.who):
        raise CommandRefused(
            "COMMAND_ID_CONFLICT", f"this command_id names {known.command} of {known.target}, by {known.who}"
        )
    return _Outcome(applied=bool(known.after.get("applied")), reason=str(known.after.get("why_not") or ""))


async def _keep(
    parts: Parts,
    given: Given,
    target: str,
    order: Order,
    stored: WholeWebhook,
    code: str,
    outcome: _Outcome | None,
) -> None:
    record = stored.record
    before: dict[str, Any] = {"state": record.state, "reason": record.reason}
    after = before if outcome is None else {"applied": outcome.applied, "why_not": outcome.reason}
    kept = audit.KeptCommand(
        who=given.who,
        command="replay",
        target=target,
        reason=mask_text(order.reason, REASON_BYTES_MAX),
        outcome=code,
        before=before,
        after=after,
        request_id=given.request_id,
        command_id=order.command_id if outcome is not None else None,
    )
    await parts.front.reader.run(audit.keep_command, kept)


def _answer(stored: WholeWebhook, outcome: _Outcome, *, replayed: bool = False) -> Answered:
    moved = "it was applied" if outcome.applied else f"it changed nothing ({outcome.reason})"
    waits = outcome.reason == "PAYOUT_NOT_FOUND"
    document = {
        "outcome": "APPLIED",
        "command": "replay",
        "target": f"webhooks/{stored.record.webhook_id}",
        "what": f"It was given to its payout again, and {moved}.",
        "what_next": "It waits for the payout that it names." if waits else "Nothing more happens by itself.",
        "applied": outcome.applied,
        "reason": outcome.reason,
        "webhook": webhook_view(stored.record),
    }
    return Answered(status=200, document=document | ({"replayed": True} if replayed else {}))


async def _found(parts: Parts, webhook_id: str) -> WholeWebhook:
    stored = await parts.front.reader.run(find_webhook, webhook_id)
    if stored is None:
        raise CommandRefused("WEBHOOK_NOT_FOUND", f"there is no webhook {webhook_id}")
    return stored


def _not_replayable(why: str) -> CommandRefused:
    return CommandRefused("WEBHOOK_NOT_REPLAYABLE", f"it cannot be given to a payout: {why}")
