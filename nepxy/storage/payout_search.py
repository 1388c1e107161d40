"""Finding payouts for operators: newest first, and never at the price of reading what settled long ago.

A search is driven by one of five things, each of which an index serves: the few rows in flight; one client's rows; a
person's; a reference; the ids of a range of time (a UUIDv7 begins with one). What else narrows it is looked at row by
row, so `problem_of` refuses a search that could look at everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import peewee

from nepxy.engine.payout import FINAL, Payout, Status, TransactionId
from nepxy.storage.payouts import COLUMN_NAMES, first_id_of, sound_payout_of

RANGE_MAX: Final = timedelta(days=31)
"""The longest range of time that is searched row by row."""
REFERENCES_MAX: Final = 200
"""Payouts that one reference may name: `external_ref` need not be unique."""
IN_FLIGHT: Final = tuple(status for status in Status if status not in FINAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutSearch:
    """What payouts are wanted; None or empty: whichever."""

    statuses: tuple[Status, ...] = ()
    provider: str | None = None
    client_id: str | None = None
    retryable: bool | None = None
    unchanged_since: datetime | None = None
    """In flight, and without a transition since then."""
    created_before: datetime | None = None
    in_doubt: bool = False
    error: str | None = None
    """In `last_error` or `status_reason`, whatever the case."""
    amount_min: int | None = None
    amount_max: int | None = None
    phone: str | None = None
    """A whole number, with `+`."""
    phone_ends: str | None = None
    """Its last digits."""
    reference: str | None = None
    """`transaction_id`, `submission_ref`, `external_ref` or `provider_ref`."""
    created_from: datetime | None = None
    created_to: datetime | None = None

    @property
    def is_of_what_is_in_flight(self) -> bool:
        """Whether nothing that is settled can be meant."""
        unsettled = bool(self.statuses) and not set(self.statuses) & FINAL
        return unsettled or self.unchanged_since is not None or self.in_doubt

    @property
    def is_anchored(self) -> bool:
        """Whether an index leads to a part that is not all of history."""
        known = (self.client_id, self.reference, self.phone)
        return any(one is not None for one in known) or self._has_short_range

    @property
    def looks_at_rows(self) -> bool:
        """Whether rows are left out by what no index knows."""
        return any(
            wanted not in (None, (), False)
            for wanted in (
                self.statuses,
                self.provider,
                self.error,
                self.amount_min,
                self.amount_max,
                self.phone_ends,
            )
        ) or (self.retryable is not None)

    @property
    def _has_short_range(self) -> bool:
        if self.created_from is None:
            return False
        end = self.created_to or datetime.now(UTC)
        return end - self.created_from <= RANGE_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPayout:
    """A payout, with what only its row knows."""

    payout: Payout
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPage:
    """A page of them."""

    found: tuple[FoundPayout, ...]
    next_before: TransactionId | None
    """Where the next page begins; None: this is the last."""


def problem_of(search: PayoutSearch) -> str | None:
    """Why this search might read all of history, and what to add; None: it does not."""
    if search.is_of_what_is_in_flight or search.is_anchored or not search.looks_at_rows:
        return None
    return (
        "settled payouts are searched only by client_id, reference, a whole phone number, or within a range of time: "
        f"add one of these, or created_from (at most {RANGE_MAX.days} days before created_to), "
        "or ask only for what is in flight with status=PENDING,SENT,REVIEW"
    )


def find_payout(database: peewee.Database, transaction_id: TransactionId) -> FoundPayout | None:
    """One payout, whoever's it is."""
    rows = database.execute_sql(
        f"SELECT {SELECTED} FROM app.mobile_money_payouts p WHERE p.transaction_id = %s", (transaction_id,)
    ).fetchall()
    return next((found for row in rows if (found := found_payout_of(row)) is not None), None)


def search_payouts(
    database: peewee.Database,
    search: PayoutSearch,
    *,
    providers: Sequence[str],
    before: TransactionId | None,
    limit: int,
) -> FoundPage:
    """A page of payouts, newest first; a row that contradicts itself is left out (and logged).

    Args:
        database: where.
        search: one without a `problem_of`.
        providers: all that are known: by them a provider's reference is looked up.
        before: where the page begins; None: at the newest.
        limit: of the page.
    """
    conditions, params = _conditions(search)
    if search.reference is not None:
        named = payouts_named(database, search.reference, providers=providers, client_id=search.client_id)
        if not named:
            return FoundPage(found=(), next_before=None)
        conditions.append("p.transaction_id = ANY(%s::uuid[])")
        params.append(named)
    if before is not None:
        conditions.append("p.transaction_id < %s::uuid")
        params.append(before)
    where = " AND ".join(conditions) or "true"
    if search.is_of_what_is_in_flight or search.phone is not None:
        # Materialised, so that the index on what is in flight, or on numbers, leads: by the order of ids it would walk
        # through what is settled.
        flying = "p.settled_at IS NULL" if search.is_of_what_is_in_flight else "true"
        sql = f"""WITH few AS MATERIALIZED (
            SELECT p.* FROM app.mobile_money_payouts p WHERE {flying} AND {where})
        SELECT {SELECTED} FROM few p ORDER BY p.transaction_id DESC LIMIT %s"""
    else:
        sql = f"""SELECT {SELECTED} FROM app.mobile_money_payouts p WHERE {where}
        ORDER BY p.transaction_id DESC LIMIT %s"""
    # One more than asked for tells whether there is another page.
    rows = database.execute_sql(sql, (*params, limit + 1)).fetchall()
    shown, more = rows[:limit], len(rows) > limit
    return FoundPage(
        found=tuple(found for row in shown if (found := found_payout_of(row)) is not None),
        next_before=TransactionId(str(shown[-1][_ID])) if more else None,
    )


