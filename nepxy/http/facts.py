"""Gathers what the incidents are judged by; each part that cannot be had is simply not known."""

from __future__ import annotations

import asyncio
from typing import Final

from nepxy.engine.payout import SHARDS
from nepxy.errors import Unavailable
from nepxy.http.incidents import Facts, Pool
from nepxy.http.parts import Parts
from nepxy.storage.activity import DatabaseActivity, database_activity
from nepxy.storage.in_flight import FlightFigures, flight_figures

LATELY_S: Final = 300.0
LONG_S: Final = 900.0
"""What "lately" means, as in the alert rules; the longer one for what comes now and then."""
WAIT_S: Final = 3.0
"""A database that hangs is not waited for longer."""


async def facts_of(parts: Parts) -> Facts:
    """What is known at this moment."""
    engine, flights, activity = await asyncio.gather(
        parts.engine_view.answer(), _flights(parts), _activity(parts)
    )
    reader = parts.front.reader
    return Facts(
        engine=engine,
        flights=flights,
        last_5_min=parts.watch.lately(LATELY_S),
        last_15_min=parts.watch.lately(LONG_S),
        pool=Pool(size=reader.connections_max, in_use=reader.in_use_count, waiting=reader.waiting_count),
        activity=activity,
    )


async def _flights(parts: Parts) -> list[FlightFigures] | None:
    stuck_after_s = parts.front.settings.engine.stuck_after_s
    reading = parts.watching.run(flight_figures, shards=range(SHARDS), stuck_after_s=stuck_after_s)
    try:
        return await asyncio.wait_for(reading, WAIT_S)
    except (Unavailable, TimeoutError):
        return None


async def _activity(parts: Parts) -> DatabaseActivity | None:
    try:
        return await asyncio.wait_for(parts.apart.run(database_activity), WAIT_S)
    except (Unavailable, TimeoutError):
        return None
