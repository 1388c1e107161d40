"""Who waits at the door is let in at once, on the event loop that serves in production."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from aiohttp import web

from nepxy.http import door
from nepxy.http.door import Door

LOOP_TURNS_MAX = 10
"""A connection needs some turns of the loop to be made; far fewer than there are connections below."""


@pytest.fixture
def runs() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


def a_listener() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def served(listener: socket.socket) -> AsyncIterator[web.AppRunner]:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await Door(runner, listener, backlog=1024).start()
    try:
        yield runner
    finally:
        await runner.cleanup()


def connected(listener: socket.socket, count: int) -> list[socket.socket]:
    """Clients in line: the kernel says yes to them before anybody accepts."""
    return [socket.create_connection(listener.getsockname(), timeout=10) for _ in range(count)]


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def count_of(runner: web.AppRunner) -> int:
    assert runner.server is not None
    return len(runner.server.connections)


def test_a_hundred_in_line_are_let_in_within_a_few_turns_of_the_loop(runs: asyncio.Runner) -> None:
    async def case() -> int:
        listener = a_listener()
        async with served(listener) as runner:
            clients = connected(listener, 100)
            await turns(LOOP_TURNS_MAX)
            found = count_of(runner)
            for client in clients:
                client.close()
            return found

    assert runs.run(case()) == 100


def test_they_are_answered_and_a_stopped_door_lets_nobody_in(runs: asyncio.Runner) -> None:
    async def case() -> bytes:
        listener = a_listener()
        address = listener.getsockname()
        async with served(listener):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        return answer

    answer = runs.run(case())
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"hello")


def test_without_file_descriptors_it_waits_a_moment_and_goes_on(
    runs: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "AGAIN_S", 0.01)

    class Exhausted(socket.socket):
        failures = 3

        def accept(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def case() -> tuple[int, int]:
        listener = Exhausted()
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        async with served(listener) as runner:
            (client,) = connected(listener, 1)
            async with asyncio.timeout(30):
                while not count_of(runner):
                    await asyncio.sleep(0.005)
            client.close()
            return listener.failures, 1

    assert runs.run(case()) == (0, 1)
