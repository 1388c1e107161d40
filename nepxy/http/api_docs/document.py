"""Builds the OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0) out of operations and error codes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from nepxy.errors import CODES
from nepxy.http.api_docs.operation import Caller, Operation, Schema, Success

VERSION: Final = "3.1.0"
PROBLEM_JSON: Final = "application/problem+json"
_REFERENCE: Final = "#/components/schemas/{model}"

_PATH_PARAMETERS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "transaction_id": ("The payout's id, a UUIDv7.", {"type": "string", "format": "uuid"}),
    "provider": ("In lower case.", {"type": "string"}),
    "token": ("Ours, from the URL that the provider was given.", {"type": "string", "minLength": 1}),
}
_SECURITY: Final[Mapping[Caller, list[dict[str, list[str]]]]] = {
    Caller.ANYBODY: [],
    Caller.CLIENT: [{"bearer": []}],
    Caller.OPERATOR: [{"bearer": []}, {"session": []}],
}
_UNAUTHENTICATED: Final = ("TOKEN_MISSING", "TOKEN_INVALID", "TOKEN_EXPIRED", "TOKEN_NOT_YET_VALID")
_OF_CALLERS: Final[Mapping[Caller, tuple[str, ...]]] = {
    Caller.ANYBODY: (),
    Caller.CLIENT: (*_UNAUTHENTICATED, "SCOPE_MISSING", "CLIENT_DISABLED", "RATE_LIMITED"),
    Caller.OPERATOR: (
        *_UNAUTHENTICATED,
        "SCOPE_MISSING",
        "CLIENT_DISABLED",
        "SESSION_OVER",
        "CSRF_TOKEN_WRONG",
    ),
}
_OF_BODIES: Final = (
    "JSON_INVALID",
    "BODY_TOO_LARGE",
    "BODY_TOO_SLOW",
    "CONTENT_TYPE_UNSUPPORTED",
    "VALIDATION_FAILED",
)
_OF_THE_DATABASE: Final = ("DATABASE_UNAVAILABLE",)
_OF_ALL: Final = ("JSON_INVALID", "INTERNAL_ERROR")
"""`JSON_INVALID` also stands for a request that cannot be read at all."""


def openapi(operations: Mapping[tuple[str, str], Operation], *, version: str) -> dict[str, Any]:
    """The document.

    Args:
        operations: by method and path template.
        version: the release's.
    """
    schemas: dict[str, Any] = {"Problem": _problem_schema()}
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in operations.items():
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, operation, schemas)
    return {
        "openapi": VERSION,
        "info": {
            "title": "NepXy",
            "version": version,
            "summary": "Pays people's mobile-money wallets, each payout exactly once.",
            "description": (
                "JSON in, JSON out. Amounts are integers in the currency's ISO 4217 minor unit (XOF has none: 1000 "
                "is 1000 francs). Times are ISO 8601 with an offset, answered in UTC. Errors are problem documents "
                "(RFC 9457): decide on `code`, which is stable for ever."
            ),
        },
        "tags": [{"name": name} for name in dict.fromkeys(one.group for one in operations.values())],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "From POST /v1/auth/token.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "nepxy_session",
                    "description": "The console's; what changes something needs the header X-CSRF-Token besides.",
                },
            },
        },
    }


def error_codes(operation: Operation, path: str) -> tuple[str, ...]:
    """Every code that the route may answer with, each once."""
    protected = operation.caller is not Caller.ANYBODY
    return tuple(
        dict.fromkeys(
            (
                *operation.errors,
                *_OF_CALLERS[operation.caller],
                *(_OF_THE_DATABASE if protected else ()),
                *(_OF_BODIES if operation.body is not None else ()),
                *(("VALIDATION_FAILED",) if operation.query or operation.parameters else ()),
                *(("ROUTE_NOT_FOUND",) if "{" in path else ()),
                *_OF_ALL,
            )
        )
    )


def _operation(method: str, path: str, operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "operationId": _operation_id(method, path),
        "tags": [operation.group],
        "summary": operation.summary,
        "security": _SECURITY[operation.caller],
        "responses": {
            **{str(status): _success(answer, schemas) for status, answer in operation.answers.items()},
            **_problems(error_codes(operation, path)),
        },
    }
    about = [operation.details, f"Needs the scope `{operation.scope}`." if operation.scope else ""]
    if description := " ".join(filter(None, about)):
        document["description"] = description
    if parameters := [*_path_parameters(path), *_query(operation, schemas), *_headers(operation)]:
        document["parameters"] = parameters
    if operation.body is not None:
        schema = _schema(operation.body, schemas)
        document["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": schema} for kind in operation.body_types},
        }
    return document


def _operation_id(method: str, path: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", path.removeprefix("/v1"))
    return "_".join([method.lower(), *words])


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)[^}]*\}", path):
        description, schema = _PATH_PARAMETERS.get(name, ("", {"type": "string", "minLength": 1}))
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": dict(schema),
        }


def _query(operation: Operation, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if operation.query is not None:
        whole = operation.query.model_json_schema(ref_template=_REFERENCE)
        schemas.update(whole.pop("$defs", {}))
        for name, schema in whole.get("properties", {}).items():
            required = name in whole.get("required", ())
            yield {"name": name, "in": "query", "required": required, "schema": _without_title(schema)}
    for parameter in operation.parameters:
        yield {
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "schema": dict(parameter.schema),
        }


def _headers(operation: Operation) -> Iterator[dict[str, Any]]:
    for header in operation.headers:
        yield {
            "name": header.name,
            "in": "header",
            "required": header.required,
            "description": header.description,
            "schema": dict(header.schema),
        }


def _success(answer: Success, schemas: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "description": answer.description,
        "content": {answer.content_type: {"schema": _schema(answer.schema, schemas)}},
    }
    if answer.headers:
        document["headers"] = {
            name: {"description": says, "schema": {"type": "string"}} for name, says in answer.headers.items()
        }
    return document


def _problems(codes: Iterable[str]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code].http_status, []).append(code)
    return {str(status): _problem(status, of_status) for status, of_status in sorted(by_status.items())}


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    lines = (f"- `{code}`: {CODES[code].title}. {CODES[code].what_to_do}" for code in codes)
    document: dict[str, Any] = {
        "description": "\n".join(lines),
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        document["headers"] = {
            "Retry-After": {
                "description": "Whole seconds.",
                "schema": {"type": "string", "pattern": "^[0-9]+$"},
            }
        }
    return document


def _schema(schema: Schema, schemas: dict[str, Any]) -> Mapping[str, Any]:
    if not isinstance(schema, type):
        return schema
    return _model(schema, schemas)


def _model(model: type[BaseModel], schemas: dict[str, Any]) -> Mapping[str, Any]:
    document = model.model_json_schema(ref_template=_REFERENCE)
    schemas.update(document.pop("$defs", {}))
    schemas[model.__name__] = document
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _without_title(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != "title"}


def _problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "RFC 9457. `hint` says what to do; `fields` names what was wrong.",
        "required": ["type", "title", "status", "detail", "instance", "code", "hint", "request_id"],
        "additionalProperties": True,
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
            "code": {"type": "string", "enum": list(CODES)},
            "hint": {"type": "string"},
            "request_id": {"type": "string"},
            "fields": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "problem", "hint"],
                    "properties": {key: {"type": "string"} for key in ("name", "problem", "hint")},
                },
            },
        },
    }
