"""The simulation as it runs in CI: a thousand seeds, those over the real contracts, and the same seed twice."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nepxy.engine.capabilities import WebhookTrust
from tests.simulation.contracts import contracts

SEEDS = os.environ.get("NEPXY_SIMULATE_SEEDS", "1000")
REAL_SEEDS = os.environ.get("NEPXY_SIMULATE_REAL_SEEDS", "130")


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


@pytest.mark.timeout(600)
def test_no_storm_over_the_contracts_of_the_real_providers_does_either() -> None:
    done = simulate("--real", "--seeds", REAL_SEEDS)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"0 of {int(REAL_SEEDS):,} seeds broke a rule" in done.stdout
    for each in contracts().values():
        for contract in each:
            # A contract under which nothing is ever paid would keep every rule.
            assert f"{contract.label}: CONFIRMED" in done.stdout, contract.label


def test_the_real_contracts_are_those_that_the_adapters_declare() -> None:
    """What the provider page says of each, in the words of the engine (its table in section 1)."""
    known = {contract.label: contract.capabilities for each in contracts().values() for contract in each}
    resends = {label for label, one in known.items() if one.resend_allowed}
    by_paper = {
        f"{wallet} generic, {word}" for wallet in ("TMONEY", "FLOOZ") for word in ("rejects", "replays")
    }
    assert resends == {"MOMO disbursement", "THUNES v2"} | by_paper
    signed = {label for label, one in known.items() if one.webhooks is WebhookTrust.SIGNED}
    assert all("generic" in label for label in signed)
    assert {label for label, one in known.items() if one.reverses_after_success} == {"THUNES v2"}


def test_a_seed_replays_exactly_in_another_process() -> None:
    for seed in ("3", "17"):
        first, second = simulate("--seed", seed), simulate("--seed", seed, hash_seed="random")
        assert first.stdout == second.stdout
        assert "fingerprint" in first.stdout
