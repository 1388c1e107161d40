"""What waits for a person, and what is in flight, by the figures: over what is in flight, never over the rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import peewee

from nepxy.engine.payout import TransactionId
from nepxy.storage.payout_search import SELECTED, FoundPayout, found_payout_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A payout in the review queue."""

    found: FoundPayout
    since: datetime
    """In doubt, or in review, since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyFigures:
    """How much money of one kind is where."""

    provider: str
    status: str | None
    """None: whichever state."""
    currency: str
    count: int
    amount: int
    oldest_at: datetime
    """Since when the oldest of them waits, or in the case of all in flight, was made."""


# One order for the page and for its cursor. In REVIEW it is in doubt since then, but for a row of an older release.
_SINCE: Final = "coalesce(p.in_doubt_since, p.updated_at)"
_WAITS: Final = "p.settled_at IS NULL AND (p.status = 'REVIEW' OR p.in_doubt_since IS NOT NULL)"


def review_queue(
    database: peewee.Database, *, after: tuple[datetime, TransactionId] | None, limit: int
) -> list[Waiting]:
    """What is in REVIEW or in doubt, oldest first, after a place in that order.

    A row that contradicts itself is left out (and logged).
    """
    place = f"AND ({_SINCE}, p.transaction_id) > (%s, %s::uuid)" if after is not None else ""
    params: tuple[Any, ...] = after or ()
    # Materialised, so that the partial index on what is in flight leads.
    sql = f"""WITH waiting AS MATERIALIZED (
        SELECT p.*, {_SINCE} AS since FROM app.mobile_money_payouts p WHERE {_WAITS} {place})
    SELECT {SELECTED}, p.since FROM waiting p ORDER BY p.since, p.transaction_id LIMIT %s"""
    rows = database.execute_sql(sql, (*params, limit)).fetchall()
    return [
        Waiting(found=found, since=row[-1].astimezone(UTC))
        for row in rows
        if (found := found_payout_of(row[:-1])) is not None
    ]


def review_figures(database: peewee.Database) -> list[MoneyFigures]:
    """How much waits for a person, by provider and currency."""
    sql = f"""SELECT p.provider, NULL, p.currency, count(*), sum(p.amount)::bigint, min({_SINCE})
        FROM app.mobile_money_payouts p WHERE {_WAITS} GROUP BY p.provider, p.currency ORDER BY 1, 3"""
    return [_figures(row) for row in database.execute_sql(sql).fetchall()]


def in_flight_figures(database: peewee.Database) -> list[MoneyFigures]:
    """How much is in flight, by provider, state and currency."""
    sql = """SELECT p.provider, p.status, p.currency, count(*), sum(p.amount)::bigint, min(p.created_at)
        FROM app.mobile_money_payouts p WHERE p.settled_at IS NULL
        GROUP BY p.provider, p.status, p.currency ORDER BY 1, 2, 3"""
    return [_figures(row) for row in database.execute_sql(sql).fetchall()]


def _figures(row: tuple[Any, ...]) -> MoneyFigures:
    provider, status, currency, count, amount, oldest_at = row
    return MoneyFigures(
        provider=provider,
        status=status,
        currency=currency,
        count=count,
        amount=amount,
        oldest_at=oldest_at.astimezone(UTC),
    )
