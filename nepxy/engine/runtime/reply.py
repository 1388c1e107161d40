"""Where an answer goes: the `reply_to` of a message, and the one-shot doorway out of the actor tree."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pykka import Future

from nepxy.engine.runtime.scheduler import Scheduler, SchedulerClosed

if TYPE_CHECKING:
    from pykka._types import OptExcInfo

__all__ = ["Doorway", "DoorwayFuture", "ReplyTo"]


class ReplyTo(Protocol):
    """Takes one answer, from any thread, at any time. Only the first counts; never raises."""

    def tell(self, value: Any) -> None:
        """Answer with a value."""

    def fail(self, error: BaseException) -> None:
        """Answer that there will be no value, because of `error`."""


class Doorway:
    """A `ReplyTo` that ends somebody's wait in an event loop: what `ask` puts into a message.

    Resolves once; whatever comes later, or after the one who waited has left, is ignored.
    """

    __slots__ = ("_scheduler", "_waiter")

    def __init__(self, scheduler: Scheduler, waiter: asyncio.Future[Any]) -> None:
        """Resolve `waiter`, a future of the loop that `scheduler` stands for."""
        self._scheduler = scheduler
        self._waiter = waiter

    def tell(self, value: Any) -> None:
        """Answer with a value. From any thread."""
        self._in_loop_thread(self._set_result, value)

    def fail(self, error: BaseException) -> None:
        """Answer with an exception, which is raised where somebody waits. From any thread."""
        self._in_loop_thread(self._set_exception, error)

    def _in_loop_thread(self, settle: Callable[[Any], None], answer: Any) -> None:
        if self._scheduler.in_loop_thread():
            settle(answer)
        else:
            # A loop that is gone has nobody waiting in it.
            with suppress(SchedulerClosed):
                self._scheduler.call_soon_threadsafe(partial(settle, answer))

    def _set_result(self, value: Any) -> None:
        if not self._waiter.done():
            self._waiter.set_result(value)

    def _set_exception(self, error: BaseException) -> None:
        if self._waiter.done():
            return
        if isinstance(error, (StopIteration, asyncio.CancelledError)):
            # asyncio refuses to carry the first, and the second would look as if the asker were cancelled.
            wrapped = RuntimeError(f"the handler raised {type(error).__name__}")
            wrapped.__cause__ = error
            error = wrapped
        self._waiter.set_exception(error)


class DoorwayFuture(Future[Any]):
    """A doorway in the shape that pykka's actors answer to: a future that is written and never read."""

    def __init__(self, doorway: Doorway) -> None:
        """Pass what is set on to `doorway`."""
        super().__init__()
        self._doorway = doorway

    def set(self, value: Any | None = None) -> None:
        """The handler returned. In the actor's thread."""
        self._doorway.tell(value)

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """The handler raised, or there is no actor to handle it. In the actor's thread."""
        error = (exc_info or sys.exc_info())[1]
        self._doorway.fail(error or RuntimeError("set_exception() without an exception"))
