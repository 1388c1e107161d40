"""A restored database is noticed, holds every intent in the database itself, and is released by a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import peewee
import pytest

from nepxy.engine.decide.restored_rules import RESTORED
from nepxy.engine.payout import Payout, Status, TransactionId
from nepxy.storage import leases, restored
from nepxy.storage.controls import By
from nepxy.storage.database import connect_writer
from nepxy.storage.journal import write_batch
from nepxy.storage.payouts import load_payout
from nepxy.storage.writes import IntentDenied, Moved, MovePayout, Step
from tests.postgres_server import PostgresServer
from tests.storage.test_journal import NODE, a_create, a_move, a_payout, an_intent


def connected(url: str) -> peewee.PostgresqlDatabase:
    return connect_writer(url, statement_timeout_s=10, connect_timeout_s=10)


@pytest.fixture
def database(database_url_both: str) -> Iterator[peewee.PostgresqlDatabase]:
    database = connected(database_url_both)
    yield database
    database.close()


def created(database: peewee.Database, **changes: Any) -> Payout:
    payout = a_payout(**changes)
    write_batch(database, [a_create(payout)])
    return payout


def epoch(database: peewee.Database) -> int:
    held = leases.acquire_or_renew(database, node_id=NODE, host="here", app_version="0", ttl_s=600)
    return next(iter(held.epochs.values()))


def intent_on(database: peewee.Database, payout: Payout, *, knows_of: datetime | None = None) -> MovePayout:
    write = an_intent(payout, epoch(database))
    assert write.intent is not None
    return replace(write, intent=replace(write.intent, restored_at=knows_of))


def asked(database: peewee.Database, payout: Payout, *, knows_of: datetime | None = None) -> object:
    (answer,) = write_batch(database, [intent_on(database, payout, knows_of=knows_of)])
    return answer


def test_the_first_engine_takes_the_place_as_it_is_and_later_ones_find_it_unchanged(
    database: peewee.PostgresqlDatabase,
) -> None:
    assert restored.look(database) is None
    assert restored.look(database) is None
    assert database.execute_sql(
        "SELECT cluster = app.cluster_identity(), cluster ~ '^[0-9]+/[0-9]+/[0-9]+/[0-9A-F]{8}$' "
        "FROM app.engine_identity"
    ).fetchone() == (True, True)
    assert isinstance(asked(database, created(database)), Moved)


def test_a_copy_of_the_database_is_noticed_once_and_says_so_in_the_audit_log(
    postgres: PostgresServer,
) -> None:
    with postgres.fresh_database() as url:
        first = connected(url)
        restored.look(first)
        payout = created(first, next_retry_at=datetime.now(UTC) + timedelta(hours=5))
        first.close()
        name = url.partition("?")[0].rpartition("/")[2]
        with copy_of(postgres, name) as copy_url:
            copy = connected(copy_url)

            noticed = restored.look(copy)

            assert noticed is not None
            assert noticed.held
            assert restored.look(copy) == noticed
            rows = copy.execute_sql("SELECT who, command, target FROM app.audit_log").fetchall()
            assert rows == [("engine", "restore_noticed", "supervisor")]
            again = load_payout(copy, payout.transaction_id)
            assert again is not None
            assert again.next_retry_at is not None
            assert again.next_retry_at <= datetime.now(UTC), "what waits is looked at now"
            copy.close()


def copy_of(postgres: PostgresServer, name: str) -> Any:
    class _Copy:
        def __enter__(self) -> str:
            postgres.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
            return postgres.url_for(f"{name}_copy")

        def __exit__(self, *_: object) -> None:
            postgres.execute(f"DROP DATABASE {name}_copy WITH (FORCE)")

    return _Copy()


def test_no_intent_gets_in_before_anybody_has_noticed(database: peewee.PostgresqlDatabase) -> None:
    payout = created(database)
    database.execute_sql("UPDATE app.engine_identity SET cluster = 'another server'")

    assert asked(database, payout) == IntentDenied(reason="RESTORED")


def test_no_intent_gets_in_while_it_is_held_whatever_its_node_knows(
    database: peewee.PostgresqlDatabase,
) -> None:
    payout = created(database)
    restored.mark(database, why="point-in-time recovery", who="operator:cli")
    held = restored.look(database)
    assert held is not None

    assert asked(database, payout) == IntentDenied(reason="RESTORED")
    assert asked(database, payout, knows_of=held.at) == IntentDenied(reason="RESTORED")


def test_a_step_of_an_attempt_that_was_under_way_stops_too(database: peewee.PostgresqlDatabase) -> None:
    write = intent_on(database, created(database))
    (moved,) = write_batch(database, [write])
    assert isinstance(moved, Moved)
    restored.mark(database, why="restored", who="operator:cli")
    assert write.intent is not None
    step = Step(lease=write.intent.lease, send_window_s=5, answer_window_s=60, name="CONFIRMING")
    after = moved.payout.moved(Status.SENT, "STEP_CONFIRMING")

    assert write_batch(database, [a_move(moved.payout, after, step=step)]) == [
        IntentDenied(reason="RESTORED")
    ]


def test_after_the_release_only_who_knows_of_the_restore_may_submit(
    database: peewee.PostgresqlDatabase,
) -> None:
    payout = created(database)
    restored.mark(database, why="restored", who="operator:cli")

    assert restored.release(database, by=By(who="operator:ama", reason="checked"), reposts_for_s=3600)

    released = restored.look(database)
    assert released is not None
    assert released.doubt_until is not None
    left_s = (released.doubt_until - datetime.now(UTC)).total_seconds()
    assert 3500 < left_s <= 3600
    assert asked(database, payout) == IntentDenied(reason="RESTORED")
    assert isinstance(asked(database, payout, knows_of=released.at), Moved)
    rows = database.execute_sql("SELECT who, command, reason FROM app.audit_log ORDER BY audit_id").fetchall()
    assert rows == [
        ("operator:cli", "mark_restored", "restored"),
        ("operator:ama", "release_restored", "checked"),
    ]


def test_a_release_of_what_is_not_held_does_nothing(database: peewee.PostgresqlDatabase) -> None:
    restored.look(database)

    assert not restored.release(database, by=By(who="operator:ama", reason="why not"), reposts_for_s=60)
    assert database.execute_sql("SELECT count(*) FROM app.audit_log").fetchone() == (0,)


def test_a_second_restore_holds_again(database: peewee.PostgresqlDatabase) -> None:
    restored.mark(database, why="first", who="operator:cli")
    restored.release(database, by=By(who="operator:ama", reason="checked"), reposts_for_s=60)
    first = restored.look(database)

    restored.mark(database, why="second", who="operator:cli")

    second = restored.look(database)
    assert first is not None
    assert second is not None
    assert second.held
    assert second.at > first.at


def test_what_is_taken_for_sent_has_an_attempt_by_which_its_webhook_finds_it(
    database: peewee.PostgresqlDatabase,
) -> None:
    payout = created(database)
    presumed = payout.moved(
        Status.SENT,
        RESTORED,
        attempt_count=1,
        account="sandbox",
        answer_by=datetime.now(UTC),
        in_doubt_since=datetime.now(UTC),
    )

    (answer,) = write_batch(database, [a_move(payout, presumed, presumes_attempt=True)])

    assert isinstance(answer, Moved)
    rows = database.execute_sql(
        "SELECT transaction_id::text, account, in_doubt_since IS NOT NULL FROM app.payout_attempts "
        "WHERE submission_ref = %s",
        (payout.submission_ref,),
    ).fetchall()
    assert [(TransactionId(row[0]), *row[1:]) for row in rows] == [(payout.transaction_id, "sandbox", True)]


def test_status_says_what_is_in_flight(database: peewee.PostgresqlDatabase) -> None:
    created(database)
    restored.mark(database, why="drill", who="operator:cli")

    said = restored.status(database)

    assert (said.held, said.why, said.in_flight) == (True, "drill", {"PENDING": 1})


def test_the_role_that_serves_needs_no_more_than_it_has(
    postgres: PostgresServer, database_url: str, tmp_path: Path
) -> None:
    """`pg_control_system` and `pg_walfile_name` are open to everybody; a server that closed them would stop us."""
    database = connected(database_url)
    database.execute_sql("CREATE ROLE nobody_special; GRANT USAGE ON SCHEMA app TO nobody_special")
    try:
        database.execute_sql("GRANT SELECT ON app.mobile_money_payouts TO nobody_special")
        database.execute_sql("SET ROLE nobody_special")
        assert database.execute_sql("SELECT app.cluster_identity() IS NOT NULL").fetchone() == (True,)
    finally:
        database.execute_sql("RESET ROLE; DROP OWNED BY nobody_special; DROP ROLE nobody_special")
        database.close()
