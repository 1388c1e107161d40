"""Time and turns: the one door between the actor runtime and the event loop.

Nothing else in the runtime reads a clock or schedules a callback, so that a simulation can implement
`Scheduler` with virtual time and a seeded choice of the next ready callback.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

__all__ = ["Cancellable", "LoopScheduler", "Scheduler", "SchedulerClosed"]

T = TypeVar("T")


class SchedulerClosed(Exception):
    """The event loop is gone: no callback will ever run again."""


class Cancellable(Protocol):
    """Something that is still going to happen, unless it is cancelled first."""

    def cancel(self) -> None:
        """Keep it from happening; harmless when it has already happened or was cancelled before."""


class Scheduler(Protocol):
    """What the runtime needs of the world: a clock, and callbacks that run one at a time, later.

    Every callback and task runs in an *empty* `contextvars.Context`: asyncio would hand on the
    caller's, and one client's request id would turn up in another client's payout.
    """

    def now(self) -> datetime:
        """The wall clock: aware, UTC. May jump; for what people read, not for measuring."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back. Time in which the machine slept counts."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run `callback` soon, never within this call. Only from the loop's own thread."""

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        """Run `callback` soon in the loop's thread. From any thread; one thread's callbacks keep their order.

        Raises:
            SchedulerClosed: the loop is gone, and the callback will never run.
        """

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Cancellable:
        """Run `callback` after `delay_s` seconds (0 or less: soon). Only from the loop's own thread."""

    def create_task(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run a coroutine as a task, and hold on to the task until it is done."""

    def in_loop_thread(self) -> bool:
        """Whether the caller is in the thread in which the callbacks run."""


class LoopScheduler:
    """The real thing: asyncio's event loop (or uvloop's) and the machine's clocks.

    Construct it inside the running loop that it is to use.
    """

    __slots__ = ("_loop", "_tasks", "_thread_id")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        # The loop itself remembers tasks only weakly; one that nobody holds may be collected while it waits.
        self._tasks: set[asyncio.Task[Any]] = set()

    def now(self) -> datetime:
        """The machine's wall clock: aware, UTC."""
        return datetime.now(UTC)

    # Linux's CLOCK_MONOTONIC stands still while the machine is suspended; a payout's deadlines do not.
    if hasattr(time, "CLOCK_BOOTTIME"):

        def monotonic(self) -> float:
            """Seconds since the machine booted, suspended time included."""
            return time.clock_gettime(time.CLOCK_BOOTTIME)

    else:

        def monotonic(self) -> float:
            """Seconds since some fixed moment; whether suspended time counts is the platform's choice."""
            return time.monotonic()

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run `callback` in one of the loop's next rounds."""
        self._loop.call_soon(callback, context=Context())

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        """Run `callback` in the loop's thread, and wake the loop for it.

        Raises:
            SchedulerClosed: the loop is closed.
        """
        try:
            self._loop.call_soon_threadsafe(callback, context=Context())
        except RuntimeError as error:
            if self._loop.is_closed():
                raise SchedulerClosed("the event loop is closed") from error
            raise

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Cancellable:
        """Run `callback` after `delay_s` seconds of the loop's clock, for which a suspended machine stands still."""
        return self._loop.call_later(delay_s, callback, context=Context())

    def create_task(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run a coroutine as a task of the loop, held until it is done."""
        task = self._loop.create_task(coro, name=name, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard, context=Context())
        return task

    def in_loop_thread(self) -> bool:
        """Whether the caller is in the thread that constructed this."""
        return threading.get_ident() == self._thread_id
