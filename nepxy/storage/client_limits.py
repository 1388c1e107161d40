"""New payouts held against what their clients may do, exactly: under a lock of each, where they are stored.

What a client has used is read from its payouts, not from counters: a counter would be one more row that every payout
and every failure of one writes, and would know nothing of the time before a limit was set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson

from nepxy.config.groups import LimitSettings
from nepxy.engine.limits import Asked, Periods, Spent, Usage, counts_day, counts_month, reached_limit
from nepxy.engine.payout import Payout
from nepxy.storage.payouts import first_id_of
from nepxy.storage.writes import CreatePayout, LookAgain, OverLimit

EARLY_S: Final = 5.0
"""By how much a payout's id may be older than its `created_at`; both are taken by one node, one after the other."""

BEGIN: Final = "BEGIN"
_PLANNING: Final = ("enable_seqscan = off", "jit = off", "seq_page_cost = 0", "random_page_cost = 0")
# The client's own index, by which the fewest rows are read, whatever the planner thinks of where they lie: it must not
# be tempted to read all payouts, or everybody's since a moment. And what it fears to find is nothing to compile for.
PLANNED: Final = "; ".join(f"SET LOCAL {one}" for one in _PLANNING)
PLANNED_AS_ALWAYS: Final = "; ".join(f"SET LOCAL {one.partition(' ')[0]} TO DEFAULT" for one in _PLANNING)
# Sorted keys: two batches that want the same two locks must want them in the same order.
LOCK_CLIENTS: Final = "SELECT pg_advisory_xact_lock(k) FROM unnest(%s::bigint[]) AS k"

# What was taken before is answered as before, whatever the limits say now: only what is new is counted.
USAGE: Final = """
WITH
asked AS MATERIALIZED (SELECT * FROM json_to_recordset(%s) AS t(n int, client_id text, idempotency_key text,
    external_ref text, external_ref_slot text)),
fresh AS MATERIALIZED (SELECT n, client_id FROM asked i
    -- Each looked up by itself: as an anti-join, all keys might be read.
    WHERE (SELECT 1 FROM app.idempotency_keys k
           WHERE k.client_id = i.client_id AND k.idempotency_key = i.idempotency_key LIMIT 1) IS NULL
      AND (SELECT 1 FROM app.mobile_money_payouts r WHERE r.client_id = i.client_id
           AND r.external_ref = i.external_ref AND r.external_ref_slot = i.external_ref_slot LIMIT 1) IS NULL),
of_client AS MATERIALIZED (SELECT * FROM json_to_recordset(%s) AS t(client_id text, first_id uuid,
    day_from timestamptz, day_to timestamptz, month_from timestamptz, month_to timestamptz, window_from timestamptz,
    window_max int, counts_receivers boolean, receivers text[])
    WHERE client_id IN (SELECT client_id FROM fresh))
SELECT c.client_id, (SELECT json_agg(n) FROM fresh f WHERE f.client_id = c.client_id), of_it.usage
FROM of_client c CROSS JOIN LATERAL (
    WITH used AS MATERIALIZED (
        SELECT p.phone_e164, p.currency, p.amount, p.created_at,
            p.created_at >= c.day_from AND p.created_at < c.day_to AS of_day,
            p.created_at >= c.month_from AND p.created_at < c.month_to AS of_month,
            p.created_at > c.window_from AS in_window
        FROM app.mobile_money_payouts p
        WHERE p.client_id = c.client_id AND p.transaction_id >= c.first_id
          AND p.status NOT IN ('FAILED', 'CANCELLED'))
    SELECT json_build_object(
        'counts', (SELECT json_build_array(count(*) FILTER (WHERE of_day), count(*) FILTER (WHERE of_month),
                count(*) FILTER (WHERE in_window)) FROM used),
        'amounts', (SELECT json_agg(json_build_array(currency, day_sum, month_sum)) FROM (
            SELECT currency, coalesce(sum(amount) FILTER (WHERE of_day), 0) AS day_sum,
                coalesce(sum(amount) FILTER (WHERE of_month), 0) AS month_sum
            FROM used GROUP BY currency) s),
        'receivers', (SELECT json_build_array(count(*) FILTER (WHERE of_day), count(*) FILTER (WHERE of_month),
                json_agg(phone_e164) FILTER (WHERE of_day AND phone_e164 = ANY (c.receivers)),
                json_agg(phone_e164) FILTER (WHERE of_month AND phone_e164 = ANY (c.receivers)))
            FROM (SELECT phone_e164, bool_or(of_day) AS of_day, bool_or(of_month) AS of_month
                FROM used WHERE c.counts_receivers GROUP BY phone_e164) r),
        'window_oldest', (SELECT json_agg(created_at ORDER BY created_at) FROM (
            SELECT created_at FROM used WHERE in_window ORDER BY created_at
            LIMIT greatest(1, (SELECT count(*) FROM used WHERE in_window) - c.window_max + 1)) o)
        ) AS usage) of_it
"""


class Executes(Protocol):
    """What is needed of a Peewee database: one statement in, a cursor out."""

    def execute_sql(self, sql: str, params: Sequence[Any] | None = None) -> Any:
        """Run the statement and return its cursor."""


