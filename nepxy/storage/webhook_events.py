"""Stored webhooks as operators look at them: newest first, one, those of a payout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import peewee

from nepxy.engine.payout import TransactionId
from nepxy.storage.payout_search import payouts_named
from nepxy.storage.payouts import first_id_of
from nepxy.storage.writes import WebhookRow


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRecord:
    """A webhook as it came, and what became of it; without headers and body."""

    webhook_id: str
    provider: str
    received_at: datetime
    state: str
    reason: str
    signature_valid: bool
    signed_with: str | None
    provider_ref: str | None
    our_ref: str | None
    external_ref: str | None
    status_word: str | None
    transaction_id: str | None
    applied_at: datetime | None
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeWebhook:
    """The same with headers, body and what it was checked by."""

    record: WebhookRecord
    headers: dict[str, Any]
    body: str
    body_sha256: str

    def row(self) -> WebhookRow:
        """As the journal knows it: given again under its own id, it is the same row."""
        record = self.record
        return WebhookRow(
            webhook_id=record.webhook_id,
            provider=record.provider,
            signature_valid=record.signature_valid,
            signed_with=record.signed_with,
            provider_ref=record.provider_ref,
            our_ref=record.our_ref,
            external_ref=record.external_ref,
            status_word=record.status_word,
            headers=orjson.dumps(self.headers).decode(),
            body=self.body,
            body_sha256=self.body_sha256,
            request_id=record.request_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSearch:
    """What webhooks are wanted; None: whichever."""

    provider: str | None = None
    state: str | None = None
    signature_valid: bool | None = None
    reason: str | None = None
    since: datetime | None = None
    reference: str | None = None

    @property
    def needs_since(self) -> bool:
        """Whether it could read all that ever came: no index leads to what it wants, and something is left out."""
        led = (
            self.reference is not None or self.state in ("INVALID", "PARKED") or self.signature_valid is False
        )
        narrowed = (self.provider, self.state, self.signature_valid, self.reason) != (None,) * 4
        return narrowed and not led and self.since is None


_COLUMNS: Final = """w.webhook_id::text, w.provider, w.received_at, w.state, w.reason, w.signature_valid, w.signed_with,
    w.provider_ref, w.our_ref, w.external_ref, w.status_word, w.transaction_id::text, w.applied_at, w.request_id"""


def search_webhooks(
    database: peewee.Database,
    search: WebhookSearch,
    *,
    providers: Sequence[str],
    before: str | None,
    limit: int,
) -> list[WebhookRecord]:
    """Webhooks, newest first, older than `before`; ids are UUIDv7, so their order is that of arrival."""
    since = None if search.since is None else first_id_of(search.since, early_s=5)
    known: tuple[tuple[str, Any], ...] = (
        ("w.provider = %s", search.provider),
        ("w.state = %s", search.state),
        ("w.reason = %s", search.reason),
        ("w.webhook_id >= %s::uuid", since),
        ("w.received_at >= %s", search.since),
        ("w.webhook_id < %s::uuid", before),
    )
    conditions = [text for text, value in known if value is not None]
    params = [value for _, value in known if value is not None]
    if search.signature_valid is not None:
        # As the partial index has it.
        conditions.append("w.signature_valid" if search.signature_valid else "NOT w.signature_valid")
    if search.reference is not None:
        conditions.append("w.webhook_id = ANY(%s::uuid[])")
        params.append(_named(database, search.reference, providers))
    where = " AND ".join(conditions) or "true"
    sql = f"""SELECT {_COLUMNS} FROM app.webhook_events w WHERE {where} ORDER BY w.webhook_id DESC LIMIT %s"""
    return [_record(row) for row in database.execute_sql(sql, (*params, limit)).fetchall()]


def find_webhook(database: peewee.Database, webhook_id: str) -> WholeWebhook | None:
    """One, with all that was kept of it."""
    row = database.execute_sql(
        f"SELECT {_COLUMNS}, w.headers, w.body, w.body_sha256 FROM app.webhook_events w WHERE w.webhook_id = %s",
        (webhook_id,),
    ).fetchone()
    if row is None:
        return None
    headers, body, body_sha256 = row[-3:]
    return WholeWebhook(
        record=_record(row[:-3]),
        headers=orjson.loads(headers) if isinstance(headers, str) else headers,
        body=body,
        body_sha256=body_sha256,
    )


def payout_webhooks(
    database: peewee.Database, transaction_id: TransactionId, *, limit: int = 200
) -> list[WebhookRecord]:
    """Those that were found to speak of a payout, oldest first."""
    sql = f"""SELECT {_COLUMNS} FROM app.webhook_events w WHERE w.transaction_id = %s
        ORDER BY w.webhook_id LIMIT %s"""
    return [_record(row) for row in database.execute_sql(sql, (transaction_id, limit)).fetchall()]


def learn_references(database: peewee.Database, row: WebhookRow) -> None:
    """What a webhook names, where it could not be read when it came."""
    database.execute_sql(
        """UPDATE app.webhook_events SET provider_ref = %s, our_ref = %s, external_ref = %s, status_word = %s
        WHERE webhook_id = %s AND state = 'INVALID'""",
        (row.provider_ref, row.our_ref, row.external_ref, row.status_word, row.webhook_id),
    )


# Of payouts by the index on them; of what found none yet, by the partial ones on what is parked.
_NAMED: Final = """
SELECT w.webhook_id FROM app.webhook_events w WHERE w.webhook_id = app.uuid_or_null(%(ref)s)
UNION
SELECT w.webhook_id FROM app.webhook_events w WHERE w.transaction_id = ANY(%(payouts)s::uuid[])
UNION
SELECT w.webhook_id FROM app.webhook_events w
    WHERE w.state = 'PARKED' AND w.provider = ANY(%(providers)s) AND w.provider_ref = %(ref)s
UNION
SELECT w.webhook_id FROM app.webhook_events w WHERE w.state = 'PARKED' AND w.our_ref = %(ref)s
LIMIT 2000"""


def _named(database: peewee.Database, reference: str, providers: Sequence[str]) -> list[str]:
    payouts = payouts_named(database, reference, providers=providers)
    params = {"ref": reference, "payouts": payouts, "providers": list(providers)}
    return [str(row[0]) for row in database.execute_sql(_NAMED, params).fetchall()]


def _record(row: tuple[Any, ...]) -> WebhookRecord:
    fields = dict(zip(WebhookRecord.__slots__, row, strict=True))
    for name, value in fields.items():
        if isinstance(value, datetime):
            fields[name] = value.astimezone(UTC)
    return WebhookRecord(**fields)
