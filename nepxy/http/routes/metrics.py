"""`/metrics`: everything that this process measures, for Prometheus."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from nepxy.http.parts import parts_of


async def metrics(request: web.Request) -> web.Response:
    """The registry as text; that of the engine's actors, its recovery included, is the same one."""
    body = generate_latest(parts_of(request).front.registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES: Final = (("GET", "/metrics", metrics),)
