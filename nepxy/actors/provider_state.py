"""What a provider's actor must not forget when it dies: its successor goes on with it, and the supervisor shows it.

One event loop runs them all, so whoever reads it between two turns sees it whole. Only the provider's actor writes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from nepxy.actors.commands import ProviderCommand
from nepxy.actors.messages import ProviderView
from nepxy.engine.breaker import Forced
from nepxy.engine.call_ring import CallRing
from nepxy.engine.controls import NO_OVERRIDES, ProviderOverrides
from nepxy.engine.decide import Policy
from nepxy.engine.gate import Gate, Kind
from nepxy.engine.outcomes import Shortfall
from nepxy.engine.runtime import ReplyTo
from nepxy.engine.runtime.scheduler import Scheduler
from nepxy.storage.controls import By

UNSAVED_MAX: Final = 16


@dataclass(slots=True, kw_only=True)
class PauseWish:
    """A pause or resume that holds in this process, and is not in the database yet."""

    paused: bool
    reason: str
    who: str
    shortfall: Shortfall | None = None
    """Paused for want of it; or resumed, if it is still paused for that."""
    by: By | None = None
    """The operator's command that it is."""
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
    configured: Policy | None = None
    policy: Policy | None = None
    """What its payouts are decided by now: as configured, but for what operators have set."""
    currencies: tuple[str, ...] = ()
    """In which we may hold money there."""
    overrides: ProviderOverrides = NO_OVERRIDES
    calls: CallRing = field(default_factory=CallRing)
    unsaved: deque[PauseWish] = field(default_factory=deque)
    """Oldest first; they alternate, because a wish for what already holds is none: but for a pause that takes the
    place of one for want of money."""

    _concurrency_max: int = field(init=False, default=1)
    _requests_per_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        """Remember what is configured: overrides go as they come."""
        self.policy = self.configured
        self._concurrency_max = self.gate.concurrency_max
        self._requests_per_s = self.gate.pace.requests_per_s

    def wish(self, wish: PauseWish, now: datetime) -> None:
        """Pause or resume here and now; the database follows."""
        self.pause(wish.reason if wish.paused else None, wish.shortfall if wish.paused else None)
        paused = (
            {"paused_by": wish.who, "paused_at": now} if wish.paused else {"paused_by": "", "paused_at": None}
        )
        self.overrides = replace(self.overrides, **paused)
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

    def override(self, overrides: ProviderOverrides, now_s: float) -> None:
        """Take over what operators have set; `now_s` by the monotonic clock."""
        self.overrides = overrides
        gate = self.gate
        gate.retries_paused = overrides.retries_paused
        gate.concurrency_max = min(overrides.concurrency_max or self._concurrency_max, self._concurrency_max)
        wanted = overrides.requests_per_s
        pace = self._requests_per_s if wanted is None else wanted
        if pace != gate.pace.requests_per_s:
            gate.pace.change(pace, now_s)
        gate.breaker.force(overrides.breaker_forced, now_s)
        if self.configured is not None:
            retry = overrides.retry_policy(self.configured.retry)
            if self.policy is None or retry != self.policy.retry:
                self.policy = replace(self.configured, retry=retry)

    @property
    def concurrency_configured(self) -> int:
        """Places as the node is configured: it keeps no more connections, so no override goes beyond."""
        return self._concurrency_max

    def valid_commands(self) -> tuple[ProviderCommand, ...]:
        """What means anything now, in the order in which to think of it."""
        commands = ProviderCommand
        paused, forced = self.paused_reason is not None, self.overrides.breaker_forced
        # An operator's pause takes the place of the engine's own, which may end by itself.
        pause = () if paused and self.overrides.paused_by not in ("engine", "") else (commands.PAUSE,)
        return (
            *pause,
            *((commands.RESUME,) if paused else ()),
            commands.RESUME_RETRIES if self.overrides.retries_paused else commands.PAUSE_RETRIES,
            commands.SET_BACKOFF,
            commands.SET_PACE,
            *((commands.OPEN_BREAKER,) if forced is not Forced.OPEN else ()),
            *((commands.CLOSE_BREAKER,) if forced is not Forced.CLOSED else ()),
            *((commands.RELEASE_BREAKER,) if forced is not Forced.NOT else ()),
            *((commands.CHECK_BALANCE,) if self.tells_balance else ()),
        )

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
            waiting_submits=gate.waiting_of(Kind.SUBMIT) + gate.waiting_of(Kind.RETRY),
            waiting_questions=gate.waiting_of(Kind.LOOKUP) + gate.waiting_of(Kind.POLL),
            oldest_due_at=gate.oldest_due_at(),
            held_until=self.held_until(scheduler),
            concurrency_max=gate.concurrency_max,
            requests_per_s=gate.pace.requests_per_s,
            missing=self.missing,
            shortfall=self.shortfall,
            resumes_by_itself=self.shortfall is not None and self.tells_balance,
            overrides=self.overrides,
            backoff_base_s=self.policy.retry.base_s if self.policy is not None else None,
            backoff_cap_s=self.policy.retry.cap_s if self.policy is not None else None,
            calls=self.calls.figures(scheduler.monotonic()),
            valid_commands=tuple(command.value for command in self.valid_commands()),
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
