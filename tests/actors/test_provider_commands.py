"""Operators' commands to a provider: in the database before they are answered, on every node, across restarts."""

from __future__ import annotations

from typing import Any

import pytest

from nepxy.actors.commands import CommandProvider, ProviderAnswer, ProviderCommand
from nepxy.actors.messages import PauseProvider, PauseStateLoaded, SlotResult
from nepxy.actors.provider_state import ProviderState
from nepxy.engine.breaker import Forced
from nepxy.engine.controls import NO_OVERRIDES
from nepxy.engine.events import Work
from nepxy.engine.gate import Gate
from nepxy.storage.controls import By, Controls
from tests.actors.support import Reply
from tests.actors.test_provider_actor import Town
from tests.factories import a_policy

BY = By(who="operator:ama", reason="TMONEY is slow")


@pytest.fixture
def town() -> Town:
    town = Town()
    town.provider(places=4)
    return town


def command(town: Town, name: ProviderCommand, **fields: Any) -> ProviderAnswer:
    """Give a command, and wait for its answer."""
    reply = Reply()
    town.refs["TMONEY"].tell(
        CommandProvider(provider="TMONEY", command=name, by=BY, reply_to=reply, **fields)
    )
    assert town.world.run_until(lambda: bool(reply.values or reply.errors), within_s=5)
    assert reply.errors == []
    (answer,) = reply.values
    assert isinstance(answer, ProviderAnswer)
    return answer


def refresh(town: Town) -> None:
    """What the lease keeper tells every other second."""
    state = PauseStateLoaded(
        paused=dict(town.store.paused),
        shortfalls=dict(town.store.short),
        controls=Controls(providers=dict(town.store.overrides)),
    )
    town.refs["TMONEY"].tell(state)
    town.world.run_for(0.1)


def test_while_retries_are_paused_first_attempts_and_questions_go_on(town: Town) -> None:
    assert command(town, ProviderCommand.PAUSE_RETRIES).provider.overrides.retries_paused
    town.caller("first")
    town.caller("again", Work.RESEND)
    town.caller("question", Work.POLL)
    town.world.run_for(10)
    assert sorted(town.called()) == ["first", "question"]
    assert town.view().waiting_submits == 1
    command(town, ProviderCommand.RESUME_RETRIES)
    town.world.run_for(2)
    assert "again" in town.called()
    assert [row[1] for row in town.store.commands] == ["pause_retries", "resume_retries"]


def test_a_pace_and_places_hold_at_once_and_go_back_to_what_is_configured(town: Town) -> None:
    view = command(town, ProviderCommand.SET_PACE, requests_per_s=1.0, concurrency_max=1).provider
    assert (view.requests_per_s, view.concurrency_max) == (1.0, 1)
    assert view.overrides.names() == ("requests_per_s", "concurrency_max")
    for n in range(5):
        town.caller(f"p{n}", call_s=0.1)
    town.world.run_for(2.5)
    assert 2 <= len(town.calls) <= 3
    view = command(town, ProviderCommand.SET_PACE).provider
    assert (view.requests_per_s, view.concurrency_max, view.overrides.names()) == (0.0, 4, ())


def test_more_places_than_connections_are_refused_with_what_to_do(town: Town) -> None:
    answer = command(town, ProviderCommand.SET_PACE, concurrency_max=5)
    assert (answer.answer, answer.field) == ("VALIDATION_FAILED", "concurrency_max")
    assert "TMONEY_CONCURRENCY_MAX" in answer.problem
    assert town.store.commands == []


def test_backoff_reaches_the_payouts_policy_and_is_taken_back(town: Town) -> None:
    state = town.states["TMONEY"]
    state.configured = state.policy = a_policy()
    before = state.policy.retry
    command(town, ProviderCommand.SET_BACKOFF, base_s=300.0, cap_s=7200.0)
    assert state.policy is not None
    assert (state.policy.retry.base_s, state.policy.retry.cap_s) == (300.0, 7200.0)
    assert state.policy.retry.send_window_s == before.send_window_s
    command(town, ProviderCommand.SET_BACKOFF)
    assert state.policy.retry == before


def test_a_cap_below_the_base_is_refused(town: Town) -> None:
    town.states["TMONEY"].configured = a_policy()
    answer = command(town, ProviderCommand.SET_BACKOFF, base_s=8000.0)
    assert (answer.answer, answer.field) == ("VALIDATION_FAILED", "cap_s")


def test_a_breaker_held_open_stops_every_call_until_it_is_released(town: Town) -> None:
    assert command(town, ProviderCommand.OPEN_BREAKER).provider.breaker == "open"
    town.caller("submit")
    town.caller("question", Work.POLL)
    town.world.run_for(300)
    assert town.called() == []
    answer = command(town, ProviderCommand.OPEN_BREAKER)
    assert answer.answer == "COMMAND_NOT_VALID"
    assert {"close_breaker", "release_breaker"} <= set(answer.provider.valid_commands)
    command(town, ProviderCommand.RELEASE_BREAKER)
    town.world.run_for(2)
    assert sorted(town.called()) == ["question", "submit"]


