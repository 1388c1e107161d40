"""The benchmark measures what it says: all alive at once, all messages handled, all stopped."""

from __future__ import annotations

from nepxy.cli.bench_actors import run


def test_the_benchmark_loses_nobody_and_nothing() -> None:
    figures = run(actors=1_000, messages=3)

    assert figures["started_count"] == figures["alive_count"] == figures["stopped_count"] == 1_000
    assert figures["handled_count"] == 3_000
    assert figures["dead_letter_count"] == 0
