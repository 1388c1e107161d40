"""Levers that touch many: selected, counted, capped, ramped, stopped, approved by a second person, and done once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nepxy.engine.payout import Payout, Status
from nepxy.storage import restored
from tests.http.steering import Steered
from tests.http.support import PHONE, bearer, code_of, fields_of

BULK = "/v1/admin/bulk"
FAST = 6000


async def pull(
    steered: Steered, command: str, selector: dict[str, Any], *, who: str = "ann", **fields: Any
) -> tuple[int, dict[str, Any]]:
    body = {
        "command": command,
        "selector": selector,
        "reason": "it is a test",
        "dry_run": False,
        "per_minute": FAST,
    }
    response = await steered.post(BULK, body | fields, who=who)
    return response.status, await response.json()


async def ended(steered: Steered, run_id: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            run = await steered.get(f"{BULK}/{run_id}")
            if run["state"] != "RUNNING":
                return run
            await asyncio.sleep(0.2)


def pending(steered: Steered, count: int) -> list[Payout]:
    return [steered.a_payout(Status.PENDING) for _ in range(count)]


async def test_a_dry_run_counts_and_changes_nothing(steered: Steered) -> None:
    pending(steered, 3)
    steered.a_payout(Status.SENT)
    status, answer = await pull(steered, "cancel", {"status": "PENDING,SENT"}, dry_run=True, per_minute=60)
    assert status == 200
    assert (answer["outcome"], answer["count"], answer["would_take_s"]) == ("DRY_RUN", 3, 3.0)
    assert answer["amounts"] == [{"currency": "XOF", "amount": 3000, "count": 3}]
    assert len(answer["sample"]) == 3
    assert steered.audit() == []
    assert steered.desk.rows("SELECT count(*) FROM app.bulk_runs") == [(0,)]


async def test_each_payout_gets_an_ordinary_audited_command(steered: Steered) -> None:
    payouts = pending(steered, 3)
    status, answer = await pull(steered, "cancel", {"status": "PENDING"})
    assert status == 200, answer
    run = await ended(steered, answer["run"]["run_id"])
    assert (run["state"], run["count"], run["done"], run["outcomes"]) == ("DONE", 3, 3, {"APPLIED": 3})
    assert {item["transaction_id"] for item in run["items"]} == {one.transaction_id for one in payouts}
    for payout in payouts:
        assert (await steered.row(payout))["status"] == "CANCELLED"
    assert [row[:3] for row in steered.audit()] == [("operator:ann", "cancel", "APPLIED")] * 4
    assert [one["run_id"] for one in (await steered.get(BULK))["runs"]] == [run["run_id"]]


async def test_what_moved_on_since_it_was_selected_is_left_alone(steered: Steered) -> None:
    moved, still = pending(steered, 2)
    _, answer = await pull(steered, "cancel", {"status": "PENDING"}, per_minute=20)
    run_id = answer["run"]["run_id"]
    async with asyncio.timeout(10):
        while (await steered.get(f"{BULK}/{run_id}"))["done"] < 1:
            await asyncio.sleep(0.1)
    first = (await steered.get(f"{BULK}/{run_id}"))["items"][0]["transaction_id"]
    other = moved if moved.transaction_id != first else still
    assert (await steered.command(other, "note"))[0] == 200
    run = await ended(steered, run_id)
    assert run["outcomes"] == {"APPLIED": 1, "VERSION_CONFLICT": 1}
    assert (await steered.row(other))["status"] != "CANCELLED"


async def test_a_stopped_run_does_nothing_more_and_says_so(steered: Steered) -> None:
    payouts = pending(steered, 5)
    _, answer = await pull(steered, "cancel", {"status": "PENDING"}, per_minute=1)
    run_id = answer["run"]["run_id"]
    response = await steered.post(f"{BULK}/{run_id}/stop", {"reason": "wrong selector"})
    stopped = await response.json()
    assert (stopped["outcome"], stopped["run"]["state"]) == ("APPLIED", "STOPPED")
    assert stopped["run"]["ended_by"] == "operator:ann"
    await asyncio.sleep(0)
    run = await steered.get(f"{BULK}/{run_id}")
    assert run["done"] <= 1
    rows = [(await steered.row(one))["status"] for one in payouts]
    assert rows.count("PENDING") >= 4
    again = await steered.post(f"{BULK}/{run_id}/stop", {"reason": "wrong selector"})
    assert again.status == 200
    assert ("operator:ann", "stop", "APPLIED", None) in steered.audit()


async def test_a_run_that_expires_leaves_the_rest_alone(steered: Steered) -> None:
    pending(steered, 5)
    _, answer = await pull(steered, "cancel", {"status": "PENDING"}, per_minute=1)
    run_id = answer["run"]["run_id"]
    steered.desk.database.execute_sql("UPDATE app.bulk_runs SET expires_at = now() - interval '1 second'")
    run = await ended(steered, run_id)
    assert (run["state"], run["ended_by"]) == ("EXPIRED", "engine")
    assert run["done"] <= 1


async def test_an_item_whose_end_was_not_kept_is_done_once(steered: Steered) -> None:
    """As after a crash between the command's commit and the item's."""
    payouts = pending(steered, 2)
    _, answer = await pull(steered, "cancel", {"status": "PENDING"})
    run_id = answer["run"]["run_id"]
    await ended(steered, run_id)
    steered.desk.database.execute_sql("UPDATE app.bulk_items SET done_at = NULL, outcome = NULL WHERE n = 1")
    steered.desk.database.execute_sql("UPDATE app.bulk_runs SET state = 'RUNNING', ended_at = NULL")
    run = await ended(steered, run_id)
    assert run["outcomes"] == {"APPLIED": 2}
    assert len(steered.audit()) == 1 + len(payouts)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"count_max": 2}, "BULK_OVER_THE_CAP"),
        ({"amount_max": 2999}, "BULK_OVER_THE_CAP"),
        ({"selector": {"status": "REVIEW"}}, "BULK_SELECTS_NOTHING"),
        ({"command": "confirm"}, "COMMAND_UNKNOWN"),
    ],
)
async def test_a_lever_too_big_too_small_or_unknown_is_refused(
    steered: Steered, fields: dict[str, Any], code: str
) -> None:
    pending(steered, 3)
    body: dict[str, Any] = {"command": "cancel", "selector": {"status": "PENDING"}} | fields
    status, answer = await pull(steered, body.pop("command"), body.pop("selector"), **body)
    assert answer["code"] == code
    assert status in (409, 422)
    assert steered.desk.rows("SELECT count(*) FROM app.bulk_runs") == [(0,)]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"selector": {}}, "selector"),
        ({"selector": {"status": "GONE"}}, "selector.status"),
        ({"selector": {"status": "FAILED"}}, "selector.created_from"),
        ({"selector": {"color": "red"}}, "selector.color"),
        ({"per_minute": 0}, "per_minute"),
        ({"count_max": 10_001}, "count_max"),
        ({"dry_run": None}, "dry_run"),
        ({"reason": ""}, "reason"),
    ],
)
async def test_a_wrong_field_is_named(steered: Steered, fields: dict[str, Any], field: str) -> None:
    body = {"command": "cancel", "selector": {"status": "PENDING"}, "reason": "a test", "dry_run": True}
    response = await steered.post(BULK, body | fields)
    assert response.status == 422
    assert field in await fields_of(response)


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_number_is_not_kept_with_a_lever(steered: Steered, dry_run: bool) -> None:
    pending(steered, 1)
    response = await steered.post(
        BULK,
        {"command": "cancel", "selector": {"phone": PHONE}, "reason": "it is a test", "dry_run": dry_run},
    )
    assert response.status == 422
    assert list(await fields_of(response)) == ["selector.phone"]
    kept = steered.desk.rows(
        "SELECT arguments::text FROM app.audit_log UNION ALL SELECT selector::text FROM app.bulk_runs"
    )
    assert not [row for row in kept if PHONE in row[0]]


async def test_what_failed_is_reopened_only_by_a_second_person_and_under_new_references(
    steered: Steered,
) -> None:
    failed = [steered.a_payout(Status.FAILED, retryable=True) for _ in range(2)]
    steered.a_payout(Status.CONFIRMED)
    since = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    body = {"reason": "it is back", "since": since, "dry_run": False, "per_minute": FAST}
    path = "/v1/admin/providers/TMONEY/retry-failed"
    dry = await steered.post(path, body | {"dry_run": True})
    assert (await dry.json())["count"] == 2
    response = await steered.post(path, body | {"amount_max": 10**9})
    waits = await response.json()
    assert (response.status, waits["outcome"], waits["count"]) == (202, "SECOND_PERSON_NEEDED", 2)
    most = waits["proposal"]["arguments"]["amount_max"]
    assert most == 2000, "no more than was selected when it was proposed, whatever its proposer allowed"
    approve = waits["proposal"]["links"]["approve"]
    assert await code_of(await steered.post(approve, {"reason": "I agree"})) == "SECOND_PERSON_IS_THE_FIRST"
    response = await steered.post(approve, {"reason": "I agree"}, who="bea")
    answer = await response.json()
    assert response.status == 200, answer
    run = await ended(steered, answer["run"]["run_id"])
    assert (run["outcomes"], run["approved_by"]) == ({"APPLIED": 2}, "operator:bea")
    for payout in failed:
        row = await steered.row(payout)
        assert row["generation"] == payout.generation + 1
        assert row["status"] in ("PENDING", "SENT", "CONFIRMED")


async def test_on_rows_out_of_a_backup_no_lever_is_pulled_until_the_engine_is_released(
    steered: Steered,
) -> None:
    """The run may have been stopped, or have ended, after the backup was taken."""
    await asyncio.to_thread(restored.mark, steered.desk.database, why="drill", who="operator:cli")
    async with asyncio.timeout(20):
        while not ((await steered.get("/v1/admin/engine"))["restored"] or {}).get("held"):
            await asyncio.sleep(0.1)
    reviewed = steered.a_payout(Status.REVIEW)
    _, answer = await pull(steered, "poll", {"status": "REVIEW"})
    run_id = answer["run"]["run_id"]
    await asyncio.sleep(3)  # longer than it rests between two looks
    assert (await steered.get(f"{BULK}/{run_id}"))["done"] == 0
    assert (await steered.row(reviewed))["version"] == reviewed.version
    order = {"target": "supervisor", "command": "release_restored", "reason": "it was looked into"}
    assert (await steered.post("/v1/admin/control", order)).status == 200
    assert (await ended(steered, run_id))["done"] == 1


async def test_a_lever_pulled_twice_under_one_key_is_pulled_once(steered: Steered) -> None:
    pending(steered, 1)
    _, first = await pull(steered, "cancel", {"status": "PENDING"}, command_id="k-1")
    await ended(steered, first["run"]["run_id"])
    status, second = await pull(steered, "cancel", {"status": "PENDING"}, command_id="k-1")
    assert (status, second["replayed"]) == (200, True)
    assert second["run"]["run_id"] == first["run"]["run_id"]


async def test_levers_are_for_those_who_may_steer(steered: Steered) -> None:
    status, answer = await pull(steered, "cancel", {"status": "PENDING"}, who="viv")
    assert (status, answer["code"]) == (403, "SCOPE_MISSING")
    response = await steered.client.get(BULK, headers=bearer("wim", "admin"))
    assert response.status == 403
    missing = await steered.client.get(f"{BULK}/nothing", headers=bearer("ann", "admin"))
    assert await code_of(missing) == "BULK_RUN_NOT_FOUND"
