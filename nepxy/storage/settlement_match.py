"""A provider's settlement file against our rows: which payout a reference names, and which payouts a file lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import peewee

from nepxy.engine.payout import Payout, TransactionId
from nepxy.storage.payouts import COLUMN_NAMES, sound_payout_of
from nepxy.storage.reconcile import SCAN_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A payout that a reference of a file names."""

    payout: Payout
    is_older: bool
    """Whether it is by a reference that a newer one has taken the place of."""


# A reference may be our id, our reference or the provider's. Never the client's: another client may have the same
# (money rule 9). Each LIMIT keeps its branch from being joined otherwise than by its index, row by row: however many
# payouts there are, a batch costs the same.
NAMED: Final = f"""
WITH asked AS (SELECT DISTINCT ref, app.uuid_or_null(ref) AS id FROM unnest(%(refs)s::text[]) r(ref)),
named AS (
    SELECT DISTINCT a.ref, n.transaction_id, n.submission_ref FROM asked a CROSS JOIN LATERAL (
        (SELECT transaction_id, submission_ref, provider FROM app.payout_attempts
            WHERE submission_ref = a.id LIMIT 1)
        UNION ALL
        (SELECT transaction_id, submission_ref, provider FROM app.payout_attempts
            WHERE provider = %(provider)s AND provider_ref = a.ref LIMIT 10)
        UNION ALL
        (SELECT transaction_id, submission_ref, provider FROM app.mobile_money_payouts
            WHERE provider = %(provider)s AND provider_ref = a.ref LIMIT 1)
        UNION ALL
        (SELECT transaction_id, submission_ref, provider FROM app.mobile_money_payouts
            WHERE transaction_id = a.id LIMIT 1)) n
    WHERE n.provider = %(provider)s)
SELECT n.ref, n.submission_ref <> p.submission_ref, {", ".join(f"p.{name}" for name in COLUMN_NAMES)}
FROM named n CROSS JOIN LATERAL (
    SELECT * FROM app.mobile_money_payouts WHERE transaction_id = n.transaction_id LIMIT 1) p"""

# By the primary key, as `reconcile.SETTLED`.
CONFIRMED: Final = """
WITH scanned AS (
    SELECT transaction_id, provider, settled_at, status FROM app.mobile_money_payouts
    WHERE transaction_id < %(before)s AND transaction_id >= %(from_id)s
    ORDER BY transaction_id DESC LIMIT %(scan_max)s)
SELECT transaction_id::text, NULL FROM scanned
WHERE status = 'CONFIRMED' AND provider = %(provider)s
    AND settled_at >= %(from_at)s AND settled_at < %(to_at)s
UNION ALL
SELECT (SELECT transaction_id::text FROM scanned ORDER BY transaction_id LIMIT 1), count(*) FROM scanned"""


def named_payouts(
    database: peewee.Database, provider: str, references: Sequence[str]
) -> dict[str, list[Named]]:
    """Each reference's payouts of this provider; references that name none are left out."""
    params = {"provider": provider, "refs": list(references)}
    found: dict[str, dict[tuple[TransactionId, bool], Named]] = {}
    for ref, is_older, *row in database.execute_sql(NAMED, params).fetchall():
        payout = sound_payout_of(tuple(row))
        if payout is not None:
            named = Named(payout=payout, is_older=is_older)
            found.setdefault(ref, {})[(payout.transaction_id, is_older)] = named
    return {ref: list(named.values()) for ref, named in found.items()}


def confirmed_ids(
    database: peewee.Database,
    *,
    provider: str,
    from_at: datetime,
    to_at: datetime,
    from_id: str,
    before: str,
    scan_max: int = SCAN_MAX,
) -> tuple[list[str], str | None]:
    """What we confirmed in a period, newest first, and where the next look begins; as `reconcile.settled_ids`."""
    params = {
        "provider": provider,
        "from_at": from_at,
        "to_at": to_at,
        "from_id": from_id,
        "before": before,
        "scan_max": scan_max,
    }
    rows = database.execute_sql(CONFIRMED, params).fetchall()
    last_id, scanned_count = next(row for row in rows if row[1] is not None)
    found = sorted((str(row[0]) for row in rows if row[1] is None), reverse=True)
    return found, str(last_id) if scanned_count == scan_max else None
