"""The supervisor on virtual time: it mends what breaks, parks what cannot be mended, and keeps payouts apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import LogCapture

from nepxy.actors import payout as payout_module
from nepxy.actors.doubt_watcher import DoubtWatcher
from nepxy.actors.engine_control import Hooks
from nepxy.actors.messages import (
    AcceptPayout,
    CancelPayout,
    Commit,
    Committed,
    DescribeEngine,
    DoubtCounted,
    Drain,
    Drained,
    EngineState,
    EngineView,
    PayoutAnswer,
    ProviderView,
    SentElsewhere,
    WebhookAnswer,
    WebhookArrived,
)
from nepxy.actors.payout import PayoutActor
from nepxy.actors.provider import ProviderActor
from nepxy.actors.supervisor import ProviderSetup, Supervisor, SupervisorLimits
from nepxy.engine.capabilities import Capabilities
from nepxy.engine.decide import Policy
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, StatusReport
from nepxy.engine.payout import SHARDS, Payout, ProviderRef, Status, TransactionId
from nepxy.engine.retry import RetryPolicy
from nepxy.engine.runtime import LoopActor
from nepxy.errors import DatabaseUnavailable, Draining, NodeStandby
from nepxy.providers.contract import Notice
from nepxy.storage.accounts import AccountFigures
from nepxy.storage.in_doubt import DoubtFigures
from nepxy.storage.leases import HeldShards
from nepxy.storage.webhooks import StoredWebhook
from nepxy.storage.writes import (
    Answer,
    Created,
    CreatePayout,
    IntentDenied,
    KeepWebhook,
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
)
from tests.actors.support import FakeStore, Reply, a_world, engine_parts, new_metrics
from tests.factories import INSTALLATION
from tests.factories import a_payout as made_payout

ACCOUNT = "account-1"


class FakeJournal(LoopActor):
    """Commits at once into the store's rows; keeps what it was told; may be told to answer nobody."""

    kind = "journal"

    def __init__(self, *, store: FakeStore, written: list[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._store = store
        self._written = written

    def on_receive(self, message: Any) -> None:
        match message:
            case Commit() if not self._store.is_up:
                self.tell_later(1.0, message)
            case Commit(write=write):
                self._written.append(write)
                self.runtime.tell_or_dead_letter(
                    message.reply_to, Committed(tag=message.tag, answer=self._answer(write))
                )

    def _answer(self, write: Any) -> Answer:
        rows, now = self._store.rows, self.runtime.scheduler.now()
        match write:
            case CreatePayout(payout=payout):
                rows[payout.transaction_id] = payout
                return Created(payout=payout)
            case MovePayout(before=before, after=after, intent=intent):
                if rows[before.transaction_id].version != before.version:
                    return Stale()
                if intent is not None and before.provider in self._store.paused:
                    return IntentDenied(reason="PAUSED")
                if intent is not None and intent.lease.epoch != self._store.held.get(0, -2):
                    return IntentDenied(reason="LEASE_LOST")
                if intent is not None:
                    after = replace(after, answer_by=now + timedelta(seconds=intent.answer_window_s))
                rows[before.transaction_id] = after
                return Moved(payout=after)
            case PostponePayout(transaction_id=transaction_id, until=until):
                rows[transaction_id] = replace(rows[transaction_id], next_retry_at=until)
                return Noted()
            case MeetWebhook(webhook=webhook):
                found = next((p for p in rows.values() if p.provider_ref == webhook.provider_ref), None)
                if found is None:
                    return Parked()
                return Met(transaction_id=found.transaction_id, reference=found.submission_ref)
            case _:
                return Noted()


class FakeAdapter:
    """A provider that accepts at once and confirms when asked."""

    capabilities = Capabilities(lookup_by_reference=True)
    account = ACCOUNT

    def __init__(self, name: str, town: Town) -> None:
        self.name = name
        self._town = town
        self.outcome = OutcomeClass.ACCEPTED
        self.submitted: list[TransactionId] = []
        self.asked: list[TransactionId] = []
        self.call_s = 0.1

    async def submit(self, payout: Payout, guard: Any) -> Outcome:
        self.submitted.append(payout.transaction_id)
        await self._town.node.sleep(self.call_s)
        ref = (
            ProviderRef(f"ref-{payout.transaction_id}")
            if self.outcome in (OutcomeClass.ACCEPTED, OutcomeClass.CONFIRMED)
            else None
        )
        return Outcome(kind=self.outcome, reason="CODE", provider_ref=ref)

    async def look_up(self, payout: Payout) -> StatusReport:
        self.asked.append(payout.transaction_id)
        await self._town.node.sleep(self.call_s)
        return StatusReport(finding=Finding.NO_ANSWER, reason="CODE")

    async def poll(self, payout: Payout) -> StatusReport:
        self.asked.append(payout.transaction_id)
        await self._town.node.sleep(self.call_s)
        return StatusReport(finding=Finding.PAID, reason="CODE", provider_ref=payout.provider_ref)

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        ref = str(document["ref"])
        report = StatusReport(
            finding=Finding.PAID, reason=str(document["status"]), provider_ref=ProviderRef(ref)
        )
        return Notice(provider_ref=ref, our_ref=None, status_word=str(document["status"]), report=report)

    async def close(self) -> None:
        return None


class PoisonError(Exception):
    """What a poisoned payout's actor dies of."""


class Town:
    """One process: a real supervisor with all its actors, on a database in memory."""

    def __init__(self, seed: int = 1, *, enabled: bool = True, **parts: Any) -> None:
        self.world, self.node, self.runtime = a_world(seed)
        self.store = FakeStore(self.node)
        self.metrics, self.registry = new_metrics()
        self.written: list[Any] = []
        self.escalated: list[str] = []
        self.hooks = Hooks()
        self.adapters = {name: FakeAdapter(name, self) for name in ("TMONEY", "FLOOZ")}
        self.journal = FakeJournal.start(store=self.store, written=self.written, runtime=self.runtime)
        self.parts = engine_parts(self.runtime, self.store, self.journal, self.metrics, **parts)
        policy = Policy(
            capabilities=FakeAdapter.capabilities,
            retry=RetryPolicy(),
            account=ACCOUNT,
            installation_id=INSTALLATION,
        )
        setups = {
            name: ProviderSetup(
                name=name,
                adapter=adapter,
                policy=policy,
                enabled=enabled,
                missing=() if enabled else (f"{name}_API_KEY",),
                concurrency_max=4,
                requests_per_s=0.0,
            )
            for name, adapter in self.adapters.items()
        }
        self.supervisor = Supervisor.start(
            parts=self.parts,
            setups=setups,
            limits=SupervisorLimits(),
            escalate=self.escalated.append,
            hooks=self.hooks,
            runtime=self.runtime,
        )

    def run(self, seconds: float) -> None:
        self.world.run_for(seconds)

    def a_payout(self, number: int, *, provider: str = "TMONEY", **changes: Any) -> Payout:
        now = self.world.now()
        fields: dict[str, Any] = {
            "transaction_id": TransactionId(f"0193a5c8-0000-7000-8000-{number:012x}"),
            "idempotency_key": f"key-{number}",
            "external_ref": f"order-{number}",
            "submission_ref": f"00000000-0000-4000-8000-{number:012x}",
            "provider": provider,
            "created_at": now,
            "next_retry_at": now + timedelta(minutes=4),
            "expires_at": now + timedelta(hours=72),
        }
        return made_payout(**(fields | changes))

    def accept(self, payout: Payout) -> Reply:
        reply = Reply()
        create = CreatePayout(
            payout=payout,
            write_id=self.world.new_id(),
            request_id=None,
            request_hash="",
            request_body="",
            response_status=202,
            response_body="",
        )
        self.supervisor.tell(AcceptPayout(create=create, reply_to=reply))
        return reply

    def status(self, payout: Payout) -> Status:
        return self.store.rows[payout.transaction_id].status

    def view(self) -> EngineView:
        future = self.supervisor.ask(_describe(), block=False)
        self.run(0)
        view = future.get(timeout=0)
        assert isinstance(view, EngineView)
        return view

    def provider(self, name: str = "TMONEY") -> ProviderView:
        return next(one for one in self.view().providers if one.name == name)

    def sample(self, metric: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(metric, labels)


def _describe() -> DescribeEngine:
    return DescribeEngine()


def poison(monkeypatch: pytest.MonkeyPatch, town: Town, *victims: Payout, until_s: float = 1e9) -> None:
    """Payouts whose actor dies of whatever it is told."""
    ids = {one.transaction_id for one in victims}
    real = PayoutActor.on_receive

    def on_receive(self: PayoutActor, message: Any) -> Any:
        if self._payout.transaction_id in ids and town.world.monotonic() < until_s:
            raise PoisonError
        return real(self, message)

    monkeypatch.setattr(payout_module.PayoutActor, "on_receive", on_receive)


def running(seed: int = 1, **parts: Any) -> Town:
    town = Town(seed, **parts)
    assert town.world.run_until(lambda: bool(town.parts.ownership.epochs), within_s=5)
    town.run(0.1)
    return town


def a_webhook(ref: str, *, provider: str = "TMONEY", body: str = "") -> WebhookRow:
    return WebhookRow(
        webhook_id=f"01936000-0000-7000-9000-{abs(hash((ref, provider, body))) % 16**12:012x}",
        provider=provider,
        signature_valid=True,
        signed_with="current",
        provider_ref=ref,
        our_ref=None,
        external_ref=None,
        status_word="PAID",
        headers="{}",
        body=body or f'{{"ref":"{ref}","status":"PAID"}}',
        body_sha256="00",
        request_id=None,
    )


# ---- another account, or none ----------------------------------------------------------------------


def sent(town: Town, number: int, *, account: str, **changes: Any) -> Payout:
    """In flight since before this process began."""
    now = town.world.now()
    fields: dict[str, Any] = {
        "status": Status.SENT,
        "account": account,
        "next_retry_at": now,
        "answer_by": now,
    } | changes
    payout = town.a_payout(number, **fields)
    town.store.rows[payout.transaction_id] = payout
    return payout


def test_what_was_sent_through_another_account_is_counted_and_goes_to_review_unasked(
    logged: LogCapture,
) -> None:
    town = Town()
    elsewhere = [
        sent(town, 1, account="account-2"),
        sent(town, 2, account="account-2", provider_ref=ProviderRef("T-2"), taken_at=town.world.now()),
        sent(town, 3, account="account-3", in_doubt_since=town.world.now()),
    ]
    here = sent(town, 4, account=ACCOUNT, provider_ref=ProviderRef("T-4"), taken_at=town.world.now())
    settled = sent(town, 5, account="account-2")
    town.store.rows[settled.transaction_id] = settled.moved(
        Status.CONFIRMED, "PAID", settled_at=town.world.now(), next_retry_at=None
    )
    waiting = town.a_payout(6)
    town.store.rows[waiting.transaction_id] = waiting
    town.run(30)
    assert town.view().sent_elsewhere == (
        SentElsewhere(provider="TMONEY", payouts_count=3, is_configured=True),
    )
    assert town.sample("nepxy_payouts_sent_elsewhere", provider="TMONEY") == 3
    (line,) = [entry for entry in logged.entries if entry["event"] == "account.changed_under_payouts"]
    assert (line["provider"], line["payouts_count"], line["log_level"]) == ("TMONEY", 3, "error")
    for payout in elsewhere:
        row = town.store.rows[payout.transaction_id]
        assert (row.status, row.status_reason) == (Status.REVIEW, "ACCOUNT_CHANGED")
    assert town.status(here) is Status.CONFIRMED
    # Not a word of it to the account that is configured now; what was never sent goes through that one.
    adapter = town.adapters["TMONEY"]
    assert adapter.asked == [here.transaction_id]
    town.run(300)
    assert adapter.submitted == [waiting.transaction_id]


def test_a_count_of_accounts_that_fails_is_tried_again() -> None:
    town = Town()
    sent(town, 1, account="account-2")
    real, tries = town.store.accounts_in_flight, 0

    async def faint(*, shards: Sequence[int]) -> list[AccountFigures]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise DatabaseUnavailable
        return await real(shards=shards)

    town.store.accounts_in_flight = faint  # type: ignore[method-assign]
    town.run(1)
    assert town.view().sent_elsewhere == ()
    town.run(10)
    assert [one.payouts_count for one in town.view().sent_elsewhere] == [1]


def test_a_provider_that_is_taken_out_follows_what_it_has_to_its_end() -> None:
    town = Town(enabled=False)
    at_provider = sent(town, 1, account=ACCOUNT, provider_ref=ProviderRef("T-1"), taken_at=town.world.now())
    accepted_before = town.a_payout(2, next_retry_at=town.world.now())
    town.store.rows[accepted_before.transaction_id] = accepted_before
    hooked = sent(
        town,
        3,
        account=ACCOUNT,
        provider="FLOOZ",
        provider_ref=ProviderRef("T-3"),
        taken_at=town.world.now(),
        next_retry_at=town.world.now() + timedelta(hours=1),
    )
    town.run(5)
    webhook = WebhookArrived(
        webhook=a_webhook("T-3", provider="FLOOZ"),
        report=StatusReport(finding=Finding.PAID, reason="PAID", provider_ref=ProviderRef("T-3")),
        trusted=True,
    )
    town.supervisor.tell(webhook)
    town.run(300)
    assert [town.status(one) for one in (at_provider, accepted_before, hooked)] == [Status.CONFIRMED] * 3
    view = town.provider()
    assert (view.enabled, view.ready, view.missing) == (False, True, ("TMONEY_API_KEY",))


# ---- payouts that die ------------------------------------------------------------------------------


def test_a_payout_whose_actor_crashes_goes_on_from_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    town = running()
    payout = town.a_payout(1)
    poison(monkeypatch, town, payout, until_s=town.world.monotonic() + 0.05)
    town.accept(payout)
    town.run(200)
    assert town.status(payout) is Status.CONFIRMED
    assert town.adapters["TMONEY"].submitted == [payout.transaction_id]
    assert (town.sample("nepxy_actor_restarts_total", kind="payout") or 0) >= 1


def test_a_payout_that_keeps_crashing_is_parked_while_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    town = running(restarts_max=3, restarts_within_s=60.0)
    bad, good = town.a_payout(1), [town.a_payout(n) for n in range(2, 8)]
    poison(monkeypatch, town, bad)
    for payout in (bad, *good):
        town.accept(payout)
    town.run(300)
    row = town.store.rows[bad.transaction_id]
    assert (row.status, row.status_reason) == (Status.REVIEW, "CRASHED_TOO_OFTEN")
    assert [town.status(one) for one in good] == [Status.CONFIRMED] * len(good)
    assert bad.transaction_id not in town.adapters["TMONEY"].submitted
    assert town.sample("nepxy_reviews_total", provider="TMONEY", reason="CRASHED_TOO_OFTEN") == 1
    assert town.escalated == []


def test_a_parked_payout_is_parked_even_if_the_database_was_away_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    town = running(restarts_max=3, restarts_within_s=60.0)
    bad = town.a_payout(1)
    poison(monkeypatch, town, bad)
    town.accept(bad)
    town.store.is_up = False
    town.run(30)
    town.store.is_up = True
    town.run(600)
    assert town.status(bad) is Status.REVIEW


def test_the_place_of_a_crashed_payout_is_free_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    town = running()
    bad = [town.a_payout(n) for n in range(1, 5)]
    for one in bad:
        town.accept(one)

    def calls() -> float:
        return town.sample("nepxy_provider_calls", provider="TMONEY", kind="submit") or 0.0

    assert town.world.run_until(lambda: calls() == 4, within_s=5)
    poison(monkeypatch, town, *bad)
    assert town.world.run_until(lambda: calls() == 0, within_s=2)
    assert town.sample("nepxy_provider_places_reclaimed_total", provider="TMONEY") == 0


# ---- providers that die ----------------------------------------------------------------------------


def test_a_provider_that_dies_goes_on_with_its_pause_and_its_waiting_payouts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    town = running()
    town.store.paused["TMONEY"] = "float is empty"
    town.run(3)
    payouts = [town.a_payout(n) for n in range(1, 6)]
    for payout in payouts:
        town.accept(payout)
    town.run(2)
    assert town.provider().waiting == 5
    _kill_provider(monkeypatch, town, "TMONEY")
    assert (town.provider().paused_reason, town.provider().waiting) == ("float is empty", 5)
    assert town.sample("nepxy_actor_restarts_total", kind="provider") == 1
    del town.store.paused["TMONEY"]
    town.run(300)
    assert {town.status(one) for one in payouts} == {Status.CONFIRMED}
    assert len(town.adapters["TMONEY"].submitted) == 5


def _kill_provider(monkeypatch: pytest.MonkeyPatch, town: Town, name: str) -> None:
    real = ProviderActor.on_receive
    dead: list[ProviderActor] = []

    def on_receive(self: ProviderActor, message: Any) -> Any:
        if not dead and self.actor_name == name:
            dead.append(self)
            raise PoisonError
        return real(self, message)

    monkeypatch.setattr(ProviderActor, "on_receive", on_receive)
    assert town.world.run_until(lambda: bool(dead), within_s=10)
    town.run(0.5)


def test_a_provider_that_cannot_live_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    town = running(restarts_max=2)

    def on_receive(self: ProviderActor, message: Any) -> Any:
        raise PoisonError

    monkeypatch.setattr(ProviderActor, "on_receive", on_receive)
    town.run(30)
    assert town.escalated
    assert "provider" in town.escalated[0]


def test_a_blocked_provider_is_paused_for_every_node_and_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    town = running()
    town.adapters["TMONEY"].outcome = OutcomeClass.BLOCKED
    first, later, other = town.a_payout(1), town.a_payout(2), town.a_payout(3, provider="FLOOZ")
    town.accept(first)
    town.run(5)
    town.accept(later)
    town.accept(other)
    town.run(100)
    assert town.store.paused == {"TMONEY": "CODE"}
    assert (town.status(first), town.status(later)) == (Status.PENDING, Status.PENDING)
    assert town.status(other) is Status.CONFIRMED
    assert later.transaction_id not in town.adapters["TMONEY"].submitted
    town.adapters["TMONEY"].outcome = OutcomeClass.ACCEPTED
    town.store.paused.clear()
    town.run(600)
    assert (town.status(first), town.status(later)) == (Status.CONFIRMED, Status.CONFIRMED)


# ---- an outage -------------------------------------------------------------------------------------


def test_an_outage_of_a_provider_uses_no_attempts_up_and_ends_by_itself() -> None:
    town = running()
    adapter = town.adapters["TMONEY"]
    adapter.outcome = OutcomeClass.NOT_SENT
    adapter.call_s = 0.01
    payouts = [town.a_payout(n) for n in range(1, 41)]
    for payout in payouts:
        town.accept(payout)
    town.run(3600)
    assert town.provider().breaker in ("open", "half_open")
    assert {town.status(one) for one in payouts} == {Status.PENDING}
    assert max(town.store.rows[one.transaction_id].counted_attempts for one in payouts) == 0
    assert len(adapter.submitted) < 60 + 60
    adapter.outcome = OutcomeClass.ACCEPTED
    town.run(2 * 3600)
    assert town.provider().breaker == "closed"
    assert {town.status(one) for one in payouts} == {Status.CONFIRMED}


def test_what_waits_out_an_outage_expires_at_its_time() -> None:
    town = running()
    town.adapters["TMONEY"].outcome = OutcomeClass.NOT_SENT
    payouts = [town.a_payout(n, expires_at=town.world.now() + timedelta(hours=1)) for n in range(1, 21)]
    for payout in payouts:
        town.accept(payout)
    town.run(3600 + 120)
    assert {town.status(one) for one in payouts} == {Status.FAILED}


# ---- bulkheads in memory ---------------------------------------------------------------------------


def test_the_backlog_of_a_paused_provider_does_not_keep_others_out_of_memory() -> None:
    town = running(payouts_in_memory_max=20)
    town.store.paused["TMONEY"] = "float is empty"
    town.run(3)
    for n in range(1, 60):
        town.accept(town.a_payout(n))
    town.run(30)
    others = [town.a_payout(n, provider="FLOOZ") for n in range(100, 110)]
    for payout in others:
        town.accept(payout)
    town.run(900)
    assert {town.status(one) for one in others} == {Status.CONFIRMED}
    assert town.view().payouts_in_memory <= 20


# ---- leases, drain ---------------------------------------------------------------------------------


def test_a_standby_takes_no_payout_and_says_who_does() -> None:
    town = Town()
    town.store.held, town.store.other_owner = {}, "node-b"
    town.run(1)
    reply = town.accept(town.a_payout(1))
    town.run(1)
    (error,) = reply.errors
    assert isinstance(error, NodeStandby)
    assert "node-b" in error.message
    assert town.view().state is EngineState.STANDBY
    assert town.written == []


def test_payouts_leave_memory_when_the_lease_is_lost_and_nothing_new_is_taken() -> None:
    town = running()
    town.store.paused["TMONEY"] = "no"
    payouts = [town.a_payout(n) for n in range(1, 6)]
    for payout in payouts:
        town.accept(payout)
    town.run(3)
    assert town.view().payouts_in_memory == 5
    town.store.held, town.store.other_owner = {}, "node-b"
    town.run(5)
    assert town.view().payouts_in_memory == 0
    reply = town.accept(town.a_payout(9))
    town.run(1)
    assert isinstance(reply.errors[0], NodeStandby)
    assert town.provider().waiting == 0

    town.store.held, town.store.other_owner = dict.fromkeys(range(SHARDS), 3), None
    town.store.paused.clear()
    town.run(600)
    assert {town.status(one) for one in payouts} == {Status.CONFIRMED}


def test_shards_that_another_node_had_for_a_moment_are_taken_up_anew() -> None:
    town = running()
    town.store.paused["TMONEY"] = "no"
    payouts = [town.a_payout(n) for n in range(1, 6)]
    for payout in payouts:
        town.accept(payout)
    town.run(3)
    recovered = town.view().recovered_count
    town.store.held = {shard: epoch + 2 for shard, epoch in town.store.held.items()}
    town.run(30)
    assert town.view().recovered_count == recovered + len(payouts)
    assert town.view().payouts_in_memory == len(payouts)


def test_a_node_that_cannot_renew_stops_accepting_before_its_lease_ends() -> None:
    town = running()
    town.store.is_up = False
    town.run(8)
    reply = town.accept(town.a_payout(1))
    town.run(0.1)
    assert isinstance(reply.errors[0], NodeStandby)


def test_what_is_committed_while_the_lease_waits_to_be_renewed_is_sent_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody else has its shard, so nobody else would look for it before it is due."""
    town = running()

    async def away() -> HeldShards:
        raise DatabaseUnavailable

    payout = town.a_payout(1)
    with monkeypatch.context() as patch:
        patch.setattr(town.store, "acquire_or_renew", away)
        town.store.is_up = False
        town.accept(payout)
        town.run(9)
        assert town.view().state is EngineState.STANDBY
        town.store.is_up = True
        town.run(2)
        assert payout.transaction_id in town.store.rows
    town.run(10)
    assert town.adapters["TMONEY"].submitted == [payout.transaction_id]


def test_a_webhook_is_recorded_by_a_standby_too_which_then_leaves_the_payout_alone() -> None:
    town = running(passivate_after_s=600.0)
    payout = town.a_payout(1)
    town.accept(payout)
    assert town.world.run_until(
        lambda: (
            town.store.rows[payout.transaction_id].provider_ref is not None
            if payout.transaction_id in town.store.rows
            else False
        ),
        within_s=10,
    )
    ref = town.store.rows[payout.transaction_id].provider_ref
    town.store.held, town.store.other_owner = {}, "node-b"
    town.run(5)
    reply = Reply()
    report = StatusReport(finding=Finding.IN_FLIGHT, reason="CODE", provider_ref=ref)
    town.supervisor.tell(
        WebhookArrived(webhook=a_webhook(str(ref)), report=report, trusted=True, reply_to=reply)
    )
    town.run(5)
    assert isinstance(reply.values[0], WebhookAnswer)
    assert town.view().payouts_in_memory == 0


def test_draining_lets_calls_end_takes_nothing_new_and_keeps_hearing_webhooks() -> None:
    town = running()
    town.adapters["TMONEY"].call_s = 20.0
    payouts = [town.a_payout(n) for n in range(1, 9)]
    for payout in payouts:
        town.accept(payout)
    town.run(5)
    drained, refused, heard = Reply(), Reply(), Reply()
    town.supervisor.tell(Drain(reply_to=drained))
    refused = town.accept(town.a_payout(99))
    town.run(10)
    assert drained.values == []
    assert isinstance(refused.errors[0], Draining)
    report = StatusReport(finding=Finding.PAID, reason="CODE")
    town.supervisor.tell(
        WebhookArrived(webhook=a_webhook("unknown"), report=report, trusted=True, reply_to=heard)
    )
    town.run(20)
    assert [type(value) for value in drained.values] == [Drained]
    assert [answer.reason for answer in heard.values] == ["PAYOUT_NOT_FOUND"]
    statuses = [town.status(one) for one in payouts]
    assert statuses.count(Status.SENT) == 4
    assert statuses.count(Status.PENDING) == 4
    assert town.view().payouts_in_memory == 0


def test_after_the_drain_nobody_renews_the_lease() -> None:
    town = running()
    town.supervisor.tell(Drain(reply_to=Reply()))
    town.run(1)
    town.store.held = {}
    town.run(30)
    assert len(town.parts.ownership.epochs) == SHARDS  # as it was last told: nobody has asked since


# ---- webhooks that were parked ---------------------------------------------------------------------


def parked(town: Town, payout: Payout, webhook: WebhookRow) -> None:
    row = town.store.rows[payout.transaction_id]
    town.store.joinable.append(
        StoredWebhook(webhook=webhook, transaction_id=row.transaction_id, reference=row.submission_ref)
    )


def accepted(town: Town, number: int = 1) -> Payout:
    payout = town.a_payout(number)
    town.accept(payout)
    rows = town.store.rows
    assert town.world.run_until(
        lambda: payout.transaction_id in rows and rows[payout.transaction_id].provider_ref is not None,
        within_s=10,
    )
    return payout


def test_a_parked_webhook_with_a_nul_in_it_settles_its_payout() -> None:
    town = running()
    payout = accepted(town)
    ref = f"ref-{payout.transaction_id}"
    parked(town, payout, a_webhook(ref, body=f'{{"ref":"{ref}","status":"PA\\u0000ID"}}'))
    town.run(20)
    assert town.status(payout) is Status.CONFIRMED
    moves = [write for write in town.written if isinstance(write, MovePayout | NoteOnPayout)]
    assert "\0" not in repr(moves)
    assert "\\x00" not in repr(moves)


def test_a_parked_webhook_that_cannot_be_read_is_put_aside_and_others_are_joined() -> None:
    town = running()
    payout = accepted(town)
    ref = f"ref-{payout.transaction_id}"
    parked(town, payout, a_webhook(ref, body="no json"))
    parked(town, payout, a_webhook(ref))
    town.run(20)
    assert town.status(payout) is Status.CONFIRMED
    aside = [write for write in town.written if isinstance(write, KeepWebhook)]
    assert {write.reason for write in aside} == {"UNREADABLE_WHEN_JOINED"}
    assert town.escalated == []


def test_a_parked_webhook_of_a_provider_without_adapter_stays_parked() -> None:
    town = running()
    payout = accepted(town)
    parked(town, payout, a_webhook("x", provider="THUNES"))
    town.run(20)
    assert not [write for write in town.written if isinstance(write, KeepWebhook)]
    assert town.escalated == []


# ---- commands, and what can be seen ----------------------------------------------------------------


def test_a_client_cancels_a_payout_that_waits_for_its_provider() -> None:
    town = running()
    town.store.paused["TMONEY"] = "no"
    town.run(3)
    payout, reply = town.a_payout(1), Reply()
    town.accept(payout)
    town.run(1)
    town.supervisor.tell(
        CancelPayout(
            transaction_id=payout.transaction_id, client_id="client-1", request_id=None, reply_to=reply
        )
    )
    town.run(1)
    (answer,) = reply.values
    assert isinstance(answer, PayoutAnswer)
    assert answer.payout.status is Status.CANCELLED
    assert town.provider().waiting == 0


def test_the_view_shows_what_providers_are_doing() -> None:
    town = running()
    town.adapters["TMONEY"].call_s = 100.0
    for n in range(1, 8):
        town.accept(town.a_payout(n))
    town.run(1)
    seen = town.provider()
    assert (seen.in_flight, seen.waiting, seen.waiting_submits) == (4, 3, 3)
    assert (seen.breaker, seen.concurrency_max, seen.ready) == ("closed", 4, True)


def test_the_view_counts_everybodys_writes_that_wait() -> None:
    town = running()
    town.metrics.journal_depth.set(7)
    assert town.view().journal_depth == 7


def test_money_in_doubt_is_counted_and_shown() -> None:
    town = running()
    town.store.doubt = [
        DoubtFigures(
            provider="TMONEY", in_doubt_count=2, amounts={"XOF": 3000}, oldest_age_s=90.0, review_count=1
        )
    ]
    town.run(6)
    assert town.view().doubt == tuple(town.store.doubt)
    assert town.sample("nepxy_payouts_in_doubt", provider="TMONEY") == 2
    assert town.sample("nepxy_payouts_in_doubt_amount", provider="TMONEY", currency="XOF") == 3000
    assert town.sample("nepxy_payouts_in_doubt_oldest_age_seconds", provider="TMONEY") == 90
    assert town.sample("nepxy_payouts_in_review", provider="TMONEY") == 1
    assert town.sample("nepxy_payouts_in_doubt", provider="FLOOZ") == 0
    town.store.doubt = []
    town.run(6)
    assert town.sample("nepxy_payouts_in_doubt_amount", provider="TMONEY", currency="XOF") == 0
    assert town.sample("nepxy_payouts_in_doubt", provider="TMONEY") == 0


def test_the_figures_stay_while_the_database_is_away_and_a_standby_shows_none() -> None:
    town = running()
    town.store.doubt = [DoubtFigures(provider="TMONEY", in_doubt_count=2)]
    town.run(6)
    town.store.is_up = False
    town.run(20)
    assert town.sample("nepxy_payouts_in_doubt", provider="TMONEY") == 2
    town.store.is_up, town.store.held = True, {}
    town.run(20)
    assert town.sample("nepxy_payouts_in_doubt", provider="TMONEY") == 0


def test_a_count_that_keeps_dying_never_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    town = running(restarts_max=2)

    def on_receive(self: DoubtWatcher, message: Any) -> None:
        raise PoisonError

    monkeypatch.setattr(DoubtWatcher, "on_receive", on_receive)
    town.run(300)
    assert town.escalated == []
    monkeypatch.undo()
    town.store.doubt = [DoubtFigures(provider="TMONEY", in_doubt_count=2)]
    town.run(70)
    assert town.sample("nepxy_payouts_in_doubt", provider="TMONEY") == 2


def test_doubt_is_told_by_message_too() -> None:
    town = running()
    figures = (DoubtFigures(provider="FLOOZ", review_count=3),)
    town.supervisor.tell(DoubtCounted(figures=figures))
    assert town.view().doubt == figures
