"""The thread that commits: one connection, one batch at a time, and no answer before the commit.

What happens to a batch on its way is `batch_commit`; here is only the thread that waits where that says so.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import peewee
import psycopg2
import pykka

from nepxy.actors.batch_commit import commit_batch
from nepxy.errors import NepXyError
from nepxy.storage.database import Fault, connect
from nepxy.storage.journal import find_landed, write_batch
from nepxy.storage.writes import Answer, Write


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
        self._database = PeeweeBatchDatabase(database)
        self._tell_journal = tell_journal
        self._giving_up = giving_up

    def on_receive(self, message: Any) -> None:
        """Commit a batch and answer it."""
        if not isinstance(message, WriteBatch):
            raise TypeError(f"a journal writer does not take {type(message).__name__}")
        began_s = time.monotonic()
        answers = self._waited_out(
            commit_batch(
                self._database,
                message.writes,
                faltered=lambda fault, error: self._tell_journal(
                    WriterFaltered(lane=message.lane, fault=fault, error=error)
                ),
                given_up=self._giving_up.is_set,
                jitter=random.random,
            )
        )
        self._tell_journal(
            BatchWritten(lane=message.lane, answers=answers, commit_s=time.monotonic() - began_s)
        )

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        """Tell the journal, which cannot go on without this lane."""
        self._tell_journal(WriterDied(error=f"{exception_type.__name__}: {exception_value}"))

    def on_stop(self) -> None:
        """Close the connection."""
        self._database.disconnect()

    def _waited_out(
        self, commit: Generator[float, None, tuple[Answer | None, ...]]
    ) -> tuple[Answer | None, ...]:
        while True:
            try:
                wait_s = next(commit)
            except StopIteration as done:
                answers: tuple[Answer | None, ...] = done.value
                return answers
            self._giving_up.wait(wait_s)


class PeeweeBatchDatabase:
    """The journal's statements over a connection of their own, made when it is needed."""

    def __init__(self, database: peewee.PostgresqlDatabase) -> None:
        """Connect nothing yet."""
        self._database = database

    def write(self, writes: Sequence[Write]) -> Sequence[Answer]:
        """Commit these writes in one transaction, in one round trip."""
        connect(self._database)
        return write_batch(self._database, writes)

    def find_landed(self, writes: Sequence[Write]) -> Mapping[int, Answer]:
        """Look for these writes by their write ids."""
        connect(self._database)
        return find_landed(self._database, writes)

    def disconnect(self) -> None:
        """Drop the connection, whatever state it is in."""
        with suppress(peewee.PeeweeException, psycopg2.Error):
            self._database.close()
