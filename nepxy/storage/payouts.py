"""Reading payouts: single rows for actors and clients, pages for clients, and what is due for recovery."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import peewee
import structlog

from nepxy.engine.payout import SHARDS, Payout, ProviderRef, Status, SubmissionRef, TransactionId
from nepxy.errors import InvariantViolation
from nepxy.storage.models import MobileMoneyPayout as Row
from nepxy.storage.models import PayoutEvent

log = structlog.get_logger("nepxy.storage")

COLUMNS = (
    Row.transaction_id,
    Row.client_id,
    Row.idempotency_key,
    Row.provider,
    Row.status,
    Row.status_reason,
    Row.amount,
    Row.currency,
    Row.phone_e164,
    Row.country,
    Row.external_ref,
    Row.submission_ref,
    Row.generation,
    Row.provider_ref,
    Row.attempt_count,
    Row.unreached_count,
    Row.last_attempt_at,
    Row.next_retry_at,
    Row.in_doubt_since,
    Row.answer_by,
    Row.account,
    Row.taken_at,
    Row.repeat_barred,
    Row.expires_at,
    Row.retryable,
    Row.last_error,
    Row.version,
    Row.created_at,
    Row.settled_at,
    Row.details,
)

_AS_TEXT = tuple(
    column.cast("text") if isinstance(column, peewee.UUIDField) else column for column in COLUMNS
)
COLUMN_NAMES = tuple(str(column.column_name) for column in COLUMNS)
_TIMES = tuple(str(column.column_name) for column in COLUMNS if isinstance(column, peewee.DateTimeField))
_TRANSACTION_ID = COLUMN_NAMES.index("transaction_id")
_NEXT_RETRY_AT = COLUMN_NAMES.index("next_retry_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutFilter:
    """What a client may narrow its list by; None: everything. The range is of `created_at`, end excluded."""

    status: Status | None = None
    provider: str | None = None
    external_ref: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One transition of a payout, with what proved it."""

    version: int
    at: datetime
    from_status: str | None
    to_status: str
    why: str
    who: str
    reference: str | None
    attempt: int | None
    evidence: dict[str, Any]
    request_id: str | None


def load_payout(database: peewee.Database, transaction_id: TransactionId) -> Payout | None:
    """One payout as last committed."""
    return next(
        iter(_payouts(Row.select(*COLUMNS).where(Row.transaction_id == transaction_id), database)), None
    )


def client_payout(database: peewee.Database, client_id: str, transaction_id: TransactionId) -> Payout | None:
    """One payout, if it is this client's."""
    query = Row.select(*COLUMNS).where((Row.transaction_id == transaction_id) & (Row.client_id == client_id))
    return next(iter(_payouts(query, database)), None)


def client_payouts(
    database: peewee.Database,
    client_id: str,
    narrowed: PayoutFilter,
    *,
    before: TransactionId | None,
    limit: int,
) -> list[Payout]:
    """A page of a client's payouts, newest first, older than `before`.

    `transaction_id` is a UUIDv7, so its order is the order of creation, and its first 48 bits are a time:
    a range of `created_at` is a range of ids, which the client's own index serves.
    """
    query = Row.select(*COLUMNS).where(Row.client_id == client_id)
    if before is not None:
        query = query.where(Row.transaction_id < before)
    if narrowed.status is not None:
        query = query.where(Row.status == narrowed.status.value)
    if narrowed.provider is not None:
        query = query.where(Row.provider == narrowed.provider)
    if narrowed.external_ref is not None:
        query = query.where(Row.external_ref == narrowed.external_ref)
    if narrowed.created_from is not None:
        query = query.where(Row.created_at >= narrowed.created_from)
        query = query.where(Row.transaction_id >= first_id_of(narrowed.created_from, early_s=5))
    if narrowed.created_to is not None:
        query = query.where(Row.created_at < narrowed.created_to)
    return list(_payouts(query.order_by(Row.transaction_id.desc()).limit(limit), database))


def payout_events(
    database: peewee.Database, transaction_id: TransactionId, *, limit: int = 500
) -> list[EventRecord]:
    """A payout's history, oldest first."""
    query = (
        PayoutEvent.select()
        .where(PayoutEvent.transaction_id == transaction_id)
        .order_by(PayoutEvent.version)
        .limit(limit)
    )
    return [
        EventRecord(
            version=event.version,
            at=event.at.astimezone(UTC),
            from_status=event.from_status,
            to_status=event.to_status,
            why=event.why,
            who=event.who,
            reference=str(event.reference) if event.reference else None,
            attempt=event.attempt,
            evidence=event.evidence,
            request_id=event.request_id,
        )
        for event in query.execute(database)
    ]


