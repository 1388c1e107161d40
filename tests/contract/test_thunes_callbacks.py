"""Thunes' callbacks: the whole transaction, at each change, unsigned by contract; hints, and never a confirmation."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nepxy.config.secret import Secret
from nepxy.engine.capabilities import WebhookTrust
from nepxy.engine.outcomes import Finding
from nepxy.errors import WebhookRefused
from nepxy.providers.signatures import signed_with
from nepxy.providers.thunes import Thunes, build_thunes
from tests.contract.thunes_support import (
    API_KEY,
    PATIENCE_S,
    ThunesAtWork,
    a_sandbox,
    a_thunes_payout,
    thunes_settings,
)


class Inbox:
    """Where callbacks go."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, str | None]] = []
        self.answers: list[int] = []
        self._arrived = asyncio.Condition()
        app = web.Application()
        app.router.add_post("/v1/webhooks/thunes", self._take)
        self.server = TestServer(app)

    async def _take(self, request: web.Request) -> web.Response:
        async with self._arrived:
            self.received.append((await request.read(), request.headers.get("X-Signature")))
            self._arrived.notify_all()
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    async def until(self, status: str) -> list[dict[str, Any]]:
        """All that came, once one of this status has."""
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            await self._arrived.wait_for(lambda: any(one["status"] == status for one in self.documents))
        return self.documents

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body, _ in self.received]


def an_adapter(**changes: Any) -> Thunes:
    return build_thunes(thunes_settings("http://thunes.invalid", **changes))


@pytest.mark.parametrize("secret", ["", "callback-secret"])
async def test_each_change_is_posted_to_the_transactions_own_url(secret: str) -> None:
    inbox = Inbox()
    async with inbox.server:
        inbox.answers = [500, 503]
        url = str(inbox.server.make_url("/v1/webhooks/thunes"))
        async with ThunesAtWork(a_sandbox({"webhook_secret": secret}), callback_url=url) as thunes:
            payout = a_thunes_payout()
            outcome = await thunes.submit(payout)

            documents = await inbox.until("70000")

            notice = thunes.adapter.read_webhook(documents[-1])
            assert {document["status"] for document in documents} == {"20000", "70000"}
            assert (notice.our_ref, notice.provider_ref) == (payout.submission_ref, outcome.provider_ref)
    body, signature = inbox.received[-1]
    if secret:
        assert signed_with(body, signature or "", current=Secret(secret), previous=Secret("")) == "current"
    else:
        assert signature is None


async def test_no_callback_names_a_status_that_confirms_by_itself() -> None:
    notice = an_adapter().read_webhook(a_callback("70000"))

    assert notice.report.finding is Finding.IN_FLIGHT
    assert (notice.status_word, notice.report.reason) == ("70000", "STATUS_70000")
    assert "re-read by our external id" in notice.report.rule


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        ("10000", Finding.UNFINISHED),
        ("20000", Finding.IN_FLIGHT),
        (50000, Finding.IN_FLIGHT),
        ("30201", Finding.UNPAID),
        (90000, Finding.UNPAID),
        ("60020", Finding.REVERSED),
        ("CONFIRMED", Finding.NO_ANSWER),
        ("COMPLETED", Finding.NO_ANSWER),
        ("7", Finding.NO_ANSWER),
    ],
)
async def test_a_callbacks_status_is_read_as_text_and_as_number(status: str | int, finding: Finding) -> None:
    notice = an_adapter().read_webhook(a_callback(status))
    assert (notice.report.finding, notice.status_word) == (finding, str(status))


async def test_a_reason_of_a_failure_is_kept() -> None:
    assert an_adapter().read_webhook(a_callback("30201")).report.reason == "REJECTED_BARRED_BENEFICIARY"


async def test_the_transactions_own_id_is_its_reference_and_not_our_free_text() -> None:
    notice = an_adapter().read_webhook(a_callback("20000", reference="INVOICE-7", external_code="X"))
    assert notice.provider_ref == "243051154002258"


async def test_a_callbacks_amount_that_came_as_a_float_is_not_compared() -> None:
    terms = an_adapter().read_webhook(a_callback("20000")).report.terms
    assert (terms.amount, terms.currency, terms.phone_e164) == (None, "XOF", "+22890001234")


async def test_a_wrapped_callback_is_unwrapped() -> None:
    notice = an_adapter().read_webhook({"data": a_callback("30000")})
    assert notice.report.finding is Finding.UNPAID


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "MISSING_STATUS"),
        ({"id": 7, "external_id": "x"}, "MISSING_STATUS"),
        ({"id": 7, "status": ""}, "MISSING_STATUS"),
        ({"id": 7, "status": None}, "MISSING_STATUS"),
        ({"id": 7, "status": True}, "MISSING_STATUS"),
        ({"id": 7, "status": ["70000"]}, "MISSING_STATUS"),
        ({"status": "70000"}, "MISSING_PROVIDER_REF_OR_EXTERNAL_REF"),
        ({"status": 70000, "id": 1.5, "external_id": "a\0b"}, "MISSING_PROVIDER_REF_OR_EXTERNAL_REF"),
        ({"status": 70000, "id": "x" * 65}, "MISSING_PROVIDER_REF_OR_EXTERNAL_REF"),
    ],
    ids=str,
)
async def test_a_callback_that_says_too_little_is_refused(document: dict[str, Any], code: str) -> None:
    with pytest.raises(WebhookRefused) as refused:
        an_adapter().read_webhook(document)
    assert refused.value.code == code


async def test_a_word_is_masked_and_bounded() -> None:
    word = f"for +22890123456\0 with {API_KEY} " + "x" * 500
    notice = an_adapter().read_webhook(a_callback(word))
    for text in (notice.status_word, notice.report.reason, notice.report.rule):
        assert "22890123456" not in text
        assert API_KEY not in text
        assert "\0" not in text
        assert len(text.encode()) <= 200


async def test_callbacks_are_hints_and_unsigned_ones_are_taken_only_where_the_settings_allow_it() -> None:
    assert an_adapter().capabilities.webhooks is WebhookTrust.HINT
    assert an_adapter().settings.signs_webhooks
    assert not an_adapter(allow_unsigned_webhooks=True).settings.signs_webhooks


def a_callback(status: str | int, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": 243051154002258,
        "external_id": a_thunes_payout().submission_ref,
        "status": status,
        "destination": {"amount": 1000.0, "currency": "XOF"},
        "credit_party_identifier": {"msisdn": "22890001234"},
    }
    return {**document, **changes}
