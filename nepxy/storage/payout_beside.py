"""What is stored beside a payout: its attempts, and what is open over it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import peewee

from nepxy.engine.payout import TransactionId
from nepxy.storage.models import DiscrepancyRow, PayoutAttempt


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One reference that was ever sent; resends of it are counted."""

    submission_ref: str
    generation: int
    submit_count: int
    provider: str
    account: str
    phase: str
    send_by: datetime
    answer_by: datetime
    in_doubt_since: datetime | None
    provider_ref: str | None
    closed_reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOver:
    """What keeps a payout from being reopened."""

    unresolved_count: int
    """Attempts of which nobody knows whether they paid."""
    discrepancies: tuple[str, ...]
    """Kinds of those that are open."""


def payout_attempts(
    database: peewee.Database, transaction_id: TransactionId, *, limit: int = 200
) -> list[AttemptRecord]:
    """A payout's attempts, oldest first."""
    query = (
        PayoutAttempt.select()
        .where(PayoutAttempt.transaction_id == transaction_id)
        .order_by(PayoutAttempt.generation)
        .limit(limit)
    )
    return [
        AttemptRecord(
            submission_ref=str(row.submission_ref),
            generation=row.generation,
            submit_count=row.submit_count,
            provider=row.provider,
            account=row.account,
            phase=row.phase,
            send_by=row.send_by.astimezone(UTC),
            answer_by=row.answer_by.astimezone(UTC),
            in_doubt_since=row.in_doubt_since.astimezone(UTC) if row.in_doubt_since else None,
            provider_ref=row.provider_ref,
            closed_reason=row.closed_reason,
            created_at=row.created_at.astimezone(UTC),
        )
        for row in query.execute(database)
    ]


def open_over(database: peewee.Database, transaction_id: TransactionId) -> OpenOver:
    """What is open over a payout; the twin of what the journal checks when one is reopened."""
    unresolved = PayoutAttempt.select().where(
        (PayoutAttempt.transaction_id == transaction_id) & PayoutAttempt.in_doubt_since.is_null(False)
    )
    kinds = DiscrepancyRow.select(DiscrepancyRow.kind).where(
        (DiscrepancyRow.transaction_id == transaction_id) & DiscrepancyRow.closed_at.is_null()
    )
    return OpenOver(
        unresolved_count=len(list(unresolved.execute(database))),
        discrepancies=tuple(row.kind for row in kinds.execute(database)),
    )
