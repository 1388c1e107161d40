"""Who asks, and may they: bearer tokens, scopes, and what is registered here about their owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import peewee
import structlog
from aiohttp import web

from nepxy.config.groups import AuthSettings
from nepxy.config.secret import Secret
from nepxy.errors import ClientDisabled, ScopeMissing, TokenMissing
from nepxy.http.secrets import LiveSecrets
from nepxy.http.sessions import Sessions
from nepxy.http.throttle import ClientLimit
from nepxy.http.tokens import Claims, Verifier
from nepxy.storage.database import Reader
from nepxy.storage.people import ClientRecord, OperatorRecord, find_client, find_operator

PAYOUTS_WRITE: Final = "payouts:write"
PAYOUTS_READ: Final = "payouts:read"
ADMIN: Final = "admin"
"""Both of the two below."""
ADMIN_READ: Final = "admin:read"
ADMIN_WRITE: Final = "admin:write"
OPERATOR_SCOPES: Final = (ADMIN, ADMIN_READ, ADMIN_WRITE)

KNOWN_FOR_S: Final = 2.0
"""How long a look-up is believed: a client that is disabled here is refused after this at the latest."""
KNOWN_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What is registered here under a token's subject; a client need not be."""

    client: ClientRecord | None
    operator: OperatorRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A client that may do what it asks for."""

    client_id: str
    external_ref_unique: bool


class Gatekeeper:
    """Checks the token of a request, and remembers for a moment who its owner is."""

    def __init__(
        self,
        *,
        settings: AuthSettings,
        secrets: LiveSecrets | None = None,
        reader: Reader,
        clock: Callable[[], datetime],
        sessions: Sessions | None = None,
        client_limit: ClientLimit | None = None,
        operators: Reader | None = None,
    ) -> None:
        """Verify by these secrets (without `secrets`: by those of the settings, for good); ask `reader` for owners.

        `sessions` are the console's, which operators may use instead of a token. Operators are looked up at
        `operators`, where that is another pool: they come when the other one is exhausted.
        """
        self._settings = settings
        self._secrets = secrets
        self._reader = reader
        self._clock = clock
        self._sessions = sessions
        self._client_limit = client_limit
        self._verifier = Verifier()
        self._operators = operators or reader
        self._known: dict[str, tuple[float, asyncio.Task[Registered]]] = {}

    async def client(self, request: web.Request, scope: str) -> Caller:
        """The client that asks, if its token carries this scope of clients.

        Raises:
            Unauthenticated, ScopeMissing, ClientDisabled: it may not.
            RateLimited: it may, and asks too often.
            Unavailable: nobody can say now.
        """
        claims = self._claims(request)
        if self._client_limit is not None:
            self._client_limit.check(claims.subject)
        if scope not in claims.scopes:
            raise ScopeMissing(scope)
        found = await self._registered(claims.subject)
        record = found.client or found.operator
        if record is not None and record.disabled:
            raise ClientDisabled
        unique = found.client.external_ref_unique if found.client is not None else True
        return Caller(client_id=claims.subject, external_ref_unique=unique)

    async def operator(self, request: web.Request, scope: str = ADMIN) -> OperatorRecord:
        """The operator who asks, if both the token and what is registered here allow this scope of operators.

        The one place where operators come in, whichever way they prove who they are.

        Raises:
            Unauthenticated, ScopeMissing, ClientDisabled: he may not.
            Unavailable: nobody can say now.
        """
        claims = await self._operator_claims(request)
        if not allows(claims.scopes, scope):
            raise ScopeMissing(scope)
        operator = (await self._registered(claims.subject, self._operators)).operator
        if operator is None or not allows(operator.scopes, scope):
            raise ScopeMissing(scope)
        if operator.disabled:
            raise ClientDisabled
        return operator

    def _keys(self) -> tuple[Secret, Secret]:
        if self._secrets is not None:
            return self._secrets.jwt
        return self._settings.jwt_secret, self._settings.jwt_secret_previous

    def _claims(self, request: web.Request) -> Claims:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenMissing
        claims = self._verifier.verify(
            token.strip(),
            secrets=self._keys(),
            now=self._clock(),
            leeway_s=self._settings.clock_skew_s,
        )
        structlog.contextvars.bind_contextvars(client_id=claims.subject)
        return claims

    async def _operator_claims(self, request: web.Request) -> Claims:
        """Of the token; where there is none, of the console's session, which carries all that its operator may do."""
        if self._sessions is None or "Authorization" in request.headers:
            return self._claims(request)
        session = await self._sessions.current(request)
        if session is None:
            raise TokenMissing
        return Claims(subject=session.operator_id, scopes=frozenset({ADMIN}))

    async def _registered(self, subject: str, reader: Reader | None = None) -> Registered:
        """Look the owner up; many requests of one client at once share one look-up."""
        loop = asyncio.get_running_loop()
        known_until_s, task = self._known.get(subject, (0.0, None))
        if task is None or loop.time() >= known_until_s or (task.done() and task.exception() is not None):
            self._make_room()
            task = loop.create_task((reader or self._reader).run(find_registered, subject))
            self._known[subject] = (loop.time() + KNOWN_FOR_S, task)
        return await asyncio.shield(task)

    def _make_room(self) -> None:
        if len(self._known) < KNOWN_MAX:
            return
        now_s = asyncio.get_running_loop().time()
        self._known = {name: entry for name, entry in self._known.items() if entry[0] > now_s}
        while len(self._known) >= KNOWN_MAX:
            self._known.pop(next(iter(self._known)))


def allows(granted: Collection[str], scope: str) -> bool:
    """Whether these scopes hold this one of operators."""
    return scope in granted or ADMIN in granted


def find_registered(database: peewee.Database, subject: str) -> Registered:
    """Both records in one trip to a thread."""
    client = find_client(database, subject)
    operator = find_operator(database, subject) if client is None else None
    return Registered(client=client, operator=operator)
