"""Operators' commands to payouts, over HTTP, with a real engine: what each does in each state, and why not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from nepxy.engine.payout import ProviderRef, Status
from tests.http.conftest import StartSteered
from tests.http.steering import Steered
from tests.http.support import PHONE, bearer, code_of, fields_of

PAYOUTS = "/v1/admin/mobile-money/payouts"
PROD_LIKE = {"NEPXY_SECOND_PERSON": "true"}


@pytest.mark.parametrize(
    ("status", "command", "fields", "after", "words"),
    [
        (Status.PENDING, "retry", {}, "PENDING", "sent as soon as TMONEY has a place"),
        (Status.PENDING, "cancel", {}, "CANCELLED", "nothing was sent"),
        (Status.SENT, "confirm", {}, "CONFIRMED", "confirmed by your word"),
        (Status.SENT, "fail", {}, "FAILED", "failed by your word"),
        (Status.REVIEW, "confirm", {}, "CONFIRMED", "confirmed by your word"),
        (Status.REVIEW, "fail", {}, "FAILED", "failed by your word"),
        (Status.REVIEW, "release", {}, "SENT", "out of review"),
        (Status.FAILED, "retry", {"force": True, "client_consents": True}, "PENDING", "new reference"),
        (Status.CANCELLED, "note", {}, "CANCELLED", "note is in its history"),
    ],
)
async def test_a_command_is_done_audited_and_answered_with_what_it_did(
    steered: Steered, status: Status, command: str, fields: dict[str, Any], after: str, words: str
) -> None:
    payout = steered.a_payout(status)
    code, answer = await steered.command(payout, command, **fields)
    assert code == 200, answer
    assert answer["outcome"] == "APPLIED"
    assert answer["target"] == f"payouts/{payout.transaction_id}"
    assert words in answer["what"]
    assert answer["what_next"]
    assert answer["payout"]["version"] > payout.version
    if after == "PENDING":
        # It waits for a place at its provider, and is not idle.
        told = await steered.get(f"{PAYOUTS}/{payout.transaction_id}/explain")
        assert told["in_memory"] is True
    rows = steered.desk.rows(
        "SELECT who, command, target, reason, outcome, before->>'status', after->>'status', request_id "
        "FROM app.audit_log"
    )
    assert [row[:7] for row in rows] == [
        ("operator:ann", command, answer["target"], "it is a test", "APPLIED", status.value, after)
    ]
    assert rows[0][7]
    events = (await steered.get(f"{PAYOUTS}/{payout.transaction_id}/events"))["events"]
    assert [event["who"] for event in events if event["who"].startswith("operator:")] == ["operator:ann"]


@pytest.mark.parametrize(
    ("status", "command", "fields", "code"),
    [
        (Status.PENDING, "confirm", {}, "COMMAND_NOT_VALID"),
        (Status.PENDING, "fail", {"force": True}, "COMMAND_NOT_VALID"),
        (Status.PENDING, "release", {}, "COMMAND_NOT_VALID"),
        (Status.SENT, "cancel", {}, "COMMAND_NOT_VALID"),
        (Status.SENT, "release", {}, "COMMAND_NOT_VALID"),
        (Status.REVIEW, "cancel", {}, "COMMAND_NOT_VALID"),
        (Status.CONFIRMED, "retry", {"force": True, "client_consents": True}, "COMMAND_NOT_VALID"),
        (Status.CONFIRMED, "poll", {}, "COMMAND_NOT_VALID"),
        (Status.CONFIRMED, "fail", {}, "FORCE_NEEDED"),
        (Status.FAILED, "retry", {"client_consents": True}, "FORCE_NEEDED"),
        (Status.FAILED, "fail", {"force": True}, "COMMAND_NOT_VALID"),
        (Status.CANCELLED, "retry", {"force": True, "client_consents": True}, "COMMAND_NOT_VALID"),
        (Status.SENT, "confirm", {"expected_version": 1}, "VERSION_CONFLICT"),
    ],
)
async def test_a_command_that_means_nothing_now_is_refused_and_audited(
    steered: Steered, status: Status, command: str, fields: dict[str, Any], code: str
) -> None:
    payout = steered.a_payout(status)
    http, answer = await steered.command(payout, command, **fields)
    assert (http, answer["code"]) == (409, code)
    shown = await steered.row(payout)
    assert answer["valid_commands"].split() == shown["valid_commands"]
    assert (answer["payout_status"], answer["version"]) == (status.value, payout.version)
    assert (shown["status"], shown["version"]) == (status.value, payout.version)
    assert steered.audit() == [("operator:ann", command, code, None)]


async def test_what_an_attempt_left_open_stands_in_the_way_of_a_negative_word_and_of_a_reopening(
    steered: Steered,
) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    sent = steered.a_payout(Status.SENT, answer_by=soon)
    http, answer = await steered.command(sent, "fail")
    assert (http, answer["code"]) == (409, "ANSWER_AWAITED")
    failed = steered.a_payout(Status.FAILED)
    steered.desk.database.execute_sql(
        "UPDATE app.payout_attempts SET in_doubt_since = now() WHERE transaction_id = %s",
        (failed.transaction_id,),
    )
    http, answer = await steered.command(failed, "retry", force=True, client_consents=True)
    assert (http, answer["code"]) == (409, "ATTEMPT_UNRESOLVED")
    told = await steered.get(f"{PAYOUTS}/{failed.transaction_id}/explain")
    assert any("unresolved" in text for text in told["blockers"])
    assert steered.audit()[-1] == ("operator:ann", "retry", "ATTEMPT_UNRESOLVED", None)


async def test_of_two_operators_at_once_one_wins_and_the_other_is_told(steered: Steered) -> None:
    payout = steered.a_payout(Status.REVIEW)
    answers = await asyncio.gather(
        steered.command(payout, "confirm", who="ann", expected_version=payout.version),
        steered.command(payout, "fail", who="bea", expected_version=payout.version),
    )
    assert sorted(http for http, _ in answers) == [200, 409]
    loser = next(answer for http, answer in answers if http == 409)
    assert loser["code"] == "VERSION_CONFLICT"
    assert loser["version"] == payout.version + 1
    assert sorted(outcome for _, _, outcome, _ in steered.audit()) == ["APPLIED", "VERSION_CONFLICT"]


async def test_a_command_sent_again_is_answered_and_not_done_again(steered: Steered) -> None:
    payout = steered.a_payout()
    key = uuid4().hex
    answers = await asyncio.gather(*(steered.command(payout, "retry", command_id=key) for _ in range(4)))
    assert [http for http, _ in answers] == [200] * 4
    assert sum(not answer.get("replayed", False) for _, answer in answers) == 1
    assert steered.desk.rows("SELECT count(*) FROM app.payout_events WHERE why = 'RETRY_ASKED'") == [(1,)]
    other = steered.a_payout()
    for target, word in ((other, "retry"), (payout, "note")):
        http, answer = await steered.command(target, word, command_id=key)
        assert (http, answer["code"]) == (409, "COMMAND_ID_CONFLICT")
    http, answer = await steered.command(payout, "retry", command_id=key, who="bea")
    assert (http, answer["code"]) == (409, "COMMAND_ID_CONFLICT")


async def test_a_refused_command_does_not_use_up_its_key(steered: Steered) -> None:
    payout = steered.a_payout(Status.SENT)
    http, _ = await steered.command(payout, "confirm", command_id="k1", expected_version=1)
    assert http == 409
    http, answer = await steered.command(payout, "confirm", command_id="k1", expected_version=2)
    assert (http, answer.get("replayed")) == (200, None)
    http, answer = await steered.command(payout, "confirm", command_id="k1", expected_version=2)
    assert (http, answer["replayed"]) == (200, True)


async def test_the_plain_paths_give_the_same_commands(steered: Steered) -> None:
    payout = steered.a_payout(Status.REVIEW)
    path = f"{PAYOUTS}/{payout.transaction_id}"
    noted = await steered.post(f"{path}/note", {"reason": f"called {PHONE} about it"})
    assert noted.status == 200
    confirmed = await steered.post(
        f"{path}/confirm", {"reason": "seen in their portal", "provider_ref": "TM-77", "expected_version": 3}
    )
    answer = await confirmed.json()
    assert (confirmed.status, answer["payout"]["status"]) == (200, "CONFIRMED")
    assert answer["payout"]["provider_ref"] == "TM-77"
    kept = str(steered.desk.rows("SELECT * FROM app.audit_log")) + str(
        steered.desk.rows("SELECT evidence FROM app.payout_events WHERE who LIKE 'operator:%%'")
    )
    assert PHONE not in kept
    assert PHONE.removeprefix("+228") not in kept


async def test_a_provider_reference_that_another_payout_has_is_told_to_the_operator(steered: Steered) -> None:
    steered.a_payout(Status.CONFIRMED, provider_ref=ProviderRef("TM-1"))
    payout = steered.a_payout(Status.REVIEW)
    http, answer = await steered.command(payout, "confirm", provider_ref="TM-1")
    assert (http, answer["code"]) == (409, "PROVIDER_REF_TAKEN")
    assert (await steered.row(payout))["status"] == "REVIEW"
    assert steered.audit() == [("operator:ann", "confirm", "PROVIDER_REF_TAKEN", None)]


@pytest.mark.parametrize(
    ("body", "http", "code", "fields"),
    [
        ({}, 422, "VALIDATION_FAILED", {"target", "command"}),
        ({"target": 5, "command": "retry"}, 422, "VALIDATION_FAILED", {"target"}),
        ({"target": "moon", "command": "retry", "reason": "why"}, 422, "TARGET_UNKNOWN", set()),
        ({"target": "payouts/ID", "command": "resend", "reason": "why"}, 422, "COMMAND_UNKNOWN", set()),
        ({"target": "payouts/abc", "command": "retry", "reason": "why"}, 404, "PAYOUT_NOT_FOUND", set()),
        (
            {"target": f"payouts/{uuid4()}", "command": "retry", "reason": "why"},
            404,
            "PAYOUT_NOT_FOUND",
            set(),
        ),
        ({"target": "payouts/ID", "command": "retry"}, 422, "VALIDATION_FAILED", {"reason"}),
        ({"target": "payouts/ID", "command": "retry", "reason": " "}, 422, "VALIDATION_FAILED", {"reason"}),
        (
            {
                "target": "payouts/ID",
                "command": "retry",
                "reason": "why",
                "expected_version": "2",
                "forse": 1,
            },
            422,
            "VALIDATION_FAILED",
            {"expected_version", "forse"},
        ),
    ],
)
async def test_bad_input_is_named(
    steered: Steered, body: dict[str, Any], http: int, code: str, fields: set[str]
) -> None:
    payout = steered.a_payout()
    if body.get("target") == "payouts/ID":
        body = body | {"target": f"payouts/{payout.transaction_id}"}
    response = await steered.post("/v1/admin/control", body)
    assert (response.status, await code_of(response)) == (http, code)
    document = await response.json()
    if fields:
        assert set(await fields_of(response)) == fields
    if code == "COMMAND_UNKNOWN":
        assert "retry, poll, confirm, fail, cancel, release, note" in document["detail"]
    if code == "TARGET_UNKNOWN":
        assert "providers/NAME" in document["detail"]
    assert steered.audit() == []


async def test_reading_and_steering_take_their_own_scopes(steered: Steered) -> None:
    payout = steered.a_payout()
    path = f"{PAYOUTS}/{payout.transaction_id}"
    body = {"reason": "may I?"}

    async def tried(who: str, scope: str) -> tuple[int, int]:
        headers = bearer(who, scope)
        read = await steered.client.get(path, headers=headers)
        wrote = await steered.client.post(f"{path}/note", json=body, headers=headers)
        return read.status, wrote.status

    assert await tried("ann", "admin") == (200, 200)
    assert await tried("ann", "admin:read") == (200, 403)
    assert await tried("ann", "admin:write") == (403, 200)
    assert await tried("viv", "admin") == (200, 403)
    assert await tried("wim", "admin") == (403, 200)
    assert await tried("stranger", "admin") == (403, 403)
    assert await tried("acme", "payouts:read payouts:write") == (403, 403)
    assert (await steered.client.get(path)).status == 401


async def test_an_operators_token_carries_what_was_granted(steered: Steered) -> None:
    grant = {"grant_type": "client_credentials", "client_id": "viv", "client_secret": "viv's"}
    response = await steered.client.post("/v1/auth/token", data=grant)
    token = await response.json()
    assert token["scope"] == "admin:read"
    listed = await steered.client.get(PAYOUTS, headers={"Authorization": f"Bearer {token['access_token']}"})
    assert listed.status == 200


# ---- a second person -----------------------------------------------------------------------------------------


async def proposed(
    steered: Steered, status: Status, command: str, **fields: Any
) -> tuple[Any, dict[str, Any]]:
    payout = steered.a_payout(status)
    http, answer = await steered.command(payout, command, **fields)
    assert (http, answer["outcome"]) == (202, "SECOND_PERSON_NEEDED"), answer
    assert (await steered.row(payout))["version"] == payout.version
    return payout, answer["proposal"]


@pytest.mark.parametrize(
    ("status", "command", "fields", "after"),
    [
        (Status.REVIEW, "confirm", {"provider_ref": "TM-9"}, "CONFIRMED"),
        (Status.SENT, "fail", {}, "FAILED"),
        (Status.FAILED, "retry", {"force": True}, "PENDING"),
        (Status.FAILED, "confirm", {"force": True}, "CONFIRMED"),
        (Status.CONFIRMED, "fail", {"force": True}, "FAILED"),
    ],
)
async def test_another_operator_approves_and_the_very_command_is_done(
    start_steered: StartSteered, status: Status, command: str, fields: dict[str, Any], after: str
) -> None:
    steered = await start_steered(PROD_LIKE)
    payout, proposal = await proposed(steered, status, command, **fields)
    open_ones = (await steered.get("/v1/admin/proposals"))["proposals"]
    assert [one["proposal_id"] for one in open_ones] == [proposal["proposal_id"]]
    own = await steered.post(proposal["links"]["approve"], {"reason": "it is fine"}, who="ann")
    assert await code_of(own) == "SECOND_PERSON_IS_THE_FIRST"
    response = await steered.post(proposal["links"]["approve"], {"reason": "I looked, too"}, who="bea")
    answer = await response.json()
    assert (response.status, answer["outcome"]) == (200, "APPLIED"), answer
    event = (await steered.get(f"{PAYOUTS}/{payout.transaction_id}/events"))["events"][2]
    assert (event["who"], event["to_status"]) == ("operator:ann", after)
    assert "operator:bea" in event["evidence"]["rule"]
    assert answer["proposal"]["state"] == "APPROVED"
    assert answer["proposal"]["outcome"] == "APPLIED"
    assert answer["proposal"]["decided_by"] == "operator:bea"
    assert steered.audit() == [
        ("operator:ann", command, "SECOND_PERSON_NEEDED", None),
        ("operator:bea", "approve", "APPLIED", None),
        ("operator:ann", command, "APPLIED", "operator:bea"),
    ]
    again = await steered.post(proposal["links"]["approve"], {"reason": "once more"}, who="bea")
    assert await code_of(again) == "PROPOSAL_CLOSED"
    assert (await steered.get("/v1/admin/proposals"))["proposals"] == []


@pytest.mark.parametrize("change", ["disabled_at = now()", "scopes = 'admin:read'"])
async def test_nobody_is_the_second_person_to_one_who_may_give_no_commands_any_more(
    start_steered: StartSteered, change: str
) -> None:
    steered = await start_steered(PROD_LIKE)
    _, proposal = await proposed(steered, Status.REVIEW, "confirm")
    steered.desk.database.execute_sql(f"UPDATE app.operators SET {change} WHERE operator_id = 'ann'")
    response = await steered.post(proposal["links"]["approve"], {"reason": "I looked, too"}, who="bea")
    assert await code_of(response) == "PROPOSAL_CLOSED"
    rows = steered.desk.rows("SELECT status FROM app.mobile_money_payouts")
    assert rows == [("REVIEW",)]


async def test_a_proposal_is_for_the_payout_as_it_was_looked_at(start_steered: StartSteered) -> None:
    steered = await start_steered(PROD_LIKE)
    payout, proposal = await proposed(steered, Status.REVIEW, "confirm")
    http, _ = await steered.command(payout, "note", who="bea")
    assert http == 200
    response = await steered.post(proposal["links"]["approve"], {"reason": "fine"}, who="bea")
    assert await code_of(response) == "VERSION_CONFLICT"
    assert (await steered.row(payout))["status"] == "REVIEW"
    again = await steered.post(proposal["links"]["approve"], {"reason": "fine"}, who="bea")
    assert await code_of(again) == "PROPOSAL_CLOSED"


async def test_of_two_who_decide_on_a_proposal_one_wins(start_steered: StartSteered) -> None:
    steered = await start_steered(PROD_LIKE)
    payout, proposal = await proposed(steered, Status.REVIEW, "confirm")
    answers = await asyncio.gather(
        steered.post(proposal["links"]["approve"], {"reason": "fine"}, who="bea"),
        steered.post(proposal["links"]["reject"], {"reason": "better not"}, who="wim"),
        steered.post(proposal["links"]["approve"], {"reason": "fine"}, who="wim"),
    )
    assert sorted(answer.status for answer in answers) == [200, 409, 409]
    confirmed = answers[1].status != 200
    assert (await steered.row(payout))["status"] == ("CONFIRMED" if confirmed else "REVIEW")


async def test_a_proposer_may_take_it_back_and_a_lapsed_one_is_closed(start_steered: StartSteered) -> None:
    steered = await start_steered(PROD_LIKE)
    payout, proposal = await proposed(steered, Status.REVIEW, "confirm")
    back = await steered.post(proposal["links"]["reject"], {"reason": "mistaken"}, who="ann")
    assert back.status == 200
    assert steered.audit()[-1] == ("operator:ann", "reject", "APPLIED", None)
    _, second = await steered.command(payout, "confirm")
    steered.desk.database.execute_sql("UPDATE app.command_proposals SET expires_at = now()")
    late = await steered.post(second["proposal"]["links"]["approve"], {"reason": "late"}, who="bea")
    assert await code_of(late) == "PROPOSAL_CLOSED"
    assert (await steered.row(payout))["status"] == "REVIEW"
    for unknown in (str(uuid4()), "nonsense"):
        nobody = await steered.post(f"/v1/admin/proposals/{unknown}/approve", {"reason": "what"}, who="bea")
        assert await code_of(nobody) == "PROPOSAL_NOT_FOUND"


async def test_the_same_command_waits_once_however_often_it_is_given(start_steered: StartSteered) -> None:
    steered = await start_steered(PROD_LIKE)
    payout, proposal = await proposed(steered, Status.REVIEW, "confirm", command_id="k")
    _, again = await steered.command(payout, "confirm", command_id="k")
    assert again["proposal"]["proposal_id"] == proposal["proposal_id"]
    response = await steered.post(proposal["links"]["approve"], {"reason": "fine"}, who="bea")
    assert response.status == 200
    http, replayed = await steered.command(payout, "confirm", command_id="k")
    assert (http, replayed["replayed"]) == (200, True)


async def test_a_second_person_cannot_be_named_in_the_body(start_steered: StartSteered) -> None:
    steered = await start_steered(PROD_LIKE)
    payout = steered.a_payout(Status.REVIEW)
    http, answer = await steered.command(payout, "confirm", second_person="bea")
    assert (http, answer["code"]) == (422, "VALIDATION_FAILED")
