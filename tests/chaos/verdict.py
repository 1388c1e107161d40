"""What must be true after all of it: the engine's rows against the money that the sandbox moved.

Pure: it is given what was found, so that a test can show that each rule has teeth.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.clients import Acknowledged

FINAL = ("CONFIRMED", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A payout as the database has it in the end."""

    transaction_id: str
    idempotency_key: str
    status: str
    status_reason: str
    amount: int
    currency: str
    phone_e164: str
    provider_ref: str | None
    version: int
    events: Sequence[tuple[int, str]]
    """Version and state of each transition, in order."""
    attempts: Mapping[str, int]
    """Every reference that was ever used, and the number of its committed intents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One reference in the provider's books."""

    submit_count: int
    """Since the sandbox's last start."""
    accepted_count: int
    moved_count: int
    amount: int
    currencies: Sequence[str]
    msisdns: Sequence[str]

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Account:
        return cls(**{name: found[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Figures to print, and everything that is wrong; nothing wrong is what a run is for."""

    figures: Mapping[str, int]
    wrong: Sequence[str]


def judge(
    *,
    rows: Sequence[Row],
    accounts: Mapping[str, Account],
    acknowledged: Sequence[Acknowledged],
    look_up: bool,
) -> Verdict:
    """Count at the provider.

    Args:
        rows: every payout in the database.
        accounts: every reference that the provider has seen.
        acknowledged: what clients were promised.
        look_up: whether the provider can be asked by our reference: then nothing that it took may end in REVIEW.
    """
    wrong = [
        *_wrong_promises(rows, acknowledged),
        *_wrong_references(rows, accounts),
        *(problem for row in rows for problem in _wrong_row(row, accounts, look_up=look_up)),
    ]
    states = Counter(row.status for row in rows)
    paid = [ref for ref, account in accounts.items() if account.moved_count]
    figures = {
        "payouts acknowledged": len(acknowledged),
        "payouts in the database": len(rows),
        **{f"payouts {state}": count for state, count in sorted(states.items())},
        "references that the provider saw": len(accounts),
        "distinct references paid": len(paid),
        "references paid twice": sum(account.moved_count > 1 for account in accounts.values()),
        "payouts paid by two references": sum(len(_paid_refs(row, accounts)) > 1 for row in rows),
        "acknowledged but missing": len(
            {promise.transaction_id for promise in acknowledged} - {row.transaction_id for row in rows}
        ),
    }
    return Verdict(figures=figures, wrong=wrong)


def _wrong_promises(rows: Sequence[Row], acknowledged: Sequence[Acknowledged]) -> Iterable[str]:
    known = {row.transaction_id: row for row in rows}
    for promise in acknowledged:
        row = known.get(promise.transaction_id)
        if row is None:
            yield f"{promise.transaction_id} was acknowledged and is missing"
        elif (row.amount, row.phone_e164) != (promise.amount, promise.phone_e164):
            yield f"{promise.transaction_id} is not what its client asked for"
    keys = Counter(row.idempotency_key for row in rows)
    yield from (f"key {key} made {count} payouts" for key, count in keys.items() if count > 1)


def _wrong_references(rows: Sequence[Row], accounts: Mapping[str, Account]) -> Iterable[str]:
    intents: dict[str, int] = defaultdict(int)
    for row in rows:
        for reference, count in row.attempts.items():
            intents[reference] += count
    for reference, account in accounts.items():
        if account.moved_count > 1:
            yield f"reference {reference} was paid {account.moved_count} times"
        if reference not in intents:
            yield f"reference {reference} was sent without a committed intent"
        elif account.submit_count > intents[reference]:
            yield f"reference {reference} was sent {account.submit_count} times on {intents[reference]} intents"


def _paid_refs(row: Row, accounts: Mapping[str, Account]) -> list[str]:
    return [ref for ref in row.attempts if ref in accounts and accounts[ref].moved_count]


def _wrong_row(row: Row, accounts: Mapping[str, Account], *, look_up: bool) -> Iterable[str]:
    name = f"payout {row.transaction_id} ({row.status}, {row.status_reason})"
    paid = _paid_refs(row, accounts)
    if len(paid) > 1:
        yield f"{name} was paid by {len(paid)} references"
    for reference in paid:
        account = accounts[reference]
        expected = (row.amount * account.moved_count, [row.currency], [row.phone_e164])
        if (account.amount, list(account.currencies), list(account.msisdns)) != expected:
            yield f"{name}: other money moved than asked for"
    if row.status == "CONFIRMED" and not paid:
        yield f"{name}: no money moved"
    if row.status in ("FAILED", "CANCELLED") and paid:
        yield f"{name}: money moved"
    if row.status in ("PENDING", "SENT"):
        yield f"{name} is left over"
    taken = [ref for ref in row.attempts if ref in accounts and accounts[ref].accepted_count]
    if row.status == "REVIEW" and taken and (look_up or row.provider_ref is not None):
        yield f"{name}: the provider could be asked, and knows it"
    yield from (f"{name}: {problem}" for problem in _wrong_history(row))


def _wrong_history(row: Row) -> Iterable[str]:
    versions = [version for version, _ in row.events]
    if not versions or versions != list(range(versions[0], versions[0] + len(versions))):
        yield f"its history has gaps: versions {versions}"
        return
    if row.events[-1] != (row.version, row.status):
        yield f"its history ends with {row.events[-1]}, its row with {(row.version, row.status)}"
    if sum(state in FINAL for _, state in row.events) > 1:
        yield "it was settled more than once"
