"""The document's words on what machines ask: health, readiness, metrics, and this very document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nepxy.http.api_docs.operation import ANY_OBJECT, Operation, Success

_GROUP: Final = "Machines"


def _object(**properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": True,
    }


_BOOLEAN: Final = {"type": "boolean"}
_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_HEALTH: Final = _object(
    ok={"const": True},
    db_ok=_BOOLEAN,
    version=_TEXT,
    git_sha=_TEXT,
    env=_TEXT,
    mode=_TEXT,
    engine=ANY_OBJECT,
    recovery=ANY_OBJECT,
)
_READINESS: Final = _object(
    ready=_BOOLEAN,
    migrations_ok=_BOOLEAN,
    migrations_pending=_TEXTS,
    reasons=_TEXTS,
    engine=ANY_OBJECT,
    recovery=ANY_OBJECT,
)

MACHINE_OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/healthz"): Operation(
        summary="Say whether the process lives, and how it is",
        group=_GROUP,
        answers={200: Success(description="It lives; what is wrong is in the fields.", schema=_HEALTH)},
    ),
    ("GET", "/readyz"): Operation(
        summary="Say whether a payout would be taken and worked on",
        group=_GROUP,
        answers={
            200: Success(description="It would.", schema=_READINESS),
            503: Success(description="It would not: `reasons` says why.", schema=_READINESS),
        },
    ),
    ("GET", "/metrics"): Operation(
        summary="Give everything that is measured, for Prometheus",
        group=_GROUP,
        answers={200: Success(description="Text.", schema=_TEXT, content_type="text/plain")},
    ),
    ("GET", "/openapi.json"): Operation(
        summary="Give this document",
        group=_GROUP,
        answers={200: Success(description="OpenAPI 3.1.")},
    ),
    ("GET", "/docs"): Operation(
        summary="Show this document to a person",
        group=_GROUP,
        answers={200: Success(description="A page.", schema=_TEXT, content_type="text/html")},
    ),
    ("GET", "/docs/style.css"): Operation(
        summary="Give the page's looks",
        group=_GROUP,
        answers={200: Success(description="A style sheet.", schema=_TEXT, content_type="text/css")},
    ),
}
