"""What is written for a payout whose actor keeps dying: without an actor, which is what does not work. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from nepxy.engine.decide import Policy, decide
from nepxy.engine.events import CrashedTooOften
from nepxy.engine.payout import Payout, TransactionId
from nepxy.storage.writes import MovePayout, PostponePayout

PARKED_FOR: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToPark:
    """The supervisor to itself: a payout whose actor died too often; its row, if it can be read at all."""

    transaction_id: TransactionId
    payout: Payout | None
    detail: str


def parking(
    payout: Payout, detail: str, *, now: datetime, policy: Policy, new_id: Callable[[], str]
) -> MovePayout | PostponePayout | None:
    """Put it into REVIEW; where it is there already, leave it alone for a while; None: it is final.

    Args:
        payout: as last committed.
        detail: what its actor died of.
        now: aware, UTC.
        policy: of its provider.
        new_id: for the write.
    """
    event = CrashedTooOften(detail=detail)
    decision = decide(payout, event, now=now, policy=policy, jitter=0.0)
    if decision.payout is not payout and decision.evidence is not None:
        return MovePayout(
            before=payout,
            after=decision.payout,
            evidence=decision.evidence,
            write_id=new_id(),
            request_id=None,
            who="supervisor",
        )
    if payout.status.is_final:
        return None
    # In REVIEW already: still due, it would be taken up, and die, at every sweep.
    return PostponePayout(
        transaction_id=payout.transaction_id, version=payout.version, until=now + PARKED_FOR
    )
