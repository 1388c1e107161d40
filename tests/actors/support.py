"""Actors on virtual time: a store in memory, and payouts that only know how to want a place."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from nepxy.actors.context import EngineParts, Ownership
from nepxy.actors.messages import SlotFreed, SlotOffered, SlotRefused, SlotResult, WantSlot
from nepxy.actors.metrics import EngineMetrics
from nepxy.engine.breaker import Forced
from nepxy.engine.controls import NO_OVERRIDES, EngineControls, ProviderOverrides
from nepxy.engine.events import Work
from nepxy.engine.outcomes import Shortfall
from nepxy.engine.payout import SHARDS, Payout, TransactionId, shard_of
from nepxy.engine.restored import Restored
from nepxy.engine.runtime import LoopActor, Runtime
from nepxy.errors import DatabaseUnavailable
from nepxy.storage.accounts import AccountFigures
from nepxy.storage.controls import By, Controls
from nepxy.storage.in_doubt import DoubtFigures
from nepxy.storage.in_flight import FlightFigures
from nepxy.storage.leases import HeldShards
from nepxy.storage.webhooks import StoredWebhook
from tests.simulation.kernel import Node, World

READ_S = 0.01


@dataclass
class FakeStore:
    """A database in memory that can be away. Every read takes a moment of virtual time."""

    node: Node
    is_up: bool = True
    rows: dict[TransactionId, Payout] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)
    short: dict[str, Shortfall] = field(default_factory=dict)
    pause_log: list[tuple[str, bool, str]] = field(default_factory=list)
    overrides: dict[str, ProviderOverrides] = field(default_factory=dict)
    engine: EngineControls = field(default_factory=EngineControls)
    commands: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Who, what, to whom and why, of all that is neither a pause nor a resume."""
    doubt: list[DoubtFigures] = field(default_factory=list)
    flight: list[FlightFigures] = field(default_factory=list)
    held: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(SHARDS), 1))
    other_owner: str | None = None
    joinable: list[StoredWebhook] = field(default_factory=list)
    due_is_empty: bool = False
    last_restore: Restored | None = None

    async def _reach(self) -> None:
        await self.node.sleep(READ_S)
        if not self.is_up:
            raise DatabaseUnavailable

    async def load(self, transaction_id: TransactionId) -> Payout | None:
        await self._reach()
        return self.rows.get(transaction_id)

    async def due(
        self,
        *,
        until: datetime,
        shards: Sequence[int],
        after: tuple[datetime, TransactionId] | None,
        limit: int,
    ) -> list[Payout]:
        await self._reach()
        found = [
            payout
            for payout in self.rows.values()
            if payout.next_retry_at is not None
            and payout.next_retry_at <= until
            and shard_of(payout.transaction_id) in shards
            and (after is None or (payout.next_retry_at, payout.transaction_id) > after)
        ]
        ordered = sorted(found, key=lambda one: (one.next_retry_at or until, one.transaction_id))
        return [] if self.due_is_empty else ordered[:limit]

    async def webhooks(self, webhook_ids: Sequence[str]) -> list[StoredWebhook]:
        await self._reach()
        return [one for one in self.joinable if one.webhook.webhook_id in webhook_ids]

    async def joinable_webhooks(self, *, limit: int) -> list[StoredWebhook]:
        await self._reach()
        return self.joinable[:limit]

    async def acquire_or_renew(self) -> HeldShards:
        await self._reach()
        return HeldShards(
            epochs=dict(self.held),
            other_owner=self.other_owner,
            other_until=None,
            database_now=self.node.world.now(),
        )

    async def release_shards(self) -> None:
        await self._reach()

    async def restored(self) -> Restored | None:
        await self._reach()
        return self.last_restore

    async def release_restored(self, by: By, reposts_for_s: float) -> bool:
        await self._reach()
        last = self.last_restore
        if last is None or not last.held:
            return False
        until = self.node.world.now() + timedelta(seconds=reposts_for_s)
        self.last_restore = replace(last, doubt_until=until)
        return True

    async def paused_providers(self) -> Mapping[str, str]:
        await self._reach()
        return dict(self.paused)

    async def shortfalls(self) -> Mapping[str, Shortfall]:
        await self._reach()
        return dict(self.short)

    async def set_paused(
        self,
        provider: str,
        *,
        paused: bool,
        reason: str,
        who: str,
        shortfall: Shortfall | None = None,
        by: By | None = None,
    ) -> None:
        await self._reach()
        if not paused and shortfall is not None and self.short.get(provider) != shortfall:
            return
        self.pause_log.append((provider, paused, who))
        self.short.pop(provider, None)
        if paused:
            self.paused[provider] = reason
            if shortfall is not None:
                self.short[provider] = shortfall
        else:
            self.paused.pop(provider, None)

    async def controls(self) -> Controls:
        await self._reach()
        return Controls(providers=dict(self.overrides), engine=self.engine)

    async def set_overrides(
        self, provider: str, command: str, values: Mapping[str, Any], by: By
    ) -> ProviderOverrides:
        await self._reach()
        now = overridden(self.overrides.get(provider, NO_OVERRIDES), values)
        self.overrides[provider] = now
        self.commands.append((by.who, command, f"providers/{provider}", by.reason))
        return now

    async def set_engine(self, command: str, values: Mapping[str, Any], by: By) -> EngineControls:
        await self._reach()
        self.engine = replace(self.engine, **values)
        self.commands.append((by.who, command, "supervisor", by.reason))
        return self.engine

    async def note_command(
        self, target: str, command: str, by: By, after: Mapping[str, Any] | None = None
    ) -> bool:
        await self._reach()
        self.commands.append((by.who, command, target, by.reason))
        return True

    async def accounts_in_flight(self, *, shards: Sequence[int]) -> list[AccountFigures]:
        await self._reach()
        counts = Counter(
            (payout.provider, payout.account)
            for payout in self.rows.values()
            if payout.account is not None and not payout.status.is_final
        )
        return [
            AccountFigures(provider=provider, account=account, payouts_count=count)
            for (provider, account), count in sorted(counts.items())
        ]

    async def doubt_figures(self, *, shards: Sequence[int]) -> list[DoubtFigures]:
        await self._reach()
        return list(self.doubt)

    async def flight_figures(self, *, shards: Sequence[int]) -> list[FlightFigures]:
        await self._reach()
        return list(self.flight)


