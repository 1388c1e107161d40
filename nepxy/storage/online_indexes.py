"""Indexes that are built while payouts are being paid: `CREATE INDEX CONCURRENTLY`, which no transaction can hold.

`migrate up` builds what is missing after its migrations, and may be repeated: what is there stays, and one that a
broken run left invalid is dropped and built anew. Nothing here may be needed for correctness: without such an index a
search by an operator is slow, and ends with the statement's time-out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg2

from nepxy.storage.address import normal_url

ONLINE_INDEXES: Final[Mapping[str, str]] = {
    "mobile_money_payouts_phone": "app.mobile_money_payouts (phone_e164)",
    "webhook_events_unsound": (
        "app.webhook_events (webhook_id) WHERE state = 'INVALID' OR NOT signature_valid"
    ),
}
"""By name, what each is on. Why there are these: docs/decisions/0010. To change one, give it a new name."""

LOCK_KEY: Final = 0x6E657078_79696478
"""Of one builder at a time: "nepxyidx"."""
WAIT_S_MAX: Final = 600.0
LOOK_AGAIN_S: Final = 0.5

_INVALID: Final = """
SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'app' AND c.relname = %s AND NOT i.indisvalid"""
_KNOWN: Final = "SELECT to_regclass('app.' || %s) IS NOT NULL"


def build_indexes(
    url: str, *, indexes: Mapping[str, str] = ONLINE_INDEXES, wait_s: float = WAIT_S_MAX
) -> list[str]:
    """Build what is missing, one after the other; writers go on meanwhile.

    Args:
        url: the database's; its schema is this release's.
        indexes: by name, what each is on.
        wait_s: for another run that builds them.

    Returns:
        The names of those that this call built.

    Raises:
        TimeoutError: another run did not end in time.
        psycopg2.Error: the database refused; repeat it.
    """
    with closing(psycopg2.connect(normal_url(url), application_name="nepxy migrate")) as connection:
        connection.autocommit = True
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET statement_timeout = 0")
            with _one_at_a_time(cursor, wait_s):
                return [name for name, on in indexes.items() if _built(cursor, name, on)]


def _built(cursor: Any, name: str, on: str) -> bool:
    cursor.execute(_INVALID, (name,))
    if cursor.fetchone() is not None:
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS app.{name}")
    cursor.execute(_KNOWN, (name,))
    (known,) = cursor.fetchone()
    if known:
        return False
    cursor.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {on}")
    return True


@contextmanager
def _one_at_a_time(cursor: Any, wait_s: float) -> Iterator[None]:
    """Asked for again and again: whoever waited inside a statement would hold up the very build that it waits for."""
    deadline_s = time.monotonic() + wait_s
    while True:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,))
        if cursor.fetchone()[0]:
            break
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"another run did not finish its indexes within {wait_s:g} s")
        time.sleep(LOOK_AGAIN_S)
    try:
        yield
    finally:
        cursor.execute("SELECT pg_advisory_unlock(%s)", (LOCK_KEY,))
