"""The database goes away under a running engine, and comes back."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from nepxy.storage.embedded import EmbeddedPostgres
from nepxy.storage.migrate import migrate_up
from tests.journey.harness import Client, Town, a_body

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="nepxy-away-"))
    folder.chmod(0o711)
    started = EmbeddedPostgres.start(folder / "postgres", durable=False)
    try:
        yield started
    finally:
        started.destroy()
        shutil.rmtree(folder, ignore_errors=True)


async def test_requests_get_a_503_that_can_be_repeated_and_work_resumes_by_itself(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    migrate_up(server.url)
    town = Town(database_url=server.url, folder=tmp_path)
    try:
        town.start_sandbox()
        town.start_engine()
        async with aiohttp.ClientSession() as session:
            await town.until_ready(session)
            client = Client(session, town)
            _, body, _ = await client.post("before", a_body(1, suffix="0503"))
            waiting_id = json.loads(body)["transaction_id"]

            await asyncio.to_thread(server.stop, "immediate")
            async with asyncio.timeout(10):
                while True:
                    async with session.get(f"{town.base}/healthz") as answer:
                        assert answer.status == 200
                        if not (await answer.json())["db_ok"]:
                            break
                    await asyncio.sleep(0.1)
            async with session.get(f"{town.base}/readyz") as answer:
                assert answer.status == 503
            status, content, headers = await client.post("during", a_body(2))
            assert json.loads(content)["code"] in ("DATABASE_UNAVAILABLE", "ENGINE_TIMEOUT", "NODE_STANDBY")
            assert status == 503
            assert int(headers["Retry-After"]) > 0

            await asyncio.to_thread(server.restart)
            await town.until_ready(session)
            async with asyncio.timeout(60):
                while (answer_now := await client.post("during", a_body(2)))[0] == 503:
                    await asyncio.sleep(0.2)
            assert answer_now[0] == 202
            for transaction_id in (waiting_id, json.loads(answer_now[1])["transaction_id"]):
                assert (await client.until(transaction_id, "CONFIRMED"))["status"] == "CONFIRMED"
            async with session.get(f"{town.sandbox_base}/_sandbox/summary") as summary:
                counts = await summary.json()
            assert counts["references_paid_more_than_once"] == 0
            assert len((await client.get("/v1/payouts"))["items"]) == 2
    finally:
        town.stop()
