"""Payouts and events as clients see them: whole phone numbers and people's names stay inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from nepxy.config.masking import mask_phone
from nepxy.engine.failures import FailureCode, failure_code
from nepxy.engine.payout import Payout, TransactionId
from nepxy.http.schemas import EventView, Links, PayoutAccepted, PayoutView
from nepxy.storage.payouts import EventRecord

_MASKED_EVIDENCE: Final = ("call", "request", "answer", "rule")
"""Free text, which was masked when it was stored; ids beside it must stay whole."""

NO_FAILURES: Final[Mapping[str, FailureCode]] = {}


def location_of(transaction_id: str) -> str:
    """The path of a payout."""
    return f"/v1/payouts/{transaction_id}"


def accepted_view(payout: Payout, *, route_reason: str) -> PayoutAccepted:
    """The answer to the request that made this payout."""
    return PayoutAccepted(
        transaction_id=payout.transaction_id,
        status=payout.status.value,
        provider=payout.provider,
        route_reason=route_reason,
        amount=payout.amount,
        currency=payout.currency,
        phone_masked=mask_phone(payout.phone_e164),
        country=payout.country,
        external_ref=payout.external_ref,
        created_at=payout.created_at,
        expires_at=payout.expires_at,
        links=_links(payout.transaction_id),
    )


def payout_view(
    payout: Payout,
    *,
    explanation: str | None = None,
    failures: Mapping[str, FailureCode] = NO_FAILURES,
) -> PayoutView:
    """A payout as last committed.

    Args:
        payout: it.
        explanation: why it is where it is.
        failures: what its provider's reasons mean, from its capabilities.
    """
    details = _details(payout)
    return PayoutView(
        transaction_id=payout.transaction_id,
        status=payout.status.value,
        status_reason=payout.status_reason,
        failure_code=failure_code(payout, failures),
        explanation=explanation,
        provider=payout.provider,
        route_reason=details.get("route_reason"),
        amount=payout.amount,
        currency=payout.currency,
        phone_masked=mask_phone(payout.phone_e164),
        country=payout.country,
        external_ref=payout.external_ref,
        purpose=details.get("purpose"),
        note=details.get("note"),
        metadata=details.get("metadata"),
        submission_ref=payout.submission_ref,
        provider_ref=payout.provider_ref,
        attempt_count=payout.attempt_count,
        last_attempt_at=payout.last_attempt_at,
        next_retry_at=payout.next_retry_at,
        in_doubt_since=payout.in_doubt_since,
        expires_at=payout.expires_at,
        retryable=payout.retryable,
        last_error=mask_phone(payout.last_error) if payout.last_error is not None else None,
        version=payout.version,
        created_at=payout.created_at,
        settled_at=payout.settled_at,
        links=_links(payout.transaction_id),
    )


def event_view(record: EventRecord) -> EventView:
    """One transition."""
    evidence = {
        name: mask_phone(value) if name in _MASKED_EVIDENCE and isinstance(value, str) else value
        for name, value in record.evidence.items()
    }
    return EventView(
        version=record.version,
        at=record.at,
        from_status=record.from_status,
        to_status=record.to_status,
        why=record.why,
        who=record.who,
        reference=record.reference,
        attempt=record.attempt,
        evidence=evidence,
        request_id=record.request_id,
    )


def _links(transaction_id: TransactionId) -> Links:
    path = location_of(transaction_id)
    return Links(self=path, events=f"{path}/events", cancel=f"{path}/cancel")


def _details(payout: Payout) -> dict[str, Any]:
    """The request's own JSON; a row that somebody wrote by hand may hold anything."""
    try:
        details = orjson.loads(payout.details)
    except orjson.JSONDecodeError:
        return {}
    return details if isinstance(details, dict) else {}
