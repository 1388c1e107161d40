"""The document's words on what providers call: webhooks, signed, and MTN's callbacks, which are hints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nepxy.http.api_docs.client_operations import ENGINE_AWAY
from nepxy.http.api_docs.operation import ANY_OBJECT, Header, Operation, Success

_GROUP: Final = "Webhooks"
_TAKEN: Final[Mapping[str, object]] = {
    "type": "object",
    "required": ["ok", "provider", "status", "applied"],
    "properties": {
        "ok": {"const": True},
        "provider": {"type": "string"},
        "provider_ref": {"type": ["string", "null"]},
        "external_ref": {"type": ["string", "null"]},
        "status": {"type": "string"},
        "applied": {"type": "boolean"},
        "ignored": {"type": "boolean"},
        "reason": {"type": "string"},
        "replayed": {"type": "boolean"},
    },
}
_CALLBACK: Final = Operation(
    summary="Take a provider's callback at the URL that was made for one payout",
    details="Unsigned, so only a hint: it makes the engine ask the provider. What it says settles nothing.",
    group=_GROUP,
    body=ANY_OBJECT,
    body_types=("application/json", "text/plain", "application/octet-stream"),
    answers={
        200: Success(
            description="Stored.",
            schema={"type": "object", "properties": {"ok": {"const": True}}, "required": ["ok"]},
        )
    },
    errors=(*ENGINE_AWAY, "DATABASE_UNAVAILABLE"),
)

PROVIDER_OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/v1/webhooks/{provider}"): Operation(
        summary="Take a provider's webhook",
        details=(
            "Stored before it is answered. `applied` says whether it changed a payout; where not, `reason` says why: "
            "`PAYOUT_NOT_FOUND` (kept, and joined once the payout is known), `ALREADY_CONFIRMED`, `ALREADY_FAILED`, "
            "`ALREADY_APPLIED`, `NOT_UPDATED`."
        ),
        group=_GROUP,
        body=ANY_OBJECT,
        body_types=("application/json", "text/plain", "application/octet-stream"),
        headers=(
            Header(
                name="X-Signature",
                description="HMAC-SHA256 of the raw body in lower-case hex, with or without `sha256=` before it.",
            ),
        ),
        answers={200: Success(description="Stored.", schema=_TAKEN)},
        errors=(
            "MISSING_SIGNATURE",
            "INVALID_SIGNATURE",
            "INVALID_JSON",
            "MISSING_STATUS",
            "MISSING_PROVIDER_REF_OR_EXTERNAL_REF",
            "WEBHOOK_SECRET_NOT_CONFIGURED",
            "DATABASE_UNAVAILABLE",
            *ENGINE_AWAY,
        ),
    ),
    ("POST", "/v1/webhooks/{provider}/{token}"): _CALLBACK,
    ("PUT", "/v1/webhooks/{provider}/{token}"): _CALLBACK,
}
