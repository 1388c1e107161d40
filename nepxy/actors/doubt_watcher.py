"""Counts, every few seconds, what of this node's money is in doubt, in review or under way: gauges, and the engine's
view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import structlog
from pykka import ActorRef

from nepxy.actors.context import EngineParts
from nepxy.actors.messages import DoubtCounted
from nepxy.engine.runtime import LoopActor
from nepxy.storage.in_doubt import DoubtFigures
from nepxy.storage.in_flight import FlightFigures

log = structlog.get_logger("nepxy.doubt_watcher")

BUSY_SHARE: Final = 20
"""It rests so many times as long as a count took: however many are in flight, it costs the database little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    figures: tuple[DoubtFigures, ...]
    flight: tuple[FlightFigures, ...]
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotCounted:
    error: BaseException


class DoubtWatcher(LoopActor):
    """One count at a time; only of the shards that this node holds, so that all nodes' figures add up."""

    kind = "doubt_watcher"
    actor_name = "doubt_watcher"

    def __init__(
        self, *, parts: EngineParts, supervisor: ActorRef[Any], every_s: float, **kwargs: Any
    ) -> None:
        """Start counting at once.

        Args:
            parts: what all actors share.
            supervisor: told `DoubtCounted`.
            every_s: between two counts, or longer where a count takes long.
        """
        super().__init__(**kwargs)
        self._parts = parts
        self._supervisor = supervisor
        self._every_s = every_s

    def on_start(self) -> None:
        """Count for the first time."""
        self._count()

    def doing(self) -> str:
        """What an operator reads of it."""
        return f"counts what is in doubt, stuck or contradicted, every {self._every_s:g} s"

    def on_receive(self, message: Any) -> None:
        """Handle one message."""
        match message:
            case "count":
                self._count()
            case _Counted(figures=figures, flight=flight, took_s=took_s):
                self._show(figures, flight)
                self.tell_later(max(self._every_s, took_s * BUSY_SHARE), "count")
            case _NotCounted(error=error):
                # The last figures stay: money in doubt is not resolved by a database that is away.
                log.warning("doubt.not_counted", error=f"{type(error).__name__}: {error}")
                self.tell_later(self._every_s, "count")
            case _:
                raise TypeError(f"the doubt watcher does not take {type(message).__name__}")

    def _count(self) -> None:
        shards = tuple(self._parts.ownership.epochs)
        if not shards:
            # Who holds the shards counts them.
            self._show((), ())
            self.tell_later(self._every_s, "count")
            return
        scheduler, store = self.runtime.scheduler, self._parts.store

        async def count() -> _Counted:
            started_s = scheduler.monotonic()
            figures = await store.doubt_figures(shards=shards)
            flight = await store.flight_figures(shards=shards)
            took_s = scheduler.monotonic() - started_s
            return _Counted(figures=tuple(figures), flight=tuple(flight), took_s=took_s)

        self.pipe_to_self(
            count(),
            on_result=lambda counted: counted,
            on_error=lambda error: _NotCounted(error=error),
            name="doubt-count",
        )

    def _show(self, figures: tuple[DoubtFigures, ...], flight: tuple[FlightFigures, ...]) -> None:
        self._parts.metrics.doubt_counted(figures)
        self._parts.metrics.flight_counted(flight)
        self.runtime.tell_or_dead_letter(self._supervisor, DoubtCounted(figures=figures))
