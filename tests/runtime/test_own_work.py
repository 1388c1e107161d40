"""Timers and tasks of an actor: they come back as messages, and end with the actor."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

import pytest

from nepxy.engine.runtime import (
    ActorDeadError,
    Cancellable,
    ChildFailed,
    DeadLetterReason,
    LoopScheduler,
    Runtime,
    ask,
    stop_and_wait,
)
from tests.runtime.support import (
    PATIENCE_S,
    Do,
    LoopPerformer,
    Recorder,
    SmallMailbox,
    SpawnLoop,
    Witness,
    a_loop_round,
    explode,
)

T = TypeVar("T")


class HandTimer:
    def __init__(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.delay_s = delay_s
        self.fire = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class HandScheduler:
    """The real loop, with timers that fire when the test says so."""

    def __init__(self) -> None:
        self._real = LoopScheduler()
        self.timers: list[HandTimer] = []

    def now(self) -> datetime:
        return self._real.now()

    def monotonic(self) -> float:
        return self._real.monotonic()

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._real.call_soon(callback)

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        self._real.call_soon_threadsafe(callback)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Cancellable:
        self.timers.append(HandTimer(delay_s, callback))
        return self.timers[-1]

    def create_task(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        return self._real.create_task(coro, name=name)

    def in_loop_thread(self) -> bool:
        return self._real.in_loop_thread()


@pytest.fixture
async def scheduler(runtime: Runtime) -> HandScheduler:
    hand = HandScheduler()
    runtime.scheduler = hand
    return hand


async def test_a_timers_message_comes_after_its_delay(
    spawn: SpawnLoop, scheduler: HandScheduler, witness: Witness
) -> None:
    spawn().tell(Do(lambda actor: actor.tell_later(90.0, "due")))
    await a_loop_round()
    assert [timer.delay_s for timer in scheduler.timers] == [90.0]
    assert "due" not in witness.seen

    scheduler.timers[0].fire()

    await witness.until_seen("due")


async def test_real_timers_fire_in_order(spawn: SpawnLoop, witness: Witness) -> None:
    def set_timers(actor: LoopPerformer) -> None:
        actor.tell_later(0.02, "second")
        actor.tell_later(0.01, "first")

    spawn().tell(Do(set_timers))

    assert await witness.until_seen("second") == ["started", "first", "second"]


async def test_what_an_actor_sends_to_itself_finds_room_in_a_full_mailbox(
    spawn: SpawnLoop, scheduler: HandScheduler, witness: Witness
) -> None:
    ref = spawn(SmallMailbox)
    ref.tell(Do(lambda actor: actor.tell_later(90.0, "due")))
    await a_loop_round()
    ref.tell(1)
    ref.tell(2)

    scheduler.timers[0].fire()

    assert ref.describe().mailbox_depth == 3
    await witness.until_seen("due")


async def test_a_cancelled_timer_sends_nothing_and_may_be_cancelled_again(
    spawn: SpawnLoop, scheduler: HandScheduler
) -> None:
    ref = spawn()
    timer = await ask(ref, Do(lambda actor: actor.tell_later(90.0, "never")), timeout_s=PATIENCE_S)
    (hand,) = [hand for hand in scheduler.timers if hand.delay_s == 90.0]

    timer.cancel()
    timer.cancel()

    assert hand.is_cancelled
    assert await ask(ref, Do(lambda actor: len(actor._timers)), timeout_s=PATIENCE_S) == 0


@pytest.mark.parametrize(
    "end", [lambda actor: actor.stop(), explode(ValueError("poison"))], ids=["stop", "failure"]
)
async def test_pending_timers_end_with_the_actor(
    spawn: SpawnLoop, scheduler: HandScheduler, runtime: Runtime, end: Callable[[Any], None]
) -> None:
    ref = spawn()
    ref.tell(Do(lambda actor: [actor.tell_later(90.0, "never"), actor.tell_later(91.0, "never")]))
    ref.tell(Do(end))

    await a_loop_round()

    assert not ref.is_alive()
    assert [timer.is_cancelled for timer in scheduler.timers] == [True, True]
    assert runtime.dead_letters.total == 0


async def test_a_timer_that_fired_is_forgotten(spawn: SpawnLoop, scheduler: HandScheduler) -> None:
    ref = spawn()
    ref.tell(Do(lambda actor: actor.tell_later(90.0, "due")))
    await a_loop_round()
    scheduler.timers[0].fire()

    assert await ask(ref, Do(lambda actor: len(actor._timers)), timeout_s=PATIENCE_S) == 0


async def test_a_stopping_actor_can_arrange_nothing_more(spawn: SpawnLoop, witness: Witness) -> None:
    async def work() -> None:
        witness.note("work ran")

    class Busy(LoopPerformer):
        def on_stop(self) -> None:
            with pytest.raises(ActorDeadError):
                self.tell_later(1.0, "never")
            with pytest.raises(ActorDeadError):
                self.pipe_to_self(work(), on_result=repr, on_error=repr, name="work")
            self.witness.note("was refused")

    await stop_and_wait(spawn(Busy), timeout_s=PATIENCE_S)
    await a_loop_round()

    assert "was refused" in witness.seen
    assert "work ran" not in witness.seen


async def test_the_result_of_a_task_comes_back_as_a_message(spawn: SpawnLoop, witness: Witness) -> None:
    async def call_provider() -> int:
        await asyncio.sleep(0)
        return 202

    def call(actor: LoopPerformer) -> None:
        actor.pipe_to_self(
            call_provider(), on_result=lambda status: ("answered", status), on_error=repr, name="call"
        )

    ref = spawn()
    ref.tell(Do(call))

    await witness.until_seen(("answered", 202))
    assert await ask(ref, Do(lambda actor: len(actor._tasks)), timeout_s=PATIENCE_S) == 0


async def test_the_exception_of_a_task_comes_back_as_a_message(spawn: SpawnLoop, witness: Witness) -> None:
    error = ConnectionResetError("reset")

    async def call_provider() -> int:
        await asyncio.sleep(0)
        raise error

    def call(actor: LoopPerformer) -> None:
        actor.pipe_to_self(
            call_provider(), on_result=repr, on_error=lambda error: ("reset", error), name="call"
        )

    ref = spawn()
    ref.tell(Do(call))

    await witness.until_seen(("reset", error))
    assert ref.is_alive()


async def test_a_cancelled_task_sends_nothing(spawn: SpawnLoop, witness: Witness) -> None:
    async def wait_for_ever() -> None:
        await asyncio.Future()

    def start(actor: LoopPerformer) -> asyncio.Task[None]:
        return actor.pipe_to_self(
            wait_for_ever(),
            on_result=lambda _: "sent a result",
            on_error=lambda _: "sent an error",
            name="wait",
        )

    ref = spawn()
    never_begun: asyncio.Task[None] = await ask(ref, Do(start), timeout_s=PATIENCE_S)
    never_begun.cancel()
    begun: asyncio.Task[None] = await ask(ref, Do(start), timeout_s=PATIENCE_S)
    await a_loop_round()
    begun.cancel()
    await asyncio.wait([never_begun, begun], timeout=PATIENCE_S)

    assert await ask(ref, Do(lambda actor: len(actor._tasks)), timeout_s=PATIENCE_S) == 0
    assert witness.seen == ["started"]


async def test_a_task_that_others_gave_up_is_an_error_and_not_silence(
    spawn: SpawnLoop, witness: Witness
) -> None:
    """Nobody cancelled the task; a future inside it was cancelled by someone else."""
    inner: asyncio.Future[None] = asyncio.Future()

    async def wait_for_inner() -> None:
        await inner

    def start(actor: LoopPerformer) -> None:
        actor.pipe_to_self(
            wait_for_inner(), on_result=repr, on_error=lambda error: type(error), name="wait for inner"
        )

    spawn().tell(Do(start))
    await a_loop_round()
    inner.cancel()

    await witness.until_seen(asyncio.CancelledError)


async def test_tasks_are_cancelled_at_the_actors_end(
    spawn: SpawnLoop, runtime: Runtime, witness: Witness
) -> None:
    async def wait_for_ever() -> None:
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            witness.note("cancelled")
            raise

    ref = spawn()
    ref.tell(
        Do(lambda actor: actor.pipe_to_self(wait_for_ever(), on_result=repr, on_error=repr, name="wait"))
    )
    await a_loop_round()
    ref.stop(block=False)

    await witness.until_seen("cancelled")
    await a_loop_round()
    assert runtime.dead_letters.total == 0


async def test_a_task_that_insists_on_an_answer_leaves_a_dead_letter(
    spawn: SpawnLoop, observer: Recorder, witness: Witness
) -> None:
    async def insist() -> str:
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            witness.note("insists")
        return "the money is out"

    ref = spawn()
    ref.tell(Do(lambda actor: actor.pipe_to_self(insist(), on_result=str, on_error=repr, name="insist")))
    await a_loop_round()
    ref.stop(block=False)

    await witness.until_seen("insists")
    await a_loop_round()
    assert observer.dead == [("performer", DeadLetterReason.ARRIVED_AFTER_STOP, "the money is out")]


async def test_a_message_that_cannot_be_built_fails_the_actor(spawn: SpawnLoop, witness: Witness) -> None:
    error = KeyError("no such field")

    async def work() -> int:
        return 1

    child = spawn(parent=spawn(), child_id=1)
    child.tell(
        Do(lambda actor: actor.pipe_to_self(work(), on_result=explode(error), on_error=repr, name="work"))
    )

    await witness.until_seen(ChildFailed(child_id=1, ref=child, error=error))


async def test_a_waiting_task_is_not_collected(runtime: Runtime) -> None:
    """The loop remembers tasks weakly; somebody has to hold the one that nobody waits for."""
    finished = asyncio.Event()

    async def wait_in_a_cycle() -> None:
        try:
            await asyncio.Future()
        finally:
            finished.set()

    runtime.scheduler.create_task(wait_in_a_cycle(), name="held")
    await a_loop_round()
    gc.collect()
    await a_loop_round()

    assert not finished.is_set()
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "held"]
    task.cancel()
