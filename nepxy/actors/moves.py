"""Who wants to hear of payouts that move. While nobody does, telling costs a look at an empty tuple."""

from __future__ import annotations

from collections.abc import Callable

from nepxy.engine.payout import Payout

Ear = Callable[[Payout], None]


class Moves:
    """Told of every committed transition on this node; on the event loop, so an ear only notes what it hears."""

    __slots__ = ("_ears",)

    def __init__(self) -> None:
        """Nobody listens."""
        self._ears: tuple[Ear, ...] = ()

    def listen(self, ear: Ear) -> Callable[[], None]:
        """Tell this one, too, until what is returned is called."""
        self._ears = (*self._ears, ear)

        def stop() -> None:
            self._ears = tuple(one for one in self._ears if one is not ear)

        return stop

    def moved(self, payout: Payout) -> None:
        """A payout's transition is committed."""
        for ear in self._ears:
            ear(payout)
