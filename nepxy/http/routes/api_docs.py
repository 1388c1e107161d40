"""`/openapi.json` and `/docs`: what this API is. Public, like the software; made once, at the first question."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final

import orjson
from aiohttp import web

from nepxy.http.api_docs.client_operations import CLIENT_OPERATIONS
from nepxy.http.api_docs.document import openapi
from nepxy.http.api_docs.engine_operations import ENGINE_OPERATIONS
from nepxy.http.api_docs.machine_operations import MACHINE_OPERATIONS
from nepxy.http.api_docs.operation import Operation
from nepxy.http.api_docs.operator_operations import OPERATOR_OPERATIONS
from nepxy.http.api_docs.page import docs_page
from nepxy.http.api_docs.provider_operations import PROVIDER_OPERATIONS
from nepxy.http.api_docs.record_operations import RECORD_OPERATIONS
from nepxy.http.bodies import JSON
from nepxy.http.parts import parts_of

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    **CLIENT_OPERATIONS,
    **PROVIDER_OPERATIONS,
    **OPERATOR_OPERATIONS,
    **RECORD_OPERATIONS,
    **ENGINE_OPERATIONS,
    **MACHINE_OPERATIONS,
}
_PAGE_POLICY: Final = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"


async def document(request: web.Request) -> web.Response:
    """The OpenAPI document."""
    version = parts_of(request).front.settings.app_version
    return web.Response(body=_document(version), content_type=JSON)


async def page(request: web.Request) -> web.Response:
    """The same for a person."""
    version = parts_of(request).front.settings.app_version
    return web.Response(
        text=_page(version), content_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY}
    )


async def style(request: web.Request) -> web.Response:
    """The page's style sheet."""
    return web.Response(text=_style(), content_type="text/css")


@lru_cache(maxsize=2)
def _document(version: str) -> bytes:
    return orjson.dumps(openapi(OPERATIONS, version=version))


@lru_cache(maxsize=2)
def _page(version: str) -> str:
    return docs_page(openapi(OPERATIONS, version=version))


@lru_cache(maxsize=1)
def _style() -> str:
    return files("nepxy.http.api_docs").joinpath("style.css").read_text()


ROUTES: Final = (
    ("GET", "/openapi.json", document),
    ("GET", "/docs", page),
    ("GET", "/docs/style.css", style),
)
