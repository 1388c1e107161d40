"""From pydantic's errors to ours: every wrong field at once, in words that say what to do, without its value."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nepxy.config.providers import PROVIDER_ALIASES
from nepxy.engine.money import amount_hint
from nepxy.engine.requirements import unmet
from nepxy.errors import FieldProblem, ProviderDisabled, ProviderUnknown, RequestError, ValidationFailed
from nepxy.http.schemas import (
    PROVIDER_DISABLED,
    PROVIDER_UNKNOWN,
    Circumstances,
    Party,
    PayoutRequest,
)

M = TypeVar("M", bound=BaseModel)

_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "int_type": "is not an integer",
    "int_from_float": "is not an integer",
    "string_type": "is not text",
    "string_too_short": "is empty",
    "string_pattern_mismatch": "is not written as this field wants it",
    "model_type": "is not an object",
    "model_attributes_type": "is not an object",
    "dict_type": "is not an object",
    "too_long": "has too many entries",
}

_HINTS: Mapping[str, str] = {
    "country": "send an ISO 3166 code of two letters, such as TG",
    "nationality": "send an ISO 3166 code of two letters, such as TG",
    "currency": "send an ISO 4217 code of three letters, such as XOF",
    "external_ref": "1 to 128 characters, no blanks at its ends, no control characters",
    "reason": "say why, in 3 to 500 characters: somebody will read it after an incident",
    "phone_e164": "send the number with + and country code, such as +22890123456",
}


def query_fields(request: web.Request) -> Mapping[str, str]:
    """The query of a request, where each name may come once.

    Raises:
        ValidationFailed: one came more than once.
    """
    query = request.query
    if repeated := [name for name in query if len(query.getall(name)) > 1]:
        raise ValidationFailed(
            FieldProblem(name[:40], "came more than once", "send it once") for name in dict.fromkeys(repeated)
        )
    return dict(query)


def read_query(model: type[M], fields: Mapping[str, Any]) -> M:
    """Fields as a model.

    Raises:
        ValidationFailed: names every wrong field.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as invalid:
        raise ValidationFailed(_problems(invalid, fields, model)) from None


def read_payout_request(
    document: Mapping[str, Any], circumstances: Circumstances
) -> tuple[PayoutRequest, RequestError | None]:
    """A payout request, and why it cannot be taken at this moment, if so.

    The second is kept apart because the same request may have been taken before: then it is replayed.

    Raises:
        ValidationFailed: it could never have been taken; names every wrong field, those of the moment, too.
    """
    try:
        return PayoutRequest.model_validate(document, context=circumstances), None
    except ValidationError as invalid:
        refusal = _refusal(invalid, document, circumstances)
    try:
        return PayoutRequest.model_validate(document), refusal
    except ValidationError:
        raise refusal from None


def _refusal(
    invalid: ValidationError, document: Mapping[str, Any], circumstances: Circumstances
) -> RequestError:
    kinds = [error["type"] for error in invalid.errors()]
    provider = str(document.get("provider")).strip().upper()
    if kinds == [PROVIDER_UNKNOWN]:
        return ProviderUnknown(provider, circumstances.known)
    if kinds == [PROVIDER_DISABLED]:
        return ProviderDisabled(provider)
    problems = _problems(invalid, document, PayoutRequest)
    named = {problem.name for problem in problems}
    provider = PROVIDER_ALIASES.get(provider, provider)
    unmet = required_problems(document, provider, circumstances)
    # A field that is wrong already is named once, and so is a party that is no object.
    problems += (one for one in unmet if one.name not in named and one.name.partition(".")[0] not in named)
    return ValidationFailed(problems)


def required_problems(
    request: Mapping[str, Any], provider: str, circumstances: Circumstances
) -> list[FieldProblem]:
    """What of a request this provider could not work with, by its capabilities."""
    return list(unmet(circumstances.requires.get(provider, ()), request, provider=provider))


def _problems(
    invalid: ValidationError, document: Mapping[str, Any], model: type[BaseModel]
) -> list[FieldProblem]:
    return [_problem(error, document, model) for error in invalid.errors(include_url=False)]


def _problem(error: ErrorDetails, document: Mapping[str, Any], model: type[BaseModel]) -> FieldProblem:
    context = error.get("ctx", {})
    path = [str(part) for part in error["loc"] if part != "[key]"]
    name = ".".join(path)[:100]
    if "problem" in context:
        return FieldProblem(context["name"] or name, context["problem"], context["hint"])
    field = path[-1] if path else ""
    problem = _WORDS.get(error["type"], error["msg"][:1].lower() + error["msg"][1:])
    if error["type"] == "string_too_short" and context.get("min_length", 1) > 1:
        problem = "is too short"
    return FieldProblem(name, problem, _hint(error["type"], field, path, document, model))


def _hint(kind: str, field: str, path: list[str], document: Mapping[str, Any], model: type[BaseModel]) -> str:
    if field == "amount":
        currency = document.get("currency")
        return amount_hint(currency.upper() if isinstance(currency, str) else None)
    if kind == "extra_forbidden":
        known = Party.model_fields if len(path) > 1 else model.model_fields
        close = get_close_matches(field, list(known), n=1)
        return f"did you mean {close[0]}?" if close else f"send only {', '.join(known)}"
    return _HINTS.get(field, "")
