"""Ids that come from outside: what they may look like."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from nepxy.engine.payout import TransactionId
from nepxy.errors import IdempotencyKeyInvalid, IdempotencyKeyMissing

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def as_transaction_id(text: str) -> TransactionId | None:
    """The id in its canonical form; None: it cannot be one, and need not be looked for."""
    lower = text.lower()
    return TransactionId(lower) if _UUID.fullmatch(lower) else None


def request_id_from(header: str | None, new_id: Callable[[], str]) -> str:
    """The caller's own request id if it is fit for logs and headers, else a new one."""
    return header if header is not None and _REQUEST_ID.fullmatch(header) else new_id()


def idempotency_key_from(headers: list[str]) -> str:
    """The one key of a request that moves money.

    Raises:
        IdempotencyKeyMissing, IdempotencyKeyInvalid: there is none, or none that can be kept.
    """
    if not headers:
        raise IdempotencyKeyMissing
    if len(headers) > 1:
        raise IdempotencyKeyInvalid("came more than once")
    if not _IDEMPOTENCY_KEY.fullmatch(headers[0]):
        raise IdempotencyKeyInvalid("is not 1 to 255 visible ASCII characters")
    return headers[0]
