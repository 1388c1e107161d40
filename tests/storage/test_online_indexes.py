"""Indexes that are built beside payouts: missing ones, broken ones, and by two at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import peewee
import pytest

from nepxy.storage.database import connect_writer
from nepxy.storage.migrate import migrate_up
from nepxy.storage.online_indexes import ONLINE_INDEXES, build_indexes


@pytest.fixture
def database(empty_database_url: str) -> Iterator[peewee.PostgresqlDatabase]:
    migrate_up(empty_database_url)
    made = connect_writer(empty_database_url, statement_timeout_s=10, connect_timeout_s=5)
    yield made
    made.close()


def valid(database: peewee.PostgresqlDatabase) -> set[str]:
    rows = database.execute_sql(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisvalid"
    ).fetchall()
    return {name for (name,) in rows} & set(ONLINE_INDEXES)


def test_what_is_missing_is_built_once(database: peewee.PostgresqlDatabase, empty_database_url: str) -> None:
    assert valid(database) == set()
    assert build_indexes(empty_database_url) == list(ONLINE_INDEXES)
    assert valid(database) == set(ONLINE_INDEXES)
    assert build_indexes(empty_database_url) == []


def test_an_index_that_a_broken_run_left_is_built_anew(
    database: peewee.PostgresqlDatabase, empty_database_url: str
) -> None:
    build_indexes(empty_database_url)
    name = next(iter(ONLINE_INDEXES))
    database.execute_sql(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('app.' || %s)", (name,)
    )
    assert name not in valid(database)
    assert build_indexes(empty_database_url) == [name]
    assert valid(database) == set(ONLINE_INDEXES)


def test_of_two_that_build_at_once_one_waits_and_finds_nothing_to_do(
    database: peewee.PostgresqlDatabase, empty_database_url: str
) -> None:
    with ThreadPoolExecutor(2) as pool:
        built = list(pool.map(build_indexes, [empty_database_url] * 2))
    assert sorted(built) == [[], list(ONLINE_INDEXES)]
    assert valid(database) == set(ONLINE_INDEXES)
    database.execute_sql("SELECT pg_advisory_lock(%s)", (0x6E65707879696478,))
    with pytest.raises(TimeoutError):
        build_indexes(empty_database_url, wait_s=0)


def test_the_searches_that_they_are_for_are_led_by_them(
    database: peewee.PostgresqlDatabase, empty_database_url: str
) -> None:
    build_indexes(empty_database_url)
    database.execute_sql("SET enable_seqscan = off")
    for sql, name in (
        ("SELECT 1 FROM app.mobile_money_payouts p WHERE p.phone_e164 = '+22890123456'", "payouts_phone"),
        ("SELECT 1 FROM app.webhook_events w WHERE NOT w.signature_valid ORDER BY w.webhook_id", "unsound"),
        ("SELECT 1 FROM app.webhook_events w WHERE w.state = 'INVALID' ORDER BY w.webhook_id", "unsound"),
    ):
        plan = "\n".join(row[0] for row in database.execute_sql(f"EXPLAIN {sql}").fetchall())
        assert name in plan, plan
