"""Asking the supervisor, and what it means when it does not answer: always a 503 that is safe to repeat."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

import structlog

from nepxy.engine.runtime import ActorDeadError, AskTimeout, LoopActorRef, MailboxFull, ask
from nepxy.errors import Draining, EngineBusy, EngineTimeout

log = structlog.get_logger()


class Engine:
    """The supervisor as handlers see it."""

    def __init__(self, supervisor: LoopActorRef[Any], *, timeout_s: float) -> None:
        """Ask `supervisor`, and wait at most `timeout_s` for each answer."""
        self._supervisor = supervisor
        self._timeout_s = timeout_s
        self._going_on: set[asyncio.Task[Any]] = set()

    async def ask(self, message: Any) -> Any:
        """The supervisor's answer. If the caller is cancelled meanwhile, the message stays sent and its end is logged.

        Raises:
            Unavailable: no answer in time, or nobody to give one; it may have been done all the same.
            NepXyError: the answer is that.
        """
        # The task keeps the request's log fields: whoever reads of a payout that outlived its request wants them.
        task = asyncio.get_running_loop().create_task(self._asked(message), context=copy_context())
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                task.add_done_callback(_told_nobody)
            raise

    async def settle(self, limit_s: float) -> None:
        """At a stop: let asks whose callers are gone end, for at most `limit_s`."""
        if self._going_on:
            await asyncio.wait(self._going_on, timeout=limit_s)
        for task in tuple(self._going_on):
            task.cancel()

    async def _asked(self, message: Any) -> Any:
        try:
            return await ask(self._supervisor, message, timeout_s=self._timeout_s)
        except AskTimeout:
            raise EngineTimeout(self._timeout_s) from None
        except ActorDeadError:
            raise Draining from None
        except MailboxFull:
            raise EngineBusy from None


def _told_nobody(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    log.info(
        "request.outlived",
        answer=None if task.cancelled() or error else type(task.result()).__name__,
        error=str(error) if error else None,
    )