def overridden(before: ProviderOverrides, values: Mapping[str, Any]) -> ProviderOverrides:
    """As the database's statement sets columns."""
    named = dict(values)
    if "breaker_forced" in named:
        named["breaker_forced"] = Forced(named["breaker_forced"])
    return replace(before, **named)


class Sink(LoopActor):
    """Takes everything, keeps it, answers nothing."""

    kind = "journal"

    def __init__(self, *, heard: list[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._heard = heard

    def on_receive(self, message: Any) -> None:
        self._heard.append(message)


class Reply:
    """A `reply_to` that remembers."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.errors: list[BaseException] = []

    def tell(self, value: Any) -> None:
        self.values.append(value)

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)


@dataclass(frozen=True, slots=True)
class Called:
    """One call that a caller made."""

    name: str
    work: Work
    at_s: float


class Caller(LoopActor):
    """A payout that wants a place, calls for a while, and gives the place back; again and again if it is told so."""

    kind = "payout"

    def __init__(
        self,
        *,
        name: str,
        provider: Callable[[], Any],
        calls: list[Called],
        answer: Callable[[], SlotResult],
        work: Work = Work.SUBMIT,
        call_s: float = 1.0,
        due_at: datetime,
        again_after_s: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._name = name
        self._provider = provider
        self._calls = calls
        self._answer = answer
        self._work = work
        self._call_s = call_s
        self._due_at = due_at
        self._again_after_s = again_after_s

    def on_start(self) -> None:
        self._want()

    def on_receive(self, message: Any) -> None:
        match message:
            case SlotOffered(work=work):
                self._calls.append(Called(self._name, work, self.runtime.scheduler.monotonic()))
                self.tell_later(self._call_s, "ended")
            case SlotRefused(retry_after_s=retry_after_s):
                self.tell_later(retry_after_s, "want")
            case "ended":
                freed = SlotFreed(transaction_id=TransactionId(self._name), result=self._answer())
                self.runtime.tell_or_dead_letter(self._provider(), freed)
                if self._again_after_s is not None:
                    self.tell_later(self._again_after_s, "want")
            case "want":
                self._want()
            case "die":
                raise RuntimeError("killed by the test")

    def _want(self) -> None:
        self.runtime.tell_or_dead_letter(
            self._provider(),
            WantSlot(
                transaction_id=TransactionId(self._name),
                ref=self.actor_ref,
                work=self._work,
                due_at=self._due_at,
                created_at=self._due_at - timedelta(seconds=1),
            ),
        )


def engine_parts(
    runtime: Runtime, store: FakeStore, journal: Any, metrics: EngineMetrics, **changes: Any
) -> EngineParts:
    """What all actors share."""
    return EngineParts(
        store=store,
        journal=journal,
        ownership=Ownership(node_id="here"),
        metrics=metrics,
        new_id=store.node.world.new_id,
        dice=random.Random(1),
        **changes,
    )


def new_metrics() -> tuple[EngineMetrics, CollectorRegistry]:
    """Metrics, and where to read them."""
    registry = CollectorRegistry()
    return EngineMetrics(registry, ["TMONEY", "FLOOZ"]), registry


OPEN_WORLDS: list[World] = []
"""Closed at a test's end: what still waits in one would be complained about in whichever test comes later."""


def a_world(seed: int = 1) -> tuple[World, Node, Runtime]:
    """One process on virtual time."""
    world = World(seed)
    OPEN_WORLDS.append(world)
    node = world.node("a")
    return world, node, Runtime(scheduler=node.scheduler)
