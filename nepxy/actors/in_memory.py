"""The payouts that have an actor on this node: who may have one, how it is reached, and when it leaves memory again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from pykka import ActorRef

from nepxy.actors.context import EngineParts
from nepxy.actors.engine_control import EngineSteering
from nepxy.actors.messages import Deliver, EngineState, PayoutIdle, PayoutsDue, Retire, TakenUp
from nepxy.actors.payout import PayoutActor
from nepxy.actors.provider_table import ProviderTable
from nepxy.actors.replies import fail_reply
from nepxy.actors.roster import Entry, Roster
from nepxy.actors.tenure import Tenure
from nepxy.engine.payout import Payout, TransactionId, shard_of
from nepxy.engine.runtime import LoopActor
from nepxy.errors import PayoutNotFound

log = structlog.get_logger("nepxy.supervisor")

OWN_SHARE: Final = 2
"""This part of the memory is divided among the providers for good: a dead one's backlog never fills it all."""

WAKES_SOON: Final = timedelta(seconds=1)
"""So close to its time a payout may be at work already, by a timer of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFound:
    """The supervisor to itself: a payout was loaded because something waits to be delivered to it."""

    transaction_id: TransactionId
    payout: Payout | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowNotRead:
    """The supervisor to itself: it could not be loaded."""

    transaction_id: TransactionId
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo:
    """The supervisor to itself: look who has lingered long enough."""


class PayoutsInMemory:
    """The supervisor's own: it alone delivers to payouts, so it knows which of them have something on its way."""

    def __init__(
        self,
        *,
        actor: LoopActor,
        parts: EngineParts,
        linger_s: float,
        providers: ProviderTable,
        steering: EngineSteering,
        tenure: Tenure,
        forget: Callable[[TransactionId], None],
    ) -> None:
        """Start empty.

        Args:
            actor: the supervisor, which is the payouts' parent.
            parts: what every actor shares.
            linger_s: how long a payout that could leave memory stays while there is room.
            providers: whose payouts they are.
            steering: how many there may be.
            tenure: of which shards this node takes payouts up.
            forget: told of each that leaves in order.
        """
        self._actor = actor
        self._parts = parts
        self._linger_s = linger_s
        self._providers = providers
        self._steering = steering
        self._tenure = tenure
        self._forget = forget
        self.roster = Roster()
        parts.metrics.payouts_in_memory.set_function(lambda: len(self.roster))
        self._arriving: dict[TransactionId, list[Deliver]] = {}
        """What waits for a payout to be loaded."""
        self._lingering: dict[TransactionId, tuple[float, PayoutIdle]] = {}
        """Who may leave memory, and when it must; longest idle first."""
        self._looks_again = False
        """Whether a `LetGo` is on its way: one is enough."""

    def __len__(self) -> int:
        return len(self.roster)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is here, and nobody is awaited."""
        return not self.roster and not self._arriving

    def tell_all(self, message: Any, which: Callable[[TransactionId, Entry], bool] | None = None) -> None:
        """Tell all payouts here, or those of them."""
        for transaction_id, entry in self.roster.items():
            if which is not None and not which(transaction_id, entry):
                continue
            if isinstance(message, Deliver):
                # Counted: who has had more than was delivered to it is never let go.
                self.deliver(transaction_id, message)
            else:
                self._tell(entry.ref, message)

    # ---- in ----------------------------------------------------------------------------------------

    def created(self, payout: Payout, *, is_new: bool) -> None:
        """A client's payout is committed; without room for it, the reconciler will find it."""
        if payout.transaction_id not in self.roster and self._has_room(payout.provider):
            self._spawn(payout, is_new=is_new)

    def due(self, message: PayoutsDue) -> None:
        """Take up what the reconciler found, as far as there is room."""
        started = 0
        if self._tenure.life is EngineState.RUNNING:
            for payout in message.payouts:
                known = payout.transaction_id in self.roster or payout.transaction_id in self._arriving
                if (
                    not known
                    and self._has_room(payout.provider)
                    and shard_of(payout.transaction_id) in self._parts.ownership.epochs
                ):
                    self._spawn(payout)
                    started += 1
        self._tell(message.reply_to, TakenUp(started_count=started, room_count=self._room()))

    def deliver(self, transaction_id: TransactionId, deliver: Deliver) -> None:
        """Deliver to the payout's actor; if it is not in memory, load it first."""
        entry = self.roster.get(transaction_id)
        if entry is not None:
            entry.delivered_count += 1
            entry.untold = entry.untold and deliver.webhook is None
            self._tell(entry.ref, deliver)
            return
        waiting = self._arriving.setdefault(transaction_id, [])
        waiting.append(deliver)
        if len(waiting) == 1:
            self._load(transaction_id)

    def row_found(self, message: RowFound) -> None:
        """Start the payout, and deliver what waits for it."""
        transaction_id = message.transaction_id
        if transaction_id not in self._arriving:
            return
        if transaction_id in self.roster:
            for deliver in self._arriving.pop(transaction_id):
                self.deliver(transaction_id, deliver)
        elif message.payout is not None:
            self._spawn(message.payout)
        else:
            for deliver in self._arriving.pop(transaction_id):
                fail_reply(deliver.reply_to, PayoutNotFound(transaction_id))

    def row_not_read(self, message: RowNotRead) -> None:
        """Whoever waits may come again; a restart or a due time comes again by itself."""
        for deliver in self._arriving.pop(message.transaction_id, ()):
            fail_reply(deliver.reply_to, message.error)
        log.warning("payout.not_loaded", transaction_id=message.transaction_id, error=str(message.error))

    def _load(self, transaction_id: TransactionId) -> None:
        self._actor.pipe_to_self(
            self._parts.store.load(transaction_id),
            on_result=lambda payout: RowFound(transaction_id=transaction_id, payout=payout),
            on_error=lambda error: RowNotRead(transaction_id=transaction_id, error=error),
            name="supervisor-load",
        )

    def _spawn(self, payout: Payout, *, is_new: bool = False) -> None:
        ref = PayoutActor.start(
            payout=payout,
            parts=self._providers.of(payout.provider),
            runtime=self._actor.runtime,
            parent=self._actor.actor_ref,
            child_id=payout.transaction_id,
        )
        self.roster.add(payout, ref, is_new=is_new)
        self.let_some_go()
        for deliver in self._arriving.pop(payout.transaction_id, ()):
            self.deliver(payout.transaction_id, deliver)
        if not self._tenure.works_on(payout.transaction_id):
            # A webhook's fact is recorded by whoever has it; the rest is for who holds the shard.
            self._tell(ref, Retire())

    # ---- room --------------------------------------------------------------------------------------

    def _room(self) -> int:
        return max(0, self._steering.payouts_in_memory_max - len(self.roster))

    def _has_room(self, provider: str) -> bool:
        """Whether one more payout of this provider may be in memory; who merely lingers makes room for it."""
        while not self._is_free_for(provider):
            if not self._lingering:
                return False
            self._let_longest_go()
        return True

    def _is_free_for(self, provider: str) -> bool:
        """Whether there is room now: what others have a right to stays free."""
        free, providers_count = self._room(), len(self._providers)
        share = self._steering.payouts_in_memory_max // (OWN_SHARE * max(1, providers_count))
        if free > share * providers_count:
            return True
        if self.roster.count_of(provider) < share:
            return free > 0
        kept = sum(max(0, share - self.roster.count_of(name)) for name in self._providers if name != provider)
        return free > kept

    # ---- out ---------------------------------------------------------------------------------------

    def idle(self, message: PayoutIdle) -> None:
        """Let it go at once where it is done; what waits for a webhook lingers, so that it need not be read again."""
        if message.until is None or self._linger_s <= 0:
            self._let_go(message)
            return
        if not self._looks_again:
            self._looks_again = True
            self._actor.tell_later(self._linger_s, LetGo())
        self._lingering.pop(message.transaction_id, None)
        until_s = self._actor.runtime.scheduler.monotonic() + self._linger_s
        self._lingering[message.transaction_id] = until_s, message
        self.let_some_go()

    def look_who_lingers(self) -> None:
        """Let go who may, and look again."""
        self.let_some_go()
        self._looks_again = bool(self._lingering)
        if self._looks_again:
            self._actor.tell_later(self._linger_s / 2, LetGo())

    def let_some_go(self) -> None:
        """Those who have lingered long enough; and more, where they take up more than half of what is free."""
        now_s = self._actor.runtime.scheduler.monotonic()
        while self._lingering:
            until_s, _ = next(iter(self._lingering.values()))
            if until_s > now_s and len(self._lingering) <= self._room():
                break
            self._let_longest_go()

    def _let_longest_go(self) -> None:
        """Whoever lingers longest; but not where its time has come there: at work, it says anew when it is idle."""
        _, message = self._lingering.pop(next(iter(self._lingering)))
        wakes_at = self._actor.runtime.scheduler.now() + WAKES_SOON
        if message.until is None or message.until > wakes_at:
            self._let_go(message)

    def stopped(self, transaction_id: TransactionId, ref: ActorRef[Any]) -> None:
        """Its actor stopped by itself."""
        entry = self.roster.get(transaction_id)
        if entry is not None and entry.ref is ref:
            self.roster.remove(transaction_id)

    def died(self, transaction_id: TransactionId, ref: ActorRef[Any]) -> Entry | None:
        """Its actor died: what it was; None: another has its place already."""
        entry = self.roster.get(transaction_id)
        if entry is None or entry.ref is not ref:
            return None
        self.roster.remove(transaction_id)
        return entry

    def _let_go(self, message: PayoutIdle) -> None:
        self._lingering.pop(message.transaction_id, None)
        entry = self.roster.get(message.transaction_id)
        if entry is None or entry.ref is not message.ref or entry.delivered_count != message.delivered_count:
            return
        self.roster.remove(message.transaction_id)
        self._forget(message.transaction_id)
        message.ref.stop(block=False)

    def _tell(self, ref: ActorRef[Any], message: Any) -> None:
        self._actor.runtime.tell_or_dead_letter(ref, message)
