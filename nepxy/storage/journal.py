"""The journal's SQL: a batch of writes as one statement, in one transaction, in one round trip.

Each kind of write goes in as one JSON array, unpacked by `json_to_recordset`: the driver quotes one string
a kind rather than one a value (measured: docs/decisions/0003-journal-as-json.md). Events, attempts and
webhooks are inserted only from the RETURNING of the guarded write, so a stale version or a losing
idempotency key writes nothing at all. The statement is its own transaction; where a batch needs advisory
locks, they are taken by a statement before it in the same round trip and the same implicit transaction. Only new
payouts whose clients have limits need more round trips: what was used is read first, under a lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
import peewee
import psycopg2

from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.payout import Payout, SubmissionRef, TransactionId, shard_of
from nepxy.storage.client_limits import PLANNED_AS_ALWAYS, begin_and_hold_back
from nepxy.storage.writes import (
    Answer,
    AuditRow,
    Created,
    CreatePayout,
    ExternalRefKnown,
    IntentDenied,
    KeepWebhook,
    KeyKnown,
    LookAgain,
    MeetWebhook,
    Met,
    Moved,
    MovePayout,
    Noted,
    NoteOnPayout,
    Parked,
    PostponePayout,
    Stale,
    WebhookRow,
    Write,
)


class Executes(Protocol):
    """What the journal needs of a Peewee database: one statement in, a cursor out, autocommit on."""

    def execute_sql(self, sql: str, params: Sequence[Any] | None = None) -> Any:
        """Run the statement and return its cursor."""


def write_batch(database: Executes, batch: Sequence[Write]) -> list[Answer]:
    """Write a batch and return each write's own answer, in the batch's order.

    The caller sees to it that no two writes of a batch speak of the same payout, idempotency key or webhook
    meeting (`conflict_keys`): inside one statement they would not see each other.

    Raises:
        peewee.PeeweeException: nothing of the batch is committed, or, where the connection broke, nobody knows:
            then `find_landed` tells.
    """
    limited = {n: w for n, w in enumerate(batch) if isinstance(w, CreatePayout) and w.limits is not None}
    if not limited:
        return list(_write(database, dict(enumerate(batch))).values())
    try:
        held_back = begin_and_hold_back(database, limited)
        rest = {n: w for n, w in enumerate(batch) if n not in held_back}
        answers = _write(database, rest, first=(PLANNED_AS_ALWAYS,)) if rest else {}
        database.execute_sql("COMMIT")
    except BaseException:
        # The error says what happened; where the connection is gone, so is the transaction.
        with suppress(peewee.PeeweeException, psycopg2.Error):
            database.execute_sql("ROLLBACK")
        raise
    return [held_back.get(n) or answers[n] for n in range(len(batch))]


def _write(database: Executes, batch: Mapping[int, Write], *, first: Sequence[str] = ()) -> dict[int, Answer]:
    """One round trip; a transaction of its own, unless there is one already."""
    numbered = list(batch.items())
    locks = sorted(
        {lock_key(provider, ref) for write in batch.values() for provider, ref in _meeting_refs(write)}
    )
    params: list[Any] = [
        _json(_create_row(n, w) for n, w in numbered if isinstance(w, CreatePayout)),
        _json(_move_row(n, w) for n, w in numbered if isinstance(w, MovePayout)),
        _json(_postpone_row(n, w) for n, w in numbered if isinstance(w, PostponePayout)),
        _json(_meet_row(n, w) for n, w in numbered if isinstance(w, MeetWebhook)),
        _json(_note_row(n, w) for n, w in numbered if isinstance(w, NoteOnPayout)),
        _json(row for n, w in numbered for row in _webhook_rows(n, w)),
        _json(row for n, w in numbered for row in _discrepancy_rows(n, w)),
        _json(_audit_row(n, w, w.audit) for n, w in numbered if isinstance(w, MovePayout) and w.audit),
    ]
    if locks:
        params.insert(0, locks)
    sql = "; ".join((*first, *([LOCKS] if locks else ()), BATCH))
    found = {row[0]: row for row in database.execute_sql(sql, params).fetchall()}
    return {n: _answer(write, found.get(n)) for n, write in numbered}


def find_landed(database: Executes, batch: Sequence[Write]) -> dict[int, Answer]:
    """After a commit of unknown outcome: which moves of the batch are committed, by their write ids (money rule 8).

    Runs under the rows' locks: while the lost transaction may still be in progress, this waits for its end, and
    where it cannot wait (lock time-out) it raises, since "still in progress" is still unknown.
    Everything but a move is idempotent and is simply written again.

    Returns:
        For each landed move its answer, by its place in the batch.
    """
    moves = {n: write for n, write in enumerate(batch) if isinstance(write, MovePayout)}
    if not moves:
        return {}
    rows = _json(
        {
            "n": n,
            "transaction_id": move.after.transaction_id,
            "version": move.after.version,
            "write_id": move.write_id,
            "provider": move.after.provider,
            "provider_ref": move.after.provider_ref if move.gains_provider_ref else None,
        }
        for n, move in moves.items()
    )
    # Two statements in one transaction: the second one's snapshot is taken after the locks are held.
    cursor = database.execute_sql(f"{LOCK_ROWS}; {FIND_LANDED}", [rows, rows])
    landed: dict[int, Answer] = {}
    for n, answer_by, parked in cursor.fetchall():
        landed[n] = _moved(moves[n], answer_by, parked)
    return landed


def conflict_keys(write: Write) -> tuple[object, ...]:
    """What this write must have to itself within a batch."""
    match write:
        case CreatePayout(payout=payout):
            return (
                ("key", payout.client_id, payout.idempotency_key),
                ("ref", payout.client_id, payout.external_ref),
            )
        case MovePayout(before=payout):
            return (("payout", payout.transaction_id), *_meeting_refs(write))
        case NoteOnPayout(payout=payout):
            return (("payout", payout.transaction_id),)
        case PostponePayout(transaction_id=transaction_id):
            return (("payout", transaction_id),)
        case MeetWebhook():
            return tuple(_meeting_refs(write))
        case KeepWebhook(webhook=webhook):
            return (("webhook", webhook.webhook_id),)


def lock_key(provider: str, reference: str) -> int:
    """The advisory lock that both sides of a webhook's meeting with its payout take: a signed 64-bit hash."""
    digest = hashlib.blake2b(f"{provider}\0{reference}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _meeting_refs(write: Write) -> Iterable[tuple[str, str]]:
    match write:
        case MovePayout(after=payout) if write.gains_provider_ref and payout.provider_ref is not None:
            yield payout.provider, payout.provider_ref
        case MeetWebhook(webhook=webhook):
            for ref in (webhook.provider_ref, webhook.our_ref):
                if ref is not None:
                    yield webhook.provider, ref
        case _:
            return


# ---- rows in -----------------------------------------------------------------------------------


def _json(rows: Iterable[Mapping[str, object]]) -> str:
    return orjson.dumps(list(rows)).decode()


def _payout_columns(payout: Payout) -> dict[str, object]:
    """Everything that a transition may change, by column name."""
    return {
        "transaction_id": payout.transaction_id,
        "version": payout.version,
        "status": payout.status.value,
        "status_reason": payout.status_reason,
        "submission_ref": payout.submission_ref,
        "generation": payout.generation,
        "provider_ref": payout.provider_ref,
        "attempt_count": payout.attempt_count,
        "unreached_count": payout.unreached_count,
        "last_attempt_at": payout.last_attempt_at,
        "next_retry_at": payout.next_retry_at,
        "in_doubt_since": payout.in_doubt_since,
        "answer_by": payout.answer_by,
        "account": payout.account,
        "taken_at": payout.taken_at,
        "repeat_barred": payout.repeat_barred,
        "retryable": payout.retryable,
        "last_error": payout.last_error,
        "settled_at": payout.settled_at,
        "expires_at": payout.expires_at,
    }


def _create_row(n: int, write: CreatePayout) -> dict[str, object]:
    payout = write.payout
    return _payout_columns(payout) | {
        "n": n,
        "client_id": payout.client_id,
        "idempotency_key": payout.idempotency_key,
        "provider": payout.provider,
        "amount": payout.amount,
        "currency": payout.currency,
        "phone_e164": payout.phone_e164,
        "country": payout.country,
        "external_ref": payout.external_ref,
        "external_ref_slot": write.external_ref_slot,
        "created_at": payout.created_at,
        "details": payout.details,
        "shard": shard_of(payout.transaction_id),
        "write_id": write.write_id,
        "request_id": write.request_id,
        "request_hash": write.request_hash,
        "request_body": write.request_body,
        "response_status": write.response_status,
        "response_body": write.response_body,
    }


def _move_row(n: int, write: MovePayout) -> dict[str, object]:
    evidence, call = write.evidence, write.leads_to_a_call
    return _payout_columns(write.after) | {
        "n": n,
        "seen_version": write.before.version,
        "from_status": write.before.status.value,
        "who": write.who,
        "why": write.why,
        "reference": evidence.reference,
        "attempt": evidence.attempt,
        "evidence": evidence_json(evidence),
        "write_id": write.write_id,
        "request_id": write.request_id,
        "gains_ref": write.gains_provider_ref,
        "closes_ref": write.before.submission_ref
        if write.after.generation > write.before.generation
        else None,
        "closed_provider_ref": write.before.provider_ref,
        "is_intent": write.intent is not None,
        "presumed": write.presumes_attempt,
        "restored_at": call.restored_at if call else None,
        "reopens": write.reopens,
        "command_id": write.audit.command_id if write.audit is not None else None,
        "step": write.step.name if write.step is not None else None,
        "owner": call.lease.owner if call else None,
        "epoch": call.lease.epoch if call else None,
        "send_window_s": call.send_window_s if call else None,
        "answer_window_s": call.answer_window_s if call else None,
        "doubt_changes": (write.before.in_doubt_since is None) != (write.after.in_doubt_since is None),
    }


def _postpone_row(n: int, write: PostponePayout) -> dict[str, object]:
    return {
        "n": n,
        "transaction_id": write.transaction_id,
        "version": write.version,
        "next_retry_at": write.until,
    }


def _meet_row(n: int, write: MeetWebhook) -> dict[str, object]:
    webhook = write.webhook
    return {
        "n": n,
        "webhook_id": webhook.webhook_id,
        "provider": webhook.provider,
        "provider_ref": webhook.provider_ref,
        "our_ref": webhook.our_ref,
    }


def _note_row(n: int, write: NoteOnPayout) -> dict[str, object]:
    return {"n": n, "transaction_id": write.payout.transaction_id, "version": write.payout.version}


def _webhook_rows(n: int, write: Write) -> Iterable[dict[str, object]]:
    match write:
        case MovePayout(webhook=WebhookRow() as webhook, after=payout):
            # What is merely noted changed nothing.
            state, reason = ("IGNORED", write.noted_as) if write.noted_as else ("APPLIED", "")
            yield _webhook_row(webhook, state, reason, payout.transaction_id) | {"after_move": n}
        case NoteOnPayout(webhook=WebhookRow() as webhook, payout=payout):
            yield _webhook_row(webhook, "IGNORED", write.webhook_reason, payout.transaction_id) | {
                "after_note": n
            }
        case MeetWebhook(webhook=webhook):
            yield _webhook_row(webhook, "PARKED", "PAYOUT_NOT_FOUND", None) | {"unless_met": n}
        case KeepWebhook(webhook=webhook):
            yield _webhook_row(webhook, "INVALID", write.reason, None)
        case _:
            return


def _webhook_row(
    webhook: WebhookRow, state: str, reason: str, transaction_id: str | None
) -> dict[str, object]:
    return {
        "webhook_id": webhook.webhook_id,
        "provider": webhook.provider,
        "state": state,
        "reason": reason,
        "signature_valid": webhook.signature_valid,
        "signed_with": webhook.signed_with,
        "provider_ref": webhook.provider_ref,
        "our_ref": webhook.our_ref,
        "external_ref": webhook.external_ref,
        "status_word": webhook.status_word,
        "transaction_id": transaction_id,
        "headers": webhook.headers,
        "body": webhook.body,
        "body_sha256": webhook.body_sha256,
        "request_id": webhook.request_id,
    }


def _discrepancy_rows(n: int, write: Write) -> Iterable[dict[str, object]]:
    match write:
        case MovePayout(discrepancy=Discrepancy() as discrepancy, after=payout, evidence=evidence):
            yield _discrepancy_row(discrepancy, payout, evidence) | {"after_move": n}
        case NoteOnPayout(discrepancy=Discrepancy() as discrepancy, payout=payout, evidence=evidence):
            yield _discrepancy_row(discrepancy, payout, evidence) | {"after_note": n}
        case _:
            return


def _discrepancy_row(
    discrepancy: Discrepancy, payout: Payout, evidence: Evidence | None
) -> dict[str, object]:
    return {
        "transaction_id": payout.transaction_id,
        "provider": payout.provider,
        "kind": discrepancy.kind,
        "detail": discrepancy.detail,
        "evidence": evidence_json(evidence),
    }


def _audit_row(n: int, write: MovePayout, audit: AuditRow) -> dict[str, object]:
    return {
        "after_move": n,
        "who": write.who,
        "command": audit.command,
        "target": f"payouts/{write.after.transaction_id}",
        "reason": audit.reason,
        "before": _audited(write.before),
        "after": _audited(write.after),
        "request_id": write.request_id,
        "command_id": audit.command_id,
        "arguments": audit.arguments,
        "approved_by": audit.approved_by,
    }


def _audited(payout: Payout) -> str:
    """What the audit log shows of a payout: enough to see what a command did, and nobody's number."""
    return orjson.dumps(
        {
            "status": payout.status.value,
            "status_reason": payout.status_reason,
            "version": payout.version,
            "submission_ref": payout.submission_ref,
            "next_retry_at": payout.next_retry_at,
        }
    ).decode()


def evidence_json(evidence: Evidence | None) -> str:
    """Evidence as stored: only what is there."""
    if evidence is None:
        return "{}"
    fields = {name: getattr(evidence, name) for name in Evidence.__slots__}
    return orjson.dumps({name: value for name, value in fields.items() if value not in (None, "")}).decode()


# ---- answers out -------------------------------------------------------------------------------


def _answer(write: Write, row: tuple[Any, ...] | None) -> Answer:
    said: dict[str, Any] = (row[1] if row is not None else None) or {}
    match write:
        case CreatePayout():
            return _created(write, said)
        case MovePayout() if said.get("landed"):
            return _moved(write, said.get("answer_by"), said.get("parked"))
        case MovePayout() if said.get("denied"):
            return IntentDenied(reason=said["denied"])
        case MovePayout():
            return Stale()
        case MeetWebhook() if said.get("transaction_id"):
            return Met(
                transaction_id=TransactionId(said["transaction_id"]),
                reference=SubmissionRef(said["reference"]),
            )
        case MeetWebhook():
            return Parked()
        case NoteOnPayout() if not said.get("seen"):
            return Stale()
        case _:
            return Noted()


def _created(write: CreatePayout, said: Mapping[str, Any]) -> Answer:
    ours = write.payout.transaction_id
    if said.get("created"):
        return Created(payout=write.payout)
    if said.get("key_transaction_id") == ours:
        return Created(payout=write.payout, earlier=True)
    if said.get("key_transaction_id"):
        return KeyKnown(
            transaction_id=TransactionId(said["key_transaction_id"]),
            request_hash=said["request_hash"],
            request_body=said["request_body"],
            response_status=said["response_status"],
            response_body=said["response_body"],
        )
    if said.get("ref_transaction_id"):
        return ExternalRefKnown(transaction_id=TransactionId(said["ref_transaction_id"]))
    return LookAgain()


def _moved(write: MovePayout, answer_by: object, parked: object) -> Moved:
    payout = write.after
    if write.leads_to_a_call is not None and answer_by is not None:
        payout = replace(payout, answer_by=_time(answer_by))
    ids = tuple(str(webhook_id) for webhook_id in parked) if isinstance(parked, (list, tuple)) else ()
    return Moved(payout=payout, parked_webhooks=ids)


def _time(value: object) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return datetime.fromisoformat(str(value)).astimezone(UTC)


# ---- the statements ----------------------------------------------------------------------------

# Sorted keys: two batches that want the same two locks must want them in the same order.
LOCKS: Final = "SELECT pg_advisory_xact_lock(k) FROM unnest(%s::bigint[]) AS k"

_COLUMNS: Final = """
    transaction_id uuid, version int, status text, status_reason text, submission_ref uuid, generation int,
    provider_ref text, attempt_count int, unreached_count int, last_attempt_at timestamptz,
    next_retry_at timestamptz, in_doubt_since timestamptz, answer_by timestamptz, account text,
    taken_at timestamptz, repeat_barred boolean, retryable boolean, last_error text, settled_at timestamptz,
    expires_at timestamptz"""

# The restore that an intent must know of. Infinity, which none knows: an operator has not released the engine since, or
# nobody has noticed it yet. Asked once a batch, and only where there is an intent.
RESTORED_AT: Final = """(
          SELECT CASE WHEN (r.restored_at IS NOT NULL AND r.released_at IS NULL) OR r.cluster <> app.cluster_identity()
              THEN 'infinity' ELSE r.restored_at END
          FROM app.engine_identity r)"""

BATCH: Final = f"""
WITH
create_in AS MATERIALIZED (SELECT * FROM json_to_recordset(%s) AS t(n int, {_COLUMNS},
    client_id text, idempotency_key text, provider text, amount bigint, currency text, phone_e164 text,
    country text, external_ref text, external_ref_slot text, created_at timestamptz,
    details text, shard smallint, write_id uuid, request_id text, request_hash text, request_body text,
    response_status smallint, response_body text)),
move_in AS MATERIALIZED (SELECT * FROM json_to_recordset(%s) AS t(n int, {_COLUMNS},
    seen_version int, from_status text, who text, why text, reference uuid, attempt int, evidence text, write_id uuid,
    request_id text, gains_ref boolean, closes_ref uuid, closed_provider_ref text, is_intent boolean, reopens boolean,
    command_id text, step text, owner text, epoch bigint, send_window_s double precision,
    answer_window_s double precision, doubt_changes boolean, presumed boolean, restored_at timestamptz)),
postpone_in AS (SELECT * FROM json_to_recordset(%s) AS t(n int, transaction_id uuid, version int,
    next_retry_at timestamptz)),
meet_in AS (SELECT * FROM json_to_recordset(%s) AS t(n int, webhook_id uuid, provider text, provider_ref text,
    our_ref text)),
note_in AS (SELECT * FROM json_to_recordset(%s) AS t(n int, transaction_id uuid, version int)),
webhook_in AS (SELECT * FROM json_to_recordset(%s) AS t(webhook_id uuid, provider text, state text, reason text,
    signature_valid boolean, signed_with text, provider_ref text, our_ref text, external_ref text,
    status_word text, transaction_id uuid, headers text, body text, body_sha256 text, request_id text,
    after_move int, after_note int, unless_met int)),
discrepancy_in AS (SELECT * FROM json_to_recordset(%s) AS t(transaction_id uuid, provider text, kind text,
    detail text, evidence text, after_move int, after_note int)),
audit_in AS (SELECT * FROM json_to_recordset(%s) AS t(after_move int, who text, command text, target text, reason text,
    before text, after text, request_id text, command_id text, arguments text, approved_by text)),

-- A payout is born once: not where its key is known, nor where its client used the external reference before.
created AS (
    INSERT INTO app.mobile_money_payouts AS p (transaction_id, client_id, idempotency_key, provider, status,
        status_reason, amount, currency, phone_e164, country, external_ref, external_ref_slot, submission_ref,
        generation, next_retry_at, expires_at, retryable, version, shard, created_at, details)
    SELECT transaction_id, client_id, idempotency_key, provider, status, status_reason, amount, currency,
        phone_e164, country, external_ref, external_ref_slot, submission_ref, generation, next_retry_at,
        expires_at, retryable, version, shard, created_at, details
    FROM create_in i
    WHERE NOT EXISTS (SELECT FROM app.idempotency_keys k
                      WHERE k.client_id = i.client_id AND k.idempotency_key = i.idempotency_key)
    ORDER BY transaction_id
    ON CONFLICT DO NOTHING
    RETURNING p.transaction_id),
-- No ON CONFLICT: two writers racing with one key must not both keep their payout; the loser's batch fails.
keyed AS (
    INSERT INTO app.idempotency_keys (client_id, idempotency_key, transaction_id, request_hash, request_body,
        response_status, response_body)
    SELECT client_id, idempotency_key, transaction_id, request_hash, request_body, response_status, response_body
    FROM create_in JOIN created USING (transaction_id)),

-- The guarded write. An intent, and each further step of one, is checked here by the database's clock (money rule 2).
moved AS (
    UPDATE app.mobile_money_payouts p SET
        version = i.version, status = i.status, status_reason = i.status_reason,
        submission_ref = i.submission_ref, generation = i.generation, provider_ref = i.provider_ref,
        attempt_count = i.attempt_count, unreached_count = i.unreached_count,
        last_attempt_at = i.last_attempt_at, next_retry_at = i.next_retry_at,
        in_doubt_since = i.in_doubt_since, account = i.account, taken_at = i.taken_at,
        repeat_barred = i.repeat_barred, retryable = i.retryable,
        last_error = i.last_error, settled_at = i.settled_at, expires_at = i.expires_at,
        updated_at = clock_timestamp(),
        answer_by = CASE WHEN i.is_intent OR i.step IS NOT NULL
                    THEN clock_timestamp() + make_interval(secs => i.answer_window_s) ELSE i.answer_by END
    FROM move_in i
    WHERE p.transaction_id = i.transaction_id AND p.version = i.seen_version
      AND (NOT i.is_intent OR (
          p.expires_at > clock_timestamp()
          AND (p.answer_by IS NULL OR p.answer_by <= clock_timestamp())
          AND NOT EXISTS (SELECT FROM app.provider_controls c WHERE c.provider = p.provider
                          AND (c.paused OR (c.retries_paused AND i.attempt_count > 1)))))
      -- After answer_by others may look it up or send it again: an attempt that is so late writes nothing more.
      AND (i.step IS NULL OR p.answer_by > clock_timestamp())
      AND (NOT (i.is_intent OR i.step IS NOT NULL) OR EXISTS (
          SELECT FROM app.shard_leases l WHERE l.shard = p.shard AND l.owner = i.owner
          AND l.epoch = i.epoch AND l.lease_until > clock_timestamp()))
      -- Nothing is sent on rows out of a backup until an operator says so; and by nobody who has not heard of them.
      AND (NOT (i.is_intent OR i.step IS NOT NULL) OR i.restored_at IS NOT DISTINCT FROM {RESTORED_AT})
      -- A failed payout gets a new reference only where nothing says that an older one may have been paid (rule 6).
      AND (NOT i.reopens OR (
          NOT EXISTS (SELECT FROM app.payout_attempts a
                      WHERE a.transaction_id = p.transaction_id AND a.in_doubt_since IS NOT NULL)
          AND NOT EXISTS (SELECT FROM app.discrepancies d
                          WHERE d.transaction_id = p.transaction_id AND d.closed_at IS NULL)))
      -- A command that was sent twice is done once; where both come in one moment, the unique index refuses one.
      AND (i.command_id IS NULL OR NOT EXISTS (
          SELECT FROM app.audit_log g WHERE g.command_id = i.command_id))
    RETURNING i.n, p.answer_by),
attempted AS (
    INSERT INTO app.payout_attempts AS a (submission_ref, transaction_id, generation, provider, account, send_by,
        answer_by, in_doubt_since)
    SELECT i.submission_ref, i.transaction_id, i.generation, p.provider, i.account,
        clock_timestamp() + make_interval(secs => coalesce(i.send_window_s, 0)), m.answer_by,
        CASE WHEN i.presumed THEN i.in_doubt_since END
    FROM move_in i JOIN moved m USING (n) JOIN app.mobile_money_payouts p USING (transaction_id)
    WHERE i.is_intent OR i.presumed
    ON CONFLICT (submission_ref) DO UPDATE SET submit_count = a.submit_count + 1, account = excluded.account,
        send_by = excluded.send_by, answer_by = excluded.answer_by,
        in_doubt_since = coalesce(a.in_doubt_since, excluded.in_doubt_since),
        -- A reference belongs to one payout for good: anything else violates NOT NULL and fails the write.
        transaction_id = CASE WHEN a.transaction_id = excluded.transaction_id THEN a.transaction_id END),
closed AS (
    UPDATE app.payout_attempts a SET closed_reason = i.status_reason,
        provider_ref = coalesce(i.closed_provider_ref, a.provider_ref), in_doubt_since = NULL
    FROM move_in i JOIN moved USING (n)
    WHERE a.submission_ref = i.closes_ref),
-- With the provider's reference: the payout's row forgets it where the payout waits to be sent again.
stepped AS (
    UPDATE app.payout_attempts a SET phase = i.step, provider_ref = coalesce(i.provider_ref, a.provider_ref),
        send_by = clock_timestamp() + make_interval(secs => i.send_window_s), answer_by = m.answer_by
    FROM move_in i JOIN moved m USING (n)
    WHERE i.step IS NOT NULL AND a.submission_ref = i.submission_ref),
doubted AS (
    UPDATE app.payout_attempts a SET in_doubt_since = i.in_doubt_since
    FROM move_in i JOIN moved USING (n)
    -- One statement changes a row once: what is presumed was given its doubt with its row.
    WHERE i.doubt_changes AND NOT i.presumed AND i.closes_ref IS NULL AND a.submission_ref = i.submission_ref),
told AS (
    INSERT INTO app.payout_events (transaction_id, version, from_status, to_status, why, who, reference, attempt,
        evidence, write_id, request_id)
    SELECT transaction_id, version, NULL, status, status_reason, 'client:' || client_id, submission_ref, NULL,
        '{{}}', write_id, request_id
    FROM create_in JOIN created USING (transaction_id)
    UNION ALL
    SELECT transaction_id, version, from_status, status, why, who, reference, attempt, evidence::jsonb, write_id,
        request_id
    FROM move_in JOIN moved USING (n)),

-- "Due times move in batches": no event, no version; a row that moved on meanwhile is left alone.
postponed AS (
    UPDATE app.mobile_money_payouts p SET next_retry_at = i.next_retry_at
    FROM postpone_in i
    WHERE p.transaction_id = i.transaction_id AND p.version = i.version AND p.settled_at IS NULL),

-- Which payout a webhook speaks of: by the provider's reference, or by any reference of ours, in whichever field the
-- provider gives it back; never by the client's.
met AS (
    SELECT DISTINCT ON (i.n) i.n, f.transaction_id, f.reference
    FROM meet_in i CROSS JOIN LATERAL (
        SELECT p.transaction_id, p.submission_ref AS reference, 1 AS rank FROM app.mobile_money_payouts p
            WHERE p.provider = i.provider AND p.provider_ref = i.provider_ref
        UNION ALL
        SELECT a.transaction_id, a.submission_ref, 2 FROM app.payout_attempts a
            WHERE a.provider = i.provider AND a.provider_ref = i.provider_ref
        UNION ALL
        SELECT a.transaction_id, a.submission_ref, 3 FROM app.payout_attempts a
            WHERE a.provider = i.provider
              AND a.submission_ref IN (app.uuid_or_null(i.our_ref), app.uuid_or_null(i.provider_ref))
        UNION ALL
        SELECT p.transaction_id, p.submission_ref, 4 FROM app.mobile_money_payouts p
            WHERE p.provider = i.provider
              AND p.transaction_id IN (app.uuid_or_null(i.our_ref), app.uuid_or_null(i.provider_ref))
    ) f ORDER BY i.n, f.rank),
-- That a fact changes nothing was decided on a version, too: on another one it may change something (money rule 8).
seen AS (
    SELECT i.n FROM note_in i JOIN app.mobile_money_payouts p USING (transaction_id) WHERE p.version = i.version),
hooked AS (
    INSERT INTO app.webhook_events AS w (webhook_id, provider, state, reason, signature_valid, signed_with,
        provider_ref, our_ref, external_ref, status_word, transaction_id, applied_at, headers, body, body_sha256,
        request_id)
    SELECT webhook_id, provider, state, reason, signature_valid, signed_with, provider_ref, our_ref, external_ref,
        status_word, transaction_id, CASE WHEN state = 'APPLIED' THEN clock_timestamp() END, headers::jsonb, body,
        body_sha256, request_id
    FROM webhook_in i
    WHERE (i.after_move IS NULL OR i.after_move IN (SELECT n FROM moved))
      AND (i.after_note IS NULL OR i.after_note IN (SELECT n FROM seen))
      AND (i.unless_met IS NULL OR i.unless_met NOT IN (SELECT n FROM met))
    ON CONFLICT (webhook_id) DO UPDATE SET state = excluded.state, reason = excluded.reason,
        transaction_id = excluded.transaction_id, applied_at = excluded.applied_at
    -- A write that is repeated because its commit was lost sight of must not take back what was applied meanwhile.
    WHERE w.state <> 'APPLIED'),
opened AS (
    INSERT INTO app.discrepancies AS d (transaction_id, provider, kind, detail, evidence)
    SELECT transaction_id, provider, kind, detail, evidence::jsonb FROM discrepancy_in i
    WHERE (i.after_move IS NULL OR i.after_move IN (SELECT n FROM moved))
      AND (i.after_note IS NULL OR i.after_note IN (SELECT n FROM seen))
    ON CONFLICT (transaction_id, kind) WHERE closed_at IS NULL
    DO UPDATE SET seen_count = d.seen_count + 1, last_seen_at = clock_timestamp()),
audited AS (
    INSERT INTO app.audit_log (who, command, target, reason, before, after, request_id, command_id, arguments,
        approved_by)
    SELECT who, command, target, reason, before::jsonb, after::jsonb, request_id, command_id, arguments::jsonb,
        approved_by
    FROM audit_in i WHERE i.after_move IN (SELECT n FROM moved))

SELECT i.n, json_build_object(
        'created', c.transaction_id IS NOT NULL,
        'key_transaction_id', k.transaction_id, 'request_hash', k.request_hash, 'request_body', k.request_body,
        'response_status', k.response_status, 'response_body', k.response_body,
        'ref_transaction_id', r.transaction_id)
FROM create_in i
LEFT JOIN created c USING (transaction_id)
LEFT JOIN app.idempotency_keys k ON k.client_id = i.client_id AND k.idempotency_key = i.idempotency_key
LEFT JOIN app.mobile_money_payouts r ON r.client_id = i.client_id AND r.external_ref = i.external_ref
    AND r.external_ref_slot = i.external_ref_slot
UNION ALL
SELECT i.n, json_build_object(
        'landed', m.n IS NOT NULL, 'answer_by', m.answer_by,
        'parked', CASE WHEN i.gains_ref AND m.n IS NOT NULL THEN (
            SELECT json_agg(w.webhook_id ORDER BY w.webhook_id) FROM app.webhook_events w
            WHERE w.state = 'PARKED' AND w.provider = p.provider AND w.provider_ref = i.provider_ref) END,
        'denied', CASE WHEN m.n IS NULL AND (i.is_intent OR i.step IS NOT NULL OR i.reopens
                OR i.command_id IS NOT NULL) AND p.version = i.seen_version THEN CASE
            WHEN EXISTS (SELECT FROM app.audit_log g WHERE g.command_id = i.command_id) THEN 'COMMAND_REPEATED'
            WHEN i.reopens AND EXISTS (SELECT FROM app.discrepancies d
                WHERE d.transaction_id = p.transaction_id AND d.closed_at IS NULL) THEN 'DISCREPANCY_OPEN'
            WHEN i.reopens AND EXISTS (SELECT FROM app.payout_attempts a
                WHERE a.transaction_id = p.transaction_id AND a.in_doubt_since IS NOT NULL)
                THEN 'ATTEMPT_UNRESOLVED'
            WHEN i.is_intent AND p.expires_at <= clock_timestamp() THEN 'EXPIRED'
            WHEN i.is_intent AND p.answer_by > clock_timestamp() THEN 'TOO_EARLY'
            WHEN i.step IS NOT NULL AND coalesce(p.answer_by <= clock_timestamp(), true) THEN 'TOO_LATE'
            WHEN i.is_intent AND EXISTS (
                SELECT FROM app.provider_controls c WHERE c.provider = p.provider AND c.paused) THEN 'PAUSED'
            WHEN i.is_intent AND i.attempt_count > 1 AND EXISTS (
                SELECT FROM app.provider_controls c WHERE c.provider = p.provider AND c.retries_paused)
                THEN 'RETRIES_PAUSED'
            WHEN (i.is_intent OR i.step IS NOT NULL) AND NOT EXISTS (
                SELECT FROM app.shard_leases l WHERE l.shard = p.shard AND l.owner = i.owner
                AND l.epoch = i.epoch AND l.lease_until > clock_timestamp()) THEN 'LEASE_LOST'
            WHEN (i.is_intent OR i.step IS NOT NULL) AND i.restored_at IS DISTINCT FROM {RESTORED_AT} THEN 'RESTORED'
            -- Neither: a writer that this statement's snapshot does not show came first. Stale.
            END END)
FROM move_in i
LEFT JOIN moved m USING (n)
LEFT JOIN app.mobile_money_payouts p USING (transaction_id)
UNION ALL
SELECT n, json_build_object('transaction_id', transaction_id, 'reference', reference) FROM met
UNION ALL
SELECT n, json_build_object('seen', true) FROM seen
"""

LOCK_ROWS: Final = """
SELECT FROM app.mobile_money_payouts
WHERE transaction_id IN (SELECT transaction_id FROM json_to_recordset(%s) AS t(transaction_id uuid))
ORDER BY transaction_id FOR UPDATE"""

FIND_LANDED: Final = """
SELECT i.n, p.answer_by,
    (SELECT array_agg(w.webhook_id::text ORDER BY w.webhook_id) FROM app.webhook_events w
     WHERE w.state = 'PARKED' AND w.provider = i.provider AND w.provider_ref = i.provider_ref)
FROM json_to_recordset(%s) AS i(n int, transaction_id uuid, version int, write_id uuid, provider text,
    provider_ref text)
JOIN app.payout_events e ON e.transaction_id = i.transaction_id AND e.version = i.version
    AND e.write_id = i.write_id
JOIN app.mobile_money_payouts p ON p.transaction_id = i.transaction_id"""
