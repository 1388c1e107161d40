"""The real scheduler: clocks, threads, and a loop that is gone."""

from __future__ import annotations

import asyncio
import contextvars
import time
from datetime import timedelta

import pytest

from nepxy.engine.runtime import ActorDeadError, LoopScheduler, Runtime, SchedulerClosed
from tests.runtime.support import PATIENCE_S, LoopPerformer, Witness, in_thread

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


async def test_now_is_aware_and_in_utc() -> None:
    assert LoopScheduler().now().utcoffset() == timedelta(0)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this platform has no such clock")
async def test_monotonic_counts_the_time_in_which_the_machine_slept() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    here = LoopScheduler().monotonic()
    after = time.clock_gettime(time.CLOCK_BOOTTIME)

    assert before <= here <= after


async def test_it_knows_its_own_thread() -> None:
    scheduler = LoopScheduler()

    assert scheduler.in_loop_thread() is True
    assert await in_thread(scheduler.in_loop_thread) is False


async def test_every_way_in_leads_to_an_empty_context() -> None:
    scheduler = LoopScheduler()
    colour.set("red")
    seen: dict[str, str] = {}
    done = asyncio.Event()

    def look(way: str) -> None:
        seen[way] = colour.get()
        if len(seen) == 4:
            done.set()

    async def look_in_task() -> None:
        look("task")

    scheduler.call_soon(lambda: look("soon"))
    scheduler.call_soon_threadsafe(lambda: look("threadsafe"))
    scheduler.call_later(0, lambda: look("later"))
    scheduler.create_task(look_in_task(), name="look")
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()

    assert seen == dict.fromkeys(["soon", "threadsafe", "later", "task"], "none")


async def test_a_cancelled_callback_does_not_run() -> None:
    scheduler = LoopScheduler()
    ran: list[str] = []
    done = asyncio.Event()

    scheduler.call_later(0, lambda: ran.append("cancelled")).cancel()
    scheduler.call_later(0.001, done.set)
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()

    assert ran == []


async def test_an_actor_whose_loop_is_gone_is_dead_to_threads() -> None:
    async def start() -> tuple[LoopScheduler, LoopPerformer]:
        scheduler = LoopScheduler()
        return scheduler, LoopPerformer(runtime=Runtime(scheduler=scheduler), witness=Witness())

    scheduler, actor = await in_thread(lambda: asyncio.run(start()))

    with pytest.raises(SchedulerClosed):
        await in_thread(lambda: scheduler.call_soon_threadsafe(lambda: None))
    with pytest.raises(ActorDeadError, match="event loop is closed"):
        await in_thread(lambda: _tell_from_elsewhere(scheduler, actor))


def _tell_from_elsewhere(scheduler: LoopScheduler, actor: LoopPerformer) -> None:
    # A thread pool may hand out the very thread in which the loop had run.
    scheduler._thread_id = -1
    actor.actor_ref.tell("anybody there?")
