"""Keeps this node's leases alive, and tells the supervisor what it holds and what is paused.

A lease is trusted from when its renewal *started*, and not quite to its end: a node that cannot reach the
database stops believing before anybody else may take over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog
from pykka import ActorRef

from nepxy.actors.context import Store
from nepxy.actors.messages import LeasesChanged, PauseStateLoaded
from nepxy.engine.restored import Restored
from nepxy.engine.runtime import LoopActor
from nepxy.storage.leases import HeldShards

log = structlog.get_logger("nepxy.lease_keeper")

TRUSTED_SHARE = 0.75
"""How much of a lease's life is believed in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Renewed:
    held: HeldShards
    restored: Restored | None
    paused: PauseStateLoaded
    started_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotRenewed:
    error: BaseException


class LeaseKeeper(LoopActor):
    """One renewal at a time, for as long as the node lives."""

    kind = "lease_keeper"
    actor_name = "lease_keeper"

    def __init__(
        self,
        *,
        store: Store,
        supervisor: ActorRef[Any],
        lease_ttl_s: float,
        pause_refresh_s: float,
        **kwargs: Any,
    ) -> None:
        """Start renewing at once.

        Args:
            store: the database.
            supervisor: told what this node holds.
            lease_ttl_s: how long a renewal lasts; it is renewed four times in that time, or more often.
            pause_refresh_s: how long a pause that another node set may go unnoticed here.
        """
        super().__init__(**kwargs)
        self._store = store
        self._supervisor = supervisor
        self._ttl_s = lease_ttl_s
        self._every_s = min(lease_ttl_s / 4, pause_refresh_s)
        self._trusted_until_s = 0.0
        self._faltering = False

    def on_start(self) -> None:
        """Ask for the first time."""
        self._renew()

    def doing(self) -> str:
        """What an operator reads of it."""
        return "cannot reach the database, and tries again" if self._faltering else "keeps this node's leases"

    def on_receive(self, message: Any) -> None:
        """Handle one message."""
        match message:
            case "renew":
                self._renew()
            case _Renewed(held=held, restored=restored, paused=paused, started_s=started_s):
                self._faltering = False
                self._trusted_until_s = started_s + self._ttl_s * TRUSTED_SHARE
                self._tell(LeasesChanged(held=held, trusted_until_s=self._trusted_until_s, restored=restored))
                self._tell(paused)
                self.tell_later(self._every_s, "renew")
            case _NotRenewed(error=error):
                if not self._faltering:
                    log.error("leases.not_renewed", error=str(error))
                self._faltering = True
                self.tell_later(min(self._every_s, 0.5), "renew")
            case _:
                raise TypeError(f"the lease keeper does not take {type(message).__name__}")

    def _renew(self) -> None:
        scheduler = self.runtime.scheduler

        async def renew() -> _Renewed:
            started_s = scheduler.monotonic()
            # Before anything is taken up: what is held is worked on at once.
            restored = await self._store.restored()
            held = await self._store.acquire_or_renew()
            paused = await self._store.paused_providers()
            shortfalls = await self._store.shortfalls() if paused else {}
            state = PauseStateLoaded(
                paused=paused, shortfalls=shortfalls, controls=await self._store.controls()
            )
            return _Renewed(held=held, restored=restored, paused=state, started_s=started_s)

        self.pipe_to_self(
            renew(),
            on_result=lambda done: done,
            on_error=lambda error: _NotRenewed(error=error),
            name="renew",
        )

    def _tell(self, message: Any) -> None:
        self.runtime.tell_or_dead_letter(self._supervisor, message)
