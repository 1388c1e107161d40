"""Servers as in production: over TCP, with passwords, and with the roles of scripts/roles.sql."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ship.database_home import DatabaseHome, database_home


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Callable[[], DatabaseHome]]:
    """Makes servers, each with an empty database and its roles, until the test ends."""
    with ExitStack() as stack:

        def make() -> DatabaseHome:
            return stack.enter_context(database_home())

        yield make


@pytest.fixture
def home(homes: Callable[[], DatabaseHome]) -> DatabaseHome:
    """One such server."""
    return homes()
