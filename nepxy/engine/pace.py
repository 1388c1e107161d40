"""How many calls a second a provider gets: a token bucket with the capacity of one second. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NEARLY: Final = 1e-9
"""Sums of fractions: without it a caller may be told to wait for less than the clock can measure, for ever."""


@dataclass(slots=True)
class Pace:
    """Times are seconds of a monotonic clock; `requests_per_s` 0 is unlimited."""

    requests_per_s: float = 0.0
    tokens: float = 1.0
    at_s: float = 0.0
    held_until_s: float = 0.0
    """The provider asked for silence until then."""

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next call may be made; 0: now."""
        held_s = max(0.0, self.held_until_s - now_s)
        if self.requests_per_s <= 0:
            return held_s
        self._fill(now_s)
        missing = 1.0 - self.tokens
        return max(held_s, missing / self.requests_per_s if missing > NEARLY else 0.0)

    def called(self, now_s: float) -> None:
        """A call is made."""
        if self.requests_per_s > 0:
            self._fill(now_s)
            self.tokens -= 1.0

    def not_called(self) -> None:
        """The call was not made after all."""
        if self.requests_per_s > 0:
            self.tokens = min(self._capacity, self.tokens + 1.0)

    def change(self, requests_per_s: float, now_s: float) -> None:
        """Another pace from now on; what was saved up at the old one is kept as far as the new one allows."""
        if self.requests_per_s > 0:
            self._fill(now_s)
        else:
            self.tokens, self.at_s = 1.0, now_s
        self.requests_per_s = requests_per_s
        self.tokens = min(self.tokens, self._capacity)

    def hold(self, now_s: float, for_s: float) -> None:
        """Make no call for a while."""
        self.held_until_s = max(self.held_until_s, now_s + for_s)

    @property
    def _capacity(self) -> float:
        return max(1.0, self.requests_per_s)

    def _fill(self, now_s: float) -> None:
        grown = self.tokens + (now_s - self.at_s) * self.requests_per_s
        self.tokens = min(self._capacity, grown)
        self.at_s = now_s
