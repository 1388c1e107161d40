"""The live stream: snapshots, moves, bounds, and its end."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import orjson
from aiohttp import ClientResponse

from nepxy.actors.moves import Moves
from nepxy.engine.payout import Status
from nepxy.http import live as live_module
from nepxy.http.live import CHANGES_MAX, Hub
from nepxy.http.routes.live import HUB
from tests.factories import a_payout
from tests.http.steering import Steered
from tests.http.support import bearer, code_of

LIVE = "/v1/admin/live"


async def event(response: ClientResponse, name: str) -> dict[str, Any]:
    """The next event of this name."""
    async with asyncio.timeout(10):
        while True:
            line = (await response.content.readline()).decode()
            assert line, "the stream is over"
            if line == f"event: {name}\n":
                data = await response.content.readline()
                found: dict[str, Any] = orjson.loads(data.removeprefix(b"data: "))
                return found


def hub_of(steered: Steered) -> Hub:
    app = steered.client.app
    assert app is not None
    return app[HUB]


async def watch(steered: Steered, who: str = "ann") -> ClientResponse:
    return await steered.client.get(LIVE, headers=bearer(who, "admin"))


async def test_a_snapshot_holds_what_an_operator_looks_at(steered: Steered) -> None:
    steered.a_payout(Status.REVIEW)
    async with await watch(steered) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        snapshot = await event(response, "snapshot")
    assert snapshot["engine"]["state"] == "running"
    assert [one["name"] for one in snapshot["providers"]]
    assert [one["count"] for one in snapshot["summary"]["in_flight"]] == [1]
    assert len(snapshot["incidents"]) == 5
    assert "supervisor" in {row["name"] for row in snapshot["actors"]}
    assert datetime.fromisoformat(snapshot["at"]).tzinfo is not None


async def test_a_payout_that_moves_is_told_at_once(steered: Steered) -> None:
    payout = steered.a_payout(Status.PENDING)
    async with await watch(steered) as response:
        await event(response, "snapshot")
        status, _ = await steered.command(payout, "cancel")
        assert status == 200
        changed = await event(response, "changed")
    assert changed == {
        "transaction_id": payout.transaction_id,
        "status": "CANCELLED",
        "provider": "TMONEY",
    }


async def test_a_pause_is_in_a_snapshot_within_seconds(steered: Steered) -> None:
    async with await watch(steered) as response:
        await event(response, "snapshot")
        body = {"target": "providers/TMONEY", "command": "pause", "reason": "it is a test"}
        assert (await steered.post("/v1/admin/control", body)).status == 200
        async with asyncio.timeout(5):
            while True:
                snapshot = await event(response, "snapshot")
                if next(one for one in snapshot["providers"] if one["name"] == "TMONEY")["paused"]:
                    return


async def test_streams_are_bounded_and_a_place_is_given_back(steered: Steered, monkeypatch: Any) -> None:
    monkeypatch.setattr(live_module, "STREAMS_MAX", 1)
    hub = hub_of(steered)
    async with await watch(steered) as response:
        await event(response, "snapshot")
        refused = await watch(steered)
        assert (refused.status, await code_of(refused)) == (503, "ENGINE_BUSY")
    async with asyncio.timeout(10):
        while hub.streams_count:
            await asyncio.sleep(0.05)
    async with await watch(steered) as response:
        assert response.status == 200


async def test_streams_end_when_the_node_stops_and_none_begins(steered: Steered) -> None:
    async with await watch(steered) as response:
        await event(response, "snapshot")
        hub_of(steered).close()
        async with asyncio.timeout(5):
            await response.content.read()
    assert await code_of(await watch(steered)) == "DRAINING"


async def test_only_those_who_may_look_may_watch(steered: Steered) -> None:
    assert (await steered.client.get(LIVE)).status == 401
    assert (await watch(steered, "wim")).status == 403


async def test_nothing_is_computed_while_nobody_watches_and_a_slow_one_keeps_little() -> None:
    made: list[int] = []

    async def snapshot() -> dict[str, Any]:
        made.append(1)
        return {}

    moves = Moves()
    hub = Hub(snapshot=snapshot, moves=moves)
    await asyncio.sleep(0)
    moves.moved(a_payout())
    assert made == []
    stream = hub.join()
    await asyncio.wait_for(stream.woken.wait(), 5)
    for number in range(CHANGES_MAX * 3):
        moves.moved(a_payout(transaction_id=f"0193a5c8-0000-7000-8000-{number:012x}"))
    told = stream.take().decode()
    assert told.count("event: changed") == CHANGES_MAX
    assert told.count("event: snapshot") == 1
    assert f"{CHANGES_MAX * 3 - 1:012x}" in told
    hub.leave(stream)
    moves.moved(a_payout())
    assert stream.take() == b""
