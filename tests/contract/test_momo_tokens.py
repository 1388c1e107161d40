"""MTN's tokens over real HTTP: one for all, one renewal at a time, and what a refused one leads to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from nepxy.config.providers import MomoSettings
from nepxy.config.secret import Secret
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass
from nepxy.engine.payout import Payout, Status
from nepxy.providers.momo import TOKEN, TRANSFER, Momo
from nepxy.providers.wire import ProviderHttp
from tests.contract.awkward_server import AwkwardServer, Peer, Request, an_answer
from tests.contract.support import Guard
from tests.factories import a_payout

USER = "11111111-1111-4111-8111-111111111111"
HTML_411 = b"<html><body>411 Length Required</body></html>"


@dataclass
class Mtn:
    """MTN's gateway, scripted: what each path answers next; else what is good."""

    tokens: list[bytes] = field(default_factory=list)
    transfers: list[bytes] = field(default_factory=list)
    statuses: list[bytes] = field(default_factory=list)
    balances: list[bytes] = field(default_factory=list)
    good: set[str] = field(default_factory=set)
    life_s: Any = 3600
    slowly: asyncio.Event | None = None
    issued: int = 0

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.send(await self.answer(await peer.request()))

    async def answer(self, request: Request) -> bytes:
        if request.target == TOKEN:
            return await self.token()
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.good:
            return an_answer(401, b'{"statusCode":401,"message":"invalid_token"}')
        if request.method == "POST":
            return self.transfers.pop(0) if self.transfers else an_answer(202, b"")
        if request.target.startswith(TRANSFER):
            absent = an_answer(404, b'{"code":"RESOURCE_NOT_FOUND","message":"no"}')
            return self.statuses.pop(0) if self.statuses else absent
        held = b'{"availableBalance":"5000","currency":"EUR"}'
        return self.balances.pop(0) if self.balances else an_answer(200, held)

    async def token(self) -> bytes:
        if self.slowly is not None:
            await self.slowly.wait()
        if self.tokens:
            return self.tokens.pop(0)
        self.issued += 1
        name = f"token-number-{self.issued}"
        self.good.add(name)
        said = {"access_token": name, "token_type": "access_token", "expires_in": self.life_s}
        return an_answer(200, orjson.dumps(said))


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Stage:
    server: AwkwardServer
    mtn: Mtn
    momo: Momo
    clock: Clock

    @property
    def token_calls(self) -> int:
        return sum(request.target == TOKEN for request in self.server.requests)

    def of(self, method: str) -> list[Request]:
        return [r for r in self.server.requests if r.method == method and r.target != TOKEN]

    async def submit(self, guard: Guard | None = None, **changes: Any) -> Outcome:
        return await self.momo.submit(a_transfer(**changes), guard or Guard())


Set = Callable[..., Awaitable[Stage]]


def a_transfer(**changes: Any) -> Payout:
    return a_payout(status=Status.SENT, provider="MOMO", phone_e164="+2290190000001", **changes)


@pytest.fixture
async def stage(stack: AsyncExitStack) -> Set:
    async def set_up(mtn: Mtn | None = None, **settings: Any) -> Stage:
        mtn = mtn or Mtn()
        server = await stack.enter_async_context(AwkwardServer(mtn))
        fields: dict[str, Any] = {
            "base_url": server.url,
            "subscription_key": Secret("sub-key-nobody-may-see"),
            "api_user": USER,
            "api_key": Secret("api-key-nobody-may-see"),
        }
        http = ProviderHttp(timeout_s=30, connections_max=64)
        clock = Clock()
        momo = Momo(MomoSettings(**(fields | settings)), http, clock=clock)
        stack.push_async_callback(momo.close)
        return Stage(server, mtn, momo, clock)

    return set_up


async def test_the_token_is_asked_for_with_basic_and_an_empty_body_of_a_stated_length(stage: Set) -> None:
    on = await stage()
    await on.submit()
    asked = on.server.requests[0]
    basic = base64.b64encode(f"{USER}:api-key-nobody-may-see".encode()).decode()
    assert (asked.method, asked.target, asked.body) == ("POST", "/disbursement/token/", b"")
    assert asked.headers["content-length"] == "0"
    assert "transfer-encoding" not in asked.headers
    assert asked.headers["authorization"] == f"Basic {basic}"
    assert asked.headers["ocp-apim-subscription-key"] == "sub-key-nobody-may-see"


async def test_fifty_payouts_at_once_wait_for_one_token(stage: Set) -> None:
    on = await stage(Mtn(slowly=asyncio.Event()))
    submits = [asyncio.create_task(on.submit()) for _ in range(50)]
    await on.server.received(1)
    assert on.mtn.slowly is not None
    on.mtn.slowly.set()
    outcomes = await asyncio.gather(*submits)
    assert {outcome.kind for outcome in outcomes} == {OutcomeClass.ACCEPTED}
    assert (on.token_calls, len(on.of("POST"))) == (1, 50)


