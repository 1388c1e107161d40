"""Health tells the truth, quickly, whatever is broken."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from nepxy.actors.messages import EngineState
from nepxy.errors import Unavailable
from nepxy.http.checks import SharedCheck
from nepxy.storage.database import Reader
from tests.http.conftest import Paper, Served, StartPaper
from tests.http.support import RUNNING


async def test_a_healthy_process_says_who_it_is(served: Served) -> None:
    response = await served.client.get("/healthz")
    assert response.status == 200
    assert await response.json() == {
        "ok": True,
        "db_ok": True,
        "version": "1.2.3",
        "git_sha": "abc123",
        "env": "dev",
        "mode": "sandbox",
        "engine": {
            "state": "running",
            "standby_owner": None,
            "shards_held": 256,
            "intake_open": True,
            "payouts_in_memory": 3,
            "journal_ok": True,
        },
        "recovery": {"started": True, "recovered_count": 7, "done": True},
    }
    ready = await served.client.get("/readyz")
    assert ready.status == 200
    assert (await ready.json())["ready"] is True


async def test_with_the_database_away_health_is_quick_and_readiness_false(start_paper: StartPaper) -> None:
    async def fails() -> tuple[str, ...]:
        raise Unavailable("DATABASE_UNAVAILABLE", "away")

    # A port that nobody listens on.
    reader = Reader(
        "postgresql://127.0.0.1:1/none",
        connections_max=2,
        statement_timeout_s=5,
        connect_timeout_s=5,
        wait_s=5,
    )
    paper = await start_paper(reader=reader, migrations_pending=fails)
    async with asyncio.timeout(2):
        health = await paper.client.get("/healthz")
        ready = await paper.client.get("/readyz")
    assert health.status == 200
    assert (await health.json())["ok"] is True
    assert (await health.json())["db_ok"] is False
    assert ready.status == 503
    document = await ready.json()
    assert document["migrations_ok"] is False
    assert document["reasons"] == ["DATABASE_DOWN", "MIGRATIONS_UNKNOWN"]
    reader.close()


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (replace(RUNNING, state=EngineState.STARTING, shards_held=0), "SHARDS_NOT_HELD"),
        (replace(RUNNING, shards_held=0), "SHARDS_NOT_HELD"),
        (replace(RUNNING, state=EngineState.STANDBY, other_owner="node-2"), "STANDBY"),
        (replace(RUNNING, state=EngineState.DRAINING), "DRAINING"),
        (replace(RUNNING, recovery_started=False, recovery_done=False), "RECOVERY_NOT_STARTED"),
        (replace(RUNNING, journal_ok=False), "JOURNAL_NOT_COMMITTING"),
        (RuntimeError("no view"), "ENGINE_NOT_ANSWERING"),
    ],
)
async def test_a_node_is_not_ready_while_it_cannot_work(paper: Paper, view: Any, reason: str) -> None:
    paper.engine.view = view
    response = await paper.client.get("/readyz")
    assert response.status == 503
    assert reason in (await response.json())["reasons"]
    assert (await paper.client.get("/healthz")).status == 200


async def test_recovery_that_goes_on_does_not_keep_a_node_from_being_ready(paper: Paper) -> None:
    paper.engine.view = replace(RUNNING, recovery_done=False)
    response = await paper.client.get("/readyz")
    assert response.status == 200
    assert (await response.json())["recovery"] == {"started": True, "recovered_count": 7, "done": False}


async def test_pending_migrations_are_named(start_paper: StartPaper) -> None:
    async def one() -> tuple[str, ...]:
        return ("20270101000000_expand_more",)

    paper = await start_paper(migrations_pending=one)
    response = await paper.client.get("/readyz")
    assert response.status == 503
    document = await response.json()
    assert document["migrations_ok"] is False
    assert document["migrations_pending"] == ["20270101000000_expand_more"]
    assert document["reasons"] == ["MIGRATIONS_PENDING"]


async def test_a_standby_says_who_owns_the_shards(paper: Paper) -> None:
    paper.engine.view = replace(RUNNING, state=EngineState.STANDBY, other_owner="node-2")
    engine = (await (await paper.client.get("/healthz")).json())["engine"]
    assert (engine["state"], engine["standby_owner"]) == ("standby", "node-2")


async def test_metrics_are_prometheus_text(paper: Paper) -> None:
    await paper.client.get("/healthz")
    response = await paper.client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    text = await response.text()
    assert 'http_requests_total{route="/healthz",status="200"} 1.0' in text
    assert 'nepxy_http_request_seconds_bucket{le="0.001",route="/v1/payouts"}' in text


async def test_a_load_balancer_may_ask_with_head(paper: Paper) -> None:
    assert (await paper.client.head("/healthz")).status == 200


async def test_a_hanging_check_is_started_once_and_keeps_nobody_waiting() -> None:
    runs = 0
    release = asyncio.Event()

    async def hang() -> bool:
        nonlocal runs
        runs += 1
        await release.wait()
        return True

    check = SharedCheck("test", hang, wait_s=0.02, fresh_s=60)
    assert await asyncio.gather(*(check.answer() for _ in range(20))) == [None] * 20
    assert await check.answer() is None
    assert runs == 1
    release.set()
    await asyncio.sleep(0)
    assert await check.answer() is True
    assert runs == 1
