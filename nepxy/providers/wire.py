"""Calls to providers over HTTP, and what a call that went wrong means. The one place where that is decided.

A call ends as one of three values: `Answered` (a whole answer was read), `NotSent` (nothing of the request
left this machine: DNS, connect, TLS, or its time had passed), `Lost` (some of the request may have left, and
no whole answer came back). What an answer *says* is the adapter's to map, from the provider's own codes; what
`NotSent` and `Lost` mean, and every answer that an adapter has no mapping for, is the same for all and stands
below: provider page, section 1, rule 3.
"""

from __future__ import annotations

import re
import ssl
import string
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
import orjson
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from nepxy.config.masking import HIDDEN, mask_text
from nepxy.config.providers import ProviderSettings
from nepxy.config.secret import Secret
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, StatusReport
from nepxy.providers.contract import SendGuard

ANSWER_BYTES_MAX: Final = 256 * 1024
EVIDENCE_BYTES_MAX: Final = 300
RETRY_AFTER_S_MAX: Final = 86_400.0
"""More is a mistake of theirs; how much of it is waited out is the engine's to say."""

_MASKED_BYTES_MAX: Final = 4 * 1024
"""Masking costs time, so only the beginning of a large body is masked; it leaves more than the evidence holds."""
_NUMBER_CHARACTERS_MAX: Final = 64
_TOKEN_CHARACTERS: Final = string.ascii_letters + string.digits + "._~+/=-"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Called:
    """How a call ended, beside what it was."""

    sent: bytes = field(default=b"", repr=False, compare=False)
    """The request's body, or what the adapter wants kept of it."""

    def asked(self, *secrets: Secret) -> str:
        """What may be kept of the request: masked and bounded. Headers are not: they hold the credentials."""
        return _evidence("", self.sent, secrets) if self.sent else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(_Called):
    """A whole answer, with any status."""

    status: int
    body: bytes
    content_type: str
    """As labelled, which decides nothing: providers send JSON as text/plain, and proxies send HTML as JSON."""
    retry_after_s: float | None

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object; None if it is none."""
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return document if isinstance(document, dict) else None

    def masked(self, *secrets: Secret) -> str:
        """What may be kept of it: masked and bounded.

        Args:
            secrets: those that the call carried; providers echo what they were sent.
        """
        label = "" if "json" in self.content_type else f"{self.content_type} "
        return _evidence(f"{self.status} {label}", self.body, secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent(_Called):
    """Nothing of the request left this machine."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(_Called):
    """Some of the request may have left this machine, and no whole answer came back."""

    reason: str
    status: int | None = None
    """What the answer began with, if it began."""
    begun: bytes = b""
    """The part of the body that came."""

    def masked(self, *secrets: Secret) -> str:
        """What may be kept of the answer's beginning."""
        return "" if self.status is None else _evidence(f"{self.status} (cut) ", self.begun, secrets)


WireResult = Answered | NotSent | Lost


@dataclass(slots=True)
class _Call:
    """What the connector must know of the call that it connects for."""

    guard: SendGuard | None
    connected: bool = field(default=False)
    """From here on bytes may leave, so whatever goes wrong is `Lost`."""


class _TooLate(Exception):
    """`send_by` passed before a connection was there."""


class _SpokeFirst(Exception):
    """The other side sent something before it was asked: no HTTP server, or one that is out of step."""


_current_call: ContextVar[_Call | None] = ContextVar("nepxy_provider_call", default=None)


