"""Each test runs on asyncio's own loop and on uvloop; `spawn_any` also on both kinds of actor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pykka
import pytest
import uvloop

from nepxy.engine.runtime import LoopActorRef, LoopScheduler, Runtime, stop_and_wait
from tests.runtime.support import (
    PATIENCE_S,
    LoopPerformer,
    Recorder,
    SpawnAny,
    SpawnLoop,
    ThreadPerformer,
    Witness,
)

EventLoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, EventLoopFactory]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def observer() -> Recorder:
    return Recorder()


@pytest.fixture
async def runtime(observer: Recorder) -> Runtime:
    return Runtime(scheduler=LoopScheduler(), observer=observer)


@pytest.fixture
async def witness() -> Witness:
    return Witness()


@pytest.fixture
async def spawn(runtime: Runtime, witness: Witness) -> SpawnLoop:
    def start(cls: type[LoopPerformer] = LoopPerformer, /, **kwargs: Any) -> LoopActorRef[LoopPerformer]:
        return cls.start(**{"runtime": runtime, "witness": witness, **kwargs})

    return start


@pytest.fixture(params=["loop", "thread"])
async def spawn_any(
    request: pytest.FixtureRequest, spawn: SpawnLoop, witness: Witness
) -> AsyncIterator[SpawnAny]:
    threads: list[pykka.ActorRef[Any]] = []

    def start(**kwargs: Any) -> pykka.ActorRef[Any]:
        if request.param == "loop":
            return spawn(**kwargs)
        threads.append(ThreadPerformer.start(witness=witness, **kwargs))
        return threads[-1]

    yield start
    for ref in threads:
        await stop_and_wait(ref, timeout_s=PATIENCE_S)
