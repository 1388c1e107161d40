"""Through which accounts the payouts in flight were sent: counted over what is in flight, never over the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import peewee

from nepxy.engine.payout import SHARDS


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFigures:
    """One account's payouts in flight."""

    provider: str
    account: str
    """Fingerprint of mode, profile, base URL and credential id."""
    payouts_count: int


# Driven by the partial index on what is in flight: a node asks once, when it comes to own its shards.
IN_FLIGHT: Final = """
SELECT p.provider, p.account, count(*) FROM app.mobile_money_payouts p
WHERE p.settled_at IS NULL AND p.account IS NOT NULL AND {mine}
GROUP BY p.provider, p.account ORDER BY 1, 2"""


def accounts_in_flight(database: peewee.Database, *, shards: Sequence[int]) -> list[AccountFigures]:
    """How many payouts of these shards are in flight through which account; what was never sent has none."""
    mine = "true" if len(shards) >= SHARDS else "p.shard = ANY(%s)"
    params = () if len(shards) >= SHARDS else (list(shards),)
    rows = database.execute_sql(IN_FLIGHT.format(mine=mine), params).fetchall()
    return [
        AccountFigures(provider=provider, account=account, payouts_count=count)
        for provider, account, count in rows
    ]
