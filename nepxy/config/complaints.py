"""Pydantic's errors as lines that a person can act on: `NAME: what is wrong; what to do`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from nepxy.config.catalogue import did_you_mean
from nepxy.config.fields import choices_of, doc_of, is_secret, names_of, nested_groups, type_words
from nepxy.config.masking import mask_text

_SHOWN_BYTES_MAX = 60


def complaints(
    root: type[BaseModel], invalid: ValidationError, origin: Mapping[tuple[str, ...], str]
) -> dict[tuple[str, ...], str]:
    """One line for each value that the model refused, by the value's place in the tree.

    A secret's value is never quoted; another's is, cut and with phone numbers masked.

    Args:
        root: the model that refused.
        invalid: what pydantic says.
        origin: which variable each value came from.
    """
    lines: dict[tuple[str, ...], str] = {}
    for error in invalid.errors(include_url=False):
        path, info = _locate(root, error["loc"])
        name = origin.get(path) or ".".join(path)
        lines.setdefault(path, f"{name}: {_what(error, info)}")
    return lines


def _locate(root: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[tuple[str, ...], FieldInfo]:
    """The field at fault; what pydantic adds for an item of a list is left off."""
    name = str(loc[0])
    info = root.model_fields[name]
    group = dict(nested_groups(root)).get(name)
    if group is None or len(loc) == 1:
        return (name,), info
    path, info = _locate(group, loc[1:])
    return (name, *path), info


def _what(error: ErrorDetails, info: FieldInfo) -> str:
    value = error["input"]
    shown = "the value" if is_secret(info) else mask_text(repr(value), _SHOWN_BYTES_MAX)
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    if choices := choices_of(info):
        return f"{shown} is not one of {', '.join(choices)}{did_you_mean(str(value).lower(), choices)}"
    limits = {"greater_than_equal": "too small", "greater_than": "too small"}
    limits |= {"less_than_equal": "too large", "less_than": "too large"}
    if error["type"] in limits:
        return f"{shown} is {limits[error['type']]}; set {type_words(info)}{_default(info)}"
    if error["type"] == "string_pattern_mismatch":
        return f"{shown} has the wrong form; it is this: {info.description}"
    return f"{shown} cannot be read; set {type_words(info)}{_default(info)}"


def _default(info: FieldInfo) -> str:
    default = doc_of(info, names_of(info, "<PROVIDER>", "<MODE>")).default
    return f" (default: {default})" if default else ""
