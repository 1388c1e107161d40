"""What this node owns: which shards, until when it may believe so, and the restore of the database that it knows of."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from nepxy.actors.context import Ownership
from nepxy.actors.messages import Deliver, EngineState, LeasesChanged, Retire
from nepxy.actors.metrics import EngineMetrics
from nepxy.engine.events import DueReached
from nepxy.engine.payout import TransactionId, shard_of
from nepxy.engine.restored import Restored
from nepxy.engine.runtime.scheduler import Scheduler
from nepxy.errors import Draining, NepXyError, NodeStandby

log = structlog.get_logger("nepxy.supervisor")


@dataclass(frozen=True, slots=True)
class ShardsMoved:
    """What a word of the lease keeper changed."""

    lost: frozenset[int]
    gained: frozenset[int]
    """Empty while the engine ends: it takes nothing up any more."""


class Tenure:
    """The engine's life as far as its leases go. The supervisor's own, which alone writes the `Ownership`."""

    def __init__(self, *, ownership: Ownership, metrics: EngineMetrics, scheduler: Scheduler) -> None:
        """Hold nothing yet.

        Args:
            ownership: what all actors look at.
            metrics: of the engine.
            scheduler: its monotonic clock is the one that leases are trusted by.
        """
        self._ownership = ownership
        self._metrics = metrics
        self._scheduler = scheduler
        self._trusted_until_s = 0.0
        self._life = EngineState.STARTING
        self.other_owner: str | None = None

    @property
    def life(self) -> EngineState:
        """By the last word of the lease keeper, which may be too old to be trusted."""
        return self._life

    @property
    def life_now(self) -> EngineState:
        """By the clock, too: a lease that nobody renewed is nobody's."""
        runs = self._life is EngineState.RUNNING
        return EngineState.STANDBY if runs and not self._is_trusted else self._life

    def drain(self) -> None:
        """Take nothing up any more, whatever is held."""
        self._life = EngineState.DRAINING

    def refusal(self, transaction_id: TransactionId) -> NepXyError | None:
        """Why this node may not take a payout now."""
        if self._life is EngineState.DRAINING:
            return Draining()
        if not self._is_trusted or shard_of(transaction_id) not in self._ownership.epochs:
            owner = f"node {self.other_owner} holds it" if self.other_owner else "nobody's lease is known yet"
            return NodeStandby(f"this node does not own the payout's shard; {owner}")
        return None

    def works_on(self, transaction_id: TransactionId) -> bool:
        """Whether a payout that is here stays: also while the lease waits to be renewed, for nobody else has it yet.

        What it does meanwhile, the database allows or not: each intent names the epoch that it was decided under.
        """
        held = shard_of(transaction_id) in self._ownership.epochs
        return held and self._life is not EngineState.DRAINING

    def take(self, message: LeasesChanged) -> ShardsMoved:
        """Hold what the lease keeper says."""
        before, held = self._ownership.epochs, message.held
        self._ownership.epochs = dict(held.epochs)
        self._trusted_until_s = message.trusted_until_s
        self.other_owner = held.other_owner
        self._metrics.shards_held.set(len(held.epochs))
        # By epoch: a shard that another node had for a moment in between was lost all the same.
        lost = frozenset(shard for shard, epoch in before.items() if held.epochs.get(shard) != epoch)
        if lost:
            log.error("leases.lost", shard_count=len(lost), owner=held.other_owner)
        if self._life is EngineState.DRAINING:
            return ShardsMoved(lost, frozenset())
        self._life = EngineState.RUNNING if held.epochs else EngineState.STANDBY
        gained = frozenset(shard for shard, epoch in held.epochs.items() if before.get(shard) != epoch)
        if gained:
            log.info("leases.gained", shard_count=len(gained))
        return ShardsMoved(lost, gained)

    def restored(self, restored: Restored | None) -> Retire | Deliver | None:
        """The database was restored, or an operator has released the engine since.

        Returns:
            What each payout in memory must be told; None: nothing.
        """
        before = self._ownership.restored
        if restored == before:
            return None
        self._ownership.restored = restored
        self._metrics.restored_held.set(restored is not None and restored.held)
        if restored is None:
            return None
        log.critical("engine.restored", restored_at=restored.at, held=restored.held)
        # What is in memory is older, or newer, than what is in the database now: it is read again.
        noticed = before is None or before.at != restored.at
        return Retire() if noticed else Deliver(event=DueReached())

    @property
    def _is_trusted(self) -> bool:
        return self._scheduler.monotonic() < self._trusted_until_s
