"""Pauses survive the process, and say in the audit log who set them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from nepxy.engine.outcomes import Shortfall
from nepxy.storage.controls import paused_providers, set_paused, shortfalls
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


SHORT = Shortfall(amount=150_000, currency="XOF")


def runs_short(database: peewee.Database) -> None:
    set_paused(database, "TMONEY", paused=True, reason="NOT_ENOUGH_FUNDS", who="engine", shortfall=SHORT)


def balance_is_back(database: peewee.Database) -> None:
    set_paused(database, "TMONEY", paused=False, reason="", who="engine", shortfall=SHORT)


def test_a_pause_for_want_of_money_says_how_much_and_ends_with_it(
    database: peewee.PostgresqlDatabase,
) -> None:
    runs_short(database)
    assert (paused_providers(database), shortfalls(database)) == (
        {"TMONEY": "NOT_ENOUGH_FUNDS"},
        {"TMONEY": SHORT},
    )
    balance_is_back(database)
    assert (paused_providers(database), shortfalls(database)) == ({}, {})
    assert [row[:2] for row in audited(database)] == [("engine", "pause"), ("engine", "resume")]


def test_the_engine_never_lifts_an_operators_pause(database: peewee.PostgresqlDatabase) -> None:
    runs_short(database)
    set_paused(database, "TMONEY", paused=True, reason="audit", who="operator:ama")
    assert shortfalls(database) == {}
    balance_is_back(database)
    assert paused_providers(database) == {"TMONEY": "audit"}
    assert len(audited(database)) == 2, "what was not done is not in the log"


def test_the_engines_pause_does_not_take_the_place_of_an_operators(
    database: peewee.PostgresqlDatabase,
) -> None:
    set_paused(database, "TMONEY", paused=True, reason="audit", who="operator:ama")
    runs_short(database)
    assert (paused_providers(database), shortfalls(database)) == ({"TMONEY": "audit"}, {})
    assert len(audited(database)) == 1


def test_another_refusal_takes_the_place_of_a_want_of_money(database: peewee.PostgresqlDatabase) -> None:
    runs_short(database)
    set_paused(database, "TMONEY", paused=True, reason="HTTP_403", who="engine")
    balance_is_back(database)
    assert (paused_providers(database), shortfalls(database)) == ({"TMONEY": "HTTP_403"}, {})


def test_a_pause_by_a_release_that_knows_no_shortfalls_waits_for_an_operator(
    database: peewee.PostgresqlDatabase,
) -> None:
    runs_short(database)
    for paused in (False, True):
        # As that release writes it: it leaves the columns that it does not know.
        database.execute_sql(
            "UPDATE app.provider_controls SET paused = %s, paused_by = 'engine', paused_reason = 'HTTP_403',"
            " paused_at = CASE WHEN %s THEN clock_timestamp() END",
            (paused, paused),
        )
    assert shortfalls(database) == {}
    balance_is_back(database)
    assert paused_providers(database) == {"TMONEY": "HTTP_403"}
