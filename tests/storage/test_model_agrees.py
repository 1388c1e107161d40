"""The simulation's database answers as the real one does: the same random batches into both, and all is compared.

Only what the database's own clock says may differ, by less than any window used here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import peewee
import pytest

from nepxy.engine.controls import NO_OVERRIDES
from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.outcomes import Shortfall
from nepxy.engine.payout import SHARDS, Payout, ProviderRef, Status, SubmissionRef, TransactionId
from nepxy.storage import accounts, controls, in_doubt, leases, payouts, webhooks
from nepxy.storage.database import connect_writer, sqlstate_of
from nepxy.storage.journal import conflict_keys, evidence_json, find_landed, write_batch
from nepxy.storage.leases import HeldShards
from nepxy.storage.writes import (
    Answer,
    CreatePayout,
    Intent,
    KeepWebhook,
    Lease,
    MeetWebhook,
    Moved,
    MovePayout,
    NoteOnPayout,
    PostponePayout,
    Step,
    WebhookRow,
    Write,
)
from tests.simulation.database import LOCK_TIMEOUT, ModelDatabase, StillLocked
from tests.storage.test_journal import NOW, a_create, a_move, a_payout, a_webhook

SEEDS = range(6)
BATCHES = 150
NODES = ("node-a", "node-b")
PROVIDERS = ("TMONEY", "MTN_BJ")
FAR_S = 7200.0
"""Every time that the databases' clocks decide about is this far from now, so that they agree about it."""
CLOSE_S = 1200.0


# ---- what is done to both ----------------------------------------------------------------------


