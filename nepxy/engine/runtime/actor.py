"""`LoopActor`: a pykka actor that takes its turns on an event loop instead of owning a thread.

A thread costs 22 KB and a place in the process table; a payout that waits hours for a callback may
have neither. Handlers are plain functions: they never block and never await. Work that waits runs in a
coroutine that the actor owns, and comes back to it as a message (`pipe_to_self`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import traceback
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pykka import Actor, ActorDeadError, ActorRef

from nepxy.engine.runtime.dead_letters import DeadLetterReason
from nepxy.engine.runtime.future import LoopFuture
from nepxy.engine.runtime.mailbox import Mailbox
from nepxy.engine.runtime.messages import ChildFailed, ChildStopped
from nepxy.engine.runtime.pipe import Pipe, PipeBroken
from nepxy.engine.runtime.ref import LoopActorRef, StoppedFlag
from nepxy.engine.runtime.runtime import Runtime
from nepxy.engine.runtime.scheduler import Cancellable
from nepxy.engine.runtime.timer import MailboxTimer

if TYPE_CHECKING:
    from pykka._envelope import Envelope

__all__ = ["ActorDescription", "ActorState", "LoopActor"]

T = TypeVar("T")

LAST_ERROR_CHARS_MAX = 200

logger = logging.getLogger("nepxy.engine.runtime")

_serials = itertools.count(1)

# A CancelledError out of a plain function is no request to cancel anything (the handler looked into a
# cancelled future): a failure like any other, although it is no Exception.
_FAILURES = (Exception, asyncio.CancelledError)


class ActorState(StrEnum):
    """Where an actor is in its life."""

    STARTING = "starting"
    """`on_start` has not returned yet."""

    RUNNING = "running"
    """It handles messages."""

    STOPPED = "stopped"
    """It ended in order."""

    FAILED = "failed"
    """It ended by an exception."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorDescription:
    """One actor as an operator sees it, at one moment."""

    kind: str
    name: str | None
    state: ActorState
    mailbox_depth: int
    handled_count: int
    """Messages taken from the mailbox so far, pykka's own (a stop, a proxy's call) included."""

    last_error: str | None
    """The last exception of a handler or hook, asked or told: type and text, at most 200 characters."""

    doing: str = ""
    """What it is about, in words."""

    next_at: datetime | None = None
    """When it does something by itself; None: only when it is told to, or nobody says."""

    children: tuple[ActorDescription, ...] = ()
    """What it runs that is no actor of this loop, and only it knows of."""


