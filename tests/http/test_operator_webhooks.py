"""Webhooks as operators look at them, and one given to its payout again: by the same rules, and never twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest

from nepxy.engine.payout import Payout, ProviderRef, Status
from tests.http.steering import Steered
from tests.http.support import PHONE, bearer, code_of, sign

EVENTS = "/v1/admin/webhooks/events"
REASON = {"reason": "it was missed"}


async def came(steered: Steered, document: Any, *, signed: bool = True) -> dict[str, Any]:
    """A webhook arrives, and is the newest that is stored."""
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    headers = sign(body) if signed else {"X-Signature": "sha256=00"}
    await steered.client.post("/v1/webhooks/tmoney", data=body, headers=headers)
    newest: dict[str, Any] = (await steered.get(EVENTS, limit="1"))["webhooks"][0]
    return newest


def paid(payout: Payout) -> dict[str, str]:
    return {
        "status": "SUCCESS",
        "external_ref": payout.submission_ref,
        "provider_ref": "TM-1",
        "phone": PHONE,
    }


async def test_webhooks_are_found_by_every_filter(steered: Steered) -> None:
    payout = steered.a_payout(Status.SENT)
    applied = (await came(steered, paid(payout)))["webhook_id"]
    parked = (await came(steered, {"status": "SUCCESS", "provider_ref": "TM-later"}))["webhook_id"]
    forged = (await came(steered, paid(payout), signed=False))["webhook_id"]
    unreadable = (await came(steered, b"<xml/>"))["webhook_id"]
    now = datetime.now(UTC)
    wanted: list[tuple[dict[str, str], list[str]]] = [
        ({}, [unreadable, forged, parked, applied]),
        ({"state": "applied"}, [applied]),
        ({"state": "INVALID"}, [unreadable, forged]),
        ({"signature_valid": "false"}, [forged]),
        ({"signature_valid": "true", "state": "INVALID"}, [unreadable]),
        ({"reason": "INVALID_SIGNATURE"}, [forged]),
        ({"provider": "flooz"}, []),
        (
            {"provider": "tmoney", "since": (now - timedelta(hours=1)).isoformat()},
            [unreadable, forged, parked, applied],
        ),
        ({"since": (now + timedelta(hours=1)).isoformat()}, []),
        ({"reference": payout.transaction_id}, [applied]),
        ({"reference": payout.submission_ref}, [applied]),
        ({"reference": payout.external_ref}, [applied]),
        ({"reference": "TM-later"}, [parked]),
        ({"reference": forged}, [forged]),
    ]
    for query, ids in wanted:
        page = await steered.get(EVENTS, **query)
        assert [one["webhook_id"] for one in page["webhooks"]] == ids, query
    narrowed = await steered.get(EVENTS, state="APPLIED")
    assert narrowed["since"] is not None
    first = await steered.get(EVENTS, limit="3")
    rest = await steered.get(EVENTS, limit="3", cursor=first["next_cursor"])
    assert [one["webhook_id"] for one in rest["webhooks"]] == [applied]
    path = f"/v1/admin/mobile-money/payouts/{payout.transaction_id}/webhooks"
    assert [one["webhook_id"] for one in (await steered.get(path))["webhooks"]] == [applied]


async def test_one_webhook_shows_headers_and_body_without_secrets_and_numbers(steered: Steered) -> None:
    payout = steered.a_payout(Status.SENT)
    webhook = await came(steered, paid(payout))
    whole = await steered.get(webhook["links"]["self"])
    assert payout.submission_ref in whole["body"]
    assert PHONE not in str(whole)
    assert whole["headers"]["X-Signature"] == "*****"
    for unknown in (str(uuid4()), "nonsense"):
        response = await steered.client.get(f"{EVENTS}/{unknown}", headers=bearer("ann", "admin"))
        assert await code_of(response) == "WEBHOOK_NOT_FOUND"


async def test_a_parked_webhook_is_applied_once_its_payout_is_there(steered: Steered) -> None:
    reference = str(uuid4())
    webhook = await came(steered, {"status": "SUCCESS", "provider_ref": reference})
    assert webhook["state"] == "PARKED"
    early = await steered.post(f"{EVENTS}/{webhook['webhook_id']}/replay", REASON)
    assert (await early.json())["reason"] == "PAYOUT_NOT_FOUND"
    payout = steered.a_payout(Status.SENT, provider_ref=ProviderRef(reference))
    response = await steered.post(f"{EVENTS}/{webhook['webhook_id']}/replay", REASON | {"command_id": "r1"})
    answer = await response.json()
    assert (response.status, answer["applied"]) == (200, True), answer
    assert answer["webhook"]["state"] == "APPLIED"
    assert answer["webhook"]["transaction_id"] == payout.transaction_id
    assert (await steered.row(payout))["status"] == "CONFIRMED"
    assert steered.audit() == [("operator:ann", "replay", "APPLIED", None)] * 2
    same = await steered.post(f"{EVENTS}/{webhook['webhook_id']}/replay", REASON | {"command_id": "r1"})
    assert (await same.json())["replayed"] is True
    again = await (await steered.post(f"{EVENTS}/{webhook['webhook_id']}/replay", REASON)).json()
    assert (again["applied"], again["reason"]) == (False, "ALREADY_APPLIED")


async def test_what_was_applied_before_does_not_settle_a_payout_that_was_reversed_since(
    steered: Steered,
) -> None:
    payout = steered.a_payout(Status.SENT)
    webhook = await came(steered, paid(payout))
    assert webhook["state"] == "APPLIED"
    steered.desk.database.execute_sql(
        "UPDATE app.mobile_money_payouts SET status = 'REVIEW', status_reason = 'REVERSED', settled_at = NULL, "
        "next_retry_at = now() + interval '1 hour', version = version + 1 WHERE transaction_id = %s",
        (payout.transaction_id,),
    )
    response = await steered.post(f"{EVENTS}/{webhook['webhook_id']}/replay", REASON)
    assert (await response.json())["reason"] == "ALREADY_APPLIED"
    assert (await steered.row(payout))["status"] == "REVIEW"


@pytest.mark.parametrize(
    ("document", "signed", "words"),
    [
        ({"status": "SUCCESS", "provider_ref": "TM-1"}, False, "signature"),
        (b"<xml/>", True, "JSON"),
        (b"[1]", True, "JSON"),
        ({"status": "SUCCESS"}, True, "MISSING_PROVIDER_REF"),
    ],
)
async def test_what_was_not_believed_or_not_read_is_given_to_nobody(
    steered: Steered, document: Any, signed: bool, words: str
) -> None:
    webhook = await came(steered, document, signed=signed)
    response = await steered.post(f"{EVENTS}/{webhook['webhook_id']}/replay", REASON)
    assert (response.status, await code_of(response)) == (409, "WEBHOOK_NOT_REPLAYABLE")
    assert words in (await response.json())["detail"]
    assert steered.audit() == [("operator:ann", "replay", "WEBHOOK_NOT_REPLAYABLE", None)]
    missing = await steered.post(f"{EVENTS}/{webhook['webhook_id']}/replay", {})
    assert await code_of(missing) == "VALIDATION_FAILED"
    reader = await steered.post(f"{EVENTS}/{webhook['webhook_id']}/replay", REASON, who="viv")
    assert await code_of(reader) == "SCOPE_MISSING"


async def test_a_webhook_that_could_not_be_read_when_it_came_is_read_now(steered: Steered) -> None:
    payout = steered.a_payout(Status.SENT)
    webhook = await came(steered, paid(payout))
    # As it is where the adapter of the day could not read it, and one that can has been deployed since.
    steered.desk.database.execute_sql(
        "UPDATE app.mobile_money_payouts SET status = 'SENT', settled_at = NULL, "
        "next_retry_at = now() + interval '1 hour', provider_ref = NULL, taken_at = NULL"
    )
    steered.desk.database.execute_sql(
        "UPDATE app.webhook_events SET state = 'INVALID', reason = 'UNREADABLE', provider_ref = NULL, our_ref = NULL, "
        "external_ref = NULL, status_word = NULL, transaction_id = NULL, applied_at = NULL"
    )
    response = await steered.post(f"{EVENTS}/{webhook['webhook_id']}/replay", REASON)
    answer = await response.json()
    assert answer["applied"] is True, answer
    assert (answer["webhook"]["provider_ref"], answer["webhook"]["state"]) == ("TM-1", "APPLIED")
    assert (await steered.row(payout))["status"] == "CONFIRMED"
