"""What operators see of actors, database and incidents, with a real engine and a real database."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import peewee

from nepxy.engine.payout import Status
from tests.http.steering import Steered
from tests.http.support import bearer, code_of


async def test_the_tree_shows_every_actor_with_what_it_is_about(steered: Steered) -> None:
    tree = await steered.get("/v1/admin/actors")
    rows = {row["name"]: row for row in tree["actors"]}
    assert {"supervisor", "journal", "journal_writer/0", "lease_keeper", "doubt_watcher"} <= set(rows)
    assert rows["provider/TMONEY"]["parent"] == "supervisor"
    assert rows["journal_writer/0"]["parent"] == "journal"
    for name, row in rows.items():
        assert row["state"] == "running", row
        assert row["doing"], name
        assert row["restarts"] == 0
    assert rows["supervisor"]["started_at"]
    assert tree["payouts"] == {"count": 0}


async def test_a_payouts_actor_is_shown_or_when_the_next_one_comes(steered: Steered) -> None:
    payout = steered.a_payout(Status.SENT)
    path = f"/v1/admin/actors/payouts/{payout.transaction_id}"
    assert (await steered.get(path))["state"] == "passivated"
    assert (await steered.get(path))["next_at"]
    response = await steered.client.get(
        "/v1/admin/actors/payouts/0190a5f2-0000-7000-8000-000000000000", headers=bearer("ann", "admin")
    )
    assert await code_of(response) == "PAYOUT_NOT_FOUND"


async def test_the_database_shows_our_connections_and_what_runs_long_without_its_values(
    steered: Steered,
) -> None:
    shown = await steered.get("/v1/admin/database")
    assert shown["ok"] is True
    assert shown["connections"]["ours"] >= 1
    assert shown["connections"]["max"] > shown["connections"]["all"] >= shown["connections"]["ours"]
    assert set(shown["pool"]) == {"size", "in_use", "waiting"}

    def hold(database: peewee.Database) -> None:
        database.execute_sql("SELECT pg_sleep(3), '+22890123456'")

    holding = asyncio.create_task(steered.front.reader.run(hold))
    deadline_s = time.monotonic() + 10
    slow: list[dict[str, Any]] = []
    while not slow and time.monotonic() < deadline_s:
        await asyncio.sleep(0.2)
        slow = (await steered.get("/v1/admin/database"))["slow"]
    await holding
    assert [one["query"] for one in slow] == ["SELECT pg_sleep(?), '?'"]
    assert slow[0]["application"] == "nepxy"
    assert slow[0]["running_s"] >= 1


async def test_an_exhausted_pool_is_seen_and_judged_while_it_is_exhausted(steered: Steered) -> None:
    reader = steered.front.reader

    def hold(database: peewee.Database) -> None:
        database.execute_sql("SELECT pg_sleep(4)")

    holding = [asyncio.create_task(reader.run(hold)) for _ in range(reader.connections_max + 3)]
    await asyncio.sleep(0)
    shown = await steered.get("/v1/admin/database")
    pool = shown["pool"]
    assert (pool["size"], pool["in_use"]) == (reader.connections_max, reader.connections_max)
    assert pool["waiting"] >= 3
    found = (await steered.get("/v1/admin/incidents"))["incidents"]
    finding = next(one for one in found if one["id"] == "pool_exhausted")
    assert finding["state"] == "wrong"
    assert finding["figures"]["waiting"] >= 3
    for task in holding[-3:]:
        task.cancel()
    await asyncio.gather(*holding, return_exceptions=True)


async def test_a_payout_stuck_in_sent_is_an_incident_that_names_it(steered: Steered) -> None:
    payout = steered.a_payout(Status.SENT)
    steered.desk.rows("SELECT 1")
    steered.desk.database.execute_sql(
        "UPDATE app.mobile_money_payouts SET last_attempt_at = now() - interval '5 hours'"
    )
    found = (await steered.get("/v1/admin/incidents"))["incidents"]
    assert [one["id"] for one in found] == [
        "stuck_sent",
        "webhook_signatures",
        "provider_down",
        "idempotency_conflicts",
        "pool_exhausted",
    ]
    assert (found[0]["state"], found[0]["figures"]["stuck"]) == ("wrong", {payout.provider: 1})
    assert "--stuck-for" in found[0]["commands"][0]["cli"]


async def test_the_series_has_a_point_once_two_looks_were_taken(steered: Steered) -> None:
    from nepxy.http.parts import PARTS

    steered.a_payout(Status.SENT)
    app = steered.client.app
    assert app is not None
    watch = app[PARTS].watch
    await watch.look()
    await watch.look()
    shown = await steered.get("/v1/admin/series", minutes="5")
    assert shown["step_s"] == 30
    assert shown["points"][-1]["states"] == {"TMONEY": {"SENT": 1}}
    assert shown["points"][-1]["settled"]["TMONEY"] == {"CONFIRMED": 0, "FAILED": 0}
    response = await steered.client.get("/v1/admin/series?minutes=0", headers=bearer("ann", "admin"))
    assert response.status == 422
