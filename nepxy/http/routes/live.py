"""`GET /v1/admin/live`: server-sent events for the console and for `--watch`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, Final

from aiohttp import web

from nepxy.actors.messages import EngineState
from nepxy.errors import Draining, EngineBusy, NepXyError
from nepxy.http.auth import ADMIN_READ
from nepxy.http.engine_views import engine_view, provider_view
from nepxy.http.live import CHANGES_S, STREAMS_MAX, Hub, Stream
from nepxy.http.parts import Parts, parts_of, request_id_of
from nepxy.http.routes.engine import actor_tree, found_incidents
from nepxy.http.routes.operator_payouts import summary_of

HUB: Final = web.AppKey("live", Hub)
HEARTBEAT_S: Final = 10.0
AGAIN_AFTER_MS: Final = 2000
WRITE_S_MAX: Final = 10.0
"""Whoever takes longer to take what is told is gone, or may come again."""
ASK_AGAIN_S: Final = 15.0
"""So often it is asked whether the operator may still watch."""


def make_hub(parts: Parts) -> Hub:
    """The streams of an application."""

    async def snapshot() -> dict[str, Any]:
        view = await parts.engine_view.answer()
        summary, incidents, actors = await asyncio.gather(
            _or_none(summary_of(parts)), _or_none(found_incidents(parts)), _or_none(actor_tree(parts))
        )
        version = parts.front.settings.app_version
        return {
            "engine": engine_view(view, version=version) if view is not None else None,
            "providers": [provider_view(one) for one in view.providers] if view is not None else None,
            "summary": summary,
            "incidents": incidents,
            "actors": actors["actors"] if actors is not None else None,
            "at": parts.now(),
        }

    return Hub(snapshot=snapshot, moves=parts.front.moves)


async def live(request: web.Request) -> web.StreamResponse:
    """Snapshots every two seconds, and payouts as they move, until either side ends it."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    hub = request.app[HUB]
    if hub.is_closed or await _stops(parts):
        raise Draining
    if not hub.has_room:
        raise EngineBusy(f"{STREAMS_MAX} streams are open on this node already")
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            # Nginx would keep it until its buffer is full.
            "X-Accel-Buffering": "no",
            "X-Content-Type-Options": "nosniff",
            "X-Request-ID": request_id_of(request),
        }
    )
    await response.prepare(request)
    stream = hub.join()
    try:
        await response.write(b"retry: %d\n\n" % AGAIN_AFTER_MS)
        await _pour(request, parts, stream, response)
    except (ConnectionError, TimeoutError):
        pass
    finally:
        hub.leave(stream)
    return response


async def _pour(request: web.Request, parts: Parts, stream: Stream, response: web.StreamResponse) -> None:
    """Hand on what is new until it is over."""
    loop = asyncio.get_running_loop()
    told_at_s = asked_at_s = loop.time()
    while not stream.is_over:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stream.woken.wait(), CHANGES_S)
        now_s = loop.time()
        if now_s - asked_at_s >= ASK_AGAIN_S:
            asked_at_s = now_s
            if not await _may_still(request, parts) or await _stops(parts):
                return
        new = stream.take()
        if not new and now_s - told_at_s >= HEARTBEAT_S:
            new = b": still here\n\n"
        if new:
            told_at_s = now_s
            await asyncio.wait_for(response.write(new), WRITE_S_MAX)


async def _may_still(request: web.Request, parts: Parts) -> bool:
    try:
        await parts.gatekeeper.operator(request, ADMIN_READ)
    except NepXyError:
        return False
    return True


async def _stops(parts: Parts) -> bool:
    view = await parts.engine_view.answer()
    return view is not None and view.state is EngineState.DRAINING


async def _or_none(part: Awaitable[Any]) -> Any:
    """A part of the snapshot; None where it cannot be had now."""
    try:
        return await part
    except NepXyError:
        return None


ROUTES: Final = (("GET", "/v1/admin/live", live),)
