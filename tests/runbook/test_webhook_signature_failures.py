"""The provider signs with a secret that we do not know, until it is written where the engine reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runbook.conftest import Stage

pytestmark = pytest.mark.timeout(180)
ANCHOR = "webhook-signature-failures"
OLD, NEW = "the-secret-that-we-know", "the-secret-that-the-provider-took"


async def test_refused_webhooks_ring_and_the_runbook_brings_them_back(stage: Stage, tmp_path: Path) -> None:
    current, previous = tmp_path / "webhook-secret", tmp_path / "webhook-secret-previous"
    current.write_text(OLD)
    previous.write_text("another-secret-of-long-ago")
    async with stage(
        ANCHOR,
        TMONEY_WEBHOOK_SECRET="",
        TMONEY_WEBHOOK_SECRET_FILE=str(current),
        TMONEY_WEBHOOK_SECRET_PREVIOUS_FILE=str(previous),
        SANDBOX_WEBHOOK_SECRET=NEW,
        NEPXY_POLL_BASE_S="3600",
    ) as on_call:
        ids = await on_call.pay(4)
        await on_call.until_all(ids, "SENT")
        await on_call.until_it_fires("WebhookSignatureFailures")
        said = await on_call.until_the_doctor_says(1)
        assert f"docs/runbook.md#{ANCHOR}" in said.out

        (listed,) = on_call.follow(1)
        assert "INVALID_SIGNATURE" in listed.out
        webhook = on_call.run("nepxy webhooks list --signature-invalid --since 1h --json").json()["webhooks"][
            0
        ]
        shown, _ = on_call.follow(2, WEBHOOK=str(webhook["webhook_id"]))
        assert "X-Signature" in shown.out
        assert "+228900" not in shown.out
        on_call.follow(3)
        previous.write_text(OLD)  # step 4
        current.write_text(NEW)
        on_call.follow(4)
        (reloaded,) = on_call.follow(5)
        assert "TMONEY_WEBHOOK_SECRET" in reloaded.out
        assert NEW not in reloaded.out
        for asked in on_call.follow(6, status=None, AGE="0s"):
            # The provider sends refused ones again: where it was quicker, nobody is left to ask about.
            assert asked.status == 0 or "BULK_SELECTS_NOTHING" in asked.err, asked
        await on_call.until_all(ids, "CONFIRMED")

        # Its poll is an hour away, so what confirms this one is its webhook.
        later = await on_call.pay(1, first=50)
        await on_call.until_all(later, "CONFIRMED")
        await on_call.until_the_doctor_says(0)
        valid, _ = on_call.is_over()
        assert later[0] in valid.out
        await on_call.until_it_is_silent("WebhookSignatureFailures")
        assert ("operator:ama", "supervisor", "reload_secrets") in on_call.audited()
        assert (await on_call.sandbox("summary"))["references_paid_more_than_once"] == 0
