"""What is at the providers, how long it has been there, and which contradictions are open: never over settled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import peewee

from nepxy.engine.payout import SHARDS

OVERDUE_S: Final = 120.0
"""What is SENT is looked at when it is due; so long after that, nobody follows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightFigures:
    """What of one provider's payouts is under way."""

    provider: str
    sent_count: int = 0
    """Payouts in SENT."""
    sent_oldest_age_s: float = 0.0
    """Since when the one that was sent longest ago is in SENT, by the database's clock."""
    stuck_count: int = 0
    """Of those, the ones sent longer ago than a payout should take."""
    overdue_count: int = 0
    """Of those in SENT, the ones whose next look is over two minutes late: nobody asks about them."""
    discrepancies_open: int = 0
    """Contradictions that nobody has closed yet."""


# Driven by the partial index on what is in flight.
SENT: Final = """
SELECT p.provider, count(*),
    coalesce(greatest(0, extract(epoch FROM clock_timestamp() - min(p.last_attempt_at))), 0)::float8,
    count(*) FILTER (WHERE p.last_attempt_at < clock_timestamp() - make_interval(secs => %(stuck_after_s)s)),
    count(*) FILTER (WHERE p.next_retry_at < clock_timestamp() - make_interval(secs => %(overdue_s)s))
FROM app.mobile_money_payouts p
WHERE p.settled_at IS NULL AND p.status = 'SENT' AND {mine}
GROUP BY p.provider"""

# Driven by the partial index on open discrepancies; the payout is looked up only where the shards are not all ours.
DISCREPANCIES: Final = """
SELECT d.provider, count(*) FROM app.discrepancies d
WHERE d.closed_at IS NULL AND {mine}
GROUP BY d.provider"""

_OF_MY_SHARDS: Final = """EXISTS (SELECT FROM app.mobile_money_payouts p
    WHERE p.transaction_id = d.transaction_id AND p.shard = ANY(%(shards)s))"""


def flight_figures(
    database: peewee.Database, *, shards: Sequence[int], stuck_after_s: float
) -> list[FlightFigures]:
    """What is under way on these shards, by provider; providers with nothing are left out.

    Args:
        database: any connection.
        shards: whose payouts are counted.
        stuck_after_s: a payout in SENT for longer counts as stuck.
    """
    everything = len(shards) >= SHARDS
    params = {"stuck_after_s": stuck_after_s, "overdue_s": OVERDUE_S, "shards": list(shards)}
    sent = SENT.format(mine="true" if everything else "p.shard = ANY(%(shards)s)")
    opened = DISCREPANCIES.format(mine="true" if everything else _OF_MY_SHARDS)
    rows = {row[0]: row[1:] for row in database.execute_sql(sent, params).fetchall()}
    discrepancies = dict(database.execute_sql(opened, params).fetchall())
    figures = []
    for provider in sorted(rows.keys() | discrepancies.keys()):
        sent_count, oldest_age_s, stuck_count, overdue_count = rows.get(provider, (0, 0.0, 0, 0))
        figures.append(
            FlightFigures(
                provider=provider,
                sent_count=sent_count,
                sent_oldest_age_s=oldest_age_s,
                stuck_count=stuck_count,
                overdue_count=overdue_count,
                discrepancies_open=discrepancies.get(provider, 0),
            )
        )
    return figures
