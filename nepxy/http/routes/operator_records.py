"""What operators look up and close: the audit log, discrepancies, and what idempotency keys hold."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from nepxy.config.masking import mask_text
from nepxy.errors import CommandRefused, FieldProblem, ValidationFailed
from nepxy.http.auth import ADMIN_READ, ADMIN_WRITE
from nepxy.http.bodies import json_response, read_object
from nepxy.http.control.given import who
from nepxy.http.control.orders import Order
from nepxy.http.control.payouts import REASON_BYTES_MAX
from nepxy.http.kept_requests import differences, key_view, normalised
from nepxy.http.operator_views import audit_view
from nepxy.http.parts import Parts, parts_of, request_id_of
from nepxy.http.schemas import PAGE_DEFAULT, Incoming, Provider
from nepxy.http.searches import Text
from nepxy.http.validation import query_fields, read_query
from nepxy.storage.audit import PAGE_MAX, AuditFilter, AuditRecord, audit_page, find_command
from nepxy.storage.discrepancies import (
    Closing,
    DiscrepancyRecord,
    close_discrepancy,
    find_discrepancy,
    list_discrepancies,
)
from nepxy.storage.idempotency import keys_named

ID_MAX: Final = 2**63 - 1
Limit = Annotated[int, Field(ge=1, le=PAGE_MAX)]
Before = Annotated[int, Field(ge=1, le=ID_MAX)]


class _Query(BaseModel):
    """What every query has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AuditQuery(_Query):
    """`GET /v1/admin/audit`."""

    who: Text | None = None
    target: Text | None = None
    command: Text | None = None
    before: Before | None = None
    limit: Limit = PAGE_DEFAULT


class DiscrepancyQuery(_Query):
    """`GET /v1/admin/discrepancies`."""

    open: bool | None = None
    provider: Provider | None = None
    before: Before | None = None
    limit: Limit = PAGE_DEFAULT


class KeyQuery(_Query):
    """`GET /v1/admin/idempotency`."""

    key: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
    client_id: Text | None = None


class Comparison(Incoming):
    """`POST /v1/admin/idempotency/compare`: the body that the client sent now."""

    client_id: Text
    key: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
    body: dict[str, Any]


async def audit(request: web.Request) -> web.Response:
    """A page of the audit log, newest first."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    query = read_query(AuditQuery, query_fields(request))
    wanted = query.who if query.who is None or ":" in query.who or query.who == "engine" else who(query.who)
    narrowed = AuditFilter(who=wanted, target=query.target, command=query.command)
    found = await parts.front.reader.run(audit_page, narrowed, before=query.before, limit=query.limit + 1)
    shown, more = found[: query.limit], len(found) > query.limit
    return json_response(
        {
            "entries": [audit_view(record) for record in shown],
            "next_before": shown[-1].audit_id if more else None,
        }
    )


async def discrepancies(request: web.Request) -> web.Response:
    """Where a provider and we disagree, newest first."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    query = read_query(DiscrepancyQuery, query_fields(request))
    found = await parts.front.reader.run(
        list_discrepancies,
        is_open=query.open,
        provider=query.provider,
        before=query.before,
        limit=query.limit + 1,
    )
    shown, more = found[: query.limit], len(found) > query.limit
    return json_response(
        {
            "discrepancies": [asdict(record) for record in shown],
            "next_before": shown[-1].discrepancy_id if more else None,
        }
    )


async def close(request: web.Request) -> web.Response:
    """A person has found out, and says what it was."""
    parts = parts_of(request)
    operator = await parts.gatekeeper.operator(request, ADMIN_WRITE)
    given = request.match_info["discrepancy_id"]
    if not given.isascii() or not given.isdecimal() or int(given) > ID_MAX:
        raise CommandRefused("DISCREPANCY_NOT_FOUND", f"{given[:40]!r} is no discrepancy_id: it is a number")
    order = read_query(Order, await read_object(request))
    closing = Closing(
        who=who(operator.operator_id),
        reason=mask_text(order.reason, REASON_BYTES_MAX),
        request_id=request_id_of(request),
        command_id=order.command_id,
    )
    known = None
    if order.command_id is not None:
        known = await parts.front.reader.run(find_command, order.command_id)
    if known is not None:
        return json_response(await _closed_before(parts, int(given), closing, known) | {"replayed": True})
    record = await parts.front.reader.run(close_discrepancy, int(given), closing)
    if record is None:
        raise await _not_closed(parts, int(given))
    return json_response(_closed(record))


async def keys(request: web.Request) -> web.Response:
    """Who used an idempotency key, for which request, and what it was answered."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    query = read_query(KeyQuery, query_fields(request))
    found = await parts.front.reader.run(keys_named, query.key, client_id=query.client_id)
    return json_response({"keys": [key_view(record) for record in found]})


async def compare(request: web.Request) -> web.Response:
    """In which fields a body differs from the request that its key names. It changes nothing, so reading suffices."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    wanted = read_query(Comparison, await read_object(request))
    found = await parts.front.reader.run(keys_named, wanted.key, client_id=wanted.client_id)
    if not found:
        raise CommandRefused(
            "IDEMPOTENCY_KEY_NOT_FOUND", f"client {wanted.client_id[:80]} has used no such key"
        )
    try:
        sent = normalised(wanted.body)
    except ValidationFailed as invalid:
        raise ValidationFailed(
            FieldProblem(f"body.{field.name}", field.problem, field.hint) for field in invalid.fields
        ) from None
    differ = differences(found[0].request_body, sent)
    return json_response({"same": not differ, "differences": differ})


def _closed(record: DiscrepancyRecord) -> dict[str, Any]:
    return {
        "outcome": "APPLIED",
        "command": "close",
        "target": f"discrepancies/{record.discrepancy_id}",
        "what": "The discrepancy is closed.",
        "what_next": "If the provider says so again, it opens again.",
        "discrepancy": asdict(record),
    }


async def _closed_before(
    parts: Parts, discrepancy_id: int, closing: Closing, known: AuditRecord
) -> dict[str, Any]:
    ours = (f"discrepancies/{discrepancy_id}", "close", closing.who)
    if (known.target, known.command, known.who) != ours:
        raise CommandRefused(
            "COMMAND_ID_CONFLICT", f"this command_id names {known.command} of {known.target}, by {known.who}"
        )
    record = await parts.front.reader.run(find_discrepancy, discrepancy_id)
    if record is None:
        raise await _not_closed(parts, discrepancy_id)
    return _closed(record)


async def _not_closed(parts: Parts, discrepancy_id: int) -> CommandRefused:
    record = await parts.front.reader.run(find_discrepancy, discrepancy_id)
    if record is None or record.closed_at is None:
        return CommandRefused("DISCREPANCY_NOT_FOUND", f"there is no discrepancy {discrepancy_id}")
    return CommandRefused(
        "DISCREPANCY_CLOSED", f"it was closed at {record.closed_at.isoformat()} by {record.closed_by}"
    )


ROUTES: Final = (
    ("GET", "/v1/admin/audit", audit),
    ("GET", "/v1/admin/discrepancies", discrepancies),
    ("POST", "/v1/admin/discrepancies/{discrepancy_id}/close", close),
    ("GET", "/v1/admin/idempotency", keys),
    ("POST", "/v1/admin/idempotency/compare", compare),
)
