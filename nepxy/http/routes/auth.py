"""`POST /v1/auth/token`: OAuth2 client credentials (RFC 6749, section 4.4), for clients and operators."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from nepxy.errors import (
    ClientCredentialsInvalid,
    ClientDisabled,
    FieldProblem,
    Unavailable,
    ValidationFailed,
)
from nepxy.http.bodies import JSON, check_content_type, parse_object, read_body
from nepxy.http.parts import note, parts_of
from nepxy.http.schemas import TokenAnswer, TokenRequest
from nepxy.http.throttle import address_of
from nepxy.http.tokens import issue_token
from nepxy.http.validation import read_query
from nepxy.storage.people import ClientRecord, OperatorRecord, authenticate

FORM: Final = "application/x-www-form-urlencoded"
GRANT_TYPE: Final = "client_credentials"
IDENTITY_CHARACTERS_MAX: Final = 255
SECRET_CHARACTERS_MAX: Final = 1024
"""Hashing a longer one is work for nothing."""


class TokenRequestRefused(ValidationFailed):
    """422, with the `error` of RFC 6749, section 5.2, for OAuth libraries that look there."""

    def __init__(self, error: str, field: FieldProblem) -> None:
        self.error = error
        super().__init__([field])

    def members(self) -> dict[str, str | int]:
        """The RFC's own members."""
        return {"error": self.error, "error_description": self.message}


class CredentialsRefused(ClientCredentialsInvalid):
    """401, with the `error` of the RFC."""

    def members(self) -> dict[str, str | int]:
        """The RFC's own members."""
        return {"error": "invalid_client", "error_description": self.message}


class IssuingRefused(ClientDisabled):
    """403, with the `error` of the RFC."""

    def members(self) -> dict[str, str | int]:
        """The RFC's own members."""
        return {"error": "unauthorized_client", "error_description": self.message}


async def issue(request: web.Request) -> web.Response:
    """Exchange credentials for an access token."""
    parts = parts_of(request)
    wanted = await _token_request(request)
    identity, secret = _credentials(request, wanted)
    attempt = parts.login_limit.begin(
        identity, address_of(request, parts.front.settings.http.client_address_header)
    )
    # Argon2 takes tens of milliseconds on purpose: in the reader's thread, never on the loop.
    try:
        record = await parts.reader_of_people().run(authenticate, identity, secret)
    except Unavailable:
        attempt.forgive()
        raise
    if record is None:
        raise CredentialsRefused
    attempt.forgive()
    if record.disabled:
        raise IssuingRefused
    note(client_id=identity)
    scopes = _granted(record, wanted.scope)
    settings = parts.front.settings.auth
    expires_in_s = settings.access_minutes * 60
    token = issue_token(
        subject=identity,
        scopes=scopes,
        secret=parts.secrets.jwt[0],
        now=parts.now(),
        expires_in_s=expires_in_s,
    )
    answer = TokenAnswer(access_token=token, expires_in=expires_in_s, scope=" ".join(scopes))
    return web.Response(
        body=answer.model_dump_json().encode(),
        content_type=JSON,
        headers={"Cache-Control": "no-store", "Pragma": "no-cache"},
    )


async def _token_request(request: web.Request) -> TokenRequest:
    fields: Mapping[str, Any]
    if check_content_type(request, FORM, JSON) == JSON:
        fields = parse_object(await read_body(request))
    else:
        await read_body(request)
        form = await request.post()
        if repeated := [name for name in form if len(form.getall(name)) > 1]:
            raise TokenRequestRefused(
                "invalid_request", FieldProblem(repeated[0][:40], "came more than once")
            )
        fields = dict(form)
    try:
        wanted = read_query(TokenRequest, fields)
    except ValidationFailed as failed:
        raise TokenRequestRefused("invalid_request", failed.fields[0]) from None
    if wanted.grant_type != GRANT_TYPE:
        problem = FieldProblem("grant_type", "is not supported", f"send {GRANT_TYPE}")
        raise TokenRequestRefused("unsupported_grant_type", problem)
    return wanted


def _credentials(request: web.Request, wanted: TokenRequest) -> tuple[str, str]:
    """From HTTP Basic or from the body, not from both (RFC 6749, section 2.3)."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        if wanted.client_secret is not None:
            problem = FieldProblem("client_secret", "came in the header Authorization, too", "send it once")
            raise TokenRequestRefused("invalid_request", problem)
        identity, secret = _basic(encoded)
        if wanted.client_id not in (None, identity):
            raise CredentialsRefused
    else:
        identity, secret = wanted.client_id or "", wanted.client_secret or ""
    fits = 0 < len(identity) <= IDENTITY_CHARACTERS_MAX and 0 < len(secret) <= SECRET_CHARACTERS_MAX
    # The database takes no NUL; neither is part of any credential of ours.
    if not fits or "\0" in identity or not identity.isprintable():
        raise CredentialsRefused
    return identity, secret


def _basic(encoded: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise CredentialsRefused from None
    identity, colon, secret = text.partition(":")
    if not colon:
        raise CredentialsRefused
    return identity, secret


def _granted(record: ClientRecord | OperatorRecord, asked: str | None) -> tuple[str, ...]:
    """What was asked for, or everything that was granted."""
    if not asked or not asked.split():
        return record.scopes
    scopes = tuple(dict.fromkeys(asked.split()))
    if not set(scopes) <= set(record.scopes):
        problem = FieldProblem("scope", "asks for more than was granted", "leave it out to get all there is")
        raise TokenRequestRefused("invalid_scope", problem)
    return scopes


ROUTES: Final = (("POST", "/v1/auth/token", issue),)