def due_payouts(
    database: peewee.Database,
    *,
    until: datetime,
    shards: Sequence[int],
    after: tuple[datetime, TransactionId] | None,
    limit: int,
) -> list[Payout]:
    """In-flight payouts of these shards that are due by `until`, longest due first; a page after `after`.

    Served by the partial index on what is in flight: settled payouts cost nothing. A row that contradicts itself
    is left out and logged; others take its place, so that only the last page is short.
    """
    found: list[Payout] = []
    while len(found) < limit:
        wanted = limit - len(found)
        rows = _due_rows(database, until=until, shards=shards, after=after, limit=wanted)
        found += [payout for row in rows if (payout := sound_payout_of(row)) is not None]
        if len(rows) < wanted:
            break
        after = (rows[-1][_NEXT_RETRY_AT], TransactionId(str(rows[-1][_TRANSACTION_ID])))
    return found


def _due_rows(
    database: peewee.Database,
    *,
    until: datetime,
    shards: Sequence[int],
    after: tuple[datetime, TransactionId] | None,
    limit: int,
) -> list[tuple[Any, ...]]:
    query = Row.select(*_AS_TEXT).where(Row.settled_at.is_null() & (Row.next_retry_at <= until))
    if len(shards) < SHARDS:
        query = query.where(Row.shard.in_(list(shards)))
    if after is not None:
        at, transaction_id = after
        # As a row comparison, which the index can seek by.
        query = query.where(
            peewee.SQL("(next_retry_at, transaction_id) > (%s, %s::uuid)", (at, str(transaction_id)))
        )
    query = query.order_by(Row.next_retry_at, Row.transaction_id).limit(limit)
    # The cursor's own rows: recovery reads a million, and Peewee's way of handing them out costs as much again.
    rows: list[tuple[Any, ...]] = database.execute(query).fetchall()
    return rows


def sound_payout_of(row: tuple[Any, ...]) -> Payout | None:
    """One poisoned row must not keep the others from recovery."""
    try:
        return payout_of(row)
    except InvariantViolation as error:
        log.error(  # noqa: TRY400 - the rule that does not hold says it all
            "payout.row_contradicts_itself", transaction_id=str(row[_TRANSACTION_ID]), error=str(error)
        )
        return None


def first_id_of(moment: datetime, *, early_s: float) -> str:
    """The smallest UUIDv7 of a moment, a little early: id and `created_at` are taken one after the other."""
    stamp_ms = max(0, int((moment.timestamp() - early_s) * 1000))
    text = f"{stamp_ms:012x}" + "0" * 20
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _payouts(query: Any, database: peewee.Database) -> Iterable[Payout]:
    return (payout_of(row) for row in query.tuples().execute(database))


def payout_of(row: tuple[Any, ...]) -> Payout:
    """A row in the order of `COLUMNS` as the core's record."""
    named: dict[str, Any] = dict(zip(COLUMN_NAMES, row, strict=True))
    for name in _TIMES:
        value = named[name]
        if value is not None and value.tzinfo is not UTC:
            named[name] = value.astimezone(UTC)
    provider_ref = named["provider_ref"]
    named |= _known_of_the_reference(named) | {
        "transaction_id": TransactionId(str(named["transaction_id"])),
        "submission_ref": SubmissionRef(str(named["submission_ref"])),
        "provider_ref": ProviderRef(provider_ref) if provider_ref is not None else None,
        "status": Status(named["status"]),
    }
    payout = Payout(**named)
    payout.check()
    return payout


def _known_of_the_reference(named: dict[str, Any]) -> dict[str, object]:
    """What the release before these two columns left: its reason says what they say now, and it did not clear them."""
    if named["status"] == Status.PENDING:
        return {"taken_at": None, "repeat_barred": False}
    taken = named["status_reason"] == "ACCEPTED_BY_PROVIDER"
    return {
        "taken_at": named["taken_at"] or (named["last_attempt_at"] if taken else None),
        "repeat_barred": named["repeat_barred"] or named["status_reason"] == "DUPLICATE_REFERENCE",
    }
