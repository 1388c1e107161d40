"""Sends webhooks: many at once up to a bound, each tried again with backoff until it is acknowledged or given up.

At-least-once by design: a try that timed out may have arrived. Waiting retries hold no connection and no worker.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from nepxy.sandbox.config import SandboxConfig

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One webhook on its way; every try sends the same bytes."""

    url: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    method: str = "POST"
    try_count: int = 0
    tried: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when the first try is over, or when there will be none."""


@dataclass(slots=True)
class WebhookCounts:
    """Since the start or the last reset. A delivery ends as acked or failed; until then it is outstanding."""

    sent: int = 0
    """Deliveries begun; copies of a duplicated webhook count singly."""
    tries: int = 0
    acked: int = 0
    failed: int = 0
    """Given up: tries used up, backlog full, or stopped."""


class WebhookSender:
    """A pool of workers over one pooled HTTP session. Use only from the event loop's thread."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._retries: dict[int, tuple[asyncio.TimerHandle, Delivery]] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self.counts = WebhookCounts()
        self.outstanding_count = 0

    async def start(self) -> None:
        """Opens the session and starts the workers."""
        bound = self._config.webhook_concurrency_max
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=bound),
            timeout=aiohttp.ClientTimeout(total=self._config.webhook_timeout_s),
            # A provider is one client among many: a cookie from one delivery has no place in the next.
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._session = session
        self._workers = [asyncio.create_task(self._work(session)) for _ in range(bound)]

    async def stop(self) -> None:
        """Gives up what is outstanding and closes the session."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()
        for timer, _ in self._retries.values():
            timer.cancel()
        self._retries.clear()
        self.counts.failed += self.outstanding_count
        self.outstanding_count = 0
        if self._session is not None:
            await self._session.close()

    def send(self, url: str, body: bytes, headers: Mapping[str, str], *, method: str = "POST") -> Delivery:
        """Puts one webhook on its way and returns at once."""
        delivery = Delivery(url=url, body=body, headers=headers, method=method)
        self.counts.sent += 1
        if self.outstanding_count >= self._config.webhook_backlog_max:
            self.counts.failed += 1
            delivery.tried.set()
            return delivery
        self.outstanding_count += 1
        self._queue.put_nowait(delivery)
        return delivery

    def reset_counts(self) -> None:
        """Starts counting afresh; deliveries that are still outstanding count as sent."""
        self.counts = WebhookCounts(sent=self.outstanding_count)

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            delivery = await self._queue.get()
            acked = False
            try:
                acked = await self._try(session, delivery)
            except Exception:
                # A worker that died would silently narrow the pool for the rest of the run.
                log.exception("webhook try crashed")
            finally:
                delivery.tried.set()
            self._settle(delivery, acked=acked)

    async def _try(self, session: aiohttp.ClientSession, delivery: Delivery) -> bool:
        delivery.try_count += 1
        self.counts.tries += 1
        try:
            async with session.request(
                delivery.method,
                delivery.url,
                data=delivery.body,
                headers=delivery.headers,
                allow_redirects=False,
            ) as response:
                await response.read()
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    def _settle(self, delivery: Delivery, *, acked: bool) -> None:
        if acked or delivery.try_count >= self._config.webhook_tries_max:
            self.outstanding_count -= 1
            if acked:
                self.counts.acked += 1
            else:
                self.counts.failed += 1
            return
        wait_s = min(
            self._config.webhook_backoff_s * 2 ** (delivery.try_count - 1), self._config.webhook_backoff_s_max
        )
        timer = asyncio.get_running_loop().call_later(wait_s, self._retry, delivery)
        self._retries[id(delivery)] = (timer, delivery)

    def _retry(self, delivery: Delivery) -> None:
        del self._retries[id(delivery)]
        self._queue.put_nowait(delivery)