SELECTED: Final = ", ".join(f"p.{name}" for name in (*COLUMN_NAMES, "updated_at"))
_ID: Final = COLUMN_NAMES.index("transaction_id")


def found_payout_of(row: tuple[Any, ...]) -> FoundPayout | None:
    """A row in the order of `SELECTED`; None: it contradicts itself."""
    payout = sound_payout_of(row[:-1])
    return None if payout is None else FoundPayout(payout=payout, updated_at=row[-1].astimezone(UTC))


def _conditions(search: PayoutSearch) -> tuple[list[str], list[Any]]:
    suffix = None if search.phone_ends is None else f"%{search.phone_ends}"
    low = None if search.created_from is None else first_id_of(search.created_from, early_s=5)
    # Ids and `created_at` are taken one after the other: a little more by id, and exactly by `created_at`.
    high = None if search.created_to is None else first_id_of(search.created_to, early_s=-5)
    old = None if search.created_before is None else first_id_of(search.created_before, early_s=-5)
    known: tuple[tuple[str, Any], ...] = (
        ("p.status = ANY(%s)", [status.value for status in search.statuses] or None),
        ("p.provider = %s", search.provider),
        ("p.client_id = %s", search.client_id),
        ("p.retryable = %s", search.retryable),
        ("p.updated_at <= %s", search.unchanged_since),
        ("p.transaction_id < %s::uuid", old),
        ("p.created_at <= %s", search.created_before),
        (
            "position(lower(%s) in lower(p.status_reason || ' ' || coalesce(p.last_error, ''))) > 0",
            search.error,
        ),
        ("p.amount >= %s", search.amount_min),
        ("p.amount <= %s", search.amount_max),
        ("p.phone_e164 = %s", search.phone),
        ("p.phone_e164 LIKE %s", suffix),
        ("p.transaction_id >= %s::uuid", low),
        ("p.created_at >= %s", search.created_from),
        ("p.transaction_id < %s::uuid", high),
        ("p.created_at < %s", search.created_to),
    )
    conditions = [text for text, value in known if value is not None]
    params = [value for _, value in known if value is not None]
    if search.in_doubt:
        conditions.append("p.in_doubt_since IS NOT NULL")
    return conditions, params


# Each branch by an index that is there anyway. What was never sent has its reference in its row alone, and is in flight
# (or was stopped before anybody else could know the reference).
_NAMED: Final = """
SELECT app.uuid_or_null(%(ref)s)
UNION
SELECT a.transaction_id FROM app.payout_attempts a WHERE a.submission_ref = app.uuid_or_null(%(ref)s)
UNION
SELECT p.transaction_id FROM app.mobile_money_payouts p
    WHERE p.settled_at IS NULL AND p.submission_ref = app.uuid_or_null(%(ref)s)
UNION
SELECT p.transaction_id FROM app.mobile_money_payouts p
    WHERE p.provider = ANY(%(providers)s) AND p.provider_ref = %(ref)s
UNION
SELECT a.transaction_id FROM app.payout_attempts a
    WHERE a.provider = ANY(%(providers)s) AND a.provider_ref = %(ref)s
"""

_OF_CLIENT: Final = """
SELECT p.transaction_id FROM app.mobile_money_payouts p
WHERE p.client_id = %(client_id)s AND p.external_ref = %(ref)s
ORDER BY p.transaction_id DESC LIMIT %(limit)s"""

# From client to client by the index that begins with it: as many steps as there are clients.
_OF_ANY_CLIENT: Final = """
WITH RECURSIVE clients AS (
    (SELECT p.client_id FROM app.mobile_money_payouts p ORDER BY p.client_id LIMIT 1)
    UNION ALL
    SELECT (SELECT p.client_id FROM app.mobile_money_payouts p WHERE p.client_id > c.client_id
            ORDER BY p.client_id LIMIT 1)
    FROM clients c WHERE c.client_id IS NOT NULL)
SELECT f.transaction_id FROM clients c CROSS JOIN LATERAL (
    SELECT p.transaction_id FROM app.mobile_money_payouts p
    WHERE p.client_id = c.client_id AND p.external_ref = %(ref)s LIMIT %(limit)s) f
LIMIT %(limit)s"""


def payouts_named(
    database: peewee.Database, reference: str, *, providers: Sequence[str], client_id: str | None = None
) -> list[str]:
    """The ids of the payouts that any reference names, ours, the provider's or the client's; `REFERENCES_MAX` at most.

    Not each id need be a payout's: a UUID is taken for a `transaction_id` unseen.
    """
    params = {
        "ref": reference,
        "providers": list(providers),
        "client_id": client_id,
        "limit": REFERENCES_MAX,
    }
    ours = database.execute_sql(_NAMED, params).fetchall()
    theirs = database.execute_sql(_OF_CLIENT if client_id else _OF_ANY_CLIENT, params).fetchall()
    return sorted({str(row[0]) for row in (*ours, *theirs) if row[0] is not None}, reverse=True)
