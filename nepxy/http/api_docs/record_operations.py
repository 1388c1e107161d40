"""The document's words on what operators look up: what waits, webhooks, discrepancies, the audit log, clients' keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nepxy.http.api_docs.client_operations import ENGINE_AWAY
from nepxy.http.api_docs.operation import Caller, Operation, Success
from nepxy.http.api_docs.operator_operations import commanding, items, reading
from nepxy.http.auth import ADMIN_READ
from nepxy.http.control.orders import Order
from nepxy.http.operator_views import PAYOUTS_PATH, WEBHOOKS_PATH
from nepxy.http.routes.operator_records import AuditQuery, Comparison, DiscrepancyQuery, KeyQuery
from nepxy.http.routes.operator_webhooks import WebhookListQuery
from nepxy.http.searches import PageQuery

_PAYOUTS: Final = "Payouts, for operators"
_WEBHOOKS: Final = "Webhooks, for operators"
_RECORDS: Final = "Records"
_COMPARED: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["same", "differences"],
    "properties": {
        "same": {"type": "boolean"},
        "differences": {
            "type": "array",
            "items": {"type": "object", "required": ["field", "stored", "sent"]},
        },
    },
}

RECORD_OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", f"{PAYOUTS_PATH}/review"): reading(
        "List what waits for a person, oldest first, with what may safely be done",
        group=_PAYOUTS,
        schema=items("payouts"),
        query=PageQuery,
        errors=("CURSOR_INVALID",),
    ),
    ("GET", f"{PAYOUTS_PATH}/summary"): reading(
        "Count what is in flight, and what this node settled since it started",
        group=_PAYOUTS,
        schema=items("in_flight"),
    ),
    ("GET", f"{PAYOUTS_PATH}/{{transaction_id}}/webhooks"): reading(
        "List the webhooks that speak of a payout",
        group=_PAYOUTS,
        schema=items("webhooks"),
        errors=("PAYOUT_NOT_FOUND",),
    ),
    ("GET", WEBHOOKS_PATH): reading(
        "List webhooks, newest first",
        group=_WEBHOOKS,
        schema=items("webhooks"),
        query=WebhookListQuery,
        errors=("CURSOR_INVALID",),
    ),
    ("GET", f"{WEBHOOKS_PATH}/{{webhook_id}}"): reading(
        "Read a webhook with its headers and its body, masked", group=_WEBHOOKS, errors=("WEBHOOK_NOT_FOUND",)
    ),
    ("POST", f"{WEBHOOKS_PATH}/{{webhook_id}}/replay"): commanding(
        "Give a stored webhook to its payout again",
        details="The same rules decide as when it came; what was applied once is never applied again.",
        group=_WEBHOOKS,
        body=Order,
        answers={200: Success(description="It was given: `applied` and `reason` say what came of it.")},
        errors=("WEBHOOK_NOT_FOUND", "WEBHOOK_NOT_REPLAYABLE", "COMMAND_ID_CONFLICT", *ENGINE_AWAY),
    ),
    ("GET", "/v1/admin/audit"): reading(
        "Read what operators did, newest first", group=_RECORDS, schema=items("entries"), query=AuditQuery
    ),
    ("GET", "/v1/admin/discrepancies"): reading(
        "List where a provider and we disagree",
        group=_RECORDS,
        schema=items("discrepancies"),
        query=DiscrepancyQuery,
    ),
    ("POST", "/v1/admin/discrepancies/{discrepancy_id}/close"): commanding(
        "Close a discrepancy that a person has cleared up",
        group=_RECORDS,
        body=Order,
        answers={200: Success(description="Closed, or closed before under this `command_id`.")},
        errors=("DISCREPANCY_NOT_FOUND", "DISCREPANCY_CLOSED", "COMMAND_ID_CONFLICT", *ENGINE_AWAY),
    ),
    ("GET", "/v1/admin/idempotency"): reading(
        "Look up what an idempotency key holds, masked", group=_RECORDS, schema=items("keys"), query=KeyQuery
    ),
    ("POST", "/v1/admin/idempotency/compare"): Operation(
        summary="Name the fields in which a body differs from the request that its key names",
        details="It changes nothing.",
        group=_RECORDS,
        caller=Caller.OPERATOR,
        scope=ADMIN_READ,
        body=Comparison,
        answers={200: Success(description="Compared, and masked after that.", schema=_COMPARED)},
        errors=("IDEMPOTENCY_KEY_NOT_FOUND",),
    ),
}
