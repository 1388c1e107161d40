"""Thousands of actors, random stops, four threads: nothing is lost, and everyone who waits is answered."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any, ClassVar

import pykka
import pytest

from nepxy.engine.runtime import (
    ActorDeadError,
    ChildFailed,
    ChildStopped,
    LoopActor,
    LoopActorRef,
    LoopScheduler,
    MailboxFull,
    Runtime,
    ask,
    stop_and_wait,
)
from tests.runtime.support import PATIENCE_S, Do, Question, Recorder, SpawnLoop, in_thread

ACTORS = 2_000
THREADS = 4
STEPS_A_THREAD = 6_000


class Sheep(LoopActor):
    kind: ClassVar[str] = "sheep"
    mailbox_max: ClassVar[int | None] = 20

    def __init__(self, *, handled: Counter[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.handled = handled

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Question):
            self.handled["question"] += 1
            assert message.reply_to is not None
            message.reply_to.tell("baa")
            return None
        self.handled[message] += 1
        if message == "poison":
            raise ValueError(message)
        return message


class Shepherd(LoopActor):
    kind: ClassVar[str] = "shepherd"

    def __init__(self, *, flock_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flock_size = flock_size
        self.ends: Counter[Any] = Counter()
        self.all_ended = asyncio.Event()

    def on_receive(self, message: ChildStopped | ChildFailed) -> None:
        self.ends[message.child_id] += 1
        if len(self.ends) == self.flock_size:
            self.all_ended.set()


class Tormentor:
    """Does random things to the flock, and keeps books of what was accepted."""

    def __init__(self, flock: list[LoopActorRef[Sheep]], seed: int) -> None:
        self.flock = flock
        self.random = random.Random(seed)
        self.told: Counter[str] = Counter()
        self.asked: list[pykka.Future[Any]] = []
        self.stops: list[pykka.Future[bool]] = []

    def step(self) -> None:
        ref = self.random.choice(self.flock)
        match self.random.choices(["tell", "ask", "stop", "poison"], weights=[80, 15, 3, 1])[0]:
            case "ask":
                self.asked.append(ref.ask("asked", block=False))
            case "stop":
                self.stops.append(ref.stop(block=False))
            case told:
                try:
                    ref.tell(told)
                except (ActorDeadError, MailboxFull):
                    return
                self.told[told] += 1

    def torment(self) -> None:
        for _ in range(STEPS_A_THREAD):
            self.step()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_message_is_handled_or_a_dead_letter_and_every_asker_hears(
    runtime: Runtime, observer: Recorder, seed: int
) -> None:
    handled: Counter[str] = Counter()
    shepherd = Shepherd(runtime=runtime, flock_size=ACTORS)
    shepherd._start_actor_loop()
    flock = [
        Sheep.start(runtime=runtime, parent=shepherd.actor_ref, child_id=number, handled=handled)
        for number in range(ACTORS)
    ]
    tormentors = [Tormentor(flock, seed * 100 + number) for number in range(THREADS + 1)]

    async def torment_in_loop(tormentor: Tormentor) -> None:
        for step in range(STEPS_A_THREAD):
            tormentor.step()
            if step % 50 == 0:
                await asyncio.sleep(0)

    asking = [asyncio.create_task(_ask(flock[number])) for number in range(0, ACTORS, 10)]
    await asyncio.gather(
        torment_in_loop(tormentors[0]), *(in_thread(tormentor.torment) for tormentor in tormentors[1:])
    )
    await asyncio.gather(*(stop_and_wait(ref, timeout_s=PATIENCE_S) for ref in flock))
    async with asyncio.timeout(PATIENCE_S):
        await shepherd.all_ended.wait()
    answers = await asyncio.gather(*asking)

    told = sum((tormentor.told for tormentor in tormentors), Counter[str]())
    dead = Counter(message for _, _, message in observer.dead if isinstance(message, str))
    assert {name: handled[name] + dead[name] for name in told} == dict(told)
    assert runtime.dead_letters.total == len(observer.dead)
    futures = [future for tormentor in tormentors for future in tormentor.asked]
    assert handled["asked"] == sum(_answered(future) for future in futures)
    assert all(isinstance(stop.get(), bool) for tormentor in tormentors for stop in tormentor.stops)
    assert answers.count("baa") == handled["question"]
    assert set(answers) <= {"baa", "dead", "full"}
    assert shepherd.ends == Counter(range(ACTORS))
    assert observer.started.count("sheep") == ACTORS
    assert observer.stopped.count("sheep") + len(observer.failed) == ACTORS
    assert len(observer.failed) == handled["poison"]
    # The test would prove nothing if either side of the law stayed empty.
    assert handled["tell"] > ACTORS
    assert handled["poison"] > 0
    assert dead["tell"] > 0
    await stop_and_wait(shepherd.actor_ref, timeout_s=PATIENCE_S)


async def test_starting_and_stopping_at_once_ends_each_actor_once(
    spawn: SpawnLoop, observer: Recorder
) -> None:
    refs = [spawn() for _ in range(1_000)]

    def stop_all() -> None:
        for ref in refs:
            ref.stop(block=False)

    await asyncio.gather(in_thread(stop_all), in_thread(stop_all))
    await asyncio.gather(*(stop_and_wait(ref, timeout_s=PATIENCE_S) for ref in refs))

    assert len(observer.started) == len(observer.stopped) == 1_000
    assert not [ref for ref in refs if ref.is_alive()]


async def test_threads_under_stress_lose_nothing_while_the_loop_is_busy(witness: Any) -> None:
    runtime = Runtime(scheduler=LoopScheduler(), turn_messages_max=3)
    handled: Counter[str] = Counter()
    ref = Busy.start(runtime=runtime, handled=handled)

    def send() -> None:
        for _ in range(5_000):
            ref.tell("told")

    await asyncio.gather(*(in_thread(send) for _ in range(THREADS)))

    assert await ask(ref, Do(lambda _: None), timeout_s=PATIENCE_S) is None
    assert handled["told"] == THREADS * 5_000


class Busy(Sheep):
    mailbox_max: ClassVar[int | None] = None

    def on_receive(self, message: Any) -> None:
        if message == "told":
            self.handled[message] += 1


async def _ask(ref: LoopActorRef[Sheep]) -> str:
    try:
        return str(await ask(ref, Question(), timeout_s=PATIENCE_S))
    except ActorDeadError:
        return "dead"
    except MailboxFull:
        return "full"


def _answered(future: pykka.Future[Any]) -> bool:
    # In the loop's own thread a future that is still open raises RuntimeError, which fails the test.
    try:
        return bool(future.get() == "asked")
    except (ActorDeadError, MailboxFull):
        return False
