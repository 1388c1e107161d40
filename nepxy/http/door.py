"""The listening socket: all who wait at the door are let in at once.

uvloop accepts one connection a turn of its loop (libuv's pull request 3696). On a busy node a turn takes tens of
milliseconds, so that new connections waited in line for ten seconds and more, health checks and webhooks among them.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import structlog
from aiohttp import web
from yarl import URL

AT_ONCE_MAX: Final = 256
"""Connections accepted before others get a turn; those left come in the next one."""
AGAIN_S: Final = 1.0
"""After an accept that failed, for want of file descriptors above all: the socket stays readable, and must not spin."""

log = structlog.get_logger()


class Door(web.BaseSite):
    """Serves a bound socket, as `web.SockSite` does."""

    __slots__ = ("_coming", "_listener", "_loop", "_name")

    def __init__(self, runner: web.BaseRunner, listener: socket.socket, *, backlog: int) -> None:
        """Serve `listener`, which is bound and not blocking; the kernel keeps `backlog` in line."""
        super().__init__(runner, backlog=backlog)
        host, port = listener.getsockname()[:2]
        self._name = str(URL.build(scheme="http", host=host, port=port))
        self._listener = listener
        self._coming: set[asyncio.Task[object]] = set()

    @property
    def name(self) -> str:
        """The address."""
        return self._name

    async def start(self) -> None:
        """Let them in from now on."""
        await super().start()
        self._loop = asyncio.get_running_loop()
        self._listener.listen(self._backlog)
        self._loop.add_reader(self._listener, self._let_in)

    async def stop(self) -> None:
        """Let nobody in any more; who is in line is turned away by the kernel."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        await super().stop()

    def _let_in(self) -> None:
        server = self._runner.server
        if server is None:
            return
        for _ in range(AT_ONCE_MAX):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("door.closed_for_a_moment", error=str(error))
                self._loop.remove_reader(self._listener)
                self._loop.call_later(AGAIN_S, self._open_again)
                return
            connection.setblocking(False)
            coming = self._loop.create_task(self._seat(server, connection))
            self._coming.add(coming)
            coming.add_done_callback(self._coming.discard)

    async def _seat(self, server: web.Server, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(server, connection)
        except OSError:
            # It is gone again.
            connection.close()

    def _open_again(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._let_in)
