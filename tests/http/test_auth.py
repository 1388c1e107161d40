"""Who may do what: tokens, scopes, disabled clients, registered operators; and how a token is had."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from nepxy.errors import ClientDisabled, NepXyError, ScopeMissing
from nepxy.http.auth import Gatekeeper
from nepxy.storage.people import OperatorRecord
from tests.http.conftest import Paper, Served
from tests.http.support import JWT_SECRET, PaperReader, a_client, a_request, bearer, code_of, keyed


@pytest.mark.parametrize(
    ("make", "code", "status"),
    [
        (dict, "TOKEN_MISSING", 401),
        (lambda: {"Authorization": "Basic YTpi"}, "TOKEN_MISSING", 401),
        (lambda: {"Authorization": "Bearer"}, "TOKEN_MISSING", 401),
        (lambda: {"Authorization": "Bearer nonsense"}, "TOKEN_INVALID", 401),
        (lambda: bearer(secret="another-secret-that-is-long-enough-too"), "TOKEN_INVALID", 401),
        (lambda: bearer(age_s=3600), "TOKEN_EXPIRED", 401),
        (lambda: bearer(age_s=-3600), "TOKEN_NOT_YET_VALID", 401),
        (lambda: bearer(scope="payouts:write"), "SCOPE_MISSING", 403),
        (lambda: bearer(scope=""), "SCOPE_MISSING", 403),
        (lambda: bearer("switched-off"), "CLIENT_DISABLED", 403),
    ],
)
async def test_a_request_without_a_good_token_is_refused(
    paper: Paper, make: Callable[[], dict[str, str]], code: str, status: int
) -> None:
    # Made now: a token of when the tests were collected may have expired by the time that its test is run.
    response = await paper.client.get("/v1/payouts", headers=make())
    assert response.status == status
    assert await code_of(response) == code
    assert response.headers.get("WWW-Authenticate", "").startswith("Bearer") is (code != "CLIENT_DISABLED")


@pytest.mark.parametrize(
    "make",
    [
        lambda: keyed(),
        lambda: keyed(subject="nobody-registered"),
        lambda: keyed(secret="the-previous-secret-that-is-long-enough"),
        lambda: keyed(age_s=20, expires_in_s=1),  # within the clocks' leeway
        lambda: {**keyed(), "Authorization": bearer()["Authorization"].replace("Bearer", "bearer")},
    ],
)
async def test_a_good_token_is_enough_wherever_it_was_made(
    paper: Paper, make: Callable[[], dict[str, str]]
) -> None:
    response = await paper.client.post("/v1/payouts", json=a_request(), headers=make())
    assert response.status == 202, await response.text()


async def test_with_the_database_away_nobody_is_let_in_unchecked(paper: Paper) -> None:
    paper.reader.down = True
    response = await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert response.status == 503
    assert await code_of(response) == "DATABASE_UNAVAILABLE"
    assert response.headers["Retry-After"]
    paper.reader.down = False
    again = await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert again.status == 202


async def test_look_ups_of_one_client_are_shared(paper: Paper) -> None:
    for _ in range(20):
        await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert paper.reader.lookups_count <= 2


def asking_as(subject: str, scope: str = "admin") -> web.Request:
    return make_mocked_request("GET", "/", headers=bearer(subject, scope))


async def test_admin_is_only_for_registered_and_enabled_operators(paper: Paper) -> None:
    reader = PaperReader(
        a_client(),
        OperatorRecord(operator_id="root", name="Root", scopes=("admin",), disabled=False),
        OperatorRecord(operator_id="gone", name="Gone", scopes=("admin",), disabled=True),
        OperatorRecord(operator_id="reader", name="Reader", scopes=("payouts:read",), disabled=False),
    )
    gate = Gatekeeper(settings=paper.front.settings.auth, reader=reader, clock=lambda: datetime.now(UTC))
    assert (await gate.operator(asking_as("root"))).operator_id == "root"
    for subject, scope, error in (
        ("acme", "admin", ScopeMissing),
        ("stranger", "admin", ScopeMissing),
        ("reader", "admin", ScopeMissing),
        ("root", "payouts:read", ScopeMissing),
        ("gone", "admin", ClientDisabled),
    ):
        with pytest.raises(error):
            await gate.operator(asking_as(subject, scope))
    with pytest.raises(NepXyError, match="CLIENT_DISABLED"):
        await gate.client(asking_as("gone", "payouts:read"), "payouts:read")


def basic(identity: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{identity}:{secret}".encode()).decode()}


GRANT = {"grant_type": "client_credentials"}
ACME = {"client_id": "acme", "client_secret": "acme's secret"}


async def test_credentials_become_a_token_by_form_by_json_and_by_basic(served: Served) -> None:
    ways: list[dict[str, Any]] = [
        {"data": {**GRANT, **ACME}},
        {"json": {**GRANT, **ACME}},
        {"data": GRANT, "headers": basic("acme", "acme's secret")},
    ]
    for kwargs in ways:
        response = await served.client.post("/v1/auth/token", **kwargs)
        assert response.status == 200, await response.text()
        assert response.headers["Cache-Control"] == "no-store"
        answer = await response.json()
        assert answer["token_type"] == "Bearer"
        assert answer["expires_in"] == 3600
        assert answer["scope"] == "payouts:write payouts:read"
        claims = jwt.decode(answer["access_token"], JWT_SECRET, algorithms=["HS256"])
        assert (claims["sub"], claims["exp"] - claims["iat"]) == ("acme", 3600)
        page = await served.client.get(
            "/v1/payouts", headers={"Authorization": f"Bearer {answer['access_token']}"}
        )
        assert page.status == 200


async def test_an_operator_gets_a_token_and_a_client_may_ask_for_less(served: Served) -> None:
    operator = await served.client.post(
        "/v1/auth/token", data={**GRANT, "client_id": "root", "client_secret": "root's secret"}
    )
    assert (await operator.json())["scope"] == "admin"
    less = await served.client.post("/v1/auth/token", data={**GRANT, **ACME, "scope": "payouts:read"})
    assert (await less.json())["scope"] == "payouts:read"


@pytest.mark.parametrize(
    ("kwargs", "status", "code", "error"),
    [
        (
            {"data": {**GRANT, **ACME, "client_secret": "wrong"}},
            401,
            "CLIENT_CREDENTIALS_INVALID",
            "invalid_client",
        ),
        (
            {"data": {**GRANT, **ACME, "client_id": "nobody"}},
            401,
            "CLIENT_CREDENTIALS_INVALID",
            "invalid_client",
        ),
        ({"data": GRANT}, 401, "CLIENT_CREDENTIALS_INVALID", "invalid_client"),
        (
            {"json": {**GRANT, **ACME, "client_id": "a\0b"}},
            401,
            "CLIENT_CREDENTIALS_INVALID",
            "invalid_client",
        ),
        (
            {"data": GRANT, "headers": {"Authorization": "Basic !"}},
            401,
            "CLIENT_CREDENTIALS_INVALID",
            "invalid_client",
        ),
        ({"data": ACME}, 422, "VALIDATION_FAILED", "invalid_request"),
        ({"data": {**ACME, "grant_type": "password"}}, 422, "VALIDATION_FAILED", "unsupported_grant_type"),
        ({"data": {**GRANT, **ACME, "scope": "admin"}}, 422, "VALIDATION_FAILED", "invalid_scope"),
        ({"json": {**GRANT, **ACME, "client_secret": 5}}, 422, "VALIDATION_FAILED", "invalid_request"),
        (
            {"data": {**GRANT, **ACME}, "headers": basic("acme", "acme's secret")},
            422,
            "VALIDATION_FAILED",
            "invalid_request",
        ),
    ],
)
async def test_a_token_request_is_refused_in_the_words_of_oauth(
    served: Served, kwargs: dict[str, Any], status: int, code: str, error: str
) -> None:
    response = await served.client.post("/v1/auth/token", **kwargs)
    assert response.status == status
    assert await code_of(response) == code
    assert (await response.json())["error"] == error


async def test_a_token_request_in_another_type_is_refused(served: Served) -> None:
    response = await served.client.post("/v1/auth/token", data=b"<x/>", headers={"Content-Type": "text/xml"})
    assert await code_of(response) == "CONTENT_TYPE_UNSUPPORTED"


async def test_a_disabled_client_gets_no_token(served: Served) -> None:
    served.desk.database.execute_sql(
        "UPDATE app.api_clients SET disabled_at = now() WHERE client_id = 'acme'"
    )
    response = await served.client.post("/v1/auth/token", data={**GRANT, **ACME})
    assert response.status == 403
    assert await code_of(response) == "CLIENT_DISABLED"
    listing = await served.client.get("/v1/payouts", headers=bearer())
    assert await code_of(listing) == "CLIENT_DISABLED"
