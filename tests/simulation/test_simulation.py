"""The simulation as it runs in CI: a thousand seeds, and the same seed twice."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SEEDS = os.environ.get("NEPXY_SIMULATE_SEEDS", "1000")


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "COLUMNS": "140"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.timeout(600)
def test_no_storm_of_a_thousand_makes_it_lose_a_payout_or_pay_one_twice() -> None:
    done = simulate("--seeds", SEEDS)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"0 of {int(SEEDS):,} seeds broke a rule" in done.stdout


def test_a_seed_replays_exactly_in_another_process() -> None:
    for seed in ("3", "17"):
        first, second = simulate("--seed", seed), simulate("--seed", seed, hash_seed="random")
        assert first.stdout == second.stdout
        assert "fingerprint" in first.stdout
