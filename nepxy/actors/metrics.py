"""What the engine's actors measure. Names that alerts rely on are kept; new ones start with `nepxy_`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nepxy.engine.outcomes import OutcomeClass
from nepxy.engine.payout import Status
from nepxy.engine.runtime import DeadLetterReason

ACTOR_KINDS: Final = ("supervisor", "provider", "payout", "journal", "reconciler", "lease_keeper")


class EngineMetrics:
    """Counters and gauges of the actors; also the runtime's observer. The registry is passed in."""

    def __init__(self, registry: CollectorRegistry, providers: Iterable[str]) -> None:
        """Create all metrics, with every known combination of labels, so that zero is no gap."""
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
        self.breaker_open = Gauge(
            "nepxy_provider_breaker_open",
            "1 while the breaker is not closed.",
            ("provider",),
            registry=registry,
        )
        self.slots_held = Gauge(
            "nepxy_provider_calls", "Provider calls in flight.", ("provider",), registry=registry
        )
        self.slots_wanted = Gauge(
            "nepxy_provider_waiting", "Payouts that wait for a slot.", ("provider",), registry=registry
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
        self.journal_depth = Gauge(
            "nepxy_journal_waiting", "Writes that wait for a commit.", registry=registry
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
        self.shards_held = Gauge("nepxy_shards_held", "Shards that this node owns.", registry=registry)
        self.alive = Gauge("nepxy_actors_alive", "Actors alive.", ("kind",), registry=registry)
        self.started = Counter("nepxy_actor_starts_total", "Actors started.", ("kind",), registry=registry)
        self.failures = Counter(
            "nepxy_actor_failures_total", "Actors that died.", ("kind",), registry=registry
        )
        self.restarts = Counter(
            "nepxy_actor_restarts_total", "Actors restarted.", ("kind",), registry=registry
        )
        self.messages = Counter(
            "nepxy_actor_messages_total", "Messages handled.", ("kind", "name"), registry=registry
        )
        self.mailbox = Gauge(
            "nepxy_actor_mailbox_depth",
            "Messages waiting after the last turn.",
            ("kind", "name"),
            registry=registry,
        )
        self.turn_s = Histogram(
            "nepxy_actor_turn_seconds",
            "How long a turn kept the loop.",
            ("kind",),
            buckets=(0.00001, 0.0001, 0.001, 0.01, 0.1, 1),
            registry=registry,
        )
        self.dead_letters = Counter(
            "nepxy_dead_letters_total",
            "Messages that no live actor took.",
            ("kind", "reason"),
            registry=registry,
        )
        self._fill(tuple(providers))
        self._turns: dict[tuple[str, str | None], tuple[Any, Any, Any]] = {}

    def _fill(self, providers: tuple[str, ...]) -> None:
        for provider in providers:
            for result in ("SENT", "CONFIRMED", "FAILED"):
                self.attempts.labels(provider, result)
            for outcome in OutcomeClass:
                self.outcomes.labels(provider, outcome.value)
            for status in Status:
                if status.is_final:
                    self.settled.labels(provider, status.value)
            for gauge in (self.paused, self.breaker_open, self.slots_held, self.slots_wanted):
                gauge.labels(provider)
        for kind in ACTOR_KINDS:
            for metric in (self.alive, self.started, self.failures, self.restarts):
                metric.labels(kind)
            for reason in DeadLetterReason:
                self.dead_letters.labels(kind, str(reason))
        self.journal_ok.set(1)

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

    def actor_started(self, kind: str) -> None:
        """See `RuntimeObserver`."""
        self.alive.labels(kind).inc()
        self.started.labels(kind).inc()

    def actor_stopped(self, kind: str) -> None:
        """See `RuntimeObserver`."""
        self.alive.labels(kind).dec()

    def actor_failed(self, kind: str, error: BaseException) -> None:
        """See `RuntimeObserver`."""
        self.alive.labels(kind).dec()
        self.failures.labels(kind).inc()

    def turn_taken(
        self, kind: str, name: str | None, messages: int, duration_s: float, mailbox_depth: int
    ) -> None:
        """See `RuntimeObserver`; the label children are looked up once a kind and name: this is the hottest path."""
        bound = self._turns.get((kind, name))
        if bound is None:
            labels = (kind, name or "")
            bound = (self.messages.labels(*labels), self.turn_s.labels(kind), self.mailbox.labels(*labels))
            self._turns[(kind, name)] = bound
        handled, turn, depth = bound
        handled.inc(messages)
        turn.observe(duration_s)
        if name is not None:
            depth.set(mailbox_depth)

    def dead_letter(self, kind: str, reason: DeadLetterReason, message: Any) -> None:
        """See `RuntimeObserver`."""
        self.dead_letters.labels(kind, str(reason)).inc()
