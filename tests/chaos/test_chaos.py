"""The real engine under real faults, in short; `make chaos` runs it for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import run_chaos
from tests.chaos.stage import Plan

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]


async def test_no_payout_is_lost_and_none_is_paid_twice_whatever_is_killed(tmp_path: Path) -> None:
    """By the provider that pays a repeated reference again: an automatic resend would show as money paid twice."""
    plan = Plan(rounds=6, seed=7, clients=8, round_s=2.5, duplicates="pays_again")
    report = await run_chaos(plan, tmp_path)

    assert report.wrong == []
    figures = report.figures
    assert figures["references paid twice"] == 0
    assert figures["acknowledged but missing"] == 0
    assert figures["payouts CONFIRMED"] == figures["distinct references paid"] > 50
    # That which was to be survived did happen.
    for kind in (
        "engine killed (SIGKILL)", "engine frozen (SIGSTOP)", "engine stopped (SIGTERM)", "take-overs",
        "database connections cut", "sandbox killed (SIGKILL)", "rounds with provider faults",
    ):  # fmt: skip
        assert figures[kind] > 0, kind
