"""The database as actors see it: coroutines over the repositories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from nepxy.engine.controls import EngineControls, ProviderOverrides
from nepxy.engine.outcomes import Shortfall
from nepxy.engine.payout import Payout, TransactionId
from nepxy.engine.restored import Restored
from nepxy.storage import accounts, bulk, controls, in_doubt, in_flight, leases, payouts, restored, webhooks
from nepxy.storage.accounts import AccountFigures
from nepxy.storage.bulk import BulkItem, RunningRun
from nepxy.storage.controls import By, Controls
from nepxy.storage.database import Reader
from nepxy.storage.in_doubt import DoubtFigures
from nepxy.storage.in_flight import FlightFigures
from nepxy.storage.leases import HeldShards
from nepxy.storage.webhooks import StoredWebhook

log = structlog.get_logger("nepxy.store")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStore:
    """One node's view. Each coroutine may raise `Unavailable`."""

    reader: Reader
    lease_reader: Reader
    """A connection of their own for the leases: a flood of slow reads must not turn the owner into a standby."""
    node_id: str
    host: str
    app_version: str
    lease_ttl_s: float
    stuck_after_s: float = 1_800.0
    """A payout that is SENT for longer counts as stuck."""
    command_reader: Reader | None = None
    """A connection of their own for operators' commands, by which an exhausted pool is helped. None: `reader`."""
    is_gone: Callable[[str], bool] = lambda node_id: False
    """Whether the process of this node id is known to be no more; False where that cannot be told."""

    @property
    def _commands(self) -> Reader:
        return self.command_reader or self.reader

    async def load(self, transaction_id: TransactionId) -> Payout | None:
        """The payout as last committed."""
        return await self.reader.run(payouts.load_payout, transaction_id)

    async def due(
        self,
        *,
        until: datetime,
        shards: Sequence[int],
        after: tuple[datetime, TransactionId] | None,
        limit: int,
    ) -> list[Payout]:
        """In-flight payouts due by `until`, longest due first."""
        return await self.reader.run(
            payouts.due_payouts, until=until, shards=shards, after=after, limit=limit
        )

    async def webhooks(self, webhook_ids: Sequence[str]) -> list[StoredWebhook]:
        """These webhooks, if they are still parked."""
        return await self.reader.run(webhooks.parked_webhooks, webhook_ids)

    async def joinable_webhooks(self, *, limit: int) -> list[StoredWebhook]:
        """Parked webhooks whose payout has become known."""
        return await self.reader.run(webhooks.joinable_webhooks, limit=limit)

    async def acquire_or_renew(self) -> HeldShards:
        """Renew this node's leases, and take what is free, or belonged to a process that is gone (decision 0016)."""
        held = await self._acquire()
        owner = held.other_owner
        if owner is None or not self.is_gone(owner):
            return held
        log.warning("leases.owner_gone", owner=owner)
        return await self._acquire(owner)

    async def _acquire(self, *gone: str) -> HeldShards:
        return await self.lease_reader.run(
            leases.acquire_or_renew,
            node_id=self.node_id,
            host=self.host,
            app_version=self.app_version,
            ttl_s=self.lease_ttl_s,
            gone=gone,
        )

    async def release_shards(self) -> None:
        """Give all shards back."""
        await self.lease_reader.run(leases.release, node_id=self.node_id)

    async def restored(self) -> Restored | None:
        """The last restore of the database, noticed here if need be."""
        return await self.lease_reader.run(restored.look)

    async def release_restored(self, by: By, reposts_for_s: float) -> bool:
        """Let the engine submit again after a restore; False: it was not held."""
        return await self.reader.run(restored.release, by=by, reposts_for_s=reposts_for_s)

    async def paused_providers(self) -> Mapping[str, str]:
        """Provider to reason, for those that are paused."""
        return await self.lease_reader.run(controls.paused_providers)

    async def shortfalls(self) -> Mapping[str, Shortfall]:
        """Provider to what we would have to hold there, for those that the engine paused for want of it."""
        return await self.lease_reader.run(controls.shortfalls)

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
        """Pause or resume a provider, for every node and across restarts."""
        await self._commands.run(
            controls.set_paused, provider, paused=paused, reason=reason, who=who, shortfall=shortfall, by=by
        )

    async def controls(self) -> Controls:
        """All that operators have set."""
        return await self.lease_reader.run(controls.controls)

    async def set_overrides(
        self, provider: str, command: str, values: Mapping[str, Any], by: By
    ) -> ProviderOverrides:
        """Do a command that sets something for a provider, for every node and across restarts."""
        return await self._commands.run(controls.set_overrides, provider, command, values, by)

    async def set_engine(self, command: str, values: Mapping[str, Any], by: By) -> EngineControls:
        """Do a command that sets something for the engine."""
        return await self._commands.run(controls.set_engine, command, values, by)

    async def note_command(
        self, target: str, command: str, by: By, after: Mapping[str, Any] | None = None
    ) -> bool:
        """Keep a command that sets nothing; False: one of this id was done before."""
        return await self._commands.run(controls.note_command, target, command, by, after)

    async def accounts_in_flight(self, *, shards: Sequence[int]) -> list[AccountFigures]:
        """How many payouts of these shards are in flight through which account."""
        return await self.reader.run(accounts.accounts_in_flight, shards=shards)

    async def doubt_figures(self, *, shards: Sequence[int]) -> list[DoubtFigures]:
        """What is in doubt and in review on these shards, by provider."""
        return await self.reader.run(in_doubt.doubt_figures, shards=shards)

    async def flight_figures(self, *, shards: Sequence[int]) -> list[FlightFigures]:
        """What is at the providers on these shards, and which discrepancies are open."""
        return await self.reader.run(
            in_flight.flight_figures, shards=shards, stuck_after_s=self.stuck_after_s
        )

    async def running_runs(self) -> Sequence[RunningRun]:
        """The levers that are being pulled."""
        return await self.reader.run(bulk.running_runs)

    async def next_items(self, run_id: str, *, limit: int) -> Sequence[BulkItem]:
        """The next items of a run, unless it was stopped."""
        return await self.reader.run(bulk.next_items, run_id, limit=limit)

    async def item_done(self, run_id: str, n: int, outcome: str) -> None:
        """Keep how an item ended."""
        await self.reader.run(bulk.item_done, run_id, n, outcome)
