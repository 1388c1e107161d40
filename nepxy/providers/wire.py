"""Calls to providers over HTTP, and what a call that went wrong means. The one place where that is decided.

A call ends as one of three values: `Answered` (a whole answer was read), `NotSent` (nothing of the request
left this machine: DNS, connect, TLS, or its time had passed), `Lost` (some of the request may have left, and
no whole answer came back). What an answer *says* is the adapter's to map; what `NotSent` and `Lost` mean is
the same for all: provider page, section 1, rule 3.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from nepxy.config.masking import mask_text
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, StatusReport
from nepxy.providers.contract import SendGuard

ANSWER_BYTES_MAX: Final = 256 * 1024
EVIDENCE_BYTES_MAX: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A whole answer, with any status."""

    status: int
    body: bytes
    content_type: str
    retry_after_s: float | None

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object; None if it is none."""
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return document if isinstance(document, dict) else None

    def masked(self) -> str:
        """What may be kept of it: masked and bounded."""
        text = self.body[: 4 * EVIDENCE_BYTES_MAX].decode("utf-8", errors="replace")
        return mask_text(f"{self.status} {text}", EVIDENCE_BYTES_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """Nothing of the request left this machine."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Some of the request may have left this machine, and no whole answer came back."""

    reason: str
    status: int | None = None


WireResult = Answered | NotSent | Lost


@dataclass(slots=True)
class _Call:
    """What the connector must know of the call that it connects for."""

    guard: SendGuard | None
    connected: bool = field(default=False)


class _TooLate(Exception):
    """`send_by` passed before a connection was there."""


_current_call: ContextVar[_Call | None] = ContextVar("nepxy_provider_call", default=None)


class _GuardedConnector(aiohttp.TCPConnector):
    """Asks the guard once a connection is there, which is the last moment before bytes leave."""

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - its signature
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        call = _current_call.get()
        if call is not None:
            if call.guard is not None and call.guard.is_late():
                connection.close()
                raise _TooLate
            call.connected = True
        return connection


class ProviderHttp:
    """One provider's pooled session, with its own limits: a dead provider holds nobody else's sockets."""

    def __init__(
        self, *, timeout_s: float, connections_max: int, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        """Prepare the session; it is opened at the first call, inside the loop.

        Args:
            timeout_s: for a whole call; connecting has a quarter of it.
            connections_max: sockets at once.
            ssl_context: for providers with a certificate authority of their own; None: the system's.
        """
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_s, connect=timeout_s / 2, sock_connect=timeout_s / 4, sock_read=timeout_s
        )
        self._connections_max = connections_max
        self._ssl = ssl_context
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        guard: SendGuard | None = None,
    ) -> WireResult:
        """Make one call. Redirects are not followed: a POST must not wander.

        Never raises for what the network or the provider does.
        """
        call = _Call(guard)
        token = _current_call.set(call)
        try:
            async with self._opened().request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                return await _read(response)
        except _TooLate:
            return NotSent(reason="SEND_WINDOW_PASSED")
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: a URL or a header that cannot be built. `connected` decides, not the kind of the error.
            return Lost(reason=_reason(error)) if call.connected else NotSent(reason=_reason(error))
        finally:
            _current_call.reset(token)

    async def close(self) -> None:
        """Close every socket."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = _GuardedConnector(
                limit=self._connections_max, ttl_dns_cache=60, keepalive_timeout=15, ssl=self._ssl or True
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                trust_env=True,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                headers={"User-Agent": "nepxy"},
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> WireResult:
    body = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            response.close()
            return Lost(reason="ANSWER_TOO_LARGE", status=response.status)
    return Answered(
        status=response.status,
        body=bytes(body),
        content_type=response.content_type,
        retry_after_s=_retry_after(response.headers.get("Retry-After")),
    )


def _retry_after(value: str | None) -> float | None:
    """RFC 9110, 10.2.3; only the form in seconds: a date would need to trust the provider's clock."""
    if value is None or not value.strip().isdigit():
        return None
    return float(value.strip()[:6])


def _reason(error: BaseException) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "DNS_FAILED"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "TLS_FAILED"
        case aiohttp.ClientConnectorError():
            return "CONNECT_FAILED"
        case TimeoutError():
            return "TIMED_OUT"
        case aiohttp.ClientPayloadError():
            return "ANSWER_TRUNCATED"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return "CONNECTION_LOST"
        case aiohttp.ClientResponseError():
            return "ANSWER_UNREADABLE"
        case aiohttp.InvalidURL() | ValueError():
            return "REQUEST_UNBUILDABLE"
        case _:
            return "CALL_FAILED"


def failed_submit(result: NotSent | Lost, call: str) -> Outcome:
    """What a submit without a whole answer means."""
    if isinstance(result, NotSent):
        return Outcome(
            kind=OutcomeClass.NOT_SENT, reason=result.reason, call=call, rule="nothing left this machine"
        )
    return Outcome(
        kind=OutcomeClass.UNKNOWN, reason=result.reason, call=call, rule="may have left, no whole answer"
    )


def failed_read(result: NotSent | Lost, call: str) -> StatusReport:
    """What a status read without a whole answer means: nothing about the payout."""
    return StatusReport(
        finding=Finding.NO_ANSWER, reason=result.reason, call=call, rule="a failed read proves nothing"
    )
