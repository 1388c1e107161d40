"""What operators see of the engine, of its providers and of its actors."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nepxy.actors.messages import EngineView, ProviderView
from nepxy.engine.restored import Restored


def provider_view(view: ProviderView) -> dict[str, Any]:
    """A provider, as it is now."""
    overrides, calls = view.overrides, view.calls
    rate = calls.success_rate
    return {
        "name": view.name,
        "enabled": view.enabled,
        "ready": view.ready,
        "missing": list(view.missing),
        "paused": view.paused,
        "paused_reason": view.paused_reason,
        "paused_by": overrides.paused_by if view.paused else "",
        "paused_at": overrides.paused_at if view.paused else None,
        "pause_is_saved": view.pause_is_saved,
        "retries_paused": overrides.retries_paused,
        "retries_paused_reason": overrides.retries_paused_reason,
        "breaker": view.breaker,
        "breaker_since": view.breaker_since,
        "breaker_forced": overrides.breaker_forced.value,
        "in_flight": view.in_flight,
        "waiting": view.waiting,
        "waiting_submits": view.waiting_submits,
        "waiting_questions": view.waiting_questions,
        "oldest_due_at": view.oldest_due_at,
        "held_until": view.held_until,
        "concurrency_max": view.concurrency_max,
        "requests_per_s": view.requests_per_s,
        "backoff_base_s": view.backoff_base_s,
        "backoff_cap_s": view.backoff_cap_s,
        "overridden": list(overrides.names()),
        "shortfall": asdict(view.shortfall) if view.shortfall is not None else None,
        "resumes_by_itself": view.resumes_by_itself,
        "calls": {
            "answered": calls.answered,
            "failed": calls.failed,
            "success_rate": round(rate, 4) if rate is not None else None,
            "p50_s": calls.p50_s,
            "p95_s": calls.p95_s,
        },
        "valid_commands": [*view.valid_commands, "retry_failed"],
    }


def restored_view(restored: Restored | None) -> dict[str, Any] | None:
    """The last restore of the database. Held: payouts are taken, and none is sent until an operator releases it."""
    if restored is None:
        return None
    return {"at": restored.at, "held": restored.held, "doubt_until": restored.doubt_until}


def engine_view(view: EngineView, *, version: str) -> dict[str, Any]:
    """The engine of this node, as it is now."""
    return {
        "state": view.state.value,
        "node_id": view.node_id,
        "version": version,
        "started_at": view.started_at,
        "shards_held": view.shards_held,
        "other_owner": view.other_owner,
        "intake_open": view.intake_open,
        "intake_reason": view.intake_reason,
        "intake_by": view.intake_by,
        "drains_here": view.drains_here,
        "restored": restored_view(view.restored),
        "payouts_in_memory": view.payouts_in_memory,
        "payouts_in_memory_max": view.payouts_in_memory_max,
        "journal_ok": view.journal_ok,
        "journal_depth": view.journal_depth,
        "recovered_count": view.recovered_count,
        "recovery_done": view.recovery_done,
        "sent_elsewhere": [asdict(one) for one in view.sent_elsewhere],
        "doubt": [asdict(one) for one in view.doubt],
        "valid_commands": list(view.valid_commands),
    }
