"""What import-linter's contracts (setup.cfg, run by `make lint`) cannot say about the package's shape."""

from __future__ import annotations

import ast
import configparser
from pathlib import Path

import pytest

import nepxy

ROOT = Path(__file__).parents[2]
PACKAGE = Path(nepxy.__file__).parent
# Imports that reach the environment. `os.environ` by any other name still starts with one of them.
ENVIRONMENT_NAMES = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def environment_reads(source: str) -> list[int]:
    """The lines on which this source touches the environment."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        is_attribute = (
            isinstance(node, ast.Attribute)
            and node.attr in ENVIRONMENT_NAMES
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
        )
        is_import = (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and any(alias.name in ENVIRONMENT_NAMES for alias in node.names)
        )
        if isinstance(node, (ast.Attribute, ast.ImportFrom)) and (is_attribute or is_import):
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize(
    "source",
    ["import os\nos.environ['A']", "import os\nos.getenv('A')", "import re\nfrom os import environ as e"],
)
def test_a_read_of_the_environment_is_recognised(source: str) -> None:
    assert environment_reads(source) == [2]


def test_only_config_reads_the_environment() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.is_relative_to(PACKAGE / "config")
        for line in environment_reads(path.read_text(encoding="utf-8"))
    ]

    assert offenders == [], "read it in nepxy/config and pass the value on"


def test_every_room_has_its_place_in_the_contracts() -> None:
    """A new room would be bound by no arrow, and nobody would notice."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    named = "\n".join(
        line
        for section in config.sections()
        if section.startswith("importlinter:contract:")
        for line in config[section].values()
    ).split()

    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}

    # Migrations are files for pw-migrate, not modules: nothing can import them, and the next test looks inside.
    assert {f"nepxy.{room}" for room in rooms - {"migrations"}} <= set(named)


def test_migrations_import_peewee_at_most() -> None:
    """An applied migration is frozen, so it must not depend on code that changes."""
    imported = set()
    for path in (PACKAGE / "migrations").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or ".")

    assert imported <= {"__future__", "peewee", "peewee_migrate"}
