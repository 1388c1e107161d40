"""The way from a coroutine into the actor tree and back: for HTTP handlers, the CLI and tests."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import partial
from typing import Any

from pykka import ActorDeadError, ActorRef
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from nepxy.engine.runtime.ref import LoopActorRef
from nepxy.engine.runtime.reply import Doorway, DoorwayFuture
from nepxy.engine.runtime.scheduler import LoopScheduler, Scheduler

__all__ = ["AskTimeout", "ask", "stop_and_wait"]


class AskTimeout(Exception):
    """There was no answer in time; whether the message was or will be handled is unknown."""

    def __init__(self, *, timeout_s: float, message_type: str) -> None:
        """No answer to a `message_type` within `timeout_s` seconds."""
        super().__init__(f"no answer to {message_type} within {timeout_s} s")
        self.timeout_s = timeout_s
        self.message_type = message_type


async def ask(ref: ActorRef[Any], message: Any, *, timeout_s: float) -> Any:
    """Send a message to an actor and wait for its answer, without blocking the event loop.

    A dataclass with a field `reply_to` that is None is *told*, with a doorway put there: the answer is
    what somebody tells the doorway, now or later, from whichever actor or thread. Any other message is
    *asked*: the answer is what its handler returns or raises. A cancelled wait ignores a late answer;
    the message stays sent.

    Args:
        ref: a `LoopActor`'s or a pykka `ThreadingActor`'s.
        message: of any type.
        timeout_s: seconds to wait; 0 or less gives up in the loop's next round.

    Raises:
        ActorDeadError: the actor has ended, or it ended before it could answer. A pykka actor that ends
            with a *told* message in its inbox says nothing: that is a time-out.
        MailboxFull: the actor's mailbox is at its limit; nothing was sent.
        AskTimeout: no answer in time.
        Exception: the answer is that the actor failed so.
    """
    scheduler = _scheduler_here(ref)
    waiter: asyncio.Future[Any] = asyncio.Future()
    doorway = Doorway(scheduler, waiter)
    timeout = AskTimeout(timeout_s=timeout_s, message_type=type(message).__name__)
    timer = scheduler.call_later(timeout_s, partial(doorway.fail, timeout))
    try:
        _send(ref, message, doorway)
        return await waiter
    finally:
        timer.cancel()


async def stop_and_wait(ref: ActorRef[Any], *, timeout_s: float) -> bool:
    """Ask an actor to stop after what was sent before, and wait until it has, without blocking the loop.

    Args:
        ref: a `LoopActor`'s or a pykka `ThreadingActor`'s.
        timeout_s: seconds to wait.

    Returns:
        False: it had already ended.

    Raises:
        AskTimeout: it has not stopped in time; it still will.
    """
    try:
        await ask(ref, _ActorStop(), timeout_s=timeout_s)
    except ActorDeadError:
        return False
    return True


def _send(ref: ActorRef[Any], message: Any, doorway: Doorway) -> None:
    if _has_open_reply_to(message):
        ref.tell(dataclasses.replace(message, reply_to=doorway))
    elif ref.is_alive():
        ref.actor_inbox.put(Envelope(message, reply_to=DoorwayFuture(doorway)))
    else:
        raise ActorDeadError(f"{ref} not found")


def _has_open_reply_to(message: Any) -> bool:
    return "reply_to" in getattr(type(message), "__dataclass_fields__", ()) and message.reply_to is None


def _scheduler_here(ref: ActorRef[Any]) -> Scheduler:
    """The actor's own scheduler, unless the caller waits in another loop than the actor's.

    A pykka actor has none; it runs in a thread, where no simulation could follow it anyway.
    """
    if isinstance(ref, LoopActorRef) and ref.runtime.scheduler.in_loop_thread():
        return ref.runtime.scheduler
    return LoopScheduler()
