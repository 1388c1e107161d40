"""A database in memory that answers as PostgreSQL does under `nepxy/storage`: for the simulation, on its time.

Synchronous, deterministic and small. It never fails by itself, but it can be told to keep a transaction open:
what that one would change is locked, as rows are, until it is committed or rolled back. Rows are immutable
values, so a look at them costs nothing. `tests/storage/test_model_agrees.py` holds it against the real one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, assert_never

from nepxy.engine.breaker import Forced
from nepxy.engine.controls import NO_OVERRIDES, EngineControls, ProviderOverrides
from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.outcomes import Shortfall
from nepxy.engine.payout import SHARDS, Payout, Status, SubmissionRef, TransactionId, shard_of
from nepxy.errors import InvariantViolation
from nepxy.storage.accounts import AccountFigures
from nepxy.storage.controls import By, Controls
from nepxy.storage.in_doubt import DoubtFigures
from nepxy.storage.leases import HeldShards
from nepxy.storage.webhooks import StoredWebhook
from nepxy.storage.writes import (
    PROVIDER_REF_UNIQUE,
    Answer,
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

Name = TypeVar("Name", bound=Hashable)
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
UNIQUE_VIOLATION: Final = "23505"
NOT_NULL_VIOLATION: Final = "23502"
CHECK_VIOLATION: Final = "23514"
TWICE_IN_ONE_STATEMENT: Final = "21000"
LOCK_TIMEOUT: Final = "55P03"
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class DatabaseError(Exception):
    """What a driver would raise; `fault_of` classifies it. Without a SQLSTATE, the connection broke."""

    def __init__(self, message: str, pgcode: str | None = None) -> None:
        """Name the condition."""
        super().__init__(message)
        self.pgcode = pgcode


class StillLocked(DatabaseError):
    """A lock that an open transaction holds did not come free in time."""

    def __init__(self, what: object) -> None:
        """Name what is locked."""
        super().__init__(f"canceling statement due to lock timeout: {what}", LOCK_TIMEOUT)


# ---- rows --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One row of `app.payout_events`."""

    transaction_id: TransactionId
    version: int
    at: datetime
    from_status: str | None
    to_status: str
    why: str
    who: str
    reference: str | None
    attempt: int | None
    evidence: Evidence | None
    write_id: str
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One row of `app.payout_attempts`."""

    submission_ref: SubmissionRef
    transaction_id: TransactionId
    generation: int
    provider: str
    account: str
    send_by: datetime
    answer_by: datetime
    phase: str = "SUBMIT"
    submit_count: int = 1
    in_doubt_since: datetime | None = None
    provider_ref: str | None = None
    closed_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One row of `app.idempotency_keys`."""

    transaction_id: TransactionId
    request_hash: str
    request_body: str
    response_status: int
    response_body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """One row of `app.webhook_events`."""

    webhook: WebhookRow
    state: str
    reason: str
    transaction_id: TransactionId | None
    received_at: datetime
    applied_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscrepancyRow:
    """One row of `app.discrepancies`."""

    transaction_id: TransactionId
    provider: str
    kind: str
    detail: str
    evidence: Evidence | None
    opened_at: datetime
    last_seen_at: datetime
    seen_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRow:
    """The same row of `app.shard_leases` for each of some shards."""

    shards: range
    owner: str | None = None
    epoch: int = 0
    lease_until: datetime = LONG_AGO


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One row of `app.audit_log`."""

    at: datetime
    who: str
    command: str
    target: str
    reason: str


@dataclass(slots=True)
class Tables:
    """Everything that is committed. To look at; only the database changes it."""

    payouts: dict[TransactionId, Payout] = field(default_factory=dict)
    events: dict[TransactionId, list[EventRow]] = field(default_factory=dict)
    attempts: dict[SubmissionRef, AttemptRow] = field(default_factory=dict)
    keys: dict[tuple[str, str], KeyRow] = field(default_factory=dict)
    webhooks: dict[str, WebhookEvent] = field(default_factory=dict)
    discrepancies: dict[tuple[TransactionId, str], DiscrepancyRow] = field(default_factory=dict)
    """Open ones, by payout and kind."""
    paused: dict[str, str] = field(default_factory=dict)
    """Provider to reason."""
    paused_by: dict[str, str] = field(default_factory=dict)
    shortfalls: dict[str, Shortfall] = field(default_factory=dict)
    """Of those, the ones that the engine paused for want of money."""
    overrides: dict[str, ProviderOverrides] = field(default_factory=dict)
    engine: EngineControls = field(default_factory=EngineControls)
    leases: list[LeaseRow] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)

    def copy(self) -> Tables:
        """These rows as they are now; they are shared, because they never change."""
        return Tables(
            payouts=dict(self.payouts),
            events={key: list(events) for key, events in self.events.items()},
            attempts=dict(self.attempts),
            keys=dict(self.keys),
            webhooks=dict(self.webhooks),
            discrepancies=dict(self.discrepancies),
            paused=dict(self.paused),
            paused_by=dict(self.paused_by),
            shortfalls=dict(self.shortfalls),
            overrides=dict(self.overrides),
            engine=self.engine,
            leases=list(self.leases),
            audit=list(self.audit),
        )


# ---- the database ------------------------------------------------------------------------------


@dataclass(eq=False, slots=True, kw_only=True)
class Transaction:
    """A batch whose statement has run, and which is not yet committed: others wait for what it locks."""

    answers: list[Answer]
    writes: tuple[Write, ...]
    at: datetime
    locks: tuple[object, ...]
    landing: tuple[bool, ...]
    """Whether each write's guard let it through."""
    is_over: bool = False


