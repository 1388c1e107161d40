"""Messages that no live actor took: counted by kind and reason, never lost in silence."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from enum import StrEnum

__all__ = ["DeadLetterCounts", "DeadLetterReason"]


class DeadLetterReason(StrEnum):
    """Why a told message reached nobody; a closed set, because it is a metrics label."""

    QUEUED_AT_STOP = "queued_at_stop"
    """It waited in the mailbox when the actor stopped in order."""

    QUEUED_AT_FAILURE = "queued_at_failure"
    """It waited in the mailbox when the actor died of an exception."""

    ARRIVED_AFTER_STOP = "arrived_after_stop"
    """It was on its way (from another thread, or from the actor's own task) when the actor ended."""

    TOLD_AFTER_STOP = "told_after_stop"
    """The actor had already ended, and its sender did not care (`tell_or_dead_letter`)."""

    MAILBOX_FULL = "mailbox_full"
    """The mailbox was at its limit, and its sender did not care (`tell_or_dead_letter`)."""


class DeadLetterCounts(Mapping[tuple[str, DeadLetterReason], int]):
    """How many dead letters there were, by (actor kind, reason). Any thread may count and read."""

    __slots__ = ("_counts", "_lock")

    def __init__(self) -> None:
        self._counts: dict[tuple[str, DeadLetterReason], int] = {}
        self._lock = threading.Lock()

    def count(self, kind: str, reason: DeadLetterReason) -> None:
        """One more."""
        with self._lock:
            self._counts[kind, reason] = self[kind, reason] + 1

    @property
    def total(self) -> int:
        """All of them, of every kind and for every reason."""
        with self._lock:
            return sum(self._counts.values())

    def __getitem__(self, key: tuple[str, DeadLetterReason]) -> int:
        return self._counts.get(key, 0)

    def __iter__(self) -> Iterator[tuple[str, DeadLetterReason]]:
        with self._lock:
            return iter(tuple(self._counts))

    def __len__(self) -> int:
        return len(self._counts)
