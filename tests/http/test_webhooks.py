"""Webhooks: the contract of providers.md, section 8, without its faults; stored before they are answered."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from nepxy.actors.messages import WebhookAnswer, WebhookArrived, WebhookRefused
from nepxy.engine.outcomes import Finding
from nepxy.http.webhook_rows import UNSIGNED_STORED_PER_S_MAX, Allowance
from tests.http.conftest import Paper, Served, StartPaper
from tests.http.support import SILENCE, WEBHOOK_SECRET, code_of, sign

PATH = "/v1/webhooks/tmoney"
PAID = {"provider_ref": "T-1", "external_ref": "ours", "status": "SUCCESS"}


def raw(document: Any) -> bytes:
    return json.dumps(document).encode()


async def test_a_signed_webhook_is_applied_and_answered_in_the_known_words(paper: Paper) -> None:
    body = raw(PAID)
    response = await paper.client.post(PATH, data=body, headers=sign(body))
    assert response.status == 200
    assert await response.json() == {
        "ok": True,
        "provider": "TMONEY",
        "provider_ref": "T-1",
        "external_ref": "ours",
        "status": "SUCCESS",
        "applied": True,
    }
    (arrived,) = paper.engine.seen
    assert isinstance(arrived, WebhookArrived)
    assert arrived.trusted
    assert arrived.report.finding is Finding.PAID
    row = arrived.webhook
    assert (row.provider, row.signature_valid, row.signed_with) == ("TMONEY", True, "current")
    assert (row.provider_ref, row.our_ref, row.status_word) == ("T-1", "ours", "SUCCESS")
    assert row.body.encode() == body
    assert row.body_sha256 == hashlib.sha256(body).hexdigest()
    assert row.request_id == response.headers["X-Request-ID"]
    assert (
        paper.metric("webhook_events_total", provider="TMONEY", signature_valid="true", applied="true") == 1
    )


@pytest.mark.parametrize("reason", ["PAYOUT_NOT_FOUND", "ALREADY_CONFIRMED", "ALREADY_FAILED", "NOT_UPDATED"])
async def test_a_webhook_that_changes_nothing_says_why(paper: Paper, reason: str) -> None:
    paper.engine.answer = lambda message: WebhookAnswer(applied=False, reason=reason)
    body = raw(PAID)
    response = await paper.client.post(PATH, data=body, headers=sign(body))
    assert response.status == 200
    answer = await response.json()
    assert (answer["ok"], answer["applied"], answer["ignored"], answer["reason"]) == (
        True,
        False,
        True,
        reason,
    )
    labels = {"provider": "TMONEY", "signature_valid": "true", "applied": "false"}
    assert paper.metric("webhook_events_total", **labels) == 1


@pytest.mark.parametrize("form", ["sha256={}", "SHA256={}", "{}", "  {}  "])
async def test_the_signature_may_be_written_in_the_known_ways(paper: Paper, form: str) -> None:
    body = raw({"data": {"id": "T-1", "state": "ok"}})
    signature = form.format(sign(body)["X-Signature"].removeprefix("sha256="))
    response = await paper.client.post(PATH, data=body, headers={"X-Signature": signature})
    assert response.status == 200
    assert (await response.json())["status"] == "ok"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (raw(PAID), {}, 401, "MISSING_SIGNATURE"),
        (raw(PAID), {"X-Signature": "  "}, 401, "MISSING_SIGNATURE"),
        (raw(PAID), sign(b"other"), 401, "INVALID_SIGNATURE"),
        (raw(PAID), sign(raw(PAID), "another secret"), 401, "INVALID_SIGNATURE"),
        (raw(PAID), {"X-Signature": sign(raw(PAID))["X-Signature"].upper()}, 401, "INVALID_SIGNATURE"),
        (b"not json", {}, 401, "MISSING_SIGNATURE"),
        (b"not json", sign(b"not json"), 400, "INVALID_JSON"),
        (b"[1]", sign(b"[1]"), 400, "INVALID_JSON"),
        (b"\xff\x00", sign(b"\xff\x00"), 400, "INVALID_JSON"),
        (b'{"id":"T-1"}', sign(b'{"id":"T-1"}'), 400, "MISSING_STATUS"),
        (b'{"status":"ok"}', sign(b'{"status":"ok"}'), 400, "MISSING_PROVIDER_REF_OR_EXTERNAL_REF"),
    ],
)
async def test_a_webhook_that_is_refused_is_kept_all_the_same(
    paper: Paper, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    response = await paper.client.post(PATH, data=body, headers=headers)
    assert response.status == status
    assert await code_of(response) == code
    assert (await response.json())["error"] == code
    (kept,) = paper.engine.seen
    assert isinstance(kept, WebhookRefused)
    assert kept.reason == code
    assert "\0" not in kept.webhook.body
    assert paper.metric("nepxy_webhooks_refused_total", provider="TMONEY", code=code) == 1


async def test_without_a_secret_nothing_is_believed_and_an_operator_is_named(start_paper: StartPaper) -> None:
    paper = await start_paper({"TMONEY_WEBHOOK_SECRET": ""})
    body = raw(PAID)
    response = await paper.client.post(PATH, data=body, headers=sign(body, ""))
    assert response.status == 500
    assert await code_of(response) == "WEBHOOK_SECRET_NOT_CONFIGURED"
    assert isinstance(paper.engine.seen[0], WebhookRefused)


async def test_the_previous_secret_still_signs_during_a_rotation(start_paper: StartPaper) -> None:
    paper = await start_paper(
        {"TMONEY_WEBHOOK_SECRET": "the new one", "TMONEY_WEBHOOK_SECRET_PREVIOUS": WEBHOOK_SECRET}
    )
    body = raw(PAID)
    assert (await paper.client.post(PATH, data=body, headers=sign(body))).status == 200
    assert paper.engine.seen[0].webhook.signed_with == "previous"


async def test_a_provider_that_is_switched_off_is_still_heard(start_paper: StartPaper) -> None:
    paper = await start_paper({"MM_ENABLED_PROVIDERS": "FLOOZ"})
    body = raw(PAID)
    assert (await paper.client.post(PATH, data=body, headers=sign(body))).status == 200


@pytest.mark.parametrize("name", ["wave", "flooz", "TMONEY", "Tmoney"])
async def test_only_providers_with_an_adapter_have_a_path(paper: Paper, name: str) -> None:
    response = await paper.client.post(f"/v1/webhooks/{name}", data=b"{}")
    assert response.status == 404
    assert await code_of(response) == "ROUTE_NOT_FOUND"
    assert paper.engine.seen == []


async def test_what_was_not_stored_is_not_acknowledged(start_paper: StartPaper) -> None:
    paper = await start_paper({"NEPXY_ASK_TIMEOUT_S": "0.05"})
    paper.engine.answer = lambda message: SILENCE
    body = raw(PAID)
    for headers in (sign(body), {}):
        response = await paper.client.post(PATH, data=body, headers=headers)
        assert response.status == 503
        assert response.headers["Retry-After"]


async def test_headers_are_kept_without_secrets_and_numbers(paper: Paper) -> None:
    body = raw(PAID)
    headers = {
        **sign(body),
        "Authorization": "Bearer very-secret",
        "Cookie": "session=very-secret",
        "X-Caller": "+22890123456",
    }
    await paper.client.post(PATH, data=body, headers=headers)
    kept = paper.engine.seen[0].webhook.headers
    assert "very-secret" not in kept
    assert sign(body)["X-Signature"].removeprefix("sha256=") not in kept
    assert "90123456" not in kept
    assert json.loads(kept)["X-Caller"] == "+228*****456"


async def test_unsigned_bodies_are_cut_and_signed_ones_are_not(paper: Paper) -> None:
    body = raw({**PAID, "padding": "x" * 5000})
    await paper.client.post(PATH, data=body)
    await paper.client.post(PATH, data=body, headers=sign(body))
    unsigned, signed = (message.webhook for message in paper.engine.seen)
    assert len(unsigned.body) == 2048
    assert unsigned.body_sha256 == signed.body_sha256
    assert signed.body.encode() == body


async def test_a_flood_without_signatures_is_counted_and_not_stored(paper: Paper) -> None:
    count = 4 * UNSIGNED_STORED_PER_S_MAX
    for _ in range(count):
        response = await paper.client.post(PATH, data=b"junk")
        assert response.status == 401
    labels = {"provider": "TMONEY", "signature_valid": "false", "applied": "false"}
    assert paper.metric("webhook_events_total", **labels) == count
    unstored = paper.metric("nepxy_webhooks_unstored_total", provider="TMONEY")
    assert len(paper.engine.seen) + unstored == count


def test_an_allowance_is_so_many_a_second() -> None:
    now_s = 10.0
    allowance = Allowance(2, clock=lambda: now_s)
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    now_s = 11.0
    assert allowance.take()


async def test_an_adapters_own_defect_loses_nothing(start_paper: StartPaper) -> None:
    class Broken:
        def __init__(self, capabilities: Any) -> None:
            self.capabilities = capabilities

        def read_webhook(self, document: object) -> Any:
            raise KeyError("defect")

    plain = await start_paper()
    broken = Broken(plain.front.adapters["TMONEY"].capabilities)
    paper = await start_paper(adapters={"TMONEY": broken})
    body = raw(PAID)
    response = await paper.client.post(PATH, data=body, headers=sign(body))
    assert response.status == 500
    assert paper.engine.seen[0].reason == "UNREADABLE"


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"T\\u0000-1","status":"SUC\\u0000CESS","external_ref":"\\u0000"}',
        b'{"id":"T-1","status":70000}',
        b'{"data":{"id":7,"status":"ok","nested":{"a\\u0000":["\\u0000"]}}}',
        '{"id":"é","status":"ü"}'.encode(),
        b"\xff\xfe\x00",
    ],
)
async def test_whatever_a_signed_body_holds_the_database_takes_it(served: Served, body: bytes) -> None:
    response = await served.client.post(PATH, data=body, headers=sign(body))
    assert response.status in (200, 400), await response.text()
    (stored,) = served.desk.rows("SELECT state, signature_valid, headers::text FROM app.webhook_events")
    assert stored[0] == ("PARKED" if response.status == 200 else "INVALID")
    assert stored[1] is True
    assert "X-Signature" in stored[2]
