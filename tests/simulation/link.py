"""The way between a process and the database: slow, sometimes broken, and sometimes broken in the middle of a commit.

A commit that breaks may have landed, may be lost, or may land later: held by a lock meanwhile (the statement had
begun), or unseen (it was still in a queue). The process is told the same in all cases: nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nepxy.actors.batch_commit import commit_batch
from nepxy.actors.journal_writer import BatchWritten, WriteBatch, WriterFaltered
from nepxy.engine.controls import EngineControls, ProviderOverrides
from nepxy.engine.outcomes import Shortfall
from nepxy.engine.payout import Payout, TransactionId
from nepxy.engine.restored import Restored
from nepxy.errors import DatabaseUnavailable
from nepxy.storage.accounts import AccountFigures
from nepxy.storage.controls import By, Controls
from nepxy.storage.in_doubt import DoubtFigures
from nepxy.storage.in_flight import FlightFigures
from nepxy.storage.leases import HeldShards
from nepxy.storage.webhooks import StoredWebhook
from nepxy.storage.writes import Answer, Write
from tests.simulation.database import DatabaseError, ModelDatabase
from tests.simulation.kernel import Node, World


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkHabits:
    """How often what goes wrong; shares of statements, and seconds."""

    latency_s_max: float = 0.01
    refused_rate: float = 0.0
    """Nothing was done, and the process is told so (a serialization failure, a full disk)."""
    lost_rate: float = 0.0
    """The connection broke before the commit; the process cannot tell."""
    landed_rate: float = 0.0
    """The connection broke after the commit; the process cannot tell."""
    late_rate: float = 0.0
    """The connection broke, and the commit comes later."""
    late_s_max: float = 20.0
    read_fails_rate: float = 0.0


class DatabaseLink:
    """One database as its processes reach it."""

    def __init__(self, world: World, database: ModelDatabase, habits: LinkHabits) -> None:
        self.world = world
        self.database = database
        self.habits = habits
        self.is_up = True
        self.injected: Counter[str] = Counter()
        self.nodes: dict[str, Node] = {}
        """All processes that ever were, by their id as a node."""

    def calm(self) -> None:
        """No more faults; what is still to land lands."""
        self.habits = LinkHabits(latency_s_max=self.habits.latency_s_max)
        self.is_up = True

    def write(self, writes: Sequence[Write]) -> list[Answer]:
        """One batch in one transaction."""
        world, habits = self.world, self.habits
        self._check_up()
        dice = world.rng.random()
        if dice < habits.refused_rate:
            raise self._fault("refused_commit", "could not serialize access", "40001")
        dice -= habits.refused_rate
        if dice < habits.lost_rate:
            raise self._fault("lost_commit", "server closed the connection unexpectedly")
        dice -= habits.lost_rate
        if dice < habits.landed_rate:
            self.database.write(writes)
            raise self._fault("commit_landed_unseen", "server closed the connection unexpectedly")
        dice -= habits.landed_rate
        if dice < habits.late_rate:
            self._land_later(tuple(writes))
            raise self._fault("commit_landed_late", "server closed the connection unexpectedly")
        return self.database.write(writes)

    def find_landed(self, writes: Sequence[Write]) -> dict[int, Answer]:
        """What became of writes whose commit was lost sight of; still locked is still unknown."""
        self._check_up()
        return self.database.find_landed(writes)

    def disconnect(self) -> None:
        """Drop the connection."""

    async def read(self, node: Node, call: Callable[[], Any]) -> Any:
        """One read, there and back."""
        await node.sleep(self.latency_s())
        if not self.is_up or self.world.chance(self.habits.read_fails_rate):
            self.injected["failed_read"] += 1
            raise DatabaseUnavailable("the database cannot be used now")
        answer = call()
        await node.sleep(self.latency_s())
        return answer

    def latency_s(self) -> float:
        """One way."""
        return self.world.rng.random() * self.habits.latency_s_max

    def _check_up(self) -> None:
        if not self.is_up:
            raise self._fault("database_away", "connection refused")

    def _land_later(self, writes: tuple[Write, ...]) -> None:
        """Half of them hold their locks meanwhile; the others have not even begun."""
        wait_s = self.world.rng.uniform(0.0, self.habits.late_s_max)
        if self.world.chance(0.5):
            transaction = self.database.begin(writes)
            self.world.call_later(wait_s, lambda: self.database.commit(transaction))
        else:
            self.world.call_later(wait_s, lambda: self._land_now(writes))

    def _land_now(self, writes: tuple[Write, ...]) -> None:
        try:
            self.database.write(writes)
        except DatabaseError:
            self.injected["late_commit_refused"] += 1

    def _fault(self, kind: str, text: str, code: str | None = None) -> DatabaseError:
        self.injected[kind] += 1
        return DatabaseError(text, code)


class LaneDatabase:
    """What one journal writer is given."""

    def __init__(self, link: DatabaseLink) -> None:
        self.write = link.write
        self.find_landed = link.find_landed
        self.disconnect = link.disconnect


class SimWriter:
    """A journal writer: the real batch logic, its waits on virtual time."""

    def __init__(self, node: Node, link: DatabaseLink, tell_journal: Callable[[Any], None]) -> None:
        self._node = node
        self._link = link
        self._tell_journal = tell_journal

    def tell(self, message: Any) -> None:
        """Take a `WriteBatch`."""
        self._node.loop.create_task(self._write(message), name="journal-writer")

    async def _write(self, message: WriteBatch) -> None:
        def faltered(fault: Any, error: Any) -> None:
            self._tell_journal(WriterFaltered(lane=message.lane, fault=fault, error=error))

        steps = commit_batch(
            LaneDatabase(self._link),
            message.writes,
            faltered=faltered,
            given_up=lambda: False,
            jitter=self._link.world.rng.random,
        )
        await self._node.sleep(self._link.latency_s())
        try:
            while True:
                await self._node.sleep(next(steps))
        except StopIteration as done:
            await self._node.sleep(self._link.latency_s())
            self._tell_journal(BatchWritten(lane=message.lane, answers=done.value, commit_s=0.0))


class SimStore:
    """One process's view of the database: the actors' `Store`."""

    def __init__(self, node: Node, link: DatabaseLink, node_id: str, lease_ttl_s: float) -> None:
        self._node = node
        self._link = link
        self._database = link.database
        self._node_id = node_id
        self._ttl_s = lease_ttl_s
        link.nodes[node_id] = node

    async def load(self, transaction_id: TransactionId) -> Payout | None:
        """See `Store`."""
        found: Payout | None = await self._read(lambda: self._database.load(transaction_id))
        return found

    async def due(
        self,
        *,
        until: datetime,
        shards: Sequence[int],
        after: tuple[datetime, TransactionId] | None,
        limit: int,
    ) -> list[Payout]:
        """See `Store`."""
        found: list[Payout] = await self._read(
            lambda: self._database.due(until=until, shards=shards, after=after, limit=limit)
        )
        return found

    async def webhooks(self, webhook_ids: Sequence[str]) -> list[StoredWebhook]:
        """See `Store`."""
        found: list[StoredWebhook] = await self._read(lambda: self._database.webhooks(webhook_ids))
        return found

    async def joinable_webhooks(self, *, limit: int) -> list[StoredWebhook]:
        """See `Store`."""
        found: list[StoredWebhook] = await self._read(lambda: self._database.joinable_webhooks(limit=limit))
        return found

    async def acquire_or_renew(self) -> HeldShards:
        """See `Store`; in every other world, processes share a machine, and see who is gone."""
        held = await self._acquire()
        owner = held.other_owner
        if owner is None or self._node.world.seed % 2 or self._link.nodes[owner].alive:
            return held
        return await self._acquire(owner)

    async def _acquire(self, *gone: str) -> HeldShards:
        held: HeldShards = await self._read(
            lambda: self._database.acquire_or_renew(node_id=self._node_id, ttl_s=self._ttl_s, gone=gone)
        )
        return held

    async def release_shards(self) -> None:
        """See `Store`."""
        await self._read(lambda: self._database.release_shards(node_id=self._node_id))

    async def restored(self) -> Restored | None:
        """See `Store`; no storm here restores a backup."""
        nothing: Restored | None = await self._read(lambda: None)
        return nothing

    async def release_restored(self, by: By, reposts_for_s: float) -> bool:
        """See `Store`."""
        held: bool = await self._read(lambda: False)
        return held

    async def paused_providers(self) -> Mapping[str, str]:
        """See `Store`."""
        paused: Mapping[str, str] = await self._read(self._database.paused_providers)
        return paused

    async def shortfalls(self) -> Mapping[str, Shortfall]:
        """See `Store`."""
        short: Mapping[str, Shortfall] = await self._read(self._database.shortfalls)
        return short

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
        """See `Store`."""
        await self._read(
            lambda: self._database.set_paused(
                provider, paused=paused, reason=reason, who=who, shortfall=shortfall
            )
        )

    async def controls(self) -> Controls:
        """See `Store`."""
        found: Controls = await self._read(self._database.controls)
        return found

    async def set_overrides(
        self, provider: str, command: str, values: Mapping[str, Any], by: By
    ) -> ProviderOverrides:
        """See `Store`."""
        now: ProviderOverrides = await self._read(
            lambda: self._database.set_overrides(provider, command, values, by)
        )
        return now

    async def set_engine(self, command: str, values: Mapping[str, Any], by: By) -> EngineControls:
        """See `Store`."""
        now: EngineControls = await self._read(lambda: self._database.set_engine(command, values, by))
        return now

    async def note_command(
        self, target: str, command: str, by: By, after: Mapping[str, Any] | None = None
    ) -> bool:
        """See `Store`."""
        is_new: bool = await self._read(lambda: self._database.note_command(target, command, by))
        return is_new

    async def accounts_in_flight(self, *, shards: Sequence[int]) -> Sequence[AccountFigures]:
        """See `Store`; what is told of it nobody reads here."""
        found: list[AccountFigures] = await self._read(
            lambda: self._database.accounts_in_flight(shards=shards)
        )
        return found

    async def doubt_figures(self, *, shards: Sequence[int]) -> Sequence[DoubtFigures]:
        """See `Store`; nobody looks at these figures here."""
        nothing: tuple[DoubtFigures, ...] = await self._read(lambda: ())
        return nothing

    async def flight_figures(self, *, shards: Sequence[int]) -> Sequence[FlightFigures]:
        """See `Store`; nor at these."""
        nothing: tuple[FlightFigures, ...] = await self._read(lambda: ())
        return nothing

    async def _read(self, call: Callable[[], Any]) -> Any:
        return await self._link.read(self._node, call)
