"""`/metrics`: everything that this process measures, for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from prometheus_client import Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from nepxy.http.parts import parts_of


@dataclass(frozen=True, slots=True)
class _Collected:
    """What a registry held at one moment, in its shape."""

    families: tuple[Metric, ...]

    def collect(self) -> Iterable[Metric]:
        return self.families


async def metrics(request: web.Request) -> web.Response:
    """The registry as text; that of the engine's actors, its recovery included, is the same one."""
    # Collected here, where nothing moves meanwhile; written elsewhere, which takes longer than a payout may wait.
    collected: Any = _Collected(tuple(parts_of(request).front.registry.collect()))
    body = await asyncio.to_thread(generate_latest, collected)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES: Final = (("GET", "/metrics", metrics),)
