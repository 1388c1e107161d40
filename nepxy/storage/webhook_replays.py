"""Whether a webhook has settled something before: a signed body holds for ever, so it may come again at any time."""

from __future__ import annotations

from dataclasses import dataclass

import peewee

from nepxy.engine.payout import Status, TransactionId

# From the references to the payout and from there to its few webhooks: each step by an index that is there anyway.
_APPLIED = """
SELECT w.transaction_id, o.status FROM app.webhook_events w
JOIN app.mobile_money_payouts o ON o.transaction_id = w.transaction_id
WHERE w.transaction_id IN (
    SELECT p.transaction_id FROM app.mobile_money_payouts p
        WHERE p.provider = %(provider)s AND p.provider_ref = %(provider_ref)s
    UNION ALL
    SELECT a.transaction_id FROM app.payout_attempts a
        WHERE a.provider = %(provider)s AND a.provider_ref = %(provider_ref)s
    UNION ALL
    SELECT a.transaction_id FROM app.payout_attempts a
        WHERE a.submission_ref = app.uuid_or_null(%(our_ref)s)
    UNION ALL
    SELECT app.uuid_or_null(%(our_ref)s)
) AND w.provider = %(provider)s AND w.body_sha256 = %(body_sha256)s AND w.state = 'APPLIED' AND w.signature_valid
LIMIT 1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedBefore:
    """The payout that a body was applied to, as it stands now."""

    transaction_id: TransactionId
    status: Status


def applied_before(
    database: peewee.Database,
    *,
    provider: str,
    provider_ref: str | None,
    our_ref: str | None,
    body_sha256: str,
) -> AppliedBefore | None:
    """The payout to which this provider's very body was applied before; None: it is new, or changed nothing."""
    values = {
        "provider": provider,
        "provider_ref": provider_ref,
        "our_ref": our_ref,
        "body_sha256": body_sha256,
    }
    row = database.execute_sql(_APPLIED, values).fetchone()
    if row is None:
        return None
    return AppliedBefore(transaction_id=TransactionId(str(row[0])), status=Status(row[1]))
