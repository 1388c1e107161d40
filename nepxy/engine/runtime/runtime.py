"""What all actors of one event loop share: the scheduler, the limits, and the ears for what goes wrong."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from pykka import ActorDeadError, ActorRef
from pykka.messages import _ActorStop

from nepxy.engine.runtime.dead_letters import DeadLetterCounts, DeadLetterReason
from nepxy.engine.runtime.mailbox import MailboxFull
from nepxy.engine.runtime.observer import NullObserver, RuntimeObserver
from nepxy.engine.runtime.scheduler import Scheduler

if TYPE_CHECKING:
    from pykka._envelope import Envelope

__all__ = ["Runtime"]

P = ParamSpec("P")

logger = logging.getLogger("nepxy.engine.runtime")


class Runtime:
    """Given to every actor at its start, by whoever composes the process. Knows no actor by itself."""

    __slots__ = ("dead_letters", "hop_lock", "observer", "scheduler", "turn_messages_max")

    def __init__(
        self, *, scheduler: Scheduler, observer: RuntimeObserver | None = None, turn_messages_max: int = 64
    ) -> None:
        """Bind actors to a scheduler.

        Args:
            scheduler: where they take their turns, and the only clock that they read.
            observer: hears of starts, ends, turns and dead letters; None: nobody does.
            turn_messages_max: messages that an actor may handle before others get a turn; 1 or more.

        Raises:
            ValueError: `turn_messages_max` is below 1, and no message would ever be handled.
        """
        if turn_messages_max < 1:
            raise ValueError(f"turn_messages_max is {turn_messages_max}: give 1 or more")
        self.scheduler = scheduler
        self.observer: RuntimeObserver = NullObserver() if observer is None else observer
        self.turn_messages_max = turn_messages_max
        self.dead_letters = DeadLetterCounts()
        self.hop_lock = threading.Lock()
        """Guards the counts of messages on their way from other threads; one lock, because it is rarely taken."""

    def tell_or_dead_letter(self, ref: ActorRef[Any], message: Any) -> bool:
        """Tell, for a sender that does not care whether anybody is there. From any thread.

        Returns:
            False: the actor has ended or its mailbox is full; the message was counted as a dead letter,
            and its `reply_to`, if it has one, was failed.
        """
        try:
            ref.tell(message)
        except ActorDeadError as error:
            self.dead_letter(kind_of(ref), DeadLetterReason.TOLD_AFTER_STOP, message)
            self.fail_reply(message, error)
            return False
        except MailboxFull as error:
            self.dead_letter(kind_of(ref), DeadLetterReason.MAILBOX_FULL, message)
            self.fail_reply(message, error)
            return False
        return True

    def dead_letter(self, kind: str, reason: DeadLetterReason, message: Any) -> None:
        """Count and log a told message that reached nobody. From any thread.

        The log line names the message's type only: what it says may be personal.
        """
        self.dead_letters.count(kind, reason)
        logger.warning(
            "message.dead_lettered",
            extra={"kind": kind, "reason": str(reason), "message_type": type(message).__name__},
        )
        self.observe(self.observer.dead_letter, kind, reason, message)

    def refuse(self, envelope: Envelope[Any], *, ref: ActorRef[Any], reason: DeadLetterReason) -> None:
        """Dispose of a message that an actor accepted and, having ended, will not handle.

        Whoever waits for it hears of it: an asker gets `ActorDeadError`, a stop counts as done, and
        only what was told is a dead letter.
        """
        message, reply_to = envelope.message, envelope.reply_to
        if isinstance(message, _ActorStop):
            if reply_to is not None:
                reply_to.set(None)
            return
        error = ActorDeadError(f"{ref} stopped before handling the message")
        if reply_to is not None:
            reply_to.set_exception((ActorDeadError, error, None))
        else:
            self.dead_letter(kind_of(ref), reason, message)
            self.fail_reply(message, error)

    def fail_reply(self, message: Any, error: BaseException) -> None:
        """Fail the `reply_to` of a message that will not be answered, if it has one that can fail.

        An actor's ref as `reply_to` takes answers but no failures: inside the tree time-outs are the
        sender's own.
        """
        fail = getattr(getattr(message, "reply_to", None), "fail", None)
        if fail is None:
            return
        try:
            fail(error)
        except Exception:
            # One asker's trouble must not keep the others from hearing.
            logger.exception("reply.failed", extra={"message_type": type(message).__name__})

    def observe(self, report: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Report to the observer; a metric that cannot be written never harms an actor."""
        try:
            report(*args, **kwargs)
        except Exception:
            logger.exception("observer.failed")


def kind_of(ref: ActorRef[Any]) -> str:
    """The metrics label of an actor; pykka's own actors have none and go by their class, of which there are few."""
    return str(getattr(ref.actor_class, "kind", ref.actor_class.__name__))