class _GuardedConnector(aiohttp.TCPConnector):
    """Asks the guard once a connection is there, which is the last moment before bytes leave."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - its signature
    ) -> Connection:
        call = _current_call.get()
        if call is not None and call.guard is not None and call.connected:
            # aiohttp writes PUT and DELETE again where a pooled connection died: a submit is written once.
            raise aiohttp.ClientConnectionError("a guarded request is written once")
        connection = await self._in_step(req, traces, timeout)
        if call is not None:
            if call.guard is not None and call.guard.is_late():
                connection.close()
                raise _TooLate
            call.connected = True
        return connection

    async def _in_step(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - its signature
    ) -> Connection:
        """A connection on which nothing has come unasked.

        An idle connection may hold a stray answer (a second copy, a proxy's 408), and aiohttp would read it as the
        answer to the next request on it: to another payout's.
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or not protocol.should_close:
                break
            connection.close()
            if protocol not in self._used:
                raise _SpokeFirst
        if protocol is not None:
            self._used.add(protocol)
        return connection


class ProviderHttp:
    """One provider's pooled session, with its own limits: a dead provider holds nobody else's sockets."""

    def __init__(
        self,
        *,
        timeout_s: float,
        connections_max: int,
        connect_timeout_s: float = 0.0,
        first_byte_timeout_s: float = 0.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare the session; it is opened at the first call, inside the loop.

        Args:
            timeout_s: for a whole call.
            connections_max: sockets at once.
            connect_timeout_s: for reaching the provider; 0: a quarter of the whole.
            first_byte_timeout_s: until the answer begins, and between two parts of it; 0: the whole.
            ssl_context: for providers with a certificate authority of their own; None: the system's.
        """
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_s,
            # With the wait for a free connection; the limit of reaching it is the next one.
            connect=max(timeout_s / 2, connect_timeout_s),
            sock_connect=connect_timeout_s or timeout_s / 4,
            sock_read=first_byte_timeout_s or timeout_s,
        )
        self._connections_max = connections_max
        self._ssl = ssl_context
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[tuple[str, str], _Proxy] = {}
        self._closed = False

    @classmethod
    def of(cls, settings: ProviderSettings) -> ProviderHttp:
        """The session that a provider's settings ask for."""
        return cls(
            timeout_s=settings.http_timeout_s,
            connections_max=settings.concurrency_max,
            connect_timeout_s=settings.connect_timeout_s,
            first_byte_timeout_s=settings.first_byte_timeout_s,
        )

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
        result = await self._exchange(method, url, headers, body, guard)
        return replace(result, sent=body) if body else result

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, guard: SendGuard | None
    ) -> WireResult:
        if self._closed:
            return NotSent(reason="SHUT_DOWN")
        call = _Call(guard)
        token = _current_call.set(call)
        try:
            _check_headers(headers)
            target = URL(url)
            proxy = self._proxy_for(target)
            async with self._opened().request(
                method,
                target,
                # A proxy reads the request itself, where there is no CONNECT that it could read instead.
                headers=headers if target.scheme == "https" else {**headers, **proxy.headers},
                data=body,
                allow_redirects=False,
                proxy=proxy.url,
                proxy_headers=proxy.headers,
            ) as response:
                return await _read(response)
        except _TooLate:
            return NotSent(reason="SEND_WINDOW_PASSED")
        except _SpokeFirst:
            return NotSent(reason="SPOKE_BEFORE_ASKED")
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            # `connected` decides, not the kind of the error.
            reason = _reason(error, connected=call.connected)
            return Lost(reason=reason) if call.connected else NotSent(reason=reason)
        finally:
            _current_call.reset(token)

    async def close(self) -> None:
        """Close every socket; later calls are not sent."""
        self._closed = True
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
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                headers={"User-Agent": "nepxy"},
            )
        return self._session

    def _proxy_for(self, url: URL) -> _Proxy:
        """The proxy that the machine's environment names for this host.

        Not through the session's `trust_env`: that would also take a password from ~/.netrc, which refuses to be
        sent beside our own Authorization header, and would cross to a thread twice a call.
        """
        key = (url.scheme, url.host or "")
        known = self._proxies.get(key)
        if known is None:
            proxy = None if not url.host or proxy_bypass(url.host) else getproxies().get(url.scheme)
            known = self._proxies[key] = _Proxy() if proxy is None else _Proxy.at(URL(proxy))
        return known


@dataclass(frozen=True, slots=True)
class _Proxy:
    url: URL | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, url: URL) -> _Proxy:
        if url.user is None:
            return cls(url)
        password = aiohttp.encode_basic_auth(url.user, url.password or "")
        return cls(url.with_user(None), {"Proxy-Authorization": password})


def _check_headers(headers: Mapping[str, str]) -> None:
    """aiohttp finds these only after it has a connection, when it could no longer be told from a lost request."""
    for name, value in headers.items():
        if any(character in value for character in "\r\n\0"):
            raise ValueError(f"header {name} holds a line break or NUL")


async def _read(response: aiohttp.ClientResponse) -> WireResult:
    body = bytearray()
    try:
        async for chunk in response.content.iter_chunked(16 * 1024):
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                response.close()
                return Lost(reason="ANSWER_TOO_LARGE", status=response.status, begun=bytes(body))
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        response.close()
        return Lost(reason=_reason(error, connected=True), status=response.status, begun=bytes(body))
    return Answered(
        status=response.status,
        body=bytes(body),
        content_type=response.content_type,
        retry_after_s=_retry_after(response.headers.get("Retry-After"), response.headers.get("Date")),
    )


