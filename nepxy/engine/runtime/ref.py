"""The handle by which everybody else knows an actor on the event loop."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pykka import ActorDeadError, ActorRef
from pykka._envelope import Envelope

from nepxy.engine.runtime.future import LoopFuture
from nepxy.engine.runtime.mailbox import Mailbox, MailboxFull

if TYPE_CHECKING:
    from nepxy.engine.runtime.actor import ActorDescription, LoopActor
    from nepxy.engine.runtime.runtime import Runtime

__all__ = ["LoopActorRef", "StoppedFlag"]

A = TypeVar("A", bound="LoopActor")


class StoppedFlag:
    """The two methods of `threading.Event` that pykka needs; the event itself would be half of an actor's memory."""

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        """Whether the actor has ended. From any thread."""
        return self._is_set

    def set(self) -> None:
        """The actor has ended."""
        self._is_set = True


class LoopActorRef(ActorRef[A]):
    """A pykka ref to a `LoopActor`: safe to pass around, and to use from any thread.

    While the actor lives, its refs keep it in memory; one that nobody refers to, and that has no
    timer, task or turn pending, is collected without `on_stop`. After its end a ref holds only the
    fact of it.
    """

    __slots__ = ("_serial", "actor_class", "actor_inbox", "actor_stopped")

    actor_inbox: Mailbox
    actor_stopped: StoppedFlag  # type: ignore[assignment]  # pykka says Event, and uses only these two methods

    def __init__(self, actor: A, *, serial: int) -> None:
        """Refer to an actor; `serial` is unique in this process."""
        # Not super().__init__: it would store what this class computes, per actor.
        self._serial = serial
        self.actor_class = actor.__class__
        self.actor_inbox = actor.actor_inbox
        self.actor_stopped = actor.actor_stopped

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # pykka stores it; nobody ever sets it
        """Names the actor in logs; unique in this process, not beyond it."""
        return f"urn:nepxy:actor:{self._serial}"

    @property
    def runtime(self) -> Runtime:
        """The runtime in which the actor lives or lived."""
        return self.actor_inbox.runtime

    def tell(self, message: Any) -> None:
        """Send a message without waiting for anything. From any thread; never blocks.

        Raises:
            ActorDeadError: the actor has ended.
            MailboxFull: its mailbox is at the limit.
        """
        if self.actor_stopped.is_set():
            raise ActorDeadError(f"{self} not found")
        self.actor_inbox.put(Envelope(message))

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send a message and wait for what its handler returns or raises.

        In the loop's own thread use `nepxy.engine.runtime.ask`, which does not block.

        Args:
            message: of any type.
            block: False: return a future at once.
            timeout: seconds to wait if blocking; None: as long as it takes.

        Returns:
            the handler's return value if blocking, else a `pykka.Future` of it.

        Raises:
            RuntimeError: blocking, in the loop's own thread; nothing was sent.
            pykka.Timeout: blocking, and there was no answer in time.
            Exception: blocking, and it is the answer: the handler's own, `ActorDeadError` or
                `MailboxFull`. The future has it otherwise.
        """
        if block:
            self._refuse_to_block()
        future: LoopFuture[Any] = LoopFuture()
        future.scheduler = self.runtime.scheduler
        try:
            if self.actor_stopped.is_set():
                raise ActorDeadError(f"{self} not found")
            self.actor_inbox.put(Envelope(message, reply_to=future))
        except (ActorDeadError, MailboxFull):
            future.set_exception()
        return future.get(timeout=timeout) if block else future

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """Ask the actor to stop when it has handled what was sent before; see `pykka.ActorRef.stop`.

        In the loop's own thread use `block=False`, or `nepxy.engine.runtime.stop_and_wait`.

        Args:
            block: False: return a future at once.
            timeout: seconds to wait if blocking; None: as long as it takes.

        Returns:
            whether it was alive, if blocking; else a `pykka.Future` of that.

        Raises:
            RuntimeError: blocking, in the loop's own thread; nothing was sent.
            pykka.Timeout: blocking, and it did not stop in time.
        """
        if block:
            self._refuse_to_block()
        return super().stop(block=block, timeout=timeout)

    def describe(self) -> ActorDescription:
        """The actor as an operator sees it. Only from the loop's own thread.

        Raises:
            ActorDeadError: the actor has ended.
        """
        return self._living_actor().describe()

    @property
    def _actor_weakref(self) -> Callable[[], A | None]:  # type: ignore[override]  # computed: read by proxies only
        try:
            return weakref.ref(self._living_actor())
        except ActorDeadError:
            return lambda: None

    def _living_actor(self) -> A:
        owner = self.actor_inbox.owner
        if owner is None:
            raise ActorDeadError(f"{self} not found")
        return owner  # type: ignore[return-value]  # the mailbox knows its owner only by the methods it calls

    def _refuse_to_block(self) -> None:
        if self.runtime.scheduler.in_loop_thread():
            raise RuntimeError(
                f"a blocking call to {self} in the event loop's own thread would never return: "
                "use `await nepxy.engine.runtime.ask(...)`, or block=False"
            )
