"""Rows without the work: copies of a payout that the engine itself has made, by set-wise statements.

A copy differs from its original in what must be its own (ids, keys, references) and in what a case asks for; every
other column is the engine's own doing, so that a new column needs no change here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Final

import psycopg2

from nepxy.cli.bench.towns import CLIENT

SEEDED: Final = "seeded"
"""The client whose payouts were never posted."""
STEP: Final = 250_000
"""Rows a transaction."""

TAKEN_VERSION: Final = 3
"""Of a payout that the provider has taken: accepted, intended, taken."""

# A UUIDv7 sorts by its first 48 bits, the time; the shard is in the last eight, which are random here.
_IDS: Final = """
CREATE TEMPORARY TABLE seeds ON COMMIT DROP AS
SELECT n, (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 86400000 + n), 12, '0')
           || '7' || substr(r, 2, 3) || '8' || substr(r, 6, 15))::uuid AS id, gen_random_uuid() AS ref
FROM (SELECT n, md5(n::text || random()::text) AS r FROM generate_series(%s::bigint, %s::bigint) AS n) AS numbered
"""
_SEEDED_SO_FAR: Final = (
    "SELECT max(substr(idempotency_key, 6)::bigint) FROM app.idempotency_keys WHERE client_id = %s"
)
_ORIGINAL: Final = """
SELECT transaction_id FROM app.mobile_money_payouts WHERE client_id = %s AND status = 'CONFIRMED' LIMIT 1
"""
_COLUMNS: Final = """
SELECT column_name FROM information_schema.columns WHERE table_schema = 'app' AND table_name = %s
"""
_OWN: Final[dict[str, dict[str, str]]] = {
    "mobile_money_payouts": {
        "transaction_id": "s.id",
        "shard": "('x' || right(s.id::text, 2))::bit(8)::int",
        "client_id": f"'{SEEDED}'",
        "idempotency_key": "'seed-' || s.n",
        "external_ref": "'seed-' || s.n",
        "submission_ref": "s.ref",
        "provider_ref": "'S-' || s.ref",
    },
    "payout_attempts": {
        "transaction_id": "s.id",
        "submission_ref": "s.ref",
        "provider_ref": "'S-' || s.ref",
    },
    "payout_events": {"transaction_id": "s.id", "reference": "s.ref", "write_id": "gen_random_uuid()"},
    "idempotency_keys": {
        "client_id": f"'{SEEDED}'",
        "idempotency_key": "'seed-' || s.n",
        "transaction_id": "s.id",
    },
}
_WAITING: Final[dict[str, dict[str, str]]] = {
    "mobile_money_payouts": {
        "status": "'SENT'",
        "status_reason": "'ACCEPTED_BY_PROVIDER'",
        "settled_at": "NULL",
        "version": str(TAKEN_VERSION),
    },
    "payout_attempts": {"closed_reason": "NULL"},
}


def seed_settled(url: str, count: int) -> None:
    """Add so many CONFIRMED payouts, with their attempts, events and idempotency keys."""
    _seed(url, count, {})


def seed_waiting(url: str, count: int, *, due_in_s: float, spread_s: float = 0.0) -> None:
    """Add so many payouts that the provider has taken and not reported.

    Args:
        url: of the database.
        count: how many.
        due_in_s: when the engine has to look at the first of them next.
        spread_s: over how many seconds those moments are spread.
    """
    due = f"clock_timestamp() + make_interval(secs => {due_in_s} + {spread_s} * random())"
    waiting = _WAITING["mobile_money_payouts"] | {"next_retry_at": due}
    _seed(url, count, _WAITING | {"mobile_money_payouts": waiting})


def _seed(url: str, count: int, changed: Mapping[str, Mapping[str, str]]) -> None:
    with closing(psycopg2.connect(url)) as connection:
        for done in range(0, count, STEP):
            with connection, connection.cursor() as cursor:
                _add(cursor, min(STEP, count - done), changed)
        connection.autocommit = True
        with connection.cursor() as cursor:
            # Autovacuum would come during the measurement, at a moment of its own.
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")


def _add(cursor: psycopg2.extensions.cursor, count: int, changed: Mapping[str, Mapping[str, str]]) -> None:
    start = int(str(_one(cursor, _SEEDED_SO_FAR, (SEEDED,)) or 0))
    cursor.execute(_IDS, (start + 1, start + count))
    original = _one(cursor, _ORIGINAL, (CLIENT,))
    if original is None:
        raise LookupError("there is no CONFIRMED payout to copy: settle one first")
    for table, own in _OWN.items():
        cursor.execute(_COLUMNS, (table,))
        names = [str(name) for (name,) in cursor.fetchall()]
        expressions = {**own, **changed.get(table, {})}
        values = ", ".join(expressions.get(name, f't."{name}"') for name in names)
        columns = ", ".join(f'"{name}"' for name in names)
        # What has not happened to a waiting payout has left no event.
        until = f" AND t.version <= {TAKEN_VERSION}" if changed and table == "payout_events" else ""
        cursor.execute(
            f"INSERT INTO app.{table} ({columns}) SELECT {values} "  # noqa: S608 - our own names
            f"FROM app.{table} AS t CROSS JOIN seeds AS s WHERE t.transaction_id = %s{until}",
            (original,),
        )


def _one(cursor: psycopg2.extensions.cursor, statement: str, parameters: tuple[object, ...]) -> object:
    cursor.execute(statement, parameters)
    row = cursor.fetchone()
    return row[0] if row else None
