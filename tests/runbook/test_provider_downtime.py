"""The provider's server is gone: payouts wait, and go out once when it is back."""

from __future__ import annotations

import asyncio

import pytest

from tests.runbook.conftest import Stage

pytestmark = pytest.mark.timeout(180)
ANCHOR = "provider-downtime"


async def test_a_provider_that_is_down_rings_and_the_runbook_pays_everybody_once(stage: Stage) -> None:
    async with stage(ANCHOR, NEPXY_POLL_BASE_S="5") as on_call:
        sandbox = on_call.town.sandbox
        assert sandbox is not None
        sandbox.terminate()
        await asyncio.to_thread(sandbox.wait, 30)
        ids = await on_call.pay(12)
        await on_call.until_it_fires("ProviderDown")
        await on_call.until_it_fires("ProviderBreakerOpen")
        said = await on_call.until_the_doctor_says(1)
        assert f"docs/runbook.md#{ANCHOR}" in said.out

        shown, listed = on_call.follow(1)
        assert "open" in shown.out
        assert ids[0] in listed.out
        on_call.follow(2)
        on_call.follow(3)
        (figures,) = on_call.follow(4)
        assert "XOF" in figures.out
        assert "12 payouts" in figures.out

        on_call.town.start_provider()
        await on_call.town.until_ready(on_call.client.session)
        *_, shown = on_call.follow(5)
        assert "300" not in shown.out  # the longer backoff is undone
        on_call.follow(6)
        await on_call.until_all(ids, "CONFIRMED")
        (would,) = on_call.follow(7)
        assert "0 payouts" in would.out

        await on_call.until_the_doctor_says(0, limit_s=60)
        providers, waiting, _ = on_call.is_over()
        assert "closed" in providers.out
        assert "no payout is like that" in waiting.out
        await on_call.until_it_is_silent("ProviderDown")
        await on_call.until_it_is_silent("ProviderBreakerOpen")
        given = [command for _, target, command in on_call.audited() if target == "providers/TMONEY"]
        assert given[:6] == [
            "set_backoff",
            "pause_retries",
            "pause",
            "resume",
            "resume_retries",
            "set_backoff",
        ]
        summary = await on_call.sandbox("summary")
        assert (summary["movements"], summary["references_paid_more_than_once"]) == (12, 0)
