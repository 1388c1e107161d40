"""The console's page and files, and `/console/session`: sign in, stay in, sign out. All else it asks the API for."""

from __future__ import annotations

from typing import Any, Final

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from nepxy.engine.money import EXPONENTS
from nepxy.errors import ClientDisabled, RouteNotFound, Unauthenticated, Unavailable
from nepxy.http.bodies import json_response, read_object
from nepxy.http.console_files import FILES, PAGE, answer_file
from nepxy.http.parts import Parts, note, parts_of
from nepxy.http.routes.auth import IDENTITY_CHARACTERS_MAX, SECRET_CHARACTERS_MAX
from nepxy.http.sessions import Session
from nepxy.http.throttle import address_of
from nepxy.http.validation import read_query
from nepxy.storage.people import ClientRecord, OperatorRecord, authenticate, find_operator
from nepxy.storage.sessions import end_session, session_standing

OWN_PAGES: Final = (None, "same-origin")
"""`Sec-Fetch-Site` of a request that a page of ours makes; tools that are no browser send none."""

log = structlog.get_logger()


class SignIn(BaseModel):
    """Who comes, with which secret."""

    model_config = ConfigDict(extra="forbid", strict=True)

    operator_id: str
    secret: str


class SignInRefused(Unauthenticated):
    """401. Does not say which of the two was wrong; and no challenge, or browsers would open a box of their own."""

    fixed_code = "CLIENT_CREDENTIALS_INVALID"

    def __init__(self) -> None:
        super().__init__(
            self.fixed_code,
            "operator id or secret is wrong",
            "Check both; python -m nepxy operators add gives a registered operator a new secret.",
        )

    def headers(self) -> dict[str, str]:
        """None."""
        return {}


async def sign_in(request: web.Request) -> web.Response:
    """Operator id and secret become a session."""
    parts = parts_of(request)
    if request.headers.get("Sec-Fetch-Site") not in OWN_PAGES:
        raise SignInRefused
    wanted = read_query(SignIn, await read_object(request))
    operator, mark = await _checked(request, parts, wanted)
    session = parts.sessions.begin(operator.operator_id, mark)
    note(client_id=operator.operator_id)
    log.info("console.signed_in")
    return _answer(parts, session, operator)


async def stay(request: web.Request) -> web.Response:
    """Who is signed in. The page asks when its person did something, so the idle time begins anew."""
    parts = parts_of(request)
    session = await parts.sessions.current(request)
    if session is None:
        return json_response({"signed_in": False})
    operator = await parts.front.reader.run(find_operator, session.operator_id)
    if operator is None or operator.disabled:
        raise ClientDisabled
    return _answer(parts, parts.sessions.seen_now(session), operator)


async def sign_out(request: web.Request) -> web.Response:
    """End the session, on every node and for good."""
    parts = parts_of(request)
    session = await parts.sessions.current(request)
    response = json_response({"signed_in": False})
    if session is not None:
        await parts.front.reader.run(end_session, session.session_id, parts.sessions.ends_at(session))
        parts.sessions.forget_standing(session)
        log.info("console.signed_out")
    parts.sessions.take_away(response)
    return response


async def page(request: web.Request) -> web.Response:
    """The one page of the console."""
    return answer_file(request, FILES[PAGE])


async def file(request: web.Request) -> web.Response:
    """A style sheet, a module or a picture of it."""
    found = FILES.get(request.match_info["name"])
    if found is None or found.name == PAGE:
        raise RouteNotFound(request.path)
    return answer_file(request, found)


async def _checked(request: web.Request, parts: Parts, wanted: SignIn) -> tuple[OperatorRecord, str]:
    """The operator whose secret this is, and which of his secrets."""
    identity, secret = wanted.operator_id, wanted.secret
    fits = 0 < len(identity) <= IDENTITY_CHARACTERS_MAX and 0 < len(secret) <= SECRET_CHARACTERS_MAX
    if not fits or not identity.isprintable() or "\0" in secret:
        raise SignInRefused
    address = address_of(request, parts.front.settings.http.client_address_header)
    attempt = parts.login_limit.begin(identity, address)
    try:
        # Argon2 takes tens of milliseconds on purpose: in the reader's thread, never on the loop.
        record = await parts.reader_of_people().run(authenticate, identity, secret)
        standing = await parts.front.reader.run(session_standing, identity, "")
    except Unavailable:
        attempt.forgive()
        raise
    if record is None or isinstance(record, ClientRecord) or standing.secret_mark is None:
        log.warning("console.sign_in_refused")
        raise SignInRefused
    attempt.forgive()
    if record.disabled:
        raise ClientDisabled
    return record, standing.secret_mark


def _answer(parts: Parts, session: Session, operator: OperatorRecord) -> web.Response:
    settings = parts.front.settings
    document: dict[str, Any] = {
        "signed_in": True,
        "operator_id": operator.operator_id,
        "name": operator.name,
        "scopes": list(operator.scopes),
        "csrf_token": parts.sessions.csrf_token(session),
        "over_at": parts.sessions.over_at(session),
        "ends_at": parts.sessions.ends_at(session),
        "env": settings.env.value,
        "version": settings.app_version,
        "providers": sorted(settings.providers),
        "minor_digits": dict(EXPONENTS),
    }
    response = json_response(document)
    parts.sessions.put(response, session)
    return response


ROUTES: Final = (
    ("GET", "/console", page),
    ("GET", "/console/session", stay),
    ("POST", "/console/session", sign_in),
    ("DELETE", "/console/session", sign_out),
    ("GET", "/console/files/{name}", file),
)
