"""Webhooks as a provider sends them, against the real engine."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from nepxy.engine.references import submission_ref
from tests.journey.harness import Client, Town, a_body

pytestmark = pytest.mark.timeout(180)


async def send(
    client: Client, document: dict[str, Any], *, secret: str = "journey-webhook-secret"
) -> tuple[int, Any]:
    raw = json.dumps(document).encode()
    signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    async with client.session.post(
        f"{client.town.base}/v1/webhooks/tmoney",
        data=raw,
        headers={"X-Signature": f"sha256={signature}", "Content-Type": "application/json"},
    ) as answer:
        return answer.status, await answer.json()


async def a_stuck_payout(client: Client) -> dict[str, Any]:
    _, body, _ = await client.post("stuck", a_body(1, suffix="0402"))
    transaction_id = json.loads(body)["transaction_id"]
    async with asyncio.timeout(20):
        while True:
            payout = await client.get(f"/v1/payouts/{transaction_id}")
            if payout["provider_ref"]:
                return payout
            await asyncio.sleep(0.05)


async def test_applied_means_that_the_next_read_shows_it(client: Client) -> None:
    payout = await a_stuck_payout(client)
    status, answer = await send(
        client, {"data": {"providerReference": payout["provider_ref"], "state": "success"}}
    )
    assert (status, answer["ok"], answer["applied"]) == (200, True, True)
    after = await client.get(f"/v1/payouts/{payout['transaction_id']}")
    assert after["status"] == "CONFIRMED"

    status, answer = await send(client, {"provider_ref": payout["provider_ref"], "status": "SUCCESS"})
    assert (status, answer["ignored"], answer["reason"]) == (200, True, "ALREADY_CONFIRMED")
    assert (await client.get(f"/v1/payouts/{payout['transaction_id']}"))["version"] == after["version"]


async def test_a_forged_webhook_settles_nothing_and_is_counted(client: Client) -> None:
    payout = await a_stuck_payout(client)
    document = {"provider_ref": payout["provider_ref"], "status": "SUCCESS"}
    status, answer = await send(client, document, secret="a guess")
    assert (status, answer["code"]) == (401, "INVALID_SIGNATURE")
    assert (await client.get(f"/v1/payouts/{payout['transaction_id']}"))["status"] == "SENT"
    async with client.session.get(f"{client.town.base}/metrics") as metrics:
        text = await metrics.text()
    counted = 'webhook_events_total{applied="false",provider="TMONEY",signature_valid="false"} 1.0'
    assert counted in text


async def test_a_webhook_that_names_no_payout_of_ours_is_parked(client: Client) -> None:
    status, answer = await send(client, {"provider_ref": "nobody-knows", "status": "SUCCESS"})
    assert (status, answer["ignored"], answer["reason"]) == (200, True, "PAYOUT_NOT_FOUND")


async def test_the_clients_own_external_ref_matches_nothing(client: Client) -> None:
    payout = await a_stuck_payout(client)
    _, answer = await send(client, {"external_ref": payout["external_ref"], "status": "SUCCESS"})
    assert answer["reason"] == "PAYOUT_NOT_FOUND"
    assert (await client.get(f"/v1/payouts/{payout['transaction_id']}"))["status"] == "SENT"


async def test_other_terms_than_ours_put_it_in_review(client: Client) -> None:
    payout = await a_stuck_payout(client)
    document = {"provider_ref": payout["provider_ref"], "status": "SUCCESS", "amount_cents": 999}
    await send(client, document)
    after = await client.get(f"/v1/payouts/{payout['transaction_id']}")
    assert (after["status"], after["status_reason"]) == ("REVIEW", "TERMS_DIFFER")


def refs_of_the_next(client: Client, key: str) -> tuple[str, str]:
    """Our reference for a payout that nobody has posted yet, and what the sandbox will call it: both are derived."""
    with closing(psycopg2.connect(client.town.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT installation_id FROM app.engine_identity")
        found = cursor.fetchone()
    assert found is not None
    ours = submission_ref(
        installation_id=str(found[0]), client_id=client.subject, idempotency_key=key, generation=0
    )
    source = f"0\x1ftmoney\x1f{ours}\x1f1".encode()
    return ours, "TM" + hashlib.blake2b(source, digest_size=10).hexdigest().upper()


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("names", ["provider_ref", "external_id"])
async def test_a_webhook_that_came_before_its_payout_is_joined_to_it(
    client: Client, town: Town, names: str, restarted: bool
) -> None:
    ours, theirs = refs_of_the_next(client, "early")
    reference = {"provider_ref": theirs, "external_id": ours}[names]
    status, answer = await send(client, {names: reference, "status": "SUCCESS"})
    assert (status, answer["reason"]) == (200, "PAYOUT_NOT_FOUND")
    if restarted:
        town.kill_engine()
        town.start_engine()
        await town.until_ready(client.session)

    # A number that the sandbox never settles, so that only the parked webhook can.
    _, body, _ = await client.post("early", a_body(1, suffix="0402"))
    payout = await client.until(json.loads(body)["transaction_id"], "CONFIRMED")

    assert (payout["submission_ref"], payout["provider_ref"]) == (ours, theirs)
    history = (await client.get(f"/v1/payouts/{payout['transaction_id']}/events"))["items"]
    assert [one["who"] for one in history if one["to_status"] == "CONFIRMED"] == ["provider:TMONEY"]
    with closing(psycopg2.connect(town.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT state, transaction_id::text FROM app.webhook_events")
        assert cursor.fetchall() == [("APPLIED", payout["transaction_id"])]
