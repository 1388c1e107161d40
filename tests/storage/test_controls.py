"""Pauses survive the process, and say in the audit log who set them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from nepxy.storage.controls import paused_providers, set_paused
from nepxy.storage.database import connect_writer


@pytest.fixture
def database(database_url_both: str) -> Iterator[peewee.PostgresqlDatabase]:
    database = connect_writer(database_url_both, statement_timeout_s=10, connect_timeout_s=10)
    yield database
    database.close()


def audited(database: peewee.Database) -> list[tuple[Any, ...]]:
    sql = "SELECT who, command, target, reason, before, after FROM app.audit_log ORDER BY audit_id"
    return list(database.execute_sql(sql).fetchall())


def test_a_pause_holds_for_its_provider_until_it_is_lifted(database: peewee.PostgresqlDatabase) -> None:
    assert paused_providers(database) == {}
    set_paused(database, "TMONEY", paused=True, reason="HTTP_403", who="engine")
    assert paused_providers(database) == {"TMONEY": "HTTP_403"}
    set_paused(database, "TMONEY", paused=False, reason="", who="ama")
    assert paused_providers(database) == {}


def test_every_pause_and_resume_leaves_a_row_with_what_was_before(
    database: peewee.PostgresqlDatabase,
) -> None:
    set_paused(database, "TMONEY", paused=True, reason="HTTP_403", who="engine")
    set_paused(database, "TMONEY", paused=False, reason="", who="ama")
    paused, open_ = {"paused": True, "reason": "HTTP_403"}, {"paused": False, "reason": ""}
    assert audited(database) == [
        ("engine", "pause", "providers/TMONEY", "HTTP_403", {}, paused),
        ("ama", "resume", "providers/TMONEY", "", paused, open_),
    ]
