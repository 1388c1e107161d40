"""Whether this database was restored from a backup: noticed, told by hand, released (docs/decisions/0009).

`app.cluster_identity()` names the server, the database, its tables and the timeline. Where it is another one than the
engine saw last, the rows came out of a backup, or out of a copy that lacked the last commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import peewee
import structlog

from nepxy.engine.restored import Restored
from nepxy.storage.controls import By

log = structlog.get_logger("nepxy.restored")

NOTICED: Final = "another server, database or timeline than the engine saw last"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredStatus:
    """What an operator sees of the last restore."""

    restored_at: datetime | None
    why: str
    released_at: datetime | None
    doubt_until: datetime | None
    in_flight: dict[str, int]
    """Payouts that are not final, by state."""

    @property
    def held(self) -> bool:
        """Whether nothing is submitted."""
        return self.restored_at is not None and self.released_at is None


READ: Final = """
SELECT restored_at, CASE WHEN released_at IS NOT NULL THEN doubt_until END,
    cluster IS DISTINCT FROM app.cluster_identity()
FROM app.engine_identity"""

# What waits for its time is looked at now: its time is the one of the backup.
LOOK_NOW: Final = """
looked_at AS (
    UPDATE app.mobile_money_payouts SET next_retry_at = clock_timestamp()
    WHERE settled_at IS NULL AND next_retry_at > clock_timestamp() AND EXISTS (SELECT FROM done))"""

# An engine that looks for the first time takes the place as it is: nothing says that it was another one.
NOTICE: Final = f"""
WITH done AS (
    UPDATE app.engine_identity e SET cluster = app.cluster_identity(), restored_at = clock_timestamp(),
        restored_why = %(why)s, released_at = NULL, doubt_until = NULL
    WHERE e.cluster IS NOT NULL AND e.cluster <> app.cluster_identity()
    RETURNING e.restored_at),
first AS (
    UPDATE app.engine_identity SET cluster = app.cluster_identity() WHERE cluster IS NULL),
{LOOK_NOW.strip()}
INSERT INTO app.audit_log (who, command, target, reason, after)
SELECT 'engine', 'restore_noticed', 'supervisor', %(why)s, jsonb_build_object('restored_at', restored_at) FROM done
RETURNING 1"""

MARK: Final = f"""
WITH done AS (
    UPDATE app.engine_identity SET cluster = app.cluster_identity(), restored_at = clock_timestamp(),
        restored_why = %(why)s, released_at = NULL, doubt_until = NULL
    RETURNING restored_at),
{LOOK_NOW.strip()}
INSERT INTO app.audit_log (who, command, target, reason, after)
SELECT %(who)s, 'mark_restored', 'supervisor', %(why)s, jsonb_build_object('restored_at', restored_at) FROM done
RETURNING 1"""

RELEASE: Final = f"""
WITH done AS (
    UPDATE app.engine_identity SET released_at = clock_timestamp(),
        doubt_until = clock_timestamp() + make_interval(secs => %(reposts_for_s)s)
    WHERE restored_at IS NOT NULL AND released_at IS NULL AND cluster = app.cluster_identity()
    RETURNING restored_at, released_at, doubt_until),
{LOOK_NOW.strip()}
INSERT INTO app.audit_log (who, command, target, reason, before, after, request_id, command_id, arguments, approved_by)
SELECT %(who)s, 'release_restored', 'supervisor', %(reason)s, jsonb_build_object('restored_at', restored_at),
    jsonb_build_object('released_at', released_at, 'doubt_until', doubt_until), %(request_id)s, %(command_id)s,
    %(arguments)s, %(approved_by)s
FROM done
RETURNING 1"""

STATUS: Final = """
SELECT e.restored_at, e.restored_why, e.released_at, e.doubt_until,
    (SELECT coalesce(json_object_agg(status, n), '{}') FROM (
        SELECT status, count(*) AS n FROM app.mobile_money_payouts WHERE settled_at IS NULL GROUP BY status) s)
FROM app.engine_identity e"""


def look(database: peewee.Database) -> Restored | None:
    """The last restore, noticed here and now if need be; None: there was none."""
    row = database.execute_sql(READ).fetchone()
    if row[2]:
        noticed = database.execute_sql(NOTICE, {"why": NOTICED}).fetchone()
        if noticed is not None:
            log.critical(
                "database.restored", what_follows="nothing is submitted until an operator releases it"
            )
        row = database.execute_sql(READ).fetchone()
    return _restored(row)


def mark(database: peewee.Database, *, why: str, who: str) -> None:
    """Say that the database was just restored, where its identity need not tell: nothing is submitted from now on."""
    database.execute_sql(MARK, {"why": why, "who": who})


def release(database: peewee.Database, *, by: By, reposts_for_s: float) -> bool:
    """Let the engine submit again, after a restore; False: it was not held.

    Args:
        database: the control plane's connection.
        by: whose command it is.
        reposts_for_s: for how long from now what looks new counts as the possible re-post of what the backup had lost.
    """
    params = {
        "reason": by.reason,
        "who": by.who,
        "reposts_for_s": reposts_for_s,
        "request_id": by.request_id,
        "command_id": by.command_id,
        "arguments": by.arguments,
        "approved_by": by.approved_by,
    }
    return database.execute_sql(RELEASE, params).fetchone() is not None


def status(database: peewee.Database) -> RestoredStatus:
    """What an operator should know before a release."""
    look(database)
    restored_at, why, released_at, doubt_until, in_flight = database.execute_sql(STATUS).fetchone()
    counts = in_flight if isinstance(in_flight, dict) else orjson.loads(in_flight)
    return RestoredStatus(
        restored_at=_utc(restored_at),
        why=why,
        released_at=_utc(released_at),
        doubt_until=_utc(doubt_until),
        in_flight={str(name): int(count) for name, count in counts.items()},
    )


def _restored(row: tuple[Any, ...]) -> Restored | None:
    at = _utc(row[0])
    return Restored(at=at, doubt_until=_utc(row[1])) if at is not None else None


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment is not None else None
