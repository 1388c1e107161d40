"""The simulation has teeth: each money rule, broken on purpose, is caught."""

from __future__ import annotations

import pytest

from tests.simulation.run import run_seed
from tests.simulation.teeth import TEETH

SEEDS_MAX = 600
WITH_REAL_CONTRACTS = (
    "rule 2: a further write leaves before its step is committed",
    "rule 4: unknown is taken for failed",
    "rule 4: resent without proof that it is harmless",
    "rule 9: a hint settles",
)
"""What the real contracts differ in: three writes, duplicates, look-ups, hints."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "real"), [*((name, False) for name in TEETH), *((name, True) for name in WITH_REAL_CONTRACTS)]
)
def test_a_broken_rule_is_caught(name: str, real: bool) -> None:
    tooth = TEETH[name]
    with tooth.breaks():
        for seed in (*range(tooth.bites_at, SEEDS_MAX), *range(tooth.bites_at)):
            violations = run_seed(seed, real=real).violations
            if any(tooth.says in violation for violation in violations):
                return
    pytest.fail(f"{SEEDS_MAX} seeds, and nobody noticed: {name}")
