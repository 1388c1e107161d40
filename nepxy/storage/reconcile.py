"""Reports of reconciliation: begun with their audit row, filled as they go, and never left running for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import peewee

from nepxy.engine.payout import SHARDS, Payout, TransactionId
from nepxy.engine.reconcile import Difference, ReportKind
from nepxy.storage.models import MobileMoneyPayout as Row
from nepxy.storage.payouts import COLUMNS, sound_payout_of

INTERRUPTED: Final = "INTERRUPTED"
BEAT_S: Final = 30.0
"""A node that has not renewed its leases for so long is gone, and what it was making with it."""
SCAN_MAX: Final = 20_000
"""Rows that one look for settled payouts reads at most: they have no index of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run, or one file."""

    report_id: str
    started_at: datetime
    ended_at: datetime | None
    who: str
    kind: ReportKind
    provider: str | None
    state: str
    """`RUNNING`, `DONE`, `FAILED`."""
    parameters: Mapping[str, Any]
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceRow:
    """One difference as stored."""

    n: int
    kind: str
    transaction_id: str | None
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the gauges show."""

    last_done_at: Mapping[str, datetime]
    """Kind to when the last report of it ended well."""
    differences: Mapping[str, int]
    """Kind to the differences in the last one of each provider."""


_COLUMNS: Final = "report_id::text, started_at, ended_at, who, kind, provider, state, parameters, figures"

# One at a time: two would ask the same questions, and each would pace itself alone.
START: Final = f"""
WITH begun AS (
    INSERT INTO app.reconcile_reports (report_id, who, kind, provider, parameters, figures)
    SELECT %(report_id)s, %(who)s, %(kind)s, %(provider)s, %(parameters)s, %(figures)s
    WHERE %(kind)s <> 'LOOK_UP' OR NOT EXISTS (
        SELECT FROM app.reconcile_reports WHERE state = 'RUNNING' AND kind = 'LOOK_UP')
    RETURNING *),
audited AS (
    INSERT INTO app.audit_log (who, command, target, reason, arguments, after, request_id)
    SELECT who, %(command)s, 'reconcile/' || report_id, %(reason)s, parameters - 'node',
        jsonb_build_object('state', state), %(request_id)s
    FROM begun WHERE %(audited)s)
SELECT {_COLUMNS} FROM begun"""

# Only what still runs: a run that was given up for dead must not come back to life.
PROGRESS: Final = """
WITH alive AS (
    UPDATE app.reconcile_reports SET figures = %(figures)s, state = %(state)s,
        ended_at = CASE WHEN %(state)s <> 'RUNNING' THEN clock_timestamp() END
    WHERE report_id = %(report_id)s AND state = 'RUNNING' RETURNING report_id),
kept AS (
    INSERT INTO app.reconcile_differences (report_id, n, kind, transaction_id, ours, theirs, detail)
    SELECT alive.report_id, d.n, d.kind, d.transaction_id, d.ours, d.theirs, d.detail
    FROM alive, jsonb_to_recordset(%(differences)s) AS
        d(n integer, kind text, transaction_id uuid, ours jsonb, theirs jsonb, detail text))
SELECT count(*) FROM alive"""

# A look-up runs on whoever owns shards: another node's is over once that one owns none.
END_INTERRUPTED: Final = """
UPDATE app.reconcile_reports r SET state = 'FAILED', ended_at = clock_timestamp(),
    figures = figures || jsonb_build_object('failed_because', %(why)s::text)
WHERE r.state = 'RUNNING' AND r.report_id <> ALL(%(mine)s::uuid[]) AND (
    (r.kind = 'LOOK_UP' AND (r.parameters->>'node' = %(node)s OR NOT EXISTS (
        SELECT FROM app.shard_leases l
        WHERE l.owner = r.parameters->>'node' AND l.lease_until >= clock_timestamp())))
    OR NOT EXISTS (
        SELECT FROM app.nodes n
        WHERE n.node_id = r.parameters->>'node'
            AND n.heartbeat_at > clock_timestamp() - make_interval(secs => %(beat_s)s)))
RETURNING r.report_id::text"""

STANDING: Final = """
SELECT kind, max(ended_at), sum(differences)::bigint
FROM (SELECT DISTINCT ON (kind, provider) kind, ended_at, coalesce((figures->>'differ')::bigint, 0) AS differences
      FROM app.reconcile_reports WHERE state = 'DONE' ORDER BY kind, provider, started_at DESC) last
GROUP BY kind"""

