"""What overrides the configuration: set with its audit row in one transaction, and read by every node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from nepxy.engine.breaker import Forced
from nepxy.engine.controls import EngineControls, ProviderOverrides
from nepxy.storage.controls import By, controls, note_command, set_engine, set_overrides, set_paused
from nepxy.storage.database import connect_writer

BY = By(who="operator:ama", reason="slow", request_id="r-1", arguments='{"base_s": 60}', approved_by=None)


@pytest.fixture
def database(database_url_both: str) -> Iterator[peewee.PostgresqlDatabase]:
    database = connect_writer(database_url_both, statement_timeout_s=10, connect_timeout_s=10)
    yield database
    database.close()


def audited(database: peewee.Database) -> list[tuple[Any, ...]]:
    sql = (
        "SELECT who, command, target, reason, before, after, request_id, command_id FROM app.audit_log"
        " ORDER BY audit_id"
    )
    return list(database.execute_sql(sql).fetchall())


def test_an_override_holds_is_audited_and_is_taken_back(database: peewee.PostgresqlDatabase) -> None:
    assert controls(database).providers == {}
    now = set_overrides(
        database, "TMONEY", "set_backoff", {"backoff_base_s": 60.0, "backoff_cap_s": None}, BY
    )
    assert now == ProviderOverrides(backoff_base_s=60.0)
    assert controls(database).providers == {"TMONEY": now}
    set_overrides(database, "TMONEY", "set_backoff", {"backoff_base_s": None, "backoff_cap_s": None}, BY)
    assert controls(database).providers == {"TMONEY": ProviderOverrides()}
    none, sixty = (
        {"backoff_base_s": None, "backoff_cap_s": None},
        {"backoff_base_s": 60, "backoff_cap_s": None},
    )
    assert audited(database) == [
        ("operator:ama", "set_backoff", "providers/TMONEY", "slow", {}, sixty, "r-1", None),
        ("operator:ama", "set_backoff", "providers/TMONEY", "slow", sixty, none, "r-1", None),
    ]


def test_an_override_and_a_pause_leave_each_other_alone(database: peewee.PostgresqlDatabase) -> None:
    set_paused(database, "TMONEY", paused=True, reason="audit", who="operator:ama")
    set_overrides(database, "TMONEY", "open_breaker", {"breaker_forced": "open"}, BY)
    set_paused(database, "TMONEY", paused=False, reason="", who="operator:ama")
    (now,) = controls(database).providers.values()
    assert (now.breaker_forced, now.paused_by) == (Forced.OPEN, "")


def test_who_paused_it_and_since_when_is_read_back(database: peewee.PostgresqlDatabase) -> None:
    set_paused(database, "TMONEY", paused=True, reason="audit", who="operator:ama")
    (now,) = controls(database).providers.values()
    assert now.paused_by == "operator:ama"
    assert now.paused_at is not None


def test_a_command_sent_twice_is_done_once(database: peewee.PostgresqlDatabase) -> None:
    once = By(who="operator:ama", reason="slow", command_id="c-1")
    values = {"requests_per_s": 1.0, "concurrency_max": None}
    set_overrides(database, "TMONEY", "set_pace", values, once)
    set_overrides(database, "TMONEY", "set_pace", {"requests_per_s": None, "concurrency_max": None}, BY)
    again = set_overrides(database, "TMONEY", "set_pace", values, once)
    assert again == ProviderOverrides(), "what came later still holds"
    assert len(audited(database)) == 2


def test_a_pause_sent_twice_does_not_come_back_after_it_was_lifted(
    database: peewee.PostgresqlDatabase,
) -> None:
    """As where the first answer was lost, and another node takes the second."""
    once = By(who="operator:ama", reason="slow", command_id="p-1")
    for _ in range(2):
        set_paused(database, "TMONEY", paused=True, reason="slow", who=once.who, by=once)
        set_paused(database, "TMONEY", paused=False, reason="", who="operator:bea")
    set_paused(database, "TMONEY", paused=True, reason="slow", who=once.who, by=once)
    assert controls(database).providers["TMONEY"].paused_by == "", "what came later still holds"
    assert [row[1] for row in audited(database)] == ["pause", "resume", "resume"]


def test_the_engines_controls_begin_open_and_are_kept(database: peewee.PostgresqlDatabase) -> None:
    assert controls(database).engine == EngineControls()
    closed: dict[str, Any] = {"intake_open": False, "intake_reason": "slow", "intake_by": "operator:ama"}
    now = set_engine(database, "pause_intake", closed, BY)
    assert now == controls(database).engine == EngineControls(**closed)
    set_engine(database, "set_limits", {"payouts_in_memory_max": 500}, BY)
    assert controls(database).engine == EngineControls(**closed, payouts_in_memory_max=500)
    assert [row[1:4] for row in audited(database)] == [
        ("pause_intake", "supervisor", "slow"),
        ("set_limits", "supervisor", "slow"),
    ]
    assert audited(database)[0][4] == {"intake_open": True, "intake_reason": "", "intake_by": ""}


def test_a_command_that_sets_nothing_leaves_a_row_and_only_one(database: peewee.PostgresqlDatabase) -> None:
    once = By(who="operator:ama", reason="look again", command_id="c-2")
    assert note_command(database, "supervisor", "recover", once)
    assert not note_command(database, "supervisor", "recover", once)
    assert note_command(database, "providers/TMONEY", "check_balance", BY, {"amount": 5, "currency": "XOF"})
    assert [row[1] for row in audited(database)] == ["recover", "check_balance"]
    assert audited(database)[1][5] == {"amount": 5, "currency": "XOF"}
