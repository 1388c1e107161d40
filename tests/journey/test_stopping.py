"""SIGTERM: what was begun is ended, what is known is recorded, and what could not be recorded is counted."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from nepxy.storage.embedded import EmbeddedPostgres
from nepxy.storage.migrate import migrate_up
from tests.journey.harness import Client, Town, a_body
from tests.journey.test_webhooks_in import a_stuck_payout, send

pytestmark = pytest.mark.timeout(240)


async def until_submitted(client: Client, count: int) -> None:
    """So many submits have reached the sandbox."""
    async with asyncio.timeout(30):
        while True:
            async with client.session.get(f"{client.town.sandbox_base}/_sandbox/summary") as answer:
                if (await answer.json())["submits_received"] >= count:
                    return
            await asyncio.sleep(0.02)


async def until_draining(client: Client) -> None:
    async with asyncio.timeout(20):
        while True:
            async with client.session.get(f"{client.town.base}/healthz") as answer:
                if (await answer.json())["engine"]["state"] == "draining":
                    return
            await asyncio.sleep(0.02)


async def stopped(town: Town) -> int:
    assert town.engine is not None
    return await asyncio.to_thread(town.engine.wait, 60)


async def accounts(client: Client) -> dict[str, Any]:
    async with client.session.get(f"{client.town.sandbox_base}/_sandbox/accounts") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def test_calls_in_flight_end_webhooks_are_served_meanwhile_and_nothing_is_in_doubt(
    client: Client, town: Town
) -> None:
    stuck = await a_stuck_payout(client)
    posted = [await client.post(f"slow-{n}", a_body(n, suffix="0201")) for n in range(2, 7)]
    ids = [json.loads(content)["transaction_id"] for _, content, _ in posted]
    await until_submitted(client, 6)  # the slow ones are answered after 3 s
    assert town.engine is not None

    town.engine.terminate()
    await until_draining(client)
    async with client.session.get(f"{town.base}/readyz") as ready:
        assert ready.status == 503
        assert "DRAINING" in (await ready.json())["reasons"]
    status, content, _ = await client.post("too-late", a_body(50))
    assert (status, json.loads(content)["code"]) == (503, "DRAINING")
    status, answer = await send(client, {"provider_ref": stuck["provider_ref"], "status": "SUCCESS"})
    assert (status, answer["applied"]) == (200, True)
    assert await stopped(town) == 0, town.log_text()

    town.start_engine()
    await town.until_ready(client.session)
    assert (await client.get(f"/v1/payouts/{stuck['transaction_id']}"))["status"] == "CONFIRMED"
    for transaction_id in ids:
        payout = await client.until(transaction_id, "CONFIRMED")
        assert payout["attempt_count"] == 1
        history = await client.get(f"/v1/payouts/{transaction_id}/events")
        assert not {"ANSWER_LOST", "IN_DOUBT"} & {one["why"] for one in history["items"]}, history
    assert all(account["submit_count"] == 1 for account in (await accounts(client)).values())


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="nepxy-stopping-"))
    folder.chmod(0o711)
    started = EmbeddedPostgres.start(folder / "postgres", durable=False)
    try:
        migrate_up(started.url)
        yield started
    finally:
        started.destroy()
        shutil.rmtree(folder, ignore_errors=True)


async def test_with_the_database_away_at_the_limit_it_says_how_many_answers_are_unrecorded(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    town = Town(database_url=server.url, folder=tmp_path, overrides={"NEPXY_DRAIN_LIMIT_S": "5"})
    try:
        async with aiohttp.ClientSession() as session:
            town.start_provider()
            town.start_engine()
            await town.until_ready(session)
            client = Client(session, town)
            posted = [await client.post(f"slow-{n}", a_body(n, suffix="0201")) for n in range(3)]
            ids = [json.loads(content)["transaction_id"] for _, content, _ in posted]
            await until_submitted(client, 3)

            # Their answers come in 3 s, and there is nobody to write them down.
            await asyncio.to_thread(server.stop, "immediate")
            assert town.engine is not None
            town.engine.terminate()
            assert await stopped(town) == 3, town.log_text()
            last_line = town.log_text().strip().splitlines()[-1]
            assert re.search(r"stopped with 3 answers unrecorded", last_line), last_line

            await asyncio.to_thread(server.restart)
            town.start_engine()
            await town.until_ready(session)
            for transaction_id in ids:
                assert (await client.get(f"/v1/payouts/{transaction_id}"))["status"] in ("SENT", "CONFIRMED")
                payout = await client.until(transaction_id, "CONFIRMED")
                assert payout["attempt_count"] == 1
            assert [account["submit_count"] for account in (await accounts(client)).values()] == [1, 1, 1]
            assert [account["moved_count"] for account in (await accounts(client)).values()] == [1, 1, 1]
    finally:
        town.stop()


def signal_all(server: EmbeddedPostgres, number: signal.Signals) -> None:
    """To every process of the server: nothing is refused, and nothing is answered."""
    assert server.pid is not None
    postmaster = psutil.Process(server.pid)
    for process in (postmaster, *postmaster.children(recursive=True)):
        process.send_signal(number)


async def test_a_database_that_hangs_does_not_keep_the_process_from_ending(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    town = Town(database_url=server.url, folder=tmp_path, overrides={"NEPXY_DRAIN_LIMIT_S": "2"})
    try:
        async with aiohttp.ClientSession() as session:
            town.start_sandbox()
            town.start_engine()
            await town.until_ready(session)
            client = Client(session, town)
            await client.post("slow", a_body(1, suffix="0201"))
            await until_submitted(client, 1)
            signal_all(server, signal.SIGSTOP)
            try:
                assert town.engine is not None
                town.engine.terminate()
                assert await stopped(town) == 3, town.log_text()
            finally:
                signal_all(server, signal.SIGCONT)
    finally:
        town.stop()
