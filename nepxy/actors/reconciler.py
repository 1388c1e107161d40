"""The reconciler: finds rows that are due and that nobody in memory looks after, and parked webhooks with a payout.

Recovery is nothing else: after a node comes to own its shards, the first scan reaches a little into the
future, because every payout that was in memory when the last owner died is due within a minute. Rows come
in bounded batches, longest due first, and only while there is room in memory. While the supervisor takes one
batch up, the next one is read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from pykka import ActorRef

from nepxy.actors.context import Ownership, Store
from nepxy.actors.messages import PayoutsDue, RecoveryProgressed, TakenUp, WebhooksJoinable
from nepxy.engine.payout import Payout, TransactionId
from nepxy.engine.runtime import Cancellable, LoopActor
from nepxy.storage.webhooks import StoredWebhook

log = structlog.get_logger("nepxy.reconciler")

QUIET_FACTOR_MAX = 10
"""A sweep that starts nothing makes the next ones rarer, up to so many intervals."""
REACH_S_MIN = 60.0
"""A payout that was never tried is due a minute after it came (its twin: FIRST_LOOK_S in nepxy/http/new_payout.py)."""
JOIN_BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    payouts: tuple[Payout, ...]
    full: bool
    """There may be more behind it."""

    @property
    def end(self) -> tuple[datetime, TransactionId]:
        """Where the next batch begins."""
        last = self.payouts[-1]
        return last.next_retry_at or last.created_at, last.transaction_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joined:
    webhooks: tuple[StoredWebhook, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    what: str
    error: BaseException


class Reconciler(LoopActor):
    """Sweeps while this node owns shards."""

    kind = "reconciler"
    actor_name = "reconciler"

    def __init__(
        self,
        *,
        store: Store,
        ownership: Ownership,
        supervisor: ActorRef[Any],
        interval_s: float,
        batch: int,
        reach_s: float,
        join_every_s: float,
        **kwargs: Any,
    ) -> None:
        """Start with recovery.

        Args:
            store: the database.
            ownership: which shards to look at.
            supervisor: told what is due; answers how much room there is.
            interval_s: between two sweeps.
            batch: payouts a look.
            reach_s: how far recovery looks ahead: as long as a payout may wait in memory; a minute at least.
        """
        super().__init__(**kwargs)
        self._store = store
        self._ownership = ownership
        self._supervisor = supervisor
        self._interval_s = interval_s
        self._batch = batch
        self._join_every_s = join_every_s
        self._reach_s = max(reach_s, REACH_S_MIN)
        self._recovering = True
        self._recovered_count = 0
        self._until: datetime | None = None
        self._taking_up: _Loaded | None = None
        """What the supervisor has not answered for yet."""
        self._reading: asyncio.Task[Any] | None = None
        self._read: _Loaded | None = None
        """What comes next, if it is here already."""
        self._timer: Cancellable | None = None
        self._after: tuple[datetime, TransactionId] | None = None
        """The end of what was handed over last."""
        self._started_count = 0
        self._quiet = 1
        self._next_at: datetime | None = None

    def on_start(self) -> None:
        """Begin with what the last owner left."""
        self._tell(RecoveryProgressed(recovered_count=0, done=False))
        self._look()
        self.tell_later(self._join_every_s, "join")

    def doing(self) -> str:
        """What an operator reads of it."""
        if not self._ownership.epochs:
            return "holds no shards: another node sweeps"
        if self._recovering:
            return f"recovers what the last owner left: {self._recovered_count} taken up"
        return "sweeps for what is due" if self._until is not None else "rests between two sweeps"

    def next_at(self) -> datetime | None:
        """When the next sweep begins."""
        return None if self._until is not None else self._next_at

    def on_receive(self, message: Any) -> None:
        """Handle one message."""
        match message:
            case "look":
                self._timer = None
                self._look()
            case _Loaded() if self._reading is None:
                pass  # it was given up in the moment in which it came
            case _Loaded():
                self._reading, self._read = None, message
                self._hand_over()
            case TakenUp(started_count=started, room_count=room):
                self._taken_up(started, room)
            case "join":
                self._join()
            case _Joined(webhooks=webhooks):
                if webhooks:
                    self._tell(WebhooksJoinable(webhooks=webhooks))
                self.tell_later(self._join_every_s, "join")
            case _Failed(what=what, error=error):
                log.warning("sweep.failed", what=what, error=str(error))
                if what == "join":
                    self.tell_later(max(self._interval_s, 1.0), what)
                else:
                    self._reading = None
                    self._look_later(max(self._interval_s, 1.0))
            case _:
                raise TypeError(f"the reconciler does not take {type(message).__name__}")

    def _look(self) -> None:
        """Begin a sweep, or go on with it."""
        if self._taking_up is not None or self._reading is not None:
            return
        if not self._ownership.epochs:
            # The leases went to another node: its sweeps count, until we are owners, and started anew.
            self._look_later(self._interval_s)
            return
        now = self.runtime.scheduler.now()
        if self._until is None:
            self._until = now + timedelta(seconds=self._reach_s if self._recovering else 0)
        self._read_on(self._until)

    def _read_on(self, until: datetime) -> None:
        looking = self._store.due(
            until=until, shards=tuple(self._ownership.epochs), after=self._after, limit=self._batch
        )
        self._reading = self.pipe_to_self(
            looking,
            on_result=lambda found: _Loaded(payouts=tuple(found), full=len(found) >= self._batch),
            on_error=lambda error: _Failed(what="look", error=error),
            name="reconciler-look",
        )

    def _hand_over(self) -> None:
        """Give the supervisor what was read, and read on meanwhile."""
        if self._read is None or self._taking_up is not None:
            return
        batch, self._read = self._read, None
        self._taking_up = batch
        self._tell(PayoutsDue(payouts=batch.payouts, reply_to=self.actor_ref))
        if batch.payouts:
            self._after = batch.end
        if batch.full and self._until is not None and self._ownership.epochs:
            self._read_on(self._until)

    def _taken_up(self, started: int, room: int) -> None:
        batch, self._taking_up = self._taking_up, None
        self._started_count += started
        if self._recovering:
            self._recovered_count += started
            self._tell(RecoveryProgressed(recovered_count=self._recovered_count, done=False))
        if batch is None or not batch.full:
            self._scan_done()
        elif room > 0:
            self._hand_over()
            self._look()
        else:
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        """Go on from here once some payouts have left memory; what was read ahead is old by then."""
        if self._reading is not None:
            self._reading.cancel()
        self._reading = self._read = None
        self._look_later(self._interval_s)

    def _look_later(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.tell_later(delay_s, "look")

    def _scan_done(self) -> None:
        if self._recovering:
            self._recovering = False
            log.info("recovery.completed", recovered_count=self._recovered_count)
            self._tell(RecoveryProgressed(recovered_count=self._recovered_count, done=True))
        self._quiet = 1 if self._started_count else min(self._quiet + 1, QUIET_FACTOR_MAX)
        self._until = self._after = None
        self._started_count = 0
        rest_s = self._interval_s * self._quiet
        self._next_at = self.runtime.scheduler.now() + timedelta(seconds=rest_s)
        self._look_later(rest_s)

    def _join(self) -> None:
        if not self._ownership.epochs:
            self.tell_later(self._join_every_s, "join")
            return
        self.pipe_to_self(
            self._store.joinable_webhooks(limit=JOIN_BATCH),
            on_result=lambda found: _Joined(webhooks=tuple(found)),
            on_error=lambda error: _Failed(what="join", error=error),
            name="reconciler-join",
        )

    def _tell(self, message: Any) -> None:
        self.runtime.tell_or_dead_letter(self._supervisor, message)