DUE_SINCE: Final = """
SELECT greatest((SELECT max(started_at) FROM app.reconcile_reports WHERE kind = 'LOOK_UP'
                 AND parameters->>'scheduled' = 'true'),
                (SELECT created_at FROM app.engine_identity))"""

# In doubt and in review, by the partial index on what is in flight.
UNSETTLED: Final = """
SELECT transaction_id::text, provider FROM app.mobile_money_payouts p
WHERE p.settled_at IS NULL AND p.status IN ('SENT', 'REVIEW')
    AND (p.status = 'REVIEW' OR p.in_doubt_since IS NOT NULL)
    AND (%(provider)s::text IS NULL OR p.provider = %(provider)s) AND {mine}
ORDER BY p.next_retry_at, p.transaction_id LIMIT %(limit)s"""

# By the primary key, newest first: a UUIDv7 begins with its time, so this reads the last weeks and no more.
SETTLED: Final = """
WITH scanned AS (
    SELECT transaction_id, provider, settled_at, status, attempt_count, shard FROM app.mobile_money_payouts
    WHERE transaction_id < %(before)s AND transaction_id >= %(from_id)s
    ORDER BY transaction_id DESC LIMIT %(scan_max)s)
SELECT p.transaction_id::text, p.provider, NULL FROM scanned p
WHERE p.settled_at >= %(since)s AND p.attempt_count > 0
    AND (%(provider)s::text IS NULL OR p.provider = %(provider)s) AND {mine}
UNION ALL
SELECT (SELECT transaction_id::text FROM scanned ORDER BY transaction_id LIMIT 1), NULL, count(*) FROM scanned"""


def start_report(
    database: peewee.Database,
    *,
    report_id: str,
    who: str,
    kind: ReportKind,
    provider: str | None,
    parameters: Mapping[str, Any],
    reason: str,
    request_id: str | None,
    planned: Mapping[str, Any] | None = None,
) -> Report | None:
    """Begin a report; an operator's leaves a row in the audit log in the same statement.

    Args:
        parameters: as given; `node` is who makes it.
        reason: the operator's; none where the schedule began it.
        planned: figures to begin with.

    Returns:
        None: a look-up is running already.
    """
    rows = database.execute_sql(
        START,
        {
            "report_id": report_id,
            "who": who,
            "kind": kind.value,
            "provider": provider,
            "parameters": _json(parameters),
            "figures": _json(planned or {}),
            "command": "reconcile" if kind is ReportKind.LOOK_UP else "import_settlement_file",
            "reason": reason,
            "request_id": request_id,
            "audited": who.startswith("operator:"),
        },
    ).fetchall()
    return _report(rows[0]) if rows else None


def add_progress(
    database: peewee.Database,
    report_id: str,
    *,
    figures: Mapping[str, Any],
    differences: Sequence[tuple[int, Difference]] = (),
    state: str = "RUNNING",
) -> bool:
    """Keep what was found since the last time, and how far it is; `state` other than RUNNING ends it.

    Returns:
        Whether it was still running; if not, nothing was kept.
    """
    rows = [
        {
            "n": n,
            "kind": one.kind.value,
            "transaction_id": one.transaction_id,
            "ours": dict(one.ours),
            "theirs": dict(one.theirs),
            "detail": one.detail,
        }
        for n, one in differences
    ]
    params = {
        "report_id": report_id,
        "figures": _json(figures),
        "differences": _json(rows),
        "state": state,
    }
    ((alive,),) = database.execute_sql(PROGRESS, params).fetchall()
    return bool(alive)


def end_interrupted(database: peewee.Database, *, node_id: str, mine: Sequence[str] = ()) -> list[str]:
    """Mark what nobody makes any more as FAILED; what it had found is kept.

    Args:
        node_id: this node, which owns shards.
        mine: the look-ups that this node is making now.
    """
    params = {"why": INTERRUPTED, "node": node_id, "mine": list(mine), "beat_s": BEAT_S}
    return [row[0] for row in database.execute_sql(END_INTERRUPTED, params).fetchall()]


