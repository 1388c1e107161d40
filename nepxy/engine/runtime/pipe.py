"""The way back of an actor's own coroutine: its result or exception becomes a message to the actor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from pykka._envelope import Envelope

from nepxy.engine.runtime.mailbox import Mailbox

__all__ = ["Pipe", "PipeBroken"]

T = TypeVar("T")


class PipeBroken(NamedTuple):
    """The runtime to an actor: a callable of yours could not build its message; the actor fails of it."""

    error: BaseException


class Pipe(Generic[T]):
    """What happens when one owned task is done. Callable, as a task's done callback."""

    __slots__ = ("_mailbox", "_on_error", "_on_result", "_owned")

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        on_result: Callable[[T], Any],
        on_error: Callable[[BaseException], Any],
        owned: set[asyncio.Task[Any]],
    ) -> None:
        """Send to `mailbox` what a callable makes of the end of a task, which leaves `owned` then."""
        self._mailbox = mailbox
        self._on_result = on_result
        self._on_error = on_error
        self._owned = owned

    def __call__(self, task: asyncio.Task[T]) -> None:
        """The task is done. In the loop's thread, outside of the actor's turns."""
        self._owned.discard(task)
        # `cancelling` counts requests to cancel. Without one, the CancelledError came from inside the
        # coroutine (a future that somebody else gave up): an error like any other, and an actor that
        # never heard of it would wait for ever.
        if not (task.cancelled() and task.cancelling()):
            self._mailbox.put_own(Envelope(self._message_of(task)))

    def _message_of(self, task: asyncio.Task[T]) -> Any:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        try:
            return self._on_result(task.result()) if error is None else self._on_error(error)
        except Exception as build_error:
            return PipeBroken(build_error)
