"""What actors are given: shared by all payouts of a provider, so that a waiting payout stays small."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from pykka import ActorRef

from nepxy.actors.metrics import EngineMetrics
from nepxy.actors.moves import Moves
from nepxy.actors.provider_state import ProviderState
from nepxy.engine.controls import EngineControls, ProviderOverrides
from nepxy.engine.decide import Policy
from nepxy.engine.outcomes import Shortfall
from nepxy.engine.payout import Payout, TransactionId, shard_of
from nepxy.engine.restored import Restored
from nepxy.providers.contract import Adapter
from nepxy.storage.accounts import AccountFigures
from nepxy.storage.controls import By, Controls
from nepxy.storage.in_doubt import DoubtFigures
from nepxy.storage.in_flight import FlightFigures
from nepxy.storage.leases import HeldShards
from nepxy.storage.webhooks import StoredWebhook
from nepxy.storage.writes import Lease


class Store(Protocol):
    """What actors read from the database, and small writes that move no payout. Each may raise `Unavailable`."""

    async def load(self, transaction_id: TransactionId) -> Payout | None:
        """The payout as last committed."""

    async def due(
        self,
        *,
        until: datetime,
        shards: Sequence[int],
        after: tuple[datetime, TransactionId] | None,
        limit: int,
    ) -> list[Payout]:
        """In-flight payouts due by `until`, longest due first."""

    async def webhooks(self, webhook_ids: Sequence[str]) -> list[StoredWebhook]:
        """These webhooks, if they are still parked."""

    async def joinable_webhooks(self, *, limit: int) -> list[StoredWebhook]:
        """Parked webhooks whose payout has become known."""

    async def acquire_or_renew(self) -> HeldShards:
        """Renew this node's leases, and take what is free."""

    async def release_shards(self) -> None:
        """Give all shards back."""

    async def restored(self) -> Restored | None:
        """The last restore of the database, noticed here if need be; None: there was none."""

    async def release_restored(self, by: By, reposts_for_s: float) -> bool:
        """Let the engine submit again after a restore; False: it was not held."""

    async def paused_providers(self) -> Mapping[str, str]:
        """Provider to reason, for those that are paused."""

    async def shortfalls(self) -> Mapping[str, Shortfall]:
        """Provider to what we would have to hold there, for those that the engine paused for want of it."""

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
        """Pause or resume a provider, for every node and across restarts.

        With a `shortfall`, a pause is for want of it, and a resume lifts only such a pause. `by`: the operator's
        command that it is.
        """

    async def controls(self) -> Controls:
        """All that operators have set."""

    async def set_overrides(
        self, provider: str, command: str, values: Mapping[str, Any], by: By
    ) -> ProviderOverrides:
        """Do a command that sets something for a provider, with its audit row; what holds for it then."""

    async def set_engine(self, command: str, values: Mapping[str, Any], by: By) -> EngineControls:
        """Do a command that sets something for the engine, with its audit row; what holds then."""

    async def note_command(
        self, target: str, command: str, by: By, after: Mapping[str, Any] | None = None
    ) -> bool:
        """Keep a command that sets nothing; False: one of this id was done before."""

    async def accounts_in_flight(self, *, shards: Sequence[int]) -> Sequence[AccountFigures]:
        """How many payouts of these shards are in flight through which account."""

    async def doubt_figures(self, *, shards: Sequence[int]) -> Sequence[DoubtFigures]:
        """What is in doubt and in review on these shards, by provider."""

    async def flight_figures(self, *, shards: Sequence[int]) -> Sequence[FlightFigures]:
        """What is at the providers on these shards, and which discrepancies are open, by provider."""


@dataclass(slots=True)
class Ownership:
    """Which shards this node holds, and until when it may believe so. Written by the supervisor alone."""

    node_id: str
    epochs: dict[int, int] = field(default_factory=dict)
    restored: Restored | None = None
    """The last restore of the database: what is decided, is decided with it in mind."""

    def lease_of(self, transaction_id: TransactionId) -> Lease:
        """The lease to name in an intent; epoch -1 where the shard is not ours: the database will refuse it."""
        return Lease(owner=self.node_id, epoch=self.epochs.get(shard_of(transaction_id), -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParts:
    """What every actor of the engine shares."""

    store: Store
    journal: ActorRef[Any]
    ownership: Ownership
    metrics: EngineMetrics
    new_id: Callable[[], str]
    """A fresh UUID text."""
    dice: random.Random
    passivate_after_s: float = 60.0
    payouts_in_memory_max: int = 100_000
    restarts_max: int = 5
    restarts_within_s: float = 60.0
    balance_check_s: float = 60.0
    """How often a provider is asked for our balance while it is paused for want of it."""
    moves: Moves = field(default_factory=Moves)
    """Who hears of payouts that move."""
    stash_max: int = 64
    """Messages that a payout holds while a commit is in flight."""


@dataclass(slots=True)
class ProviderDoor:
    """Where a provider's actor is to be found now: it may be restarted under its payouts."""

    ref: ActorRef[Any]
    state: ProviderState | None = None
    """What outlives the actor. To be read by others, and written by the actor alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderParts:
    """What all payouts of one provider share. Without an adapter they wait, and are explained."""

    name: str
    engine: EngineParts
    adapter: Adapter | None
    configured: Policy
    door: ProviderDoor
    supervisor: ActorRef[Any]

    @property
    def policy(self) -> Policy:
        """What holds now: as configured, but for what operators have set. Read with every decision."""
        state = self.door.state
        return self.configured if state is None or state.policy is None else state.policy

    @property
    def policy_now(self) -> Policy:
        """The policy, with the last restore of the database in mind."""
        restored = self.engine.ownership.restored
        return self.policy if restored is None else replace(self.policy, restored=restored)
