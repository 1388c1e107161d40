"""A circuit breaker: a provider that does not answer is left alone for a while, then tried with one call.

Pure: the caller brings the clock. Money is not its business: it only decides when a call may be made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """One call is on its way to find out."""


class Forced(StrEnum):
    """What an operator has set, whatever the calls say."""

    NOT = ""
    """Automatic."""
    OPEN = "open"
    CLOSED = "closed"


@dataclass(slots=True)
class Breaker:
    """One provider's breaker. Times are seconds of a monotonic clock."""

    failures_max: int = 10
    """Failures in a row that open it."""
    cooldown_s: float = 5.0
    """How long it stays open at first; doubled with each failed probe."""
    cooldown_s_max: float = 60.0
    state: BreakerState = BreakerState.CLOSED
    failure_count: int = 0
    opened_at_s: float = 0.0
    changed_at_s: float | None = None
    """Since when it is in this state; None: it never was in another."""
    current_cooldown_s: float = 0.0
    forced: Forced = Forced.NOT

    def force(self, forced: Forced, now_s: float) -> None:
        """Hold it open or closed; released, it begins anew: closed, with nothing counted."""
        if forced is self.forced:
            return
        self.forced = forced
        self._become(BreakerState.OPEN if forced is Forced.OPEN else BreakerState.CLOSED, now_s)
        self.failure_count = 0
        self.current_cooldown_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds until a call may be made; 0: now; infinity: a probe's end decides, or an operator does."""
        if self.forced is Forced.OPEN:
            return float("inf")
        match self.state:
            case BreakerState.CLOSED:
                return 0.0
            case BreakerState.OPEN:
                return max(0.0, self.opened_at_s + self.current_cooldown_s - now_s)
            case BreakerState.HALF_OPEN:
                return float("inf")

    def called(self, now_s: float) -> bool:
        """A call is being made; whether it is the probe, which its end must name again."""
        if self.state is not BreakerState.OPEN:
            return False
        self._become(BreakerState.HALF_OPEN, now_s)
        return True

    def succeeded(self, now_s: float) -> None:
        """The provider answered: any answer proves that it is there, an old call's too."""
        if self.forced is not Forced.NOT:
            return
        self._become(BreakerState.CLOSED, now_s)
        self.failure_count = 0
        self.current_cooldown_s = 0.0

    def failed(self, now_s: float, *, was_probe: bool) -> None:
        """The provider did not answer, or nothing that makes sense.

        What was called before it opened may fail long after: only the probe's end says how the provider is now.
        """
        if self.forced is not Forced.NOT:
            return
        self.failure_count += 1
        if was_probe and self.state is BreakerState.HALF_OPEN:
            self._open(now_s, min(self.current_cooldown_s * 2, self.cooldown_s_max))
        elif self.state is BreakerState.CLOSED and self.failure_count >= self.failures_max:
            self._open(now_s, self.cooldown_s)

    def abandoned(self, now_s: float, *, was_probe: bool) -> None:
        """The call was not made after all; if it was the probe, the next one may be, at once."""
        if was_probe and self.state is BreakerState.HALF_OPEN:
            self._become(BreakerState.OPEN, now_s)
            self.opened_at_s = now_s - self.current_cooldown_s

    def _open(self, now_s: float, cooldown_s: float) -> None:
        self._become(BreakerState.OPEN, now_s)
        self.opened_at_s = now_s
        self.current_cooldown_s = cooldown_s

    def _become(self, state: BreakerState, now_s: float) -> None:
        if state is not self.state:
            self.state = state
            self.changed_at_s = now_s
