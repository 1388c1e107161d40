"""How late the event loop is: what waits behind a long turn, or for the interpreter while another thread has it."""

from __future__ import annotations

import asyncio
from typing import Final

from prometheus_client import Histogram

LOOK_EVERY_S: Final = 0.25


async def watch_loop_lag(lag_s: Histogram, *, every_s: float = LOOK_EVERY_S) -> None:
    """Sleep again and again, and observe by how much each sleep was too long; until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_at_s = loop.time() + every_s
        await asyncio.sleep(every_s)
        lag_s.observe(max(0.0, loop.time() - due_at_s))