class ModelDatabase:
    """The journal's and the store's database."""

    def __init__(
        self, *, now: Callable[[], datetime], lease_blocks: Sequence[range] = (range(SHARDS),)
    ) -> None:
        """Start empty.

        Args:
            now: the database's own clock; aware, UTC.
            lease_blocks: shards that always change hands together; all of them, unless a test needs more owners.
        """
        self._now = now
        self.tables = Tables(leases=[LeaseRow(shards=block) for block in lease_blocks])
        self._external_refs: dict[tuple[str, str, str], TransactionId] = {}
        self._provider_refs: dict[tuple[str, str], TransactionId] = {}
        self._attempts_by_provider_ref: dict[tuple[str, str], list[SubmissionRef]] = {}
        self._parked: dict[str, None] = {}
        self._locks: dict[object, None] = {}
        self.disconnects_count = 0

    def snapshot(self) -> Tables:
        """Everything that is committed now."""
        return self.tables.copy()

    # ---- as a `BatchDatabase` --------------------------------------------------------------------

    def write(self, writes: Sequence[Write]) -> list[Answer]:
        """Commit a batch, as `journal.write_batch` does.

        Raises:
            DatabaseError: nothing of it is committed.
        """
        transaction = self._run(writes)
        self._land(transaction)
        return transaction.answers

    def find_landed(self, writes: Sequence[Write]) -> dict[int, Answer]:
        """Which moves are committed, by their write ids, as `journal.find_landed` finds them.

        Raises:
            StillLocked: an open transaction may still move one of these payouts.
        """
        moves = {n: write for n, write in enumerate(writes) if isinstance(write, MovePayout)}
        for move in moves.values():
            if (lock := ("payout", move.after.transaction_id)) in self._locks:
                raise StillLocked(lock)
        return {n: self._landed_answer(move) for n, move in moves.items() if self.has_landed(move)}

    def disconnect(self) -> None:
        """Count it; there is no connection."""
        self.disconnects_count += 1

    def has_landed(self, move: MovePayout) -> bool:
        """Whether this very write is committed."""
        events = self.tables.events.get(move.after.transaction_id, ())
        return any(
            event.version == move.after.version and event.write_id == move.write_id
            for event in reversed(events)
        )

    def begin(self, writes: Sequence[Write]) -> Transaction:
        """Run a batch's statement, and keep its transaction open: nothing is visible, what it changes is locked.

        Raises:
            StillLocked: it would wait for another open transaction.
            DatabaseError: the database refuses it.
        """
        transaction = self._run(writes)
        for lock in transaction.locks:
            self._locks[lock] = None
        return transaction

    def commit(self, transaction: Transaction) -> None:
        """Make visible what it wrote."""
        self._end(transaction)
        self._land(transaction)

    def roll_back(self, transaction: Transaction) -> None:
        """Forget it."""
        self._end(transaction)

    def _run(self, writes: Sequence[Write]) -> Transaction:
        now = self._now()
        born = self._births(writes)
        locks: list[object] = []
        answers: list[Answer] = []
        landing: list[bool] = []
        for n, write in enumerate(writes):
            lands, answer, needs = self._judge(write, n in born, now)
            for lock in needs:
                if lock in self._locks:
                    raise StillLocked(lock)
            locks.extend(needs)
            answers.append(answer)
            landing.append(lands)
        transaction = Transaction(
            answers=answers, writes=tuple(writes), at=now, locks=tuple(locks), landing=tuple(landing)
        )
        self._refuse_impossible(transaction)
        return transaction

    def _land(self, transaction: Transaction) -> None:
        for write, lands, answer in zip(
            transaction.writes, transaction.landing, transaction.answers, strict=True
        ):
            if lands:
                self._apply(write, answer, transaction.at)

    def _end(self, transaction: Transaction) -> None:
        if transaction.is_over:
            raise ValueError("this transaction is over")
        transaction.is_over = True
        for lock in transaction.locks:
            self._locks.pop(lock, None)

    # ---- as a `Store`, without the waiting -------------------------------------------------------

    def load(self, transaction_id: TransactionId) -> Payout | None:
        """The payout as last committed."""
        return self.tables.payouts.get(transaction_id)

    def due(
        self,
        *,
        until: datetime,
        shards: Sequence[int],
        after: tuple[datetime, TransactionId] | None,
        limit: int,
    ) -> list[Payout]:
        """In-flight payouts due by `until`, longest due first."""
        wanted = None if len(shards) >= SHARDS else frozenset(shards)
        found = [
            (payout.next_retry_at, payout.transaction_id, payout)
            for payout in self.tables.payouts.values()
            if payout.next_retry_at is not None
            and payout.settled_at is None
            and payout.next_retry_at <= until
            and (wanted is None or shard_of(payout.transaction_id) in wanted)
            and (after is None or (payout.next_retry_at, payout.transaction_id) > after)
        ]
        found.sort(key=lambda row: row[:2])
        return [payout for *_, payout in found[:limit]]

    def webhooks(self, webhook_ids: Sequence[str]) -> list[StoredWebhook]:
        """These webhooks, if they are still parked."""
        wanted = frozenset(webhook_ids)
        return self._joined(each for each in sorted(self._parked) if each in wanted)

    def joinable_webhooks(self, *, limit: int) -> list[StoredWebhook]:
        """Parked webhooks whose payout has become known: so many of each provider."""
        seen: Counter[str] = Counter()
        found = []
        for stored in self._joined(sorted(self._parked)):
            seen[stored.webhook.provider] += 1
            if seen[stored.webhook.provider] <= limit:
                found.append(stored)
        return found

    def acquire_or_renew(self, *, node_id: str, ttl_s: float, gone: Sequence[str] = ()) -> HeldShards:
        """Renew a node's leases, and take what is free, or of a node that is gone."""
        now = self._now()
        epochs: dict[int, int] = {}
        others: list[LeaseRow] = []
        for place, lease in enumerate(self.tables.leases):
            if lease.owner not in (None, node_id, *gone) and lease.lease_until >= now:
                others.append(lease)
                continue
            epoch = lease.epoch + (lease.owner != node_id)
            until = now + timedelta(seconds=ttl_s)
            self.tables.leases[place] = replace(lease, owner=node_id, epoch=epoch, lease_until=until)
            epochs.update(dict.fromkeys(lease.shards, epoch))
        other = max(others, key=lambda lease: lease.lease_until, default=None)
        return HeldShards(
            epochs=epochs,
            other_owner=other.owner if other else None,
            other_until=other.lease_until if other else None,
            database_now=now,
        )

    def release_shards(self, *, node_id: str) -> None:
        """Give all of a node's shards back."""
        for place, lease in enumerate(self.tables.leases):
            if lease.owner == node_id:
                self.tables.leases[place] = replace(lease, owner=None, lease_until=LONG_AGO)

    def paused_providers(self) -> dict[str, str]:
        """Provider to reason, for those that are paused."""
        return dict(self.tables.paused)

    def shortfalls(self) -> dict[str, Shortfall]:
        """What we would have to hold, for those that the engine paused for want of it."""
        return dict(self.tables.shortfalls)

    def accounts_in_flight(self, *, shards: Sequence[int]) -> list[AccountFigures]:
        """How many payouts of these shards are in flight through which account."""
        wanted = frozenset(shards)
        counts = Counter(
            (payout.provider, payout.account)
            for payout in self.tables.payouts.values()
            if payout.settled_at is None
            and payout.account is not None
            and shard_of(payout.transaction_id) in wanted
        )
        return [
            AccountFigures(provider=provider, account=account, payouts_count=count)
            for (provider, account), count in sorted(counts.items())
        ]

    def set_paused(
        self, provider: str, *, paused: bool, reason: str, who: str, shortfall: Shortfall | None = None
    ) -> None:
        """Pause or resume a provider."""
        if not paused and shortfall is not None and self.tables.shortfalls.get(provider) != shortfall:
            return
        if paused and who == "engine" and self.tables.paused_by.get(provider, who) != who:
            return
        self.tables.shortfalls.pop(provider, None)
        self.tables.paused_by.pop(provider, None)
        if paused:
            self.tables.paused[provider] = reason
            self.tables.paused_by[provider] = who
            if shortfall is not None:
                self.tables.shortfalls[provider] = shortfall
        else:
            self.tables.paused.pop(provider, None)
        command = "pause" if paused else "resume"
        self.tables.audit.append(
            AuditRow(at=self._now(), who=who, command=command, target=f"providers/{provider}", reason=reason)
        )

    def controls(self) -> Controls:
        """All that operators have set; when a pause began, this model does not keep."""
        names = {*self.tables.overrides, *self.tables.paused_by}
        providers = {
            name: replace(self._overrides_of(name), paused_by=self.tables.paused_by.get(name, ""))
            for name in names
        }
        return Controls(providers=providers, engine=self.tables.engine)

    def set_overrides(
        self, provider: str, command: str, values: Mapping[str, Any], by: By
    ) -> ProviderOverrides:
        """Do a command that sets something for a provider."""
        named = dict(values)
        if "breaker_forced" in named:
            named["breaker_forced"] = Forced(named["breaker_forced"])
        now = replace(self._overrides_of(provider), **named)
        self.tables.overrides[provider] = now
        self.note_command(f"providers/{provider}", command, by)
        return self.controls().providers[provider]

    def set_engine(self, command: str, values: Mapping[str, Any], by: By) -> EngineControls:
        """Do a command that sets something for the engine."""
        self.tables.engine = replace(self.tables.engine, **values)
        self.note_command("supervisor", command, by)
        return self.tables.engine

    def note_command(self, target: str, command: str, by: By) -> bool:
        """Keep a command; its own id, this model does not know."""
        self.tables.audit.append(
            AuditRow(at=self._now(), who=by.who, command=command, target=target, reason=by.reason)
        )
        return True

    def _overrides_of(self, provider: str) -> ProviderOverrides:
        return self.tables.overrides.get(provider, NO_OVERRIDES)

    def doubt_figures(self, *, shards: Sequence[int]) -> list[DoubtFigures]:
        """What is in doubt and in review on these shards, by provider."""
        now, wanted = self._now(), frozenset(shards)
        figures: dict[str, DoubtFigures] = {}
        for payout in self.tables.payouts.values():
            if payout.settled_at is not None or shard_of(payout.transaction_id) not in wanted:
                continue
            attempt = self.tables.attempts.get(payout.submission_ref)
            known = figures.get(payout.provider, DoubtFigures(provider=payout.provider))
            is_tried = attempt is not None and attempt.transaction_id == payout.transaction_id
            if payout.in_doubt_since and is_tried and attempt and attempt.in_doubt_since:
                amounts = dict(known.amounts)
                amounts[payout.currency] = amounts.get(payout.currency, 0) + payout.amount
                age_s = max(0.0, (now - payout.in_doubt_since).total_seconds())
                known = replace(
                    known,
                    in_doubt_count=known.in_doubt_count + 1,
                    amounts=amounts,
                    oldest_age_s=max(known.oldest_age_s, age_s),
                )
            if payout.status is Status.REVIEW:
                known = replace(known, review_count=known.review_count + 1)
            if known.in_doubt_count or known.review_count:
                figures[payout.provider] = known
        return [figures[provider] for provider in sorted(figures)]

    # ---- what a statement sees: all of it is judged on the state before any of it -------------------

    def _births(self, writes: Sequence[Write]) -> frozenset[int]:
        """Which creates of the batch insert their payout: sorted by id, the first of two wins."""
        creates = sorted(
            (write.payout.transaction_id, n, write)
            for n, write in enumerate(writes)
            if isinstance(write, CreatePayout)
        )
        born: list[int] = []
        ids: dict[TransactionId, None] = {}
        refs: dict[tuple[str, str, str], None] = {}
        for transaction_id, n, write in creates:
            if _key(write) in self.tables.keys:
                continue
            # Checked by PostgreSQL even where the row then is in conflict with one that is there.
            _refuse_contradiction(write.payout)
            ref = _external_ref(write)
            if (
                transaction_id in self.tables.payouts
                or transaction_id in ids
                or ref in self._external_refs
                or ref in refs
            ):
                continue
            born.append(n)
            ids[transaction_id] = None
            refs[ref] = None
        return frozenset(born)

    def _judge(self, write: Write, is_born: bool, now: datetime) -> tuple[bool, Answer, list[object]]:
        """Whether a write lands, what it is answered, and which locks it takes."""
        match write:
            case CreatePayout(payout=payout):
                if not is_born:
                    return False, self._not_born(write), []
                locks: list[object] = [
                    ("payout", payout.transaction_id),
                    ("key", *_key(write)),
                    ("ref", *_external_ref(write)),
                ]
                return True, Created(payout=payout), locks
            case MovePayout():
                return self._judge_move(write, now)
            case PostponePayout(transaction_id=transaction_id, version=version):
                row = self.tables.payouts.get(transaction_id)
                lands = row is not None and row.version == version and row.settled_at is None
                return lands, Noted(), [("payout", transaction_id)] if lands else []
            case MeetWebhook(webhook=webhook):
                met = self._met(webhook)
                return met is None, met or Parked(), _meeting_locks(write)
            case NoteOnPayout(payout=payout):
                row = self.tables.payouts.get(payout.transaction_id)
                seen = row is not None and row.version == payout.version
                return seen, Noted() if seen else Stale(), []
            case KeepWebhook():
                return True, Noted(), []
            case _:
                assert_never(write)

    def _not_born(self, write: CreatePayout) -> Answer:
        known = self.tables.keys.get(_key(write))
        if known is None:
            other = self._external_refs.get(_external_ref(write))
            return ExternalRefKnown(transaction_id=other) if other is not None else LookAgain()
        if known.transaction_id == write.payout.transaction_id:
            return Created(payout=write.payout, earlier=True)
        return KeyKnown(
            transaction_id=known.transaction_id,
            request_hash=known.request_hash,
            request_body=known.request_body,
            response_status=known.response_status,
            response_body=known.response_body,
        )

    def _judge_move(self, write: MovePayout, now: datetime) -> tuple[bool, Answer, list[object]]:
        row = self.tables.payouts.get(write.after.transaction_id)
        if row is None or row.version != write.before.version:
            return False, Stale(), _meeting_locks(write)
        after, call = write.after, write.leads_to_a_call
        if call is not None:
            denied = self._denied(write, row, now)
            if denied is not None:
                return False, IntentDenied(reason=denied), _meeting_locks(write)
            after = replace(after, answer_by=now + timedelta(seconds=call.answer_window_s))
        locks = [("payout", row.transaction_id), *_meeting_locks(write)]
        return True, Moved(payout=after, parked_webhooks=self._waiting_for(write)), locks

    def _denied(self, write: MovePayout, row: Payout, now: datetime) -> str | None:
        """Why the database does not let an attempt begin, or go on (money rule 2)."""
        if write.step is not None:
            if row.answer_by is None or row.answer_by <= now:
                return "TOO_LATE"
            return None if self._holds_lease(write, now) else "LEASE_LOST"
        if row.expires_at <= now:
            return "EXPIRED"
        if row.answer_by is not None and row.answer_by > now:
            return "TOO_EARLY"
        if row.provider in self.tables.paused:
            return "PAUSED"
        if write.after.attempt_count > 1 and self._overrides_of(row.provider).retries_paused:
            return "RETRIES_PAUSED"
        return None if self._holds_lease(write, now) else "LEASE_LOST"

    def _holds_lease(self, write: MovePayout, now: datetime) -> bool:
        shard, call = shard_of(write.after.transaction_id), write.leads_to_a_call
        return call is not None and any(
            lease.owner == call.lease.owner and lease.epoch == call.lease.epoch and lease.lease_until > now
            for lease in self.tables.leases
            if shard in lease.shards
        )

    def _met(self, webhook: WebhookRow) -> Met | None:
        """Which payout a webhook speaks of: by the provider's reference, or by any of ours; never the client's."""
        tables = self.tables
        if webhook.provider_ref is not None:
            theirs = (webhook.provider, webhook.provider_ref)
            if theirs in self._provider_refs:
                payout = tables.payouts[self._provider_refs[theirs]]
                return Met(transaction_id=payout.transaction_id, reference=payout.submission_ref)
            if older := self._attempts_by_provider_ref.get(theirs):
                attempt = tables.attempts[older[0]]
                return Met(transaction_id=attempt.transaction_id, reference=attempt.submission_ref)
        names = (webhook.our_ref, webhook.provider_ref)
        ours = [name.lower() for name in names if name is not None and _UUID.fullmatch(name)]
        for name in ours:
            named = tables.attempts.get(SubmissionRef(name))
            if named is not None and named.provider == webhook.provider:
                return Met(transaction_id=named.transaction_id, reference=named.submission_ref)
        for name in ours:
            row = tables.payouts.get(TransactionId(name))
            if row is not None and row.provider == webhook.provider:
                return Met(transaction_id=row.transaction_id, reference=row.submission_ref)
        return None

    def _waiting_for(self, write: MovePayout) -> tuple[str, ...]:
        """Parked webhooks that waited for the provider reference which this move makes known."""
        if not write.gains_provider_ref:
            return ()
        names = (write.after.provider, write.after.provider_ref)
        webhooks = (self.tables.webhooks[each].webhook for each in self._parked)
        return tuple(
            sorted(each.webhook_id for each in webhooks if (each.provider, each.provider_ref) == names)
        )

    def _landed_answer(self, move: MovePayout) -> Moved:
        row = self.tables.payouts[move.after.transaction_id]
        payout = move.after
        if move.leads_to_a_call is not None and row.answer_by is not None:
            payout = replace(payout, answer_by=row.answer_by)
        return Moved(payout=payout, parked_webhooks=self._waiting_for(move))

    def _joined(self, webhook_ids: Iterable[str]) -> list[StoredWebhook]:
        found: list[StoredWebhook] = []
        for webhook_id in webhook_ids:
            webhook = self.tables.webhooks[webhook_id].webhook
            met = self._met(webhook)
            if met is not None:
                found.append(
                    StoredWebhook(webhook=webhook, transaction_id=met.transaction_id, reference=met.reference)
                )
        return found

    # ---- constraints -------------------------------------------------------------------------------

    def _refuse_impossible(self, transaction: Transaction) -> None:
        """Raise what the table's constraints would, before anything is changed."""
        keys: dict[tuple[str, str], None] = {}
        hooks: dict[str, None] = {}
        refs: dict[tuple[str, str], None] = {}
        for write, lands, answer in zip(
            transaction.writes, transaction.landing, transaction.answers, strict=True
        ):
            if not lands:
                continue
            webhook = None if isinstance(write, CreatePayout | PostponePayout) else write.webhook
            if webhook is not None:
                _once(hooks, webhook.webhook_id, TWICE_IN_ONE_STATEMENT)
            match write, answer:
                case CreatePayout(), _:
                    _once(keys, _key(write), UNIQUE_VIOLATION)
                case MovePayout(), Moved(payout=payout):
                    _refuse_contradiction(payout)
                    self._refuse_taken(write, refs)
                case _:
                    pass

    def _refuse_taken(self, write: MovePayout, refs: dict[tuple[str, str], None]) -> None:
        payout = write.after
        if payout.provider_ref is not None:
            names = (payout.provider, payout.provider_ref)
            if self._provider_refs.get(names, payout.transaction_id) != payout.transaction_id:
                raise DatabaseError(f"another payout has it: {PROVIDER_REF_UNIQUE}", UNIQUE_VIOLATION)
            _once(refs, names, UNIQUE_VIOLATION, PROVIDER_REF_UNIQUE)
        if write.intent is not None:
            attempt = self.tables.attempts.get(payout.submission_ref)
            if attempt is not None and attempt.transaction_id != payout.transaction_id:
                raise DatabaseError("the reference belongs to another payout", NOT_NULL_VIOLATION)

    # ---- what a commit changes ---------------------------------------------------------------------

    def _apply(self, write: Write, answer: Answer, at: datetime) -> None:
        match write, answer:
            case CreatePayout(), _:
                self._create(write, at)
            case MovePayout(), Moved(payout=payout):
                self._move(write, payout, at)
            case NoteOnPayout(payout=payout), _:
                if write.webhook is not None:
                    self._keep(write.webhook, "IGNORED", write.webhook_reason, payout.transaction_id, at)
                if write.discrepancy is not None:
                    self._open(write.discrepancy, payout, write.evidence, at)
            case PostponePayout(), _:
                row = self.tables.payouts[write.transaction_id]
                self.tables.payouts[write.transaction_id] = replace(row, next_retry_at=write.until)
            case MeetWebhook(webhook=webhook), _:
                self._keep(webhook, "PARKED", "PAYOUT_NOT_FOUND", None, at)
            case KeepWebhook(webhook=webhook), _:
                self._keep(webhook, "INVALID", write.reason, None, at)
            case _:
                raise TypeError(f"{type(write).__name__} lands as {type(answer).__name__}")

    def _create(self, write: CreatePayout, at: datetime) -> None:
        payout = write.payout
        self.tables.payouts[payout.transaction_id] = payout
        self._external_refs[_external_ref(write)] = payout.transaction_id
        self.tables.keys[_key(write)] = KeyRow(
            transaction_id=payout.transaction_id,
            request_hash=write.request_hash,
            request_body=write.request_body,
            response_status=write.response_status,
            response_body=write.response_body,
        )
        self.tables.events[payout.transaction_id] = [
            EventRow(
                transaction_id=payout.transaction_id,
                version=payout.version,
                at=at,
                from_status=None,
                to_status=payout.status.value,
                why=payout.status_reason,
                who=f"client:{payout.client_id}",
                reference=payout.submission_ref,
                attempt=None,
                evidence=None,
                write_id=write.write_id,
                request_id=write.request_id,
            )
        ]

    def _move(self, write: MovePayout, payout: Payout, at: datetime) -> None:
        before, evidence = self.tables.payouts[payout.transaction_id], write.evidence
        self.tables.payouts[payout.transaction_id] = payout
        if before.provider_ref != payout.provider_ref:
            if before.provider_ref is not None:
                del self._provider_refs[before.provider, before.provider_ref]
            if payout.provider_ref is not None:
                self._provider_refs[payout.provider, payout.provider_ref] = payout.transaction_id
        self._move_attempt(write, payout, at)
        self.tables.events[payout.transaction_id].append(
            EventRow(
                transaction_id=payout.transaction_id,
                version=payout.version,
                at=at,
                from_status=write.before.status.value,
                to_status=payout.status.value,
                why=write.why,
                who=write.who,
                reference=evidence.reference,
                attempt=evidence.attempt,
                evidence=evidence,
                write_id=write.write_id,
                request_id=write.request_id,
            )
        )
        if write.webhook is not None:
            state, reason = ("IGNORED", write.noted_as) if write.noted_as else ("APPLIED", "")
            self._keep(write.webhook, state, reason, payout.transaction_id, at)
        if write.discrepancy is not None:
            self._open(write.discrepancy, payout, evidence, at)

    def _move_attempt(self, write: MovePayout, payout: Payout, at: datetime) -> None:
        attempts = self.tables.attempts
        closes = write.before.submission_ref if payout.generation > write.before.generation else None
        known = attempts.get(payout.submission_ref)
        if write.intent is not None:
            attempts[payout.submission_ref] = self._attempt(write, payout, known, at)
        if write.step is not None and known is not None and payout.answer_by is not None:
            attempts[payout.submission_ref] = replace(
                known,
                phase=write.step.name,
                send_by=at + timedelta(seconds=write.step.send_window_s),
                answer_by=payout.answer_by,
            )
            self._name_attempt(payout.submission_ref, payout.provider_ref)
        if closes is not None:
            if closes in attempts:
                self._close_attempt(closes, payout.status_reason, write.before.provider_ref)
        elif (
            known is not None
            and write.intent is None
            and (write.before.in_doubt_since is None) != (payout.in_doubt_since is None)
        ):
            attempts[payout.submission_ref] = replace(known, in_doubt_since=payout.in_doubt_since)

    def _attempt(
        self, write: MovePayout, payout: Payout, known: AttemptRow | None, at: datetime
    ) -> AttemptRow:
        if write.intent is None or payout.account is None or payout.answer_by is None:
            raise DatabaseError("an attempt without its account", NOT_NULL_VIOLATION)
        send_by = at + timedelta(seconds=write.intent.send_window_s)
        if known is not None:
            return replace(
                known,
                submit_count=known.submit_count + 1,
                account=payout.account,
                send_by=send_by,
                answer_by=payout.answer_by,
            )
        return AttemptRow(
            submission_ref=payout.submission_ref,
            transaction_id=payout.transaction_id,
            generation=payout.generation,
            provider=payout.provider,
            account=payout.account,
            send_by=send_by,
            answer_by=payout.answer_by,
        )

    def _close_attempt(self, reference: SubmissionRef, reason: str, provider_ref: str | None) -> None:
        attempt = self.tables.attempts[reference]
        self.tables.attempts[reference] = replace(attempt, closed_reason=reason, in_doubt_since=None)
        self._name_attempt(reference, provider_ref)

    def _name_attempt(self, reference: SubmissionRef, provider_ref: str | None) -> None:
        """Keep what the provider calls it; None: nothing new."""
        attempt = self.tables.attempts[reference]
        if provider_ref is None or attempt.provider_ref == provider_ref:
            return
        if attempt.provider_ref is not None:
            self._attempts_by_provider_ref[attempt.provider, attempt.provider_ref].remove(reference)
        self.tables.attempts[reference] = replace(attempt, provider_ref=provider_ref)
        self._attempts_by_provider_ref.setdefault((attempt.provider, provider_ref), []).append(reference)

    def _keep(
        self,
        webhook: WebhookRow,
        state: str,
        reason: str,
        transaction_id: TransactionId | None,
        at: datetime,
    ) -> None:
        known = self.tables.webhooks.get(webhook.webhook_id)
        if known is not None and known.state == "APPLIED":
            return
        self.tables.webhooks[webhook.webhook_id] = WebhookEvent(
            webhook=known.webhook if known else webhook,
            state=state,
            reason=reason,
            transaction_id=transaction_id,
            received_at=known.received_at if known else at,
            applied_at=at if state == "APPLIED" else None,
        )
        if state == "PARKED":
            self._parked[webhook.webhook_id] = None
        else:
            self._parked.pop(webhook.webhook_id, None)

    def _open(
        self, discrepancy: Discrepancy, payout: Payout, evidence: Evidence | None, at: datetime
    ) -> None:
        place = (payout.transaction_id, discrepancy.kind)
        known = self.tables.discrepancies.get(place)
        if known is not None:
            self.tables.discrepancies[place] = replace(
                known, seen_count=known.seen_count + 1, last_seen_at=at
            )
            return
        self.tables.discrepancies[place] = DiscrepancyRow(
            transaction_id=payout.transaction_id,
            provider=payout.provider,
            kind=discrepancy.kind,
            detail=discrepancy.detail,
            evidence=evidence,
            opened_at=at,
            last_seen_at=at,
        )


def _key(write: CreatePayout) -> tuple[str, str]:
    return write.payout.client_id, write.payout.idempotency_key


def _external_ref(write: CreatePayout) -> tuple[str, str, str]:
    payout = write.payout
    slot = "" if write.external_ref_unique else payout.transaction_id
    return payout.client_id, payout.external_ref, slot


def _meeting_locks(write: MovePayout | MeetWebhook) -> list[object]:
    """The advisory locks that both sides of a webhook's meeting take."""
    if isinstance(write, MeetWebhook):
        refs = (write.webhook.provider_ref, write.webhook.our_ref)
        return [("meeting", write.webhook.provider, ref) for ref in refs if ref is not None]
    return [("meeting", write.after.provider, write.after.provider_ref)] if write.gains_provider_ref else []


def _once(seen: dict[Name, None], name: Name, pgcode: str, where: str = "") -> None:
    if name in seen:
        raise DatabaseError(f"twice in one statement: {name} {where}", pgcode)
    seen[name] = None


def _refuse_contradiction(payout: Payout) -> None:
    """The table's CHECK constraints, which say what the record's own rules say."""
    try:
        payout.check()
    except InvariantViolation as error:
        raise DatabaseError(str(error), CHECK_VIOLATION) from error
