"""The console's files: read once, served from memory, each with a digest as its ETag.

They lie in `console/` as a browser gets them; there is no build step. Their policy lets a browser load nothing but
them, run no script but theirs, and send nothing anywhere but here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from aiohttp import web

PAGE: Final = "index.html"

CONTENT_TYPES: Final = MappingProxyType(
    {
        "html": "text/html",
        "css": "text/css",
        "js": "text/javascript",
        "svg": "image/svg+xml",
    }
)

HEADERS: Final = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            "manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        ),
        # Kept, but asked about each time: a page and its modules are always of one release.
        "Cache-Control": "no-cache",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "X-Frame-Options": "DENY",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One of them."""

    name: str
    content_type: str
    body: bytes
    etag: str


def _read() -> Mapping[str, File]:
    found = {}
    for entry in sorted(files("nepxy.http").joinpath("console").iterdir(), key=lambda entry: entry.name):
        content_type = CONTENT_TYPES.get(entry.name.rpartition(".")[2])
        if content_type is not None:
            body = entry.read_bytes()
            etag = hashlib.sha256(body).hexdigest()[:32]
            found[entry.name] = File(name=entry.name, content_type=content_type, body=body, etag=etag)
    return MappingProxyType(found)


FILES: Final = _read()


def answer_file(request: web.Request, found: File) -> web.Response:
    """The file, or that the browser has it already."""
    etags = request.if_none_match or ()
    known = any(etag.value in (found.etag, "*") for etag in etags)
    if known:
        response = web.Response(status=304, headers=HEADERS)
    else:
        response = web.Response(
            body=found.body, headers=HEADERS, content_type=found.content_type, charset="utf-8"
        )
    response.etag = found.etag
    return response
