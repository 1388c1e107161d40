"""What a node does that is offered more than it can take: it says so at once, and what it has taken goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from nepxy.actors.messages import AcceptPayout
from nepxy.storage.writes import Created
from tests.http.conftest import Paper, StartPaper
from tests.http.support import SILENCE, a_request, code_of, created, keyed


@pytest.fixture
def lines() -> Iterator[LogCapture]:
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture
    structlog.reset_defaults()


async def test_more_than_may_be_taken_at_once_is_refused_and_what_waits_is_taken(
    start_paper: StartPaper,
) -> None:
    held: list[Any] = []
    all_held = asyncio.Event()

    def hold(message: Any) -> Any:
        held.append(message)
        if len(held) == 2:
            all_held.set()
        return SILENCE

    paper = await start_paper({"NEPXY_NEW_PAYOUTS_OPEN_MAX": "2"})
    paper.engine.answer = hold

    def post() -> Any:
        return paper.client.post("/v1/payouts", json=a_request(), headers=keyed())

    waiting = [asyncio.create_task(post()) for _ in range(2)]
    await asyncio.wait_for(all_held.wait(), timeout=10)
    refused = await post()

    assert refused.status == 503
    assert await code_of(refused) == "ENGINE_BUSY"
    assert int(refused.headers["Retry-After"]) >= 1
    assert paper.metric("nepxy_payouts_turned_away_total") == 1
    assert paper.metric("http_requests_total", route="/v1/payouts", status="503") == 1
    # The third never reached the engine; the two are answered, and make room.
    assert [type(message) for message in held] == [AcceptPayout, AcceptPayout]
    for message in held:
        message.reply_to.tell(Created(payout=message.create.payout))
    assert [(await one).status for one in waiting] == [202, 202]
    again = asyncio.create_task(post())
    while len(held) < 3:
        await asyncio.sleep(0)
    held[2].reply_to.tell(Created(payout=held[2].create.payout))
    assert (await again).status == 202


async def test_who_is_turned_away_costs_neither_a_token_check_nor_a_look_at_the_body(
    start_paper: StartPaper, lines: LogCapture
) -> None:
    paper = await start_paper({"NEPXY_NEW_PAYOUTS_OPEN_MAX": "1"})
    async with a_payout_that_waits(paper):
        # Neither who asks nor what is asked is known: it would be 401, and 400.
        refused = await paper.client.post("/v1/payouts", data=b"no json")

        assert (refused.status, await code_of(refused)) == (503, "ENGINE_BUSY")
        # Its line is for debugging: the counters tell, and a line each would make things worse.
        (handled,) = [one for one in lines.entries if one["event"] == "request.handled"]
        assert (handled["status"], handled["log_level"]) == (503, "debug")


async def test_what_cannot_be_taken_holds_no_place(start_paper: StartPaper) -> None:
    paper = await start_paper({"NEPXY_NEW_PAYOUTS_OPEN_MAX": "1"})
    for bad in ({"amount": -1}, {"currency": "XXX"}):
        refused = await paper.client.post("/v1/payouts", json=a_request(**bad), headers=keyed())
        assert refused.status == 422
    paper.engine.answer = lambda message: RuntimeError("a defect")
    assert (await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())).status == 500
    paper.engine.answer = created

    taken = await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert taken.status == 202
    assert paper.metric("nepxy_payouts_turned_away_total") == 0


async def test_a_payout_that_nobody_answers_gives_its_place_back(start_paper: StartPaper) -> None:
    paper = await start_paper({"NEPXY_NEW_PAYOUTS_OPEN_MAX": "1", "NEPXY_ASK_TIMEOUT_S": "0.1"})
    paper.engine.answer = lambda message: SILENCE
    late = await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert await code_of(late) == "ENGINE_TIMEOUT"
    paper.engine.answer = created
    assert (await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())).status == 202


async def test_webhooks_and_reads_need_no_place(start_paper: StartPaper) -> None:
    paper = await start_paper({"NEPXY_NEW_PAYOUTS_OPEN_MAX": "1"})
    async with a_payout_that_waits(paper):
        paper.engine.answer = created
        webhook = await paper.client.post("/v1/webhooks/tmoney", data=b"{}")
        assert await code_of(webhook) != "ENGINE_BUSY"
        assert (await paper.client.get("/healthz")).status != 503
        assert (await paper.client.get("/v1/payouts")).status == 401


@asynccontextmanager
async def a_payout_that_waits(paper: Paper) -> AsyncIterator[None]:
    """All the while the engine keeps one waiting, and then takes it."""
    held: list[Any] = []
    is_held = asyncio.Event()

    def hold(message: Any) -> Any:
        held.append(message)
        is_held.set()
        return SILENCE

    paper.engine.answer = hold
    waiting = asyncio.create_task(paper.client.post("/v1/payouts", json=a_request(), headers=keyed()))
    await asyncio.wait_for(is_held.wait(), timeout=10)
    yield
    held[0].reply_to.tell(Created(payout=held[0].create.payout))
    assert (await waiting).status == 202
