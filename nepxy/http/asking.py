"""Asking the supervisor, and what it means when it does not answer: always a 503 that is safe to repeat."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from nepxy.engine.runtime import ActorDeadError, AskTimeout, Doorway, LoopActorRef, MailboxFull, ask
from nepxy.errors import Draining, EngineBusy, EngineTimeout

log = structlog.get_logger()


class Engine:
    """The supervisor as handlers see it."""

    def __init__(self, supervisor: LoopActorRef[Any], *, timeout_s: float) -> None:
        """Ask `supervisor`, and wait at most `timeout_s` for each answer."""
        self._supervisor = supervisor
        self._timeout_s = timeout_s
        self._going_on: set[asyncio.Future[Any]] = set()

    async def ask(self, message: Any) -> Any:
        """The supervisor's answer. If the caller is cancelled meanwhile, the message stays sent and its end is logged.

        Raises:
            Unavailable: no answer in time, or nobody to give one; it may have been done all the same.
            NepXyError: the answer is that.
        """
        answer: asyncio.Future[Any] | None = None
        try:
            answer = self._sent(message)
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            if answer is not None and not answer.done():
                # In this request's context: whoever reads of a payout that outlived its request wants its log fields.
                answer.add_done_callback(_told_nobody)
            raise
        except (AskTimeout, ActorDeadError, MailboxFull) as error:
            raise _in_our_words(error) from None

    async def settle(self, limit_s: float) -> None:
        """At a stop: let asks whose callers are gone end, for at most `limit_s`."""
        if self._going_on:
            await asyncio.wait(self._going_on, timeout=limit_s)
        for answer in tuple(self._going_on):
            answer.cancel()

    def _sent(self, message: Any) -> asyncio.Future[Any]:
        """What will be the answer, whoever waits for it."""
        loop = asyncio.get_running_loop()
        if getattr(message, "reply_to", message) is None:
            answer: asyncio.Future[Any] = loop.create_future()
            self._tell(message, answer)
        else:
            answer = loop.create_task(ask(self._supervisor, message, timeout_s=self._timeout_s))
        self._going_on.add(answer)
        answer.add_done_callback(self._going_on.discard)
        return answer

    def _tell(self, message: Any, answer: asyncio.Future[Any]) -> None:
        """As `ask` does, and without a task: each payout comes by here twice."""
        scheduler = self._supervisor.runtime.scheduler
        doorway = Doorway(scheduler, answer)
        self._supervisor.tell(replace(message, reply_to=doorway))
        late = AskTimeout(timeout_s=self._timeout_s, message_type=type(message).__name__)
        timer = scheduler.call_later(self._timeout_s, partial(doorway.fail, late))
        answer.add_done_callback(lambda _: timer.cancel())


def _in_our_words(error: BaseException) -> BaseException:
    match error:
        case AskTimeout(timeout_s=timeout_s):
            return EngineTimeout(timeout_s)
        case ActorDeadError():
            return Draining()
        case MailboxFull():
            return EngineBusy()
        case _:
            return error


def _told_nobody(answer: asyncio.Future[Any]) -> None:
    error = None if answer.cancelled() else answer.exception()
    log.info(
        "request.outlived",
        answer=None if answer.cancelled() or error else type(answer.result()).__name__,
        error=str(_in_our_words(error)) if error else None,
    )
