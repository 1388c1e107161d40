"""The actors beside payouts and providers: one of each kind, started by the supervisor, and again when they die."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pykka import ActorRef

from nepxy.actors.bulk import BulkRunner, BulkStore
from nepxy.actors.context import EngineParts
from nepxy.actors.doubt_watcher import DoubtWatcher
from nepxy.actors.lease_keeper import LeaseKeeper
from nepxy.actors.messages import RecoveryProgressed, Retire
from nepxy.actors.provider_table import ProviderTable
from nepxy.actors.reconciler import Reconciler
from nepxy.actors.reconciliation import Reconciliation, ReconciliationSetup
from nepxy.actors.tree import ActorRow, Lives
from nepxy.engine.runtime import Runtime

LEASE_KEEPER: Final = "lease_keeper"
RECONCILER: Final = "reconciler"
DOUBT_WATCHER: Final = "doubt_watcher"
RECONCILIATION: Final = "reconciliation"
BULK: Final = "bulk"

REST_S: Final[Mapping[str, float]] = {DOUBT_WATCHER: 60.0, BULK: 60.0, RECONCILIATION: 60.0}
"""How long those rest that died too often. Nothing of money hangs on them (a run ends as FAILED, a lever is pulled
again under its own key, gauges stand still): not worth a process. The others are, and have no rest."""

SHOWN: Final = (RECONCILER, LEASE_KEEPER, DOUBT_WATCHER, RECONCILIATION, BULK)
"""In this order operators see them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorLimits:
    """Durations in seconds."""

    lease_ttl_s: float = 10.0
    sweep_interval_s: float = 1.0
    recovery_batch: int = 500
    pause_refresh_s: float = 1.5
    """Pauses hold on every node within 2 s."""
    join_every_s: float = 5.0
    linger_s: float = 15.0
    """How long a payout that could leave memory stays while there is room: most webhooks come soon."""
    doubt_count_every_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAgain:
    """The supervisor to itself: a helper that died has rested."""

    kind: str


class Helpers:
    """Whoever is alive of them, by kind. The supervisor's own."""

    def __init__(
        self,
        *,
        parts: EngineParts,
        limits: SupervisorLimits,
        providers: ProviderTable,
        lives: Lives,
        runtime: Runtime,
        supervisor: ActorRef[Any],
        reconciliation: ReconciliationSetup | None,
        bulk: BulkStore | None,
    ) -> None:
        """Start nobody yet.

        Args:
            parts: what every actor shares.
            limits: of the actors that are started here.
            providers: those that reconciliation asks.
            lives: told of every birth.
            runtime: where they run.
            supervisor: hears of their ends, as `(kind, "")`.
            reconciliation: how providers are asked for comparison; None: they are not.
            bulk: where the levers are that touch many payouts; None: nobody pulls them.
        """
        self._parts = parts
        self._limits = limits
        self._providers = providers
        self._lives = lives
        self._runtime = runtime
        self._supervisor = supervisor
        self._reconciliation = reconciliation
        self._bulk_store = bulk
        self._refs: dict[str, ActorRef[Any]] = {}
        self._draining = False
        self.recovered_count = 0
        self.recovery_done = False

    def start_first(self) -> None:
        """Start all but the reconciler: there is nothing to sweep before there are shards."""
        for kind in (LEASE_KEEPER, DOUBT_WATCHER, RECONCILIATION, BULK):
            self.start(kind)

    def start(self, kind: str) -> None:
        """Start one, perhaps in the place of one that died; none that would begin something while the engine ends."""
        has_work = {BULK: self._bulk_store is not None, RECONCILIATION: self._reconciliation is not None}
        if kind in has_work and (self._draining or not has_work[kind]):
            return
        self._lives.born((kind, ""), self._runtime.scheduler.now())
        self._refs[kind] = self._start(kind)

    def sweep_anew(self) -> None:
        """A new reconciler begins with all that is due, and will be within a minute."""
        self.stop(RECONCILER)
        self.start(RECONCILER)

    def progressed(self, message: RecoveryProgressed) -> None:
        """How far the reconciler is with what it found at first."""
        self.recovered_count, self.recovery_done = message.recovered_count, message.done
        self._parts.metrics.recovered.set(message.recovered_count)
        self._parts.metrics.recovery_done.set(message.done)

    def get(self, kind: str) -> ActorRef[Any] | None:
        """Where it is; None: it was not started, or is being restarted."""
        return self._refs.get(kind)

    def stop(self, kind: str) -> None:
        """Stop one in order, if it is there."""
        ref = self._refs.pop(kind, None)
        if ref is not None:
            ref.stop(block=False)

    def drain(self) -> None:
        """Begin nothing any more; the lease keeper goes on, because payouts in flight still need their shards."""
        self._draining = True
        self.stop(RECONCILER)
        reconciliation = self._refs.get(RECONCILIATION)
        if reconciliation is not None:
            self._runtime.tell_or_dead_letter(reconciliation, Retire())
        # What it has not heard of yet is given again, under its own key, by the next node.
        self.stop(BULK)

    def died(self, kind: str, *, allowed: bool, later: Callable[[float, StartAgain], Any]) -> bool:
        """One died: start another now or later.

        Args:
            kind: which.
            allowed: whether it has not died too often.
            later: tells the supervisor something after so many seconds.

        Returns:
            False: it died too often, and nothing goes on without it.
        """
        rest_s = REST_S.get(kind)
        if rest_s is None and not allowed:
            return False
        self._parts.metrics.restarts.labels(kind).inc()
        if kind != DOUBT_WATCHER:
            # The watcher's row stays to be seen: all that it does is to count.
            self._refs.pop(kind, None)
        if rest_s is None:
            self.start(kind)
        else:
            later(0.0 if allowed else rest_s, StartAgain(kind=kind))
        return True

    def rows(self, parent: str) -> Iterator[ActorRow]:
        """As operators see them."""
        for kind in SHOWN:
            ref = self._refs.get(kind)
            if ref is not None:
                yield from self._lives.rows((kind, ""), kind, parent, ref)

    def _start(self, kind: str) -> ActorRef[Any]:
        parts, limits = self._parts, self._limits
        tree: dict[str, Any] = {
            "supervisor": self._supervisor,
            "runtime": self._runtime,
            "parent": self._supervisor,
            "child_id": (kind, ""),
        }
        match kind:
            case "lease_keeper":
                return LeaseKeeper.start(
                    store=parts.store,
                    lease_ttl_s=limits.lease_ttl_s,
                    pause_refresh_s=limits.pause_refresh_s,
                    **tree,
                )
            case "doubt_watcher":
                return DoubtWatcher.start(parts=parts, every_s=limits.doubt_count_every_s, **tree)
            case "bulk":
                return BulkRunner.start(store=self._bulk_store, ownership=parts.ownership, **tree)
            case "reconciliation":
                return Reconciliation.start(
                    setup=self._reconciliation, parts=parts, providers=self._providers.of, **tree
                )
            case "reconciler":
                self.recovery_done = False
                return Reconciler.start(
                    store=parts.store,
                    ownership=parts.ownership,
                    interval_s=limits.sweep_interval_s,
                    batch=limits.recovery_batch,
                    reach_s=parts.passivate_after_s,
                    join_every_s=limits.join_every_s,
                    **tree,
                )
            case _:
                raise KeyError(kind)
