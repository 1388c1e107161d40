"""Whose turn it is at a provider: places, pace, the budget of questions, and what the queues may keep in memory."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from nepxy.engine.breaker import Breaker, BreakerState
from nepxy.engine.events import Work
from nepxy.engine.gate import STALE_MAX, Gate, Kind, Want, kind_of
from nepxy.engine.payout import TransactionId
from tests.factories import NOW


def a_gate(*, places: int = 8, pace: float = 0.0, waiting_max: int = 1000) -> Gate:
    return Gate(
        concurrency_max=places,
        requests_per_s=pace,
        waiting_max=waiting_max,
        breaker=Breaker(failures_max=2, cooldown_s=5.0),
    )


def a_want(
    name: str, work: Work = Work.SUBMIT, *, due_s: float = 0.0, age_s: float = 0.0, who: object = "actor"
) -> Want:
    return Want(
        transaction_id=TransactionId(name),
        work=work,
        due_at=NOW + timedelta(seconds=due_s),
        created_at=NOW - timedelta(seconds=age_s),
        who=who,
    )


def crowd(gate: Gate, **counts: int) -> None:
    """So many of each kind of work."""
    for work, number in counts.items():
        for n in range(number):
            gate.want(a_want(f"{work}-{n}", Work[work.upper()], due_s=n))


def granted(gate: Gate, now_s: float = 0.0) -> list[str]:
    """All who may go now."""
    names: list[str] = []
    while (want := gate.next(now_s)) is not None:
        names.append(want.transaction_id)
    return names


def one_by_one(gate: Gate, times: int) -> list[Kind]:
    """Calls that end before the next one begins."""
    kinds = []
    for _ in range(times):
        want = gate.next(0.0)
        assert want is not None
        kinds.append(kind_of(want.work))
        gate.answered(want.transaction_id, 0.0)
    return kinds


def fail(gate: Gate, times: int) -> None:
    for n in range(times):
        gate.want(a_want(f"failing-{n}", due_s=-1000))
        want = gate.next(0.0)
        assert want is not None
        gate.failed(want.transaction_id, 0.0)


# ---- order -----------------------------------------------------------------------------------------


def test_due_first_then_oldest() -> None:
    gate = a_gate()
    gate.want(a_want("late", due_s=2, age_s=99))
    gate.want(a_want("young", due_s=1, age_s=1))
    gate.want(a_want("old", due_s=1, age_s=2))
    assert granted(gate) == ["old", "young", "late"]


def test_look_ups_of_payouts_in_doubt_go_before_polls() -> None:
    gate = a_gate(places=4)
    gate.want(a_want("poll", Work.POLL, due_s=-100))
    gate.want(a_want("look-up", Work.LOOKUP))
    assert one_by_one(gate, 2) == [Kind.LOOKUP, Kind.POLL]


# ---- the budget of questions -----------------------------------------------------------------------


def test_questions_hold_at_most_a_quarter_of_the_places() -> None:
    gate = a_gate(places=8)
    crowd(gate, lookup=5, poll=5)
    assert granted(gate) == ["lookup-0", "lookup-1"]
    crowd(gate, submit=10)
    assert len(granted(gate)) == 6


def test_of_four_calls_in_a_row_at_most_one_is_a_question_while_submits_wait() -> None:
    gate = a_gate(places=1)
    crowd(gate, submit=60, lookup=10, poll=20)
    kinds = one_by_one(gate, 60)
    assert Counter(kinds)[Kind.SUBMIT] == 45
    for start in range(len(kinds) - 3):
        assert kinds[start : start + 4].count(Kind.SUBMIT) >= 3


def test_submits_never_starve_questions_even_with_one_place() -> None:
    gate = a_gate(places=1)
    crowd(gate, submit=100, poll=3)
    assert one_by_one(gate, 12).count(Kind.POLL) == 3


@pytest.mark.parametrize("paused", [False, True])
def test_questions_get_every_call_while_no_submit_may_go(paused: bool) -> None:
    gate = a_gate(places=1)
    gate.submits_paused = paused
    crowd(gate, lookup=20, submit=20 if paused else 0)
    assert one_by_one(gate, 20) == [Kind.LOOKUP] * 20


def test_a_pace_is_shared_three_to_one() -> None:
    gate = a_gate(places=8, pace=1.0)
    crowd(gate, submit=40, poll=40)
    kinds = []
    for second in range(1000, 1020):
        want = gate.next(float(second))
        assert want is not None
        assert gate.next(float(second)) is None
        kinds.append(kind_of(want.work))
        gate.answered(want.transaction_id, float(second))
    assert Counter(kinds) == {Kind.SUBMIT: 15, Kind.POLL: 5}


# ---- what stops whom -------------------------------------------------------------------------------


def test_a_pause_holds_submits_and_resends_only() -> None:
    gate = a_gate()
    gate.submits_paused = True
    crowd(gate, submit=2, resend=2, lookup=1, poll=1)
    assert granted(gate) == ["lookup-0", "poll-0"]
    gate.submits_paused = False
    assert len(granted(gate)) == 4


def test_silence_that_the_provider_asked_for_holds_everything() -> None:
    gate = a_gate()
    gate.pace.hold(0.0, 10.0)
    crowd(gate, submit=1, lookup=1)
    assert granted(gate, 9.0) == []
    assert gate.wait_s(9.0) == 1.0
    assert len(granted(gate, 10.0)) == 2


def test_an_open_breaker_holds_everything_and_lets_one_probe_through_at_a_time() -> None:
    gate = a_gate()
    fail(gate, 2)
    crowd(gate, submit=5, lookup=5)
    assert granted(gate, 4.9) == []
    (probe,) = granted(gate, 5.0)
    assert gate.breaker_state is BreakerState.HALF_OPEN
    assert granted(gate, 500.0) == []
    gate.answered(TransactionId(probe), 501.0)
    assert len(granted(gate, 501.0)) == 7


def test_a_probe_that_made_no_call_proves_nothing_and_the_next_one_goes_at_once() -> None:
    gate = a_gate()
    fail(gate, 2)
    crowd(gate, submit=3)
    (first,) = granted(gate, 5.0)
    gate.unused(TransactionId(first), 6.0)
    assert gate.breaker_state is BreakerState.OPEN
    assert len(granted(gate, 6.0)) == 1


def test_a_call_from_before_the_breaker_opened_says_nothing_about_the_probe() -> None:
    gate = a_gate()
    gate.want(a_want("slow"))
    assert granted(gate) == ["slow"]
    fail(gate, 2)
    crowd(gate, submit=2)
    assert len(granted(gate, 5.0)) == 1
    gate.failed(TransactionId("slow"), 6.0)
    assert gate.breaker_state is BreakerState.HALF_OPEN
    assert granted(gate, 6.0) == []


def test_a_place_that_was_not_used_costs_neither_pace_nor_credit() -> None:
    gate = a_gate(pace=1.0)
    gate.want(a_want("a"))
    gate.want(a_want("b"))
    assert granted(gate, 1000.0) == ["a"]
    gate.unused(TransactionId("a"), 1000.0)
    assert granted(gate, 1000.0) == ["b"]

    gate = a_gate()
    fail(gate, 1)
    gate.want(a_want("unused"))
    granted(gate)
    gate.unused(TransactionId("unused"), 0.0)
    fail(gate, 1)
    assert gate.breaker_state is BreakerState.OPEN


# ---- places ----------------------------------------------------------------------------------------


def test_no_more_calls_than_places_and_one_that_is_given_back_is_used_again() -> None:
    gate = a_gate(places=2)
    crowd(gate, submit=3)
    first, _ = granted(gate)
    gate.answered(TransactionId(first), 1.0)
    assert granted(gate, 1.0) == ["submit-2"]
    assert gate.held_count == 2


def test_a_wish_that_crosses_with_its_own_offer_gets_no_second_place() -> None:
    gate = a_gate()
    gate.want(a_want("a", Work.LOOKUP))
    assert granted(gate) == ["a"]
    gate.want(a_want("a", Work.SUBMIT))
    assert granted(gate) == []
    assert (gate.held_of(Kind.SUBMIT), gate.held_questions) == (1, 0)
    gate.answered(TransactionId("a"), 0.0)
    assert gate.held_count == 0


def test_a_restarted_payout_gets_a_place_of_its_own_and_its_predecessors_is_free() -> None:
    gate = a_gate(places=1)
    gate.want(a_want("a", who="first life"))
    assert granted(gate) == ["a"]
    gate.want(a_want("a", who="second life"))
    assert granted(gate) == ["a"]
    assert gate.held_count == 1


def test_who_is_withdrawn_or_changes_queues_is_not_called_by_the_old_ticket() -> None:
    gate = a_gate()
    gate.want(a_want("gone", Work.LOOKUP))
    gate.unused(TransactionId("gone"), 0.0)
    gate.want(a_want("moved", Work.LOOKUP))
    gate.want(a_want("moved", Work.SUBMIT))
    assert gate.waiting_of(Kind.LOOKUP) == 0
    gate.submits_paused = True
    assert granted(gate) == []


# ---- memory ----------------------------------------------------------------------------------------


def test_no_more_may_wait_than_the_limit_but_those_who_do_may_change_their_mind() -> None:
    gate = a_gate(waiting_max=2)
    gate.submits_paused = True
    assert gate.want(a_want("a"))
    assert gate.want(a_want("b"))
    assert not gate.want(a_want("c"))
    assert gate.want(a_want("a", Work.RESEND))


def test_stale_tickets_do_not_pile_up_while_nobody_is_called() -> None:
    gate = a_gate()
    gate.submits_paused = True
    crowd(gate, submit=10)
    for n in range(10_000):
        gate.want(a_want("restless", due_s=n))
        gate.unused(TransactionId("restless"), 0.0)
    assert gate.ticket_count <= 2 * 11 + STALE_MAX + 1
    gate.submits_paused = False
    assert granted(gate) == [f"submit-{n}" for n in range(8)]


def test_the_longest_waiting_is_seen_whichever_queue_it_waits_in() -> None:
    gate = a_gate()
    assert gate.oldest_due_at() is None
    gate.submits_paused = True
    gate.want(a_want("withdrawn", due_s=-9))
    gate.unused(TransactionId("withdrawn"), 0.0)
    crowd(gate, submit=1)
    gate.want(a_want("poll", Work.POLL, due_s=-5))
    assert gate.oldest_due_at() == NOW - timedelta(seconds=5)


def test_who_waited_is_forgotten_and_who_calls_is_not() -> None:
    gate = a_gate(places=1)
    crowd(gate, submit=2)
    granted(gate)
    gate.restarted()
    assert (gate.waiting_count, gate.held_count, gate.ticket_count) == (0, 1, 0)


def test_who_asks_after_a_restart_has_no_place_any_more() -> None:
    """It gave its place back while the provider's actor was dead, so nobody heard."""
    gate = a_gate(places=1)
    gate.want(a_want("a"))
    assert granted(gate) == ["a"]
    gate.restarted()
    gate.want(a_want("a"))
    assert granted(gate) == ["a"]
    assert gate.held_count == 1
