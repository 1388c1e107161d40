"""So many wrong guesses, and then slowly: what stands between a log-in and somebody who tries secrets."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from nepxy.errors import TooManyTries

TRIES_OF_AN_OPERATOR: Final = 5
TRIES_OF_AN_ADDRESS: Final = 20
"""More than of an operator: a whole team may sit behind one."""
ANOTHER_FOR_AN_OPERATOR_S: Final = 30.0
ANOTHER_FOR_AN_ADDRESS_S: Final = 6.0
KEYS_MAX: Final = 10_000


class Bucket:
    """So many at once for a key, and then one more each `refill_s`."""

    def __init__(self, burst: int, refill_s: float, *, clock: Callable[[], float]) -> None:
        """Take `clock` for monotonic seconds."""
        self._burst = burst
        self._refill_s = refill_s
        self._clock = clock
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        """When a key has all its tries again; the one asked for longest ago is first."""

    def wait_s(self, key: str) -> float:
        """In how many seconds this key has a try; 0: now."""
        missing_s = max(0.0, self._full_at_s.get(key, 0.0) - self._clock())
        return max(0.0, missing_s - (self._burst - 1) * self._refill_s)

    def take(self, key: str) -> None:
        """One try fewer."""
        now_s = self._clock()
        self._full_at_s[key] = max(now_s, self._full_at_s.get(key, 0.0)) + self._refill_s
        self._full_at_s.move_to_end(key)
        while len(self._full_at_s) > KEYS_MAX:
            self._full_at_s.popitem(last=False)

    def give_back(self, key: str) -> None:
        """It was no guess."""
        if key in self._full_at_s:
            self._full_at_s[key] -= self._refill_s


class SignInThrottle:
    """For each operator and for each address. Only failures count; on the event loop only."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        """Take `clock` for monotonic seconds."""
        self._operators = Bucket(TRIES_OF_AN_OPERATOR, ANOTHER_FOR_AN_OPERATOR_S, clock=clock)
        self._addresses = Bucket(TRIES_OF_AN_ADDRESS, ANOTHER_FOR_AN_ADDRESS_S, clock=clock)

    def take(self, operator_id: str, address: str) -> None:
        """Count a try before its secret is looked at, so that many at once are counted, too.

        Raises:
            TooManyTries: this one is not looked at.
        """
        wait_s = max(self._operators.wait_s(operator_id), self._addresses.wait_s(address))
        if wait_s > 0:
            raise TooManyTries(retry_after_s=math.ceil(wait_s))
        self._operators.take(operator_id)
        self._addresses.take(address)

    def give_back(self, operator_id: str, address: str) -> None:
        """The secret was right, or nobody could look."""
        self._operators.give_back(operator_id)
        self._addresses.give_back(address)