def test_a_breaker_held_closed_stays_so_whatever_fails(town: Town) -> None:
    town.answer = SlotResult.FAILED
    command(town, ProviderCommand.CLOSE_BREAKER)
    for n in range(30):
        town.caller(f"p{n}", call_s=0.1)
    town.world.run_for(5)
    assert (town.view().breaker, len(town.calls)) == ("closed", 30)
    command(town, ProviderCommand.RELEASE_BREAKER)
    for n in range(30):
        town.caller(f"q{n}", call_s=0.1)
    town.world.run_for(2)
    assert town.view().breaker == "open"


def test_nothing_is_set_while_the_database_is_away_and_the_operator_is_told(town: Town) -> None:
    town.store.is_up = False
    reply = Reply()
    town.refs["TMONEY"].tell(
        CommandProvider(provider="TMONEY", command=ProviderCommand.OPEN_BREAKER, by=BY, reply_to=reply)
    )
    assert town.world.run_until(lambda: bool(reply.errors), within_s=5)
    assert (town.view().breaker, town.view().overrides) == ("closed", NO_OVERRIDES)


def test_another_nodes_command_holds_here_with_the_next_refresh_and_is_taken_back_with_one(
    town: Town,
) -> None:
    other = Town()
    other.provider()
    other.store.overrides = town.store.overrides
    command(town, ProviderCommand.SET_PACE, concurrency_max=2)
    command(town, ProviderCommand.OPEN_BREAKER)
    refresh(other)
    assert (other.view().concurrency_max, other.view().breaker) == (2, "open")
    command(town, ProviderCommand.SET_PACE)
    command(town, ProviderCommand.CLOSE_BREAKER)
    refresh(other)
    assert (other.view().concurrency_max, other.view().breaker) == (4, "closed")


def test_what_was_read_before_a_command_does_not_undo_it(town: Town) -> None:
    stale = PauseStateLoaded(controls=Controls())
    command(town, ProviderCommand.SET_PACE, concurrency_max=2)
    town.refs["TMONEY"].tell(stale)
    town.world.run_for(0.1)
    assert town.view().concurrency_max == 2
    refresh(town)
    assert town.view().concurrency_max == 2


def test_a_successor_of_the_actor_keeps_what_was_set(town: Town) -> None:
    command(town, ProviderCommand.PAUSE_RETRIES)
    command(town, ProviderCommand.SET_PACE, requests_per_s=3.0)
    before = town.view()
    town.crash()
    town.start_again()
    town.world.run_for(1)
    assert town.view() == before


def test_an_operators_pause_takes_the_place_of_the_engines_and_only_once(town: Town) -> None:
    town.refs["TMONEY"].tell(PauseProvider(reason="HTTP_403", who="engine"))
    town.world.run_for(1)
    assert "pause" in town.view().valid_commands
    view = command(town, ProviderCommand.PAUSE).provider
    assert (view.paused_reason, view.overrides.paused_by) == ("TMONEY is slow", "operator:ama")
    assert "pause" not in view.valid_commands
    assert command(town, ProviderCommand.PAUSE).answer == "COMMAND_NOT_VALID"
    assert command(town, ProviderCommand.RESUME).provider.paused is False
    assert town.store.pause_log == [
        ("TMONEY", True, "engine"),
        ("TMONEY", True, "operator:ama"),
        ("TMONEY", False, "operator:ama"),
    ]


def test_the_last_minutes_calls_are_counted_and_forgotten(town: Town) -> None:
    for n in range(9):
        town.caller(f"p{n}", call_s=1.0)
    town.world.run_for(10)
    town.answer = SlotResult.FAILED
    town.caller("bad", call_s=20.0)
    town.world.run_for(30)
    calls = town.view().calls
    assert (calls.answered, calls.failed, calls.success_rate) == (9, 1, 0.9)
    assert calls.p50_s is not None
    assert calls.p95_s is not None
    assert 1.0 <= calls.p50_s <= 1.5
    assert 20.0 <= calls.p95_s <= 30.0
    town.world.run_for(310)
    assert (town.view().calls.answered, town.view().calls.success_rate) == (0, None)


def test_a_provider_that_cannot_tell_its_balance_is_not_asked(town: Town) -> None:
    answer = command(town, ProviderCommand.CHECK_BALANCE)
    assert answer.answer == "COMMAND_NOT_VALID"
    assert "check_balance" not in answer.provider.valid_commands


def test_a_forced_breaker_is_told_apart_from_an_open_one() -> None:
    gate = Gate(concurrency_max=2, requests_per_s=0.0, waiting_max=10)
    state = ProviderState(name="TMONEY", ready=True, enabled=True, gate=gate)
    gate.breaker.force(Forced.OPEN, 5.0)
    gate.breaker.succeeded(6.0)
    assert gate.breaker.wait_s(1e9) == float("inf")
    assert gate.breaker.changed_at_s == 5.0
    gate.breaker.force(Forced.NOT, 7.0)
    assert gate.breaker.wait_s(7.0) == 0.0
    assert state.overrides.names() == ()
