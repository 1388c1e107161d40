"""Signing in to the console: the cookie, how long it is good for, what it is refused for, and guesses at secrets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest
from aiohttp import ClientResponse, DummyCookieJar
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from nepxy.engine.runtime import LoopActorRef, stop_and_wait
from nepxy.errors import ClientDisabled, CsrfTokenWrong, ScopeMissing, SessionOver, TokenMissing
from nepxy.http.app import create_app
from nepxy.http.parts import PARTS, Parts
from nepxy.http.throttle import PAIR_FAILURES_MAX, PAIR_FAILURES_PER_S, address_of
from nepxy.storage.database import Reader
from nepxy.storage.people import save_client, save_operator
from tests.http.support import JWT_SECRET, Client, StandIn, a_front, a_runtime, bearer, code_of

PROD = {
    "ENV": "staging",
    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
    "NEPXY_HTTP_HOST": "127.0.0.1",
}


@dataclass
class Watch:
    """The front end's clock."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_minutes(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


@dataclass
class Door:
    """A front end with people, asked by a browser that keeps no cookies by itself."""

    client: Client
    reader: Reader
    watch: Watch
    parts: Parts

    async def sign_in(
        self, operator_id: str = "root", secret: str = "root's secret", **headers: str
    ) -> ClientResponse:
        return await self.client.post(
            "/console/session", json={"operator_id": operator_id, "secret": secret}, headers=headers
        )

    async def session(self, operator_id: str = "root", secret: str = "root's secret") -> dict[str, str]:
        """The headers of a page's requests once its person has signed in."""
        answer = await self.sign_in(operator_id, secret)
        assert answer.status == 200, await answer.text()
        cookie = cookie_of(answer)
        token = (await answer.json())["csrf_token"]
        return {"Cookie": f"{cookie.key}={cookie.value}", "X-CSRF-Token": token}

    async def let_in(self, headers: dict[str, str], method: str = "POST") -> str:
        """Whom the gatekeeper of the operators' API sees."""
        request = make_mocked_request(method, "/v1/admin/control", headers=headers)
        return (await self.parts.gatekeeper.operator(request)).operator_id

    def execute(self, sql: str) -> None:
        self.reader.run_here(lambda database: database.execute_sql(sql))


@asynccontextmanager
async def a_door(database_url: str, environ: dict[str, str] | None = None) -> AsyncIterator[Door]:
    reader = Reader(database_url, connections_max=4, statement_timeout_s=10, connect_timeout_s=5)
    reader.run_here(save_operator, operator_id="root", name="Root", secret="root's secret")
    reader.run_here(
        save_operator, operator_id="guest", name="Guest", secret="guest's secret", scopes=("payouts:read",)
    )
    reader.run_here(save_client, client_id="acme", name="Acme", secret="acme's secret")
    watch = Watch()
    ref: LoopActorRef[Any] = StandIn.start(runtime=a_runtime())
    app = create_app(replace(a_front(ref, reader, environ), clock=watch))
    client: Client = TestClient(TestServer(app), cookie_jar=DummyCookieJar())
    await client.start_server()
    yield Door(client=client, reader=reader, watch=watch, parts=app[PARTS])
    await client.close()
    await stop_and_wait(ref, timeout_s=5)
    reader.close()


@pytest.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    async with a_door(database_url) as made:
        yield made


def cookie_of(answer: ClientResponse) -> Morsel[str]:
    (header,) = answer.headers.getall("Set-Cookie")
    (cookie,) = SimpleCookie(header).values()
    return cookie


async def test_an_operator_signs_in_and_the_page_learns_what_it_needs(door: Door) -> None:
    answer = await door.sign_in()
    assert answer.status == 200
    document = await answer.json()
    assert document["signed_in"] is True
    assert (document["operator_id"], document["name"], document["scopes"]) == ("root", "Root", ["admin"])
    assert document["minor_digits"]["XOF"] == 0
    assert document["minor_digits"]["GHS"] == 2
    assert answer.headers["Cache-Control"] == "no-store"
    headers = await door.session()
    assert await door.let_in(headers) == "root"
    again = await (await door.client.get("/console/session", headers=headers)).json()
    assert again["operator_id"] == "root"


async def test_in_development_the_cookie_is_out_of_scripts_and_other_sites_reach(door: Door) -> None:
    cookie = cookie_of(await door.sign_in())
    assert cookie.key == "nepxy_session"
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert not cookie["secure"]
    assert "root's secret" not in cookie.value


async def test_outside_development_the_cookie_is_for_https_only(database_url: str) -> None:
    async with a_door(database_url, PROD) as door:
        cookie = cookie_of(await door.sign_in())
        assert cookie.key == "__Host-nepxy_session"
        assert (cookie["secure"], cookie["httponly"], cookie["domain"]) == (True, True, "")
        assert cookie["samesite"] == "Strict"


