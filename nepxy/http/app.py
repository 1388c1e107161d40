"""The application: routes, middlewares and what they share, from what the composition root gives."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from nepxy.http.bodies import BODY_S_MAX
from nepxy.http.cors import cors
from nepxy.http.front import FrontEnd
from nepxy.http.metrics import HttpMetrics
from nepxy.http.middleware import observed, problems
from nepxy.http.parts import PARTS, make_parts
from nepxy.http.routes import (
    api_docs,
    auth,
    bulk,
    console,
    control,
    engine,
    health,
    live,
    metrics,
    operator_payouts,
    operator_records,
    operator_webhooks,
    payouts,
    reconcile,
    webhooks,
)

ROUTES: Final = (
    *auth.ROUTES,
    *payouts.ROUTES,
    *webhooks.ROUTES,
    *operator_payouts.ROUTES,
    *operator_webhooks.ROUTES,
    *operator_records.ROUTES,
    *control.ROUTES,
    *engine.ROUTES,
    *bulk.ROUTES,
    *live.ROUTES,
    *reconcile.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *api_docs.ROUTES,
    *console.ROUTES,
)

SETTLE_S: Final = 1.0
"""At a stop the supervisor has drained before: what still waits here waits in vain."""


def create_app(front: FrontEnd) -> web.Application:
    """Make the application. Serve it with `web.AppRunner(app, access_log=None, handler_cancellation=False)`.

    Args:
        front: everything that it stands on; the registry must not have the front end's metrics yet.
    """
    settings = front.settings
    measured = HttpMetrics(
        front.registry,
        routes=dict.fromkeys(path for _, path, _ in ROUTES),
        providers=settings.providers,
    )
    measured.watch_pool(front.reader)
    origins = settings.http.cors_allow_origins
    app = web.Application(
        # From the outside in: everything is observed, and a browser may read problems, too.
        middlewares=[observed, *([cors(origins)] if origins else []), problems],
        client_max_size=settings.http.body_bytes_max,
    )
    app[PARTS] = make_parts(front, measured)
    app[BODY_S_MAX] = settings.http.body_s_max
    app[reconcile.IMPORTS] = reconcile.imports()
    app[live.HUB] = live.make_hub(app[PARTS])
    app[webhooks.ALLOWANCE] = webhooks.allowance()
    for method, path, handler in ROUTES:
        if method == "GET":
            app.router.add_get(path, handler)  # answers HEAD, too, as load balancers like it
        else:
            app.router.add_route(method, path, handler)
    app.on_response_prepare.append(_unnamed_server)
    app.on_startup.append(_start)
    app.on_shutdown.append(_end_streams)
    app.on_cleanup.append(_stop)
    return app


async def _unnamed_server(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "nepxy"


async def _start(app: web.Application) -> None:
    app[PARTS].watch.start()


async def _end_streams(app: web.Application) -> None:
    app[live.HUB].close()


async def _stop(app: web.Application) -> None:
    parts = app[PARTS]
    parts.watch.stop()
    parts.apart.close_soon()
    parts.watching.close_soon()
    for check in (parts.database_up, parts.engine_view, parts.migrations_pending, parts.in_flight):
        check.stop()
    await parts.engine.settle(SETTLE_S)
