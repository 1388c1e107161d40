"""How a setting is declared: its environment variables, limits and description live on the model's own field.

Whatever reads, documents or complains about settings takes it from there, so that the four never disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from nepxy.config.secret import Secret


class Group(BaseModel):
    """One concern's settings: what a constructor is given instead of everything."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """What a person needs to know to set one variable."""

    name: str
    """The variable; `<PROVIDER>_…` stands for one variable a provider."""
    aliases: tuple[str, ...]
    """Other accepted names, in the order in which they are looked for after `name`."""
    type: str
    default: str
    """As text; empty when there is none. Never a secret: secrets have no default."""
    description: str
    secret: bool
    """Also accepted as `<name>_FILE`: the path of a file that holds the value."""


def setting(default: Any, *names: str, description: str, default_text: str = "", **limits: Any) -> Any:
    """Declares a field that is read from the environment.

    Args:
        default: as on the model, already of the right type.
        names: the variables, first wins. `{P}` is the provider (`TMONEY`), `{MODE}` is `SANDBOX` or `REAL`.
        description: one or two sentences for `docs/` and `.env.example`, with the unit.
        default_text: says the default in words, where it depends on another setting.
        limits: pydantic's `ge`, `le`, `gt`, `lt`, `pattern`.
    """
    extra: dict[str, Any] = {"names": list(names), "default_text": default_text}
    return Field(default=default, description=description, json_schema_extra=extra, **limits)


def names_of(field: FieldInfo, provider: str = "", mode: str = "") -> tuple[str, ...]:
    """The variables of a field, first wins; a name that needs a provider or mode is left out without one."""
    templates = _extra(field).get("names", ())
    usable = (t for t in templates if (provider or "{P}" not in t) and (mode or "{MODE}" not in t))
    return tuple(template.format(P=provider, MODE=mode) for template in usable)


def is_secret(field: FieldInfo) -> bool:
    """Whether its value must never be shown, and may come from a file."""
    return field.annotation is Secret


def nested_groups(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The fields of a model that are groups themselves."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def doc_of(field: FieldInfo, names: tuple[str, ...]) -> SettingDoc:
    """The documentation of one field under these names."""
    return SettingDoc(
        name=names[0],
        aliases=names[1:],
        type=type_words(field),
        default=_extra(field).get("default_text") or _default_words(field),
        description=field.description or "",
        secret=is_secret(field),
    )


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """The words that a field takes; empty when it is not a choice."""
    if get_origin(field.annotation) is Literal:
        return tuple(str(choice) for choice in get_args(field.annotation))
    if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum):
        return tuple(choice.value for choice in field.annotation)
    return ()


def type_words(field: FieldInfo) -> str:
    """The type and its range, for people: `a whole number from 1 to 65_535`."""
    if choices := choices_of(field):
        return f"one of {', '.join(choices)}"
    if get_origin(field.annotation) is tuple:
        return "a comma-separated list"
    words: dict[Any, str] = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        Secret: "a secret",
    }
    return words.get(field.annotation, "a text") + _range_words(field)


def _range_words(field: FieldInfo) -> str:
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    limits = (
        (words[key], getattr(limit, key)) for key in words for limit in field.metadata if hasattr(limit, key)
    )
    return "".join(f" {word} {bound:,}".replace(",", "_") for word, bound in limits)


def _default_words(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    if isinstance(default, float):
        return f"{default:g}"
    return "" if is_secret(field) else str(default)


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