class Author:
    """Invents batches from what has been written so far."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.versions: dict[TransactionId, list[Payout]] = {}
        self.creates: list[CreatePayout] = []
        self.moves: list[MovePayout] = []
        self.webhooks: list[WebhookRow] = []
        self.epochs: dict[str, dict[int, int]] = {node: {} for node in NODES}
        self._numbers = 0
        self._refs = 0

    def batch(self) -> list[Write]:
        """A few writes, none in conflict with another, as the journal sees to it; but for births, sometimes."""
        if self._chance(0.03):
            one, other = self._create(), self._create()
            return [one, replace(other, payout=replace(other.payout, **self._same(one.payout)))]
        writes: list[Write] = []
        taken: set[object] = set()
        for _ in range(self.rng.choice((1, 1, 2, 3, 5))):
            write = self._write()
            keys = conflict_keys(write)
            if taken.isdisjoint(keys):
                writes.append(write)
                taken.update(keys)
        return writes

    def learn(self, writes: Sequence[Write], answers: Sequence[Answer]) -> None:
        """Build on what landed."""
        for write, answer in zip(writes, answers, strict=True):
            match write, answer:
                case CreatePayout(payout=payout), _:
                    self.creates.append(write)
                    if type(answer).__name__ == "Created":
                        self.versions.setdefault(payout.transaction_id, [payout])
                case MovePayout(), Moved(payout=payout):
                    self.versions[payout.transaction_id].append(payout)
                case _:
                    pass

    def _write(self) -> Write:
        kinds: list[tuple[int, Callable[[], Write]]] = [(4, self._create)]
        if self.versions:
            kinds += [(10, self._move), (2, self._note), (2, self._postpone)]
        kinds += [(3, self._meet), (1, self._keep)]
        (make,) = self.rng.choices([make for _, make in kinds], [weight for weight, _ in kinds])
        return make()

    def _uuid(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128)))

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    def _create(self) -> CreatePayout:
        rng = self.rng
        if self.creates and self._chance(0.1):
            return rng.choice(self.creates)
        self._numbers += 1
        number = self._numbers
        client = rng.choice(("acme", "beta"))
        payout = a_payout(
            transaction_id=TransactionId(self._uuid()),
            client_id=client,
            idempotency_key=f"key-{rng.randrange(number + 2)}" if self._chance(0.3) else f"key-{number}",
            external_ref=f"order-{rng.randrange(number + 2)}" if self._chance(0.3) else f"order-{number}",
            provider=rng.choice(PROVIDERS),
            submission_ref=SubmissionRef(self._uuid()),
            expires_at=NOW + timedelta(seconds=-FAR_S if self._chance(0.1) else FAR_S),
            next_retry_at=NOW + timedelta(seconds=rng.randrange(10_000)),
        )
        if self._chance(0.03):
            payout = replace(payout, amount=0)
        return a_create(
            payout,
            write_id=self._uuid(),
            request_hash=f"hash-{number}",
            external_ref_unique=not self._chance(0.2),
        )

    def _same(self, payout: Payout) -> dict[str, Any]:
        name = self.rng.choice(("idempotency_key", "external_ref"))
        return {name: getattr(payout, name), "client_id": payout.client_id}

    def _seen(self) -> Payout:
        """A payout as somebody may have it in memory: mostly as it is."""
        versions = self.versions[self.rng.choice(list(self.versions))]
        return self.rng.choice(versions) if self._chance(0.15) else versions[-1]

    def _move(self) -> Write:
        seen = self._seen()
        if self.moves and self._chance(0.05):
            return self.rng.choice(self.moves)
        choices: dict[Status, tuple[Callable[[Payout], MovePayout], ...]] = {
            Status.PENDING: (self._intent, self._intent, self._intent, self._settled, self._reviewed),
            Status.SENT: (
                self._accepted,
                self._accepted,
                self._stepped,
                self._stepped,
                self._intent,
                self._doubted,
                self._sent_back,
                self._settled,
                self._reviewed,
            ),
            Status.REVIEW: (self._reviewed, self._settled),
        }
        makers = choices.get(seen.status)
        if makers is None:
            return self._note()
        move = self.rng.choice(makers)(seen)
        move = replace(
            move,
            write_id=self._uuid(),
            who=self.rng.choice(("engine", "client:acme")),
            webhook=self._webhook() if self._chance(0.2) else None,
            discrepancy=self._discrepancy() if self._chance(0.1) else None,
            evidence=Evidence(
                source="poll", reference=seen.submission_ref, attempt=seen.attempt_count or None, answer="é"
            ),
        )
        self.moves.append(move)
        return move

    def _intent(self, seen: Payout) -> MovePayout:
        rng = self.rng
        node = rng.choice(NODES) if self._chance(0.1) else self._owner()
        epoch = next(iter(self.epochs[node].values()), 0) + (1 if self._chance(0.1) else 0)
        reference = seen.submission_ref
        if self._chance(0.04):
            reference = self._seen().submission_ref
        after = seen.moved(
            Status.SENT,
            "ATTEMPT_STARTED",
            attempt_count=seen.attempt_count + 1,
            account=rng.choice(("account-1", "account-2")),
            last_attempt_at=NOW,
            submission_ref=reference,
        )
        intent = Intent(
            lease=Lease(owner=node, epoch=epoch),
            send_window_s=FAR_S / 2,
            answer_window_s=rng.choice((-FAR_S, FAR_S)),
        )
        return a_move(seen, after, intent=intent)

    def _stepped(self, seen: Payout) -> MovePayout:
        """As an intent may be denied, and may name the provider's reference."""
        rng = self.rng
        node = rng.choice(NODES) if self._chance(0.1) else self._owner()
        epoch = next(iter(self.epochs[node].values()), 0) + (1 if self._chance(0.1) else 0)
        self._refs += 1
        named = seen.provider_ref or (ProviderRef(f"P-{self._refs}") if self._chance(0.6) else None)
        after = seen.moved(Status.SENT, "STEP_CONFIRMING", provider_ref=named)
        step = Step(
            name=rng.choice(("CREATED", "CONFIRMING")),
            lease=Lease(owner=node, epoch=epoch),
            send_window_s=FAR_S / 2,
            answer_window_s=rng.choice((-FAR_S, FAR_S, FAR_S)),
        )
        return a_move(seen, after, step=step)

    def _owner(self) -> str:
        return next((node for node, epochs in self.epochs.items() if epochs), NODES[0])

    def _accepted(self, seen: Payout) -> MovePayout:
        self._refs += 1
        ref = f"P-{self._refs}"
        if seen.provider_ref is not None:
            ref = seen.provider_ref
        elif self._chance(0.1):
            ref = self._seen().provider_ref or ref
        after = seen.moved(
            Status.SENT,
            "TAKEN",
            provider_ref=ProviderRef(ref),
            taken_at=NOW,
            in_doubt_since=None,
        )
        return a_move(seen, after)

    def _doubted(self, seen: Payout) -> MovePayout:
        after = seen.moved(
            Status.SENT,
            "UNKNOWN",
            in_doubt_since=None if seen.in_doubt_since else NOW,
            repeat_barred=self._chance(0.5),
        )
        return a_move(seen, after)

    def _sent_back(self, seen: Payout) -> MovePayout:
        changes: dict[str, Any] = {}
        if self._chance(0.7):
            changes = {"generation": seen.generation + 1, "submission_ref": SubmissionRef(self._uuid())}
        after = seen.moved(
            Status.PENDING,
            "REFUSED",
            provider_ref=None,
            in_doubt_since=None,
            taken_at=None,
            repeat_barred=False,
            answer_by=None,
            last_error="again",
            **changes,
        )
        return a_move(seen, after)

    def _settled(self, seen: Payout) -> MovePayout:
        to = Status.CONFIRMED if seen.status is not Status.PENDING else Status.CANCELLED
        to = Status.FAILED if self._chance(0.3) else to
        after = seen.moved(to, "SETTLED", settled_at=NOW, next_retry_at=None, in_doubt_since=None)
        return a_move(seen, after)

    def _reviewed(self, seen: Payout) -> MovePayout:
        return a_move(seen, seen.moved(Status.REVIEW, "ASKED", in_doubt_since=NOW, retryable=False))

    def _note(self) -> NoteOnPayout:
        return NoteOnPayout(
            payout=self._seen(),
            evidence=Evidence(source="webhook") if self._chance(0.5) else None,
            discrepancy=self._discrepancy() if self._chance(0.6) else None,
            webhook=self._webhook() if self._chance(0.6) else None,
            webhook_reason="ALREADY_KNOWN",
        )

    def _postpone(self) -> PostponePayout:
        seen = self._seen()
        until = NOW + timedelta(seconds=self.rng.randrange(20_000))
        return PostponePayout(transaction_id=seen.transaction_id, version=seen.version, until=until)

    def _meet(self) -> MeetWebhook:
        return MeetWebhook(webhook=self._webhook())

    def _keep(self) -> KeepWebhook:
        return KeepWebhook(webhook=self._webhook(), reason="UNREADABLE")

    def _discrepancy(self) -> Discrepancy:
        return Discrepancy(kind=self.rng.choice(("PAID_AFTER_FAILED", "REVERSED")), detail="Look at it.")

    def _webhook(self) -> WebhookRow:
        """A new one, or one that came before; it names a payout in any way, or nothing that we know."""
        rng = self.rng
        if self.webhooks and self._chance(0.25):
            return rng.choice(self.webhooks)
        named = self._seen() if self.versions else None
        ours = (
            (named.submission_ref, named.submission_ref.upper(), named.transaction_id, named.external_ref)
            if named
            else ()
        )
        webhook = a_webhook(
            webhook_id=self._uuid(),
            provider=named.provider if named and self._chance(0.8) else rng.choice(PROVIDERS),
            provider_ref=rng.choice(
                (None, f"P-{self._refs + rng.randrange(1, 4)}", named.provider_ref if named else None)
            ),
            our_ref=rng.choice((None, "not-a-uuid", self._uuid(), *ours)),
        )
        self.webhooks.append(webhook)
        return webhook


