"""The engine is killed while it asks providers for comparison: the next one ends the report, and makes a new one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from nepxy.storage.database import Reader
from nepxy.storage.people import save_operator
from tests.journey.harness import Client, a_body, token

pytestmark = pytest.mark.timeout(240)

REPORTS = "/v1/admin/reconcile/reports"


class Operator:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token('ann', ('admin',))}"}

    async def get(self, path: str) -> dict[str, Any]:
        async with self.client.session.get(self.client.town.base + path, headers=self.headers) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def run(self) -> str:
        url = f"{self.client.town.base}/v1/admin/reconcile"
        async with self.client.session.post(url, json={"reason": "a test"}, headers=self.headers) as answer:
            assert answer.status == 202, await answer.text()
            return str((await answer.json())["report"]["report_id"])

    async def until(self, report_id: str, *states: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while True:
                report = await self.get(f"{REPORTS}/{report_id}")
                if report["state"] in states:
                    return report
                await asyncio.sleep(0.1)


async def faults(client: Client, **knobs: Any) -> None:
    url = f"{client.town.sandbox_base}/_sandbox/faults?provider=tmoney"
    async with client.session.post(url, json=knobs) as answer:
        assert answer.status == 200, await answer.text()


async def test_a_run_that_was_killed_is_ended_and_the_next_one_is_whole(client: Client) -> None:
    town = client.town
    Reader(town.database_url, connections_max=1, statement_timeout_s=10, connect_timeout_s=5).run_here(
        save_operator, operator_id="ann", name="Ann", secret="ann's secret"
    )
    operator = Operator(client)
    payouts = []
    for number in range(4):
        status, body, _ = await client.post(f"key-{number}", a_body(number))
        assert status == 202, body
        payouts.append(json.loads(body)["transaction_id"])
    for payout in payouts:
        await client.until(payout, "CONFIRMED")
    await faults(client, delay_s_min=3.0, delay_s_max=3.0)
    killed = await operator.run()
    assert (await operator.get(f"{REPORTS}/{killed}"))["state"] == "RUNNING"

    town.kill_engine()
    await faults(client, reset=True)
    town.start_engine()
    await town.until_ready(client.session)

    ended = await operator.until(killed, "FAILED", "DONE")
    assert (ended["state"], ended["figures"].get("failed_because")) == ("FAILED", "INTERRUPTED")
    report = await operator.until(await operator.run(), "DONE", "FAILED")
    assert report["state"] == "DONE"
    assert (report["figures"]["agree"], report["figures"]["differ"]) == (4, 0)
    for payout in payouts:
        assert (await client.get(f"/v1/payouts/{payout}"))["status"] == "CONFIRMED"