def _retry_after(value: str | None, date: str | None) -> float | None:
    """RFC 9110, 10.2.3, in seconds, at most `RETRY_AFTER_S_MAX`; None where it cannot be read.

    A point in time counts from the answer's own `Date`: both are by the provider's clock, so ours does not matter.
    """
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), RETRY_AFTER_S_MAX)
    if not value or date is None:
        return None
    try:
        wait_s = (parsedate_to_datetime(value) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)


def _reason(error: BaseException, *, connected: bool) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "DNS_FAILED"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "TLS_FAILED"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "CONNECT_REFUSED"
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError():
            return "CONNECT_FAILED"
        case TimeoutError():
            return "TIMED_OUT" if connected else "CONNECT_TIMED_OUT"
        case aiohttp.ClientPayloadError():
            return "ANSWER_TRUNCATED"
        case aiohttp.ClientResponseError():
            return "ANSWER_UNREADABLE"
        case aiohttp.ClientConnectionError() | OSError():
            return "CONNECTION_LOST" if connected else "CONNECT_FAILED"
        case _:
            return "CALL_FAILED" if connected else "REQUEST_UNBUILDABLE"


def _evidence(prefix: str, body: bytes, secrets: tuple[Secret, ...]) -> str:
    text = body[:_MASKED_BYTES_MAX].decode("utf-8", errors="replace")
    if len(body) > _MASKED_BYTES_MAX:
        # Half of a number or a token, at the cut, is not recognised as one.
        masked = mask_text(text, 8 * _MASKED_BYTES_MAX, secrets=secrets)
        whole = masked.rstrip(_TOKEN_CHARACTERS)
        end = re.sub(r"\d", "*", whole[-_NUMBER_CHARACTERS_MAX:])
        text = f"{whole[:-_NUMBER_CHARACTERS_MAX]}{end}{HIDDEN}…"
    return mask_text(prefix + text, EVIDENCE_BYTES_MAX, secrets=secrets)


def failed_submit(result: NotSent | Lost, call: str, *secrets: Secret) -> Outcome:
    """What a submit without a whole answer means."""
    if isinstance(result, NotSent):
        return Outcome(
            kind=OutcomeClass.NOT_SENT,
            reason=result.reason,
            call=call,
            request=result.asked(*secrets),
            answer="nothing was sent",
            rule="nothing left this machine",
        )
    return Outcome(
        kind=OutcomeClass.UNKNOWN,
        reason=result.reason,
        call=call,
        request=result.asked(*secrets),
        answer=result.masked(*secrets) or "no answer",
        rule="may have left, no whole answer",
    )


def unmapped_submit(result: Answered, call: str, *secrets: Secret) -> Outcome:
    """What an answered submit means where the provider's own codes say nothing; total over every status."""
    kind, reason = OutcomeClass.UNKNOWN, f"HTTP_{result.status}"
    match result.status:
        case 401 | 403:
            kind, rule = OutcomeClass.BLOCKED, "401/403: an operator must act"
        case 429:
            kind, rule = OutcomeClass.THROTTLED, "429, not proven to precede processing"
        case status if 200 <= status < 300:
            reason, rule = "ANSWER_UNREADABLE", "2xx without the JSON of an acceptance"
        case status if 300 <= status < 400:
            rule = "a redirect is not followed"
        case _:
            rule = "unmapped is unknown"
    return Outcome(
        kind=kind,
        reason=reason,
        call=call,
        request=result.asked(*secrets),
        answer=result.masked(*secrets),
        rule=rule,
        retry_after_s=result.retry_after_s,
    )


def failed_read(result: NotSent | Lost, call: str, *secrets: Secret) -> StatusReport:
    """What a status read without a whole answer means: nothing about the payout."""
    answer = "nothing was sent" if isinstance(result, NotSent) else result.masked(*secrets) or "no answer"
    return StatusReport(
        finding=Finding.NO_ANSWER,
        reason=result.reason,
        provider_failed=True,
        call=call,
        request=result.asked(*secrets),
        answer=answer,
        rule="a failed read proves nothing",
    )


def unmapped_read(result: Answered, call: str, *secrets: Secret) -> StatusReport:
    """What an answered status read means where the provider's own codes say nothing: nothing either."""
    return StatusReport(
        finding=Finding.NO_ANSWER,
        reason="ANSWER_UNREADABLE" if result.status == 200 else f"HTTP_{result.status}",
        provider_failed=result.status >= 500,
        retry_after_s=result.retry_after_s,
        call=call,
        request=result.asked(*secrets),
        answer=result.masked(*secrets),
        rule="an unreadable answer proves nothing",
    )
