"""What the database's errors mean for the transaction that they interrupted; PostgreSQL itself makes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

import peewee
import psycopg2
import pytest

from nepxy.storage.database import (
    Fault,
    NotConnected,
    Reader,
    connect,
    connect_writer,
    fault_of,
    is_race,
    needs_new_connection,
    sqlstate_of,
)
from tests.storage.test_journal import Journal

KEEPS, LEAVES = False, True

TABLE = {
    # Rolled back, and not because of what was written.
    "40001": (Fault.TRY_AGAIN, KEEPS),  # serialization failure
    "40P01": (Fault.TRY_AGAIN, KEEPS),  # deadlock
    "53100": (Fault.TRY_AGAIN, KEEPS),  # disk full
    "53200": (Fault.TRY_AGAIN, KEEPS),  # out of memory
    "55P03": (Fault.TRY_AGAIN, KEEPS),  # lock not available
    "57014": (Fault.TRY_AGAIN, KEEPS),  # query cancelled: statement time-out
    "58030": (Fault.TRY_AGAIN, KEEPS),  # I/O error
    # Somebody took a table or a right away for a while; no value of a write can cause it.
    "42501": (Fault.TRY_AGAIN, KEEPS),  # insufficient privilege
    "42P01": (Fault.TRY_AGAIN, KEEPS),  # undefined table
    "3F000": (Fault.TRY_AGAIN, KEEPS),  # invalid schema name
    # The session or its server is the wrong one.
    "25006": (Fault.TRY_AGAIN, LEAVES),  # read-only transaction: a failover went past us
    "25P02": (Fault.TRY_AGAIN, LEAVES),  # in failed transaction
    "25P03": (Fault.TRY_AGAIN, LEAVES),  # idle in transaction for too long
    "28000": (Fault.TRY_AGAIN, LEAVES),  # log-in refused, as a pooler passes it on
    "28P01": (Fault.TRY_AGAIN, LEAVES),  # wrong password
    "3D000": (Fault.TRY_AGAIN, LEAVES),  # no such database
    "53300": (Fault.TRY_AGAIN, LEAVES),  # too many connections
    # The reply may have crossed with the commit.
    "08006": (Fault.OUTCOME_UNKNOWN, LEAVES),  # connection failure
    "08007": (Fault.OUTCOME_UNKNOWN, LEAVES),  # transaction resolution unknown
    "08P01": (Fault.OUTCOME_UNKNOWN, LEAVES),  # protocol violation, as poolers report a lost server
    "40003": (Fault.OUTCOME_UNKNOWN, LEAVES),  # statement completion unknown
    "57P01": (Fault.OUTCOME_UNKNOWN, LEAVES),  # admin shutdown
    "57P02": (Fault.OUTCOME_UNKNOWN, LEAVES),  # crash shutdown
    "57P03": (Fault.OUTCOME_UNKNOWN, LEAVES),  # cannot connect now
    "57P05": (Fault.OUTCOME_UNKNOWN, LEAVES),  # idle session time-out
    # What was written is wrong: again would be wrong again.
    "21000": (Fault.REFUSED, KEEPS),  # cardinality violation
    "22003": (Fault.REFUSED, KEEPS),  # numeric value out of range
    "22P05": (Fault.REFUSED, KEEPS),  # untranslatable character
    "23502": (Fault.REFUSED, KEEPS),  # NOT NULL
    "23505": (Fault.REFUSED, KEEPS),  # unique
    "23514": (Fault.REFUSED, KEEPS),  # CHECK
    "54000": (Fault.REFUSED, KEEPS),  # program limit exceeded: too long for an index
    "P0001": (Fault.REFUSED, KEEPS),  # raised by a trigger
    "XX001": (Fault.REFUSED, KEEPS),  # data corrupted: stands alone, rather than hold up the rest
}


@pytest.fixture
def journal(database_url_both: str) -> Iterator[Journal]:
    journal = Journal(database_url_both)
    yield journal
    with suppress(peewee.PeeweeException):
        journal.database.close()


def raised(code: str) -> str:
    return f"DO $$ BEGIN RAISE 'as told' USING ERRCODE = '{code}'; END $$"


def error_of(database: peewee.Database, sql: str) -> Exception:
    with pytest.raises((peewee.PeeweeException, psycopg2.Error)) as caught:
        database.execute_sql(sql)
    return caught.value


def test_every_condition_is_classified_by_its_sqlstate(journal: Journal) -> None:
    errors = {code: error_of(journal.database, raised(code)) for code in TABLE}

    assert {code: sqlstate_of(error) for code, error in errors.items()} == {code: code for code in TABLE}
    assert {code: (fault_of(error), needs_new_connection(error)) for code, error in errors.items()} == TABLE
    assert [code for code, error in errors.items() if is_race(error)] == ["23505"]


def test_the_drivers_own_errors_are_classified_as_peewees_are(journal: Journal) -> None:
    cursor = journal.database.connection().cursor()
    for code, (fault, leaves) in TABLE.items():
        with pytest.raises(psycopg2.Error) as caught:
            cursor.execute(raised(code))
        assert (fault_of(caught.value), needs_new_connection(caught.value)) == (fault, leaves), code


def test_an_error_says_nothing_of_the_one_that_was_being_handled(journal: Journal) -> None:
    later = peewee.InterfaceError("connection already closed")
    # As if raised while the other was handled.
    later.__context__ = error_of(journal.database, raised("23505"))

    assert fault_of(later) is Fault.OUTCOME_UNKNOWN


@pytest.mark.parametrize(
    ("sql", "fault", "leaves"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", Fault.OUTCOME_UNKNOWN, LEAVES),
        ("SET statement_timeout = 1; SELECT pg_sleep(10)", Fault.TRY_AGAIN, KEEPS),
        ("BEGIN READ ONLY; UPDATE app.shard_leases SET epoch = 2", Fault.TRY_AGAIN, LEAVES),
        ("INSERT INTO app.shard_leases (shard) VALUES (1)", Fault.REFUSED, KEEPS),
        ("""SELECT '"\\u0000"'::jsonb""", Fault.REFUSED, KEEPS),
        ("SELECT FROM app.gone", Fault.TRY_AGAIN, KEEPS),
    ],
    ids=["terminated", "time-out", "read-only", "unique", "NUL", "no-table"],
)
def test_conditions_as_they_come(journal: Journal, sql: str, fault: Fault, leaves: bool) -> None:
    error = error_of(journal.database, sql)
    assert (fault_of(error), needs_new_connection(error)) == (fault, leaves)


def test_a_connection_that_is_gone_leaves_the_outcome_unknown(journal: Journal) -> None:
    journal.database.connection().close()

    error = error_of(journal.database, "SELECT 1")

    assert sqlstate_of(error) is None
    assert (fault_of(error), needs_new_connection(error)) == (Fault.OUTCOME_UNKNOWN, LEAVES)


@pytest.mark.parametrize("error", [ValueError("NUL"), TypeError("not JSON"), UnicodeError("surrogate")])
def test_values_that_cannot_even_be_sent_are_refused(error: Exception) -> None:
    assert fault_of(error) is Fault.REFUSED


def test_a_connection_that_cannot_be_made_leaves_nothing_unknown(database_url_both: str) -> None:
    nowhere = urlunsplit(urlsplit(database_url_both)._replace(path="/nowhere"))
    database = connect_writer(nowhere, statement_timeout_s=5, connect_timeout_s=5)

    with pytest.raises(NotConnected) as caught:
        connect(database)

    assert (fault_of(caught.value), needs_new_connection(caught.value)) == (Fault.TRY_AGAIN, LEAVES)


def test_reads_leave_a_pooled_session_that_may_only_read(database_url_both: str, journal: Journal) -> None:
    (name,) = journal.rows("SELECT current_database()")[0]
    journal.rows(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    reader = Reader(database_url_both, connections_max=2, statement_timeout_s=5, connect_timeout_s=5)
    reader.run_here(lambda database: database.execute_sql("SELECT 1"))
    journal.rows(f"ALTER DATABASE {name} RESET default_transaction_read_only")

    reader.run_here(lambda database: database.execute_sql("UPDATE app.shard_leases SET epoch = 7"))

    assert journal.rows("SELECT DISTINCT epoch FROM app.shard_leases") == [(7,)]
    reader.close()
