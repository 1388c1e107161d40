"""MTN's callbacks: unsigned, to a URL that only MTN was told, and never more than a hint."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nepxy.actors.messages import WebhookArrived
from nepxy.config.secret import Secret
from nepxy.engine.payout import SubmissionRef
from nepxy.http.webhook_rows import UNSIGNED_BODY_BYTES_MAX, UNSIGNED_STORED_PER_S_MAX
from nepxy.providers.callback_urls import HOLDS_S, CallbackUrls
from tests.http.conftest import Paper, StartPaper
from tests.http.support import code_of

REFERENCE = SubmissionRef("2f1b7a52-6c7e-4c7b-9d7e-0f6a5b4c3d2e")
OTHER = SubmissionRef("3f1b7a52-6c7e-4c7b-9d7e-0f6a5b4c3d2e")
MOMO = {
    "MOMO_SUBSCRIPTION_KEY_DISBURSEMENT": "sub-key",
    "MOMO_API_USER": "11111111-1111-4111-8111-111111111111",
    "MOMO_API_KEY": "api-key",
    "MOMO_CALLBACK_SECRET": "the key that signs now",
    "MOMO_CALLBACK_SECRET_PREVIOUS": "the key that signed before",
}
PAID = json.dumps({"externalId": OTHER, "status": "SUCCESSFUL", "amount": "1000"}).encode()


def urls(key: str = "the key that signs now", **changes: Any) -> CallbackUrls:
    fields: dict[str, Any] = {"base_url": "https://pay.example", "provider": "momo"}
    fields |= {"previous": Secret("")} | changes
    return CallbackUrls(current=Secret(key), **fields)


def path(made_by: CallbackUrls | None = None, provider: str = "momo") -> str:
    return f"/v1/webhooks/{provider}/{(made_by or urls()).token_for(REFERENCE)}"


@pytest.fixture
async def momo(start_paper: StartPaper) -> Paper:
    return await start_paper(environ=MOMO)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("body", [PAID, b"", b"not json", b"[1]", b'{"status": {"a": 1}}', b"\xff\x00"])
async def test_a_callback_is_a_hint_about_the_payout_of_its_url_whatever_it_says(
    momo: Paper, method: str, body: bytes
) -> None:
    response = await momo.client.request(method, path(), data=body)
    assert (response.status, await response.json()) == (200, {"ok": True})
    (arrived,) = momo.engine.seen
    assert isinstance(arrived, WebhookArrived)
    assert not arrived.trusted
    assert (arrived.webhook.our_ref, arrived.webhook.provider_ref) == (REFERENCE, None)
    assert (arrived.webhook.provider, arrived.webhook.signature_valid) == ("MOMO", False)


async def test_the_previous_key_still_counts(momo: Paper) -> None:
    response = await momo.client.post(path(urls("the key that signed before")), data=PAID)
    assert response.status == 200


async def test_a_wrong_or_old_token_leads_where_any_wrong_path_leads(momo: Paper) -> None:
    good = urls().token_for(REFERENCE)
    forged = [
        path(urls("another key")),
        path(urls(clock=lambda: 1_600_000_000.0)),
        path(urls(provider="thunes")),
        path(provider="tmoney"),
        path(provider="MOMO"),
        f"/v1/webhooks/momo/{good[:-1]}",
        f"/v1/webhooks/momo/{OTHER.replace('-', '')}{good[32:]}",
        f"/v1/webhooks/momo/{REFERENCE}",
        "/v1/webhooks/momo/" + "x" * 5_000,
        "/v1/webhooks/momo/%00",
    ]
    answers = [await momo.client.post(one, data=PAID) for one in forged]
    assert [(one.status, await code_of(one)) for one in answers] == [(404, "ROUTE_NOT_FOUND")] * len(forged)
    assert momo.engine.seen == []


async def test_little_is_stored_of_a_callback_and_few_in_a_second(momo: Paper) -> None:
    response = await momo.client.post(path(), data=b"x" * 10_000)
    assert response.status == 200
    assert len(momo.engine.seen[0].webhook.body) == UNSIGNED_BODY_BYTES_MAX
    statuses = [
        (await momo.client.post(path(), data=b"{}")).status for _ in range(20 * UNSIGNED_STORED_PER_S_MAX)
    ]
    assert 503 in statuses
    assert momo.metric("nepxy_webhooks_unstored_total", provider="MOMO") == statuses.count(503)


def test_a_url_holds_for_its_time_and_no_longer() -> None:
    now_s = [1_800_000_000.0]
    ours = urls(clock=lambda: now_s[0])
    token = ours.token_for(REFERENCE)
    now_s[0] += HOLDS_S
    assert ours.reference_of(token) == REFERENCE
    now_s[0] += 2
    assert ours.reference_of(token) is None


def test_a_url_is_made_under_the_public_base_and_none_without_one() -> None:
    made = urls().url_for(REFERENCE) or ""
    assert made.startswith("https://pay.example/v1/webhooks/momo/")
    assert urls(base_url="https://pay.example/v1/webhooks/momo").url_for(REFERENCE) == made
    assert urls(base_url="").url_for(REFERENCE) is None
