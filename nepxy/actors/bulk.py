"""Pulls the levers that touch many payouts: each item an ordinary command, so many a minute, until done or stopped.

It runs on the node that owns the first shard, and goes on from the rows: a restart loses nothing, and repeats nothing,
because each item's command has a key of its own and names the version that was selected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import structlog
from pykka import ActorRef

from nepxy.actors.context import Ownership
from nepxy.actors.messages import CommandPayout, PayoutAnswer
from nepxy.engine.events import Command, OperatorAsked
from nepxy.engine.runtime import Cancellable, LoopActor, ask
from nepxy.errors import NepXyError, Unavailable
from nepxy.storage.bulk import BulkItem, RunningRun, item_command_id
from nepxy.storage.writes import AuditRow

log = structlog.get_logger("nepxy.bulk")

FIRST_SHARD: Final = 0
LOOK_S: Final = 2.0
AT_ONCE_S: Final = 2.0
"""So many seconds' worth of items is read at once: a stop holds no later than that."""
ANSWER_S: Final = 30.0


class BulkStore(Protocol):
    """What the runner needs of the database. Each may raise `Unavailable`."""

    async def running_runs(self) -> Sequence[RunningRun]:
        """What is to be gone on with."""

    async def next_items(self, run_id: str, *, limit: int) -> Sequence[BulkItem]:
        """The next items of a run, unless it was stopped."""

    async def item_done(self, run_id: str, n: int, outcome: str) -> None:
        """Keep how an item ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookForRuns:
    """To the supervisor and on to the runner: a run was started or stopped; look now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    runs: tuple[RunningRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paused:
    """A run did what there was, or cannot go on now."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    error: BaseException


class BulkRunner(LoopActor):
    """One task a run; each pulls its items one after another."""

    kind = "bulk"
    actor_name = "bulk"

    def __init__(
        self, *, store: BulkStore, ownership: Ownership, supervisor: ActorRef[Any], **kwargs: Any
    ) -> None:
        """Look at once.

        Args:
            store: the database.
            ownership: whether this node is the one.
            supervisor: takes the commands.
        """
        super().__init__(**kwargs)
        self._store = store
        self._ownership = ownership
        self._supervisor = supervisor
        self._looking = False
        self._timer: Cancellable | None = None
        self._pulling: dict[str, RunningRun] = {}
        self._next_s: dict[str, float] = {}
        """When the next item of a run may be done, by the monotonic clock."""

    def on_start(self) -> None:
        """Go on with what is running."""
        self._look()

    def doing(self) -> str:
        """What an operator reads of it."""
        if FIRST_SHARD not in self._ownership.epochs:
            return "another node pulls the levers"
        if not self._may_pull():
            return "waits until an operator releases the engine after the restore"
        return f"pulls {len(self._pulling)} levers" if self._pulling else "waits for a lever to pull"

    def on_receive(self, message: Any) -> None:
        """Handle one message."""
        match message:
            case LookForRuns():
                self._look()
            case "look":
                self._look()
            case _Found(runs=runs):
                self._looking = False
                self._found(runs)
                self._look_later()
            case _Failed(error=error):
                self._looking = False
                log.warning("bulk.not_read", error=f"{type(error).__name__}: {error}")
                self._look_later()
            case _Paused(run_id=run_id):
                self._pulling.pop(run_id, None)
            case _:
                raise TypeError(f"the bulk runner does not take {type(message).__name__}")

    def _may_pull(self) -> bool:
        """Not on rows out of a backup, either: a run that was stopped or ended since would go on there by itself."""
        restored = self._ownership.restored
        return FIRST_SHARD in self._ownership.epochs and not (restored is not None and restored.held)

    def _look(self) -> None:
        if self._looking:
            return
        if not self._may_pull():
            self._look_later()
            return
        self._looking = True
        self.pipe_to_self(
            self._store.running_runs(),
            on_result=lambda runs: _Found(runs=tuple(runs)),
            on_error=lambda error: _Failed(error=error),
            name="bulk-look",
        )

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.tell_later(LOOK_S, "look")

    def _found(self, runs: tuple[RunningRun, ...]) -> None:
        alive = {run.run_id for run in runs}
        self._next_s = {run_id: at_s for run_id, at_s in self._next_s.items() if run_id in alive}
        for run in runs:
            if run.run_id not in self._pulling:
                self._pulling[run.run_id] = run
                self._start(run)

    def _start(self, run: RunningRun) -> None:
        self.pipe_to_self(
            self._pull(run),
            on_result=lambda _: _Paused(run_id=run.run_id),
            on_error=lambda error: self._broke(run.run_id, error),
            name="bulk-pull",
        )

    def _broke(self, run_id: str, error: BaseException) -> _Paused:
        log.warning("bulk.interrupted", run_id=run_id, error=f"{type(error).__name__}: {error}")
        return _Paused(run_id=run_id)

    async def _pull(self, run: RunningRun) -> None:
        """Do items while there are any; whatever stands in the way ends it, and the next look goes on."""
        pace_s = 60.0 / run.per_minute
        limit = max(1, int(AT_ONCE_S / pace_s))
        while self._may_pull():
            items = await self._store.next_items(run.run_id, limit=limit)
            if not items:
                return
            for item in items:
                await self._wait_turn(run.run_id, pace_s)
                if not self._may_pull():
                    return
                outcome = await self._command(run, item)
                await self._store.item_done(run.run_id, item.n, outcome)

    async def _wait_turn(self, run_id: str, pace_s: float) -> None:
        scheduler = self.runtime.scheduler
        now_s = scheduler.monotonic()
        at_s = max(now_s, self._next_s.get(run_id, now_s))
        self._next_s[run_id] = at_s + pace_s
        if at_s > now_s:
            turn: asyncio.Future[None] = asyncio.Future()
            timer = scheduler.call_later(at_s - now_s, partial(turn.set_result, None))
            try:
                await turn
            finally:
                timer.cancel()

    async def _command(self, run: RunningRun, item: BulkItem) -> str:
        """Give one payout its command; its outcome's code."""
        message = CommandPayout(
            transaction_id=item.transaction_id,
            order=OperatorAsked(
                command=Command(run.command),
                reason=run.reason,
                expected_version=item.seen_version,
                force=bool(run.arguments.get("force", False)),
                second_person=run.approved_by,
            ),
            operator_id=run.who.removeprefix("operator:"),
            audit=AuditRow(
                command=run.command,
                reason=run.reason,
                command_id=item_command_id(run.run_id, item.n),
                arguments=f'{{"run_id": "{run.run_id}"}}',
                approved_by=run.approved_by,
            ),
            request_id=run.request_id,
        )
        try:
            answer = await ask(self._supervisor, message, timeout_s=ANSWER_S)
        except Unavailable:
            # Not now, or not known: the same command is given again, and done once.
            raise
        except NepXyError as error:
            return error.code
        return answer.answer if isinstance(answer, PayoutAnswer) else type(answer).__name__
