"""What the engine's actors measure. Names that alerts rely on are kept; new ones start with `nepxy_`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nepxy.actors.turn_metrics import TurnMetrics
from nepxy.engine.breaker import BreakerState
from nepxy.engine.events import Work
from nepxy.engine.gate import Gate, Kind
from nepxy.engine.outcomes import OutcomeClass
from nepxy.engine.payout import Payout, Status
from nepxy.engine.reconcile import VERDICTS, ReportKind
from nepxy.engine.runtime import DeadLetterReason
from nepxy.engine.runtime.scheduler import Scheduler
from nepxy.storage.in_doubt import DoubtFigures
from nepxy.storage.in_flight import FlightFigures
from nepxy.storage.reconcile import Standing

if TYPE_CHECKING:
    from nepxy.actors.provider_state import ProviderState

ACTOR_KINDS: Final = (
    "supervisor",
    "provider",
    "payout",
    "journal",
    "reconciler",
    "lease_keeper",
    "doubt_watcher",
    "bulk",
    "reconciliation",
    "asker",
)


class ProviderGauges:
    """One provider's metrics with their labels looked up."""

    def __init__(self, metrics: EngineMetrics, provider: str) -> None:
        """Create every series of this provider, so that zero is no gap."""
        self._paused = metrics.paused.labels(provider)
        self._short_of_balance = metrics.short_of_balance.labels(provider)
        self._pause_unsaved = metrics.pause_unsaved.labels(provider)
        self._breaker = {state: metrics.breaker_state.labels(provider, state.value) for state in BreakerState}
        self._held_until = metrics.held_until.labels(provider)
        self._held = {kind: metrics.slots_held.labels(provider, kind.value) for kind in Kind}
        self._held_max = metrics.slots_max.labels(provider)
        self._wanted = {kind: metrics.slots_wanted.labels(provider, kind.value) for kind in Kind}
        self._oldest_age_s = metrics.waiting_age_s.labels(provider)
        self.grants: Mapping[Work, Counter] = {
            work: metrics.grants.labels(provider, work.value) for work in Work
        }
        self.reclaimed: Counter = metrics.slots_reclaimed.labels(provider)

    def follow(self, state: ProviderState, scheduler: Scheduler) -> None:
        """Say what is when somebody asks: between two turns, in the loop's thread. Costs nothing until then."""
        gate = state.gate
        self._paused.set_function(lambda: state.paused_reason is not None)
        self._short_of_balance.set_function(lambda: state.shortfall is not None)
        self._pause_unsaved.set_function(lambda: bool(state.unsaved))
        for breaker, gauge in self._breaker.items():
            gauge.set_function(partial(_is_now, gate, breaker))
        self._held_until.set_function(lambda: _unix_time(state.held_until(scheduler)))
        for kind in Kind:
            self._held[kind].set_function(partial(gate.held_of, kind))
            self._wanted[kind].set_function(partial(gate.waiting_of, kind))
        self._held_max.set_function(lambda: gate.concurrency_max)

        def age_s() -> float:
            due_at = gate.oldest_due_at()
            return max(0.0, (scheduler.now() - due_at).total_seconds()) if due_at is not None else 0.0

        self._oldest_age_s.set_function(age_s)


def _is_now(gate: Gate, state: BreakerState) -> bool:
    return gate.breaker_state is state


def _unix_time(moment: datetime | None) -> float:
    return moment.timestamp() if moment is not None else 0.0


