"""Actors that do what their messages say, and ways to wait for what they did."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Protocol, TypeVar

import pykka

from nepxy.engine.runtime import DeadLetterReason, LoopActor, LoopActorRef, ReplyTo

R = TypeVar("R")

PATIENCE_S = 30.0
"""How long a test waits for what must happen before it calls it a failure; never how long a test takes."""


class Witness:
    """Notes what actors did, from any thread, and lets a test wait for it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self._loop = asyncio.get_running_loop()
        self._noted = asyncio.Event()
        self._lock = threading.Lock()

    def note(self, what: Any) -> None:
        with self._lock:
            self.seen.append(what)
        self._loop.call_soon_threadsafe(self._noted.set)

    async def until(self, is_enough: Callable[[list[Any]], bool]) -> list[Any]:
        async with asyncio.timeout(PATIENCE_S):
            while not is_enough(self.seen):
                self._noted.clear()
                await self._noted.wait()
        return self.seen

    async def until_seen(self, what: Any) -> list[Any]:
        return await self.until(lambda seen: what in seen)


@dataclass(frozen=True, slots=True)
class Do:
    """Run this in the handler, with the actor as its argument, and answer what it returns."""

    what: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Answered through `reply_to`, by whatever `answer` does with it; kept by the actor otherwise."""

    answer: Callable[[ReplyTo], None] | None = None
    reply_to: ReplyTo | None = None


class Performer(pykka.Actor):
    """Does what it is told, and notes all that happens to it. Mixed into both kinds of actor."""

    def __init__(
        self, *args: Any, witness: Witness, on_start: Callable[[], None] | None = None, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self.witness = witness
        self.questions: list[Question] = []
        self._start_hook = on_start

    def on_start(self) -> None:
        self.witness.note("started")
        if self._start_hook is not None:
            self._start_hook()

    def on_stop(self) -> None:
        self.witness.note("stopped")

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert exception_type is type(exception_value)
        self.witness.note(("failed", exception_value))

    def on_receive(self, message: Any) -> Any:
        match message:
            case Do(what=what):
                return what(self)
            case Question(answer=None):
                self.questions.append(message)
            case Question(answer=answer, reply_to=reply_to):
                assert answer is not None
                assert reply_to is not None
                answer(reply_to)
            case _:
                self.witness.note(message)
        return None


class LoopPerformer(Performer, LoopActor):
    kind: ClassVar[str] = "performer"


class ThreadPerformer(Performer, pykka.ThreadingActor):
    use_daemon_thread: ClassVar[bool] = True


class SmallMailbox(LoopPerformer):
    mailbox_max: ClassVar[int | None] = 2


class Recorder:
    """A `RuntimeObserver` that keeps everything."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.failed: list[tuple[str, BaseException]] = []
        self.turns: list[tuple[str, str | None, int, float, int]] = []
        self.dead: list[tuple[str, DeadLetterReason, Any]] = []

    def actor_started(self, kind: str) -> None:
        self.started.append(kind)

    def actor_stopped(self, kind: str) -> None:
        self.stopped.append(kind)

    def actor_failed(self, kind: str, error: BaseException) -> None:
        self.failed.append((kind, error))

    def turn_taken(
        self, kind: str, name: str | None, messages: int, duration_s: float, mailbox_depth: int
    ) -> None:
        self.turns.append((kind, name, messages, duration_s, mailbox_depth))

    def dead_letter(self, kind: str, reason: DeadLetterReason, message: Any) -> None:
        self.dead.append((kind, reason, message))


class SpawnLoop(Protocol):
    """Starts a `LoopPerformer`, or the subclass given."""

    def __call__(self, cls: type[LoopPerformer] = ..., /, **kwargs: Any) -> LoopActorRef[LoopPerformer]: ...


class SpawnAny(Protocol):
    """Starts a performer of the kind that the test is run for."""

    def __call__(self, **kwargs: Any) -> pykka.ActorRef[Any]: ...


async def in_thread(work: Callable[[], R]) -> R:
    """Run `work` in another thread, and wait for it without blocking the loop."""
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.to_thread(work)


async def a_loop_round() -> None:
    """Let everything that is ready now, and what it made ready, have its go."""
    for _ in range(5):
        await asyncio.sleep(0)


def explode(error: BaseException) -> Callable[..., Any]:
    def raise_it(*_: Any) -> Any:
        raise error

    return raise_it
