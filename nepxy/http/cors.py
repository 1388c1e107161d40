"""Which origins' pages may call the API (CORS): those that the settings name, and nobody else."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

ALLOWED_METHODS: Final = "GET, POST, OPTIONS"
ALLOWED_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, X-Request-ID"
EXPOSED_HEADERS: Final = "Location, Idempotency-Replayed, Retry-After, X-Request-ID"
PREFLIGHT_AGE_S: Final = 600


def cors(origins: tuple[str, ...]) -> Middleware:
    """The middleware for these origins, one at least; `*` is every one. Tokens are no cookies: no credentials mode."""
    everyone = "*" in origins

    @web.middleware
    async def allow(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        allowed = origin is not None and (everyone or origin in origins)
        preflight = (
            request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        )
        response = web.Response(status=204) if allowed and preflight else await handler(request)
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if allowed and origin is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*" if everyone else origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS
            if preflight:
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = ALLOWED_METHODS
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ALLOWED_HEADERS
                response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(PREFLIGHT_AGE_S)
        return response

    return allow
