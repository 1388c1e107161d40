"""Reading stored webhooks back: those that wait for their payout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import peewee

from nepxy.engine.payout import SubmissionRef, TransactionId
from nepxy.storage.writes import WebhookRow


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWebhook:
    """A parked webhook, and the payout that it turned out to speak of."""

    webhook: WebhookRow
    transaction_id: TransactionId
    reference: SubmissionRef


_COLUMNS = """w.webhook_id, w.provider, w.signature_valid, w.signed_with, w.provider_ref, w.our_ref, w.external_ref,
    w.status_word, w.headers::text, w.body, w.body_sha256, w.request_id, f.transaction_id, f.reference"""

# Both ways in which a webhook names its payout; the partial index on parked webhooks drives it.
_JOINED = f"""
SELECT DISTINCT ON (w.webhook_id) {_COLUMNS}
FROM app.webhook_events w CROSS JOIN LATERAL (
    SELECT p.transaction_id, p.submission_ref AS reference, 1 AS rank FROM app.mobile_money_payouts p
        WHERE p.provider = w.provider AND p.provider_ref = w.provider_ref
    UNION ALL
    SELECT a.transaction_id, a.submission_ref, 2 FROM app.payout_attempts a
        WHERE a.provider = w.provider AND a.provider_ref = w.provider_ref
    UNION ALL
    SELECT a.transaction_id, a.submission_ref, 3 FROM app.payout_attempts a
        WHERE a.provider = w.provider AND a.submission_ref = app.uuid_or_null(w.our_ref)
    UNION ALL
    SELECT p.transaction_id, p.submission_ref, 4 FROM app.mobile_money_payouts p
        WHERE p.provider = w.provider AND p.transaction_id = app.uuid_or_null(w.our_ref)
) f
WHERE w.state = 'PARKED'"""


def parked_webhooks(database: peewee.Database, webhook_ids: Sequence[str]) -> list[StoredWebhook]:
    """These webhooks with their payouts, in the order in which they came."""
    sql = f"{_JOINED} AND w.webhook_id = ANY(%s::uuid[]) ORDER BY w.webhook_id, f.rank"
    return [_stored(row) for row in database.execute_sql(sql, (list(webhook_ids),)).fetchall()]


def joinable_webhooks(database: peewee.Database, *, limit: int) -> list[StoredWebhook]:
    """Parked webhooks whose payout has become known since: what the meeting missed."""
    sql = f"{_JOINED} ORDER BY w.webhook_id, f.rank LIMIT %s"
    return [_stored(row) for row in database.execute_sql(sql, (limit,)).fetchall()]


def _stored(row: tuple[Any, ...]) -> StoredWebhook:
    return StoredWebhook(
        webhook=WebhookRow(
            webhook_id=str(row[0]),
            provider=row[1],
            signature_valid=row[2],
            signed_with=row[3],
            provider_ref=row[4],
            our_ref=row[5],
            external_ref=row[6],
            status_word=row[7],
            headers=row[8],
            body=row[9],
            body_sha256=row[10],
            request_id=row[11],
        ),
        transaction_id=TransactionId(str(row[12])),
        reference=SubmissionRef(str(row[13])),
    )
