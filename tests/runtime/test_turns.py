"""Turns: bounded, in an empty context, reported; and what survives an exception that is to end the process."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import Any, ClassVar

import pytest

from nepxy.engine.runtime import ActorState, LoopScheduler, Runtime, ask, stop_and_wait
from tests.runtime.support import (
    PATIENCE_S,
    Do,
    LoopPerformer,
    Performer,
    Recorder,
    SpawnLoop,
    Witness,
    a_loop_round,
    explode,
    in_thread,
)

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


class Named(LoopPerformer):
    kind: ClassVar[str] = "named"
    actor_name = "MOMO"


async def test_others_get_their_turn_between_two_turns_of_a_busy_actor(
    observer: Recorder, witness: Witness
) -> None:
    runtime = Runtime(scheduler=LoopScheduler(), observer=observer, turn_messages_max=2)
    ref = LoopPerformer.start(runtime=runtime, witness=witness)
    for number in range(5):
        ref.tell(number)
    asyncio.get_running_loop().call_soon(witness.note, "somebody else")

    await witness.until_seen(4)

    assert witness.seen == ["started", 0, 1, "somebody else", 2, 3, 4]
    assert [(messages, depth) for _, _, messages, _, depth in observer.turns] == [(2, 3), (2, 1), (1, 0)]


async def test_an_idle_actor_takes_no_turns(spawn: SpawnLoop, observer: Recorder) -> None:
    ref = spawn()
    await ask(ref, Do(lambda _: None), timeout_s=PATIENCE_S)
    turns_before = len(observer.turns)

    await a_loop_round()

    assert len(observer.turns) == turns_before


async def test_a_turn_is_reported_by_kind_and_name(spawn: SpawnLoop, observer: Recorder) -> None:
    ref = spawn(Named)
    await stop_and_wait(ref, timeout_s=PATIENCE_S)
    await a_loop_round()

    assert observer.started == ["named"]
    assert observer.stopped == ["named"]
    assert {(kind, name) for kind, name, *_ in observer.turns} == {("named", "MOMO")}
    assert all(duration_s >= 0 for _, _, _, duration_s, _ in observer.turns)


async def test_no_hook_handler_timer_or_task_sees_the_senders_context(spawn: SpawnLoop) -> None:
    seen: dict[str, str] = {}
    done = asyncio.Event()

    async def look() -> None:
        seen["task"] = request_id.get()

    def look_around(actor: LoopPerformer) -> None:
        seen["handler"] = request_id.get()
        request_id.set("the handler's own")
        actor.tell_later(0, Do(lambda _: seen.update(timer=request_id.get())))
        actor.pipe_to_self(look(), on_result=came_back, on_error=repr, name="look")

    def came_back(_: None) -> Do:
        seen["pipe"] = request_id.get()
        return Do(lambda actor: actor.stop())

    class Looks(LoopPerformer):
        def on_stop(self) -> None:
            seen["on_stop"] = request_id.get()
            done.set()

    request_id.set("req-1")
    ref = spawn(Looks, on_start=lambda: seen.update(on_start=request_id.get()))
    ref.tell(Do(look_around))
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()

    assert seen == dict.fromkeys(["on_start", "handler", "timer", "task", "pipe", "on_stop"], "none")


async def test_one_message_does_not_see_the_context_of_the_message_before(spawn: SpawnLoop) -> None:
    ref = spawn()

    ref.tell(Do(lambda _: request_id.set("req-1")))

    assert await ask(ref, Do(lambda _: request_id.get()), timeout_s=PATIENCE_S) == "none"


async def test_a_description_says_how_the_actor_is(spawn: SpawnLoop) -> None:
    ref = spawn(Named)
    born = ref.describe()
    assert (born.kind, born.name, born.state) == ("named", "MOMO", ActorState.STARTING)

    ref.tell("waiting")
    assert ref.describe().mailbox_depth == 1

    with pytest.raises(ValueError, match="oops"):
        await ask(ref, Do(explode(ValueError("oops"))), timeout_s=PATIENCE_S)
    alive = ref.describe()
    assert (alive.state, alive.mailbox_depth, alive.handled_count) == (ActorState.RUNNING, 0, 2)
    assert alive.last_error == "ValueError: oops"


async def test_a_description_survives_an_exception_without_text(spawn: SpawnLoop) -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    ref = spawn()
    with pytest.raises(Unprintable):
        await ask(ref, Do(explode(Unprintable())), timeout_s=PATIENCE_S)

    assert "Unprintable" in (ref.describe().last_error or "")


async def test_an_observer_that_raises_harms_no_actor(runtime: Runtime, spawn: SpawnLoop) -> None:
    class Broken(Recorder):
        turn_taken = actor_started = actor_stopped = dead_letter = explode(ValueError("metrics"))

    runtime.observer = Broken()
    ref = spawn()

    assert await ask(ref, Do(lambda _: 42), timeout_s=PATIENCE_S) == 42
    assert await stop_and_wait(ref, timeout_s=PATIENCE_S)


async def test_an_exception_that_is_to_end_the_process_stops_the_actor_and_goes_on(
    runtime: Runtime, witness: Witness
) -> None:
    """Taken turn by turn, because such an exception would end the test's own loop."""
    parent = LoopPerformer.start(runtime=runtime, witness=witness)
    actor = LoopPerformer(runtime=runtime, witness=witness, parent=parent, child_id="child")
    asked = actor.actor_ref.ask(Do(explode(KeyboardInterrupt())), block=False)
    behind = actor.actor_ref.ask("behind", block=False)

    with pytest.raises(KeyboardInterrupt):
        actor.take_turn()

    assert not actor.actor_ref.is_alive()
    assert actor.describe().state is ActorState.FAILED
    for future in (asked, behind):
        with pytest.raises(Exception, match="the message"):
            future.get()
    seen = await witness.until(lambda seen: any("ChildFailed" in repr(what) for what in seen))
    assert "stopped" in seen


