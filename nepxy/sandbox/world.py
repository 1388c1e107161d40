"""What all the providers of one sandbox share: memory, ledger, faults, webhooks, and the news that it is stopping."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from aiohttp import web

from nepxy.sandbox.book import Book
from nepxy.sandbox.config import SandboxConfig
from nepxy.sandbox.faults import GOOD_DAY, Faults
from nepxy.sandbox.history import History
from nepxy.sandbox.ledger import Ledger
from nepxy.sandbox.webhooks import WebhookSender

T = TypeVar("T")


class Stopping(Exception):
    """The sandbox stops while a request is being kept waiting; the request's connection is reset."""


class Provider(Protocol):
    """One provider's protocol; one module each. Its routes all start with `/{name}/`."""

    @property
    def name(self) -> str:
        """Lower case, such as `tmoney`: first segment of its paths and key of its faults."""

    def routes(self) -> list[web.RouteDef]:
        """Its endpoints."""


class World:
    """The state of one sandbox, from its start to its stop. Use only from the event loop's thread."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.ledger = Ledger()
        self.webhooks = WebhookSender(config)
        self.faults: dict[str, Faults] = {}
        self.status_read_count = 0
        self._history = History(config.ledger_path)
        self.book = Book(
            settle_delay_s=config.settle_delay_s, seed=config.seed, ledger=self.ledger, history=self._history
        )
        self._stopping = asyncio.Event()
        self._seen_through: set[asyncio.Task[Any]] = set()

    def add_provider(self, name: str) -> None:
        """Gives a provider its knobs, all on a good day."""
        self.faults[name] = GOOD_DAY

    async def start(self) -> None:
        """Remembers, and goes on where the last run stopped.

        Raises:
            RuntimeError: the history cannot be read, or another sandbox holds it.
        """
        await self.webhooks.start()
        try:
            for record in self._history.open():
                if record["kind"] == "ledger_reset":
                    self.ledger.reset()
                else:
                    self.book.restore(record)
        except BaseException:
            await self.stop()
            raise
        self.book.resume()

    def announce_stop(self) -> None:
        """Wakes every request that is being kept waiting, so that a stop need not wait for them."""
        self._stopping.set()

    async def stop(self) -> None:
        """Stops in the reverse order of the start; what was accepted stays in the history."""
        self.announce_stop()
        await asyncio.gather(*self._seen_through, return_exceptions=True)
        self.book.close()
        await self.webhooks.stop()
        self._history.close()

    async def pause(self, seconds: float) -> None:
        """Waits, though not beyond the sandbox's own end.

        Raises:
            Stopping: the sandbox stops before the time has passed.
        """
        if seconds <= 0.0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise Stopping

    async def see_through(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits work that goes on when the waiting request is cancelled, as a provider does whose client hung up.

        aiohttp's own server never cancels a handler for that, but its `TestServer` does.
        """
        task = asyncio.create_task(work)
        self._seen_through.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._seen_through.discard(task)
        if not task.cancelled():
            # An answer that nobody waits for any more, such as a 409, is no reason for a warning.
            task.exception()

    def reset_ledger(self) -> None:
        """Starts a new page: counts and movements are forgotten, orders and their statuses are not."""
        self._history.append({"kind": "ledger_reset"})
        self.ledger.reset()
        self.webhooks.reset_counts()
        self.status_read_count = 0