async def test_fifty_payouts_whose_token_was_revoked_cost_one_renewal_and_keep_their_reference(
    stage: Set,
) -> None:
    on = await stage()
    await on.submit()
    on.mtn.good.clear()
    outcomes = await asyncio.gather(*(on.submit() for _ in range(50)))
    assert {outcome.kind for outcome in outcomes} == {OutcomeClass.ACCEPTED}
    assert on.token_calls == 2
    assert {request.headers["x-reference-id"] for request in on.of("POST")} == {a_transfer().submission_ref}


async def test_one_who_gives_up_waiting_takes_the_token_from_nobody(stage: Set) -> None:
    on = await stage(Mtn(slowly=asyncio.Event()))
    first, second = asyncio.create_task(on.submit()), asyncio.create_task(on.submit())
    await on.server.received(1)
    first.cancel()
    assert on.mtn.slowly is not None
    on.mtn.slowly.set()
    assert (await second).kind is OutcomeClass.ACCEPTED
    assert on.token_calls == 1


async def test_a_token_is_renewed_ten_minutes_before_its_end_while_the_old_one_serves(stage: Set) -> None:
    on = await stage()
    await on.submit()
    on.clock.now_s += 2_999
    await on.submit()
    assert on.token_calls == 1
    on.clock.now_s += 2
    outcome = await on.submit()
    assert outcome.kind is OutcomeClass.ACCEPTED
    assert on.of("POST")[-1].headers["authorization"] == "Bearer token-number-1"
    async with asyncio.timeout(20):
        while on.token_calls < 2 or on.momo.tokens._renewal is not None:
            await asyncio.sleep(0)
            on.server.changed.clear()
    await on.submit()
    assert on.of("POST")[-1].headers["authorization"] == "Bearer token-number-2"
    assert on.token_calls == 2


async def test_an_expired_token_is_not_used(stage: Set) -> None:
    on = await stage()
    await on.submit()
    on.clock.now_s += 3_601
    await on.submit()
    assert [r.headers["authorization"] for r in on.of("POST")] == [
        "Bearer token-number-1",
        "Bearer token-number-2",
    ]


async def test_a_refused_token_is_renewed_once_and_the_guard_is_asked_again(stage: Set) -> None:
    on = await stage()
    await on.submit()
    on.mtn.good.clear()
    on.mtn.tokens = [an_answer(200, b'{"access_token":"refused-too","expires_in":3600}')]
    guard = Guard()
    outcome = await on.submit(guard)
    assert (outcome.kind, outcome.reason) == (OutcomeClass.BLOCKED, "HTTP_401")
    assert (on.token_calls, guard.asked) == (2, 2)


async def test_a_repeat_after_a_refused_token_is_not_sent_when_its_time_has_passed(stage: Set) -> None:
    on = await stage()
    await on.submit()
    on.mtn.good.clear()

    class OneLook(Guard):
        def is_late(self) -> bool:
            self.asked += 1
            return self.asked > 1

    outcome = await on.submit(OneLook())
    assert (outcome.kind, outcome.reason) == (OutcomeClass.NOT_SENT, "SEND_WINDOW_PASSED")


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (an_answer(401, b'{"error":"login_failed"}'), OutcomeClass.BLOCKED, "TOKEN_HTTP_401"),
        (an_answer(403, b"{}"), OutcomeClass.BLOCKED, "TOKEN_HTTP_403"),
        (an_answer(411, HTML_411), OutcomeClass.NOT_SENT, "TOKEN_HTTP_411"),
        (an_answer(500, b"{}"), OutcomeClass.NOT_SENT, "TOKEN_HTTP_500"),
        (an_answer(200, b"not json"), OutcomeClass.NOT_SENT, "TOKEN_ANSWER_UNREADABLE"),
        (an_answer(200, b'{"access_token":"two words"}'), OutcomeClass.NOT_SENT, "TOKEN_ANSWER_UNREADABLE"),
        (an_answer(429, b"{}"), OutcomeClass.THROTTLED, "TOKEN_HTTP_429"),
    ],
)
async def test_without_a_token_nothing_is_sent(
    stage: Set, answer: bytes, kind: OutcomeClass, reason: str
) -> None:
    on = await stage(Mtn(tokens=[answer, answer]))
    outcome = await on.submit()
    assert (outcome.kind, outcome.reason) == (kind, reason)
    assert outcome.refused_before_processing == (kind is OutcomeClass.THROTTLED)
    assert on.of("POST") == []
    assert (await on.momo.look_up(a_transfer())).finding is Finding.NO_ANSWER
