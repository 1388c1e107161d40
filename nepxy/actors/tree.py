"""The live tree of actors as operators see it: asked for, never kept up to date, so it costs nothing otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pykka import ActorDeadError, ActorRef

from nepxy.engine.payout import TransactionId
from nepxy.engine.runtime import LoopActorRef
from nepxy.engine.runtime.actor import ActorDescription

LIVES_MAX: Final = 10_000
"""Children of whose deaths the supervisor knows: payouts that died, mostly."""
ERROR_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeActors:
    """Asked of the supervisor: an `ActorTree`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribePayoutActor:
    """Asked of the supervisor: the `ActorRow` of a payout; None: it is not in memory here."""

    transaction_id: TransactionId


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorRow:
    """One actor."""

    name: str
    kind: str
    parent: str
    """Its name; empty: it has none."""
    state: str
    """`starting`, `running`, `stopped` or `failed`."""
    mailbox_depth: int
    doing: str
    next_at: datetime | None
    """When it does something by itself; None: when it is told to."""
    restarts: int
    last_error: str
    last_error_at: datetime | None
    started_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorTree:
    """All of them but the payouts, which may be many."""

    actors: tuple[ActorRow, ...]
    payouts_count: int


@dataclass(slots=True, kw_only=True)
class _Life:
    started_at: datetime | None = None
    restarts: int = 0
    last_error: str = ""
    last_error_at: datetime | None = None


class Lives:
    """What the supervisor remembers of its children beyond their deaths."""

    def __init__(self) -> None:
        """Nobody was born yet."""
        self._lives: dict[object, _Life] = {}

    def born(self, child_id: object, now: datetime) -> None:
        """A child was started, perhaps anew."""
        self._lives.setdefault(child_id, _Life()).started_at = now

    def died(self, child_id: object, error: BaseException, now: datetime) -> None:
        """A child died of this; whether it is started again is another matter."""
        if child_id not in self._lives and len(self._lives) >= LIVES_MAX:
            self._lives.pop(next(iter(self._lives)))
        life = self._lives.setdefault(child_id, _Life())
        life.restarts += 1
        life.last_error = f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX]
        life.last_error_at = now

    def forget(self, child_id: object) -> None:
        """It left in order."""
        self._lives.pop(child_id, None)

    def rows(self, child_id: object, name: str, parent: str, ref: ActorRef[Any]) -> Iterator[ActorRow]:
        """A child, and what it describes as its own children."""
        life = self._lives.get(child_id, _Life())
        try:
            described = ref.describe() if isinstance(ref, LoopActorRef) else None
        except ActorDeadError:
            described = None
        if described is None:
            yield _dead(name, parent, life, is_alive=ref.is_alive())
            return
        yield _row(described, name, parent, life)
        for child in described.children:
            yield _row(child, child.name or child.kind, name, _Life())


def _row(described: ActorDescription, name: str, parent: str, life: _Life) -> ActorRow:
    own = described.last_error or ""
    return ActorRow(
        name=name,
        kind=described.kind,
        parent=parent,
        state=described.state.value,
        mailbox_depth=described.mailbox_depth,
        doing=described.doing,
        next_at=described.next_at,
        restarts=life.restarts,
        last_error=own or life.last_error,
        last_error_at=None if own else life.last_error_at,
        started_at=life.started_at,
    )


def _dead(name: str, parent: str, life: _Life, *, is_alive: bool) -> ActorRow:
    return ActorRow(
        name=name,
        kind=name.partition("/")[0],
        parent=parent,
        state="running" if is_alive else "failed",
        mailbox_depth=0,
        doing="" if is_alive else "it is dead: its supervisor starts another, or ends the process",
        next_at=None,
        restarts=life.restarts,
        last_error=life.last_error,
        last_error_at=life.last_error_at,
        started_at=life.started_at,
    )
