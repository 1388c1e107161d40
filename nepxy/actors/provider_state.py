"""What a provider's actor must not forget when it dies: its successor goes on with it, and the supervisor shows it.

One event loop runs them all, so whoever reads it between two turns sees it whole. Only the provider's actor writes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from nepxy.actors.messages import ProviderView
from nepxy.engine.gate import Gate, Kind
from nepxy.engine.outcomes import Shortfall
from nepxy.engine.runtime import ReplyTo
from nepxy.engine.runtime.scheduler import Scheduler

UNSAVED_MAX: Final = 16


@dataclass(slots=True, kw_only=True)
class PauseWish:
    """A pause or resume that holds in this process, and is not in the database yet."""

    paused: bool
    reason: str
    who: str
    shortfall: Shortfall | None = None
    """Paused for want of it; or resumed, if it is still paused for that."""
    replies: list[ReplyTo] = field(default_factory=list)
    """Told a `ProviderView` once it is in the database."""


@dataclass(slots=True, kw_only=True)
class ProviderState:
    """One provider of this process."""

    name: str
    ready: bool
    """Whether there is an adapter with credentials."""
    enabled: bool
    """Whether new payouts are given to it."""
    gate: Gate
    missing: tuple[str, ...] = ()
    """What it lacks to be ready."""
    tells_balance: bool = False
    """Whether it can be asked what we hold there."""
    paused_reason: str | None = None
    """Why submits are paused; None: they are not."""
    shortfall: Shortfall | None = None
    """Paused until we hold this there; None: not paused, or for another reason."""
    unsaved: deque[PauseWish] = field(default_factory=deque)
    """Oldest first; they alternate, because a wish for what already holds is none: but for a pause that takes the
    place of one for want of money."""

    def wish(self, wish: PauseWish) -> None:
        """Pause or resume here and now; the database follows."""
        self.pause(wish.reason if wish.paused else None, wish.shortfall if wish.paused else None)
        self.unsaved.append(wish)
        if len(self.unsaved) > UNSAVED_MAX:
            # A pause and its resume, of which neither is being saved now, and whose end is what holds anyway.
            replies = [*self.unsaved[1].replies, *self.unsaved[2].replies]
            del self.unsaved[2], self.unsaved[1]
            self.unsaved[1].replies[:0] = replies

    def pause(self, reason: str | None, shortfall: Shortfall | None = None) -> None:
        """Hold submits back for this reason, which is perhaps the want of money; None: let them go."""
        self.paused_reason = reason
        self.shortfall = shortfall
        self.gate.submits_paused = reason is not None

    def view(self, scheduler: Scheduler) -> ProviderView:
        """The provider as operators see it now."""
        gate = self.gate
        return ProviderView(
            name=self.name,
            ready=self.ready,
            enabled=self.enabled,
            paused=self.paused_reason is not None,
            paused_reason=self.paused_reason or "",
            pause_is_saved=not self.unsaved,
            breaker=gate.breaker.state.value,
            breaker_since=_when(gate.breaker.changed_at_s, scheduler),
            in_flight=gate.held_count,
            waiting=gate.waiting_count,
            waiting_submits=gate.waiting_of(Kind.SUBMIT),
            waiting_questions=gate.waiting_of(Kind.LOOKUP) + gate.waiting_of(Kind.POLL),
            oldest_due_at=gate.oldest_due_at(),
            held_until=self.held_until(scheduler),
            concurrency_max=gate.concurrency_max,
            requests_per_s=gate.pace.requests_per_s,
            missing=self.missing,
            shortfall=self.shortfall,
            resumes_by_itself=self.shortfall is not None and self.tells_balance,
        )

    def held_until(self, scheduler: Scheduler) -> datetime | None:
        """Until when the provider asked for silence; None: it does not."""
        held_until_s = self.gate.pace.held_until_s
        return _when(held_until_s, scheduler) if held_until_s > scheduler.monotonic() else None


def _when(moment_s: float | None, scheduler: Scheduler) -> datetime | None:
    """A moment of the monotonic clock by the wall clock."""
    if moment_s is None:
        return None
    return scheduler.now() + timedelta(seconds=moment_s - scheduler.monotonic())
