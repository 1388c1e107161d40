"""A server on a real socket that misbehaves as told: what it does on a connection is a coroutine.

It counts what the tests are about: connections, and requests whose first line and headers arrived whole.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType

PATIENCE_S = 30.0
"""How long a test waits for something that must happen."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(
        self, server: AwkwardServer, nth: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.nth = nth
        """Which connection of this server it is, from 1."""
        self.server = server
        self.reader = reader
        self._writer = writer

    async def request(self) -> Request:
        """The next request, whole.

        Raises:
            EOFError: the client closed.
        """
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method, target, headers, body)
        self.server.requests.append(request)
        self.server.changed.set()
        return request

    async def send(self, data: bytes) -> None:
        """Send these bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, status: int = 202, body: bytes = b"{}", **headers: str) -> None:
        """Send a proper answer."""
        await self.send(an_answer(status, body, **headers))

    async def gone(self) -> None:
        """Wait until the client has closed."""
        while await self.reader.read(64 * 1024):
            pass

    def reset(self) -> None:
        """Close so that the client gets a reset, and nothing that is still in the buffers."""
        connection: socket.socket = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def closed(self) -> None:
        """Close properly: all that was sent arrives."""
        self._writer.close()
        await self._writer.wait_closed()


Behaviour = Callable[[Peer], Awaitable[None]]
"""What is done on each connection; when it returns, the connection is closed."""


@dataclass
class AwkwardServer:
    """Listens while it is entered."""

    behaviour: Behaviour
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def count(self, method: str) -> int:
        """How many requests of this method came."""
        return sum(request.method == method for request in self.requests)

    async def received(self, count: int) -> None:
        """Wait until this many requests have come."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.requests) < count:
                self.changed.clear()
                await self.changed.wait()

    async def __aenter__(self) -> AwkwardServer:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self.behaviour(Peer(self, self.connections, reader, writer))
        except (EOFError, OSError):
            pass  # the client went first
        except asyncio.CancelledError:
            # Swallowed, because a stream server would report it as an error of this handler.
            writer.transport.abort()
        finally:
            writer.close()
            self._tasks.discard(task)


def an_answer(status: int = 202, body: bytes = b"{}", **headers: str) -> bytes:
    """The bytes of an answer; a header's `_` stands for `-`, and its length and type are there unless given."""
    names = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    names = {"content-type": "application/json", "content-length": str(len(body))} | names
    head = "".join(f"{name}: {value}\r\n" for name, value in names.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body


def answers(data: bytes) -> Behaviour:
    """Reads a request, sends these bytes, closes."""

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        await peer.closed()

    return behave


def keeps_answering(data: bytes) -> Behaviour:
    """Sends these bytes for each request of a connection that it keeps open."""

    async def behave(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(data)

    return behave
