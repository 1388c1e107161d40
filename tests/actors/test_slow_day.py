"""What explains a slow day: how late the loop is, and where payouts spend their time."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry, Histogram

from nepxy.actors.loop_lag import watch_loop_lag
from nepxy.engine.payout import Status
from tests.actors.test_lingering import accepted, tell
from tests.actors.test_supervisor import running


async def test_a_turn_that_holds_the_loop_shows_as_lag() -> None:
    registry = CollectorRegistry()
    lag = Histogram("lag", "Lag.", buckets=(0.1, 60), registry=registry)
    watch = asyncio.create_task(watch_loop_lag(lag, every_s=0.01))
    await asyncio.sleep(0)

    time.sleep(0.2)
    while not registry.get_sample_value("lag_count"):
        await asyncio.sleep(0.01)

    watch.cancel()
    assert (registry.get_sample_value("lag_sum") or 0) >= 0.18


def test_the_time_in_a_state_is_told_when_it_is_left() -> None:
    town = running()
    payout = accepted(town)
    town.run(3)
    tell(town, payout)

    assert town.status(payout) is Status.CONFIRMED
    name = "nepxy_payout_state_seconds"
    assert town.sample(f"{name}_count", provider="TMONEY", state="PENDING") == 1
    assert town.sample(f"{name}_count", provider="TMONEY", state="SENT") == 1
    assert 3 <= (town.sample(f"{name}_sum", provider="TMONEY", state="SENT") or 0) < 5
