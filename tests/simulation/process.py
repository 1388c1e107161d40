"""One engine process in the simulated world: the real actors, composed as `cli/serve.py` composes them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest.mock import patch

from prometheus_client import CollectorRegistry

from nepxy.actors.context import EngineParts, Ownership
from nepxy.actors.journal import Journal
from nepxy.actors.messages import Drain
from nepxy.actors.metrics import EngineMetrics
from nepxy.actors.supervisor import ProviderSetup, Supervisor, SupervisorLimits
from nepxy.engine.runtime import LoopActor, LoopActorRef, Runtime
from tests.simulation.kernel import Node, World
from tests.simulation.link import DatabaseLink, SimStore, SimWriter

PROVIDERS = ("TMONEY", "FLOOZ")
"""Where each run draws its contracts; with the real ones, all four."""
ALL_PROVIDERS = (*PROVIDERS, "MOMO", "THUNES")
DRAIN_LIMIT_S = 30.0
HOUSEKEEPING_S = 10.0


class InjectedCrash(Exception):
    """An actor dies of this, because the simulation wants it to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessHabits:
    """How a process is set up, and how often its actors die."""

    lease_ttl_s: float = 40.0
    sweep_interval_s: float = 10.0
    recovery_batch: int = 3
    passivate_after_s: float = 20.0
    payouts_in_memory_max: int = 50
    journal_lanes: int = 2
    actor_crash_rate: float = 0.0
    """Share of the turns' messages, before or after handling, by which an actor dies."""


class SimProcess:
    """A process from its start until it is killed or has ended in order."""

    def __init__(
        self,
        world: World,
        name: str,
        link: DatabaseLink,
        make_setups: Callable[[Node], Mapping[str, ProviderSetup]],
        habits: ProcessHabits,
        *,
        clock_offset_s: float = 0.0,
        died: Callable[[SimProcess], None] = lambda process: None,
    ) -> None:
        self.world = world
        self.name = name
        self.habits = habits
        self.actor_crash_rate = habits.actor_crash_rate
        self.injected: Counter[str] = Counter()
        self.node = world.node(name, clock_offset_s=clock_offset_s)
        self._died = died
        self.supervisor: LoopActorRef[Supervisor]
        node_id = world.new_id()
        self._store = SimStore(self.node, link, node_id, habits.lease_ttl_s)
        self.node.owner = self
        runtime = Runtime(scheduler=self.node.scheduler)
        journal = Journal.start(
            make_writers=lambda tell: [SimWriter(self.node, link, tell) for _ in range(habits.journal_lanes)],
            metrics=_metrics(),
            watcher=lambda message: runtime.tell_or_dead_letter(self.supervisor, message),
            escalate=self._escalated,
            runtime=runtime,
        )
        parts = EngineParts(
            store=self._store,
            journal=journal,
            ownership=Ownership(node_id=node_id),
            metrics=_metrics(),
            new_id=world.new_id,
            dice=random.Random(world.rng.getrandbits(32)),
            passivate_after_s=habits.passivate_after_s,
            payouts_in_memory_max=habits.payouts_in_memory_max,
        )
        limits = SupervisorLimits(
            lease_ttl_s=habits.lease_ttl_s,
            sweep_interval_s=habits.sweep_interval_s,
            recovery_batch=habits.recovery_batch,
            # Most of a run would be spent on looks at the database.
            pause_refresh_s=HOUSEKEEPING_S,
            join_every_s=HOUSEKEEPING_S,
            doubt_count_every_s=10 * HOUSEKEEPING_S,
        )
        self.supervisor = Supervisor.start(
            parts=parts,
            setups=make_setups(self.node),
            limits=limits,
            escalate=self._escalated,
            runtime=runtime,
        )

    @property
    def is_up(self) -> bool:
        """Whether it can be talked to."""
        return self.node.alive and not self.node.frozen

    def tell(self, message: Any) -> None:
        """What arrives over HTTP. Whoever sends to a dead process hears nothing."""
        if self.node.alive and self.supervisor.is_alive():
            self.supervisor.tell(message)

    def stop(self) -> None:
        """SIGTERM: drain, give the leases back, exit; killed at the limit."""
        self.world.note(f"{self.name} is asked to stop")
        self.injected["graceful_stop"] += 1
        self.tell(Drain(reply_to=_Drained(self)))
        self.world.call_later(DRAIN_LIMIT_S, self.kill)

    def kill(self) -> None:
        """SIGKILL."""
        if self.node.alive:
            self.node.crash()
            self._died(self)

    def drained(self) -> None:
        """The supervisor says that nothing is in flight any more."""

        async def leave() -> None:
            try:
                await self._store.release_shards()
            finally:
                self.world.call_soon(self.kill)

        if self.node.alive:
            self.node.loop.create_task(leave(), name="leave")

    def _escalated(self, reason: str) -> None:
        """What serve does: the process ends, and the next one goes on from the rows."""
        self.world.note(f"{self.name} gives up: {reason}")
        self.injected["process_gave_up"] += 1
        self.world.call_soon(self.kill)


class _Drained:
    def __init__(self, process: SimProcess) -> None:
        self._process = process

    def tell(self, value: Any) -> None:
        self._process.drained()

    def fail(self, error: BaseException) -> None:
        self._process.drained()


@cache
def _metrics() -> EngineMetrics:
    """One for all runs: nobody reads it, and making one takes longer than many a run."""
    return EngineMetrics(CollectorRegistry(), ALL_PROVIDERS)


@contextmanager
def mortal(*kinds: type[LoopActor]) -> Iterator[None]:
    """Meanwhile actors of these kinds may die before or after a message, as their process's habits say."""
    with ExitStack() as patches:
        for kind in kinds:
            patches.enter_context(patch.object(kind, "on_receive", _crashing(kind.on_receive)))
        yield


def _crashing(handle: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def on_receive(self: Any, message: Any) -> Any:
        process: SimProcess = self.runtime.scheduler.node.owner
        if process.actor_crash_rate == 0.0:
            return handle(self, message)
        rng, rate = process.world.rng, process.actor_crash_rate
        if rng.random() < rate:
            process.injected[f"{self.kind}_actor_crash"] += 1
            raise InjectedCrash(f"before {type(message).__name__}")
        answer = handle(self, message)
        if rng.random() < rate:
            process.injected[f"{self.kind}_actor_crash"] += 1
            raise InjectedCrash(f"after {type(message).__name__}")
        return answer

    return on_receive
