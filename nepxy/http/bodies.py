"""Bodies in and out: JSON objects, strictly read, and canonical JSON for what must compare equal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from nepxy.errors import BadJson, BodyTooLarge, BodyTooSlow, ContentTypeUnsupported

JSON = "application/json"
BODY_S_MAX: Final = web.AppKey("body_s_max", float)
"""How many seconds a body may take: who sends a byte a minute holds a place as well as who pays."""


async def read_body(request: web.Request) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: before more than the limit was read.
        BodyTooSlow: it was not here in time.
    """
    limit = request.client_max_size
    if request.content_length is not None and request.content_length > limit:
        raise BodyTooLarge(limit)
    limit_s = request.app[BODY_S_MAX]
    try:
        if request.content.is_eof():
            return await request.read()  # it is all here, with its head: nothing is waited for
        async with asyncio.timeout(limit_s):
            return await request.read()
    except TimeoutError:
        raise BodyTooSlow(limit_s) from None
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge(limit) from None


async def read_object(request: web.Request) -> dict[str, Any]:
    """The body as one JSON object.

    Raises:
        ContentTypeUnsupported, BodyTooLarge, BadJson: it is none.
    """
    check_content_type(request, JSON)
    return parse_object(await read_body(request))


def check_content_type(request: web.Request, *allowed: str) -> str:
    """The body's media type, if it is one of these.

    Raises:
        ContentTypeUnsupported: it is missing or another.
    """
    given = request.headers.get("Content-Type", "")
    if not given or request.content_type not in allowed:
        raise ContentTypeUnsupported(given)
    return request.content_type


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object. Refuses what readers disagree about: a name twice, NaN, lone surrogates.

    Raises:
        BadJson: it is no such object.
    """
    try:
        # Stricter than the standard library on text and numbers, but a name that comes twice is lost on it, and with
        # it one of two amounts; nor does it keep integers beyond 64 bits apart from floats.
        orjson.loads(body)
        document = _ONCE.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise BadJson(str(error) if isinstance(error, _Repeated) else "the body is not JSON") from None
    if not isinstance(document, dict):
        raise BadJson
    return document


def canonical(value: Any) -> str:
    """JSON that is the same text for the same value."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def json_response(
    document: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer in JSON."""
    return web.Response(body=orjson.dumps(document), status=status, headers=headers, content_type=JSON)


class _Repeated(ValueError):
    """An object has a name twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _Repeated("the body has a field twice")
    return document


_ONCE: Final = json.JSONDecoder(object_pairs_hook=_once)
