"""Around every request: its id, its log line, its metrics; and every error as a problem document (RFC 9457)."""

from __future__ import annotations

import asyncio
from typing import Final

import orjson
import structlog
from aiohttp import ClientPayloadError, web
from aiohttp.typedefs import Handler

from nepxy.config.groups import Environment
from nepxy.errors import (
    BadJson,
    BodyTooLarge,
    EngineBusy,
    MethodNotAllowed,
    NepXyError,
    RequestError,
    RouteNotFound,
    Unavailable,
    problem,
)
from nepxy.http.ids import request_id_from
from nepxy.http.metrics import PAYOUTS_ROUTE, UNMATCHED
from nepxy.http.parts import PARTS, REQUEST_ID, request_id_of

PROBLEM_JSON: Final = "application/problem+json"
CLIENT_GONE: Final = 499
"""Nginx's own status for it: nobody reads the answer, and the counters tell it apart."""

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
HSTS: Final = f"max-age={365 * 86_400}"
"""RFC 6797: a browser that came by HTTPS once never comes by HTTP again. In production only: development has no TLS."""
QUIET_ROUTES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Machines ask these all day long; their lines are for debugging."""
BUSY_ROUTES: Final = frozenset({PAYOUTS_ROUTE, "/v1/webhooks/{provider}"})
"""Each payout comes by these, and has a line of its own when it is settled: of the requests, those that failed."""

log = structlog.get_logger()


@web.middleware
async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost middleware: nothing leaves without an id, a line and a count. `problems` must be inside it."""
    # One connection's requests run in one task, and so in one context.
    structlog.contextvars.clear_contextvars()
    parts = request.app[PARTS]
    request_id = request_id_from(request.headers.get("X-Request-ID"), parts.front.new_id)
    request[REQUEST_ID] = request_id
    structlog.contextvars.bind_contextvars(request_id=request_id)
    route = route_of(request)
    loop = asyncio.get_running_loop()
    began_at_s = loop.time()
    status = CLIENT_GONE
    try:
        response = await handler(request)
        status = response.status
        response.headers["X-Request-ID"] = request_id
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if parts.front.settings.env is Environment.PROD:
            response.headers.setdefault("Strict-Transport-Security", HSTS)
        return response
    finally:
        duration_s = loop.time() - began_at_s
        parts.metrics.answered(route, status, duration_s)
        write = log.debug if _is_quiet(route, status) else log.info
        write(
            "request.handled",
            method=request.method,
            route=route,
            status=status,
            duration_s=round(duration_s, 6),
        )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The innermost middleware: every error becomes a problem document."""
    request_id = request_id_of(request)
    try:
        return await handler(request)
    except web.HTTPException as raised:
        return problem_response(_ours(raised, request), request, request_id)
    except (RequestError, Unavailable) as error:
        structlog.contextvars.bind_contextvars(code=error.code)
        return problem_response(error, request, request_id)
    except (ConnectionError, ClientPayloadError, web.RequestPayloadError) as error:
        if request.transport is not None and not request.transport.is_closing():
            log.exception("request.failed", method=request.method, path=route_of(request))
            return problem_response(error, request, request_id)
        return web.Response(status=CLIENT_GONE)
    except Exception as error:
        log.exception("request.failed", method=request.method, path=route_of(request))
        return problem_response(error, request, request_id)


def _is_quiet(route: str, status: int) -> bool:
    return route in QUIET_ROUTES or (route in BUSY_ROUTES and (status < 400 or _is_turned_away(status)))


def _is_turned_away(status: int) -> bool:
    """Refused for want of room: it is counted, and a line for each would make the want greater."""
    return status == 503 and structlog.contextvars.get_contextvars().get("code") == EngineBusy.fixed_code


def route_of(request: web.Request) -> str:
    """The path template; never the path itself, which has ids in it."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else UNMATCHED


def problem_response(error: Exception, request: web.Request, request_id: str) -> web.Response:
    """An error as a problem document."""
    document = problem(error, request_id=request_id, instance=request.path)
    headers = error.headers() if isinstance(error, NepXyError) else {}
    return web.Response(
        body=orjson.dumps(document), status=document["status"], headers=headers, content_type=PROBLEM_JSON
    )


def _ours(raised: web.HTTPException, request: web.Request) -> NepXyError:
    """What aiohttp itself refuses, in our words."""
    match raised:
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowed(request.method, raised.allowed_methods)
        case web.HTTPRequestEntityTooLarge():
            return BodyTooLarge(request.client_max_size)
        case web.HTTPNotFound():
            return RouteNotFound(request.path)
        case web.HTTPClientError():
            return BadJson("the request cannot be read")
        case _:
            log.error("request.failed", method=request.method, status=raised.status)
            return NepXyError("INTERNAL_ERROR", "an unexpected answer of the HTTP library")
