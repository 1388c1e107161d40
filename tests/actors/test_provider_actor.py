"""The provider actor on virtual time: places, bulkheads, outages, and a pause that is never lost."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from nepxy.actors.messages import (
    PauseProvider,
    PauseStateLoaded,
    ProviderView,
    ResumeProvider,
    SlotOffered,
    SlotResult,
    SlowDownProvider,
    WantSlot,
)
from nepxy.actors.provider import HOLDERS_CHECK_S, ProviderActor
from nepxy.actors.provider_state import UNSAVED_MAX, ProviderState
from nepxy.engine.events import Work
from nepxy.engine.gate import Gate
from nepxy.engine.payout import TransactionId
from tests.actors.support import (
    Called,
    Caller,
    FakeStore,
    Reply,
    Sink,
    a_world,
    engine_parts,
    new_metrics,
)


class Town:
    """One process with provider actors and as many callers as a test wants."""

    def __init__(self, seed: int = 1) -> None:
        self.world, self.node, self.runtime = a_world(seed)
        self.store = FakeStore(self.node)
        self.metrics, self.registry = new_metrics()
        self.parent: list[Any] = []
        self.ear = Sink.start(heard=self.parent, runtime=self.runtime)
        self.parts = engine_parts(self.runtime, self.store, self.ear, self.metrics)
        self.calls: list[Called] = []
        self.answer = SlotResult.ANSWERED
        self.states: dict[str, ProviderState] = {}
        self.refs: dict[str, Any] = {}

    def provider(
        self, name: str = "TMONEY", *, places: int = 4, pace: float = 0.0, waiting_max: int = 1000
    ) -> Any:
        gate = Gate(concurrency_max=places, requests_per_s=pace, waiting_max=waiting_max)
        self.states[name] = ProviderState(name=name, ready=True, enabled=True, gate=gate)
        return self.start_again(name)

    def start_again(self, name: str = "TMONEY") -> Any:
        self.refs[name] = ProviderActor.start(
            state=self.states[name],
            parts=self.parts,
            runtime=self.runtime,
            parent=self.ear,
            child_id=("provider", name),
        )
        return self.refs[name]

    def crash(self, name: str = "TMONEY") -> None:
        self.refs[name].tell("what no provider takes")
        assert self.world.run_until(lambda: not self.refs[name].is_alive(), within_s=1)

    def caller(self, name: str, work: Work = Work.SUBMIT, *, at: str = "TMONEY", **how: Any) -> Any:
        how = {"answer": lambda: self.answer, "due_at": self.world.now(), "call_s": 1.0} | how
        return Caller.start(
            name=name,
            provider=lambda: self.refs[at],
            calls=self.calls,
            work=work,
            runtime=self.runtime,
            **how,
        )

    def view(self, name: str = "TMONEY") -> ProviderView:
        return self.states[name].view(self.node.scheduler)

    def called(self) -> list[str]:
        return [call.name for call in self.calls]

    def sample(self, metric: str, **labels: str) -> float | None:
        registry: CollectorRegistry = self.registry
        return registry.get_sample_value(metric, {"provider": "TMONEY"} | labels)


@pytest.fixture
def town() -> Town:
    return Town()


# ---- places ----------------------------------------------------------------------------------------


def test_no_more_calls_run_at_once_than_there_are_places(town: Town) -> None:
    town.provider(places=3)
    for n in range(10):
        town.caller(f"p{n}", call_s=2.0)
    town.world.run_for(1.0)
    assert (len(town.calls), town.view().in_flight, town.view().waiting) == (3, 3, 7)
    town.world.run_for(10.0)
    assert sorted(town.called()) == sorted(f"p{n}" for n in range(10))
    assert town.view().in_flight == 0


def test_a_pace_is_kept_by_the_second(town: Town) -> None:
    town.world.run_for(100)
    town.provider(places=50, pace=5.0)
    for n in range(60):
        town.caller(f"p{n}", call_s=0.1)
    town.world.run_for(20.0)
    assert len(town.calls) == 60
    by_second = Counter(int(call.at_s) for call in town.calls)
    assert max(by_second.values()) <= 10  # one second's worth saved up in silence, and one second's own
    assert town.calls[-1].at_s - town.calls[0].at_s >= 10


def test_a_dead_provider_does_not_slow_another() -> None:
    alone, beside = Town(), Town()
    alone.provider("FLOOZ", places=2)
    beside.provider("FLOOZ", places=2)
    beside.provider("TMONEY", places=2)
    for n in range(100):
        beside.caller(f"dead{n}", at="TMONEY", call_s=30.0, answer=lambda: SlotResult.FAILED)
    for town in (alone, beside):
        for n in range(20):
            town.caller(f"well{n}", at="FLOOZ", answer=lambda: SlotResult.ANSWERED)
        town.world.run_for(60.0)
    times = [sorted(c.at_s for c in town.calls if c.name.startswith("well")) for town in (alone, beside)]
    assert times[0] == times[1]
    assert len(times[0]) == 20


def test_who_finds_the_queue_full_comes_back_and_is_served(town: Town) -> None:
    town.provider(places=1, waiting_max=2)
    for n in range(6):
        town.caller(f"p{n}")
    town.world.run_for(1.5)
    assert town.view().waiting <= 2
    town.world.run_for(200.0)
    assert len(set(town.called())) == 6


def test_the_place_of_a_payout_that_is_no_more_is_taken_back(town: Town) -> None:
    town.provider(places=1)
    doomed = town.caller("doomed", call_s=1.0)
    assert town.world.run_until(lambda: bool(town.calls), within_s=1)
    doomed.tell("die")
    town.caller("next")
    town.world.run_for(HOLDERS_CHECK_S + 1)
    assert town.called() == ["doomed", "next"]
    assert town.sample("nepxy_provider_places_reclaimed_total") == 1


def test_the_place_of_a_living_payout_is_never_taken_back(town: Town) -> None:
    town.provider(places=1)
    town.caller("slow", call_s=600.0)
    town.world.run_for(1)
    town.caller("next")
    town.world.run_for(500.0)
    assert town.called() == ["slow"]
    town.world.run_for(200.0)
    assert town.called() == ["slow", "next"]


def test_a_place_offered_to_the_dead_goes_to_the_next(town: Town) -> None:
    town.provider(places=1)
    town.refs["TMONEY"].tell(SlowDownProvider(retry_after_s=5.0))
    ghost = town.caller("ghost")
    town.world.run_for(1)
    ghost.stop(block=False)
    town.caller("next")
    town.world.run_for(5)
    assert town.called() == ["next"]


# ---- outages ---------------------------------------------------------------------------------------


def test_an_outage_opens_the_breaker_uses_few_calls_and_ends_by_itself(town: Town) -> None:
    """Connection refused, at once and for an hour; payouts come back every half minute as their retries do."""
    town.provider(places=5)
    town.answer = SlotResult.FAILED
    for n in range(200):
        town.caller(f"p{n}", call_s=0.01, again_after_s=30.0)
    town.world.run_for(3600.0)
    during = len(town.calls)
    assert town.view().breaker in ("open", "half_open")
    assert town.sample("nepxy_provider_breaker_state", state="closed") == 0
    # Ten to notice, four that were under way, then one probe a minute at most once the cooldown has grown.
    assert during <= 10 + 4 + 3600 / 60 + 10
    assert town.view().waiting >= 190

    town.answer = SlotResult.ANSWERED
    assert town.world.run_until(lambda: town.view().breaker == "closed", within_s=61)
    assert town.world.run_until(lambda: len(set(town.called()[during:])) == 200, within_s=31)


def test_one_probe_at_a_time_goes_to_a_provider_that_was_down(town: Town) -> None:
    town.provider(places=5)
    town.answer = SlotResult.FAILED
    for n in range(50):
        town.caller(f"p{n}", call_s=20.0, again_after_s=1.0)
    assert town.world.run_until(lambda: town.view().breaker == "open", within_s=100)
    town.world.run_for(30)  # what was under way has ended
    seen = len(town.calls)
    town.world.run_for(300)
    probes = town.calls[seen:]
    gaps = [b.at_s - a.at_s for a, b in itertools.pairwise(probes)]
    assert probes
    assert min(gaps) >= 20.0


def test_payouts_that_wait_out_an_outage_are_served_oldest_due_first(town: Town) -> None:
    town.provider(places=1)
    town.refs["TMONEY"].tell(SlowDownProvider(retry_after_s=60.0))
    for n in (2, 0, 1):
        town.caller(f"p{n}", due_at=town.world.now() + timedelta(seconds=n))
    town.world.run_for(59)
    assert town.calls == []
    assert town.view().held_until is not None
    assert town.sample("nepxy_provider_held_until_timestamp_seconds") == pytest.approx(
        town.world.now().timestamp() + 1, abs=0.01
    )
    town.world.run_for(10)
    assert town.called() == ["p0", "p1", "p2"]
    assert town.view().held_until is None


@pytest.mark.parametrize("asked_s", [None, 0.0, 10_000.0])
def test_a_provider_may_ask_for_silence_but_not_for_ever(town: Town, asked_s: float | None) -> None:
    town.provider()
    town.refs["TMONEY"].tell(SlowDownProvider(retry_after_s=asked_s))
    town.world.run_for(0.5)
    town.caller("a")
    assert town.world.run_until(lambda: bool(town.calls), within_s=300)


# ---- restarts --------------------------------------------------------------------------------------


def test_a_new_actor_goes_on_with_breaker_pause_silence_and_places(town: Town) -> None:
    town.provider(places=10)
    town.answer = SlotResult.FAILED
    for n in range(10):
        town.caller(f"p{n}", call_s=0.1)
    assert town.world.run_until(lambda: town.view().breaker == "open", within_s=5)
    town.world.run_for(5)
    slow = town.caller("probe", call_s=1000.0)
    assert town.world.run_until(lambda: town.view().in_flight == 1, within_s=5)
    town.refs["TMONEY"].tell(PauseProvider(reason="HTTP_403", who="engine"))
    town.refs["TMONEY"].tell(SlowDownProvider(retry_after_s=100.0))
    town.world.run_for(1)
    before = town.view()

    town.crash()
    town.start_again()
    town.world.run_for(1)

    assert town.view() == before
    assert (before.breaker, before.paused, before.in_flight) == ("half_open", True, 1)
    assert before.held_until is not None
    slow.stop(block=False)


def test_who_waited_at_the_old_actor_is_called_once_after_asking_again(town: Town) -> None:
    town.provider(places=1)
    town.refs["TMONEY"].tell(SlowDownProvider(retry_after_s=10.0))
    waiting = town.caller("a")
    town.world.run_for(1)
    town.crash()
    town.start_again()
    assert town.view().waiting == 1
    town.world.run_for(1)
    assert town.view().waiting == 0
    waiting.tell("want")
    town.world.run_for(20)
    assert town.called() == ["a"]


def test_a_place_given_back_while_the_actor_was_dead_does_not_keep_its_payout_out(town: Town) -> None:
    town.provider(places=1)
    payout = town.caller("a", call_s=5.0)
    town.world.run_for(1)
    town.crash()
    town.world.run_for(10)  # the call ends meanwhile, and tells the dead
    town.start_again()
    payout.tell("want")
    town.world.run_for(2)
    assert town.called() == ["a", "a"]


# ---- the pause -------------------------------------------------------------------------------------


def test_a_pause_holds_submits_lets_questions_through_and_a_resume_lets_all_go(town: Town) -> None:
    town.provider()
    town.refs["TMONEY"].tell(PauseProvider(reason="HTTP_403", who="engine"))
    town.caller("submit")
    town.caller("look-up", Work.LOOKUP)
    town.caller("poll", Work.POLL)
    town.world.run_for(10)
    assert sorted(town.called()) == ["look-up", "poll"]
    assert town.view().paused_reason == "HTTP_403"
    assert (town.view().waiting_submits, town.view().waiting_questions) == (1, 0)
    town.refs["TMONEY"].tell(ResumeProvider(who="ama"))
    town.world.run_for(1)
    assert "submit" in town.called()
    assert town.store.pause_log == [("TMONEY", True, "engine"), ("TMONEY", False, "ama")]


def test_a_pause_holds_at_once_and_is_saved_when_the_database_is_back(town: Town) -> None:
    town.provider()
    town.store.is_up = False
    reply = Reply()
    town.refs["TMONEY"].tell(PauseProvider(reason="HTTP_403", who="engine", reply_to=reply))
    town.world.run_for(30)
    assert (town.view().paused, town.view().pause_is_saved) == (True, False)
    assert town.sample("nepxy_provider_pause_unsaved") == 1
    assert reply.values == []
    town.store.is_up = True
    town.world.run_for(2)
    assert town.store.paused == {"TMONEY": "HTTP_403"}
    assert town.view().pause_is_saved
    assert [view.paused for view in reply.values] == [True]


def test_a_pause_outlives_the_actor_that_could_not_save_it(town: Town) -> None:
    town.provider()
    town.store.is_up = False
    town.refs["TMONEY"].tell(PauseProvider(reason="HTTP_403", who="engine"))
    town.world.run_for(1)
    town.crash()
    town.start_again()
    town.world.run_for(1)
    town.store.is_up = True
    town.world.run_for(2)
    assert town.store.paused == {"TMONEY": "HTTP_403"}
    assert town.store.pause_log == [("TMONEY", True, "engine")]


def test_a_resume_that_comes_while_the_pause_is_unsaved_has_the_last_word(town: Town) -> None:
    for seed in range(20):
        town = Town(seed)
        town.provider()
        town.store.is_up = False
        town.refs["TMONEY"].tell(PauseProvider(reason="HTTP_403", who="engine"))
        town.world.run_for(0.5)
        town.refs["TMONEY"].tell(ResumeProvider(who="ama"))
        town.world.run_for(0.5)
        town.store.is_up = True
        town.world.run_for(5)
        assert [entry[1] for entry in town.store.pause_log] == [True, False]
        assert town.store.paused == {}
        assert not town.view().paused


def test_a_resume_on_the_heels_of_a_pause_is_not_overtaken_by_it() -> None:
    for seed in range(20):
        town = Town(seed)
        town.provider()
        town.refs["TMONEY"].tell(PauseProvider(reason="HTTP_403", who="engine"))
        town.refs["TMONEY"].tell(ResumeProvider(who="ama"))
        town.world.run_for(5)
        assert [entry[1] for entry in town.store.pause_log] == [True, False]
        assert town.view().pause_is_saved


def test_what_the_database_said_before_the_pause_was_saved_does_not_lift_it(town: Town) -> None:
    town.provider()
    town.store.is_up = False
    town.refs["TMONEY"].tell(PauseProvider(reason="HTTP_403", who="engine"))
    town.world.run_for(0.5)
    town.refs["TMONEY"].tell(PauseStateLoaded(paused={}))
    town.store.is_up = True
    assert town.world.run_until(lambda: bool(town.store.paused), within_s=5)
    town.world.run_for(0.001)
    town.refs["TMONEY"].tell(PauseStateLoaded(paused={}))  # read before, told after
    town.world.run_for(0.001)
    assert town.view().paused
    town.refs["TMONEY"].tell(PauseStateLoaded(paused={}))  # another node's operator has resumed it
    town.world.run_for(0.001)
    assert not town.view().paused


def test_a_pause_of_another_node_holds_here(town: Town) -> None:
    town.provider()
    town.refs["TMONEY"].tell(PauseStateLoaded(paused={"TMONEY": "float is empty", "FLOOZ": "other"}))
    town.caller("a")
    town.world.run_for(5)
    assert town.calls == []
    assert town.view().paused_reason == "float is empty"
    assert town.store.pause_log == []


def test_a_pause_of_what_is_paused_changes_nothing_and_is_answered(town: Town) -> None:
    town.provider()
    reply = Reply()
    town.refs["TMONEY"].tell(PauseProvider(reason="first", who="ama"))
    town.refs["TMONEY"].tell(PauseProvider(reason="second", who="kofi", reply_to=reply))
    town.world.run_for(1)
    assert town.store.paused == {"TMONEY": "first"}
    assert [view.paused_reason for view in reply.values] == ["first"]


def test_wishes_that_cannot_be_saved_are_bounded_and_end_in_the_last_one(town: Town) -> None:
    town.provider()
    town.store.is_up = False
    replies = [Reply() for _ in range(101)]
    for n, reply in enumerate(replies):
        wish = ResumeProvider(who="ama", reply_to=reply)
        town.refs["TMONEY"].tell(
            PauseProvider(reason="no", who="ama", reply_to=reply) if n % 2 == 0 else wish
        )
    town.world.run_for(1)
    assert len(town.states["TMONEY"].unsaved) <= UNSAVED_MAX
    town.store.is_up = True
    town.world.run_for(5)
    assert town.store.paused == {"TMONEY": "no"}
    assert all(len(reply.values) == 1 for reply in replies)


# ---- what can be seen ------------------------------------------------------------------------------


def test_what_waits_and_what_runs_is_measured_by_kind(town: Town) -> None:
    town.provider(places=4)
    for n in range(5):
        town.caller(f"s{n}", call_s=10.0)
        town.caller(f"l{n}", Work.LOOKUP, call_s=10.0)
        town.caller(f"q{n}", Work.POLL, call_s=10.0)
    town.world.run_for(1)

    def shown(metric: str) -> dict[str, float | None]:
        return {kind: town.sample(metric, kind=kind) for kind in ("submit", "lookup", "poll")}

    held, waiting = shown("nepxy_provider_calls"), shown("nepxy_provider_waiting")
    assert sum(count or 0 for count in held.values()) == 4 == town.sample("nepxy_provider_calls_max")
    assert (held["lookup"] or 0) + (held["poll"] or 0) <= 1
    assert sum(count or 0 for count in waiting.values()) == 11 == town.view().waiting
    granted = [town.sample("nepxy_provider_grants_total", work=work.value) for work in Work]
    assert sum(count or 0 for count in granted) == 4


def test_the_age_of_a_queue_grows_while_nothing_happens_and_is_that_of_who_waits_longest(town: Town) -> None:
    town.provider(places=1)
    age = "nepxy_provider_waiting_oldest_age_seconds"
    assert town.sample(age) == 0
    town.caller("holds", call_s=100.0)
    town.world.run_for(1)
    assert town.sample(age) == 0
    town.caller("submit", call_s=1.0)
    town.world.run_for(10)
    town.caller("poll", Work.POLL, call_s=1.0)
    # No message comes to the provider in this time.
    town.world.run_for(50)
    assert town.sample(age) == pytest.approx(60, abs=0.1)
    town.world.run_for(60)
    assert town.sample(age) == 0


def test_what_is_not_due_yet_has_no_age(town: Town) -> None:
    town.provider(places=1)
    town.caller("holds", call_s=100.0)
    town.world.run_for(1)
    town.caller("early", call_s=1.0, due_at=town.world.now() + timedelta(seconds=50))
    town.world.run_for(20)
    assert town.view().waiting == 1
    assert town.sample("nepxy_provider_waiting_oldest_age_seconds") == 0


def test_the_view_says_since_when_the_breaker_is_open(town: Town) -> None:
    town.provider(places=10)
    assert town.view().breaker_since is None
    town.answer = SlotResult.FAILED
    for n in range(10):
        town.caller(f"p{n}", call_s=1.0)
    town.world.run_for(3)
    since = town.view().breaker_since
    assert since is not None
    assert (town.world.now() - since).total_seconds() == pytest.approx(2.0, abs=0.1)


def test_an_offer_names_the_work_that_was_wanted(town: Town) -> None:
    heard: list[Any] = []
    ear = Sink.start(heard=heard, runtime=town.runtime)
    provider = town.provider()
    provider.tell(
        WantSlot(
            transaction_id=TransactionId("a"),
            ref=ear,
            work=Work.RESEND,
            due_at=town.world.now(),
            created_at=town.world.now(),
        )
    )
    town.world.run_for(1)
    assert heard == [SlotOffered(work=Work.RESEND)]
