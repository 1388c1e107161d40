"""Virtual time and seeded turns: the world in which whole engines run, crash and freeze, repeatably.

A `World` owns one queue of ready callbacks and one heap of timers. It picks the next callback at random from
its seed, and when none is ready it jumps to the next timer: an hour costs nothing, and every order of events
that a real machine could produce can come up. A `Node` is one process in it: an event loop and a `Scheduler`
of its own. Killing a node means that none of its callbacks ever runs again, whatever it was awaiting.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final, TypeVar

from nepxy.engine.runtime.scheduler import Cancellable

T = TypeVar("T")

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Handle:
    """One callback to come; also what `call_later` returns."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "node")

    def __init__(
        self, node: Node | None, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self.node = node
        self.callback = callback
        self.args = args
        self.context = context if context is not None else Context()
        self.is_cancelled = False

    def cancel(self) -> None:
        """Keep it from happening."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Whether it will not happen."""
        return self.is_cancelled


class World:
    """Time, chance, and whose turn it is."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.steps = 0
        """Callbacks run so far."""
        self.before_step: Callable[[Node], None] | None = None
        """Called before each callback of a node: where a fault injector kills or freezes."""
        self.errors: list[str] = []
        """What no callback may end with: exceptions that nobody handled."""
        self.trace: list[tuple[float, str]] = []
        """Virtual second and line: the story of the run, for whoever replays it."""
        self.nodes: list[Node] = []
        self._now_s = 0.0
        self._ready: list[Handle] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._ties = count()
        self.loop = SimLoop(self, None)
        """The loop of those who never crash: clients, providers, the network."""

    # ---- time and chance ---------------------------------------------------------------------------

    def now(self) -> datetime:
        """The true time: aware, UTC."""
        return BEGIN + timedelta(seconds=self._now_s)

    def monotonic(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now_s

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.rng.random() < probability

    def new_id(self) -> str:
        """A UUIDv4 text from the seed."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def note(self, text: str) -> None:
        """A line of the story."""
        self.trace.append((self._now_s, text))

    # ---- callbacks ---------------------------------------------------------------------------------

    def node(self, name: str, *, clock_offset_s: float = 0.0) -> Node:
        """A new process."""
        made = Node(self, name, clock_offset_s=clock_offset_s)
        self.nodes.append(made)
        return made

    def call_soon(self, callback: Callable[[], Any]) -> Cancellable:
        """Run it soon, outside of every process."""
        return self.schedule(Handle(None, callback, (), None))

    def call_later(self, delay_s: float, callback: Callable[[], Any]) -> Cancellable:
        """Run it later, outside of every process."""
        return self.schedule(Handle(None, callback, (), None), delay_s)

    def spawn(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine outside of every process."""
        return self.loop.create_task(coro)

    async def sleep(self, delay_s: float) -> None:
        """Wait, outside of every process."""
        await self.loop.sleep(delay_s)

    def schedule(self, handle: Handle, delay_s: float = 0.0) -> Handle:
        """Enter a callback; whose it is stands in the handle."""
        if delay_s <= 0:
            self._ready.append(handle)
        else:
            heapq.heappush(self._timers, (self._now_s + delay_s, next(self._ties), handle))
        return handle

    def close(self) -> None:
        """Nothing runs any more: let go of what was still awaiting something, without a word from Python."""
        for loop in (self.loop, *(node.loop for node in self.nodes)):
            loop.close()

    # ---- running -----------------------------------------------------------------------------------

    def run_for(self, duration_s: float) -> None:
        """Let so many virtual seconds pass."""
        self._run(until_s=self._now_s + duration_s, predicate=None)

    def run_until(self, predicate: Callable[[], bool], *, within_s: float) -> bool:
        """Go on until the predicate holds; False: it did not, within so many virtual seconds."""
        return self._run(until_s=self._now_s + within_s, predicate=predicate)

    def _run(self, *, until_s: float, predicate: Callable[[], bool] | None) -> bool:
        with _no_loop_of_ours():
            while True:
                if predicate is not None and predicate():
                    return True
                if self._ready:
                    self._step(self._pick())
                elif self._timers and self._timers[0][0] <= until_s:
                    self._advance(self._timers[0][0])
                else:
                    self._now_s = until_s
                    return predicate is not None and predicate()

    def _pick(self) -> Handle:
        """Any of those that are ready: whatever no mailbox and no `await` orders may happen in any order."""
        ready = self._ready
        chosen = self.rng.randrange(len(ready)) if len(ready) > 1 else 0
        ready[chosen], ready[-1] = ready[-1], ready[chosen]
        return ready.pop()

    def _advance(self, to_s: float) -> None:
        self._now_s = max(self._now_s, to_s)
        timers, ready = self._timers, self._ready
        while timers and timers[0][0] <= self._now_s:
            handle = heapq.heappop(timers)[2]
            if not handle.is_cancelled:
                ready.append(handle)

    def _step(self, handle: Handle) -> None:
        node = handle.node
        if handle.is_cancelled:
            return
        if node is not None:
            if node.alive and not node.frozen and self.before_step is not None:
                self.before_step(node)
            if not node.alive:
                return
            if node.frozen:
                node.backlog.append(handle)
                return
        self.steps += 1
        loop = self.loop if node is None else node.loop
        running: Any = loop
        asyncio._set_running_loop(running)
        try:
            handle.context.run(handle.callback, *handle.args)
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            raise
        finally:
            asyncio._set_running_loop(None)


class Node:
    """One process: its loop, its clock, its life."""

    def __init__(self, world: World, name: str, *, clock_offset_s: float) -> None:
        self.world = world
        self.name = name
        self.clock_offset_s = clock_offset_s
        """How wrong its wall clock is."""
        self.alive = True
        self.frozen = False
        self.backlog: list[Handle] = []
        """What will run once it thaws."""
        self.owner: Any = None
        """What runs in it, for those who come from one of its actors."""
        self.loop = SimLoop(world, self)
        self.scheduler = NodeScheduler(self)

    def crash(self) -> None:
        """SIGKILL: nothing of it runs any more."""
        self.alive = False
        self.backlog.clear()
        self.world.note(f"{self.name} is killed")

    def freeze(self, duration_s: float) -> None:
        """SIGSTOP, a swapping machine, a paused VM: nothing of it runs until it thaws; its clocks go on."""
        if not self.frozen:
            self.frozen = True
            self.world.note(f"{self.name} freezes for {duration_s:.1f} s")
            self.world.call_later(duration_s, self._thaw)

    def _thaw(self) -> None:
        self.frozen = False
        self.world.note(f"{self.name} thaws")
        for handle in self.backlog:
            self.world.schedule(handle)
        self.backlog = []

    def create_future(self) -> asyncio.Future[Any]:
        """A future that a task of this process may await; anybody may resolve it."""
        return self.loop.create_future()

    async def sleep(self, delay_s: float) -> None:
        """Wait, in a task of this process."""
        await self.loop.sleep(delay_s)


class NodeScheduler:
    """`nepxy.engine.runtime.scheduler.Scheduler` on virtual time."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._world = node.world

    def now(self) -> datetime:
        """What this process believes the time to be."""
        return self._world.now() + timedelta(seconds=self.node.clock_offset_s)

    def monotonic(self) -> float:
        """Seconds since the beginning of the world; goes on while the process is frozen."""
        return self._world.monotonic()

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run it soon, if the process still lives."""
        self._world.schedule(Handle(self.node, callback, (), None))

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        """There is only one thread."""
        self._world.schedule(Handle(self.node, callback, (), None))

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Cancellable:
        """Run it later, if the process still lives."""
        return self._world.schedule(Handle(self.node, callback, (), None), delay_s)

    def create_task(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run a coroutine in this process."""
        return self.node.loop.create_task(coro, name=name, context=Context())

    def in_loop_thread(self) -> bool:
        """Always: there is only one."""
        return True


class SimLoop:
    """As much of an event loop as tasks and futures need, on the world's queue."""

    def __init__(self, world: World, node: Node | None) -> None:
        self._world = world
        self._node = node
        # Held until the end of the run: collected earlier, a dead process's coroutines would run their `finally`.
        self._tasks: list[asyncio.Task[Any]] = []

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As asyncio's."""
        return self._world.schedule(Handle(self._node, callback, args, context))

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As asyncio's."""
        return self._world.schedule(Handle(self._node, callback, args, context))

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As asyncio's."""
        return self._world.schedule(Handle(self._node, callback, args, context), delay)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As asyncio's."""
        return self.call_later(when - self.time(), callback, *args, context=context)

    def time(self) -> float:
        """Virtual seconds."""
        return self._world.monotonic()

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        loop: Any = self
        return asyncio.Future(loop=loop)

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """A task of this loop."""
        loop: Any = self
        task: Any = asyncio.Task(coro, loop=loop, name=name, context=context)
        task._log_destroy_pending = False  # a killed process leaves tasks behind
        self._tasks.append(task)
        own: asyncio.Task[T] = task
        return own

    async def sleep(self, delay_s: float) -> None:
        """Wait; the timer is the world's, so that a frozen process finds it fired when it thaws."""
        waiter = self.create_future()
        self._world.call_later(delay_s, lambda: None if waiter.done() else waiter.set_result(None))
        await waiter

    def close(self) -> None:
        """End what never will."""
        for task in self._tasks:
            if task.done():
                # Of a killed process: nobody is left to hear of it.
                _ = task.cancelled() or task.exception()
            else:
                coroutine: Any = task.get_coro()
                coroutine.close()
        self._tasks.clear()

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """While anybody asks, yes."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nobody handled it: the run has failed."""
        self._world.errors.append(f"{context.get('message')}: {context.get('exception')!r}")


@contextmanager
def _no_loop_of_ours() -> Iterator[None]:
    """Callbacks find the loop of their own process running; afterwards the caller finds its own again."""
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)
