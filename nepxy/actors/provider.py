"""The provider actor: protects a provider and us. It grants places for calls; it never makes a call itself.

Submits and questions (look-ups, polls) have separate queues, so that neither starves the other: questions
get at most a quarter of the places, look-ups of payouts in doubt before polls. Within a queue: due first,
then oldest. A pause stops submits only (money rule 10).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, assert_never

import structlog
from pykka import ActorDeadError, ActorRef

from nepxy.actors.context import EngineParts
from nepxy.actors.messages import (
    DescribeProvider,
    PauseProvider,
    PauseStateLoaded,
    ProviderView,
    ResumeProvider,
    SlotFreed,
    SlotOffered,
    SlotRefused,
    SlotResult,
    SlowDownProvider,
    WantSlot,
)
from nepxy.engine.breaker import Breaker, BreakerState
from nepxy.engine.events import Work
from nepxy.engine.pace import Pace
from nepxy.engine.payout import TransactionId
from nepxy.engine.runtime import Cancellable, LoopActor

log = structlog.get_logger("nepxy.provider")

SAVE_AGAIN_S = 1.0
SLOW_DOWN_S = 5.0
SLOW_DOWN_S_MAX = 300.0
REFUSED_RETRY_S = 5.0

Place = tuple[int, datetime, datetime, int, TransactionId]
"""Rank of the work, due time, age, ticket, payout: the order of a queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSaved:
    """The pause or resume is in the database."""

    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseUnsaved:
    """The database did not take it; it is tried again."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    ref: ActorRef[Any]
    work: Work
    ticket: int


class ProviderActor(LoopActor):
    """One provider of this process."""

    kind = "provider"

    def __init__(
        self,
        *,
        name: str,
        parts: EngineParts,
        ready: bool,
        enabled: bool,
        concurrency_max: int,
        requests_per_s: float,
        waiting_max: int = 20_000,
        paused_reason: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Start with an empty queue.

        Args:
            name: the provider's.
            parts: what all actors share.
            ready: whether there is an adapter with credentials.
            enabled: whether new payouts are given to it.
            concurrency_max: calls in flight at once, questions included.
            requests_per_s: 0 is unlimited.
            waiting_max: payouts that may wait here; others are told to come back.
            paused_reason: why it is paused, as the database says; None: it is not.
        """
        super().__init__(**kwargs)
        self.actor_name = name
        self._parts = parts
        self._ready = ready
        self._enabled = enabled
        self._concurrency_max = concurrency_max
        self._asks_max = max(1, concurrency_max // 4)
        self._waiting_max = waiting_max
        self._pace = Pace(requests_per_s=requests_per_s)
        self._breaker = Breaker()
        self._paused_reason = paused_reason
        self._unsaved: tuple[bool, str, str] | None = None
        self._submits: list[Place] = []
        self._asks: list[Place] = []
        self._waiting: dict[TransactionId, _Waiting] = {}
        self._held: dict[TransactionId, Work] = {}
        self._asks_held = 0
        self._tickets = count()
        self._timer: Cancellable | None = None

    def on_receive(self, message: Any) -> ProviderView | None:
        """Handle one message."""
        match message:
            case WantSlot():
                self._want(message)
            case SlotFreed(transaction_id=transaction_id, result=result):
                self._freed(transaction_id, result)
            case PauseProvider(reason=reason, who=who):
                self._set_paused(True, reason, who)
            case ResumeProvider(who=who):
                self._set_paused(False, "", who)
            case PauseStateLoaded(paused=paused):
                self._loaded(paused.get(self.actor_name or ""))
            case PauseSaved():
                self._unsaved = None
            case PauseUnsaved():
                self.tell_later(SAVE_AGAIN_S, "save")
            case SlowDownProvider(retry_after_s=retry_after_s):
                wait_s = min(retry_after_s if retry_after_s is not None else SLOW_DOWN_S, SLOW_DOWN_S_MAX)
                self._pace.hold(self._monotonic(), wait_s)
                log.warning("provider.throttled", provider=self.actor_name, wait_s=wait_s)
            case DescribeProvider():
                return self._view()
            case "pump":
                self._timer = None
            case "save":
                self._save()
            case _:
                raise TypeError(f"a provider does not take {type(message).__name__}")
        self._pump()
        return None

    # ---- the queue ---------------------------------------------------------------------------------

    def _want(self, want: WantSlot) -> None:
        if len(self._waiting) >= self._waiting_max and want.transaction_id not in self._waiting:
            refusal = SlotRefused(work=want.work, retry_after_s=REFUSED_RETRY_S)
            self.runtime.tell_or_dead_letter(want.ref, refusal)
            return
        ticket = next(self._tickets)
        self._waiting[want.transaction_id] = _Waiting(want.ref, want.work, ticket)
        rank = 1 if want.work is Work.POLL else 0
        place = (rank, want.due_at, want.created_at, ticket, want.transaction_id)
        heapq.heappush(self._queue_of(want.work), place)

    def _queue_of(self, work: Work) -> list[Place]:
        match work:
            case Work.SUBMIT | Work.RESEND:
                return self._submits
            case Work.LOOKUP | Work.POLL:
                return self._asks
            case _:
                assert_never(work)

    def _pump(self) -> None:
        """Grant places while there are any."""
        while len(self._held) < self._concurrency_max and self._waiting:
            wait_s = max(self._breaker.wait_s(self._monotonic()), self._pace.wait_s(self._monotonic()))
            if wait_s > 0:
                self._pump_later(wait_s)
                break
            chosen = self._next()
            if chosen is None:
                break
            self._grant(*chosen)
        self._measure()

    def _next(self) -> tuple[TransactionId, _Waiting] | None:
        if self._asks_held < self._asks_max:
            found = self._pop(self._asks)
            if found is not None:
                return found
        return self._pop(self._submits) if self._paused_reason is None else None

    def _pop(self, queue: list[Place]) -> tuple[TransactionId, _Waiting] | None:
        while queue:
            *_, ticket, transaction_id = heapq.heappop(queue)
            waiting = self._waiting.get(transaction_id)
            if waiting is not None and waiting.ticket == ticket:
                # Others of this payout, withdrawn or asked for anew, are passed over: their ticket is stale.
                del self._waiting[transaction_id]
                return transaction_id, waiting
        return None

    def _grant(self, transaction_id: TransactionId, waiting: _Waiting) -> None:
        try:
            waiting.ref.tell(SlotOffered(work=waiting.work))
        except ActorDeadError:
            return
        self._held[transaction_id] = waiting.work
        self._asks_held += waiting.work in (Work.LOOKUP, Work.POLL)
        self._breaker.called()
        self._pace.called(self._monotonic())

    def _freed(self, transaction_id: TransactionId, result: SlotResult) -> None:
        self._waiting.pop(transaction_id, None)
        work = self._held.pop(transaction_id, None)
        if work is None:
            return
        self._asks_held -= work in (Work.LOOKUP, Work.POLL)
        was = self._breaker.state
        match result:
            case SlotResult.ANSWERED:
                self._breaker.succeeded()
            case SlotResult.FAILED:
                self._breaker.failed(self._monotonic())
            case SlotResult.UNUSED:
                self._breaker.abandoned(self._monotonic())
            case _:
                assert_never(result)
        if self._breaker.state is not was and BreakerState.CLOSED in (self._breaker.state, was):
            log.warning("provider.breaker_changed", provider=self.actor_name, state=self._breaker.state.value)

    def _pump_later(self, wait_s: float) -> None:
        if wait_s == float("inf"):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.tell_later(wait_s, "pump")

    # ---- the pause ---------------------------------------------------------------------------------

    def _set_paused(self, paused: bool, reason: str, who: str) -> None:
        if paused == (self._paused_reason is not None):
            return
        self._paused_reason = reason if paused else None
        self._unsaved = (paused, reason, who)
        log.warning(
            "provider.paused" if paused else "provider.resumed", provider=self.actor_name, reason=reason
        )
        self._save()

    def _save(self) -> None:
        if self._unsaved is None:
            return
        paused, reason, who = self._unsaved
        self.pipe_to_self(
            self._parts.store.set_paused(str(self.actor_name), paused=paused, reason=reason, who=who),
            on_result=lambda _: PauseSaved(paused=paused),
            on_error=lambda _: PauseUnsaved(),
            name="provider-save-pause",
        )

    def _loaded(self, reason: str | None) -> None:
        """What the database says holds for every node; except for what this one has not saved yet."""
        if self._unsaved is None:
            if (reason is None) != (self._paused_reason is None):
                log.warning(
                    "provider.resumed" if reason is None else "provider.paused", provider=self.actor_name
                )
            self._paused_reason = reason

    # ---- what can be seen --------------------------------------------------------------------------

    def _view(self) -> ProviderView:
        return ProviderView(
            name=str(self.actor_name),
            ready=self._ready,
            enabled=self._enabled,
            paused=self._paused_reason is not None,
            paused_reason=self._paused_reason or "",
            breaker=self._breaker.state.value,
            in_flight=len(self._held),
            waiting=len(self._waiting),
            concurrency_max=self._concurrency_max,
            requests_per_s=self._pace.requests_per_s,
        )

    def _measure(self) -> None:
        metrics, name = self._parts.metrics, self.actor_name
        metrics.paused.labels(name).set(self._paused_reason is not None)
        metrics.breaker_open.labels(name).set(self._breaker.state is not BreakerState.CLOSED)
        metrics.slots_held.labels(name).set(len(self._held))
        metrics.slots_wanted.labels(name).set(len(self._waiting))

    def _monotonic(self) -> float:
        return self.runtime.scheduler.monotonic()
