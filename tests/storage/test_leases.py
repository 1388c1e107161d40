"""Shards have one owner at a time, by the database's clock, and every change of owners raises the epoch."""

from __future__ import annotations

from collections.abc import Iterator

import peewee
import pytest

from nepxy.engine.payout import SHARDS
from nepxy.storage import leases
from nepxy.storage.database import connect_writer
from nepxy.storage.leases import HeldShards


@pytest.fixture
def database(database_url_both: str) -> Iterator[peewee.PostgresqlDatabase]:
    database = connect_writer(database_url_both, statement_timeout_s=10, connect_timeout_s=10)
    yield database
    database.close()


def ask(database: peewee.Database, node_id: str) -> HeldShards:
    return leases.acquire_or_renew(database, node_id=node_id, host="here", app_version="0", ttl_s=600)


def lapse(database: peewee.Database) -> None:
    database.execute_sql("UPDATE app.shard_leases SET lease_until = clock_timestamp() - interval '1 second'")


def test_the_first_node_takes_every_shard_and_renews_without_a_new_epoch(
    database: peewee.PostgresqlDatabase,
) -> None:
    first = ask(database, "node-a")
    again = ask(database, "node-a")

    assert first.epochs == again.epochs == dict.fromkeys(range(SHARDS), 1)
    assert first.other_owner is None
    assert first.other_until is None
    assert again.database_now > first.database_now
    assert database.execute_sql("SELECT node_id, heartbeat_at > started_at FROM app.nodes").fetchall() == [
        ("node-a", True)
    ]


def test_a_second_node_gets_nothing_and_sees_who_stands_in_its_way(
    database: peewee.PostgresqlDatabase,
) -> None:
    ask(database, "node-a")

    second = ask(database, "node-b")

    assert second.epochs == {}
    assert second.other_owner == "node-a"
    assert second.other_until is not None
    assert 590 < (second.other_until - second.database_now).total_seconds() <= 600


def test_of_a_node_that_is_gone_the_lease_is_not_waited_for_and_its_epoch_is_over(
    database: peewee.PostgresqlDatabase,
) -> None:
    ask(database, "node-a")

    held = leases.acquire_or_renew(
        database, node_id="node-b", host="here", app_version="0", ttl_s=600, gone=["node-a"]
    )

    assert held.epochs == dict.fromkeys(range(SHARDS), 2)
    assert held.other_owner is None
    # It was not gone after all: it learns that it holds nothing, and its intents name an epoch that is over.
    assert ask(database, "node-a").epochs == {}
    # Who is gone is asked of one's own machine each time; who holds now is not among them.
    assert ask(database, "node-c").epochs == {}


def test_a_lapsed_lease_is_taken_over_under_the_next_epoch(database: peewee.PostgresqlDatabase) -> None:
    ask(database, "node-a")
    lapse(database)

    successor = ask(database, "node-b")
    late = ask(database, "node-a")

    assert successor.epochs == dict.fromkeys(range(SHARDS), 2)
    assert successor.other_owner is None
    assert late.epochs == {}
    assert late.other_owner == "node-b"


def test_a_node_that_lapsed_unnoticed_goes_on_under_its_epoch(database: peewee.PostgresqlDatabase) -> None:
    ask(database, "node-a")
    lapse(database)
    assert ask(database, "node-a").epochs == dict.fromkeys(range(SHARDS), 1)


def test_released_shards_are_free_at_once_under_the_next_epoch(database: peewee.PostgresqlDatabase) -> None:
    ask(database, "node-a")

    leases.release(database, node_id="node-b")
    assert ask(database, "node-b").epochs == {}
    leases.release(database, node_id="node-a")

    assert ask(database, "node-b").epochs == dict.fromkeys(range(SHARDS), 2)


def test_a_nodes_own_release_raises_the_epoch_too(database: peewee.PostgresqlDatabase) -> None:
    ask(database, "node-a")
    leases.release(database, node_id="node-a")
    assert set(ask(database, "node-a").epochs.values()) == {2}


def test_the_installations_identity_never_changes(database: peewee.PostgresqlDatabase) -> None:
    assert leases.installation_id(database) == leases.installation_id(database)
