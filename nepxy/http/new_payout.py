"""From a valid request to what the journal writes; and whether another request with the same key is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
import peewee

from nepxy.config.groups import LimitSettings
from nepxy.engine.payout import Payout, TransactionId
from nepxy.engine.references import submission_ref
from nepxy.engine.routing import Choice
from nepxy.errors import IdempotencyConflict
from nepxy.http.bodies import canonical
from nepxy.http.schemas import PayoutRequest
from nepxy.http.views import accepted_view
from nepxy.storage.models import IdempotencyKey
from nepxy.storage.writes import CreatePayout, KeyKnown

FIRST_LOOK_S: Final = 60.0
"""When recovery first looks for a payout that nobody has in memory. Not sooner: `decide` leaves `next_retry_at` alone
where it lies beyond `answer_by`, so that the first intent is a HOT update of an indexed column's row."""

ACCEPTED_STATUS: Final = 202


def new_payout(
    wanted: PayoutRequest,
    *,
    client_id: str,
    idempotency_key: str,
    choice: Choice,
    transaction_id: TransactionId,
    installation_id: str,
    now: datetime,
    expires_after_h: float,
) -> Payout:
    """The payout that a request asks for, as it is first committed."""
    return Payout(
        transaction_id=transaction_id,
        client_id=client_id,
        idempotency_key=idempotency_key,
        provider=choice.provider,
        amount=wanted.amount,
        currency=wanted.currency,
        phone_e164=wanted.phone_e164,
        country=wanted.country,
        external_ref=wanted.external_ref,
        submission_ref=submission_ref(
            installation_id=installation_id,
            client_id=client_id,
            idempotency_key=idempotency_key,
            generation=0,
        ),
        next_retry_at=now + timedelta(seconds=FIRST_LOOK_S),
        expires_at=wanted.expires_at or now + timedelta(hours=expires_after_h),
        created_at=now,
        details=_details(wanted, choice),
    )


def creation(
    payout: Payout,
    wanted: PayoutRequest,
    *,
    route_reason: str,
    write_id: str,
    request_id: str,
    external_ref_unique: bool,
    limits: LimitSettings | None,
) -> CreatePayout:
    """What is committed: the payout with its idempotency record, and the very bytes of the answer."""
    body = canonical(wanted.normalised())
    return CreatePayout(
        payout=payout,
        write_id=write_id,
        request_id=request_id,
        request_hash=hash_of(body),
        request_body=body,
        response_status=ACCEPTED_STATUS,
        response_body=accepted_view(payout, route_reason=route_reason).model_dump_json(),
        external_ref_unique=external_ref_unique,
        limits=limits,
    )


def hash_of(body: str) -> str:
    """By what two normalised requests are compared."""
    return hashlib.sha256(body.encode()).hexdigest()


def check_same_request(known: KeyKnown, wanted: PayoutRequest) -> None:
    """Hold a request against the one that its key names.

    Raises:
        IdempotencyConflict: it is another one; names the fields that differ.
    """
    body = canonical(wanted.normalised())
    if hash_of(body) != known.request_hash:
        raise IdempotencyConflict(_differing(orjson.loads(known.request_body), orjson.loads(body)))


def find_key(database: peewee.Database, client_id: str, idempotency_key: str) -> KeyKnown | None:
    """What is stored under a key, for a request that may not be taken now and may have been taken before."""
    query = IdempotencyKey.select().where(
        (IdempotencyKey.client_id == client_id) & (IdempotencyKey.idempotency_key == idempotency_key)
    )
    for row in query.execute(database):
        return KeyKnown(
            transaction_id=TransactionId(str(row.transaction_id)),
            request_hash=row.request_hash,
            request_body=row.request_body,
            response_status=row.response_status,
            response_body=row.response_body,
        )
    return None


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def _details(wanted: PayoutRequest, choice: Choice) -> str:
    kept = wanted.model_dump(
        mode="json", exclude_none=True, include={"recipient", "sender", "purpose", "note", "metadata"}
    )
    return canonical(kept | {"route_reason": choice.reason})