# ---- both databases ----------------------------------------------------------------------------


class Both:
    """The real database and the model, asked the same."""

    def __init__(self, url: str) -> None:
        self.real = connect_writer(url, statement_timeout_s=10, connect_timeout_s=10)
        self.model = ModelDatabase(now=lambda: datetime.now(UTC))

    def write(self, writes: Sequence[Write]) -> list[Answer]:
        """One batch; a refusal must have the same reason in both, where there is but one."""
        refused, answers = refusal(lambda: write_batch(self.real, writes))
        model_refused, model_answers = refusal(lambda: self.model.write(writes))
        assert (model_refused is None) == (refused is None)
        assert model_refused == refused or len(writes) > 1
        assert timeless(model_answers) == timeless(answers)
        return answers

    def found(self, writes: Sequence[Write]) -> None:
        assert timeless(self.model.find_landed(writes)) == timeless(find_landed(self.real, writes))

    def paused(self, provider: str, paused: bool, *, who: str, shortfall: Shortfall | None = None) -> None:
        wish: dict[str, Any] = {"paused": paused, "reason": f"by {who}", "who": who, "shortfall": shortfall}
        controls.set_paused(self.real, provider, **wish)
        self.model.set_paused(provider, **wish)
        assert self.model.paused_providers() == controls.paused_providers(self.real)
        assert self.model.shortfalls() == controls.shortfalls(self.real)
        self.compare_controls()

    def retries_paused(self, provider: str, paused: bool) -> None:
        by = controls.By(who="operator:ama", reason="it is down")
        command = "pause_retries" if paused else "resume_retries"
        values = {"retries_paused": paused, "retries_paused_reason": "it is down" if paused else ""}
        controls.set_overrides(self.real, provider, command, values, by)
        self.model.set_overrides(provider, command, values, by)
        self.compare_controls()

    def compare_controls(self) -> None:
        def told(found: controls.Controls) -> dict[str, Any]:
            named = {name: replace(one, paused_at=None) for name, one in found.providers.items()}
            return {name: one for name, one in named.items() if one != NO_OVERRIDES}

        assert told(self.model.controls()) == told(controls.controls(self.real))
        assert [
            (row.who, row.command, row.target, row.reason) for row in self.model.tables.audit
        ] == self.rows("SELECT who, command, target, reason FROM app.audit_log ORDER BY audit_id")

    def acquired(self, node_id: str, ttl_s: float, gone: Sequence[str] = ()) -> HeldShards:
        real = leases.acquire_or_renew(
            self.real, node_id=node_id, host="here", app_version="0", ttl_s=ttl_s, gone=gone
        )
        model = self.model.acquire_or_renew(node_id=node_id, ttl_s=ttl_s, gone=gone)
        assert (model.epochs, model.other_owner) == (real.epochs, real.other_owner)
        assert_close(model.other_until, real.other_until)
        assert_close(model.database_now, real.database_now)
        return real

    def released(self, node_id: str) -> None:
        leases.release(self.real, node_id=node_id)
        self.model.release_shards(node_id=node_id)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self.real.execute_sql(sql).fetchall())

    def compare_reads(self, author: Author) -> None:
        rng = author.rng
        shards = list(range(SHARDS)) if rng.random() < 0.5 else rng.sample(range(SHARDS), 100)
        until = NOW + timedelta(seconds=rng.randrange(20_000))
        page = payouts.due_payouts(self.real, until=until, shards=shards, after=None, limit=5)
        assert timeless(self.model.due(until=until, shards=shards, after=None, limit=5)) == timeless(page)
        if page and page[-1].next_retry_at is not None:
            after = (page[-1].next_retry_at, page[-1].transaction_id)
            more = payouts.due_payouts(self.real, until=until, shards=shards, after=after, limit=5)
            assert timeless(self.model.due(until=until, shards=shards, after=after, limit=5)) == timeless(
                more
            )
        assert self.model.joinable_webhooks(limit=3) == [
            replace(each, webhook=replace(each.webhook, headers=a_webhook().headers))
            for each in webhooks.joinable_webhooks(self.real, limit=3)
        ]
        ids = [webhook.webhook_id for webhook in author.webhooks[-20:]]
        assert [each.reference for each in self.model.webhooks(ids)] == [
            each.reference for each in webhooks.parked_webhooks(self.real, ids)
        ]
        ageless = [
            [replace(each, oldest_age_s=0.0) for each in figures]
            for figures in (
                self.model.doubt_figures(shards=shards),
                in_doubt.doubt_figures(self.real, shards=shards),
            )
        ]
        assert ageless[0] == ageless[1]
        assert self.model.accounts_in_flight(shards=shards) == accounts.accounts_in_flight(
            self.real, shards=shards
        )

    def compare_rows(self) -> None:
        tables = self.model.tables
        ids = [str(row[0]) for row in self.rows("SELECT transaction_id FROM app.mobile_money_payouts")]
        assert sorted(tables.payouts) == sorted(ids)
        for transaction_id in tables.payouts:
            real = payouts.load_payout(self.real, transaction_id)
            model = self.model.load(transaction_id)
            assert timeless(model) == timeless(real)
            assert model is not None
            assert real is not None
            assert_close(model.answer_by, real.answer_by)
        assert self._model_events() == self.rows(
            "SELECT transaction_id::text, version, from_status, to_status, why, who, reference::text, attempt,"
            " evidence, write_id::text, request_id FROM app.payout_events ORDER BY 1, 2"
        )
        self._compare_attempts()
        assert sorted(
            (client, key, row.transaction_id, row.request_hash) for (client, key), row in tables.keys.items()
        ) == sorted(
            self.rows(
                "SELECT client_id, idempotency_key, transaction_id::text, request_hash"
                " FROM app.idempotency_keys"
            )
        )
        assert sorted(
            (
                name,
                row.webhook.provider,
                row.webhook.our_ref,
                row.state,
                row.reason,
                row.transaction_id,
                row.applied_at is None,
            )
            for name, row in tables.webhooks.items()
        ) == sorted(
            self.rows(
                "SELECT webhook_id::text, provider, our_ref, state, reason, transaction_id::text,"
                " applied_at IS NULL FROM app.webhook_events"
            ),
        )
        assert sorted(
            (row.transaction_id, row.kind, row.provider, row.detail, row.seen_count)
            for row in tables.discrepancies.values()
        ) == sorted(
            self.rows(
                "SELECT transaction_id::text, kind, provider, detail, seen_count FROM app.discrepancies"
            )
        )
        (lease,) = tables.leases
        assert [(lease.owner, lease.epoch)] == self.rows("SELECT DISTINCT owner, epoch FROM app.shard_leases")

    def _model_events(self) -> list[tuple[Any, ...]]:
        return sorted(
            (
                event.transaction_id,
                event.version,
                event.from_status,
                event.to_status,
                event.why,
                event.who,
                event.reference,
                event.attempt,
                orjson.loads(evidence_json(event.evidence)),
                event.write_id,
                event.request_id,
            )
            for events in self.model.tables.events.values()
            for event in events
        )

    def _compare_attempts(self) -> None:
        real = self.rows(
            "SELECT submission_ref::text, transaction_id::text, generation, provider, account, phase, submit_count,"
            " in_doubt_since, provider_ref, closed_reason, send_by, answer_by FROM app.payout_attempts ORDER BY 1"
        )
        model = [
            (
                row.submission_ref,
                row.transaction_id,
                row.generation,
                row.provider,
                row.account,
                row.phase,
                row.submit_count,
                row.in_doubt_since,
                row.provider_ref,
                row.closed_reason,
                row.send_by,
                row.answer_by,
            )
            for _, row in sorted(self.model.tables.attempts.items())
        ]
        assert [row[:-2] for row in model] == [row[:-2] for row in real]
        for ours, theirs in zip(model, real, strict=True):
            assert_close(ours[-2], theirs[-2])
            assert_close(ours[-1], theirs[-1])


