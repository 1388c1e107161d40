"""Levers that touch many payouts: the run and its items, kept so that a restart goes on where it was.

An item is done by an ordinary command of its own key (`bulk:RUN:N`), so one that was given twice is done once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
import peewee

from nepxy.engine.payout import TransactionId
from nepxy.storage.controls import By

RUNS_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """A payout as it was selected."""

    transaction_id: TransactionId
    version: int
    amount: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A lever that shall be pulled."""

    run_id: str
    command: str
    arguments: dict[str, Any]
    """What each command comes with: `force`."""
    selector: dict[str, Any]
    per_minute: int
    expires_in_s: float
    items: tuple[NewItem, ...]
    target: str
    """As the audit log names it."""
    word: str
    """The command as the operator gave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRun:
    """A run that goes on, as its actor needs it."""

    run_id: str
    who: str
    approved_by: str | None
    command: str
    arguments: dict[str, Any]
    reason: str
    per_minute: int
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkItem:
    """One payout of a run."""

    n: int
    transaction_id: TransactionId
    seen_version: int
    amount: int
    currency: str
    done_at: datetime | None = None
    outcome: str | None = None
    """`APPLIED`, or the code of why not; None: it is not done yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRun:
    """A run as operators see it."""

    run_id: str
    started_at: datetime
    who: str
    approved_by: str | None
    command: str
    selector: dict[str, Any]
    reason: str
    per_minute: int
    expires_at: datetime
    state: str
    """`RUNNING`, `STOPPED`, `DONE` or `EXPIRED`."""
    ended_at: datetime | None
    ended_by: str | None
    count: int
    done: int
    outcomes: dict[str, int] = field(default_factory=dict)
    amounts: list[dict[str, Any]] = field(default_factory=list)


def item_command_id(run_id: str, n: int) -> str:
    """The key of an item's command."""
    return f"bulk:{run_id}:{n}"


def start_run(database: peewee.Database, new: NewRun, by: By) -> None:
    """Keep a run with all its items and its audit row, in one transaction: from now on it is pulled.

    Raises:
        peewee.IntegrityError: its `command_id` was used a moment ago.
    """
    amounts: dict[str, int] = {}
    for item in new.items:
        amounts[item.currency] = amounts.get(item.currency, 0) + item.amount
    after = {"run_id": new.run_id, "count": len(new.items), "amounts": amounts}
    with database.atomic():
        database.execute_sql(
            """INSERT INTO app.audit_log (who, command, target, reason, before, after, request_id, command_id,
                arguments, approved_by) VALUES (%s, %s, %s, %s, '{}', %s, %s, %s, %s, %s)""",
            (
                by.who,
                new.word,
                new.target,
                by.reason,
                _json(after),
                by.request_id,
                by.command_id,
                by.arguments,
                by.approved_by,
            ),
        )
        database.execute_sql(
            """INSERT INTO app.bulk_runs (run_id, who, approved_by, command, arguments, selector, reason, per_minute,
                expires_at, request_id)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s), %s)""",
            (
                new.run_id,
                by.who,
                by.approved_by,
                new.command,
                _json(new.arguments),
                _json(new.selector),
                by.reason,
                new.per_minute,
                new.expires_in_s,
                by.request_id,
            ),
        )
        rows = [
            {
                "n": n,
                "transaction_id": item.transaction_id,
                "seen_version": item.version,
                "amount": item.amount,
                "currency": item.currency,
            }
            for n, item in enumerate(new.items, 1)
        ]
        database.execute_sql(
            """INSERT INTO app.bulk_items (run_id, n, transaction_id, seen_version, amount, currency)
            SELECT %s, n, transaction_id, seen_version, amount, currency
            FROM json_to_recordset(%s)
                AS t(n int, transaction_id uuid, seen_version int, amount bigint, currency text)""",
            (new.run_id, orjson.dumps(rows).decode()),
        )


# The end of a run is its own row's to say: whichever node looks next says it.
_END: Final = """
UPDATE app.bulk_runs r SET ended_at = clock_timestamp(), ended_by = 'engine',
    state = CASE WHEN EXISTS (SELECT FROM app.bulk_items i WHERE i.run_id = r.run_id AND i.done_at IS NULL)
            THEN 'EXPIRED' ELSE 'DONE' END
WHERE r.state = 'RUNNING' AND (r.expires_at <= clock_timestamp()
    OR NOT EXISTS (SELECT FROM app.bulk_items i WHERE i.run_id = r.run_id AND i.done_at IS NULL))"""


def running_runs(database: peewee.Database) -> list[RunningRun]:
    """What is to be gone on with, oldest first; runs that are over are ended."""
    database.execute_sql(_END)
    rows = database.execute_sql(
        """SELECT run_id::text, who, approved_by, command, arguments, reason, per_minute, request_id
        FROM app.bulk_runs WHERE state = 'RUNNING' ORDER BY started_at"""
    ).fetchall()
    return [
        RunningRun(
            run_id=row[0],
            who=row[1],
            approved_by=row[2],
            command=row[3],
            arguments=_object(row[4]),
            reason=row[5],
            per_minute=row[6],
            request_id=row[7],
        )
        for row in rows
    ]


