"""What the database server is busy with: sessions, long transactions, locks. Works for a role without privileges.

Such a role sees of others' sessions that they are there, and not what they do; nothing here needs more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import peewee

SLOW_S: Final = 1.0
"""What runs longer is shown."""
SHOWN_MAX: Final = 20
QUERY_CHARS_MAX: Final = 300
HIDDEN: Final = "<insufficient privilege>"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowSession:
    """A session that is in a transaction or statement for long."""

    pid: int
    application: str
    state: str
    """`active`, `idle in transaction`, ...; empty: this role may not see it."""
    running_s: float
    """Since its transaction began."""
    waits_for: str
    """Empty: nothing."""
    query: str
    """Without its values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseActivity:
    """The server at one moment."""

    server_version: str
    ours: int
    """Connections of this system's roles and application names, all nodes'."""
    all: int
    """Clients' connections."""
    max: int
    """How many the server takes, those for superusers left out."""
    oldest_transaction_s: float
    """Of those that this role may see; 0: none is open."""
    locks_waiting: int
    slow: tuple[SlowSession, ...]


# A session that this role may not look into has no backend_type, either: it may be anybody's.
_COUNTS: Final = """
SELECT current_setting('server_version'),
    count(*) FILTER (WHERE application_name LIKE 'nepxy%%'),
    count(*),
    current_setting('max_connections')::int
        - coalesce(nullif(current_setting('superuser_reserved_connections', true), '')::int, 0),
    coalesce(max(extract(epoch FROM clock_timestamp() - xact_start))
             FILTER (WHERE pid <> pg_backend_pid()), 0)::float8,
    count(*) FILTER (WHERE wait_event_type = 'Lock')
FROM pg_stat_activity
WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'"""

_SLOW: Final = """
SELECT pid, application_name, coalesce(state, ''),
    extract(epoch FROM clock_timestamp() - coalesce(xact_start, query_start))::float8,
    coalesce(wait_event_type || '/' || wait_event, ''), coalesce(query, '')
FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
    AND state <> 'idle' AND clock_timestamp() - coalesce(xact_start, query_start) > make_interval(secs => %s)
ORDER BY coalesce(xact_start, query_start) LIMIT %s"""

_IN_FLIGHT: Final = """
SELECT provider, status, count(*) FROM app.mobile_money_payouts WHERE settled_at IS NULL GROUP BY provider, status"""


def database_activity(database: peewee.Database) -> DatabaseActivity:
    """Look at the server."""
    version, ours, everybody, most, oldest_s, locks = database.execute_sql(_COUNTS, ()).fetchone()
    rows = database.execute_sql(_SLOW, (SLOW_S, SHOWN_MAX)).fetchall()
    return DatabaseActivity(
        server_version=version,
        ours=ours,
        all=everybody,
        max=most,
        oldest_transaction_s=round(max(0.0, oldest_s), 3),
        locks_waiting=locks,
        slow=tuple(_slow(row) for row in rows),
    )


def in_flight_counts(database: peewee.Database) -> dict[str, dict[str, int]]:
    """Payouts in flight by provider and state; by the partial index on what is in flight."""
    counts: dict[str, dict[str, int]] = {}
    for provider, status, count in database.execute_sql(_IN_FLIGHT).fetchall():
        counts.setdefault(provider, {})[status] = count
    return counts


def masked_query(text: str) -> str:
    """A statement without its values: they may be numbers of people, or secrets."""
    if text == HIDDEN:
        return "(not visible to this role)"
    bare = _VALUES.sub(lambda found: "'?'" if found["text"] else "?", text)
    return " ".join(bare.split())[:QUERY_CHARS_MAX]


# One pass, so that a quote inside a value never begins another; a value that is cut off ends with the text.
_VALUES: Final = re.compile(
    r"(?P<text>\$(\w*)\$.*?(?:\$\2\$|$)|[eE]?'(?:[^'\\]|''|\\.)*(?:'|$))|(?<![\w$])\d[\d.]*", re.DOTALL
)


def _slow(row: tuple[Any, ...]) -> SlowSession:
    pid, application, state, running_s, waits_for, query = row
    return SlowSession(
        pid=pid,
        application=application,
        state=state,
        running_s=round(max(0.0, running_s), 3),
        waits_for=waits_for,
        query=masked_query(query),
    )
