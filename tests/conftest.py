"""A real PostgreSQL for the whole run, and a fresh, migrated database for each test that asks for one.

`NEPXY_TEST_PG` chooses the embedded server's version (18). `NEPXY_TEST_DATABASE_URL` names a server outside instead;
its role must be able to create databases, and every database made there is dropped again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.postgres_server import PostgresServer, embedded_server, outside_server

OUTSIDE_URL = os.environ.get("NEPXY_TEST_DATABASE_URL")
VERSION = int(os.environ.get("NEPXY_TEST_PG", "18"))


LONG = ("simulation", "journey", "console", "ship", "runbook", "bench", "chaos")
"""Begun first: what comes last should be short, or one worker ends long after the others."""


def pytest_configure() -> None:
    """Tracebacks in the log are plain: drawn with everybody's locals, one takes seconds."""
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long directories first; within one, and among the rest, the order stays."""
    here = Path(__file__).parent
    rank = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.relative_to(here).parts[0], len(LONG)))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server of this run: one version, shared by all tests."""
    with outside_server(OUTSIDE_URL) if OUTSIDE_URL else embedded_server(VERSION) as server:
        yield server


@pytest.fixture(scope="session", params=[18, 16], ids=["pg18", "pg16"])
def postgres_both(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """Newest and oldest supported version, one after the other: what a test of SQL should stand on."""
    server: PostgresServer = request.getfixturevalue("postgres")
    if server.version == request.param:
        yield server
    elif OUTSIDE_URL:
        pytest.skip(f"NEPXY_TEST_DATABASE_URL is PostgreSQL {server.version}, not {request.param}")
    else:
        with embedded_server(request.param) as other:
            yield other


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """A migrated database of this test's own."""
    with postgres.fresh_database() as url:
        yield url


@pytest.fixture
def engine_database_url(postgres: PostgresServer, database_url: str) -> str:
    """The same, as the role that serves in production: what whole engines run on."""
    return postgres.as_engine(database_url)


@pytest.fixture
def database_url_both(postgres_both: PostgresServer) -> Iterator[str]:
    """A migrated database of this test's own, on each supported version."""
    with postgres_both.fresh_database() as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_both: PostgresServer) -> Iterator[str]:
    """A database without our schema, on each supported version."""
    with postgres_both.fresh_database(migrated=False) as url:
        yield url
