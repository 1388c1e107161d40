"""A provider is left alone when it does not answer, and never called faster than its pace."""

from __future__ import annotations

from nepxy.engine.breaker import Breaker, BreakerState
from nepxy.engine.pace import Pace


def opened() -> Breaker:
    breaker = Breaker(failures_max=2, cooldown_s=5.0, cooldown_s_max=8.0)
    breaker.failed(0.0)
    assert breaker.wait_s(0.0) == 0.0
    breaker.failed(0.0)
    return breaker


def test_failures_in_a_row_open_the_breaker_for_its_cooldown() -> None:
    assert opened().wait_s(1.0) == 4.0
    assert opened().wait_s(9.0) == 0.0


def test_one_probe_goes_out_and_its_failure_doubles_the_cooldown_up_to_the_limit() -> None:
    breaker = opened()
    breaker.called()
    assert breaker.wait_s(100.0) == float("inf")
    breaker.failed(10.0)
    assert breaker.wait_s(10.0) == 8.0


def test_an_answer_closes_the_breaker_and_an_abandoned_probe_frees_the_next() -> None:
    breaker = opened()
    breaker.called()
    breaker.abandoned(10.0)
    assert breaker.wait_s(10.0) == 0.0
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.failure_count == 0


def test_no_second_gets_more_calls_than_the_pace_and_silence_saves_up_no_more_than_one() -> None:
    pace = Pace(requests_per_s=4.0)
    calls = 0
    while pace.wait_s(1000.0) == 0.0:
        pace.called(1000.0)
        calls += 1
    assert calls == 4
    assert pace.wait_s(1000.0) == 0.25


def test_a_held_provider_is_not_called_even_when_its_pace_is_unlimited() -> None:
    pace = Pace()
    pace.hold(0.0, 10.0)
    pace.hold(0.0, 1.0)
    assert pace.wait_s(4.0) == 6.0