@pytest.mark.parametrize(
    ("operator_id", "secret"),
    [("root", "wrong"), ("nobody", "root's secret"), ("acme", "acme's secret"), ("", ""), ("a\0b", "c\0d")],
)
async def test_a_wrong_secret_a_stranger_and_a_client_are_told_the_same(
    door: Door, operator_id: str, secret: str
) -> None:
    answer = await door.sign_in(operator_id, secret)
    assert answer.status == 401
    assert await code_of(answer) == "CLIENT_CREDENTIALS_INVALID"
    assert "Set-Cookie" not in answer.headers
    # A challenge would make browsers open a box of their own.
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("body", [{}, {"operator_id": "root"}, {"operator_id": 5, "secret": "x"}])
async def test_a_sign_in_without_its_fields_names_them(door: Door, body: dict[str, Any]) -> None:
    answer = await door.client.post("/console/session", json=body)
    assert answer.status == 422
    assert await code_of(answer) == "VALIDATION_FAILED"


async def test_another_sites_page_cannot_sign_anybody_in(door: Door) -> None:
    for site in ("cross-site", "same-site"):
        answer = await door.sign_in(**{"Sec-Fetch-Site": site})
        assert answer.status == 401
    assert (await door.sign_in(**{"Sec-Fetch-Site": "same-origin"})).status == 200
    form = await door.client.post("/console/session", data={"operator_id": "root", "secret": "root's secret"})
    assert await code_of(form) == "CONTENT_TYPE_UNSUPPORTED"


async def test_what_changes_something_needs_the_sessions_own_token(door: Door) -> None:
    headers, others = await door.session(), await door.session()
    alone = {"Cookie": headers["Cookie"]}
    for wrong in (alone, {**alone, "X-CSRF-Token": "x"}, {**alone, "X-CSRF-Token": others["X-CSRF-Token"]}):
        with pytest.raises(CsrfTokenWrong):
            await door.let_in(wrong)
        with pytest.raises(CsrfTokenWrong):
            await door.let_in(wrong, "DELETE")
        answer = await door.client.delete("/console/session", headers=wrong)
        assert answer.status == 403
        assert await code_of(answer) == "CSRF_TOKEN_WRONG"
    assert await door.let_in(alone, "GET") == "root"


async def test_a_session_may_do_what_its_operator_is_registered_for_and_no_more(door: Door) -> None:
    guest = await door.session("guest", "guest's secret")
    with pytest.raises(ScopeMissing):
        await door.let_in(guest)
    with pytest.raises(TokenMissing):
        await door.let_in({})


async def test_a_token_beside_the_cookie_is_what_counts(door: Door) -> None:
    headers = await door.session()
    with pytest.raises(ScopeMissing):
        await door.let_in({**headers, **bearer("root", "payouts:read")})
    assert await door.let_in(bearer("root", "admin")) == "root"


async def test_signing_out_ends_the_session_everywhere_and_not_only_in_the_browser(
    door: Door, database_url: str
) -> None:
    headers, other = await door.session(), await door.session()
    answer = await door.client.delete("/console/session", headers=headers)
    assert answer.status == 200
    cookie = cookie_of(answer)
    assert (cookie.value, cookie["max-age"]) == ("", "0")
    with pytest.raises(SessionOver):
        await door.let_in(headers)
    assert await door.let_in(other) == "root"
    async with a_door(database_url) as second:  # which would take it for its signature
        with pytest.raises(SessionOver):
            await second.let_in(headers)
        kept = await second.session()
        assert await door.let_in(kept) == "root"


async def test_signing_out_without_a_session_is_no_error(door: Door) -> None:
    assert (await door.client.delete("/console/session")).status == 200


async def test_a_session_ends_when_nobody_was_there_for_half_an_hour(door: Door) -> None:
    headers = await door.session()
    for _ in range(3):
        door.watch.pass_minutes(29)
        answer = await door.client.get("/console/session", headers=headers)
        cookie = cookie_of(answer)
        headers = {**headers, "Cookie": f"{cookie.key}={cookie.value}"}
        assert await door.let_in(headers) == "root"
    door.watch.pass_minutes(30)
    with pytest.raises(SessionOver):
        await door.let_in(headers)
    answer = await door.client.get("/console/session", headers=headers)
    assert answer.status == 401
    assert await code_of(answer) == "SESSION_OVER"


async def test_asking_the_api_alone_keeps_no_session_alive(door: Door) -> None:
    headers = await door.session()
    door.watch.pass_minutes(20)
    assert await door.let_in(headers, "GET") == "root"
    door.watch.pass_minutes(11)
    with pytest.raises(SessionOver):
        await door.let_in(headers, "GET")


