"""The journal: every change of a payout goes through it, in batches that grow under load by themselves.

While one batch of a lane is being committed, the next one gathers; at rest a write is committed at once.
A payout's writes always go to the same lane, in order, and nobody is answered before the commit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, assert_never
from zlib import crc32

import structlog

from nepxy.actors.journal_writer import BatchWritten, WriteBatch, WriterDied, WriterFaltered
from nepxy.actors.messages import Commit, Committed, JournalFaltered, JournalRecovered
from nepxy.actors.metrics import EngineMetrics
from nepxy.engine.payout import shard_of
from nepxy.engine.runtime import LoopActor
from nepxy.engine.runtime.actor import ActorDescription, ActorState
from nepxy.errors import EngineBusy, InvariantViolation, NepXyError
from nepxy.storage.journal import conflict_keys
from nepxy.storage.writes import (
    Answer,
    CreatePayout,
    KeepWebhook,
    MeetWebhook,
    MovePayout,
    NoteOnPayout,
    PostponePayout,
    WriteFailed,
)

log = structlog.get_logger("nepxy.journal")


class Writer(Protocol):
    """What the journal needs of a journal writer's ref."""

    def tell(self, message: Any) -> None:
        """Take a `WriteBatch`."""


class Waiting(NamedTuple):
    """A write that is not committed yet. Lanes and batches keep the order in which they came."""

    since_s: float
    """By the scheduler's monotonic clock."""
    commit: Commit


