"""How a batch of writes reaches the database, whatever the database does: pure steps, no thread and no clock.

It never gives a batch up while the process lives: what can be tried again is tried again, with backoff; a
batch of which one write is refused is halved until that one stands alone; and where nobody knows whether a
commit happened, it finds out by the write ids before it goes on (money rule 8). `commit_batch` yields the
seconds to wait, so that a thread can wait on an event and a simulation on virtual time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final, Protocol

import structlog

from nepxy.errors import DatabaseUnavailable, EngineBusy, NepXyError, Unavailable
from nepxy.storage.database import (
    Fault,
    fault_of,
    is_race,
    needs_new_connection,
    sqlstate_of,
    took_too_long,
)
from nepxy.storage.writes import (
    Answer,
    CreatePayout,
    IntentDenied,
    LookAgain,
    Stale,
    Write,
    WriteFailed,
)

BACKOFF_S: Final = 0.05
BACKOFF_S_MAX: Final = 2.0
LOOKS_MAX: Final = 5
"""How often one write may find that a concurrent one came first before its sender is told to come again."""
HALVED_AFTER: Final = 4
"""Failures in a row after which a batch is tried in parts: a time-out may be due to its size, or to one row."""

log = structlog.get_logger("nepxy.journal")


class BatchDatabase(Protocol):
    """One connection to the database, as a batch needs it. What it raises, `fault_of` can classify."""

    def write(self, writes: Sequence[Write]) -> Sequence[Answer]:
        """Commit these writes in one transaction, and say what became of each, in their order."""

    def find_landed(self, writes: Sequence[Write]) -> Mapping[int, Answer]:
        """The moves among these writes that are committed, by their place; raises while one may still commit."""

    def disconnect(self) -> None:
        """Drop the connection: the next call makes a new one, maybe to another server. Never raises."""


def commit_batch(
    database: BatchDatabase,
    writes: Sequence[Write],
    *,
    faltered: Callable[[Fault, NepXyError], None],
    given_up: Callable[[], bool],
    jitter: Callable[[], float],
) -> Generator[float, None, tuple[Answer | None, ...]]:
    """Commit each write once, or learn that it never will be.

    Args:
        database: called from here only, and never while a wait is on.
        writes: no two in conflict (`journal.conflict_keys`).
        faltered: told each time that the database did not do what it was asked.
        given_up: whether to stop waiting for the database; a wait may end early once it is true.
        jitter: uniform in [0, 1).

    Yields:
        Seconds to wait before the next try.

    Returns:
        Each write's answer, in order. None: given up, and not known to be recorded; it may be.
    """
    return (yield from _Commit(database, writes, faltered, given_up, jitter).run())


class _Commit:
    """One batch on its way into the database."""

    def __init__(
        self,
        database: BatchDatabase,
        writes: Sequence[Write],
        faltered: Callable[[Fault, NepXyError], None],
        given_up: Callable[[], bool],
        jitter: Callable[[], float],
    ) -> None:
        self._database = database
        self._writes = writes
        self._faltered = faltered
        self._given_up = given_up
        self._jitter = jitter
        self._answers: list[Answer | None] = [None] * len(writes)
        self._looks = [0] * len(writes)
        self._failures = 0
        """In a row, until a transaction gets through."""
        self._is_away = False
        """Whether the last call failed for want of a database: only then is there anything to give up."""
        self._tried_before = False
        """Whether any write may have landed unheard; it never turns back, because looking costs so little."""

    def run(self) -> Generator[float, None, tuple[Answer | None, ...]]:
        groups = [list(range(len(self._writes)))] if self._writes else []
        while groups and not self._is_hopeless():
            group = groups.pop()
            try:
                answers = self._database.write([self._writes[n] for n in group])
            except Exception as error:  # whatever the driver raises is classified, and nothing is dropped
                groups.extend((yield from self._after_fault(group, error)))
                continue
            self._got_through()
            said: dict[int, Answer] = dict(zip(group, answers, strict=True))
            if self._tried_before:
                yield from self._tell_apart(said)
            groups.extend(self._keep(said))
        return tuple(self._answers)

    def _keep(self, said: Mapping[int, Answer]) -> list[list[int]]:
        again: list[list[int]] = []
        for n, answer in said.items():
            if not isinstance(answer, LookAgain):
                self._answers[n] = answer
            elif self._may_look_again(n):
                again.append([n])
        return again

    def _may_look_again(self, n: int) -> bool:
        """Another writer committed the same key or reference a moment before: the next look finds it."""
        self._looks[n] += 1
        if self._looks[n] <= LOOKS_MAX:
            return True
        busy = Unavailable("ENGINE_BUSY", "another request with the same key or reference is being decided")
        self._answers[n] = WriteFailed(error=busy)
        return False

    def _after_fault(self, group: list[int], error: Exception) -> Generator[float, None, list[list[int]]]:
        fault = fault_of(error)
        self._tried_before = True
        if fault is Fault.REFUSED:
            self._got_through()
            return self._refused(group, error)
        self._failed(fault, error)
        yield self._backoff_s()
        if took_too_long(error) and any(map(self._counted_client, group)):
            return self._set_apart(group)
        rest = group if fault is Fault.TRY_AGAIN else (yield from self._not_landed(group))
        return _halves(rest) if self._failures >= HALVED_AFTER else [rest] if rest else []

    def _refused(self, group: list[int], error: Exception) -> list[list[int]]:
        if len(group) > 1:
            return _halves(group)
        (n,) = group
        write = self._writes[n]
        if isinstance(write, CreatePayout) and is_race(error):
            return [group] if self._may_look_again(n) else []
        log.error(
            "journal.write_refused", write=type(write).__name__, error=type(error).__name__, exc_info=error
        )
        refused = NepXyError(
            "INTERNAL_ERROR", f"the database refuses this {type(write).__name__}: {_first_line(error)}"
        )
        self._answers[n] = WriteFailed(error=refused)
        return []

    def _counted_client(self, n: int) -> str | None:
        """Whose use must be counted for this write; None: nobody's."""
        write = self._writes[n]
        return (
            write.payout.client_id if isinstance(write, CreatePayout) and write.limits is not None else None
        )

    def _set_apart(self, group: list[int]) -> list[list[int]]:
        """New payouts whose client's use may be what takes so long hold up nobody else: nothing was promised of them.

        Tried again like all others, a client with too many payouts to count would stop the journal for good.
        """
        of_client: dict[str | None, list[int]] = {None: []}
        for n in group:
            of_client.setdefault(self._counted_client(n), []).append(n)
        others = of_client.pop(None)
        if others or len(of_client) > 1:
            return [part for part in (*reversed(of_client.values()), others) if part]
        (client_id,) = of_client
        log.error("journal.count_took_too_long", client_id=client_id, payouts_count=len(group))
        busy = EngineBusy(
            "what this client has used of its limits could not be counted in time", retry_after_s=5
        )
        for n in group:
            self._answers[n] = WriteFailed(error=busy)
        return []

    def _not_landed(self, group: list[int]) -> Generator[float, None, list[int]]:
        """The commit may have happened: keep what landed; what is left must be written again."""
        landed, _ = yield from self._landed(group)
        for n, answer in landed.items():
            self._answers[n] = answer
        return [n for n in group if n not in landed]

    def _tell_apart(self, said: dict[int, Answer]) -> Generator[float, None, None]:
        """Tell our own late commit from somebody else's: a lost try may have landed late, after a lock.

        An intent may even be denied because of itself: by a statement whose snapshot is older than that commit.
        """
        doubtful = [n for n, answer in said.items() if isinstance(answer, Stale | IntentDenied)]
        landed, unknown = yield from self._landed(doubtful)
        said.update(landed)
        for n in unknown:
            del said[n]

    def _landed(self, group: Sequence[int]) -> Generator[float, None, tuple[dict[int, Answer], list[int]]]:
        """Ask until the database can tell: what landed, and, when told to give up first, what nobody knows."""
        landed: dict[int, Answer] = {}
        parts = [list(group)] if group else []
        while parts and not self._is_hopeless():
            part = parts.pop()
            try:
                found = self._database.find_landed([self._writes[n] for n in part])
            except Exception as error:
                fault = fault_of(error)
                if fault is Fault.REFUSED:
                    # What cannot even be looked for has never landed; its next try is refused and says why.
                    parts.extend(_halves(part) if len(part) > 1 else [])
                    continue
                # A row lock that is still held, or a server that is still down: both mean "still unknown".
                self._failed(fault, error)
                parts.append(part)
                yield self._backoff_s()
                continue
            self._is_away = False
            landed.update((part[place], answer) for place, answer in found.items())
        return landed, [n for part in parts for n in part]

    def _got_through(self) -> None:
        self._failures = 0
        self._is_away = False

    def _failed(self, fault: Fault, error: Exception) -> None:
        self._failures += 1
        self._is_away = True
        if self._failures == 1:
            log.warning(
                "journal.commit_failed",
                fault=fault.value,
                sqlstate=sqlstate_of(error),
                error=_first_line(error),
            )
        if fault is Fault.OUTCOME_UNKNOWN or needs_new_connection(error):
            self._database.disconnect()
        # Clients read this: the driver's own words name hosts and roles.
        condition = f"SQLSTATE {sqlstate_of(error)}" if sqlstate_of(error) else "no connection"
        self._faltered(fault, DatabaseUnavailable(f"the journal cannot commit now ({condition})"))

    def _is_hopeless(self) -> bool:
        return self._is_away and self._given_up()

    def _backoff_s(self) -> float:
        ceiling_s: float = min(BACKOFF_S * 2 ** min(self._failures, 10), BACKOFF_S_MAX)
        return ceiling_s * (0.5 + self._jitter() / 2)


def _halves(group: list[int]) -> list[list[int]]:
    """The first half on top of the stack: writes keep their order."""
    half = len(group) // 2
    return [part for part in (group[half:], group[:half]) if part]


def _first_line(error: Exception) -> str:
    """The driver's first line names the condition; later ones may quote values."""
    text = str(error).strip().splitlines()
    return text[0][:120] if text else type(error).__name__