def find_report(database: peewee.Database, report_id: str) -> Report | None:
    """One report."""
    sql = f"SELECT {_COLUMNS} FROM app.reconcile_reports WHERE report_id = %s"
    rows = database.execute_sql(sql, (report_id,)).fetchall()
    return _report(rows[0]) if rows else None


def list_reports(database: peewee.Database, *, limit: int) -> list[Report]:
    """The newest ones."""
    sql = f"SELECT {_COLUMNS} FROM app.reconcile_reports ORDER BY started_at DESC, report_id LIMIT %s"
    return [_report(row) for row in database.execute_sql(sql, (limit,)).fetchall()]


def report_differences(
    database: peewee.Database, report_id: str, *, after: int = 0, limit: int
) -> list[DifferenceRow]:
    """A report's differences, in their order."""
    sql = (
        "SELECT n, kind, transaction_id::text, ours, theirs, detail FROM app.reconcile_differences"
        " WHERE report_id = %s AND n > %s ORDER BY n LIMIT %s"
    )
    return [
        DifferenceRow(n=n, kind=kind, transaction_id=payout, ours=ours, theirs=theirs, detail=detail)
        for n, kind, payout, ours, theirs, detail in database.execute_sql(
            sql, (report_id, after, limit)
        ).fetchall()
    ]


def standing(database: peewee.Database) -> Standing:
    """What the last reports said."""
    rows = database.execute_sql(STANDING).fetchall()
    return Standing(
        last_done_at={kind: at.astimezone(UTC) for kind, at, _ in rows},
        differences={kind: int(count) for kind, _, count in rows},
    )


def scheduled_since(database: peewee.Database) -> datetime:
    """When the schedule last began a run; where it never did, when this installation began."""
    ((at,),) = database.execute_sql(DUE_SINCE).fetchall()
    since: datetime = at.astimezone(UTC)
    return since


# ---- whom to ask about -------------------------------------------------------------------------------


def unsettled_ids(
    database: peewee.Database, *, provider: str | None, shards: Sequence[int], limit: int
) -> list[tuple[str, str]]:
    """What is in doubt or in review on these shards, with its provider."""
    sql = UNSETTLED.format(mine=_mine(shards))
    params = {"provider": provider, "limit": limit, "shards": list(shards)}
    return [(str(row[0]), str(row[1])) for row in database.execute_sql(sql, params).fetchall()]


def settled_ids(
    database: peewee.Database,
    *,
    provider: str | None,
    shards: Sequence[int],
    since: datetime,
    from_id: str,
    before: str,
    scan_max: int = SCAN_MAX,
) -> tuple[list[tuple[str, str]], str | None]:
    """Payouts that were sent once and settled since, newest first; and where the next look begins (None: it is all).

    Args:
        from_id: the smallest id to look at; `before`: the first one not to.
    """
    params = {
        "provider": provider,
        "since": since,
        "shards": list(shards),
        "from_id": from_id,
        "before": before,
        "scan_max": scan_max,
    }
    rows = database.execute_sql(SETTLED.format(mine=_mine(shards)), params).fetchall()
    last_id, _, scanned_count = next(row for row in rows if row[2] is not None)
    found = sorted(((str(row[0]), str(row[1])) for row in rows if row[2] is None), reverse=True)
    return found, str(last_id) if scanned_count == scan_max else None


def payouts_by_id(database: peewee.Database, ids: Sequence[str]) -> dict[TransactionId, Payout]:
    """Rows as last committed; one that contradicts itself is left out and logged."""
    query = Row.select(*COLUMNS).where(Row.transaction_id.in_(list(ids)))
    rows = query.tuples().execute(database)
    sound = (payout for row in rows if (payout := sound_payout_of(row)) is not None)
    return {payout.transaction_id: payout for payout in sound}


def _mine(shards: Sequence[int]) -> str:
    return "true" if len(shards) >= SHARDS else "p.shard = ANY(%(shards)s)"


def _report(row: tuple[Any, ...]) -> Report:
    report_id, started_at, ended_at, who, kind, provider, state, parameters, figures = row
    return Report(
        report_id=report_id,
        started_at=started_at.astimezone(UTC),
        ended_at=ended_at.astimezone(UTC) if ended_at is not None else None,
        who=who,
        kind=ReportKind(kind),
        provider=provider,
        state=state,
        parameters=parameters,
        figures=figures,
    )


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()
