"""No webhook comes, and the polls are an hour away: payouts are stuck in SENT until somebody asks."""

from __future__ import annotations

import pytest

from tests.runbook.conftest import Stage
from tests.runbook.on_call import ids_in

pytestmark = pytest.mark.timeout(180)
ANCHOR = "payouts-stuck-in-sent"


async def test_stuck_payouts_ring_and_the_runbook_settles_them(stage: Stage) -> None:
    async with stage(ANCHOR, NEPXY_POLL_BASE_S="3600", NEPXY_STUCK_AFTER_S="2") as on_call:
        ids = await on_call.pay(4, suffix="0503")
        await on_call.until_all(ids, "SENT")
        await on_call.until_it_fires("PayoutsStuckInSent")
        said = await on_call.until_the_doctor_says(1)
        assert f"docs/runbook.md#{ANCHOR}" in said.out

        engine, actors = on_call.follow(1)
        assert "recovery_done" in engine.out
        assert "TMONEY" in actors.out
        listed, explained, attempts = on_call.follow(2, AGE="2s", ID=ids[0])
        assert set(ids_in(listed.out)) == set(ids)
        assert "nepxy payouts retry" in explained.out
        assert "submission_ref" in attempts.out
        on_call.follow(3)
        webhooks, _ = on_call.follow(4)
        assert "no webhook came" in webhooks.out

        retried, _ = on_call.follow(5)
        assert "Next: " in retried.out
        await on_call.client.until(ids[0], "CONFIRMED")

        would, did = on_call.follow(6)
        assert set(ids_in(would.out)) == set(ids[1:])
        assert "DONE" in did.out
        await on_call.until_all(ids, "CONFIRMED")

        await on_call.until_the_doctor_says(0)
        listed, _ = on_call.is_over()
        assert "no payout is like that" in listed.out
        await on_call.until_it_is_silent("PayoutsStuckInSent")
        assert ("operator:ama", f"payouts/{ids[0]}", "retry") in on_call.audited()
        assert (await on_call.sandbox("summary"))["references_paid_more_than_once"] == 0
