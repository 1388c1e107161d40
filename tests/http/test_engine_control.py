"""Commands to providers and to the supervisor over HTTP, with a real engine and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nepxy.storage import restored
from tests.http.steering import Steered
from tests.http.support import bearer, code_of, fields_of

CONTROL = "/v1/admin/control"


async def order(steered: Steered, target: str, command: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"target": target, "command": command, "reason": "it is a test"}
    response = await steered.post(CONTROL, body | fields)
    return response.status, await response.json()


async def tmoney(steered: Steered) -> dict[str, Any]:
    return await steered.get("/v1/admin/providers/TMONEY")


@pytest.mark.parametrize(
    ("command", "fields", "expected"),
    [
        ("pause", {}, {"paused": True, "paused_by": "operator:ann", "paused_reason": "it is a test"}),
        ("pause_retries", {}, {"retries_paused": True, "retries_paused_reason": "it is a test"}),
        (
            "set_backoff",
            {"base_s": 120, "cap_s": 900.5},
            {
                "backoff_base_s": 120,
                "backoff_cap_s": 900.5,
                "overridden": ["backoff_base_s", "backoff_cap_s"],
            },
        ),
        (
            "set_pace",
            {"requests_per_s": 2, "concurrency_max": 1},
            {"requests_per_s": 2, "concurrency_max": 1},
        ),
        ("open_breaker", {}, {"breaker": "open", "breaker_forced": "open", "overridden": ["breaker"]}),
        ("close_breaker", {}, {"breaker": "closed", "breaker_forced": "closed"}),
    ],
)
async def test_a_command_to_a_provider_holds_is_audited_and_says_what_it_did(
    steered: Steered, command: str, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    status, answer = await order(steered, "providers/TMONEY", command, **fields)
    assert status == 200, answer
    assert (answer["outcome"], answer["command"]) == ("APPLIED", command)
    assert "TMONEY" in answer["what"]
    assert answer["what_next"]
    assert answer["provider"] | expected == answer["provider"]
    shown = await tmoney(steered)
    assert shown | expected == shown
    assert steered.audit() == [("operator:ann", command, "APPLIED", None)]
    ((arguments, request_id),) = steered.desk.rows("SELECT arguments, request_id FROM app.audit_log")
    assert arguments == fields
    assert request_id


async def test_commands_are_undone_by_their_counterparts(steered: Steered) -> None:
    for does, undoes in (("pause", "resume"), ("pause_retries", "resume_retries")):
        for command in (does, undoes):
            status, answer = await order(steered, "providers/TMONEY", command)
            assert status == 200, answer
    for command in ("set_pace", "set_backoff"):
        await order(steered, "providers/TMONEY", command)
    await order(steered, "providers/TMONEY", "open_breaker")
    await order(steered, "providers/TMONEY", "release_breaker")
    shown = await tmoney(steered)
    assert (shown["paused"], shown["retries_paused"], shown["breaker"], shown["overridden"]) == (
        False,
        False,
        "closed",
        [],
    )


@pytest.mark.parametrize(
    ("target", "command", "fields", "code", "says"),
    [
        ("providers/TMONY", "pause", {}, "PROVIDER_UNKNOWN", "TMONEY"),
        ("providers/TMONEY", "explode", {}, "COMMAND_UNKNOWN", "set_pace"),
        ("supervisor", "explode", {}, "COMMAND_UNKNOWN", "pause_intake"),
        ("providers/TMONEY", "resume", {}, "COMMAND_NOT_VALID", "pause_retries"),
        ("supervisor", "resume_intake", {}, "COMMAND_NOT_VALID", "pause_intake"),
        ("providers/TMONEY", "release_breaker", {}, "COMMAND_NOT_VALID", "open_breaker"),
    ],
)
async def test_a_refusal_says_what_there_is(
    steered: Steered, target: str, command: str, fields: dict[str, Any], code: str, says: str
) -> None:
    status, answer = await order(steered, target, command, **fields)
    assert answer["code"] == code
    assert status in (409, 422)
    assert says in answer["detail"]
    if code == "COMMAND_NOT_VALID":
        assert says in answer["valid_commands"].split()
        assert steered.audit() == [("operator:ann", command, code, None)]


@pytest.mark.parametrize(
    ("command", "fields", "field"),
    [
        ("set_backoff", {"base_s": -1}, "base_s"),
        ("set_backoff", {"base_s": 0}, "base_s"),
        ("set_backoff", {"base_s": "soon"}, "base_s"),
        ("set_backoff", {"base_s": 500, "cap_s": 100}, "cap_s"),
        ("set_pace", {"concurrency_max": 0}, "concurrency_max"),
        ("set_pace", {"concurrency_max": 100000}, "concurrency_max"),
        ("set_pace", {"requests_per_s": 1e8}, "requests_per_s"),
        ("pause", {"reason": ""}, "reason"),
        ("pause", {"surprise": 1}, "surprise"),
    ],
)
async def test_a_wrong_value_is_named(
    steered: Steered, command: str, fields: dict[str, Any], field: str
) -> None:
    body = {"target": "providers/TMONEY", "command": command, "reason": "it is a test"} | fields
    response = await steered.post(CONTROL, body)
    assert response.status == 422
    assert field in await fields_of(response)
    assert (await tmoney(steered))["overridden"] == []


async def test_a_command_given_twice_under_one_key_is_done_once(steered: Steered) -> None:
    status, _ = await order(steered, "providers/TMONEY", "pause", command_id="c-1")
    assert status == 200
    await order(steered, "providers/TMONEY", "resume")
    status, answer = await order(steered, "providers/TMONEY", "pause", command_id="c-1")
    assert (status, answer["replayed"], answer["provider"]["paused"]) == (200, True, False)
    assert [row[1] for row in steered.audit()] == ["pause", "resume"]
    _, answer = await order(steered, "supervisor", "recover", command_id="c-1")
    assert answer["code"] == "COMMAND_ID_CONFLICT"


async def test_a_paused_intake_is_shown_by_whom_and_why_and_opened_again(steered: Steered) -> None:
    status, answer = await order(steered, "supervisor", "pause_intake")
    assert status == 200, answer
    assert (answer["engine"]["intake_open"], answer["engine"]["intake_by"]) == (False, "operator:ann")
    assert (await steered.get("/v1/admin/engine"))["intake_reason"] == "it is a test"
    ready = await steered.client.get("/readyz")
    assert (await ready.json())["engine"]["intake_open"] is False
    status, answer = await order(steered, "supervisor", "resume_intake")
    assert answer["engine"]["intake_open"] is True


async def test_the_supervisors_other_commands(steered: Steered) -> None:
    status, answer = await order(steered, "supervisor", "set_limits", payouts_in_memory_max=7)
    assert (status, answer["engine"]["payouts_in_memory_max"]) == (200, 7)
    status, answer = await order(steered, "supervisor", "recover")
    assert status == 200
    status, answer = await order(steered, "supervisor", "drain")
    assert (status, answer["engine"]["drains_here"]) == (200, True)
    ready = await steered.client.get("/readyz")
    assert "DRAINING" in (await ready.json())["reasons"]
    assert [row[1] for row in steered.audit()] == ["set_limits", "recover", "drain"]


async def test_the_plain_paths_do_the_same(steered: Steered) -> None:
    response = await steered.post("/v1/admin/providers/tmoney/pause-retries", {"reason": "it is down"})
    assert response.status == 200
    assert (await tmoney(steered))["retries_paused"] is True
    response = await steered.post("/v1/admin/supervisor/recover", {"reason": "look again"})
    assert response.status == 200


async def test_looking_needs_the_right_to_look_and_steering_that_to_steer(steered: Steered) -> None:
    for path in ("/v1/admin/providers", "/v1/admin/providers/TMONEY", "/v1/admin/engine"):
        response = await steered.client.get(path, headers=bearer("wim", "admin"))
        assert response.status == 403, path
        response = await steered.client.get(path, headers=bearer("viv", "admin"))
        assert response.status == 200, path
        assert (await steered.client.get(path)).status == 401
    response = await steered.post(
        CONTROL, {"target": "providers/TMONEY", "command": "pause", "reason": "no no"}, who="viv"
    )
    assert response.status == 403


async def test_a_provider_is_shown_with_its_contract_and_an_unknown_one_names_those_that_exist(
    steered: Steered,
) -> None:
    shown = await tmoney(steered)
    assert shown["account"]
    assert shown["capabilities"]["repeated_reference"]
    assert shown["calls"] == {"answered": 0, "failed": 0, "success_rate": None, "p50_s": None, "p95_s": None}
    assert "pause" in shown["valid_commands"]
    response = await steered.client.get("/v1/admin/providers/NOBODY", headers=bearer("ann", "admin"))
    assert await code_of(response) == "PROVIDER_UNKNOWN"


async def test_after_a_restore_the_engine_is_released_by_a_command(steered: Steered) -> None:
    status, answer = await order(steered, "supervisor", "release_restored")
    assert (status, answer["code"]) == (409, "COMMAND_NOT_VALID")
    await asyncio.to_thread(restored.mark, steered.desk.database, why="drill", who="operator:cli")
    engine = await seen(steered, lambda view: view["restored"] is not None)
    assert engine["restored"]["held"] is True
    assert "release_restored" in engine["valid_commands"]

    status, answer = await order(steered, "supervisor", "release_restored", reposts_for_h=-1)
    assert status == 422
    status, answer = await order(steered, "supervisor", "release_restored", reposts_for_h=1, command_id="r-1")

    assert (status, answer["engine"]["restored"]["held"]) == (200, False)
    assert "re-post" in answer["what_next"]
    status, answer = await order(steered, "supervisor", "release_restored", reposts_for_h=1, command_id="r-1")
    assert (status, answer["replayed"]) == (200, True)
    done = [row for row in steered.audit() if row[1] == "release_restored"]
    assert done[-1][0] == "operator:ann"


async def seen(steered: Steered, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The engine, once it looks so: it reads what the database says every second or two."""
    async with asyncio.timeout(20):
        while True:
            engine: dict[str, Any] = await steered.get("/v1/admin/engine")
            if holds(engine):
                return engine
            await asyncio.sleep(0.1)
