"""How much money waits for a provider's word, or for a person: counted over what is in flight, never over the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import peewee

from nepxy.engine.payout import SHARDS


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtFigures:
    """What of one provider's money waits for a word, or for a person."""

    provider: str
    in_doubt_count: int = 0
    """Payouts of which nobody knows whether the provider took them; those in review for that are among them."""
    amounts: Mapping[str, int] = field(default_factory=dict)
    """Currency to the sum of those in doubt, in minor units."""
    oldest_age_s: float = 0.0
    """How long the oldest has been in doubt, by the database's clock."""
    review_count: int = 0
    """Payouts in REVIEW, for whatever reason."""


# Driven by the partial index on attempts in doubt: a payout in doubt is so for its current reference.
IN_DOUBT: Final = """
SELECT p.provider, p.currency, count(*), sum(p.amount)::bigint,
    greatest(0, extract(epoch FROM clock_timestamp() - min(p.in_doubt_since)))::float8
FROM app.payout_attempts a
JOIN app.mobile_money_payouts p ON p.transaction_id = a.transaction_id AND p.submission_ref = a.submission_ref
WHERE a.in_doubt_since IS NOT NULL AND p.in_doubt_since IS NOT NULL AND {mine}
GROUP BY p.provider, p.currency"""

# Driven by the partial index on what is in flight; REVIEW has none of its own, because it is rarely entered and an
# index would be one more that every new payout's row pays for.
IN_REVIEW: Final = """
SELECT p.provider, count(*) FROM app.mobile_money_payouts p
WHERE p.settled_at IS NULL AND p.status = 'REVIEW' AND {mine}
GROUP BY p.provider"""


def doubt_figures(database: peewee.Database, *, shards: Sequence[int]) -> list[DoubtFigures]:
    """What is in doubt and in review on these shards, by provider; those with neither are left out.

    The cost grows with the payouts in flight, never with settled ones.
    """
    mine = "true" if len(shards) >= SHARDS else "p.shard = ANY(%s)"
    params = () if len(shards) >= SHARDS else (list(shards),)
    doubts = database.execute_sql(IN_DOUBT.format(mine=mine), params).fetchall()
    reviews = dict(database.execute_sql(IN_REVIEW.format(mine=mine), params).fetchall())
    counts, ages = dict[str, int](), dict[str, float]()
    amounts: dict[str, dict[str, int]] = {}
    for provider, currency, count, amount, age_s in doubts:
        counts[provider] = counts.get(provider, 0) + count
        ages[provider] = max(ages.get(provider, 0.0), age_s)
        amounts.setdefault(provider, {})[currency] = amount
    return [
        DoubtFigures(
            provider=provider,
            in_doubt_count=counts.get(provider, 0),
            amounts=amounts.get(provider, {}),
            oldest_age_s=ages.get(provider, 0.0),
            review_count=reviews.get(provider, 0),
        )
        for provider in sorted(counts.keys() | reviews.keys())
    ]