class LoopActor(Actor):
    """An actor on an event loop; subclass it, and implement `on_receive` as a plain function.

    pykka's promises hold: one message at a time, in the order of each sender; `on_start` first; an
    exception in a told message ends the actor (`on_failure`), in an asked one it goes to the asker. Added
    to them: a parent hears how its child ended, even at birth; a told message that the actor did not live
    to handle is a dead letter; each message is handled in an empty `contextvars.Context` of its own, so
    bind log fields from the message.

    All hooks and helpers run in the loop's thread; `tell`, `ask` and `stop` on the ref from any.
    """

    __slots__ = (
        "_actor_ref",
        "_child_id",
        "_handled_count",
        "_last_error",
        "_parent",
        "_runtime",
        "_state",
        "_tasks",
        "_timers",
        "actor_inbox",
        "actor_stopped",
    )

    kind: ClassVar[str] = "actor"
    """The actor's label in metrics, from a closed set: `payout`, `provider`, …"""

    mailbox_max: ClassVar[int | None] = None
    """Messages that may wait; None: any number. What the actor sends to itself is always accepted."""

    actor_name: str | None = None
    """Its name in metrics. Only for the supervisor and the providers: unbounded labels are forbidden."""

    actor_inbox: Mailbox
    actor_stopped: StoppedFlag  # type: ignore[assignment]  # pykka says Event, and uses only these two methods
    _actor_ref: LoopActorRef[Any]

    def __init__(
        self, *, runtime: Runtime, parent: ActorRef[Any] | None = None, child_id: Hashable | None = None
    ) -> None:
        """Create the actor; `start` does this, and hands on its keyword arguments.

        Args:
            runtime: where it takes its turns.
            parent: told `ChildStopped` or `ChildFailed` at its end; None: nobody is.
            child_id: what the parent calls it.
        """
        # Not super().__init__: pykka's threading.Event and urn would more than double a small actor.
        self._runtime = runtime
        self._parent = parent
        self._child_id = child_id
        self._state = ActorState.STARTING
        self._handled_count = 0
        self._last_error: str | None = None
        self._timers: set[MailboxTimer] | None = None
        self._tasks: set[asyncio.Task[Any]] | None = None
        self.actor_inbox = self._create_actor_inbox()
        self.actor_stopped = StoppedFlag()
        self._actor_ref = LoopActorRef(self, serial=next(_serials))
        self.actor_inbox.open(self, limit=self.mailbox_max)

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> LoopActorRef[Self]:
        """Create an actor and schedule its first turn. From any thread.

        Unlike pykka's, it is not entered in `pykka.ActorRegistry`: that is a list, and each end would
        search all of it. Whoever starts actors keeps their refs.

        Args:
            args: none; here because pykka has it.
            kwargs: `runtime`, `parent`, `child_id`, and what the subclass's constructor takes.
        """
        actor = cls(*args, **kwargs)
        actor._start_actor_loop()
        return actor.actor_ref

    @property
    def actor_ref(self) -> LoopActorRef[Self]:
        """The actor's ref, to hand to others."""
        return self._actor_ref

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # pykka stores it; nobody ever sets it
        """Names the actor in logs; unique in this process, not beyond it."""
        return self._actor_ref.actor_urn

    @property
    def runtime(self) -> Runtime:
        """What this actor shares with all others on its loop."""
        return self._runtime

    def describe(self) -> ActorDescription:
        """The actor as an operator sees it, now."""
        return ActorDescription(
            kind=self.kind,
            name=self.actor_name,
            state=self._state,
            mailbox_depth=self.actor_inbox.depth,
            handled_count=self._handled_count,
            last_error=self._last_error,
            doing=self.doing(),
            next_at=self.next_at(),
            children=self.children(),
        )

    def doing(self) -> str:
        """What this actor is about now, in words. Called only when somebody looks."""
        return ""

    def next_at(self) -> datetime | None:
        """When it does something by itself."""
        return None

    def children(self) -> tuple[ActorDescription, ...]:
        """What it runs that only it knows of."""
        return ()

    def tell_later(self, delay_s: float, message: Any) -> Cancellable:
        """Put a message into the actor's own mailbox after `delay_s` seconds; not after the actor's end.

        Raises:
            ActorDeadError: the actor has ended (this is `on_stop` or `on_failure`).
        """
        self._require_alive()
        if self._timers is None:
            self._timers = set()
        return MailboxTimer(self.actor_inbox, delay_s=delay_s, message=message, pending=self._timers)

    def pipe_to_self(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        on_result: Callable[[T], Any],
        on_error: Callable[[BaseException], Any],
        name: str,
    ) -> asyncio.Task[T]:
        """Run a coroutine as a task of this actor; how it ends comes back as a message.

        The task is cancelled at the actor's end, and one that was cancelled sends nothing. If it ends
        otherwise after the actor did, its message is a dead letter. If a callable raises, the actor fails.

        Args:
            coro: may wait; must not touch the actor's state, because the actor goes on meanwhile.
            on_result: makes the message from the return value; runs between turns, so keep it pure.
            on_error: makes the message from the exception; likewise.
            name: the task's name, for debugging.

        Raises:
            ActorDeadError: the actor has ended (this is `on_stop` or `on_failure`); `coro` is closed unrun.
        """
        if self.actor_stopped.is_set():
            coro.close()
        self._require_alive()
        if self._tasks is None:
            self._tasks = set()
        task = self._runtime.scheduler.create_task(coro, name=name)
        self._tasks.add(task)
        pipe = Pipe(self.actor_inbox, on_result=on_result, on_error=on_error, owned=self._tasks)
        task.add_done_callback(pipe, context=Context())
        return task

    def take_turn(self) -> None:
        """Handle a bounded number of messages; the scheduler calls this, one turn after another."""
        runtime, mailbox = self._runtime, self.actor_inbox
        began_at_s = runtime.scheduler.monotonic()
        handled_count = 0
        try:
            if self._state is ActorState.STARTING:
                self._begin()
            while handled_count < runtime.turn_messages_max and not mailbox.empty():
                handled_count += 1
                self._handle(mailbox.get())
        finally:
            self._handled_count += handled_count
            mailbox.end_turn()
            duration_s = runtime.scheduler.monotonic() - began_at_s
            runtime.observe(
                runtime.observer.turn_taken,
                self.kind,
                self.actor_name,
                handled_count,
                duration_s,
                mailbox.depth,
            )

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    @staticmethod
    def _create_future() -> LoopFuture[Any]:
        return LoopFuture()

    def _start_actor_loop(self) -> None:
        scheduler = self._runtime.scheduler
        if scheduler.in_loop_thread():
            scheduler.call_soon(self.take_turn)
        else:
            scheduler.call_soon_threadsafe(self.take_turn)

    def _begin(self) -> None:
        self._runtime.observe(self._runtime.observer.actor_started, self.kind)
        try:
            Context().run(self.on_start)
        except _FAILURES as error:
            # As in pykka, no other hook runs: they may count on what on_start did not get to do.
            self._end(None, error)
        except BaseException as error:
            self._end(None, error)
            raise
        else:
            self._state = ActorState.RUNNING

    def _handle(self, envelope: Envelope[Any]) -> None:
        message, reply_to = envelope.message, envelope.reply_to
        try:
            response = Context().run(self._handle_receive, message)
        except _FAILURES as error:
            if reply_to is not None:
                self._last_error = _error_text(error)
                reply_to.set_exception((type(error), error, error.__traceback__))
            else:
                self._end(partial(self.on_failure, type(error), error, error.__traceback__), error)
                self._runtime.fail_reply(message, self._death_by(error))
        except BaseException as error:
            # KeyboardInterrupt and its like: the process is to end, and the loop must hear of it.
            if not self.actor_stopped.is_set():
                self._end(self.on_stop, error)
            if reply_to is not None:
                dead = self._death_by(error)
                reply_to.set_exception((ActorDeadError, dead, None))
            self._runtime.fail_reply(message, self._death_by(error))
            raise
        else:
            if reply_to is not None:
                reply_to.set(response)

    def _handle_receive(self, message: Any) -> Any:
        # pykka's own messages (a stop, a proxy's calls) are named tuples: nothing else needs a closer look.
        if not isinstance(message, tuple):
            return self.on_receive(message)
        if isinstance(message, PipeBroken):
            raise message.error
        return super()._handle_receive(message)

    def _stop(self) -> None:
        self._end(self.on_stop, None)

    def _end(self, hook: Callable[[], None] | None, error: BaseException | None) -> None:
        """End the actor's life: the hook, then its timers, tasks and mail, then its parent.

        Args:
            hook: runs first, when the actor already counts as dead.
            error: what it died of; None: it stops in order. What the hook of an orderly stop raises is
                a failure too.
        """
        self.actor_stopped.set()
        try:
            if hook is not None:
                Context().run(hook)
        except _FAILURES as hook_error:
            if error is not None:
                logger.exception("actor.cleanup_failed", extra=self._log_fields())
            error = error or hook_error
        except BaseException as hook_error:
            error = error or hook_error
            raise
        finally:
            self._state = ActorState.STOPPED if error is None else ActorState.FAILED
            self._cancel_own_work()
            self._refuse_mail()
            self._report_end(error)

    def _cancel_own_work(self) -> None:
        for timer in tuple(self._timers or ()):
            timer.cancel()
        for task in tuple(self._tasks or ()):
            task.cancel()

    def _refuse_mail(self) -> None:
        stopped = self._state is ActorState.STOPPED
        reason = DeadLetterReason.QUEUED_AT_STOP if stopped else DeadLetterReason.QUEUED_AT_FAILURE
        for envelope in self.actor_inbox.close():
            self._runtime.refuse(envelope, ref=self._actor_ref, reason=reason)

    def _report_end(self, error: BaseException | None) -> None:
        runtime, ref, child_id = self._runtime, self._actor_ref, self._child_id
        notice: ChildStopped | ChildFailed
        if error is None:
            runtime.observe(runtime.observer.actor_stopped, self.kind)
            notice = ChildStopped(child_id=child_id, ref=ref)
        else:
            self._last_error = _error_text(error)
            logger.error("actor.failed", exc_info=error, extra=self._log_fields())
            runtime.observe(runtime.observer.actor_failed, self.kind, error)
            notice = ChildFailed(child_id=child_id, ref=ref, error=error)
        if self._parent is not None:
            runtime.tell_or_dead_letter(self._parent, notice)

    def _require_alive(self) -> None:
        if self.actor_stopped.is_set():
            raise ActorDeadError(f"{self._actor_ref} has stopped")

    def _death_by(self, error: BaseException) -> ActorDeadError:
        dead = ActorDeadError(f"{self._actor_ref} died while handling the message")
        dead.__cause__ = error
        return dead

    def _log_fields(self) -> dict[str, str | None]:
        return {"kind": self.kind, "actor": self.actor_name or self.actor_urn}


def _error_text(error: BaseException) -> str:
    """Type and text of an exception, even of one whose text cannot be made."""
    return "".join(traceback.format_exception_only(error)).strip()[:LAST_ERROR_CHARS_MAX]
