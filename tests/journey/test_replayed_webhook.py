"""A signed body that settled a payout comes again, years later as it may be: the real engine knows it."""

from __future__ import annotations

import pytest

from tests.journey.harness import Client
from tests.journey.test_webhooks_in import a_stuck_payout, send

pytestmark = pytest.mark.timeout(180)


async def test_a_body_that_was_applied_is_recognised_and_counted(client: Client) -> None:
    payout = await a_stuck_payout(client)
    body = {"provider_ref": payout["provider_ref"], "status": "SUCCESS"}
    assert (await send(client, body))[1]["applied"] is True
    settled = await client.get(f"/v1/payouts/{payout['transaction_id']}")

    status, answer = await send(client, body)

    assert (status, answer["reason"], answer["replayed"]) == (200, "ALREADY_CONFIRMED", True)
    after = await client.get(f"/v1/payouts/{payout['transaction_id']}")
    assert (after["status"], after["version"]) == ("CONFIRMED", settled["version"])
    async with client.session.get(f"{client.town.base}/metrics") as metrics:
        text = await metrics.text()
    assert 'nepxy_webhook_replays_total{provider="TMONEY"} 1.0' in text
    assert 'nepxy_webhook_signatures_total{provider="TMONEY",secret="current"} 2.0' in text
