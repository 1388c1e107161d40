"""What the document says of one route. The models in it are those that validate, so that they cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel

Schema = type[BaseModel] | Mapping[str, Any]
"""A model of ours, or a JSON Schema written down."""

JSON: Final = "application/json"
ANY_OBJECT: Final[Mapping[str, Any]] = {"type": "object", "additionalProperties": True}


class Caller(StrEnum):
    """Who may ask."""

    ANYBODY = "anybody"
    CLIENT = "client"
    OPERATOR = "operator"
    """By token, or by the console's session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A request header that the route reads."""

    name: str
    description: str
    required: bool = False
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter that no model describes."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """An answer that is no problem document."""

    description: str
    schema: Schema = field(default_factory=lambda: ANY_OBJECT)
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name: what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    summary: str
    """A sentence without its full stop."""
    group: str
    answers: Mapping[int, Success]
    details: str = ""
    caller: Caller = Caller.ANYBODY
    scope: str = ""
    body: Schema | None = None
    body_types: tuple[str, ...] = (JSON,)
    query: type[BaseModel] | None = None
    parameters: tuple[Parameter, ...] = ()
    headers: tuple[Header, ...] = ()
    errors: tuple[str, ...] = ()
    """Codes of its own; those that every such route may give (a bad token, a body that is no JSON) are added."""
