"""How often may somebody ask? Token buckets by key, in this process's memory, bounded in number.

Each node counts for itself: behind a load balancer the limits are per node. What must hold across nodes (money) is
never left to these.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from nepxy.errors import RateLimited, TooManyTries

BUCKETS_MAX: Final = 10_000
"""Beyond that the one that was used longest ago is forgotten: it is the one most likely to be full again."""

PAIR_FAILURES_MAX: Final = 10
PAIR_FAILURES_PER_S: Final = 1 / 6
"""For one identity from one address: ten wrong secrets at once, then ten a minute."""
WIDE_FAILURES_MAX: Final = 100
WIDE_FAILURES_PER_S: Final = 1.0
"""For one identity from anywhere, and for one address whoever it says it is. Wider, so that a stranger who
guesses at somebody's secret does not lock that somebody out, and people behind one address do not each other."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Buckets:
    """Token buckets of one size, by key."""

    def __init__(
        self, *, per_s: float, burst: float, clock: Callable[[], float], keys_max: int = BUCKETS_MAX
    ) -> None:
        """Fill each with `per_s` tokens a second, up to `burst`; `clock` gives monotonic seconds."""
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._keys_max = keys_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token. Returns 0.0, or in how many seconds there will be one: then none was taken."""
        bucket = self._filled(key)
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) / self._per_s
        bucket.tokens -= 1.0
        return 0.0

    def give_back(self, key: str) -> None:
        """Put a token back that was taken for nothing."""
        bucket = self._filled(key)
        bucket.tokens = min(self._burst, bucket.tokens + 1.0)

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._buckets)

    def _filled(self, key: str) -> _Bucket:
        now_s = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(tokens=self._burst, at_s=now_s)
            if len(self._buckets) > self._keys_max:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(key)
        bucket.tokens = min(self._burst, bucket.tokens + (now_s - bucket.at_s) * self._per_s)
        bucket.at_s = now_s
        return bucket


class ClientLimit:
    """So many requests a second for each client."""

    def __init__(self, per_s: float, *, clock: Callable[[], float]) -> None:
        """Allow `per_s` (0: no limit), and twice that at once after a quiet moment."""
        self._buckets = Buckets(per_s=per_s, burst=max(1.0, 2 * per_s), clock=clock) if per_s > 0 else None

    def check(self, client_id: str) -> None:
        """Count one request.

        Raises:
            RateLimited: it is one too many; it was not looked at.
        """
        if self._buckets is None:
            return
        wait_s = self._buckets.take(client_id)
        if wait_s > 0:
            raise RateLimited(math.ceil(wait_s))


class LoginLimit:
    """Wrong credentials, counted by who they are for and where they come from. Right ones cost nothing."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        """Start with nothing held against anybody."""
        self._pairs = Buckets(per_s=PAIR_FAILURES_PER_S, burst=PAIR_FAILURES_MAX, clock=clock)
        self._identities = Buckets(per_s=WIDE_FAILURES_PER_S, burst=WIDE_FAILURES_MAX, clock=clock)
        self._addresses = Buckets(per_s=WIDE_FAILURES_PER_S, burst=WIDE_FAILURES_MAX, clock=clock)

    def begin(self, identity: str, address: str) -> Attempt:
        """Before the secret is looked at: hashing one costs much, and a guess must not even be answered.

        Raises:
            TooManyTries: too many were wrong; this one was not looked at.
        """
        attempt = Attempt(
            taken=(
                (self._pairs, f"{identity}\0{address}"),
                (self._identities, identity),
                (self._addresses, address),
            )
        )
        attempt.take()
        return attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to sign in."""

    taken: tuple[tuple[Buckets, str], ...]

    def take(self) -> None:
        """Count it as wrong until it is known to be right."""
        for n, (buckets, key) in enumerate(self.taken):
            wait_s = buckets.take(key)
            if wait_s > 0:
                self._give_back(n)
                raise TooManyTries(retry_after_s=math.ceil(wait_s))

    def forgive(self) -> None:
        """The credentials were right, or nobody could say."""
        self._give_back(len(self.taken))

    def _give_back(self, count: int) -> None:
        for buckets, key in self.taken[:count]:
            buckets.give_back(key)


def address_of(request: web.Request, header: str) -> str:
    """Where a request comes from: the proxy's own word for it (the header's last entry), if there is a proxy."""
    named = request.headers.get(header, "") if header else ""
    return named.rpartition(",")[2].strip()[:64] or request.remote or ""