class EngineMetrics:
    """Counters and gauges of the actors; also the runtime's observer. The registry is passed in."""

    def __init__(self, registry: CollectorRegistry, providers: Iterable[str]) -> None:
        """Create all metrics, with every known combination of labels, so that zero is no gap."""
        self._state_s: dict[tuple[str, Status], Histogram] = {}
        self.attempts = Counter(
            "payout_attempts_total", "Attempts by how they ended.", ("provider", "result"), registry=registry
        )
        self.outcomes = Counter(
            "nepxy_outcomes_total", "Submits by outcome class.", ("provider", "outcome"), registry=registry
        )
        self.settled = Counter(
            "nepxy_payouts_settled_total",
            "Payouts that reached a final state.",
            ("provider", "status"),
            registry=registry,
        )
        self.discrepancies = Counter(
            "nepxy_discrepancies_total", "Contradictions noted.", ("provider", "kind"), registry=registry
        )
        self.reviews = Counter(
            "nepxy_reviews_total", "Payouts put into REVIEW.", ("provider", "reason"), registry=registry
        )
        self.paused = Gauge(
            "nepxy_provider_paused", "1 while submits are paused.", ("provider",), registry=registry
        )
        self.short_of_balance = Gauge(
            "nepxy_provider_short_of_balance",
            "1 while submits are paused because we do not hold enough at the provider.",
            ("provider",),
            registry=registry,
        )
        self.balance = Gauge(
            "nepxy_provider_balance",
            "What we hold at the provider, in minor units, when it was asked last.",
            ("provider", "currency"),
            registry=registry,
        )
        self.sent_elsewhere = Gauge(
            "nepxy_payouts_sent_elsewhere",
            "Payouts in flight through another account than the configured one, when this node began.",
            ("provider",),
            registry=registry,
        )
        self.pause_unsaved = Gauge(
            "nepxy_provider_pause_unsaved",
            "1 while the database does not know of the last pause or resume.",
            ("provider",),
            registry=registry,
        )
        self.breaker_state = Gauge(
            "nepxy_provider_breaker_state",
            "1 for the state that the breaker is in.",
            ("provider", "state"),
            registry=registry,
        )
        self.held_until = Gauge(
            "nepxy_provider_held_until_timestamp_seconds",
            "Until when the provider asked for silence; 0: it did not.",
            ("provider",),
            registry=registry,
        )
        self.slots_held = Gauge(
            "nepxy_provider_calls", "Places at the provider in use.", ("provider", "kind"), registry=registry
        )
        self.slots_max = Gauge(
            "nepxy_provider_calls_max", "Places at the provider.", ("provider",), registry=registry
        )
        self.slots_wanted = Gauge(
            "nepxy_provider_waiting",
            "Payouts that wait for a place.",
            ("provider", "kind"),
            registry=registry,
        )
        self.waiting_age_s = Gauge(
            "nepxy_provider_waiting_oldest_age_seconds",
            "How long the payout that waits longest for a place has been due.",
            ("provider",),
            registry=registry,
        )
        self.grants = Counter(
            "nepxy_provider_grants_total", "Places granted.", ("provider", "work"), registry=registry
        )
        self.slots_reclaimed = Counter(
            "nepxy_provider_places_reclaimed_total",
            "Places taken back from payouts that were no more.",
            ("provider",),
            registry=registry,
        )
        self.in_doubt = Gauge(
            "nepxy_payouts_in_doubt",
            "Payouts of which nobody knows whether the provider took them.",
            ("provider",),
            registry=registry,
        )
        self.in_doubt_amount = Gauge(
            "nepxy_payouts_in_doubt_amount",
            "Their amounts, in minor units.",
            ("provider", "currency"),
            registry=registry,
        )
        self.in_doubt_age_s = Gauge(
            "nepxy_payouts_in_doubt_oldest_age_seconds",
            "How long the oldest of them has been in doubt.",
            ("provider",),
            registry=registry,
        )
        self.in_review = Gauge(
            "nepxy_payouts_in_review", "Payouts that wait for a person.", ("provider",), registry=registry
        )
        self.sent_now = Gauge("nepxy_payouts_sent", "Payouts in SENT.", ("provider",), registry=registry)
        self.sent_age_s = Gauge(
            "nepxy_payouts_sent_oldest_age_seconds",
            "How long ago the one in SENT was sent that was sent first.",
            ("provider",),
            registry=registry,
        )
        self.stuck = Gauge(
            "nepxy_payouts_stuck",
            "Payouts in SENT for longer than a payout should take.",
            ("provider",),
            registry=registry,
        )
        self.overdue = Gauge(
            "nepxy_payouts_sent_overdue",
            "Payouts in SENT whose next look is over two minutes late.",
            ("provider",),
            registry=registry,
        )
        self.discrepancies_open = Gauge(
            "nepxy_discrepancies_open",
            "Contradictions that nobody has closed yet.",
            ("provider",),
            registry=registry,
        )
        self.reconcile_every = Gauge(
            "nepxy_reconcile_every_seconds", "How often the providers are asked; 0: never.", registry=registry
        )
        self.reconcile_done = Gauge(
            "nepxy_reconcile_last_done_timestamp_seconds",
            "When the last report of this kind ended well; 0: none did.",
            ("kind",),
            registry=registry,
        )
        self.reconcile_differences = Gauge(
            "nepxy_reconcile_differences",
            "Differences in the last report of this kind, of each provider.",
            ("kind",),
            registry=registry,
        )
        self.reconcile_running = Gauge(
            "nepxy_reconcile_running", "1 while providers are asked for comparison.", registry=registry
        )
        self.reconcile_checked = Counter(
            "nepxy_reconcile_checked_total",
            "Payouts that a provider was asked about for comparison.",
            ("provider", "verdict"),
            registry=registry,
        )
        self.batch_size = Histogram(
            "nepxy_journal_batch_writes",
            "Writes a commit.",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
            registry=registry,
        )
        self.commit_s = Histogram(
            "nepxy_journal_commit_seconds",
            "How long a batch took to commit.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
            registry=registry,
        )
        self.loop_lag_s = Histogram(
            "nepxy_loop_lag_seconds",
            "How late the event loop runs what is due.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=registry,
        )
        self.state_s = Histogram(
            "nepxy_payout_state_seconds",
            "How long payouts were in a state that they left.",
            ("provider", "state"),
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400),
            registry=registry,
        )
        self.journal_depth = Gauge(
            "nepxy_journal_waiting", "Writes that wait for a commit.", registry=registry
        )
        self.journal_oldest_age_s = Gauge(
            "nepxy_journal_waiting_oldest_age_seconds",
            "How long the write that waits longest for a commit has waited.",
            registry=registry,
        )
        self.journal_ok = Gauge("nepxy_journal_ok", "1 while the journal commits.", registry=registry)
        self.journal_faults = Counter(
            "nepxy_journal_faults_total",
            "Batches that did not commit at once.",
            ("fault",),
            registry=registry,
        )
        self.payouts_in_memory = Gauge("nepxy_payouts_in_memory", "Payout actors alive.", registry=registry)
        self.recovered = Gauge(
            "nepxy_recovery_taken_up", "Payouts taken up since this node owns its shards.", registry=registry
        )
        self.recovery_done = Gauge(
            "nepxy_recovery_done", "1 once the first scan is complete.", registry=registry
        )
        self.restored_held = Gauge(
            "nepxy_restored_held",
            "1 while nothing is submitted because the database was restored.",
            registry=registry,
        )
        self.shards_held = Gauge("nepxy_shards_held", "Shards that this node owns.", registry=registry)
        self.alive = Gauge("nepxy_actors_alive", "Actors alive.", ("kind",), registry=registry)
        self.started = Counter("nepxy_actor_starts_total", "Actors started.", ("kind",), registry=registry)
        self.failures = Counter(
            "nepxy_actor_failures_total", "Actors that died.", ("kind",), registry=registry
        )
        self.restarts = Counter(
            "nepxy_actor_restarts_total", "Actors restarted.", ("kind",), registry=registry
        )
        self._turns = TurnMetrics(registry)
        self.dead_letters = Counter(
            "nepxy_dead_letters_total",
            "Messages that no live actor took.",
            ("kind", "reason"),
            registry=registry,
        )
        self._flight = (self.sent_now, self.sent_age_s, self.stuck, self.overdue, self.discrepancies_open)
        self._providers: dict[str, ProviderGauges] = {}
        self._amounts: set[tuple[str, str]] = set()
        """Provider and currency of every amount in doubt so far: what is in doubt no more is zero, not gone."""
        self._lives: dict[str, Gauge] = {kind: self.alive.labels(kind) for kind in ACTOR_KINDS}
        self._starts: dict[str, Counter] = {kind: self.started.labels(kind) for kind in ACTOR_KINDS}
        self._fill(tuple(providers))

    def _fill(self, providers: tuple[str, ...]) -> None:
        for provider in providers:
            for result in ("SENT", "CONFIRMED", "FAILED"):
                self.attempts.labels(provider, result)
            for outcome in OutcomeClass:
                self.outcomes.labels(provider, outcome.value)
            for status in Status:
                if status.is_final:
                    self.settled.labels(provider, status.value)
            self._state_s |= {
                (provider, status): self.state_s.labels(provider, status.value)
                for status in (Status.PENDING, Status.SENT)
            }
            self.of_provider(provider)
            for gauge in (
                self.in_doubt,
                self.in_doubt_age_s,
                self.in_review,
                self.sent_elsewhere,
                *self._flight,
            ):
                gauge.labels(provider)
            for verdict in VERDICTS:
                self.reconcile_checked.labels(provider, verdict)
        for report_kind in ReportKind:
            self.reconcile_done.labels(report_kind.value)
            self.reconcile_differences.labels(report_kind.value)
        for kind in ACTOR_KINDS:
            for metric in (self.alive, self.started, self.failures, self.restarts):
                metric.labels(kind)
            for reason in DeadLetterReason:
                self.dead_letters.labels(kind, str(reason))
        self.journal_ok.set(1)

    def of_provider(self, provider: str) -> ProviderGauges:
        """What a provider's actor sets."""
        known = self._providers.get(provider)
        if known is None:
            known = self._providers[provider] = ProviderGauges(self, provider)
        return known

    def doubt_counted(self, figures: Sequence[DoubtFigures]) -> None:
        """What is in doubt and in review now, all of it; empty: nothing, or another node counts."""
        by_provider = {one.provider: one for one in figures}
        for provider in (*self._providers, *(by_provider.keys() - self._providers)):
            one = by_provider.get(provider) or DoubtFigures(provider=provider)
            self.in_doubt.labels(provider).set(one.in_doubt_count)
            self.in_doubt_age_s.labels(provider).set(one.oldest_age_s)
            self.in_review.labels(provider).set(one.review_count)
            self._amounts.update((provider, currency) for currency in one.amounts)
        for provider, currency in self._amounts:
            of = by_provider.get(provider)
            self.in_doubt_amount.labels(provider, currency).set(of.amounts.get(currency, 0) if of else 0)

    def flight_counted(self, figures: Sequence[FlightFigures]) -> None:
        """What is at the providers now, and which discrepancies are open; as `doubt_counted`."""
        by_provider = {one.provider: one for one in figures}
        for provider in (*self._providers, *(by_provider.keys() - self._providers)):
            one = by_provider.get(provider) or FlightFigures(provider=provider)
            self.sent_now.labels(provider).set(one.sent_count)
            self.sent_age_s.labels(provider).set(one.sent_oldest_age_s)
            self.stuck.labels(provider).set(one.stuck_count)
            self.overdue.labels(provider).set(one.overdue_count)
            self.discrepancies_open.labels(provider).set(one.discrepancies_open)

    def reconciled(self, standing: Standing) -> None:
        """What the last reports say; None of them: zero."""
        for kind in ReportKind:
            done_at = standing.last_done_at.get(kind.value)
            self.reconcile_done.labels(kind.value).set(done_at.timestamp() if done_at is not None else 0.0)
            self.reconcile_differences.labels(kind.value).set(standing.differences.get(kind.value, 0))

    @property
    def journal_waiting_count(self) -> int:
        """Everybody's writes that are not committed yet, as the journal said last."""
        (family,) = self.journal_depth.collect()
        return int(family.samples[0].value)

    def balance_read(self, provider: str, currency: str, amount: int) -> None:
        """The provider said what we hold there, in minor units."""
        self.balance.labels(provider, currency).set(amount)

    def attempt_ended(self, provider: str, outcome: OutcomeClass) -> None:
        """A submit ended."""
        self.outcomes.labels(provider, outcome.value).inc()
        if outcome is not OutcomeClass.CONFIRMED:
            # A submit that pays within the call is counted once, where its payout is settled.
            self.attempts.labels(provider, "SENT" if outcome is OutcomeClass.ACCEPTED else "FAILED").inc()

    def payout_settled(self, provider: str, status: Status) -> None:
        """A payout reached a final state."""
        self.settled.labels(provider, status.value).inc()
        if status is Status.CONFIRMED:
            self.attempts.labels(provider, "CONFIRMED").inc()

    def state_left(self, before: Payout, now: datetime) -> None:
        """A payout has left the state of this row."""
        since, seconds = before.in_state_since, self._state_s.get((before.provider, before.status))
        if since is not None and seconds is not None:
            seconds.observe(max(0.0, (now - since).total_seconds()))

    def actor_started(self, kind: str) -> None:
        """See `RuntimeObserver`."""
        self._lives[kind].inc()
        self._starts[kind].inc()

    def actor_stopped(self, kind: str) -> None:
        """See `RuntimeObserver`."""
        self._lives[kind].dec()

    def actor_failed(self, kind: str, error: BaseException) -> None:
        """See `RuntimeObserver`."""
        self._lives[kind].dec()
        self.failures.labels(kind).inc()

    def turn_taken(
        self, kind: str, name: str | None, messages: int, duration_s: float, mailbox_depth: int
    ) -> None:
        """See `RuntimeObserver`."""
        self._turns.taken(kind, name, messages, duration_s, mailbox_depth)

    def dead_letter(self, kind: str, reason: DeadLetterReason, message: Any) -> None:
        """See `RuntimeObserver`."""
        self.dead_letters.labels(kind, str(reason)).inc()
