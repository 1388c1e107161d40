"""The settings classes of providers that come from outside this package, by entry points.

A package that brings a provider offers its settings class in the group `nepxy.provider_settings` and the provider
itself in `nepxy.providers`. Two groups, because settings are read before anything that talks HTTP is imported, and
this room must not know the adapters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from pydantic import BaseModel, Field, create_model

from nepxy.config.fields import names_of, nested_groups
from nepxy.config.providers import PROVIDER_ALIASES, PROVIDER_CLASSES, ProviderSettings
from nepxy.errors import ConfigError

SETTINGS_GROUP = "nepxy.provider_settings"

_NAME = re.compile(r"[A-Z][A-Z0-9_]{1,38}")
"""Also a label of metrics, a prefix of variables and, in lower case, a path."""
_TAKEN = frozenset(("NEPXY", "MM", "SANDBOX", "JWT", "CORS"))
"""Prefixes of our own variables."""


def provider_classes(reserved: Collection[str] = ()) -> Mapping[str, type[ProviderSettings]]:
    """The settings class of every provider that is installed, ours first, by canonical name.

    Args:
        reserved: in lower case, what the settings model calls other things.

    Raises:
        ConfigError: what a package offers cannot be used; one line for each.
    """
    return classes_of(entry_points(group=SETTINGS_GROUP), reserved)


def classes_of(
    offered: Iterable[EntryPoint], reserved: Collection[str] = ()
) -> Mapping[str, type[ProviderSettings]]:
    """Ours, and those that are offered.

    Raises:
        ConfigError: one cannot be loaded, is no settings class, or takes a name or a variable of another's.
    """
    classes = dict(PROVIDER_CLASSES)
    problems = []
    for point in sorted(offered, key=lambda point: (point.name, point.value)):
        found = _loaded(point)
        if isinstance(found, type) and classes.get(found.name) is found:
            continue  # ours, or one that is installed twice over
        problem = found if isinstance(found, str) else _problem(point, found, classes, reserved)
        if problem is not None:
            problems.append(f"{_words(point)}: {problem}")
        elif isinstance(found, type):
            classes[found.name] = found
    if problems:
        raise ConfigError(problems)
    return classes


def _loaded(point: EntryPoint) -> type[ProviderSettings] | str:
    try:
        found = point.load()
    except Exception as error:
        # Whatever another package's import does; the start is refused, and names it.
        return f"cannot be loaded ({type(error).__name__}: {error}); mend the package, or uninstall it"
    if not (isinstance(found, type) and issubclass(found, ProviderSettings)):
        return "is no subclass of nepxy.config.providers.ProviderSettings; offer the settings class"
    return found


def _problem(
    point: EntryPoint,
    found: type[ProviderSettings] | str,
    classes: Mapping[str, type[ProviderSettings]],
    reserved: Collection[str],
) -> str | None:
    if isinstance(found, str):
        return found
    name = str(getattr(found, "name", ""))
    if not _NAME.fullmatch(name) or name in _TAKEN or (name not in classes and name.lower() in reserved):
        return f"{name!r} cannot be a provider's name; use capitals, such as WAVE"
    if name != point.name:
        return f"offers the settings of {name}; call the entry point {name}"
    if name in classes or name in PROVIDER_ALIASES:
        return f"{name} is the name of another provider; take one of your own"
    theirs = set(_variables(found))
    others = {variable: one.name for one in classes.values() for variable in _variables(one)}
    if shared := sorted(theirs & others.keys()):
        return f"reads {shared[0]}, a variable of {others[shared[0]]}; begin its variables with {name}_"
    return None


def _variables(cls: type[ProviderSettings]) -> Iterable[str]:
    """Those that only this provider reads."""
    groups = (cls, *(group for _, group in nested_groups(cls)))
    for info in (info for group in groups for info in group.model_fields.values()):
        for mode in ("SANDBOX", "REAL"):
            # The last name is the shared one, where all providers read the variable.
            names = names_of(info, cls.name, mode)
            yield from (name for name in names if not name.startswith(("MM_", "NEPXY_")))


def _words(point: EntryPoint) -> str:
    package = f" of {point.dist.name}" if point.dist is not None else ""
    return f"entry point {point.name} = {point.value} ({point.group}){package}"


@lru_cache(maxsize=8)
def extended(base: type[BaseModel], classes: tuple[type[ProviderSettings], ...]) -> type[BaseModel]:
    """The settings model with a group for each of these providers besides.

    Args:
        base: a model whose providers are fields of it.
        classes: those that it has no field for.
    """
    fields = {cls.name.lower(): (cls, Field(default_factory=cls)) for cls in classes}
    made: type[BaseModel] = create_model(base.__name__, __base__=base, **fields)  # type: ignore[call-overload]
    return made