def refusal(call: Callable[[], Sequence[Answer]]) -> tuple[str | None, list[Answer]]:
    """The SQLSTATE that a batch was refused with, or its answers."""
    try:
        return None, list(call())
    except Exception as error:
        code = sqlstate_of(error)
        if code is None:
            raise
        return code, []


def timeless(value: Any) -> Any:
    """Without what the database's clock sets."""
    match value:
        case Payout():
            return replace(value, answer_by=None)
        case Moved(payout=payout):
            return replace(value, payout=timeless(payout))
        case dict():
            return {key: timeless(each) for key, each in value.items()}
        case list():
            return [timeless(each) for each in value]
        case _:
            return value


def assert_close(one: datetime | None, other: datetime | None) -> None:
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert abs((one - other).total_seconds()) < CLOSE_S


@pytest.fixture
def both(database_url_both: str) -> Iterator[Both]:
    both = Both(database_url_both)
    yield both
    both.real.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_model_answers_and_keeps_what_postgresql_does(both: Both, seed: int) -> None:
    rng = random.Random(seed)
    author = Author(rng)
    seen: set[str] = set()
    author.epochs[NODES[0]] = both.acquired(NODES[0], FAR_S).epochs

    for number in range(BATCHES):
        dice = rng.random()
        if dice < 0.04:
            short = rng.choice((None, Shortfall(amount=rng.choice((1, 2)), currency="XOF")))
            who = rng.choice(("engine", "operator:ada"))
            both.paused(rng.choice(PROVIDERS), rng.random() < 0.3, who=who, shortfall=short)
            if rng.random() < 0.3:
                both.retries_paused(rng.choice(PROVIDERS), rng.random() < 0.5)
            if rng.random() < 0.7:
                # What is paused for good denies every intent.
                for provider in PROVIDERS:
                    both.paused(provider, False, who="operator:ada")
        elif dice < 0.08:
            node = rng.choice(NODES)
            author.epochs[node] = both.acquired(
                node, rng.choice((FAR_S, FAR_S, -FAR_S)), gone=rng.choice(((), (), NODES))
            ).epochs
        elif dice < 0.09:
            both.released(rng.choice(NODES))
        elif dice < 0.14:
            both.found(rng.sample(author.moves, min(4, len(author.moves))))
        elif dice < 0.2:
            both.compare_reads(author)
        writes = author.batch()
        answers = both.write(writes)
        if answers:
            author.learn(writes, answers)
        seen.update(type(answer).__name__ for answer in answers)
        if number % 50 == 49:
            both.compare_rows()

    assert {"Created", "Moved", "Stale", "IntentDenied", "Parked", "Noted"} <= seen


