"""`python -m tests.chaos --rounds 20`: see docs/chaos.md."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import print_report, run_chaos
from tests.chaos.stage import Plan


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=12, help="at once, each with one payout at a time")
    parser.add_argument(
        "--no-look-up", action="store_true", help="the provider knows only its own references"
    )
    parser.add_argument(
        "--duplicates", choices=("pays_again", "rejects", "replays"), default="pays_again",
        help="what the provider does with a reference that it has seen",
    )  # fmt: skip
    given = parser.parse_args()
    plan = Plan(
        rounds=given.rounds,
        seed=given.seed,
        clients=given.clients,
        look_up=not given.no_look_up,
        duplicates=given.duplicates,
    )
    folder = Path(tempfile.mkdtemp(prefix="nepxy-chaos-logs-"))
    print(f"chaos: {plan.rounds} rounds, seed {plan.seed}; logs in {folder}", flush=True)
    report = asyncio.run(run_chaos(plan, folder, say=lambda line: print(line, flush=True)))
    print_report(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