async def test_a_session_ends_after_a_shift_even_if_somebody_is_always_there(door: Door) -> None:
    headers = await door.session()
    for _ in range(12 * 60 // 20 - 1):
        door.watch.pass_minutes(20)
        cookie = cookie_of(await door.client.get("/console/session", headers=headers))
        headers = {**headers, "Cookie": f"{cookie.key}={cookie.value}"}
    assert await door.let_in(headers) == "root"
    door.watch.pass_minutes(20)
    with pytest.raises(SessionOver):
        await door.let_in(headers)


async def test_a_forged_a_changed_and_a_huge_cookie_are_refused(door: Door) -> None:
    headers = await door.session()
    name, _, value = headers["Cookie"].partition("=")
    content, signature = value.rsplit(".", 1)
    changed = ("x" if content[5] != "x" else "y").join((content[:5], content[6:]))
    for forged in ("x", f"{changed}.{signature}", f"{content}.{signature[::-1]}", "y" * 5000):
        with pytest.raises(SessionOver):
            await door.let_in({**headers, "Cookie": f"{name}={forged}"})
    token = headers["X-CSRF-Token"]  # is signed by the same keys, and is no cookie
    with pytest.raises(SessionOver):
        await door.let_in({**headers, "Cookie": f"{name}={token}"})


async def test_a_new_secret_ends_the_sessions_of_the_old_one(door: Door, database_url: str) -> None:
    headers = await door.session()
    door.reader.run_here(save_operator, operator_id="root", name="Root", secret="another secret")
    async with a_door_beside(database_url) as other:
        with pytest.raises(SessionOver):
            await other.let_in(headers)


@asynccontextmanager
async def a_door_beside(database_url: str, **environ: str) -> AsyncIterator[Door]:
    """Another node that has asked nothing yet; it registers nobody."""
    reader = Reader(database_url, connections_max=4, statement_timeout_s=10, connect_timeout_s=5)
    ref: LoopActorRef[Any] = StandIn.start(runtime=a_runtime())
    watch = Watch()
    app = create_app(replace(a_front(ref, reader, environ), clock=watch))
    client: Client = TestClient(TestServer(app), cookie_jar=DummyCookieJar())
    await client.start_server()
    yield Door(client=client, reader=reader, watch=watch, parts=app[PARTS])
    await client.close()
    await stop_and_wait(ref, timeout_s=5)
    reader.close()


async def test_a_disabled_operator_is_refused_with_his_session(door: Door, database_url: str) -> None:
    headers = await door.session()
    door.execute("UPDATE app.operators SET disabled_at = now() WHERE operator_id = 'root'")
    async with a_door_beside(database_url) as other:
        with pytest.raises(ClientDisabled):
            await other.let_in(headers)
        assert await code_of(await other.client.get("/console/session", headers=headers)) == "CLIENT_DISABLED"
        assert await code_of(await other.sign_in()) == "CLIENT_DISABLED"


async def test_sessions_outlive_a_rotation_of_the_key(door: Door, database_url: str) -> None:
    headers = await door.session()
    rotated = {"JWT_SECRET": "a-new-key-that-is-long-enough-too", "JWT_SECRET_PREVIOUS": JWT_SECRET}
    async with a_door_beside(database_url, **rotated) as node:
        assert await node.let_in(headers) == "root"
        cookie = cookie_of(await node.client.get("/console/session", headers=headers))
        renewed = {**headers, "Cookie": f"{cookie.key}={cookie.value}"}
        assert await node.let_in(renewed) == "root"
        with pytest.raises(SessionOver):  # signed by a key that the first node has not been given
            await door.let_in(renewed)


async def test_wrong_guesses_at_an_operators_secret_are_slowed_down(door: Door) -> None:
    for _ in range(PAIR_FAILURES_MAX):
        assert (await door.sign_in(secret="a guess")).status == 401
    answer = await door.sign_in()  # even the right one: else the answer would tell
    assert answer.status == 429
    assert await code_of(answer) == "TOO_MANY_TRIES"
    assert 1 <= int(answer.headers["Retry-After"]) <= (1 / PAIR_FAILURES_PER_S)
    assert (await door.sign_in("guest", "guest's secret")).status == 200


async def test_right_secrets_are_never_slowed_down(door: Door) -> None:
    for _ in range(PAIR_FAILURES_MAX + 2):
        assert (await door.sign_in()).status == 200


@pytest.mark.parametrize(
    ("header", "sent", "address"),
    [
        ("", {"X-Forwarded-For": "6.6.6.6"}, ""),
        ("X-Forwarded-For", {"X-Forwarded-For": "6.6.6.6, 10.0.0.9"}, "10.0.0.9"),
        ("Fly-Client-IP", {"Fly-Client-IP": "10.0.0.9", "X-Forwarded-For": "6.6.6.6"}, "10.0.0.9"),
        ("Fly-Client-IP", {}, ""),
    ],
)
def test_an_address_is_believed_only_from_the_proxys_own_header(
    header: str, sent: dict[str, str], address: str
) -> None:
    assert address_of(make_mocked_request("POST", "/console/session", headers=sent), header) == address


async def test_with_the_database_away_nobody_signs_in_and_no_try_is_counted(door: Door) -> None:
    headers = await door.session()
    door.execute("ALTER TABLE app.operators RENAME TO operators_away")
    for _ in range(PAIR_FAILURES_MAX + 1):
        answer = await door.sign_in()
        assert answer.status == 503
    door.execute("ALTER TABLE app.operators_away RENAME TO operators")
    assert (await door.sign_in()).status == 200
    assert await door.let_in(headers) == "root"
