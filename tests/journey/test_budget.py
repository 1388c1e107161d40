"""The journal's budget, as PostgreSQL counts it, of payouts settled by the real engine: rows are exact, CPU is not."""

from __future__ import annotations

import pytest

from nepxy.cli.bench.budget import measure

pytestmark = pytest.mark.timeout(180)


async def test_a_payout_takes_four_events_and_three_updates_and_is_sent_once(database_url: str) -> None:
    budget = await measure(database_url, payouts_count=40, at_once=8, warm_up=5)

    assert (budget.settled_count, budget.repeated_count) == (40, 0)
    assert (budget.events, budget.updates) == (4, 3)
    assert budget.cpu_ms > 0
    assert budget.wal_bytes > 0
