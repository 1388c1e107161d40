"""How much of everything: tiny for tests, usual for `make bench`, full for `make bench-full`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Counts are payouts, durations seconds."""

    name: str
    runs: int
    warm_up: int
    run: int
    """One run from HTTP to CONFIRMED."""
    at_once: int
    """Requests open at any time."""
    pace_s: float
    """How long a load at a pace lasts."""
    burst: int
    in_flight: int
    """In the table, when the engine is killed."""
    actors: int
    """Waiting in memory."""
    passivated: int
    """Waiting in the table."""
    of_each: int
    """For each of four providers, one of them dead."""
    settled: tuple[int, ...]
    """In the table; from small to large."""
    readers: int


TINY: Final = Sizes(
    name="tiny", runs=1, warm_up=5, run=40, at_once=8, pace_s=1.0, burst=40, in_flight=60, actors=40,
    passivated=200, of_each=10, settled=(0, 200), readers=2,
)  # fmt: skip
USUAL: Final = Sizes(
    name="usual", runs=3, warm_up=500, run=6_000, at_once=256, pace_s=10.0, burst=100_000, in_flight=1_000_000,
    actors=100_000, passivated=1_000_000, of_each=1_000, settled=(0, 1_000_000), readers=8,
)  # fmt: skip
FULL: Final = Sizes(
    name="full", runs=5, warm_up=1_000, run=20_000, at_once=256, pace_s=30.0, burst=100_000,
    in_flight=2_000_000, actors=200_000, passivated=5_000_000, of_each=5_000,
    settled=(0, 1_000_000, 10_000_000), readers=16,
)  # fmt: skip
SIZES: Final = {one.name: one for one in (TINY, USUAL, FULL)}
