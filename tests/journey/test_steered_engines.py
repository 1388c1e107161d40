"""What operators set holds on every node within two seconds, and across restarts: real processes, one database."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import pytest

from nepxy.storage.database import connect_writer
from nepxy.storage.people import save_operator
from tests.journey.harness import Client, a_body, token
from tests.journey.test_two_engines import Pair, pair  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(180)

OPERATOR = {"Authorization": f"Bearer {token('ann', ('admin',))}"}
HOLDS_S = 2.0
"""As docs/operators-api.md promises."""
MARGIN_S = 1.0
"""For a loaded machine's scheduling, and for the view that health shares for half a second."""


def register(url: str) -> None:
    database = connect_writer(url, statement_timeout_s=10, connect_timeout_s=10)
    save_operator(database, operator_id="ann", name="Ann", secret="not used here", scopes=("admin",))
    database.close()


async def order(client: Client, target: str, command: str, **fields: Any) -> dict[str, Any]:
    body = {"target": target, "command": command, "reason": "it is a test"} | fields
    url = f"{client.town.base}/v1/admin/control"
    async with client.session.post(url, json=body, headers=OPERATOR) as answer:
        document: dict[str, Any] = await answer.json()
        assert answer.status == 200, document
        return document


async def look(client: Client, path: str) -> dict[str, Any]:
    async with client.session.get(f"{client.town.base}/v1/admin/{path}", headers=OPERATOR) as answer:
        document: dict[str, Any] = await answer.json()
        assert answer.status == 200, document
        return document


async def until(client: Client, path: str, **expected: Any) -> float:
    """Seconds until what is shown there is as expected."""
    began_s = time.monotonic()
    async with asyncio.timeout(20):
        while True:
            shown = await look(client, path)
            if shown | expected == shown:
                return time.monotonic() - began_s
            await asyncio.sleep(0.05)


async def owner_and_standby(two: Pair) -> tuple[Client, Client]:
    """Once the killed one's leases have lapsed: either may have been quicker, as the restarted one is a new node."""
    async with asyncio.timeout(60):
        while True:
            for one, other in ((two.first, two.second), (two.second, two.first)):
                if (await two.health(one))["state"] == "running":
                    return one, other
            await asyncio.sleep(0.05)


async def test_what_one_node_is_told_holds_on_the_other_within_two_seconds_and_after_restarts(
    pair: Pair,  # noqa: F811 - the fixture
) -> None:
    register(pair.first.town.database_url)
    await order(pair.first, "providers/TMONEY", "pause_retries")
    await order(pair.first, "providers/TMONEY", "set_backoff", base_s=300, cap_s=3600)
    await order(pair.first, "providers/TMONEY", "set_pace", requests_per_s=3, concurrency_max=2)
    await order(pair.first, "supervisor", "pause_intake")
    expected = {
        "retries_paused": True,
        "backoff_base_s": 300,
        "backoff_cap_s": 3600,
        "requests_per_s": 3,
        "concurrency_max": 2,
    }
    assert await until(pair.second, "engine", intake_open=False) <= HOLDS_S + MARGIN_S
    assert await until(pair.second, "providers/TMONEY", **expected) <= HOLDS_S + MARGIN_S

    first = pair.first.town
    first.kill_engine()
    first.start_engine()
    await pair.until_standing_by(pair.first)
    await until(pair.first, "providers/TMONEY", **expected)

    owner, standby = await owner_and_standby(pair)
    status, body, headers = await owner.post("k-1", a_body(1))
    assert (status, b"INTAKE_PAUSED" in body) == (503, True)
    assert int(headers["Retry-After"]) > 0
    await order(standby, "supervisor", "resume_intake")  # the standby may be told, too
    await until(owner, "engine", intake_open=True)
    status, body, _ = await owner.post("k-1", a_body(1))
    assert status == 202, body


async def test_a_lever_goes_on_after_its_node_was_killed_and_touches_each_payout_once(
    pair: Pair,  # noqa: F811 - the fixture
) -> None:
    register(pair.first.town.database_url)
    await order(pair.first, "providers/TMONEY", "pause")
    for number in range(12):
        status, body, _ = await pair.first.post(f"k-{number}", a_body(number))
        assert status == 202, body
    run = (
        await order(
            pair.first,
            "bulk",
            "cancel",
            selector={"status": "PENDING"},
            dry_run=False,
            per_minute=120,
        )
    )["run"]
    path = f"bulk/{run['run_id']}"
    async with asyncio.timeout(30):
        while (await look(pair.first, path))["done"] < 3:
            await asyncio.sleep(0.05)
    pair.first.town.signal_engine(signal.SIGKILL)
    async with asyncio.timeout(60):
        while (shown := await look(pair.second, path))["state"] == "RUNNING":
            await asyncio.sleep(0.2)
    assert (shown["state"], shown["outcomes"]) == ("DONE", {"APPLIED": 12})
    audit = connect_writer(pair.first.town.database_url, statement_timeout_s=10, connect_timeout_s=10)
    sql = "SELECT count(*), count(DISTINCT target) FROM app.audit_log WHERE command_id LIKE 'bulk:%%'"
    assert audit.execute_sql(sql, ()).fetchone() == (12, 12)
    audit.close()
