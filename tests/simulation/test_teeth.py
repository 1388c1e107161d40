"""The simulation has teeth: each money rule, broken on purpose, is caught."""

from __future__ import annotations

import pytest

from tests.simulation.run import run_seed
from tests.simulation.teeth import TEETH

SEEDS_MAX = 300


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", TEETH)
def test_a_broken_rule_is_caught(name: str) -> None:
    tooth = TEETH[name]
    with tooth.breaks():
        for seed in range(SEEDS_MAX):
            violations = run_seed(seed).violations
            if any(tooth.says in violation for violation in violations):
                return
    pytest.fail(f"{SEEDS_MAX} seeds, and nobody noticed: {name}")
