"""The supervisor's directory of payouts in memory: by id, and by every reference that a webhook may name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pykka import ActorRef

from nepxy.engine.payout import Payout, SubmissionRef, TransactionId


@dataclass(slots=True)
class Entry:
    """One payout in memory."""

    ref: ActorRef[Any]
    provider: str
    delivered_count: int = 0
    """`Deliver`s told to it; where the payout has had fewer, one is on its way."""
    known_as: tuple[str, ...] = ()
    untold: bool = False
    """No webhook has ever been applied to it: it was created here, and none has been delivered since."""


class Roster:
    """Who is in memory. All operations take the same time, however many there are."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: dict[TransactionId, Entry] = {}
        self._by_ref: dict[str, tuple[TransactionId, SubmissionRef]] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, transaction_id: TransactionId) -> bool:
        return transaction_id in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def count_of(self, provider: str) -> int:
        """Payouts of this provider in memory."""
        return self._counts.get(provider, 0)

    def get(self, transaction_id: TransactionId) -> Entry | None:
        """The payout's entry, if it is in memory."""
        return self._entries.get(transaction_id)

    def items(self) -> tuple[tuple[TransactionId, Entry], ...]:
        """A snapshot of all entries."""
        return tuple(self._entries.items())

    def add(self, payout: Payout, ref: ActorRef[Any], *, is_new: bool = False) -> Entry:
        """Note that a payout is in memory now; `is_new`: it was committed a moment ago, and by us."""
        entry = Entry(ref=ref, provider=payout.provider, untold=is_new)
        self.remove(payout.transaction_id)
        self._counts[payout.provider] = self.count_of(payout.provider) + 1
        self._entries[payout.transaction_id] = entry
        if payout.attempt_count:
            self.know(payout.transaction_id, payout.submission_ref, payout.provider_ref)
        return entry

    def know(
        self, transaction_id: TransactionId, submission_ref: SubmissionRef, provider_ref: str | None
    ) -> None:
        """Note what webhooks may call it from now on; what they called it before is asked of the database."""
        entry = self._entries.get(transaction_id)
        if entry is None:
            return
        self._forget_names(entry)
        refs = (submission_ref,) if provider_ref is None else (submission_ref, provider_ref)
        entry.known_as = tuple(f"{entry.provider}/{ref}" for ref in refs)
        target = (transaction_id, submission_ref)
        for name in entry.known_as:
            self._by_ref[name] = target

    def find(self, provider: str, *refs: str | None) -> tuple[TransactionId, SubmissionRef] | None:
        """The payout in memory, and its reference, that a webhook of this provider names by one of these."""
        for ref in refs:
            found = self._by_ref.get(f"{provider}/{ref}") if ref is not None else None
            if found is not None:
                return found
        return None

    def is_untold(self, transaction_id: TransactionId) -> bool:
        """Whether it is in memory and no webhook was ever applied to it."""
        entry = self._entries.get(transaction_id)
        return entry is not None and entry.untold

    def remove(self, transaction_id: TransactionId) -> None:
        """Note that it is not in memory any more."""
        entry = self._entries.pop(transaction_id, None)
        if entry is not None:
            self._counts[entry.provider] -= 1
            self._forget_names(entry)

    def _forget_names(self, entry: Entry) -> None:
        for name in entry.known_as:
            self._by_ref.pop(name, None)
        entry.known_as = ()