def begin_and_hold_back(
    database: Executes, creates: Mapping[int, CreatePayout]
) -> dict[int, OverLimit | LookAgain]:
    """Begin a transaction that has these clients' limits to itself, and find what does not fit into them.

    The caller writes the others and commits, or rolls back: until then no other transaction counts for these clients.

    Args:
        database: in no transaction.
        creates: each with `limits`, in the order in which they came: who came first has the last place.

    Returns:
        What must not be written, by its key in `creates`.
    """
    first = _first_of_client(creates)
    params = [
        sorted({_lock_key(client_id) for client_id in first}),
        _json([_asked_row(n, create) for n, create in creates.items()]),
        _json([_client_row(create, creates) for create in first.values()]),
    ]
    # Statements of one round trip: the last one's snapshot is taken after the locks are held.
    sql = "; ".join((BEGIN, PLANNED, LOCK_CLIENTS, USAGE))
    rows = database.execute_sql(sql, params).fetchall()
    held_back: dict[int, OverLimit | LookAgain] = {}
    for client_id, fresh, usage in rows:
        one_day, others = _of_one_day(first[client_id], {n: creates[n] for n in sorted(fresh)})
        held_back.update((n, LookAgain()) for n in others)
        held_back.update(_over_limit(_usage(usage), one_day))
    return held_back


def _over_limit(usage: Usage, creates: Mapping[int, CreatePayout]) -> dict[int, OverLimit]:
    """One after the other, as each one that fits takes its place."""
    over: dict[int, OverLimit] = {}
    for n, create in creates.items():
        asked, limits = _asked(create.payout), _limits(create)
        reached = reached_limit(usage, asked, limits)
        if reached is None:
            usage = usage.plus(asked)
        else:
            over[n] = OverLimit(reached=reached)
    return over


def _of_one_day(
    first: CreatePayout, creates: Mapping[int, CreatePayout]
) -> tuple[dict[int, CreatePayout], list[int]]:
    """Those of the day for which usage was read; the others, around midnight, come again by themselves."""
    day = first.payout.created_at.date()
    one_day = {n: create for n, create in creates.items() if create.payout.created_at.date() == day}
    return one_day, [n for n in creates if n not in one_day]


def _first_of_client(creates: Mapping[int, CreatePayout]) -> dict[str, CreatePayout]:
    first: dict[str, CreatePayout] = {}
    for create in creates.values():
        known = first.setdefault(create.payout.client_id, create)
        if create.payout.created_at < known.payout.created_at:
            first[create.payout.client_id] = create
    return first


def _lock_key(client_id: str) -> int:
    """A signed 64-bit hash, of a kind of its own."""
    digest = hashlib.blake2b(f"limits of\0{client_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


# ---- in and out --------------------------------------------------------------------------------


def _asked_row(n: int, create: CreatePayout) -> dict[str, object]:
    payout = create.payout
    return {
        "n": n,
        "client_id": payout.client_id,
        "idempotency_key": payout.idempotency_key,
        "external_ref": payout.external_ref,
        "external_ref_slot": create.external_ref_slot,
    }


def _client_row(first: CreatePayout, creates: Mapping[int, CreatePayout]) -> dict[str, object]:
    client_id, limits = first.payout.client_id, _limits(first)
    periods = Periods.at(first.payout.created_at, limits)
    begins = [periods.window_from]
    begins += [periods.day_from] if counts_day(limits) else []
    begins += [periods.month_from] if counts_month(limits) else []
    return {
        "client_id": client_id,
        "first_id": first_id_of(min(begins), early_s=EARLY_S),
        "day_from": periods.day_from,
        "day_to": periods.day_to,
        "month_from": periods.month_from,
        "month_to": periods.month_to,
        "window_from": periods.window_from,
        "window_max": limits.payouts_per_window_max,
        "counts_receivers": bool(limits.receivers_per_day_max or limits.receivers_per_month_max),
        "receivers": sorted(
            {create.payout.phone_e164 for create in creates.values() if create.payout.client_id == client_id}
        ),
    }


def _limits(create: CreatePayout) -> LimitSettings:
    return create.limits or LimitSettings()


def _asked(payout: Payout) -> Asked:
    return Asked(
        at=payout.created_at,
        amount=payout.amount,
        currency=payout.currency,
        receiver=payout.phone_e164,
    )


def _usage(said: Mapping[str, Any]) -> Usage:
    of_day, of_month, in_window = said["counts"]
    receivers_of_day, receivers_of_month, known_of_day, known_of_month = said["receivers"]
    amounts = said["amounts"] or []
    return Usage(
        day=Spent(
            payouts=of_day,
            receivers=receivers_of_day,
            amounts={currency: int(day_sum) for currency, day_sum, _ in amounts},
            known=frozenset(known_of_day or ()),
        ),
        month=Spent(
            payouts=of_month,
            receivers=receivers_of_month,
            amounts={currency: int(month_sum) for currency, _, month_sum in amounts},
            known=frozenset(known_of_month or ()),
        ),
        window=in_window,
        window_oldest=tuple(
            datetime.fromisoformat(moment).astimezone(UTC) for moment in said["window_oldest"] or ()
        ),
    )


def _json(rows: Sequence[Mapping[str, object]]) -> str:
    return orjson.dumps(rows).decode()
