"""What actors' turns cost, counted in plain numbers: there are some ten turns a payout, and a scrape now and then.

Only the loop's thread counts and collects; each of the client library's own metrics would take a lock a turn.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

BUCKETS_S: Final = (0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0)


@dataclass(slots=True)
class _Tally:
    """Of one kind, and one name where it has one."""

    messages: int = 0
    depth: int = 0
    """Messages that waited after the last turn."""
    total_s: float = 0.0
    turns: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """By the first bound that is not shorter; the last: longer than all."""


class TurnMetrics(Collector):
    """Messages handled, mailboxes' depth, turns' length."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Count from zero, and be collected by this registry."""
        self._tallies: dict[tuple[str, str | None], _Tally] = {}
        registry.register(self)

    def taken(self, kind: str, name: str | None, messages: int, duration_s: float, depth: int) -> None:
        """A turn is over."""
        tally = self._tallies.get((kind, name))
        if tally is None:
            tally = self._tallies[kind, name] = _Tally()
        tally.messages += messages
        tally.depth = depth
        tally.total_s += duration_s
        tally.turns[bisect_left(BUCKETS_S, duration_s)] += 1

    def collect(self) -> Iterator[Metric]:
        """The three families; only of kinds that had a turn."""
        labels = ("kind", "name")
        handled = CounterMetricFamily("nepxy_actor_messages", "Messages handled.", labels=labels)
        depth = GaugeMetricFamily(
            "nepxy_actor_mailbox_depth", "Messages waiting after the last turn.", labels=labels
        )
        length = HistogramMetricFamily(
            "nepxy_actor_turn_seconds", "How long a turn kept the loop.", labels=("kind",)
        )
        by_kind: dict[str, _Tally] = {}
        for (kind, name), tally in self._tallies.items():
            handled.add_metric((kind, name or ""), tally.messages)
            if name is not None:
                depth.add_metric((kind, name), tally.depth)
            whole = by_kind.setdefault(kind, _Tally())
            whole.total_s += tally.total_s
            whole.turns = [a + b for a, b in zip(whole.turns, tally.turns, strict=True)]
        bounds = (*map(str, BUCKETS_S), "+Inf")
        for kind, whole in by_kind.items():
            buckets = list(zip(bounds, accumulate(whole.turns), strict=True))
            length.add_metric((kind,), buckets, whole.total_s)
        yield from (handled, depth, length)
