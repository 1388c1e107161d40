"""Where a provider and we disagree about money: listed, and closed by a person, with a row in the audit log."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import peewee


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscrepancyRecord:
    """One disagreement; seen again, it is counted."""

    discrepancy_id: int
    transaction_id: str
    provider: str
    kind: str
    detail: str
    evidence: dict[str, Any]
    seen_count: int
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    closed_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Who closes a discrepancy, and why."""

    who: str
    reason: str
    request_id: str | None
    command_id: str | None


_COLUMNS: Final = """d.discrepancy_id, d.transaction_id::text, d.provider, d.kind, d.detail, d.evidence, d.seen_count,
    d.opened_at, d.last_seen_at, d.closed_at, d.closed_by"""

# One statement: what is closed and the row that says by whom are committed together.
_CLOSE: Final = f"""
WITH closed AS (
    UPDATE app.discrepancies d SET closed_at = clock_timestamp(), closed_by = %(who)s
    WHERE d.discrepancy_id = %(discrepancy_id)s AND d.closed_at IS NULL
    RETURNING {_COLUMNS}),
audited AS (
    INSERT INTO app.audit_log (who, command, target, reason, before, after, request_id, command_id)
    SELECT %(who)s, 'close', 'discrepancies/' || d.discrepancy_id, %(reason)s,
        jsonb_build_object('state', 'OPEN', 'kind', d.kind, 'transaction_id', d.transaction_id),
        jsonb_build_object('state', 'CLOSED', 'kind', d.kind, 'transaction_id', d.transaction_id),
        %(request_id)s, %(command_id)s
    FROM closed d)
SELECT * FROM closed"""


def list_discrepancies(
    database: peewee.Database,
    *,
    is_open: bool | None,
    provider: str | None,
    before: int | None,
    limit: int,
) -> list[DiscrepancyRecord]:
    """Discrepancies, newest first. They are few: each is one that nobody should ever have seen."""
    known: tuple[tuple[str, Any], ...] = (
        ("d.provider = %s", provider),
        ("d.discrepancy_id < %s", before),
    )
    conditions = [text for text, value in known if value is not None]
    params = [value for _, value in known if value is not None]
    if is_open is not None:
        conditions.append("d.closed_at IS NULL" if is_open else "d.closed_at IS NOT NULL")
    where = " AND ".join(conditions) or "true"
    sql = f"SELECT {_COLUMNS} FROM app.discrepancies d WHERE {where} ORDER BY d.discrepancy_id DESC LIMIT %s"
    return [_record(row) for row in database.execute_sql(sql, (*params, limit)).fetchall()]


def find_discrepancy(database: peewee.Database, discrepancy_id: int) -> DiscrepancyRecord | None:
    """One, open or closed."""
    sql = f"SELECT {_COLUMNS} FROM app.discrepancies d WHERE d.discrepancy_id = %s"
    row = database.execute_sql(sql, (discrepancy_id,)).fetchone()
    return None if row is None else _record(row)


def close_discrepancy(
    database: peewee.Database, discrepancy_id: int, closing: Closing
) -> DiscrepancyRecord | None:
    """Close an open one; None: it is not open any more, or never was."""
    params = asdict(closing) | {"discrepancy_id": discrepancy_id}
    row = database.execute_sql(_CLOSE, params).fetchone()
    return None if row is None else _record(row)


def _record(row: tuple[Any, ...]) -> DiscrepancyRecord:
    fields = dict(zip(DiscrepancyRecord.__slots__, row, strict=True))
    for name, value in fields.items():
        if isinstance(value, datetime):
            fields[name] = value.astimezone(UTC)
    if isinstance(fields["evidence"], str):
        fields["evidence"] = orjson.loads(fields["evidence"])
    return DiscrepancyRecord(**fields)
