"""Builds the sandbox: one world, its providers, its control API."""

from collections.abc import AsyncIterator, Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from nepxy.sandbox import flooz, momo, moov_soap, paygate, qosic, thunes, tmoney
from nepxy.sandbox.config import SandboxConfig
from nepxy.sandbox.connection import reset
from nepxy.sandbox.control import Control
from nepxy.sandbox.wire import error_response
from nepxy.sandbox.world import Provider, Stopping, World

BODY_BYTES_MAX = 64 * 1024

PROVIDERS: tuple[Callable[[World], Provider], ...] = (
    tmoney.build,
    flooz.build,
    moov_soap.build,
    paygate.build,
    qosic.build,
    thunes.build,
    momo.build,
)
"""One builder for each provider's module."""


def create_app(config: SandboxConfig) -> web.Application:
    """A sandbox that wakes with the application's start-up and stops with its clean-up.

    Start-up raises RuntimeError if `ledger_path` cannot be read or is held by another sandbox.
    """
    world = World(config)
    app = web.Application(middlewares=[_outages(world)], client_max_size=BODY_BYTES_MAX)
    for build in PROVIDERS:
        app.add_routes(build(world).routes())
    app.add_routes(Control(world).routes())

    async def run_world(app: web.Application) -> AsyncIterator[None]:
        await world.start()
        yield
        await world.stop()

    async def announce_stop(app: web.Application) -> None:
        world.announce_stop()

    app.cleanup_ctx.append(run_world)
    app.on_shutdown.append(announce_stop)
    return app


def _outages(world: World) -> Middleware:
    @web.middleware
    async def outages(request: web.Request, handler: Handler) -> web.StreamResponse:
        faults = world.faults.get(request.path.split("/", 2)[1])
        if faults is not None and faults.down:
            return reset(request)
        try:
            return await handler(request)
        except Stopping:
            return reset(request)
        except web.HTTPException as error:
            # aiohttp's own 404, 405 and 413 are plain text; a JSON provider's are not.
            return error_response(error.status, error.reason.upper().replace(" ", "_"), error.reason)

    return outages
