"""The document's words on the engine, its providers and its actors. Longer ones: docs/operators-api.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nepxy.http.api_docs.client_operations import ENGINE_AWAY
from nepxy.http.api_docs.operation import Caller, Operation, Success
from nepxy.http.api_docs.operator_operations import REFUSED, commanding, items, reading
from nepxy.http.auth import ADMIN_READ
from nepxy.http.control.bulk import BulkOrder
from nepxy.http.control.orders import Order
from nepxy.http.routes.engine import SeriesQuery

_GROUP: Final = "Engine"
_LEVERS: Final = "Levers"

ENGINE_OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/v1/admin/providers"): reading(
        "List the providers as they are now", group=_GROUP, schema=items("providers"), errors=ENGINE_AWAY
    ),
    ("GET", "/v1/admin/providers/{name}"): reading(
        "Read a provider, with its account and its contract",
        group=_GROUP,
        errors=("PROVIDER_UNKNOWN", *ENGINE_AWAY),
    ),
    ("GET", "/v1/admin/engine"): reading("Read this node's engine", group=_GROUP, errors=ENGINE_AWAY),
    ("GET", "/v1/admin/actors"): reading(
        "Read the live tree of actors", group=_GROUP, schema=items("actors"), errors=ENGINE_AWAY
    ),
    ("GET", "/v1/admin/actors/payouts/{transaction_id}"): reading(
        "Read a payout's actor, or when the next one comes for it",
        group=_GROUP,
        errors=("PAYOUT_NOT_FOUND", *ENGINE_AWAY),
    ),
    ("GET", "/v1/admin/database"): reading(
        "Read what the database is busy with, and our connections to it", group=_GROUP
    ),
    ("GET", "/v1/admin/incidents"): reading(
        "Judge the runbook's five incidents by live figures", group=_GROUP, schema=items("incidents")
    ),
    ("POST", "/v1/admin/bulk"): commanding(
        "Give a command to all payouts that a selector finds, so many a minute; or say what that would touch",
        group=_LEVERS,
        body=BulkOrder,
        errors=("BULK_OVER_THE_CAP", "BULK_SELECTS_NOTHING", *REFUSED),
    ),
    ("GET", "/v1/admin/bulk"): reading("List the levers' runs", group=_LEVERS, schema=items("runs")),
    ("GET", "/v1/admin/bulk/{run_id}"): reading(
        "Read a run with its items", group=_LEVERS, errors=("BULK_RUN_NOT_FOUND",)
    ),
    ("POST", "/v1/admin/bulk/{run_id}/stop"): commanding(
        "Stop what a run has not done yet",
        group=_LEVERS,
        body=Order,
        errors=("BULK_RUN_NOT_FOUND", "COMMAND_NOT_VALID"),
    ),
    ("GET", "/v1/admin/live"): Operation(
        summary="Watch it live",
        details="Server-sent events: `snapshot` every two seconds, `changed` as payouts move.",
        group=_GROUP,
        caller=Caller.OPERATOR,
        scope=ADMIN_READ,
        answers={
            200: Success(
                description="A stream that ends when either side ends it.",
                schema={"type": "string"},
                content_type="text/event-stream",
            )
        },
        errors=ENGINE_AWAY,
    ),
    ("GET", "/v1/admin/series"): reading(
        "Read payouts by state and provider over the last minutes",
        group=_GROUP,
        schema=items("points"),
        query=SeriesQuery,
    ),
}
