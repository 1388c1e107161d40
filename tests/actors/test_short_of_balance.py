"""A provider that is paused for want of money of ours resumes by itself once it is there, and no other pause does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog.testing import LogCapture

from nepxy.actors.messages import PauseProvider, PauseStateLoaded, ResumeProvider
from nepxy.actors.provider import ProviderActor
from nepxy.actors.provider_state import ProviderState
from nepxy.engine.gate import Gate
from nepxy.engine.outcomes import Shortfall
from nepxy.providers.contract import Adapter, Balance
from tests.actors.test_provider_actor import Town

SHORT = Shortfall(amount=1000, currency="XOF")
CHECK_S = 60.0


@dataclass
class Purse:
    """An adapter that only knows what we hold."""

    answers: list[Balance | Exception | None] = field(default_factory=list)
    """In their order; the last one stays."""
    asked: list[str] = field(default_factory=list)

    async def balance(self, currency: str) -> Balance | None:
        self.asked.append(currency)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Bank(Town):
    """A town with one provider that may tell our balance."""

    def __init__(self, *answers: Balance | Exception | None, tells_balance: bool = True) -> None:
        super().__init__()
        self.purse = Purse(list(answers) or [held(0)])
        gate = Gate(concurrency_max=4, requests_per_s=0.0, waiting_max=100)
        self.states["TMONEY"] = ProviderState(
            name="TMONEY", ready=True, enabled=True, gate=gate, tells_balance=tells_balance
        )
        self.start_again()

    def start_again(self, name: str = "TMONEY") -> Any:
        self.refs[name] = ProviderActor.start(
            state=self.states[name],
            parts=self.parts,
            adapter=cast(Adapter, self.purse),
            runtime=self.runtime,
            parent=self.ear,
            child_id=("provider", name),
        )
        return self.refs[name]

    def tell(self, message: Any) -> None:
        self.refs["TMONEY"].tell(message)
        self.world.run_for(1)

    def runs_short(self) -> None:
        self.tell(PauseProvider(reason="NOT_ENOUGH_FUNDS", who="engine", shortfall=SHORT))


def held(amount: int, currency: str = "XOF") -> Balance:
    return Balance(amount=amount, currency=currency)


def test_it_resumes_by_itself_once_the_balance_suffices_for_what_failed() -> None:
    bank = Bank(held(0), held(999), held(1000))
    bank.runs_short()
    assert (bank.view().shortfall, bank.view().resumes_by_itself) == (SHORT, True)
    assert bank.sample("nepxy_provider_short_of_balance") == 1
    bank.world.run_for(2.5 * CHECK_S)
    assert bank.view().paused
    assert bank.sample("nepxy_provider_balance", currency="XOF") == 999
    bank.world.run_for(CHECK_S)
    assert not bank.view().paused
    assert bank.sample("nepxy_provider_short_of_balance") == 0
    assert bank.store.pause_log == [("TMONEY", True, "engine"), ("TMONEY", False, "engine")]
    bank.world.run_for(10 * CHECK_S)
    assert bank.purse.asked == ["XOF"] * 3, "asked on although nothing is wanted"


def test_it_says_that_somebody_has_to_pay_in(logged: LogCapture) -> None:
    Bank().runs_short()
    (line,) = [entry for entry in logged.entries if entry["event"] == "provider.short_of_balance"]
    assert (line["log_level"], line["amount"], line["currency"]) == ("error", 1000, "XOF")


@pytest.mark.parametrize("tells_balance", [True, False])
def test_any_other_pause_is_never_lifted_nor_asked_about(tells_balance: bool) -> None:
    bank = Bank(held(10_000), tells_balance=tells_balance)
    bank.tell(PauseProvider(reason="HTTP_403", who="engine"))
    bank.world.run_for(5 * CHECK_S)
    assert bank.view().paused
    assert bank.purse.asked == []


def test_one_that_cannot_tell_our_balance_waits_for_an_operator() -> None:
    bank = Bank(held(10_000), tells_balance=False)
    bank.runs_short()
    bank.world.run_for(5 * CHECK_S)
    assert (bank.view().paused, bank.view().resumes_by_itself, bank.purse.asked) == (True, False, [])
    bank.tell(ResumeProvider(who="ama"))
    assert (bank.view().paused, bank.view().shortfall) == (False, None)


@pytest.mark.parametrize("unsaved", [False, True])
def test_a_pause_by_an_operator_on_top_takes_its_place(unsaved: bool) -> None:
    bank = Bank(held(10_000))
    bank.store.is_up = not unsaved
    bank.runs_short()
    bank.tell(PauseProvider(reason="audit", who="operator:ama"))
    bank.store.is_up = True
    bank.world.run_for(5 * CHECK_S)
    assert bank.view().paused_reason == "audit"
    assert bank.store.paused == {"TMONEY": "audit"}
    assert bank.store.short == {}


def test_a_pause_by_an_operator_elsewhere_takes_its_place() -> None:
    bank = Bank(held(10_000))
    bank.runs_short()
    bank.tell(PauseStateLoaded(paused={"TMONEY": "audit"}))  # perhaps read before ours was saved
    bank.tell(PauseStateLoaded(paused={"TMONEY": "audit"}))
    bank.world.run_for(5 * CHECK_S)
    assert bank.view().paused_reason == "audit"
    assert bank.purse.asked == []


def test_an_operators_pause_that_is_only_in_the_database_yet_is_not_lifted() -> None:
    bank = Bank(held(10_000))
    bank.runs_short()
    bank.store.paused["TMONEY"] = "audit"
    bank.store.short.clear()
    bank.world.run_for(2 * CHECK_S)
    assert bank.store.paused == {"TMONEY": "audit"}
    assert bank.store.pause_log == [("TMONEY", True, "engine")]


def test_a_new_actor_and_another_node_go_on_asking() -> None:
    bank = Bank(held(0), held(1000))
    bank.runs_short()
    bank.crash()
    bank.start_again()
    bank.world.run_for(1.5 * CHECK_S)
    assert bank.purse.asked == ["XOF"]
    bank.world.run_for(CHECK_S)
    assert not bank.view().paused

    other = Bank(held(1000))
    other.store.paused, other.store.short = {"TMONEY": "NOT_ENOUGH_FUNDS"}, {"TMONEY": SHORT}
    other.tell(PauseStateLoaded(paused=other.store.paused, shortfalls=other.store.short))
    other.world.run_for(1.5 * CHECK_S)
    assert (other.store.paused, other.view().paused) == ({}, False)


@pytest.mark.parametrize("answer", [None, held(10_000, "EUR"), RuntimeError("boom")])
def test_a_balance_that_nobody_can_compare_says_nothing(answer: Balance | Exception | None) -> None:
    bank = Bank(answer, answer, held(1000))
    bank.runs_short()
    bank.world.run_for(2.5 * CHECK_S)
    assert bank.view().paused
    bank.world.run_for(CHECK_S)
    assert not bank.view().paused
