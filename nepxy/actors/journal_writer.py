"""The thread that commits: one connection, one batch at a time, and no answer before the commit.

It never gives a batch up while the process lives: what can be tried again is tried again, with backoff; a
batch of which one write is refused is halved until that one stands alone; and where nobody knows whether
a commit happened, it finds out by the write ids before it goes on (money rule 8).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import peewee
import pykka
import structlog

from nepxy.errors import DatabaseUnavailable, NepXyError, Unavailable
from nepxy.storage.database import Fault, fault_of
from nepxy.storage.journal import find_landed, write_batch
from nepxy.storage.writes import Answer, CreatePayout, LookAgain, Stale, Write, WriteFailed

BACKOFF_S: Final = 0.05
BACKOFF_S_MAX: Final = 2.0
LOOKS_MAX: Final = 5

log = structlog.get_logger("nepxy.journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBatch:
    """The journal to a writer: commit these. Answered with `BatchWritten`."""

    lane: int
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWritten:
    """A writer to the journal: each write's answer, in the batch's order; None: given up at the stop, unrecorded."""

    lane: int
    answers: tuple[Answer | None, ...]
    commit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterFaltered:
    """A writer to the journal: the database does not take the batch now; it goes on trying."""

    lane: int
    fault: Fault
    error: NepXyError


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterDied:
    """A writer to the journal: it is no more, and its batch's outcome with it."""

    error: str


class JournalWriter(pykka.ThreadingActor):
    """One lane of the journal."""

    use_daemon_thread = True

    def __init__(
        self,
        *,
        database: peewee.PostgresqlDatabase,
        tell_journal: Callable[[Any], None],
        giving_up: threading.Event,
    ) -> None:
        """Bind to a connection of its own.

        Args:
            database: unconnected; only this actor's thread uses it.
            tell_journal: safe from any thread.
            giving_up: set at the end of a stop's limit: do not wait for the database any longer.
        """
        super().__init__()
        self._database = database
        self._tell_journal = tell_journal
        self._giving_up = giving_up

    def on_receive(self, message: Any) -> None:
        """Commit a batch and answer it."""
        if not isinstance(message, WriteBatch):
            raise TypeError(f"a journal writer does not take {type(message).__name__}")
        began_s = time.monotonic()
        answers = _Batch(self, message).write()
        self._tell_journal(
            BatchWritten(lane=message.lane, answers=answers, commit_s=time.monotonic() - began_s)
        )

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        """Tell the journal, which cannot go on without this lane."""
        self._tell_journal(WriterDied(error=f"{exception_type.__name__}: {exception_value}"))

    def on_stop(self) -> None:
        """Close the connection."""
        self._database.close()


class _Batch:
    """One batch on its way into the database."""

    def __init__(self, writer: JournalWriter, message: WriteBatch) -> None:
        self._database = writer._database
        self._tell_journal = writer._tell_journal
        self._giving_up = writer._giving_up
        self._lane = message.lane
        self._writes = message.writes
        self._answers: list[Answer | None] = [None] * len(message.writes)
        self._looks = 0
        self._failures = 0
        self._outcome_was_unknown = False

    def write(self) -> tuple[Answer | None, ...]:
        groups = [list(range(len(self._writes)))]
        while groups:
            group = groups.pop()
            try:
                answers = write_batch(self._database, [self._writes[n] for n in group])
            except Exception as error:  # whatever the driver raises is classified, and nothing is dropped
                groups.extend(self._after_fault(group, error))
                if self._giving_up.is_set() and self._failures:
                    break
                continue
            self._failures = 0
            if self._outcome_was_unknown:
                told_apart = self._own_or_stale(group, answers)
                if told_apart is None:
                    break
                answers = told_apart
            groups.extend(self._keep(group, answers))
        return tuple(self._answers)

    def _keep(self, group: Sequence[int], answers: Sequence[Answer]) -> list[list[int]]:
        again: list[int] = []
        for n, answer in zip(group, answers, strict=True):
            if not isinstance(answer, LookAgain):
                self._answers[n] = answer
            elif self._looks < LOOKS_MAX:
                again.append(n)
            else:
                busy = Unavailable(
                    "ENGINE_BUSY", "another request with the same key or reference is being decided"
                )
                self._answers[n] = WriteFailed(error=busy)
        self._looks += bool(again)
        return [[n] for n in again]

    def _after_fault(self, group: list[int], error: Exception) -> list[list[int]]:
        fault = fault_of(error)
        if fault is Fault.REFUSED:
            return self._refused(group, error)
        self._failures += 1
        self._tell_journal(WriterFaltered(lane=self._lane, fault=fault, error=_translated(error)))
        if fault is Fault.TRY_AGAIN:
            self._wait()
            return [group]
        self._outcome_was_unknown = True
        return self._resolve(group)

    def _refused(self, group: list[int], error: Exception) -> list[list[int]]:
        if len(group) > 1:
            half = len(group) // 2
            return [group[half:], group[:half]]
        write = self._writes[group[0]]
        lost_a_race = isinstance(write, CreatePayout) and isinstance(error, peewee.IntegrityError)
        if lost_a_race and self._looks < LOOKS_MAX:
            # Another writer committed the same key a moment before: the next look finds it.
            self._looks += 1
            return [group]
        log.error(
            "journal.write_refused", write=type(write).__name__, error=type(error).__name__, exc_info=error
        )
        refused = NepXyError(
            "INTERNAL_ERROR", f"the database refuses this {type(write).__name__}: {_first_line(error)}"
        )
        self._answers[group[0]] = WriteFailed(error=refused)
        return []

    def _resolve(self, group: list[int]) -> list[list[int]]:
        """The connection broke, so the commit may have happened: keep what landed, write the rest again."""
        self._database.close()
        self._wait()
        landed = self._landed(group)
        if landed is None:
            return [group]
        for n, answer in landed.items():
            self._answers[n] = answer
        rest = [n for n in group if n not in landed]
        return [rest] if rest else []

    def _own_or_stale(self, group: Sequence[int], answers: Sequence[Answer]) -> list[Answer] | None:
        """Tell our own late commit from somebody else's: the lost try may have landed late, after a lock."""
        landed = self._landed(
            [n for n, answer in zip(group, answers, strict=True) if isinstance(answer, Stale)]
        )
        if landed is None:
            return None
        return [landed.get(n, answer) for n, answer in zip(group, answers, strict=True)]

    def _landed(self, numbers: Sequence[int]) -> dict[int, Answer] | None:
        """Ask until the database can tell; None: told to give up first."""
        while not self._giving_up.is_set():
            try:
                landed = find_landed(self._database, [self._writes[n] for n in numbers])
            except Exception as error:
                # A row lock that is still held, or a server that is still down: both mean "still unknown".
                self._failures += 1
                self._tell_journal(
                    WriterFaltered(lane=self._lane, fault=fault_of(error), error=_translated(error))
                )
                self._database.close()
                self._wait()
                continue
            return {numbers[place]: answer for place, answer in landed.items()}
        return None

    def _wait(self) -> None:
        ceiling_s = min(BACKOFF_S * 2 ** min(self._failures, 10), BACKOFF_S_MAX)
        self._giving_up.wait(ceiling_s * (0.5 + random.random() / 2))  # noqa: S311 - jitter, not a secret


def _translated(error: Exception) -> NepXyError:
    return DatabaseUnavailable(f"the journal cannot commit now ({_first_line(error)})")


def _first_line(error: Exception) -> str:
    """The driver's first line names the condition; later ones may quote values."""
    text = str(error).strip().splitlines()
    return text[0][:120] if text else type(error).__name__
