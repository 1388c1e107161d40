"""Two engines on one database: one works, the other stands by, says so, and takes over."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.journey.harness import Client, Town, a_body
from tests.journey.test_webhooks_in import a_stuck_payout, send

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Pair:
    """A client at each of two engines; the first one holds the leases."""

    first: Client
    second: Client

    async def ready(self, client: Client) -> tuple[int, dict[str, Any]]:
        async with client.session.get(f"{client.town.base}/readyz") as answer:
            return answer.status, await answer.json()

    async def health(self, client: Client) -> dict[str, Any]:
        async with client.session.get(f"{client.town.base}/healthz") as answer:
            assert answer.status == 200
            engine: dict[str, Any] = (await answer.json())["engine"]
            return engine

    async def until_standing_by(self, client: Client) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await self.health(client))["state"] == "standby":
                        return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)


@pytest.fixture
async def pair(database_url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    overrides = {"NEPXY_LEASE_TTL_S": "3"}
    town = Town(database_url=database_url, folder=tmp_path, overrides=overrides, name="first")
    beside = town.beside("second")
    try:
        async with aiohttp.ClientSession() as session:
            town.start_sandbox()
            town.start_engine()
            await town.until_ready(session)
            beside.start_engine()
            made = Pair(first=Client(session, town), second=Client(session, beside))
            await made.until_standing_by(made.second)
            yield made
    finally:
        beside.stop()
        town.stop()


async def test_the_second_says_that_it_stands_by_and_for_whom_and_takes_no_payout(pair: Pair) -> None:
    status, document = await pair.ready(pair.second)
    assert (status, document["ready"]) == (503, False)
    assert "STANDBY" in document["reasons"]
    assert document["engine"]["state"] == "standby"
    assert document["engine"]["shards_held"] == 0
    owner = document["engine"]["standby_owner"]
    assert owner is not None
    assert (await pair.health(pair.second))["standby_owner"] == owner
    assert (await pair.health(pair.first))["state"] == "running"
    assert str(pair.first.town.engine and pair.first.town.engine.pid) in owner

    body = a_body(1)
    status, content, headers = await pair.second.post("one", body)
    assert (status, json.loads(content)["code"]) == (503, "NODE_STANDBY")
    assert int(headers["Retry-After"]) > 0
    # Refused means refused: the same key makes a new payout at the one that works, not a replay.
    status, content, headers = await pair.first.post("one", body)
    assert status == 202
    assert "Idempotency-Replayed" not in headers


async def test_after_sigkill_of_the_first_the_second_takes_over(pair: Pair) -> None:
    waiting = await a_stuck_payout(pair.first)
    pair.first.town.kill_engine()
    await pair.second.town.until_ready(pair.second.session)

    status, content, headers = await pair.second.post("stuck", a_body(1, suffix="0402"))
    assert (status, json.loads(content)["transaction_id"]) == (202, waiting["transaction_id"])
    assert headers["Idempotency-Replayed"] == "true"
    _, answer = await send(pair.second, {"provider_ref": waiting["provider_ref"], "status": "SUCCESS"})
    assert answer["applied"] is True
    _, content, _ = await pair.second.post("new", a_body(2, suffix="0503"))
    assert (await pair.second.until(json.loads(content)["transaction_id"], "CONFIRMED"))["attempt_count"] == 1


async def test_after_sigkill_the_next_process_on_the_same_machine_does_not_wait_for_the_lease(
    town: Town,
) -> None:
    # So long that whoever waited for it to lapse would not be ready within this test's time.
    town.overrides |= {"NEPXY_LEASE_TTL_S": "600"}
    town.start_sandbox()
    town.start_engine()
    async with aiohttp.ClientSession() as session:
        await town.until_ready(session)
        client = Client(session, town)
        waiting = await a_stuck_payout(client)
        town.kill_engine()
        town.start_engine()
        await town.until_ready(session)
        _, answer = await send(client, {"provider_ref": waiting["provider_ref"], "status": "SUCCESS"})
        assert answer["applied"] is True
        assert "leases.owner_gone" in town.log_text()


async def test_after_sigterm_the_second_takes_over_without_waiting_for_the_lease(
    database_url: str, tmp_path: Path
) -> None:
    # A lease so long that whoever waited for it to lapse would not be ready within this test's time.
    town = Town(
        database_url=database_url, folder=tmp_path, overrides={"NEPXY_LEASE_TTL_S": "600"}, name="first"
    )
    beside = town.beside("second")
    try:
        async with aiohttp.ClientSession() as session:
            town.start_sandbox()
            town.start_engine()
            await town.until_ready(session)
            beside.start_engine()
            pair = Pair(first=Client(session, town), second=Client(session, beside))
            await pair.until_standing_by(pair.second)
            _, content, _ = await pair.first.post("polled", a_body(2, suffix="0503"))
            transaction_id = json.loads(content)["transaction_id"]
            assert town.engine is not None
            town.engine.terminate()
            assert await asyncio.to_thread(town.engine.wait, 40) == 0, town.log_text()
            await beside.until_ready(session)
            assert (await pair.second.until(transaction_id, "CONFIRMED"))["status"] == "CONFIRMED"
    finally:
        beside.stop()
        town.stop()


async def test_one_that_froze_and_wakes_late_stands_by_and_its_late_intents_are_refused(pair: Pair) -> None:
    posts = [asyncio.create_task(pair.first.post(f"k{n}", a_body(n))) for n in range(20)]
    await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
    pair.first.town.signal_engine(signal.SIGSTOP)
    await pair.second.town.until_ready(pair.second.session)
    pair.first.town.signal_engine(signal.SIGCONT)
    await pair.until_standing_by(pair.first)
    await asyncio.wait(posts)

    answers = [await pair.second.post(f"k{n}", a_body(n)) for n in range(20)]
    assert {status for status, _, _ in answers} == {202}
    ids = {json.loads(content)["transaction_id"] for _, content, _ in answers}
    assert len(ids) == 20
    async with pair.second.session.get(f"{pair.second.town.sandbox_base}/_sandbox/accounts") as answer:
        submits = [account["submit_count"] for account in (await answer.json()).values()]
    assert max(submits, default=0) <= 1