class Journal(LoopActor):
    """Gathers `Commit`s into batches, one lane a writer, and answers each sender after its commit."""

    __slots__ = (
        "_batch_max",
        "_escalate",
        "_faltering",
        "_in_flight",
        "_lanes",
        "_metrics",
        "_waiting_max",
        "_watcher",
        "_writers",
    )

    kind = "journal"
    actor_name = "journal"

    def __init__(
        self,
        *,
        make_writers: Callable[[Callable[[Any], None]], Sequence[Writer]],
        metrics: EngineMetrics,
        watcher: Callable[[Any], None] = lambda message: None,
        escalate: Callable[[str], None] = lambda reason: None,
        batch_max: int = 256,
        waiting_max: int = 20_000,
        **kwargs: Any,
    ) -> None:
        """Start with idle writers.

        Args:
            make_writers: given a thread-safe way to tell this actor, makes the writers, one a lane.
            metrics: where batch sizes and commit times go.
            watcher: told `JournalFaltered` and `JournalRecovered`.
            escalate: called when the journal or a writer died: nothing can be recorded, so the process must end.
            batch_max: writes a transaction.
            waiting_max: writes that may wait; beyond it new payouts are refused, facts never.
        """
        super().__init__(**kwargs)
        self._writers = make_writers(self.actor_ref.tell)
        self._lanes: list[deque[Waiting]] = [deque() for _ in self._writers]
        self._in_flight: list[tuple[Waiting, ...]] = [() for _ in self._writers]
        self._faltering: dict[int, NepXyError] = {}
        self._metrics = metrics
        self._watcher = watcher
        self._escalate = escalate
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        metrics.journal_oldest_age_s.set_function(self.oldest_age_s)

    @property
    def waiting_count(self) -> int:
        """Writes that are not committed yet, those in flight included."""
        return sum(map(len, self._lanes)) + sum(map(len, self._in_flight))

    def oldest_age_s(self) -> float:
        """How long the write that came first of those not committed yet has waited; 0: there is none.

        Looked up when it is asked for: set after each message, it would stand still just when the journal does.
        """
        lanes = (batch or lane for batch, lane in zip(self._in_flight, self._lanes, strict=True))
        heads = [lane[0].since_s for lane in lanes if lane]
        return self.runtime.scheduler.monotonic() - min(heads) if heads else 0.0

    def doing(self) -> str:
        """What an operator reads of it."""
        state = "cannot commit; it tries again" if self._faltering else "commits"
        return f"{state}: {self.waiting_count} writes wait or are in flight"

    def children(self) -> tuple[ActorDescription, ...]:
        """The writers: threads, one a lane."""
        return tuple(self._writer(lane) for lane in range(len(self._writers)))

    def _writer(self, lane: int) -> ActorDescription:
        batch, fault = self._in_flight[lane], self._faltering.get(lane)
        return ActorDescription(
            kind="journal_writer",
            name=f"journal_writer/{lane}",
            state=ActorState.RUNNING,
            mailbox_depth=len(self._lanes[lane]),
            handled_count=0,
            last_error=fault.message if fault is not None else None,
            doing=f"commits a batch of {len(batch)}" if batch else "waits for the next batch",
        )

    def on_receive(self, message: Any) -> int | None:
        """Handle one message; the string `"depth"`, asked, is answered with `waiting_count`."""
        match message:
            case Commit():
                self._take(message)
            case BatchWritten():
                self._answer(message)
            case WriterFaltered():
                self._faltered(message)
            case WriterDied(error=error):
                raise InvariantViolation("INVARIANT_VIOLATED", f"a journal writer died: {error}")
            case "depth":
                return self.waiting_count
            case _:
                raise TypeError(f"the journal does not take {type(message).__name__}")
        return None

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        """Nothing can be recorded any more: end the process, and let the next one go on from the rows."""
        self._escalate(f"the journal died: {exception_value}")

    def _take(self, commit: Commit) -> None:
        lane = self._lane_of(commit)
        if _may_be_refused(commit):
            error = self._faltering.get(lane)
            if error is None and self.waiting_count >= self._waiting_max:
                error = EngineBusy("too many writes wait for the database")
            if error is not None:
                self._reply(commit, WriteFailed(error=error))
                return
        self._lanes[lane].append(Waiting(self.runtime.scheduler.monotonic(), commit))
        self._metrics.journal_depth.set(self.waiting_count)
        self._dispatch(lane)

    def _dispatch(self, lane: int) -> None:
        """Send the next batch, unless one is in flight. What conflicts with the batch waits, and keeps its order."""
        if self._in_flight[lane] or not self._lanes[lane]:
            return
        batch: list[Waiting] = []
        left: deque[Waiting] = deque()
        taken: set[object] = set()
        waiting = self._lanes[lane]
        while waiting and len(batch) < self._batch_max and len(left) < self._batch_max:
            one = waiting.popleft()
            keys = conflict_keys(one.commit.write)
            if taken.isdisjoint(keys):
                batch.append(one)
            else:
                left.append(one)
            taken.update(keys)
        left.extend(waiting)
        self._lanes[lane] = left
        self._in_flight[lane] = tuple(batch)
        self._writers[lane].tell(WriteBatch(lane=lane, writes=tuple(one.commit.write for one in batch)))

    def _answer(self, written: BatchWritten) -> None:
        batch, self._in_flight[written.lane] = self._in_flight[written.lane], ()
        self._metrics.batch_size.observe(len(batch))
        self._metrics.commit_s.observe(written.commit_s)
        for one, answer in zip(batch, written.answers, strict=True):
            if answer is not None:
                self._reply(one.commit, answer)
        if all(answer is not None for answer in written.answers):
            self._recovered(written.lane)
            self._dispatch(written.lane)
        self._metrics.journal_depth.set(self.waiting_count)

    def _faltered(self, message: WriterFaltered) -> None:
        self._metrics.journal_faults.labels(message.fault.value).inc()
        first = not self._faltering
        self._faltering[message.lane] = message.error
        if first:
            log.error("journal.faltered", fault=message.fault.value, error=message.error.message)
            self._metrics.journal_ok.set(0)
            self._watcher(JournalFaltered(error=message.error))
        # What nobody has been promised yet is refused rather than kept waiting for an unknown time.
        keep: deque[Waiting] = deque()
        for one in self._lanes[message.lane]:
            if _may_be_refused(one.commit):
                self._reply(one.commit, WriteFailed(error=message.error))
            else:
                keep.append(one)
        self._lanes[message.lane] = keep

    def _recovered(self, lane: int) -> None:
        if self._faltering.pop(lane, None) is not None and not self._faltering:
            log.info("journal.recovered")
            self._metrics.journal_ok.set(1)
            self._watcher(JournalRecovered())

    def _reply(self, commit: Commit, answer: Answer) -> None:
        self.runtime.tell_or_dead_letter(commit.reply_to, Committed(tag=commit.tag, answer=answer))

    def _lane_of(self, commit: Commit) -> int:
        if len(self._lanes) == 1:
            return 0
        match commit.write:
            case CreatePayout(payout=payout):
                # By key: racing posts of one key meet in one lane, and are told apart without a failed batch.
                key = crc32(f"{payout.client_id}\0{payout.idempotency_key}".encode())
            case MeetWebhook(webhook=webhook) | KeepWebhook(webhook=webhook):
                key = crc32(webhook.webhook_id.encode())
            case MovePayout(before=payout) | NoteOnPayout(payout=payout):
                key = shard_of(payout.transaction_id)
            case PostponePayout(transaction_id=transaction_id):
                key = shard_of(transaction_id)
            case _:
                assert_never(commit.write)
        return key % len(self._lanes)


def _may_be_refused(commit: Commit) -> bool:
    """Whether its sender can be told to come again: nothing has been promised or done yet."""
    return isinstance(commit.write, CreatePayout | MeetWebhook | KeepWebhook)
