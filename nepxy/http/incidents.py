"""The runbook's five incidents, judged from live figures: pure, so that a test can put any figures before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nepxy.actors.messages import EngineState, EngineView, ProviderView
from nepxy.http.watch import Counts
from nepxy.storage.activity import DatabaseActivity
from nepxy.storage.in_flight import FlightFigures

OK: Final = "ok"
WRONG: Final = "wrong"
UNKNOWN: Final = "unknown"

SIGNATURES_MIN: Final = 3
"""In five minutes: one or two may be somebody who tries."""
FAILURES_MIN: Final = 5
RATE_MIN: Final = 0.5
CONNECTIONS_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """This node's connections for reads."""

    size: int
    in_use: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known at this moment; None: nobody says."""

    engine: EngineView | None
    flights: Sequence[FlightFigures] | None
    last_5_min: Counts
    last_15_min: Counts
    pool: Pool
    activity: DatabaseActivity | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """A command that helps: the same thing twice."""

    cli: str
    http: str
    does: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One incident: is it there?"""

    id: str
    title: str
    state: str
    says: str
    runbook: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    commands: tuple[Lever, ...] = ()


def incidents(facts: Facts) -> tuple[Finding, ...]:
    """All five, in the runbook's order."""
    return (
        _stuck_sent(facts),
        _webhook_signatures(facts),
        _provider_down(facts),
        _idempotency_conflicts(facts),
        _pool_exhausted(facts),
    )


def _stuck_sent(facts: Facts) -> Finding:
    known: dict[str, Any] = {
        "id": "stuck_sent",
        "title": "Payouts stuck in SENT",
        "runbook": "payouts-stuck-in-sent",
    }
    engine = facts.engine
    if facts.flights is None:
        return Finding(**known, state=UNKNOWN, says="The database does not say what is in flight.")
    stuck = {one.provider: one.stuck_count for one in facts.flights if one.stuck_count}
    overdue = {one.provider: one.overdue_count for one in facts.flights if one.overdue_count}
    figures = {
        "sent": sum(one.sent_count for one in facts.flights),
        "stuck": stuck,
        "not_followed": overdue,
        "oldest_age_s": round(max((one.sent_oldest_age_s for one in facts.flights), default=0.0), 1),
    }
    if not stuck and not overdue:
        says = f"{figures['sent']} payouts are in SENT, none of them for long."
        return Finding(**known, state=OK, says=says, figures=figures)
    parts = []
    if stuck:
        parts.append(f"{sum(stuck.values())} payouts are in SENT for too long ({_listed(stuck)})")
    if overdue:
        parts.append(f"{sum(overdue.values())} are not being followed ({_listed(overdue)})")
    if engine is None or engine.state is not EngineState.RUNNING:
        parts.append(f"this node's engine is {engine.state.value if engine else 'not answering'}")
    levers = (
        Lever(
            cli="nepxy payouts list --status SENT --stuck-for 30m",
            http="GET /v1/admin/mobile-money/payouts?status=SENT&stuck_s=1800",
            does="shows them",
        ),
        Lever(
            cli="nepxy payouts retry ID --reason WHY",
            http="POST /v1/admin/mobile-money/payouts/ID/retry",
            does="asks the provider about one now, and sends again only where that is safe",
        ),
        Lever(
            cli="nepxy engine recover --reason WHY",
            http="POST /v1/admin/supervisor/recover",
            does="looks for everything that is due",
        ),
    )
    return Finding(**known, state=WRONG, says=f"{'; '.join(parts)}.", figures=figures, commands=levers)


def _webhook_signatures(facts: Facts) -> Finding:
    refused = {name: count for name, count in facts.last_5_min.signatures.items() if count}
    valid = facts.last_5_min.webhooks
    many = {name: count for name, count in refused.items() if count >= SIGNATURES_MIN}
    known: dict[str, Any] = {
        "id": "webhook_signatures",
        "title": "Webhook signature failures",
        "runbook": "webhook-signature-failures",
        "figures": {
            "refused_5_min": refused,
            "valid_5_min": {name: count for name, count in valid.items() if count},
        },
    }
    if not many:
        says = f"{sum(refused.values())} webhooks were refused for their signature in 5 minutes."
        return Finding(**known, state=OK, says=says)
    name = max(many, key=lambda one: many[one])
    says = (
        f"{sum(many.values())} webhooks were refused for their signature in 5 minutes ({_listed(many)}); "
        f"{sum(valid.values())} were signed well. No payout is harmed: they are polled."
    )
    levers = (
        Lever(
            cli=f"nepxy webhooks list --provider {name} --signature-invalid",
            http=f"GET /v1/admin/webhooks/events?provider={name}&signature_valid=false",
            does="shows what came, masked",
        ),
        Lever(
            cli="nepxy engine reload-secrets --reason WHY",
            http="POST /v1/admin/supervisor/reload_secrets",
            does="takes the secrets that the files hold now",
        ),
    )
    return Finding(**known, state=WRONG, says=says, commands=levers)


