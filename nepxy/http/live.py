"""What operators watch: one snapshot every two seconds for all streams, and payouts as they move.

Nothing is computed while nobody watches. A stream that is slow loses what it did not take in time, and nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, Final

import orjson
import structlog

from nepxy.actors.moves import Moves
from nepxy.engine.payout import Payout

SNAPSHOT_S: Final = 2.0
BUSY_SHARE: Final = 4
"""It rests so many times as long as a snapshot took."""
CHANGES_S: Final = 0.5
CHANGES_MAX: Final = 50
"""Moves a stream is told in `CHANGES_S`; of more, those of the newest payouts."""
STREAMS_MAX: Final = 50

log = structlog.get_logger()


class Stream:
    """One who watches: what is new for it since it looked last."""

    def __init__(self) -> None:
        """Nothing is."""
        self.woken = asyncio.Event()
        self.is_over = False
        self._snapshot: bytes | None = None
        self._changed: dict[str, Payout] = {}

    def tell_snapshot(self, event: bytes) -> None:
        """The newest one takes the place of one that was not taken yet."""
        self._snapshot = event
        self.woken.set()

    def tell_moved(self, payout: Payout) -> None:
        """The last move of a payout takes the place of those before it."""
        self._changed.pop(payout.transaction_id, None)
        self._changed[payout.transaction_id] = payout
        if len(self._changed) > CHANGES_MAX:
            del self._changed[next(iter(self._changed))]

    def end(self) -> None:
        """It is over."""
        self.is_over = True
        self.woken.set()

    def take(self) -> bytes:
        """What is new, as server-sent events; empty: nothing."""
        self.woken.clear()
        parts = [] if self._snapshot is None else [self._snapshot]
        self._snapshot = None
        for payout in self._changed.values():
            changed = {
                "transaction_id": payout.transaction_id,
                "status": payout.status.value,
                "provider": payout.provider,
            }
            parts.append(event_of("changed", changed))
        self._changed.clear()
        return b"".join(parts)


class Hub:
    """All streams of this process."""

    def __init__(self, *, snapshot: Callable[[], Awaitable[dict[str, Any]]], moves: Moves) -> None:
        """Nobody watches yet.

        Args:
            snapshot: makes the document that all are told.
            moves: of this node's payouts.
        """
        self._make = snapshot
        self._moves = moves
        self._streams: dict[Stream, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._deaf: Callable[[], None] | None = None
        self.is_closed = False

    @property
    def has_room(self) -> bool:
        """Whether one more may watch."""
        return not self.is_closed and len(self._streams) < STREAMS_MAX

    @property
    def streams_count(self) -> int:
        """How many watch."""
        return len(self._streams)

    def join(self) -> Stream:
        """One more watches."""
        stream = Stream()
        self._streams[stream] = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())
            self._deaf = self._moves.listen(self._moved)
        return stream

    def leave(self, stream: Stream) -> None:
        """One less; the last one puts out the light."""
        self._streams.pop(stream, None)
        if not self._streams:
            self._rest()

    def close(self) -> None:
        """The node stops: all streams end, and none begins."""
        self.is_closed = True
        for stream in self._streams:
            stream.end()
        self._rest()

    def _rest(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._deaf is not None:
            self._deaf()
            self._deaf = None

    def _moved(self, payout: Payout) -> None:
        for stream in self._streams:
            stream.tell_moved(payout)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                event = event_of("snapshot", await self._make())
            except Exception:
                # Whoever watches sees that nothing comes; what is wrong is in the log.
                log.exception("live.snapshot_failed")
            else:
                for stream in self._streams:
                    stream.tell_snapshot(event)
            await asyncio.sleep(max(SNAPSHOT_S, (loop.time() - began_s) * BUSY_SHARE))


def event_of(name: str, document: dict[str, Any]) -> bytes:
    """A server-sent event: JSON has no line ends, so one line of data is enough."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(document) + b"\n\n"