# ---- transactions that are still open ----------------------------------------------------------


class Open:
    """Payouts in both databases, and a batch whose transaction is still open in both."""

    def __init__(self, both: Both, url: str) -> None:
        self.both = both
        self.impatient = connect_writer(url, statement_timeout_s=0.3, connect_timeout_s=10)

    def waits(self, held: Write, call: str, write: Write) -> tuple[bool, bool]:
        """Whether a call on a write would wait for the open transaction: the real one's, and the model's."""
        with self.both.real.atomic() as transaction:
            write_batch(self.both.real, [held])
            real = self._waits_really(call, write)
            transaction.rollback()
        begun = self.both.model.begin([held])
        model = self._model_waits(call, write)
        self.both.model.roll_back(begun)
        return real, model

    def _waits_really(self, call: str, write: Write) -> bool:
        try:
            with self.impatient.atomic() as transaction:
                (write_batch if call == "write" else find_landed)(self.impatient, [write])
                transaction.rollback()
        except peewee.OperationalError as error:
            # Both time-outs are the same, and either may come first.
            if sqlstate_of(error) not in (LOCK_TIMEOUT, "57014"):
                raise
            return True
        return False

    def _model_waits(self, call: str, write: Write) -> bool:
        try:
            if call == "write":
                self.both.model.roll_back(self.both.model.begin([write]))
            else:
                self.both.model.find_landed([write])
        except StillLocked as error:
            return sqlstate_of(error) == LOCK_TIMEOUT
        return False