def next_items(database: peewee.Database, run_id: str, *, limit: int) -> list[BulkItem]:
    """The next items of a run, unless it has been stopped or has expired."""
    rows = database.execute_sql(
        """SELECT i.n, i.transaction_id::text, i.seen_version, i.amount, i.currency
        FROM app.bulk_items i JOIN app.bulk_runs r USING (run_id)
        WHERE i.run_id = %s AND i.done_at IS NULL AND r.state = 'RUNNING' AND r.expires_at > clock_timestamp()
        ORDER BY i.n LIMIT %s""",
        (run_id, limit),
    ).fetchall()
    return [
        BulkItem(
            n=row[0],
            transaction_id=TransactionId(row[1]),
            seen_version=row[2],
            amount=row[3],
            currency=row[4],
        )
        for row in rows
    ]


def item_done(database: peewee.Database, run_id: str, n: int, outcome: str) -> None:
    """Keep how an item ended; one whose command was done before a crash, unheard of, was applied all the same."""
    database.execute_sql(
        """UPDATE app.bulk_items SET done_at = clock_timestamp(), outcome = CASE
            WHEN EXISTS (SELECT FROM app.audit_log WHERE command_id = %s) THEN 'APPLIED' ELSE %s END
        WHERE run_id = %s AND n = %s AND done_at IS NULL""",
        (item_command_id(run_id, n), outcome, run_id, n),
    )


def stop_run(database: peewee.Database, run_id: str, by: By) -> bool:
    """Let a run do nothing more, with its audit row, in one statement; False: it was over."""
    cursor = database.execute_sql(
        """WITH stopped AS (
            UPDATE app.bulk_runs SET state = 'STOPPED', ended_at = clock_timestamp(), ended_by = %(who)s
            WHERE run_id = %(run_id)s AND state = 'RUNNING' RETURNING run_id),
        audited AS (
            INSERT INTO app.audit_log (who, command, target, reason, before, after, request_id, command_id, arguments)
            SELECT %(who)s, 'stop', 'bulk/' || %(run_id)s, %(reason)s, '{"state": "RUNNING"}', '{"state": "STOPPED"}',
                %(request_id)s, %(command_id)s, %(arguments)s FROM stopped)
        SELECT run_id FROM stopped""",
        {
            "run_id": run_id,
            "who": by.who,
            "reason": by.reason,
            "request_id": by.request_id,
            "command_id": by.command_id,
            "arguments": by.arguments,
        },
    )
    return cursor.fetchone() is not None


def bulk_runs(database: peewee.Database, *, run_id: str | None = None) -> list[BulkRun]:
    """The last runs, newest first; or this one."""
    where, params = ("WHERE run_id = %s", (run_id,)) if run_id is not None else ("", ())
    runs = database.execute_sql(
        f"""SELECT run_id::text, started_at, who, approved_by, command, selector, reason, per_minute, expires_at,
            state, ended_at, ended_by FROM app.bulk_runs {where} ORDER BY started_at DESC LIMIT {RUNS_SHOWN}""",
        params,
    ).fetchall()
    found = []
    for row in runs:
        tallies = database.execute_sql(
            """SELECT outcome, currency, count(*), sum(amount)::bigint FROM app.bulk_items WHERE run_id = %s
            GROUP BY outcome, currency ORDER BY 1, 2""",
            (row[0],),
        ).fetchall()
        found.append(_run(row, tallies))
    return found


def run_items(database: peewee.Database, run_id: str) -> list[BulkItem]:
    """All items of a run."""
    rows = database.execute_sql(
        """SELECT n, transaction_id::text, seen_version, amount, currency, done_at, outcome
        FROM app.bulk_items WHERE run_id = %s ORDER BY n""",
        (run_id,),
    ).fetchall()
    return [
        BulkItem(
            n=row[0],
            transaction_id=TransactionId(row[1]),
            seen_version=row[2],
            amount=row[3],
            currency=row[4],
            done_at=row[5],
            outcome=row[6],
        )
        for row in rows
    ]


def _run(row: tuple[Any, ...], tallies: Sequence[tuple[Any, ...]]) -> BulkRun:
    outcomes: dict[str, int] = {}
    amounts: dict[str, tuple[int, int]] = {}
    for outcome, currency, count, amount in tallies:
        if outcome is not None:
            outcomes[outcome] = outcomes.get(outcome, 0) + count
        known = amounts.get(currency, (0, 0))
        amounts[currency] = (known[0] + count, known[1] + amount)
    return BulkRun(
        run_id=row[0],
        started_at=row[1],
        who=row[2],
        approved_by=row[3],
        command=row[4],
        selector=_object(row[5]),
        reason=row[6],
        per_minute=row[7],
        expires_at=row[8],
        state=row[9],
        ended_at=row[10],
        ended_by=row[11],
        count=sum(count for count, _ in amounts.values()),
        done=sum(outcomes.values()),
        outcomes=outcomes,
        amounts=[
            {"currency": currency, "amount": amount, "count": count}
            for currency, (count, amount) in sorted(amounts.items())
        ],
    )


def _object(value: Any) -> dict[str, Any]:
    parsed = orjson.loads(value) if isinstance(value, str) else value
    return parsed if isinstance(parsed, dict) else {}


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()
