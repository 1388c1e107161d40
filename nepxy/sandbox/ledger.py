"""The money that was actually moved: the oracle for "paid exactly once".

It records what the stand-in did, never what it said. A reference counts across providers: the same payout paid once by
each of two providers is paid twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Money reached a wallet, once."""

    provider: str
    external_id: str
    provider_ref: str
    msisdn: str
    amount: int
    """Minor units of `currency`."""
    currency: str
    moved_at_s: float
    """Unix time."""

    def as_json(self) -> dict[str, object]:
        """For the control API; the time as ISO 8601, UTC."""
        return {
            "provider": self.provider,
            "external_id": self.external_id,
            "provider_ref": self.provider_ref,
            "msisdn": self.msisdn,
            "amount": self.amount,
            "currency": self.currency,
            "moved_at": datetime.fromtimestamp(self.moved_at_s, UTC).isoformat(),
        }


@dataclass(slots=True)
class Account:
    """All that happened under one reference since the ledger was last reset."""

    submit_count: int = 0
    accepted_count: int = 0
    movements: list[Movement] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Totals: how often asked for, taken up and paid, how much in sum (minor units), to whom."""
        moved = self.movements
        return {
            "submit_count": self.submit_count,
            "accepted_count": self.accepted_count,
            "moved_count": len(moved),
            "amount": sum(movement.amount for movement in moved),
            "currencies": _distinct(movement.currency for movement in moved),
            "msisdns": _distinct(movement.msisdn for movement in moved),
            "provider_refs": [movement.provider_ref for movement in moved],
        }


class Ledger:
    """Movements in order, and an account for each reference; every operation but a listing is constant work."""

    def __init__(self) -> None:
        self.movements: list[Movement] = []
        self.accounts: dict[str, Account] = {}
        self.paid_more_than_once: dict[str, None] = {}
        """References in the order in which they were paid a second time; a dict because a set has no order."""
        self.submit_count = 0
        self.accepted_count = 0

    def submitted(self, external_id: str) -> int:
        """Notes one submit that was read and understood, whatever became of it.

        Returns:
            How many submits this reference has had, from 1.
        """
        self.submit_count += 1
        account = self._account(external_id)
        account.submit_count += 1
        return account.submit_count

    def accepted(self, external_id: str) -> None:
        """Notes that the provider took up an order."""
        self.accepted_count += 1
        self._account(external_id).accepted_count += 1

    def moved(self, movement: Movement) -> None:
        """Notes that money reached a wallet."""
        self.movements.append(movement)
        movements = self._account(movement.external_id).movements
        movements.append(movement)
        if len(movements) > 1:
            self.paid_more_than_once[movement.external_id] = None

    def reset(self) -> None:
        """Forgets all counts and movements; orders that are still settling will move money into the new page."""
        self.movements.clear()
        self.accounts.clear()
        self.paid_more_than_once.clear()
        self.submit_count = 0
        self.accepted_count = 0

    def moved_totals(self) -> dict[str, dict[str, object]]:
        """Totals of each reference whose money moved."""
        return {ref: account.as_json() for ref, account in self.accounts.items() if account.movements}

    def _account(self, external_id: str) -> Account:
        account = self.accounts.get(external_id)
        if account is None:
            account = self.accounts[external_id] = Account()
        return account


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
