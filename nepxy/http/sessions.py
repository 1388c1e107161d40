"""Sessions of the console: a signed cookie that says who, since when, and when the person was last there.

The signature is itsdangerous's, by a key derived from `JWT_SECRET` (or the previous one, during a rotation). What was
signed out, and what was signed in by a secret that has been replaced, the database says; its word is kept for a
moment. A request that changes something needs a token besides, which only a page of ours can read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets as randomness
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from aiohttp import web
from itsdangerous import BadData, URLSafeSerializer

from nepxy.config.groups import AuthSettings
from nepxy.errors import CsrfTokenWrong, SessionOver
from nepxy.http.secrets import LiveSecrets
from nepxy.storage.database import Reader
from nepxy.storage.sessions import SessionStanding, session_standing

CSRF_HEADER: Final = "X-CSRF-Token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
STANDING_FOR_S: Final = 2.0
"""How long the database's word is believed: a session that is ended is refused after this at the latest."""
STANDINGS_MAX: Final = 1_000
COOKIE_CHARACTERS_MAX: Final = 1_024

_SESSION_SALT: Final = "nepxy/console-session/1"
_CSRF_SALT: Final = "nepxy/console-csrf/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in of an operator."""

    session_id: str
    operator_id: str
    secret_mark: str
    """Of the secret that it was signed in with: another secret ends it."""
    began_at: datetime
    seen_at: datetime


class Sessions:
    """Makes, reads and checks them. On the event loop only."""

    def __init__(
        self,
        *,
        settings: AuthSettings,
        secrets: LiveSecrets,
        reader: Reader,
        clock: Callable[[], datetime],
        secure: bool,
    ) -> None:
        """`secure`: the cookie is for HTTPS only, and its name says so to the browser."""
        self.cookie_name = "__Host-nepxy_session" if secure else "nepxy_session"
        self._secure = secure
        self._idle = timedelta(minutes=settings.console_idle_minutes)
        self._longest = timedelta(hours=settings.console_session_hours)
        self._secrets = secrets
        self._reader = reader
        self._clock = clock
        self._standings: dict[str, tuple[float, asyncio.Task[SessionStanding]]] = {}

    def begin(self, operator_id: str, secret_mark: str) -> Session:
        """A new session of an operator whose secret was right."""
        now = self._clock()
        return Session(
            session_id=randomness.token_urlsafe(18),
            operator_id=operator_id,
            secret_mark=secret_mark,
            began_at=now,
            seen_at=now,
        )

    def seen_now(self, session: Session) -> Session:
        """The same with the person there: the idle time begins anew."""
        return replace(session, seen_at=self._clock())

    def over_at(self, session: Session) -> datetime:
        """When it ends, unless the person is seen again."""
        return min(session.seen_at + self._idle, self.ends_at(session))

    def ends_at(self, session: Session) -> datetime:
        """When it ends, whatever happens."""
        return session.began_at + self._longest

    async def current(self, request: web.Request) -> Session | None:
        """The session of a request; None: it carries none.

        Raises:
            SessionOver: it is not good any more, or never was.
            CsrfTokenWrong: the request would change something, and does not come from a page of ours.
            Unavailable: nobody can say now.
        """
        cookie = request.cookies.get(self.cookie_name)
        if not cookie:
            return None
        session = self._read(cookie)
        standing = await self._standing(session)
        if standing.ended or standing.secret_mark != session.secret_mark:
            raise SessionOver
        if request.method not in SAFE_METHODS:
            self._check_csrf(request, session)
        structlog.contextvars.bind_contextvars(client_id=session.operator_id)
        return session

    def csrf_token(self, session: Session) -> str:
        """What a request that changes something must carry in its header."""
        return self._serializer(_CSRF_SALT).dumps(session.session_id)

    def put(self, response: web.Response, session: Session) -> None:
        """Give the browser the session's cookie."""
        content = {
            "id": session.session_id,
            "operator": session.operator_id,
            "mark": session.secret_mark,
            "began": int(session.began_at.timestamp()),
            "seen": int(session.seen_at.timestamp()),
        }
        response.set_cookie(
            self.cookie_name,
            self._serializer(_SESSION_SALT).dumps(content),
            max_age=int(self._longest.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )

    def take_away(self, response: web.Response) -> None:
        """Make the browser forget the cookie."""
        response.del_cookie(self.cookie_name, path="/", secure=self._secure, httponly=True, samesite="Strict")

    def forget_standing(self, session: Session) -> None:
        """Ask the database anew: it was just ended."""
        self._standings.pop(session.session_id, None)

    def _read(self, cookie: str) -> Session:
        if len(cookie) > COOKIE_CHARACTERS_MAX:
            raise SessionOver
        try:
            session = _session(self._serializer(_SESSION_SALT).loads(cookie))
        except (BadData, KeyError, TypeError, ValueError, OverflowError):
            raise SessionOver from None
        if self._clock() >= self.over_at(session):
            raise SessionOver
        return session

    def _check_csrf(self, request: web.Request, session: Session) -> None:
        try:
            named: Any = self._serializer(_CSRF_SALT).loads(request.headers.get(CSRF_HEADER, ""))
        except BadData:
            raise CsrfTokenWrong from None
        if not isinstance(named, str) or not hmac.compare_digest(named, session.session_id):
            raise CsrfTokenWrong

    def _serializer(self, salt: str) -> URLSafeSerializer:
        """The last key signs, all verify."""
        current, previous = self._secrets.jwt
        keys = [key.get_secret_value() for key in (previous, current) if key.get_secret_value()]
        return URLSafeSerializer(
            keys, salt=salt, signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )

    async def _standing(self, session: Session) -> SessionStanding:
        """Requests of one page share a look-up."""
        loop = asyncio.get_running_loop()
        until_s, task = self._standings.get(session.session_id, (0.0, None))
        if task is None or loop.time() >= until_s or (task.done() and task.exception() is not None):
            self._make_room(loop.time())
            asked = self._reader.run(session_standing, session.operator_id, session.session_id)
            task = loop.create_task(asked)
            self._standings[session.session_id] = (loop.time() + STANDING_FOR_S, task)
        return await asyncio.shield(task)

    def _make_room(self, now_s: float) -> None:
        if len(self._standings) >= STANDINGS_MAX:
            self._standings = {name: entry for name, entry in self._standings.items() if entry[0] > now_s}


def _session(content: Mapping[str, Any]) -> Session:
    return Session(
        session_id=str(content["id"]),
        operator_id=str(content["operator"]),
        secret_mark=str(content["mark"]),
        began_at=datetime.fromtimestamp(content["began"], UTC),
        seen_at=datetime.fromtimestamp(content["seen"], UTC),
    )
