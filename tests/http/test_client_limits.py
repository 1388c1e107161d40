"""Limits of a client as the client meets them: over HTTP, through the engine and its journal, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientResponse

from nepxy.storage.people import save_client
from tests.http.conftest import Paper, StartPaper, StartSteered
from tests.http.steering import Steered
from tests.http.support import PHONE, a_request, code_of, fields_of, keyed

OTHER_PHONE = "+22890123457"


async def start(start_steered: StartSteered, **environ: str) -> Steered:
    steered = await start_steered(environ)
    for client_id in ("acme", "other"):
        steered.front.reader.run_here(
            save_client, client_id=client_id, name=client_id, secret=f"{client_id}'s"
        )
    return steered


async def post(steered: Steered, key: str | None = None, **changes: Any) -> ClientResponse:
    subject = changes.pop("subject", "acme")
    return await steered.client.post(
        "/v1/payouts", json=a_request(**changes), headers=keyed(key, subject=subject)
    )


def refused_count(steered: Steered, limit: str) -> float:
    found = steered.front.registry.get_sample_value("nepxy_payouts_over_limit_total", {"limit": limit})
    assert found is not None
    return found


def this_day_ends() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


async def test_twenty_posts_at_once_take_the_last_place_once(start_steered: StartSteered) -> None:
    steered = await start(start_steered, MAX_CASHOUT_COUNT_PER_MONTH="3")
    for _ in range(2):
        assert (await post(steered)).status == 202
    responses = await asyncio.gather(*(post(steered) for _ in range(20)))
    assert sorted(response.status for response in responses) == [202] + [422] * 19
    refused = [response for response in responses if response.status == 422]
    assert {await code_of(response) for response in refused} == {"LIMIT_EXCEEDED"}
    assert {(await response.json())["used"] for response in refused} == {3}
    assert steered.desk.rows("SELECT count(*) FROM app.mobile_money_payouts") == [(3,)]
    assert steered.desk.rows("SELECT count(*) FROM app.idempotency_keys") == [(3,)]
    assert refused_count(steered, "PAYOUTS_PER_MONTH") == 19


async def test_a_replay_is_answered_as_before_although_the_limit_is_reached(
    start_steered: StartSteered,
) -> None:
    steered = await start(start_steered, MAX_CASHOUT_COUNT_PER_DAY="1")
    first = await post(steered, "key-1", external_ref="order-1")
    assert first.status == 202
    assert await code_of(await post(steered, "key-2")) == "LIMIT_EXCEEDED"
    again = await asyncio.gather(*(post(steered, "key-1", external_ref="order-1") for _ in range(5)))
    assert {(response.status, response.headers["Idempotency-Replayed"]) for response in again} == {
        (202, "true")
    }
    assert {await response.read() for response in again} == {await first.read()}
    assert await code_of(await post(steered, "key-1", external_ref="order-2")) == "IDEMPOTENCY_CONFLICT"
    assert await code_of(await post(steered, "key-3", external_ref="order-1")) == "DUPLICATE_EXTERNAL_REF"


async def test_a_refusal_says_which_limit_what_is_used_and_when_it_frees(start_steered: StartSteered) -> None:
    steered = await start(start_steered, MAX_CASHOUT_PER_DAY_CENTS="50000000")
    assert (await post(steered, amount=49_999_000)).status == 202
    assert (await post(steered, amount=40_000_000, subject="other")).status == 202
    response = await post(steered, amount=2_000)
    assert response.status == 422
    assert await code_of(response) == "LIMIT_EXCEEDED"
    document = await response.json()
    assert {name: document[name] for name in ("limit", "limit_max", "used", "asked", "currency")} == {
        "limit": "AMOUNT_PER_DAY",
        "limit_max": 50_000_000,
        "used": 49_999_000,
        "asked": 2_000,
        "currency": "XOF",
    }
    assert datetime.fromisoformat(document["frees_at"]) == this_day_ends()
    assert "49,999,000 of 50,000,000 in minor units of XOF" in document["detail"]
    assert list(await fields_of(response)) == ["amount"]
    assert (await post(steered, amount=1_000)).status == 202


async def test_what_never_fits_has_no_time_at_which_it_would(start_steered: StartSteered) -> None:
    steered = await start(start_steered, MAX_CASHOUT_PER_DAY_CENTS="10000")
    document = await (await post(steered, amount=10_001)).json()
    assert document["limit"] == "AMOUNT_PER_DAY"
    assert "frees_at" not in document


async def test_a_cancelled_payout_gives_its_place_back_to_the_same_key(start_steered: StartSteered) -> None:
    steered = await start(start_steered, MAX_DISTINCT_RECEIVERS_PER_DAY="1")
    # Held back, so that it is cancelled before it is tried.
    paused = await steered.post(
        "/v1/admin/control",
        {"target": "providers/TMONEY", "command": "pause", "reason": "it is a test"},
    )
    assert paused.status == 200, await paused.text()
    taken = await (await post(steered)).json()
    key = uuid4().hex
    refused = await post(steered, key, phone_e164=OTHER_PHONE)
    assert list(await fields_of(refused)) == ["phone_e164"]
    assert OTHER_PHONE[4:] not in await refused.text()
    assert (await post(steered)).status == 202, "the same receiver again is no second one"
    mine = [taken["transaction_id"]]
    mine += [
        str(row[0])
        for row in steered.desk.rows("SELECT transaction_id FROM app.mobile_money_payouts")
        if str(row[0]) not in mine
    ]
    for transaction_id in mine:
        cancelled = await steered.client.post(f"/v1/payouts/{transaction_id}/cancel", headers=keyed())
        assert cancelled.status == 200, await cancelled.text()
    assert (await post(steered, key, phone_e164=OTHER_PHONE)).status == 202


async def test_without_limits_the_engine_is_given_none_to_check(paper: Paper) -> None:
    response = await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert response.status == 202
    (accept,) = paper.engine.seen
    assert accept.create.limits is None


@pytest.mark.parametrize(
    ("sender", "code", "field"),
    [
        (None, "VALIDATION_FAILED", "sender.country"),
        ({"name": "Ama"}, "VALIDATION_FAILED", "sender.country"),
        ({"country": "BJ"}, "CORRIDOR_NOT_SERVED", "sender.country"),
    ],
)
async def test_a_corridor_that_is_not_listed_is_not_served(
    start_paper: StartPaper, sender: dict[str, str] | None, code: str, field: str
) -> None:
    paper = await start_paper({"CORRIDOR_ALLOWLIST": "gh:tg,TG:BJ"})
    response = await paper.client.post("/v1/payouts", json=a_request(sender=sender), headers=keyed())
    assert response.status == 422
    assert await code_of(response) == code
    assert list(await fields_of(response)) == [field]
    assert paper.engine.seen == []
    refused = paper.metric("nepxy_payouts_over_limit_total", limit="CORRIDOR")
    assert refused == (code == "CORRIDOR_NOT_SERVED")


async def test_a_listed_corridor_is_served(start_paper: StartPaper) -> None:
    paper = await start_paper({"CORRIDOR_ALLOWLIST": "gh:tg,TG:BJ"})
    request = a_request(sender={"country": "GH"}, phone_e164=PHONE)
    response = await paper.client.post("/v1/payouts", json=request, headers=keyed())
    assert response.status == 202, await response.text()


async def test_a_corridor_closed_since_does_not_turn_a_replay_away(start_steered: StartSteered) -> None:
    before = await start(start_steered)
    first = await post(before, "key-1", external_ref="order-1")
    assert first.status == 202
    after = await start(start_steered, CORRIDOR_ALLOWLIST="TG:BJ")
    again = await post(after, "key-1", external_ref="order-1")
    assert (again.status, await again.read()) == (202, await first.read())
