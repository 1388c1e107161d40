"""The document's words on what clients use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nepxy.http.api_docs.operation import Caller, Header, Operation, Success
from nepxy.http.auth import PAYOUTS_READ, PAYOUTS_WRITE
from nepxy.http.schemas import (
    EventPage,
    ListQuery,
    PayoutAccepted,
    PayoutPage,
    PayoutRequest,
    PayoutView,
    TokenAnswer,
    TokenRequest,
)

_GROUP: Final = "Payouts"
_ONE: Final = "/v1/payouts/{transaction_id}"
ENGINE_AWAY: Final = ("DRAINING", "NODE_STANDBY", "ENGINE_BUSY", "ENGINE_TIMEOUT")

CLIENT_OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/v1/auth/token"): Operation(
        summary="Exchange credentials for an access token",
        details="OAuth 2.0 client credentials (RFC 6749, section 4.4): by HTTP Basic or in the body, not both.",
        group="Tokens",
        body=TokenRequest,
        body_types=("application/json", "application/x-www-form-urlencoded"),
        answers={200: Success(description="A token.", schema=TokenAnswer)},
        errors=("CLIENT_CREDENTIALS_INVALID", "CLIENT_DISABLED", "TOO_MANY_TRIES", "DATABASE_UNAVAILABLE"),
    ),
    ("POST", "/v1/payouts"): Operation(
        summary="Make a payout",
        details=(
            "Answered once it is committed. The same key and body give the same answer again, byte for byte, with "
            "`Idempotency-Replayed: true`; so after a time-out or a 503, repeat it. `LIMIT_EXCEEDED` carries `limit`, "
            "`limit_max`, `used`, `asked`, for an amount its `currency`, and `frees_at` unless it never fits; days and "
            "months are UTC's, each currency is counted by itself, and what ended FAILED or CANCELLED is not counted. "
            "Where corridors are limited, `sender.country` is required."
        ),
        group=_GROUP,
        caller=Caller.CLIENT,
        scope=PAYOUTS_WRITE,
        body=PayoutRequest,
        headers=(
            Header(
                name="Idempotency-Key",
                description="Names the request: one for each payout; 1 to 255 visible ASCII characters.",
                required=True,
                schema={"type": "string", "pattern": "^[!-~]{1,255}$"},
            ),
        ),
        answers={
            202: Success(
                description="Committed; it will be paid once.",
                schema=PayoutAccepted,
                headers={
                    "Location": "The payout's path.",
                    "Idempotency-Replayed": "`true` where the answer was given before.",
                },
            )
        },
        errors=(
            "IDEMPOTENCY_KEY_MISSING",
            "IDEMPOTENCY_KEY_INVALID",
            "IDEMPOTENCY_CONFLICT",
            "DUPLICATE_EXTERNAL_REF",
            "PROVIDER_UNKNOWN",
            "PROVIDER_DISABLED",
            "LIMIT_EXCEEDED",
            "CORRIDOR_NOT_SERVED",
            "INTAKE_PAUSED",
            *ENGINE_AWAY,
        ),
    ),
    ("GET", "/v1/payouts"): Operation(
        summary="List the client's payouts, newest first",
        group=_GROUP,
        caller=Caller.CLIENT,
        scope=PAYOUTS_READ,
        query=ListQuery,
        answers={200: Success(description="A page.", schema=PayoutPage)},
        errors=("CURSOR_INVALID",),
    ),
    ("GET", _ONE): Operation(
        summary="Read a payout, with why it is where it is",
        group=_GROUP,
        caller=Caller.CLIENT,
        scope=PAYOUTS_READ,
        answers={200: Success(description="As last committed.", schema=PayoutView)},
        errors=("PAYOUT_NOT_FOUND",),
    ),
    ("GET", f"{_ONE}/events"): Operation(
        summary="Read a payout's history, oldest first",
        group=_GROUP,
        caller=Caller.CLIENT,
        scope=PAYOUTS_READ,
        answers={200: Success(description="Every transition, with what proved it.", schema=EventPage)},
        errors=("PAYOUT_NOT_FOUND",),
    ),
    ("POST", f"{_ONE}/cancel"): Operation(
        summary="Stop a payout that was not sent",
        group=_GROUP,
        caller=Caller.CLIENT,
        scope=PAYOUTS_WRITE,
        answers={200: Success(description="It is cancelled, now or before.", schema=PayoutView)},
        errors=("PAYOUT_NOT_FOUND", "PAYOUT_NOT_CANCELLABLE", *ENGINE_AWAY),
    ),
}
