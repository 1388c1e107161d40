"""From environment variables to the raw tree that the settings model validates.

Knows names, their order and `*_FILE`; knows nothing of what a value must look like. Reading never stops at a
problem: all are collected, so that a person mends them in one go.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel

from nepxy.config.fields import is_secret, names_of, nested_groups
from nepxy.config.groups import Mode
from nepxy.config.providers import PAYER_ID, PAYER_ID_PREFIX, ProviderSettings, ThunesSettings

_SECRET_FILE_BYTES_MAX = 65_536


@dataclass(slots=True)
class Reading:
    """What was found in the environment."""

    tree: dict[str, Any] = field(default_factory=dict)
    """For the model: groups nested, only what is set."""
    origin: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Which variable a value came from, by its place in the tree: `("tmoney", "retry", "base_s")`."""
    problems: list[str] = field(default_factory=list)


def process_environ() -> Mapping[str, str]:
    """The process's variables over those of a `.env` file in the working directory, if there is one."""
    file = Path(".env")
    from_file = dotenv_values(file) if file.is_file() else {}
    return {**{name: value for name, value in from_file.items() if value is not None}, **os.environ}


def read(root: type[BaseModel], environ: Mapping[str, str], *, mode: Mode) -> Reading:
    """Everything that `environ` says about the fields of `root` and of its groups.

    Args:
        root: a model whose fields are made by `setting` or are groups.
        environ: the variables; a blank one counts as not set, because Compose passes what is unset as blank.
        mode: picks the providers' `SANDBOX` or `REAL` variables.
    """
    reading = Reading()
    reading.tree = _group(root, (), environ, reading, provider="", mode=mode)
    return reading


def _group(
    model: type[BaseModel],
    path: tuple[str, ...],
    environ: Mapping[str, str],
    reading: Reading,
    *,
    provider: str,
    mode: Mode,
) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        found = _first(names_of(info, provider, mode.upper()), environ, reading, secret=is_secret(info))
        if found is not None:
            reading.origin[*path, name], tree[name] = found
    for name, group in nested_groups(model):
        owner = group.name if issubclass(group, ProviderSettings) else provider
        tree[name] = _group(group, (*path, name), environ, reading, provider=owner, mode=mode)
    if issubclass(model, ThunesSettings):
        tree["payer_ids"] = _payer_ids(environ)
        reading.origin[*path, "payer_ids"] = f"{PAYER_ID_PREFIX}<ISO2>"
    return tree


def _payer_ids(environ: Mapping[str, str]) -> dict[str, str]:
    found = ((PAYER_ID.fullmatch(name), value.strip()) for name, value in environ.items())
    return {match[1]: value for match, value in found if match and value}


def _first(
    names: tuple[str, ...], environ: Mapping[str, str], reading: Reading, *, secret: bool
) -> tuple[str, str] | None:
    """The first variable that is set, with its value. A secret may be in the file that `<name>_FILE` names."""
    for name in names:
        value = environ.get(name, "")
        file = environ.get(f"{name}_FILE", "").strip() if secret else ""
        if value.strip() and file:
            reading.problems.append(f"{name}: {name}_FILE is set, too; set one of the two")
        if value.strip():
            # Spaces may belong to a secret; a line's end never does, and would break an HTTP header.
            return name, value.strip("\r\n") if secret else value.strip()
        if file and (text := _secret_file(f"{name}_FILE", Path(file), reading)):
            return name, text
    return None


def _secret_file(variable: str, file: Path, reading: Reading) -> str:
    """Its text; empty where it may be, or where a problem was noted."""
    try:
        with file.open("rb") as stream:
            content = stream.read(_SECRET_FILE_BYTES_MAX + 1)
        text = content.decode().strip("\r\n")
    except OSError as error:
        reading.problems.append(
            f"{variable}: {file} cannot be read ({error.strerror}); mount it, or mend the path"
        )
        return ""
    except UnicodeDecodeError:
        reading.problems.append(f"{variable}: {file} is not UTF-8 text; write the secret as text")
        return ""
    # Between two rotations there is no previous secret, and a running process cannot be told of another file.
    if not content.strip() and variable.endswith("_PREVIOUS_FILE"):
        return ""
    if not text.strip() or len(content) > _SECRET_FILE_BYTES_MAX:
        size = "empty" if not text.strip() else f"larger than {_SECRET_FILE_BYTES_MAX} bytes"
        reading.problems.append(f"{variable}: {file} is {size}; write the secret, and only it, into the file")
        return ""
    return text
