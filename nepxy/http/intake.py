"""How many new payouts may be on their way into the database at once: beyond it, clients are told to come again.

Without a bound, a node that is offered more than it can settle keeps everybody waiting until they give up, and takes
their payouts all the same. Webhooks are never counted: what was taken must be able to end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter

from nepxy.errors import EngineBusy


class Intake:
    """Places for new payouts that are being written. For one event loop."""

    def __init__(self, places: int, turned_away: Counter) -> None:
        """So many at once; `turned_away` counts who found none."""
        self._places = places
        self._taken_count = 0
        self._turned_away = turned_away

    def check(self) -> None:
        """Before anything else is done for a request: to be turned away must cost next to nothing.

        Raises:
            EngineBusy: no place is free.
        """
        if self._taken_count >= self._places:
            self._turned_away.inc()
            raise EngineBusy("as many new payouts as may be taken at once are being taken")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for as long as this is open.

        Raises:
            EngineBusy: there is none (any more); nothing was taken.
        """
        self.check()
        self._taken_count += 1
        try:
            yield
        finally:
            self._taken_count -= 1
