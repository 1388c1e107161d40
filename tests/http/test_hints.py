"""Unsigned webhooks: a hint where the provider signs none, refused where it should have signed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nepxy.actors.messages import WebhookArrived
from nepxy.engine.capabilities import WebhookTrust
from nepxy.http.webhook_rows import UNSIGNED_STORED_PER_S_MAX
from tests.http.conftest import Paper, StartPaper
from tests.http.support import code_of, sign

PAYGATE = {
    "TMONEY_PROFILE": "paygate",
    "TMONEY_SANDBOX_BASE_URL": "http://127.0.0.1:9/paygate",
    "TMONEY_SANDBOX_PAYGATE_AUTH_TOKEN": "token",
    "TMONEY_WEBHOOK_SECRET": "",
}
PATH = "/v1/webhooks/tmoney"
HINT = json.dumps({"tx_reference": "T-1", "identifier": "ours", "amount": 1000}).encode()


@pytest.fixture
async def paygate(start_paper: StartPaper) -> Paper:
    return await start_paper(PAYGATE)


async def test_an_unsigned_webhook_makes_the_engine_ask_and_is_not_trusted(paygate: Paper) -> None:
    response = await paygate.client.post(PATH, data=HINT)
    assert response.status == 200
    (arrived,) = paygate.engine.seen
    assert isinstance(arrived, WebhookArrived)
    assert not arrived.trusted
    assert (arrived.webhook.signature_valid, arrived.webhook.signed_with) == (False, None)


async def test_a_wrong_signature_is_worse_than_none(paygate: Paper) -> None:
    response = await paygate.client.post(PATH, data=HINT, headers=sign(HINT))
    assert response.status in (401, 500)
    assert not isinstance(paygate.engine.seen[0], WebhookArrived)


async def test_a_flood_of_hints_fills_no_disk(paygate: Paper) -> None:
    count = 4 * UNSIGNED_STORED_PER_S_MAX
    statuses = [(await paygate.client.post(PATH, data=HINT)).status for _ in range(count)]
    unstored = paygate.metric("nepxy_webhooks_unstored_total", provider="TMONEY")
    assert set(statuses) <= {200, 503}
    assert statuses.count(503) == unstored > 0
    assert len(paygate.engine.seen) + unstored == count


async def test_where_webhooks_are_signed_an_unsigned_one_is_no_hint(start_paper: StartPaper) -> None:
    plain = await start_paper()
    adapter = plain.front.adapters["TMONEY"]

    class Hinting:
        capabilities = replace(adapter.capabilities, webhooks=WebhookTrust.HINT)
        read_webhook = staticmethod(adapter.read_webhook)

    paper = await start_paper(adapters={"TMONEY": Hinting()})
    body = json.dumps({"provider_ref": "T-1", "status": "SUCCESS"}).encode()
    response = await paper.client.post(PATH, data=body)
    assert (response.status, await code_of(response)) == (401, "MISSING_SIGNATURE")
