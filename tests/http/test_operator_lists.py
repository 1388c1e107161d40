"""What operators look at: payouts by every filter, the review queue, explanations, and what stands beside payouts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nepxy.engine.payout import ProviderRef, Status
from tests.http.steering import Steered
from tests.http.support import PHONE, bearer, code_of, fields_of

PAYOUTS = "/v1/admin/mobile-money/payouts"
OTHER_PHONE = "+22890999888"


async def found(steered: Steered, **query: str) -> list[str]:
    page = await steered.get(PAYOUTS, **query)
    return [one["transaction_id"] for one in page["payouts"]]


async def test_every_filter_finds_what_it_names_and_nothing_else(steered: Steered) -> None:
    now = datetime.now(UTC)
    pending = steered.a_payout(amount=500)
    sent = steered.a_payout(Status.SENT, client_id="other", phone_e164=OTHER_PHONE, amount=2000)
    review = steered.a_payout(Status.REVIEW, last_error="The wallet said 50%_off", created_at=now)
    paid = steered.a_payout(Status.CONFIRMED, provider_ref=ProviderRef("TM-55"), external_ref="salary-7")
    failed = steered.a_payout(Status.FAILED, created_at=now - timedelta(days=2))
    p, s, r, c, f = (one.transaction_id for one in (pending, sent, review, paid, failed))
    steered.desk.database.execute_sql(
        "UPDATE app.mobile_money_payouts SET updated_at = now() - interval '1 hour' WHERE transaction_id IN (%s, %s)",
        (s, c),
    )
    recent = (now - timedelta(hours=1)).isoformat()
    wanted: list[tuple[dict[str, str], list[str]]] = [
        ({}, [f, c, r, s, p]),
        ({"status": "sent,REVIEW"}, [r, s]),
        ({"status": "FAILED", "client_id": "acme"}, [f]),
        ({"status": "PENDING,SENT,REVIEW", "amount_min": "1000"}, [r, s]),
        ({"status": "PENDING,SENT,REVIEW", "amount_min": "500", "amount_max": "999"}, [p]),
        ({"client_id": "other"}, [s]),
        ({"stuck_s": "600"}, [s]),
        ({"in_doubt": "true"}, [r, s]),
        ({"in_doubt": "true", "provider": "flooz"}, []),
        ({"in_doubt": "true", "provider": "tmoney"}, [r, s]),
        ({"in_doubt": "true", "error": "50%_OFF"}, [r]),
        ({"in_doubt": "true", "error": "in_doubt"}, [s]),
        ({"retryable": "false", "client_id": "acme"}, [f, c, r]),
        ({"age_s": "3600"}, [f]),
        ({"phone": OTHER_PHONE}, [s]),
        ({"phone": PHONE, "status": "CONFIRMED"}, [c]),
        ({"phone": "9888", "status": "SENT"}, [s]),
        ({"phone": "3456", "created_from": recent}, [c, r, p]),
        ({"reference": p.upper()}, [p]),
        ({"reference": sent.submission_ref}, [s]),
        ({"reference": pending.submission_ref}, [p]),
        ({"reference": "TM-55"}, [c]),
        ({"reference": "salary-7"}, [c]),
        ({"reference": "salary-7", "client_id": "other"}, []),
        ({"reference": "nobody's"}, []),
        ({"created_from": recent, "status": "CONFIRMED"}, [c]),
        ({"created_to": recent}, [f]),
        ({"created_from": recent, "created_to": (now + timedelta(hours=1)).isoformat()}, [c, r, s, p]),
    ]
    for query, ids in wanted:
        assert sorted(await found(steered, **query)) == sorted(ids), query


async def test_a_page_goes_on_where_the_last_one_ended(steered: Steered) -> None:
    made = [steered.a_payout().transaction_id for _ in range(5)]
    seen: list[str] = []
    query = {"limit": "2", "status": "PENDING"}
    while True:
        page = await steered.get(PAYOUTS, **query)
        seen += [one["transaction_id"] for one in page["payouts"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == made[::-1]
    for other in ({"status": "SENT"}, {}):
        response = await steered.client.get(
            PAYOUTS, params={**other, "cursor": query["cursor"]}, headers=bearer("ann", "admin")
        )
        assert await code_of(response) == "CURSOR_INVALID"


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ({"status": "FAILED"}, "created_from", "client_id"),
        ({"provider": "TMONEY"}, "created_from", "status=PENDING,SENT,REVIEW"),
        ({"error": "x", "created_from": "2020-01-01T00:00:00Z"}, "created_from", "31 days"),
        ({"phone": "3456"}, "created_from", "whole phone number"),
        ({"status": "LOST"}, "status", "CONFIRMED"),
        ({"phone": "123"}, "phone", "last 4"),
        ({"phone": "+228 90"}, "phone", "with +"),
        ({"amount_min": "2", "amount_max": "1"}, "amount_max", ""),
        ({"amount_min": "1.5"}, "amount_min", ""),
        ({"stuck_s": "nan"}, "stuck_s", ""),
        ({"limit": "0"}, "limit", ""),
        ({"created_from": "yesterday"}, "created_from", "ISO 8601"),
        (
            {"created_from": "2026-01-02T00:00:00Z", "created_to": "2026-01-01T00:00:00Z"},
            "created_to",
            "",
        ),
        ({"statsu": "SENT"}, "statsu", "did you mean status"),
    ],
)
async def test_a_search_that_cannot_be_made_says_what_to_send(
    steered: Steered, query: dict[str, str], field: str, words: str
) -> None:
    response = await steered.client.get(PAYOUTS, params=query, headers=bearer("ann", "admin"))
    assert (response.status, await code_of(response)) == (422, "VALIDATION_FAILED")
    fields = await fields_of(response)
    assert list(fields) == [field]
    assert words in fields[field]


async def test_an_operator_sees_more_than_a_client_and_still_no_whole_number(steered: Steered) -> None:
    payout = steered.a_payout(Status.SENT)
    shown = await steered.row(payout)
    assert shown["client_id"] == "acme"
    assert shown["idempotency_key"] == payout.idempotency_key
    assert shown["account"] == payout.account
    assert shown["valid_commands"] == ["retry", "poll", "confirm", "fail", "note"]
    assert shown["phone_masked"] == "+228*****456"
    assert PHONE not in str(shown)
    assert shown["updated_at"]
    attempts = (await steered.get(shown["links"]["attempts"]))["attempts"]
    assert [one["submission_ref"] for one in attempts] == [payout.submission_ref]
    for path in ("events", "attempts", "webhooks", "explain"):
        response = await steered.client.get(
            f"{PAYOUTS}/0193a5c8-0000-7000-8000-000000000009/{path}", headers=bearer("ann", "admin")
        )
        assert await code_of(response) == "PAYOUT_NOT_FOUND"


@pytest.mark.parametrize("status", list(Status))
async def test_an_explanation_says_why_what_next_and_which_commands_are_safe(
    steered: Steered, status: Status
) -> None:
    payout = steered.a_payout(status)
    told = await steered.get(f"{PAYOUTS}/{payout.transaction_id}/explain")
    assert told["status"] == status.value
    assert told["in_memory"] is False
    assert told["why"]
    assert told["next"]["what"]
    assert (told["next"]["at"] is None) is status.is_final
    shown = await steered.row(payout)
    assert [one["command"] for one in told["commands"]] == shown["valid_commands"]
    for one in told["commands"]:
        assert one["does"]
        assert "reason" in one["needs"]
        # What it says to need is what it is refused without.
        missing = {"force"} & set(one["needs"])
        http, answer = await steered.command(payout, one["command"], expected_version=payout.version + 10**6)
        assert (http, answer["code"]) == (409, "VERSION_CONFLICT")
        if missing:
            http, answer = await steered.command(payout, one["command"])
            assert (http, answer["code"]) == (409, "FORCE_NEEDED")
    if status is not Status.PENDING:
        assert told["evidence"][0]["says"]


async def test_the_review_queue_has_what_waits_for_a_person_oldest_first(steered: Steered) -> None:
    now = datetime.now(UTC)
    old = steered.a_payout(Status.REVIEW, in_doubt_since=now - timedelta(hours=3), amount=300)
    new = steered.a_payout(Status.SENT, in_doubt_since=now - timedelta(minutes=1), amount=50)
    middle = steered.a_payout(
        Status.REVIEW, reason="TERMS_DIFFER", in_doubt_since=now - timedelta(hours=1), amount=7
    )
    steered.a_payout()
    steered.a_payout(Status.SENT, in_doubt_since=None)
    page = await steered.get(f"{PAYOUTS}/review", limit="2")
    assert [one["transaction_id"] for one in page["payouts"]] == [old.transaction_id, middle.transaction_id]
    assert page["payouts"][0]["waiting_s"] >= 3 * 3600
    assert "Nobody could say" in page["payouts"][0]["why"]
    held = [one["command"] for one in page["payouts"][1]["commands"]]
    assert "release" not in held
    assert page["figures"] == [
        {
            "provider": "TMONEY",
            "currency": "XOF",
            "count": 3,
            "amount": 357,
            "oldest_at": page["figures"][0]["oldest_at"],
        }
    ]
    rest = await steered.get(f"{PAYOUTS}/review", limit="2", cursor=page["next_cursor"])
    assert [one["transaction_id"] for one in rest["payouts"]] == [new.transaction_id]
    assert rest["next_cursor"] is None


async def test_the_summary_counts_what_is_in_flight_and_what_this_node_settled(steered: Steered) -> None:
    payout = steered.a_payout(Status.REVIEW, amount=300)
    steered.a_payout(Status.SENT, amount=5)
    assert (await steered.command(payout, "confirm"))[0] == 200
    summary = await steered.get(f"{PAYOUTS}/summary")
    assert [(one["status"], one["count"], one["amount"]) for one in summary["in_flight"]] == [("SENT", 1, 5)]
    settled = {(one["provider"], one["status"]): one["count"] for one in summary["settled"]}
    assert settled["TMONEY", "CONFIRMED"] == 1
    assert settled["TMONEY", "FAILED"] == 0


# ---- audit, discrepancies, idempotency --------------------------------------------------------------------


async def test_the_audit_log_is_read_by_who_target_and_command(steered: Steered) -> None:
    first, second = steered.a_payout(Status.REVIEW), steered.a_payout(Status.REVIEW)
    await steered.command(first, "note", who="ann")
    await steered.command(second, "note", who="bea")
    await steered.command(second, "confirm", who="bea")

    async def entries(**query: str) -> list[tuple[str, str]]:
        page = await steered.get("/v1/admin/audit", **query)
        return [(one["who"], one["command"]) for one in page["entries"]]

    assert await entries() == [
        ("operator:bea", "confirm"),
        ("operator:bea", "note"),
        ("operator:ann", "note"),
    ]
    assert await entries(who="ann") == [("operator:ann", "note")]
    assert await entries(target=f"payouts/{second.transaction_id}", command="confirm") == [
        ("operator:bea", "confirm")
    ]
    page = await steered.get("/v1/admin/audit", limit="2")
    rest = await steered.get("/v1/admin/audit", limit="2", before=str(page["next_before"]))
    assert (len(rest["entries"]), rest["next_before"]) == (1, None)
    assert page["entries"][0]["before"]["status"] == "REVIEW"
    assert page["entries"][0]["after"]["status"] == "CONFIRMED"
    assert page["entries"][0]["request_id"]


async def a_discrepancy(steered: Steered) -> tuple[Any, int]:
    payout = steered.a_payout(Status.FAILED)
    steered.desk.database.execute_sql(
        "INSERT INTO app.discrepancies (transaction_id, provider, kind, detail) VALUES (%s, 'TMONEY', "
        "'PAID_AFTER_FAILED', 'The provider says that it paid.')",
        (payout.transaction_id,),
    )
    return payout, steered.desk.rows("SELECT max(discrepancy_id) FROM app.discrepancies")[0][0]


async def test_a_discrepancy_keeps_a_payout_from_being_reopened_until_a_person_closes_it(
    steered: Steered,
) -> None:
    payout, number = await a_discrepancy(steered)
    reopening: dict[str, Any] = {"force": True, "client_consents": True}
    http, answer = await steered.command(payout, "retry", **reopening)
    assert (http, answer["code"]) == (409, "DISCREPANCY_OPEN")
    told = await steered.get(f"{PAYOUTS}/{payout.transaction_id}/explain")
    assert any("PAID_AFTER_FAILED" in text for text in told["blockers"])
    listed = (await steered.get("/v1/admin/discrepancies", open="true", provider="TMONEY"))["discrepancies"]
    assert [one["discrepancy_id"] for one in listed] == [number]
    path = f"/v1/admin/discrepancies/{number}/close"
    closed = await steered.post(path, {"reason": "their mistake, in writing", "command_id": "c1"})
    assert (await closed.json())["discrepancy"]["closed_by"] == "operator:ann"
    assert steered.audit()[-1] == ("operator:ann", "close", "APPLIED", None)
    again = await steered.post(path, {"reason": "their mistake, in writing", "command_id": "c1"})
    assert (again.status, (await again.json())["replayed"]) == (200, True)
    twice = await steered.post(path, {"reason": "once more"}, who="bea")
    assert await code_of(twice) == "DISCREPANCY_CLOSED"
    assert (await steered.get("/v1/admin/discrepancies", open="true"))["discrepancies"] == []
    assert len((await steered.get("/v1/admin/discrepancies", open="false"))["discrepancies"]) == 1
    http, _ = await steered.command(payout, "retry", **reopening)
    assert http == 200
    for wrong in ("0", "x", "9" * 30):
        response = await steered.post(f"/v1/admin/discrepancies/{wrong}/close", {"reason": "what is it"})
        assert await code_of(response) == "DISCREPANCY_NOT_FOUND"


BODY: dict[str, Any] = {
    "amount": 1000,
    "currency": "XOF",
    "phone_e164": PHONE,
    "country": "TG",
    "external_ref": "order-1",
    "recipient": {"first_name": "Afi", "last_name": "Mensah"},
}


async def test_a_key_is_looked_up_and_the_fields_that_differ_are_named_without_values_of_people(
    steered: Steered,
) -> None:
    headers = {**bearer("acme"), "Idempotency-Key": "key-1"}
    made = await steered.client.post("/v1/payouts", json=BODY, headers=headers)
    assert made.status == 202, await made.text()
    other = await steered.client.post(
        "/v1/payouts", json=BODY, headers={**bearer("zeta"), "Idempotency-Key": "key-1"}
    )
    assert other.status == 202
    keys = (await steered.get("/v1/admin/idempotency", key="key-1"))["keys"]
    assert sorted(one["client_id"] for one in keys) == ["acme", "zeta"]
    (ours,) = (await steered.get("/v1/admin/idempotency", key="key-1", client_id="acme"))["keys"]
    assert ours["transaction_id"] == (await made.json())["transaction_id"]
    assert ours["request"]["amount"] == 1000
    assert ours["response_status"] == 202
    for secret in (PHONE, "Afi", "Mensah"):
        assert secret not in str(ours)
    assert (await steered.get("/v1/admin/idempotency", key="unknown"))["keys"] == []

    async def compared(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        response = await steered.post(
            "/v1/admin/idempotency/compare", {"client_id": "acme", "key": "key-1", "body": body}, who="viv"
        )
        return response.status, await response.json()

    assert await compared(dict(reversed(BODY.items()))) == (200, {"same": True, "differences": []})
    changed = BODY | {
        "amount": 1001,
        "phone_e164": OTHER_PHONE,
        "recipient": {"first_name": "Ama", "last_name": "Mensah"},
        "note": "new",
    }
    _, answer = await compared(changed)
    assert not answer["same"]
    assert {one["field"]: (one["stored"], one["sent"]) for one in answer["differences"]} == {
        "amount": (1000, 1001),
        "note": (None, "new"),
        "phone_e164": ("+228*****456", "+228*****888"),
        "recipient.first_name": ("*****", "*****"),
    }
    http, wrong = await compared(BODY | {"amount": "many"})
    assert (http, [one["name"] for one in wrong["fields"]]) == (422, ["body.amount"])
    missing = await steered.post(
        "/v1/admin/idempotency/compare", {"client_id": "nobody", "key": "key-1", "body": BODY}
    )
    assert await code_of(missing) == "IDEMPOTENCY_KEY_NOT_FOUND"
