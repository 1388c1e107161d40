"""Turns are counted in plain numbers, and read as the client library's own metrics would be."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from nepxy.actors.turn_metrics import TurnMetrics


def test_turns_are_added_up_by_kind_and_messages_by_name() -> None:
    registry = CollectorRegistry()
    turns = TurnMetrics(registry)
    turns.taken("provider", "TMONEY", 3, 0.0001, 2)
    turns.taken("provider", "FLOOZ", 1, 0.5, 0)
    turns.taken("provider", "TMONEY", 4, 7.0, 1)
    turns.taken("payout", None, 1, 0.000002, 0)

    def sample(metric: str, **labels: str) -> float | None:
        return registry.get_sample_value(metric, labels)

    assert sample("nepxy_actor_messages_total", kind="provider", name="TMONEY") == 7
    assert sample("nepxy_actor_messages_total", kind="payout", name="") == 1
    assert sample("nepxy_actor_mailbox_depth", kind="provider", name="TMONEY") == 1
    assert sample("nepxy_actor_mailbox_depth", kind="payout", name="") is None
    by_bound = {
        bound: sample("nepxy_actor_turn_seconds_bucket", kind="provider", le=bound)
        for bound in ("1e-05", "0.0001", "0.1", "1.0", "+Inf")
    }
    # A bound belongs to its own bucket, as the format wants it.
    assert by_bound == {"1e-05": 0, "0.0001": 1, "0.1": 1, "1.0": 2, "+Inf": 3}
    assert sample("nepxy_actor_turn_seconds_count", kind="provider") == 3
    assert sample("nepxy_actor_turn_seconds_sum", kind="provider") == 7.5001
    assert b"# TYPE nepxy_actor_turn_seconds histogram" in generate_latest(registry)
