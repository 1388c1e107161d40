"""Messages waiting for one actor, and the way in for those that come from other threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pykka import ActorDeadError, ActorRef
from pykka.messages import _ActorStop

from nepxy.engine.runtime.dead_letters import DeadLetterReason
from nepxy.engine.runtime.messages import ChildFailed, ChildStopped
from nepxy.engine.runtime.scheduler import SchedulerClosed

if TYPE_CHECKING:
    from pykka._envelope import Envelope

    from nepxy.engine.runtime.runtime import Runtime

__all__ = ["Mailbox", "MailboxFull", "MailboxOwner"]

# A parent that is too busy to hear of a death, or an actor too busy to be stopped, would be stuck for good.
UNLIMITED = (_ActorStop, ChildStopped, ChildFailed)


class MailboxFull(Exception):
    """The actor has `mailbox_max` messages waiting: slow down, or try again later."""


class MailboxOwner(Protocol):
    """The actor, as its mailbox sees it."""

    @property
    def runtime(self) -> Runtime:
        """Where turns are scheduled and dead letters go."""

    @property
    def actor_ref(self) -> ActorRef[Any]:
        """For error messages and labels."""

    def take_turn(self) -> None:
        """Handle a bounded number of messages, then call `end_turn`."""


class Mailbox:
    """An actor's inbox. Put from any thread; everything else only in the loop's thread.

    Asks for one turn when a message arrives and none is pending. Holds its actor until it closes, so
    that an actor lives as long as somebody can reach it; afterwards it turns everything away.
    """

    __slots__ = (
        "_envelopes",
        "_hopping_count",
        "_limit",
        "_owner",
        "_ref",
        "_runtime",
        "_turn_is_pending",
    )

    def __init__(self) -> None:
        # On demand, and let go when empty: an empty deque is 0.6 KB, and most payouts wait for hours.
        self._envelopes: deque[Envelope[Any]] | None = None
        self._hopping_count = 0
        self._limit: int | None = None
        self._owner: MailboxOwner | None = None
        # The first turn, which runs `on_start`, is scheduled by the actor itself.
        self._turn_is_pending = True

    def open(self, owner: MailboxOwner, *, limit: int | None) -> None:
        """Begin to accept messages, for `owner`.

        Args:
            owner: the actor.
            limit: messages that may wait; None: any number.
        """
        self._owner = owner
        self._runtime = owner.runtime
        self._ref = owner.actor_ref
        self._limit = limit

    @property
    def owner(self) -> MailboxOwner | None:
        """The actor; None after it has ended."""
        return self._owner

    @property
    def runtime(self) -> Runtime:
        """The runtime of the actor, also after it has ended."""
        return self._runtime

    @property
    def depth(self) -> int:
        """Messages that wait here; those on their way from other threads are not among them."""
        return len(self._envelopes) if self._envelopes is not None else 0

    def put(self, envelope: Envelope[Any], /) -> None:
        """Accept a message. From any thread; the messages of one thread keep their order.

        The limit counts messages on their way from other threads too; senders in different threads
        that meet exactly at the limit may exceed it, by one a thread.

        Raises:
            ActorDeadError: the actor has ended.
            MailboxFull: `limit` messages are waiting. Stops and news of children are always accepted.
        """
        if self._owner is None:
            raise ActorDeadError(f"{self._ref} not found")
        if not self._runtime.scheduler.in_loop_thread():
            self._hop(envelope)
            return
        if self._limit is not None:
            self._check_room(envelope, self._limit)
        self._append(envelope)

    def put_own(self, envelope: Envelope[Any]) -> None:
        """Accept what the actor arranged for itself: a timer's message, a task's answer.

        Not subject to the limit, because what the actor has running is its own to bound. If the actor
        has ended, the message is a dead letter.
        """
        if self._owner is None:
            self._runtime.refuse(envelope, ref=self._ref, reason=DeadLetterReason.ARRIVED_AFTER_STOP)
        else:
            self._append(envelope)

    def get(self) -> Envelope[Any]:
        """Take the oldest message.

        Raises:
            IndexError: there is none; this does not wait.
        """
        if self._envelopes is None:
            raise IndexError("the mailbox is empty")
        return self._envelopes.popleft()

    def empty(self) -> bool:
        """Whether no message waits here."""
        return not self._envelopes

    def end_turn(self) -> None:
        """Ask for the next turn if there is reason for one, or let go of the empty deque."""
        if self._owner is not None and self._envelopes:
            self._runtime.scheduler.call_soon(self._owner.take_turn)
        else:
            self._envelopes = None
            self._turn_is_pending = False

    def close(self) -> Iterable[Envelope[Any]]:
        """Accept nothing more, let go of the actor, and hand out what was left."""
        left, self._envelopes = self._envelopes, None
        self._owner = None
        return left or ()

    def _append(self, envelope: Envelope[Any]) -> None:
        if self._envelopes is None:
            self._envelopes = deque()
        self._envelopes.append(envelope)
        if not self._turn_is_pending and self._owner is not None:
            self._turn_is_pending = True
            self._runtime.scheduler.call_soon(self._owner.take_turn)

    def _hop(self, envelope: Envelope[Any]) -> None:
        if self._limit is not None:
            with self._runtime.hop_lock:
                self._check_room(envelope, self._limit)
                self._hopping_count += 1
        try:
            self._runtime.scheduler.call_soon_threadsafe(partial(self._arrive, envelope))
        except SchedulerClosed as error:
            raise ActorDeadError(f"{self._ref} not found: its event loop is closed") from error

    def _arrive(self, envelope: Envelope[Any]) -> None:
        if self._limit is not None:
            with self._runtime.hop_lock:
                self._hopping_count -= 1
        self.put_own(envelope)

    def _check_room(self, envelope: Envelope[Any], limit: int) -> None:
        if self.depth + self._hopping_count >= limit and not isinstance(envelope.message, UNLIMITED):
            raise MailboxFull(f"{self._ref} has {limit} messages waiting, its limit")
