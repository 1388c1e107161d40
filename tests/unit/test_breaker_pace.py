"""A provider is left alone when it does not answer, and never called faster than its pace."""

from __future__ import annotations

from nepxy.engine.breaker import Breaker, BreakerState
from nepxy.engine.pace import Pace


def opened() -> Breaker:
    breaker = Breaker(failures_max=2, cooldown_s=5.0, cooldown_s_max=8.0)
    breaker.failed(0.0, was_probe=False)
    assert breaker.wait_s(0.0) == 0.0
    breaker.failed(0.0, was_probe=False)
    return breaker


def test_failures_in_a_row_open_the_breaker_for_its_cooldown() -> None:
    assert opened().wait_s(1.0) == 4.0
    assert opened().wait_s(9.0) == 0.0


def test_one_probe_goes_out_and_its_failure_doubles_the_cooldown_up_to_the_limit() -> None:
    breaker = opened()
    assert breaker.called(6.0)
    assert breaker.wait_s(100.0) == float("inf")
    breaker.failed(10.0, was_probe=True)
    assert breaker.wait_s(10.0) == 8.0


def test_an_answer_closes_the_breaker_and_an_abandoned_probe_frees_the_next() -> None:
    breaker = opened()
    breaker.called(6.0)
    breaker.abandoned(10.0, was_probe=True)
    assert breaker.wait_s(10.0) == 0.0
    breaker.succeeded(11.0)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.failure_count == 0


def test_only_the_probes_own_end_speaks_for_the_provider() -> None:
    breaker = opened()
    breaker.called(6.0)
    breaker.failed(7.0, was_probe=False)
    breaker.abandoned(7.0, was_probe=False)
    assert breaker.state is BreakerState.HALF_OPEN


def test_the_breaker_says_since_when_it_is_in_its_state() -> None:
    assert Breaker().changed_at_s is None
    breaker = opened()
    breaker.called(6.0)
    assert breaker.changed_at_s == 6.0
    breaker.succeeded(7.0)
    breaker.succeeded(8.0)
    assert breaker.changed_at_s == 7.0


def test_no_second_gets_more_calls_than_the_pace_and_silence_saves_up_no_more_than_one() -> None:
    pace = Pace(requests_per_s=4.0)
    calls = 0
    while pace.wait_s(1000.0) == 0.0:
        pace.called(1000.0)
        calls += 1
    assert calls == 4
    assert pace.wait_s(1000.0) == 0.25


def test_a_call_that_was_not_made_is_given_back_to_the_pace_and_no_more_than_that() -> None:
    pace = Pace(requests_per_s=1.0)
    pace.called(1000.0)
    pace.not_called()
    assert pace.wait_s(1000.0) == 0.0
    pace.not_called()
    pace.called(1000.0)
    assert pace.wait_s(1000.0) == 1.0


def test_a_wait_that_was_waited_out_is_over_whatever_fractions_add_up_to() -> None:
    pace = Pace(requests_per_s=0.3)
    now_s = 1000.0
    for _ in range(1000):
        pace.called(now_s)
        now_s += pace.wait_s(now_s)
        assert pace.wait_s(now_s) == 0.0


def test_a_held_provider_is_not_called_even_when_its_pace_is_unlimited() -> None:
    pace = Pace()
    pace.hold(0.0, 10.0)
    pace.hold(0.0, 1.0)
    assert pace.wait_s(4.0) == 6.0
