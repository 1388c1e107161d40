# ruff: noqa: S101 - part of a test suite
"""A proxy that spoils answers on purpose: it stands between an adapter and a stand-in in the conformance suite.

It passes requests on, counts them, and does with chosen ones what networks and broken providers do: swallow the
request, lose the answer, or put another in its place. Development only; nothing that serves imports it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import aiohttp
from yarl import URL

_HOP: Final = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host")
)
_HEAD_BYTES_MAX: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Meddle:
    """What becomes of one request."""

    forward: bool = True
    """Whether the stand-in gets it at all."""
    answer: bytes | None = None
    """What the adapter gets instead of the stand-in's answer; None: the connection is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request that came by."""

    method: str
    path: str
    after_stop: bool
    """It came after `Meddler.stop_line` was set: whatever it writes should not have left."""

    @property
    def writes(self) -> bool:
        """Whether it may change something at the provider."""
        return self.method not in ("GET", "HEAD")


@dataclass(slots=True)
class Meddler:
    """Listens on a port of its own, and talks to the stand-in."""

    upstream: str
    """Base URL of the stand-in."""
    plan: Mapping[int, Meddle] = field(default_factory=dict)
    """By the number of the request since `begin`, from 0; all others pass untouched."""
    seen: list[Seen] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """What the stand-in answered, for whoever wants to spoil it; the first two hundred."""
    stop_line: bool = False
    url: str = ""
    _server: asyncio.Server | None = None
    _session: aiohttp.ClientSession | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True)
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_HEAD_BYTES_MAX)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def begin(self, plan: Mapping[int, Meddle] | None = None) -> None:
        """Count anew, and do this from now on."""
        self.plan, self.seen, self.stop_line = plan or {}, [], False

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        pairs = [line.partition(":") for line in head[1:] if line]
        headers = [(name.strip(), value.strip()) for name, _, value in pairs]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = await reader.readexactly(length)
        meddle = self.plan.get(len(self.seen))
        self.seen.append(Seen(method=method, path=target, after_stop=self.stop_line))
        if meddle is None:
            writer.write(await self._forwarded(method, target, headers, body))
            await writer.drain()
            return True
        if meddle.forward:
            await self._forwarded(method, target, headers, body)
        if meddle.answer is not None:
            writer.write(meddle.answer)
            await writer.drain()
        return False

    async def _forwarded(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> bytes:
        assert self._session is not None
        kept = [(name, value) for name, value in headers if name.lower() not in _HOP]
        url = URL(self.upstream.rstrip("/") + target, encoded=True)
        try:
            async with self._session.request(
                method, url, headers=kept, data=body, allow_redirects=False
            ) as response:
                content = await response.read()
                if len(self.bodies) < 200:
                    self.bodies.append(content)
                passed = [
                    (name, value) for name, value in response.headers.items() if name.lower() not in _HOP
                ]
                return an_answer(response.status, content, headers=passed, close=False)
        except aiohttp.ClientError:
            # The stand-in cut it: so do we.
            raise ConnectionResetError from None


def an_answer(
    status: int, body: bytes = b"", *, headers: list[tuple[str, str]] | None = None, close: bool = True
) -> bytes:
    """The bytes of a whole HTTP answer; where the status allows no body, it has none."""
    content = b"" if status in (204, 304) else body
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers or ())]
    if status != 204:
        lines.append(f"Content-Length: {len(content)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode("latin-1", errors="replace") + content
