"""All providers of this process: their setups, their actors, and what their payouts share. The supervisor's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pykka import ActorRef

from nepxy.actors.commands import CommandProvider
from nepxy.actors.context import EngineParts, ProviderDoor, ProviderParts
from nepxy.actors.messages import PauseStateLoaded, ProviderView
from nepxy.actors.provider import ProviderActor
from nepxy.actors.provider_state import ProviderState
from nepxy.engine.controls import NO_OVERRIDES
from nepxy.engine.decide import Policy
from nepxy.engine.gate import Gate
from nepxy.engine.outcomes import Shortfall
from nepxy.engine.runtime import Runtime
from nepxy.errors import ProviderUnknown
from nepxy.providers.contract import Adapter
from nepxy.storage.controls import Controls

WAITING_MAX = 20_000
"""Payouts that may wait at one provider; others are told to come back. They are in memory all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSetup:
    """What the composition root knows of one provider."""

    name: str
    adapter: Adapter | None
    policy: Policy
    enabled: bool
    concurrency_max: int
    requests_per_s: float
    missing: tuple[str, ...] = ()
    """What it lacks to be ready: names of variables, mostly."""
    currencies: tuple[str, ...] = ()
    """In which we may hold money there."""


class ProviderTable:
    """Providers by name; one that no setting knows any more gets an actor, too, because money may still hang on it."""

    def __init__(
        self,
        *,
        engine: EngineParts,
        setups: Mapping[str, ProviderSetup],
        runtime: Runtime,
        parent: ActorRef[Any],
    ) -> None:
        """Start nothing yet.

        Args:
            engine: what every actor shares.
            setups: each provider that may have payouts, configured or not; at least one.
            runtime: where the actors run.
            parent: hears of their ends, as `("provider", name)`.
        """
        self._engine = engine
        self._setups = dict(setups)
        self._runtime = runtime
        self._parent = parent
        self._parts: dict[str, ProviderParts] = {}
        self._states: dict[str, ProviderState] = {}
        self._paused: Mapping[str, str] = {}
        self._shortfalls: Mapping[str, Shortfall] = {}
        self._controls = Controls()

    def __len__(self) -> int:
        return len(self._setups)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._setups))

    def start_all(self) -> None:
        """Start every provider that there is a setup for."""
        for name in self._setups:
            self.start(name)

    def of(self, name: str) -> ProviderParts:
        """What payouts of this provider share."""
        known = self._parts.get(name)
        if known is not None:
            return known
        any_policy = next(iter(self._setups.values())).policy
        self._setups[name] = ProviderSetup(
            name=name,
            adapter=None,
            policy=replace(any_policy, account=None),
            enabled=False,
            concurrency_max=1,
            requests_per_s=0.0,
        )
        self.start(name)
        return self._parts[name]

    def adapter_of(self, name: str) -> Adapter | None:
        """Who speaks to it; None: nobody does."""
        setup = self._setups.get(name)
        return setup.adapter if setup is not None else None

    def account_of(self, name: str) -> str | None:
        """The account that is configured for it now; None: none is."""
        setup = self._setups.get(name)
        return setup.policy.account if setup is not None else None

    def start(self, name: str) -> None:
        """Start a provider's actor, or a new one in the place of one that died: it goes on with what is known."""
        state = self._state_of(name)
        ref = ProviderActor.start(
            state=state,
            parts=self._engine,
            adapter=self._setups[name].adapter,
            runtime=self._runtime,
            parent=self._parent,
            child_id=("provider", name),
        )
        known = self._parts.get(name)
        if known is not None:
            known.door.ref = ref
            return
        setup = self._setups[name]
        self._parts[name] = ProviderParts(
            name=name,
            engine=self._engine,
            adapter=setup.adapter,
            configured=setup.policy,
            door=ProviderDoor(ref=ref, state=state),
            supervisor=self._parent,
        )

    def pauses_loaded(self, message: PauseStateLoaded, tell: Callable[[ActorRef[Any], Any], None]) -> None:
        """Hand on what the database says, and keep it for those that are started later."""
        self._paused, self._shortfalls = message.paused, message.shortfalls
        self._controls = message.controls or self._controls
        for parts in self._parts.values():
            tell(parts.door.ref, message)

    def command(self, message: CommandProvider, tell: Callable[[ActorRef[Any], Any], None]) -> None:
        """Hand an operator's command to the provider's actor, which answers it.

        Raises:
            ProviderUnknown: it says which there are.
        """
        parts = self._parts.get(message.provider)
        if parts is None:
            raise ProviderUnknown(message.provider, self)
        tell(parts.door.ref, message)

    def refs(self) -> Iterator[tuple[str, ActorRef[Any]]]:
        """Their actors, by name."""
        return ((name, parts.door.ref) for name, parts in tuple(self._parts.items()))

    def views(self) -> tuple[ProviderView, ...]:
        """All of them, as they are now."""
        return tuple(self._state_of(name).view(self._runtime.scheduler) for name in self._setups)

    def _state_of(self, name: str) -> ProviderState:
        known = self._states.get(name)
        if known is None:
            setup = self._setups[name]
            gate = Gate(
                concurrency_max=setup.concurrency_max,
                requests_per_s=setup.requests_per_s,
                waiting_max=WAITING_MAX,
            )
            adapter = setup.adapter
            known = ProviderState(
                name=name,
                ready=adapter is not None,
                enabled=setup.enabled,
                gate=gate,
                missing=setup.missing,
                tells_balance=adapter is not None and adapter.capabilities.balance,
                configured=setup.policy,
                currencies=setup.currencies,
            )
            known.pause(self._paused.get(name), self._shortfalls.get(name))
            overrides = self._controls.providers.get(name, NO_OVERRIDES)
            known.override(overrides, self._runtime.scheduler.monotonic())
            self._states[name] = known
        return known