def test_the_model_locks_what_postgresql_locks(both: Both, database_url_both: str) -> None:
    first, second = a_create(), a_create()
    both.write([first, second])
    both.acquired(NODES[0], FAR_S)
    payout, other = first.payout, second.payout
    move = a_move(payout, payout.moved(Status.REVIEW, "ASKED"))
    stale = a_move(replace(payout, version=7), replace(payout.moved(Status.REVIEW, "ASKED"), version=8))
    elsewhere = a_move(other, other.moved(Status.REVIEW, "ASKED"))
    reviewed = payout.moved(Status.REVIEW, "ASKED")
    both.write([move])
    gains = a_move(reviewed, reviewed.moved(Status.REVIEW, "FOUND", provider_ref=ProviderRef("P-1")))
    rival = a_move(reviewed, reviewed.moved(Status.REVIEW, "ASKED_AGAIN"))
    meets = MeetWebhook(webhook=a_webhook(provider_ref="P-1"))
    meets_another = MeetWebhook(webhook=a_webhook(provider_ref="P-2"))
    born = a_create()
    same_key = a_create(a_payout(idempotency_key=born.payout.idempotency_key))
    same_ref = a_create(a_payout(external_ref=born.payout.external_ref))
    postpone = PostponePayout(transaction_id=payout.transaction_id, version=2, until=NOW)
    opened = Open(both, database_url_both)
    cases: list[tuple[Write, str, Write, bool]] = [
        (gains, "write", rival, True),
        (gains, "write", stale, False),
        (gains, "write", elsewhere, False),
        (gains, "write", meets, True),
        (gains, "write", meets_another, False),
        (gains, "write", postpone, True),
        (postpone, "write", gains, True),
        (meets, "write", gains, True),
        (gains, "find_landed", gains, True),
        (gains, "find_landed", elsewhere, False),
        (stale, "find_landed", gains, False),
        (born, "write", same_ref, True),
        (born, "write", same_key, True),
        (born, "write", a_create(), False),
    ]

    for held, call, write, waits in cases:
        assert opened.waits(held, call, write) == (waits, waits), (held, call, write)

    opened.impatient.close()


def test_nothing_of_an_open_transaction_is_seen_before_it_is_committed() -> None:
    model = ModelDatabase(now=lambda: NOW)
    create = a_create()
    model.write([create])
    payout = create.payout
    move = a_move(payout, payout.moved(Status.REVIEW, "ASKED"))

    begun = model.begin([move])
    assert model.load(payout.transaction_id) == payout
    with pytest.raises(StillLocked):
        model.find_landed([move])

    model.commit(begun)
    assert model.load(payout.transaction_id) == move.after
    assert model.find_landed([move]) == {0: Moved(payout=move.after)}
    assert begun.answers == [Moved(payout=move.after)]
