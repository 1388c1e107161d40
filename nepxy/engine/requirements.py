"""What a provider requires of a request, held against a request. Pure; the provider's name is only for the message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nepxy.engine.capabilities import RequiredField
from nepxy.errors import FieldProblem


def unmet(
    required: tuple[RequiredField, ...], request: Mapping[str, Any], *, provider: str
) -> Iterator[FieldProblem]:
    """What of a request a provider could not work with.

    Args:
        required: as its capabilities declare it.
        request: JSON, valid or not.
        provider: its name.
    """
    for field in required:
        if field.where_given and _value(request, field.where_given) is None:
            continue
        problem = _problem(field, _value(request, field.name), provider)
        if problem is not None:
            yield FieldProblem(field.name, problem, field.hint)


def _problem(field: RequiredField, value: object, provider: str) -> str | None:
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        return f"is required by {provider}"
    if field.characters_max is not None and len(text) > field.characters_max:
        return f"is too long for {provider}: {field.characters_max} characters at most"
    if field.pattern and not re.search(field.pattern, text):
        return f"is not written as {provider} wants it"
    return None


def _value(request: Mapping[str, Any], name: str) -> object:
    value: object = request
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
