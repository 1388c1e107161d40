"""How a provider's calls of the last minutes went: counted in a ring of buckets, so that it costs next to nothing."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

WINDOW_S: Final = 300.0
BUCKET_S: Final = 10.0
EDGES_S: Final = tuple(0.005 * 1.5**n for n in range(24))
"""Upper edges of the latency classes: 5 ms to about a minute, each half as much again; that is the error, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFigures:
    """The calls of the last five minutes."""

    answered: int = 0
    """Sensible answers, whatever they said."""
    failed: int = 0
    """No answer, or none that makes sense."""
    p50_s: float | None = None
    """Half of the calls took no longer; None: there were none. An upper edge, so up to half as much too high."""
    p95_s: float | None = None

    @property
    def success_rate(self) -> float | None:
        """Between 0 and 1; None: nothing was called."""
        calls = self.answered + self.failed
        return self.answered / calls if calls else None


NO_CALLS: Final = CallFigures()


@dataclass(slots=True)
class _Bucket:
    number: int
    answered: int = 0
    failed: int = 0
    classes: list[int] = field(default_factory=lambda: [0] * (len(EDGES_S) + 1))


class CallRing:
    """Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        """Nothing was called yet."""
        self._buckets: dict[int, _Bucket] = {}

    def ended(self, now_s: float, took_s: float, *, answered: bool) -> None:
        """A call is over."""
        bucket = self._bucket(int(now_s // BUCKET_S))
        if answered:
            bucket.answered += 1
        else:
            bucket.failed += 1
        bucket.classes[bisect_left(EDGES_S, took_s)] += 1

    def figures(self, now_s: float) -> CallFigures:
        """What the last five minutes were like."""
        oldest = int(now_s // BUCKET_S) - int(WINDOW_S // BUCKET_S)
        fresh = [bucket for bucket in self._buckets.values() if bucket.number > oldest]
        classes = [sum(column) for column in zip(*(one.classes for one in fresh), strict=True)]
        return CallFigures(
            answered=sum(one.answered for one in fresh),
            failed=sum(one.failed for one in fresh),
            p50_s=_edge(classes, 0.5),
            p95_s=_edge(classes, 0.95),
        )

    def _bucket(self, number: int) -> _Bucket:
        place = number % int(WINDOW_S // BUCKET_S)
        known = self._buckets.get(place)
        if known is None or known.number != number:
            known = self._buckets[place] = _Bucket(number)
        return known


def _edge(classes: list[int], share: float) -> float | None:
    total = sum(classes)
    if not total:
        return None
    seen = 0
    for place, count in enumerate(classes):
        seen += count
        if seen >= share * total:
            return round(EDGES_S[min(place, len(EDGES_S) - 1)], 4)
    return round(EDGES_S[-1], 4)
