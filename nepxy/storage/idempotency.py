"""What clients' idempotency keys hold, looked up by operators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import peewee

KEYS_MAX: Final = 50
"""Clients that may have used one and the same key: more are not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A client's request under a key, and what it was answered."""

    client_id: str
    idempotency_key: str
    transaction_id: str
    created_at: datetime
    request_body: str
    response_status: int
    response_body: str


_COLUMNS: Final = """k.client_id, k.idempotency_key, k.transaction_id::text, k.created_at, k.request_body,
    k.response_status, k.response_body"""

# From client to client by the primary key, which begins with it: as many steps as there are clients, not as keys.
_OF_ANY_CLIENT: Final = f"""
WITH RECURSIVE clients AS (
    (SELECT k.client_id FROM app.idempotency_keys k ORDER BY k.client_id LIMIT 1)
    UNION ALL
    SELECT (SELECT k.client_id FROM app.idempotency_keys k WHERE k.client_id > c.client_id
            ORDER BY k.client_id LIMIT 1)
    FROM clients c WHERE c.client_id IS NOT NULL)
SELECT {_COLUMNS} FROM clients c JOIN app.idempotency_keys k
    ON k.client_id = c.client_id AND k.idempotency_key = %s
ORDER BY k.created_at DESC LIMIT {KEYS_MAX}"""

_OF_CLIENT: Final = f"""
SELECT {_COLUMNS} FROM app.idempotency_keys k WHERE k.idempotency_key = %s AND k.client_id = %s"""


def keys_named(database: peewee.Database, key: str, *, client_id: str | None = None) -> list[KeyRecord]:
    """Whoever used this key, or one client's use of it; newest first."""
    if client_id is None:
        rows = database.execute_sql(_OF_ANY_CLIENT, (key,)).fetchall()
    else:
        rows = database.execute_sql(_OF_CLIENT, (key, client_id)).fetchall()
    return [_record(row) for row in rows]


def _record(row: tuple[Any, ...]) -> KeyRecord:
    fields = dict(zip(KeyRecord.__slots__, row, strict=True))
    return KeyRecord(**fields | {"created_at": fields["created_at"].astimezone(UTC)})
