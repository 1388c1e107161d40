"""Payouts on a real database: idempotency, reading, pages, histories and cancelling."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from nepxy.actors.messages import ProviderView
from nepxy.engine.payout import Payout, ProviderRef, Status
from nepxy.http.app import create_app
from nepxy.storage.payouts import load_payout
from tests.http.conftest import Served
from tests.http.support import RUNNING, Client, a_request, bearer, code_of, fields_of, keyed

PAID_OUT_ID = "01936000-0000-7000-8000-0000000000ff"


async def post(served: Served, request: dict[str, Any], **kwargs: Any) -> tuple[int, dict[str, Any]]:
    response = await served.client.post("/v1/payouts", json=request, headers=keyed(**kwargs))
    return response.status, await response.json()


async def get(served: Served, path: str, **kwargs: Any) -> dict[str, Any]:
    response = await served.client.get(path, headers=bearer(**kwargs))
    assert response.status == 200, await response.text()
    answer: dict[str, Any] = await response.json()
    return answer


def row(served: Served, transaction_id: str) -> Payout:
    payout = load_payout(served.desk.database, transaction_id)  # type: ignore[arg-type]
    assert payout is not None
    return payout


async def test_the_same_request_is_answered_with_the_same_bytes(served: Served) -> None:
    request = a_request()
    headers = keyed("key-1")
    first = await served.client.post("/v1/payouts", json=request, headers=headers)
    reordered = dict(reversed({**request, "currency": "xof", "phone_e164": "+228 90 12 34 56"}.items()))
    again = await served.client.post("/v1/payouts", json=reordered, headers=headers)
    assert first.status == again.status == 202
    assert await first.read() == await again.read()
    assert first.headers["Location"] == again.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert served.metric("idempotency_replays_total", route="/v1/payouts") == 1
    assert served.desk.rows("SELECT count(*) FROM app.mobile_money_payouts") == [(1,)]


async def test_the_same_key_with_another_request_names_what_differs(served: Served) -> None:
    request = a_request()
    await post(served, request, key="key-1")
    status, problem = await post(served, {**request, "amount": 2000, "note": "new"}, key="key-1")
    assert (status, problem["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert {field["name"] for field in problem["fields"]} == {"amount", "note"}
    assert "2000" not in json.dumps(problem)
    assert served.metric("idempotency_conflicts_total", route="/v1/payouts") == 1
    assert served.metric("idempotency_replays_total", route="/v1/payouts") == 0


async def test_a_hundred_posts_at_once_make_one_payout(served: Served) -> None:
    request, headers = a_request(), keyed("key-1")
    responses = await asyncio.gather(
        *(served.client.post("/v1/payouts", json=request, headers=headers) for _ in range(100))
    )
    bodies = {await response.read() for response in responses}
    assert {response.status for response in responses} == {202}
    assert len(bodies) == 1
    assert served.metric("idempotency_replays_total", route="/v1/payouts") == 99
    assert served.desk.rows("SELECT count(*) FROM app.mobile_money_payouts") == [(1,)]


async def test_a_key_belongs_to_its_client(served: Served) -> None:
    first = await post(served, a_request(), key="key-1")
    other = await post(served, a_request(), key="key-1", subject="other")
    assert first[0] == other[0] == 202
    assert first[1]["transaction_id"] != other[1]["transaction_id"]


async def test_a_replay_survives_a_restart_and_does_not_depend_on_the_moment(served: Served) -> None:
    request = a_request(expires_at=(datetime.now(UTC) + timedelta(minutes=2)).isoformat(), provider="TMONEY")
    first = await served.client.post("/v1/payouts", json=request, headers=keyed("key-1"))
    assert first.status == 202
    # Another process, when `expires_at` has passed and the provider is gone: neither could be taken anew.
    front = replace(
        served.front,
        clock=lambda: datetime.now(UTC) + timedelta(minutes=5),
        adapters={},
        registry=CollectorRegistry(),
    )

    async def posted(client: Client, body: dict[str, Any], key: str) -> ClientResponse:
        return await client.post("/v1/payouts", json=body, headers=keyed(key, age_s=-300))

    async with TestClient(TestServer(create_app(front))) as client:
        again = await posted(client, request, "key-1")
        assert (again.status, again.headers.get("Idempotency-Replayed")) == (202, "true")
        assert await again.read() == await first.read()
        other = await posted(client, {**request, "amount": 5}, "key-1")
        assert await code_of(other) == "IDEMPOTENCY_CONFLICT"
        fresh = await posted(client, request, "key-2")
        assert fresh.status == 422
        assert set(await fields_of(fresh)) == {"expires_at", "provider"}


async def test_an_external_ref_is_used_once_unless_the_client_wants_otherwise(served: Served) -> None:
    status, first = await post(served, a_request(external_ref="order-1"))
    assert status == 202
    status, problem = await post(served, a_request(external_ref="order-1"))
    assert (status, problem["code"]) == (409, "DUPLICATE_EXTERNAL_REF")
    assert problem["transaction_id"] == first["transaction_id"]
    assert (await post(served, a_request(external_ref="order-1"), subject="other"))[0] == 202
    for _ in range(2):
        assert (await post(served, a_request(external_ref="order-1"), subject="loose"))[0] == 202


async def test_a_payout_explains_itself(served: Served) -> None:
    metadata = {"cart": "12345678", "vip": True, "items": 3}
    _, made = await post(
        served, a_request(metadata=metadata, purpose="salary", recipient={"name": "Ama Kofi"})
    )
    path = f"/v1/payouts/{made['transaction_id']}"
    payout = await get(served, path)
    assert payout["status"] == "PENDING"
    assert "as soon as TMONEY has a place" in payout["explanation"]
    assert payout["metadata"] == metadata
    assert payout["purpose"] == "salary"
    assert payout["route_reason"] == made["route_reason"]
    assert payout["phone_masked"] == "+228*****456"
    text = json.dumps(payout)
    assert "90123456" not in text
    assert "Ama" not in text


async def test_the_explanation_knows_of_a_pause(served: Served) -> None:
    paused = ProviderView(
        name="TMONEY", ready=True, enabled=True, paused=True, paused_reason="HTTP_403", breaker="closed",
        in_flight=0, waiting=0, concurrency_max=1, requests_per_s=0.0,
    )  # fmt: skip
    served.engine.view = replace(RUNNING, providers=(paused,))
    _, made = await post(served, a_request())
    payout = await get(served, made["links"]["self"])
    assert "TMONEY is paused (HTTP_403)" in payout["explanation"]


async def test_a_payout_is_read_even_while_the_engine_is_silent(served: Served) -> None:
    _, made = await post(served, a_request())
    served.engine.view = ValueError("no view")
    assert (await get(served, made["links"]["self"]))["explanation"]


@pytest.mark.parametrize("path", ["", "/events"])
async def test_another_clients_payout_is_not_there(served: Served, path: str) -> None:
    _, made = await post(served, a_request())
    for transaction_id, subject in (
        (made["transaction_id"], "other"),
        (PAID_OUT_ID, "acme"),
        ("not-an-id", "acme"),
        ("x" * 300, "acme"),
    ):
        response = await served.client.get(f"/v1/payouts/{transaction_id}{path}", headers=bearer(subject))
        assert response.status == 404
        assert await code_of(response) == "PAYOUT_NOT_FOUND"
    cancelled = await served.client.post(f"{made['links']['cancel']}", headers=bearer("other"))
    assert await code_of(cancelled) == "PAYOUT_NOT_FOUND"


async def test_an_id_may_be_written_in_capitals(served: Served) -> None:
    _, made = await post(served, a_request())
    found = await get(served, f"/v1/payouts/{made['transaction_id'].upper()}")
    assert found["transaction_id"] == made["transaction_id"]


async def test_the_history_tells_who_and_why_without_the_number(served: Served) -> None:
    _, made = await post(served, a_request())
    before = row(served, made["transaction_id"])
    sent = before.moved(
        Status.SENT,
        "ACCEPTED_BY_PROVIDER",
        account="sandbox",
        attempt_count=1,
        provider_ref=ProviderRef("228901234567890"),
    )
    served.desk.move(before, sent)
    history = await get(served, made["links"]["events"])
    assert [(event["from_status"], event["to_status"], event["why"]) for event in history["items"]] == [
        (None, "PENDING", "ACCEPTED"),
        ("PENDING", "SENT", "ACCEPTED_BY_PROVIDER"),
    ]
    first, second = history["items"]
    assert first["who"] == "client:acme"
    assert first["request_id"]
    assert second["evidence"]["call"] == "POST /cashout"
    assert "90123456" not in json.dumps(second["evidence"])
    assert (await get(served, made["links"]["self"]))["provider_ref"] == "228901234567890"


async def test_cancelling_stops_an_unsent_payout_once_and_for_all(served: Served) -> None:
    _, made = await post(served, a_request())
    for _ in range(2):
        response = await served.client.post(made["links"]["cancel"], headers=bearer())
        assert response.status == 200
        assert (await response.json())["status"] == "CANCELLED"
    assert row(served, made["transaction_id"]).status is Status.CANCELLED
    assert len((await get(served, made["links"]["events"]))["items"]) == 2


async def test_a_sent_payout_cannot_be_cancelled(served: Served) -> None:
    _, made = await post(served, a_request())
    before = row(served, made["transaction_id"])
    served.desk.move(before, before.moved(Status.SENT, "ATTEMPT_STARTED", account="sandbox", attempt_count=1))
    response = await served.client.post(made["links"]["cancel"], headers=bearer())
    assert response.status == 409
    assert await code_of(response) == "PAYOUT_NOT_CANCELLABLE"
    assert (await response.json())["payout_status"] == "SENT"


async def test_cancelling_needs_the_right_to_write(served: Served) -> None:
    _, made = await post(served, a_request())
    response = await served.client.post(made["links"]["cancel"], headers=bearer(scope="payouts:read"))
    assert await code_of(response) == "SCOPE_MISSING"


async def test_pages_walk_through_every_payout_newest_first(served: Served) -> None:
    made = [(await post(served, a_request()))[1]["transaction_id"] for _ in range(7)]
    await post(served, a_request(), subject="other")
    seen, path = [], "/v1/payouts?limit=3"
    pages = 0
    while True:
        page = await get(served, path)
        pages += 1
        seen += [item["transaction_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        path = f"/v1/payouts?limit=3&cursor={page['next_cursor']}"
    assert seen == made[::-1]
    assert pages == 3


async def test_a_list_is_narrowed_by_each_filter(served: Served) -> None:
    start = datetime.now(UTC)
    _, first = await post(served, a_request(external_ref="order-1"))
    _, second = await post(served, a_request(external_ref="order-2"))
    await served.client.post(first["links"]["cancel"], headers=bearer())

    async def found(query: str) -> list[str]:
        return [item["external_ref"] for item in (await get(served, f"/v1/payouts?{query}"))["items"]]

    assert await found("status=cancelled") == ["order-1"]
    assert await found("status=PENDING") == ["order-2"]
    assert await found("external_ref=order-2") == ["order-2"]
    assert await found("provider=tmoney") == ["order-2", "order-1"]
    assert await found("provider=MTN_MOMO") == []
    assert await found(f"created_from={start.isoformat()}") == ["order-2", "order-1"]
    assert await found(f"created_to={start.isoformat().replace('+', '%2B')}") == []
    assert await found(f"created_from={second['created_at']}") == ["order-2"]
    assert await found(f"created_to={second['created_at']}") == ["order-1"]


async def test_a_wrong_query_names_every_wrong_parameter(served: Served) -> None:
    response = await served.client.get(
        "/v1/payouts?status=DONE&limit=201&created_from=yesterday&colour=red", headers=bearer()
    )
    assert response.status == 422
    assert set(await fields_of(response)) == {"status", "limit", "created_from", "colour"}
    for query in ("limit=0", "limit=x", "status=SENT&status=PENDING", "created_to=2026-01-01T00:00:00"):
        assert (await served.client.get(f"/v1/payouts?{query}", headers=bearer())).status == 422
    moment = "2026-01-01T00:00:00Z"
    backwards = await served.client.get(
        f"/v1/payouts?created_from={moment}&created_to={moment}", headers=bearer()
    )
    assert set(await fields_of(backwards)) == {"created_to"}


async def test_a_cursor_of_another_list_is_refused(served: Served) -> None:
    for _ in range(2):
        await post(served, a_request())
    cursor = (await get(served, "/v1/payouts?limit=1"))["next_cursor"]
    for query, subject in (
        ("limit=1&status=SENT&cursor=", "acme"),
        ("limit=1&cursor=", "other"),
        ("cursor=x", "acme"),
    ):
        response = await served.client.get(f"/v1/payouts?{query}{cursor}", headers=bearer(subject))
        assert response.status == 400
        assert await code_of(response) == "CURSOR_INVALID"
    assert (await get(served, f"/v1/payouts?limit=2&cursor={cursor}"))["items"]