@pytest.mark.parametrize("hook", ["on_start", "on_stop", "on_failure"])
async def test_a_hook_that_is_to_end_the_process_leaves_nobody_waiting(
    runtime: Runtime, observer: Recorder, witness: Witness, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoopPerformer, hook, explode(SystemExit(3)), raising=True)
    actor = LoopPerformer(runtime=runtime, witness=witness)
    first: Any = Do(explode(ValueError("poison"))) if hook == "on_failure" else Do(lambda actor: actor.stop())
    actor.actor_ref.tell(first)
    behind = actor.actor_ref.ask(Do(lambda _: "handled"), block=False)

    with pytest.raises(SystemExit):
        actor.take_turn()

    assert not actor.actor_ref.is_alive()
    assert actor.actor_inbox.empty()
    assert future_is_resolved(behind)
    assert len(observer.failed) == 1


async def test_a_cancelled_error_from_a_handler_is_an_ordinary_failure(
    spawn: SpawnLoop, witness: Witness
) -> None:
    error = asyncio.CancelledError()

    spawn().tell(Do(explode(error)))

    await witness.until_seen(("failed", error))


async def test_an_actor_can_be_started_from_another_thread(spawn: SpawnLoop, witness: Witness) -> None:
    def start_and_tell() -> None:
        spawn().tell("from the thread")

    await in_thread(start_and_tell)

    assert await witness.until_seen("from the thread") == ["started", "from the thread"]


async def test_a_stopped_actor_is_not_kept_in_memory_by_its_ref(spawn: SpawnLoop) -> None:
    ref = spawn()
    actor = await ask(ref, Do(lambda actor: _weak(actor)), timeout_s=PATIENCE_S)
    await stop_and_wait(ref, timeout_s=PATIENCE_S)
    await a_loop_round()

    gc.collect()
    assert actor() is None


async def test_a_turn_of_no_messages_is_refused() -> None:
    with pytest.raises(ValueError, match="turn_messages_max is 0"):
        Runtime(scheduler=LoopScheduler(), turn_messages_max=0)


def future_is_resolved(future: Any) -> bool:
    return bool(future.is_resolved)


def _weak(actor: Performer) -> Any:
    return weakref.ref(actor)
