"""The audit log: who did what by hand, why, and how it ended. Written with what it did; read by operators."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
import peewee

from nepxy.storage.models import AuditEntry

PAGE_MAX: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One command of an operator, or of the engine where it acted in an operator's stead."""

    audit_id: int
    at: datetime
    who: str
    command: str
    target: str
    reason: str
    arguments: dict[str, Any]
    outcome: str
    """`APPLIED`, or the code of why it was refused."""
    approved_by: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    request_id: str | None
    command_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What the log may be narrowed by; None: everything."""

    who: str | None = None
    target: str | None = None
    command: str | None = None


def find_command(database: peewee.Database, command_id: str) -> AuditRecord | None:
    """The command that was given under this key."""
    rows = AuditEntry.select().where(AuditEntry.command_id == command_id).execute(database)
    return next((_record(row) for row in rows), None)


def audit_page(
    database: peewee.Database, narrowed: AuditFilter, *, before: int | None, limit: int
) -> list[AuditRecord]:
    """A page of the log, newest first."""
    query = AuditEntry.select()
    if before is not None:
        query = query.where(AuditEntry.audit_id < before)
    if narrowed.who is not None:
        query = query.where(AuditEntry.who == narrowed.who)
    if narrowed.target is not None:
        query = query.where(AuditEntry.target == narrowed.target)
    if narrowed.command is not None:
        query = query.where(AuditEntry.command == narrowed.command)
    rows = query.order_by(AuditEntry.audit_id.desc()).limit(min(limit, PAGE_MAX)).execute(database)
    return [_record(row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCommand:
    """A command that no transition carries: one that was refused, proposed, or touches no payout.

    A refused one does not use up its `command_id`, so it must not be given here.
    """

    who: str
    command: str
    target: str
    reason: str
    outcome: str
    arguments: dict[str, Any] = field(default_factory=dict)
    approved_by: str | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    command_id: str | None = None


def keep_command(database: peewee.Database, kept: KeptCommand) -> None:
    """Keep it."""
    AuditEntry.insert(**asdict(kept)).execute(database)


def _record(row: AuditEntry) -> AuditRecord:
    return AuditRecord(
        audit_id=row.audit_id,
        at=row.at,
        who=row.who,
        command=row.command,
        target=row.target,
        reason=row.reason,
        arguments=_object(row.arguments),
        outcome=row.outcome,
        approved_by=row.approved_by,
        before=_object(row.before),
        after=_object(row.after),
        request_id=row.request_id,
        command_id=row.command_id,
    )


def _object(value: Any) -> dict[str, Any]:
    parsed = orjson.loads(value) if isinstance(value, str) else value
    return parsed if isinstance(parsed, dict) else {}
