"""The gate of one provider: whose turn it is to call it, and when. Pure: the caller brings the clock.

Submits and questions (look-ups, polls) have separate queues and one budget, so that neither starves the
other: questions hold at most a quarter of the places, and get one call in four while submits wait that may
go. Look-ups of payouts in doubt go before polls; within a queue: due first, then oldest. First and further
submits are two queues and one turn. A pause stops submits only, or only the further ones (money rule 10); an
open breaker and the provider's own request for silence stop everything.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import count
from typing import Any, Final, assert_never

from nepxy.engine.breaker import Breaker, BreakerState
from nepxy.engine.events import Work
from nepxy.engine.pace import Pace
from nepxy.engine.payout import TransactionId

QUESTIONS_SHARE: Final = 4
"""Questions get one place in so many, and one call in so many while submits wait."""
STALE_MAX: Final = 64
"""Withdrawn tickets that a queue may keep beyond the number of live ones, before it is swept."""

Ticket = tuple[datetime, datetime, int, TransactionId]
"""Due time, age, number, payout: the order of a queue."""


class Kind(StrEnum):
    """What a call is, as far as its turn is concerned; also a metrics label."""

    SUBMIT = "submit"
    RETRY = "retry"
    """A submit of a payout that was tried before."""
    LOOKUP = "lookup"
    POLL = "poll"


QUESTIONS: Final = (Kind.LOOKUP, Kind.POLL)
SUBMITS: Final = (Kind.SUBMIT, Kind.RETRY)


def kind_of(work: Work, *, again: bool = False) -> Kind:
    """A resend waits with the submits: it moves money like one.

    Args:
        work: what is wanted.
        again: whether the payout was tried before.
    """
    match work:
        case Work.SUBMIT:
            return Kind.RETRY if again else Kind.SUBMIT
        case Work.RESEND:
            return Kind.RETRY
        case Work.LOOKUP:
            return Kind.LOOKUP
        case Work.POLL:
            return Kind.POLL
        case _:
            assert_never(work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """A payout wants to call."""

    transaction_id: TransactionId
    work: Work
    due_at: datetime
    created_at: datetime
    who: Any
    """Whom to tell; the gate only hands it back, and compares it."""
    again: bool = False
    """Whether the payout was tried before."""

    @property
    def kind(self) -> Kind:
        """Which queue it belongs to."""
        return kind_of(self.work, again=self.again)


@dataclass(slots=True, kw_only=True)
class Place:
    """One place in use, from its grant until it is given back."""

    who: Any
    kind: Kind
    since_s: float
    is_probe: bool
    is_sure: bool = True
    """False: granted in an earlier life of the provider's actor, and its end may have been told to a dead one."""