def _provider_down(facts: Facts) -> Finding:
    known: dict[str, Any] = {
        "id": "provider_down",
        "title": "Provider downtime",
        "runbook": "provider-downtime",
    }
    if facts.engine is None:
        return Finding(**known, state=UNKNOWN, says="The engine does not answer.")
    troubles = {
        one.name: trouble
        for one in facts.engine.providers
        if (trouble := _trouble(one, facts.last_5_min)) is not None
    }
    figures = {
        one.name: {
            "breaker": one.breaker,
            "answered_5_min": one.calls.answered,
            "failed_5_min": one.calls.failed,
            "waiting": one.waiting,
        }
        for one in facts.engine.providers
        if one.ready or one.waiting
    }
    if not troubles:
        return Finding(**known, state=OK, says="All providers answer.", figures=figures)
    name = next(iter(troubles))
    levers = (
        Lever(
            cli=f"nepxy providers show {name}",
            http=f"GET /v1/admin/providers/{name}",
            does="shows breaker, success rate and who waits",
        ),
        Lever(
            cli=f"nepxy providers pause-retries {name} --reason WHY",
            http=f"POST /v1/admin/providers/{name}/pause_retries",
            does="sends nothing a second time; first attempts go on",
        ),
        Lever(
            cli=f"nepxy providers set-backoff {name} --base 5m --cap 1h --reason WHY",
            http=f"POST /v1/admin/providers/{name}/set_backoff",
            does="waits longer between two attempts",
        ),
        Lever(
            cli=f"nepxy providers pause {name} --reason WHY",
            http=f"POST /v1/admin/providers/{name}/pause",
            does="sends nothing at all until it is resumed",
        ),
    )
    says = "; ".join(f"{one} {trouble}" for one, trouble in troubles.items())
    return Finding(**known, state=WRONG, says=f"{says}.", figures=figures, commands=levers)


def _trouble(view: ProviderView, lately: Counts) -> str | None:
    calls, rate = view.calls, view.calls.success_rate
    if view.breaker != "closed" and not view.overrides.breaker_forced:
        return f"does not answer: its breaker is {view.breaker.replace('_', ' ')}"
    if calls.failed >= FAILURES_MIN and rate is not None and rate < RATE_MIN:
        return f"fails: {calls.failed} of {calls.failed + calls.answered} calls had no sensible answer in 5 minutes"
    failed, taken = lately.failed.get(view.name, 0), lately.taken.get(view.name, 0)
    if failed >= FAILURES_MIN and failed > taken:
        return f"refuses: {failed} submits failed in 5 minutes, {taken} were taken"
    if view.paused and view.overrides.paused_by == "engine":
        return f"is paused by the engine ({view.paused_reason})"
    return None


def _idempotency_conflicts(facts: Facts) -> Finding:
    count = facts.last_15_min.conflicts
    known: dict[str, Any] = {
        "id": "idempotency_conflicts",
        "title": "Duplicates and idempotency",
        "runbook": "duplicates-and-idempotency",
        "figures": {"conflicts_15_min": count},
    }
    if not count:
        return Finding(**known, state=OK, says="No key was used for two requests in 15 minutes.")
    says = (
        f"{count} requests were refused in 15 minutes because their Idempotency-Key names another one. "
        "The first request of a key stands; nobody was paid twice."
    )
    levers = (
        Lever(
            cli="nepxy idempotency show KEY",
            http="GET /v1/admin/idempotency?key=KEY",
            does="shows the stored request and its answer",
        ),
        Lever(
            cli="nepxy idempotency compare KEY --client CLIENT --body @FILE",
            http="POST /v1/admin/idempotency/compare",
            does="names the fields that differ",
        ),
    )
    return Finding(**known, state=WRONG, says=says, commands=levers)


def _pool_exhausted(facts: Facts) -> Finding:
    pool, activity = facts.pool, facts.activity
    known: dict[str, Any] = {
        "id": "pool_exhausted",
        "title": "Connection pool exhaustion",
        "runbook": "connection-pool-exhaustion",
        "figures": {
            "size": pool.size,
            "in_use": pool.in_use,
            "waiting": pool.waiting,
            "connections": activity.all if activity else None,
            "connections_max": activity.max if activity else None,
            "oldest_transaction_s": activity.oldest_transaction_s if activity else None,
            "locks_waiting": activity.locks_waiting if activity else None,
        },
    }
    full = pool.waiting > 0 and pool.in_use >= pool.size
    server_full = activity is not None and activity.all >= CONNECTIONS_SHARE * activity.max
    levers = (
        Lever(
            cli="nepxy database",
            http="GET /v1/admin/database",
            does="shows connections, long transactions and who waits for whom",
        ),
        Lever(
            cli="nepxy engine pause-intake --reason WHY",
            http="POST /v1/admin/supervisor/pause_intake",
            does="takes no new payouts; what was taken goes on",
        ),
    )
    if full:
        says = f"All {pool.size} connections for reads are in use, and {pool.waiting} reads wait for one."
        return Finding(**known, state=WRONG, says=says, commands=levers)
    if server_full and activity is not None:
        says = f"The server has {activity.all} of at most {activity.max} connections."
        return Finding(**known, state=WRONG, says=says, commands=levers)
    if activity is None:
        return Finding(**known, state=UNKNOWN, says="The database does not answer.", commands=levers)
    says = f"{pool.in_use} of {pool.size} connections for reads are in use, nobody waits."
    return Finding(**known, state=OK, says=says)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())
