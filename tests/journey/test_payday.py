"""A client's payday against the real process, its PostgreSQL and the sandbox."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from tests.journey.harness import Client, Town, a_body

pytestmark = pytest.mark.timeout(240)

ENDS = {
    "1234": "CONFIRMED",
    "5678": "CONFIRMED",
    "0101": "FAILED",  # refused at once
    "0401": "FAILED",  # accepted, fails later
    "0201": "CONFIRMED",  # slow
    "0202": "CONFIRMED",  # acts and never answers: the webhook tells
    "0205": "CONFIRMED",  # acts and answers 500: the webhook tells
    "0204": "CONFIRMED",  # acts and resets the connection: the webhook tells
    "0501": "CONFIRMED",  # three webhooks, one settlement
    "0502": "CONFIRMED",  # late webhook
    "0503": "CONFIRMED",  # no webhook: the poll tells
    "0504": "CONFIRMED",  # webhook before the submit's own answer
}


async def ledger_summary(client: Client) -> dict[str, Any]:
    async with client.session.get(f"{client.town.sandbox_base}/_sandbox/summary") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def moved_count(client: Client, reference: str) -> int:
    async with client.session.get(f"{client.town.sandbox_base}/_sandbox/ledger/{reference}") as answer:
        return int((await answer.json())["moved_count"])


async def test_two_hundred_payouts_at_once_come_to_their_right_ends(client: Client) -> None:
    suffixes = list(ENDS)
    jobs = [(number, suffixes[number % len(suffixes)]) for number in range(200)]
    answers = await asyncio.gather(
        *(client.post(f"key-{number}", a_body(number, suffix=suffix)) for number, suffix in jobs)
    )
    assert Counter(status for status, _, _ in answers) == {202: 200}
    ids = [json.loads(body)["transaction_id"] for _, body, _ in answers]
    assert len(set(ids)) == 200

    payouts = await asyncio.gather(*(client.until(each, "CONFIRMED", "FAILED", "REVIEW") for each in ids))

    wrong = [
        (suffix, payout["status"], payout["last_error"])
        for (_, suffix), payout in zip(jobs, payouts, strict=True)
        if payout["status"] != ENDS[suffix]
    ]
    assert wrong == []
    told = {
        payout["failure_code"] for (_, suffix), payout in zip(jobs, payouts, strict=True) if suffix == "0101"
    }
    assert told == {"PAYEE_CANNOT_RECEIVE"}
    assert {payout["failure_code"] for payout in payouts if payout["status"] == "CONFIRMED"} == {None}
    for payout in payouts:
        moved = await moved_count(client, payout["submission_ref"])
        assert moved == (1 if payout["status"] == "CONFIRMED" else 0), payout
    assert (await ledger_summary(client))["references_paid_more_than_once"] == 0

    histories = await asyncio.gather(*(client.get(f"/v1/payouts/{each}/events") for each in ids[:26]))
    for history in histories:
        settlements = [one for one in history["items"] if one["to_status"] in ("CONFIRMED", "FAILED")]
        assert len(settlements) == 1, history


async def test_a_payout_nobody_can_answer_for_stays_in_doubt_and_is_never_sent_again(client: Client) -> None:
    _, body, _ = await client.post("doubt", a_body(1, suffix="0301"))
    transaction_id = json.loads(body)["transaction_id"]
    async with asyncio.timeout(30):
        while True:
            payout = await client.get(f"/v1/payouts/{transaction_id}")
            if payout["in_doubt_since"] is not None:
                break
            await asyncio.sleep(0.1)
    assert payout["status"] == "SENT"
    assert payout["attempt_count"] == 1
    assert "may be paid or not" in payout["explanation"]


async def test_a_contradicting_webhook_opens_a_discrepancy_and_changes_nothing(client: Client) -> None:
    _, body, _ = await client.post("torn", a_body(5, suffix="0505"))
    transaction_id = json.loads(body)["transaction_id"]
    settled = await client.until(transaction_id, "CONFIRMED", "FAILED")
    async with asyncio.timeout(20):
        while True:
            async with client.session.get(f"{client.town.base}/metrics") as answer:
                text = await answer.text()
            if 'nepxy_discrepancies_total{kind="' in text:
                break
            await asyncio.sleep(0.1)
    after = await client.get(f"/v1/payouts/{transaction_id}")
    assert (after["status"], after["version"]) == (settled["status"], settled["version"])


async def test_a_hundred_posts_of_one_key_make_one_payout_and_a_hundred_equal_answers(client: Client) -> None:
    body = a_body(7)
    answers = await asyncio.gather(*(client.post("one-key", body) for _ in range(100)))
    assert {status for status, _, _ in answers} == {202}
    assert len({content for _, content, _ in answers}) == 1
    assert sum(headers.get("Idempotency-Replayed") == "true" for *_, headers in answers) == 99
    assert len((await client.get("/v1/payouts"))["items"]) == 1
    status, content, _ = await client.post("one-key", body | {"amount": 5})
    problem = json.loads(content)
    assert (status, problem["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert "amount" in json.dumps(problem)
    status, content, _ = await client.post("another-key", body)
    assert (status, json.loads(content)["code"]) == (409, "DUPLICATE_EXTERNAL_REF")


async def settled_or_unsent(client: Client, transaction_id: str) -> str:
    """CONFIRMED and paid once; or SENT and not paid, where the kill fell between the intent and the call.

    This provider offers no proof that a repeat is harmless, so the latter must stay in doubt (money rule 4).
    """
    try:
        payout = await client.until(transaction_id, "CONFIRMED", limit_s=25)
    except AssertionError:
        payout = await client.get(f"/v1/payouts/{transaction_id}")
        assert (payout["status"], payout["provider_ref"], payout["attempt_count"]) == ("SENT", None, 1), (
            payout
        )
    moved = await moved_count(client, payout["submission_ref"])
    assert moved == (1 if payout["status"] == "CONFIRMED" else 0), payout
    return str(payout["status"])


async def test_what_was_acknowledged_survives_sigkill_and_goes_on(client: Client, town: Town) -> None:
    _, content, _ = await client.post("early", a_body(90, suffix="0503"))
    early = json.loads(content)["transaction_id"]
    async with asyncio.timeout(30):
        while (await client.get(f"/v1/payouts/{early}"))["provider_ref"] is None:
            await asyncio.sleep(0.02)
    bodies = [a_body(number, suffix="1234" if number % 2 else "0502") for number in range(40)]
    posts = [asyncio.create_task(client.post(f"k{n}", body)) for n, body in enumerate(bodies)]
    await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.05)
    town.kill_engine()
    await asyncio.wait(posts)
    town.start_engine()
    await town.until_ready(client.session)

    # A client that did not hear an answer posts again with the same key.
    answers = await asyncio.gather(*(client.post(f"k{n}", body) for n, body in enumerate(bodies)))
    assert {status for status, _, _ in answers} == {202}
    ids = [json.loads(content)["transaction_id"] for _, content, _ in answers]
    assert len(set(ids)) == len(bodies)
    # Where the kill fell between all their intents and their calls, none of them can be paid any more.
    await asyncio.gather(*(settled_or_unsent(client, each) for each in ids))
    # What goes on: whatever the provider had, and whatever comes now.
    _, content, _ = await client.post("late", a_body(91))
    for each in (early, json.loads(content)["transaction_id"]):
        assert await settled_or_unsent(client, each) == "CONFIRMED"
    assert (await ledger_summary(client))["references_paid_more_than_once"] == 0
    status, content, headers = await client.post("k0", bodies[0])
    assert headers["Idempotency-Replayed"] == "true"
    assert (status, content) == (answers[0][0], answers[0][1])


async def test_sigterm_stops_cleanly_and_the_next_start_carries_on(client: Client, town: Town) -> None:
    _, body, _ = await client.post("late", a_body(3, suffix="0503"))
    transaction_id = json.loads(body)["transaction_id"]
    assert town.engine is not None
    town.engine.terminate()
    assert await asyncio.to_thread(town.engine.wait, 40) == 0, town.log_text()
    town.start_engine()
    await town.until_ready(client.session)
    assert (await client.until(transaction_id, "CONFIRMED"))["status"] == "CONFIRMED"


async def test_no_whole_phone_number_and_no_secret_reaches_the_log(client: Client, town: Town) -> None:
    _, body, _ = await client.post("quiet", a_body(9))
    await client.until(json.loads(body)["transaction_id"], "CONFIRMED")
    log = town.log_text()
    assert "payout.confirmed" in log
    for secret in ("22890091234", "journey-key", "journey-webhook-secret", "eyJ"):
        assert secret not in log
