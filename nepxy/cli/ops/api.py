"""The operators' API (docs/operators-api.md) from outside: one base URL, one person, each way in which it can refuse.

Over the standard library: a command line that must work when things are wrong should need little to start.
"""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

TIMEOUT_S: Final = 30.0
"""Longer than the engine itself waits for an actor or the database."""
UPLOAD_TIMEOUT_S: Final = 900.0
ADMIN: Final = "/v1/admin"

JsonObject = dict[str, Any]


class Refused(Exception):
    """The engine, or we ourselves, said no: the command changed nothing."""

    def __init__(self, code: str, message: str, hint: str = "", document: JsonObject | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.document: JsonObject = document or {}


class Unreachable(Exception):
    """Nobody answered, or not sensibly: what became of a command is unknown until it is asked again."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx: 202 means that a second person has to agree, or that the work has only begun."""

    status: int
    body: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who asks: a token, or what one is fetched with."""

    token: str = ""
    operator_id: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return f"Person(operator_id={self.operator_id!r})"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The library would carry the token along to wherever it is sent."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_open = urllib.request.build_opener(_NoRedirects).open


class Api:
    """Asks one engine, as one person."""

    def __init__(self, base: str, person: Person) -> None:
        """`base` is scheme and host, with a path before `/v1` if a proxy puts one there."""
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise Refused(
                "URL_INVALID",
                f"NEPXY_URL is not a base URL: {base}",
                "Set it to http://HOST:PORT or https://HOST.",
            )
        self.base = base.rstrip("/")
        self._person = person
        self._token = person.token
        self._timeout_s = TIMEOUT_S

    def get(self, path: str, **query: Any) -> JsonObject:
        """Read `path` below /v1/admin. A filter that is None or empty is left out."""
        given = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in query.items()
            if value is not None and value != ""
        }
        return self._ask("GET", f"{ADMIN}{path}" + (f"?{urlencode(given)}" if given else "")).body

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Command `path` below /v1/admin; fields that are None are not sent."""
        sent = {name: value for name, value in body.items() if value is not None}
        return self._ask("POST", f"{ADMIN}{path}", json.dumps(sent).encode())

    def upload(self, path: str, content: bytes, **query: Any) -> Answer:
        """Post a CSV file; answered when it was worked through."""
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        self._timeout_s = UPLOAD_TIMEOUT_S
        return self._ask("POST", f"{ADMIN}{path}?{urlencode(given)}", content, content_type="text/csv")

    def text(self, path: str) -> str:
        """A file, such as a report as CSV."""
        status, content = self._exchange("GET", f"{ADMIN}{path}", None, "", self._bearer())
        if status != 200:
            raise _error(status, self._parsed(content, status))
        return content.decode()

    def probe(self, path: str) -> tuple[int, JsonObject]:
        """A health path, which needs no token and whose 503 is an answer, too."""
        status, content = self._exchange("GET", path, None, "", {})
        return status, self._parsed(content, status)

    def _ask(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> Answer:
        status, content = self._exchange(method, path, body, content_type, self._bearer())
        if status == 401 and self._person.secret:
            # Watching for longer than a token lives: a new one, once.
            self._token = ""
            status, content = self._exchange(method, path, body, content_type, self._bearer())
        document = self._parsed(content, status)
        if 200 <= status < 300:
            return Answer(status, document)
        raise _error(status, document)

    def _bearer(self) -> dict[str, str]:
        if not self._token:
            self._token = self._fetched_token()
        return {"Authorization": f"Bearer {self._token}"}

    def _fetched_token(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._person.operator_id,
            "client_secret": self._person.secret,
        }
        status, content = self._exchange(
            "POST", "/v1/auth/token", urlencode(form).encode(), "application/x-www-form-urlencoded", {}
        )
        document = self._parsed(content, status)
        if status != 200:
            raise _error(status, document)
        return str(document["access_token"])

    def _exchange(
        self, method: str, path: str, body: bytes | None, content_type: str, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        sent = {"Accept": "application/json", **headers}
        if body is not None:
            sent["Content-Type"] = content_type
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self.base + path, data=body, headers=sent, method=method
        )
        try:
            with _open(request, timeout=self._timeout_s) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as answered:
            with answered:
                return answered.code, answered.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        late = isinstance(reason, socket.timeout | TimeoutError)
        what = f"no answer within {self._timeout_s:g} s" if late else str(reason) or type(reason).__name__
        return Unreachable(
            f"{self.base} cannot be reached: {what}",
            "Is the engine running, and is NEPXY_URL right?",
        )

    def _parsed(self, content: bytes, status: int) -> JsonObject:
        try:
            document = json.loads(content)
        except ValueError:
            document = None
        if isinstance(document, dict):
            return document
        raise Unreachable(
            f"{self.base} answered {status}, and not as NepXy does",
            "Is NEPXY_URL the engine's own address, and not that of something before it?",
        )


def segment(value: str, what: str) -> str:
    """One part of a path; an empty or a dotted one would ask for something else."""
    if not value.strip() or value in (".", ".."):
        raise Refused(
            "VALIDATION_FAILED", f"{what} is empty or not one", f"Give the {what} as the lists show it."
        )
    return quote(value, safe="")


def _error(status: int, document: JsonObject) -> Refused | Unreachable:
    code = str(document.get("code", f"HTTP_{status}"))
    message = str(document.get("detail") or document.get("title") or "no reason was given")
    hint = str(document.get("hint", ""))
    if status >= 500:
        request_id = document.get("request_id", "unknown")
        return Unreachable(f"{code}: {message} (request {request_id})", hint)
    return Refused(code, message, hint, document)