class Gate:
    """Who waits and who holds a place. Times are seconds of a monotonic clock."""

    def __init__(
        self, *, concurrency_max: int, requests_per_s: float, waiting_max: int, breaker: Breaker | None = None
    ) -> None:
        """An open gate with nobody before it.

        Args:
            concurrency_max: calls in flight at once, questions included.
            requests_per_s: 0 is unlimited.
            waiting_max: payouts that may wait here.
            breaker: None: one with default limits.
        """
        self.concurrency_max = concurrency_max
        self.waiting_max = waiting_max
        self.pace = Pace(requests_per_s=requests_per_s)
        self.breaker = breaker or Breaker()
        self.submits_paused = False
        self.retries_paused = False
        """Only payouts that were never tried are submitted."""
        self._queues: dict[Kind, list[Ticket]] = {kind: [] for kind in Kind}
        self._waiting: dict[TransactionId, tuple[int, Want]] = {}
        self._waiting_counts = dict.fromkeys(Kind, 0)
        self._held: dict[TransactionId, Place] = {}
        self._held_counts = dict.fromkeys(Kind, 0)
        self._numbers = count()
        # A question may go first: it is as likely to be a payout in doubt, which is older money.
        self._submits_in_a_row = QUESTIONS_SHARE - 1

    # ---- waiting -----------------------------------------------------------------------------------

    def want(self, want: Want) -> bool:
        """Queue up, or change queues.

        Returns:
            False: too many wait; come back later.
        """
        place = self._held.get(want.transaction_id)
        if place is not None and place.who == want.who and place.is_sure:
            # It wished again before our offer reached it, and will use that one: two would be one too many.
            self._held_counts[place.kind] -= 1
            place.kind = want.kind
            self._held_counts[place.kind] += 1
            return True
        if place is not None:
            # Its predecessor died with it, or it gave it back while there was nobody to take it.
            self.lost(want.transaction_id, place.since_s)
        known = self._withdraw(want.transaction_id)
        if not known and len(self._waiting) >= self.waiting_max:
            return False
        number, kind = next(self._numbers), want.kind
        self._waiting[want.transaction_id] = (number, want)
        self._waiting_counts[kind] += 1
        queue = self._queues[kind]
        heapq.heappush(queue, (want.due_at, want.created_at, number, want.transaction_id))
        if len(queue) > 2 * self._waiting_counts[kind] + STALE_MAX:
            self._sweep(kind)
        return True

    def restarted(self) -> None:
        """The provider's actor is a new one: all who wait will ask again; who holds a place keeps it until it asks."""
        for place in self._held.values():
            place.is_sure = False
        self._waiting.clear()
        for kind in Kind:
            self._queues[kind].clear()
            self._waiting_counts[kind] = 0

    def _withdraw(self, transaction_id: TransactionId) -> bool:
        known = self._waiting.pop(transaction_id, None)
        if known is None:
            return False
        self._waiting_counts[known[1].kind] -= 1
        return True

    def _sweep(self, kind: Kind) -> None:
        self._queues[kind] = [ticket for ticket in self._queues[kind] if self._is_live(ticket)]
        heapq.heapify(self._queues[kind])

    def _is_live(self, ticket: Ticket) -> bool:
        *_, number, transaction_id = ticket
        known = self._waiting.get(transaction_id)
        return known is not None and known[0] == number

    # ---- granting ----------------------------------------------------------------------------------

    def wait_s(self, now_s: float) -> float:
        """Seconds until any call may be made, as far as time decides it; infinity: a probe's end does."""
        return max(self.breaker.wait_s(now_s), self.pace.wait_s(now_s))

    def next(self, now_s: float) -> Want | None:
        """Give the next place, if there is one and somebody may have it now."""
        if len(self._held) >= self.concurrency_max or self.wait_s(now_s) > 0:
            return None
        kind = self._next_kind()
        if kind is None:
            return None
        want = self._pop(kind)
        is_probe = self.breaker.called(now_s)
        self.pace.called(now_s)
        self._submits_in_a_row = self._submits_in_a_row + 1 if kind in SUBMITS else 0
        self._held[want.transaction_id] = Place(who=want.who, kind=kind, since_s=now_s, is_probe=is_probe)
        self._held_counts[kind] += 1
        return want

    def _next_kind(self) -> Kind | None:
        submit = self._next_submit()
        question = None
        if self.held_questions < self.questions_max:
            question = next((kind for kind in QUESTIONS if self._waiting_counts[kind]), None)
        if question is not None and self._submits_in_a_row >= QUESTIONS_SHARE - 1:
            return question
        return submit or question

    def _next_submit(self) -> Kind | None:
        """Of first and further submits that may go, the one whose turn came first."""
        may_go = [
            kind
            for kind in SUBMITS
            if self._waiting_counts[kind]
            and not self.submits_paused
            and not (kind is Kind.RETRY and self.retries_paused)
        ]
        return min(may_go, key=self._head, default=None) if len(may_go) > 1 else next(iter(may_go), None)

    def _head(self, kind: Kind) -> Ticket:
        queue = self._queues[kind]
        while not self._is_live(queue[0]):
            heapq.heappop(queue)
        return queue[0]

    def _pop(self, kind: Kind) -> Want:
        queue = self._queues[kind]
        while True:
            # Others of a payout, withdrawn or asked for anew, are passed over: their ticket is stale.
            ticket = heapq.heappop(queue)
            if self._is_live(ticket):
                _, want = self._waiting.pop(ticket[3])
                self._waiting_counts[kind] -= 1
                return want

    # ---- giving back -------------------------------------------------------------------------------

    def answered(self, transaction_id: TransactionId, now_s: float) -> None:
        """The provider answered its call sensibly, whatever it said."""
        if self._release(transaction_id) is not None:
            self.breaker.succeeded(now_s)

    def failed(self, transaction_id: TransactionId, now_s: float) -> None:
        """Its call had no answer, or none that makes sense."""
        place = self._release(transaction_id)
        if place is not None:
            self.breaker.failed(now_s, was_probe=place.is_probe)

    def unused(self, transaction_id: TransactionId, now_s: float) -> None:
        """It made no call, or does not want to wait any longer."""
        place = self._release(transaction_id)
        if place is not None:
            self.pace.not_called()
            self.breaker.abandoned(now_s, was_probe=place.is_probe)

    def lost(self, transaction_id: TransactionId, now_s: float) -> None:
        """Whoever held or wanted the place is no more; whether a call was made is not known."""
        place = self._release(transaction_id)
        if place is not None:
            self.breaker.abandoned(now_s, was_probe=place.is_probe)

    def _release(self, transaction_id: TransactionId) -> Place | None:
        self._withdraw(transaction_id)
        place = self._held.pop(transaction_id, None)
        if place is not None:
            self._held_counts[place.kind] -= 1
        return place

    # ---- what can be seen --------------------------------------------------------------------------

    @property
    def waiting_count(self) -> int:
        """Payouts that wait."""
        return len(self._waiting)

    @property
    def held_count(self) -> int:
        """Places in use."""
        return len(self._held)

    @property
    def questions_max(self) -> int:
        """Places that questions may use."""
        return max(1, self.concurrency_max // QUESTIONS_SHARE)

    @property
    def held_questions(self) -> int:
        """Places that questions use."""
        return sum(self._held_counts[kind] for kind in QUESTIONS)

    def held_for_s(self, transaction_id: TransactionId, now_s: float) -> float | None:
        """How long this payout has had its place; None: it has none."""
        place = self._held.get(transaction_id)
        return None if place is None else now_s - place.since_s

    @property
    def ticket_count(self) -> int:
        """Tickets in memory, stale ones included: bounded by those who wait."""
        return sum(map(len, self._queues.values()))

    def waiting_of(self, kind: Kind) -> int:
        """Payouts that wait for this kind of call."""
        return self._waiting_counts[kind]

    def held_of(self, kind: Kind) -> int:
        """Places in use for this kind of call."""
        return self._held_counts[kind]

    def places(self) -> Iterator[tuple[TransactionId, Place]]:
        """A snapshot of all places in use."""
        return iter(tuple(self._held.items()))

    def oldest_due_at(self) -> datetime | None:
        """When the one that waits longest was due; None: nobody waits."""
        dues = []
        for kind, queue in self._queues.items():
            while queue and not self._is_live(queue[0]):
                heapq.heappop(queue)
            if queue and self._waiting_counts[kind]:
                dues.append(queue[0][0])
        return min(dues, default=None)

    @property
    def breaker_state(self) -> BreakerState:
        """Whether calls go through."""
        return self.breaker.state
