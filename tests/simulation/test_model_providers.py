"""The model of a provider keeps its own promises: without that, no simulation with it proves anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import orjson
import pytest

from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, StatusReport
from nepxy.engine.payout import Payout, ProviderRef, Status, SubmissionRef
from nepxy.storage.writes import WebhookRow
from tests.factories import ACCOUNT, a_payout
from tests.simulation.kernel import World
from tests.simulation.providers import (
    CALM_WITHIN_S,
    FAULTS,
    FINDINGS,
    Habits,
    Outage,
    SimAdapter,
    SimProvider,
    State,
)

T = TypeVar("T")

ASKABLE = Capabilities(
    repeated_reference=RepeatedReference.REJECTS, lookup_by_reference=True, webhooks=WebhookTrust.SIGNED
)
QUIET = Habits(tells_in_flight=0.0, lookup_lag_s=(0.0, 0.0), reports_terms=1.0)


class Open:
    """A send window that never passes."""

    def is_late(self) -> bool:
        return False

    async def reached(self, step: str, *, provider_ref: ProviderRef | None = None) -> bool:
        return True


class Closes:
    """A send window that passes at some virtual second."""

    def __init__(self, world: World, at_s: float) -> None:
        self._world = world
        self._at_s = at_s

    def is_late(self) -> bool:
        return self._world.monotonic() > self._at_s

    async def reached(self, step: str, *, provider_ref: ProviderRef | None = None) -> bool:
        return True


class Desk:
    """Takes webhooks, and answers them as it is told to."""

    def __init__(self, says: Callable[[int], bool | None] = lambda number: True) -> None:
        self._says = says
        self.came: list[tuple[WebhookRow, StatusReport, bool]] = []

    @property
    def findings(self) -> list[Finding]:
        return [report.finding for _, report, _ in self.came]

    def __call__(
        self, webhook: WebhookRow, report: StatusReport, trusted: bool, on_answer: Callable[[bool], None]
    ) -> None:
        self.came.append((webhook, report, trusted))
        said = self._says(len(self.came))
        if said is not None:
            on_answer(said)


class Bench:
    """A world with one provider and one process."""

    def __init__(
        self,
        habits: Habits = QUIET,
        capabilities: Capabilities = ASKABLE,
        *,
        seed: int = 1,
        in_steps: bool = False,
        desk: Desk | None = None,
    ) -> None:
        self.world = World(seed)
        self.desk = desk or Desk()
        self.provider = SimProvider(
            self.world, "SIM", capabilities, habits, in_steps=in_steps, deliver=self.desk
        )
        self.node = self.world.node("a")
        self.adapter = SimAdapter(self.node, self.provider)

    def start(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.node.scheduler.create_task(coro, name="call")

    def ended(self, coro: Coroutine[Any, Any, T]) -> T:
        task = self.start(coro)
        assert self.world.run_until(task.done, within_s=60)
        return task.result()

    def submitted(self, payout: Payout) -> Outcome:
        return self.ended(self.adapter.submit(payout, Open()))


def a_sent_payout(number: int = 0) -> Payout:
    reference = SubmissionRef(f"00000000-0000-4000-8000-{number:012d}")
    return a_payout(status=Status.SENT, provider="SIM", submission_ref=reference, account=ACCOUNT)


PAYOUT = a_sent_payout()
OURS = PAYOUT.submission_ref


def repeating(repeated: RepeatedReference) -> Capabilities:
    return replace(ASKABLE, repeated_reference=repeated)


# ---- repeated references ----------------------------------------------------------------------------------


def test_one_that_rejects_says_that_a_repeated_reference_was_used_and_pays_once() -> None:
    bench = Bench(capabilities=repeating(RepeatedReference.REJECTS))
    assert bench.submitted(PAYOUT).kind is OutcomeClass.ACCEPTED
    again = bench.submitted(PAYOUT)
    assert (again.kind, again.reference_was_used) == (OutcomeClass.UNKNOWN, True)
    bench.world.run_for(200)
    assert len(bench.provider.payments_of(OURS)) == 1


def test_one_that_replays_gives_its_first_answer_again_and_pays_once() -> None:
    bench = Bench(capabilities=repeating(RepeatedReference.REPLAYS))
    first = bench.submitted(PAYOUT)
    bench.world.run_for(200)
    assert bench.submitted(PAYOUT) == first
    bench.world.run_for(200)
    assert len(bench.provider.payments_of(OURS)) == 1


@pytest.mark.parametrize("repeated", [RepeatedReference.PAYS_AGAIN, RepeatedReference.UNKNOWN])
def test_one_without_proof_pays_a_repeated_reference_again_and_blames_the_engine(
    repeated: RepeatedReference,
) -> None:
    bench = Bench(capabilities=repeating(repeated))
    bench.submitted(PAYOUT)
    assert bench.provider.violations == []
    bench.submitted(PAYOUT)
    bench.world.run_for(200)
    assert len(bench.provider.payments_of(OURS)) == 2
    assert len(bench.provider.violations) == 1


def test_a_twin_on_the_way_is_paid_once_and_its_duplicate_answer_may_be_the_one_that_is_heard() -> None:
    kinds: dict[OutcomeClass, int] = {}
    for seed in range(20):
        bench = Bench(replace(QUIET, arrives_twice=1.0), seed=seed)
        kind = bench.submitted(PAYOUT).kind
        kinds[kind] = kinds.get(kind, 0) + 1
        bench.world.run_for(200)
        assert len(bench.provider.payments) == 1
    assert set(kinds) == {OutcomeClass.ACCEPTED, OutcomeClass.UNKNOWN}


# ---- the way there and back -------------------------------------------------------------------------------


def test_a_request_that_is_late_arrives_after_our_time_out_was_unknown() -> None:
    bench = Bench(replace(QUIET, late_arrival=1.0, late_s=(300.0, 300.0)))
    outcome = bench.submitted(PAYOUT)
    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "TIMED_OUT")
    assert bench.provider.truth(OURS) is None
    bench.world.run_for(500)
    assert bench.provider.truth(OURS) is State.PAID
    assert bench.provider.injected["late_arrival"] == bench.provider.injected["timed_out"] == 1


def test_a_request_goes_on_without_the_process_that_sent_it() -> None:
    bench = Bench()
    bench.start(bench.adapter.submit(PAYOUT, Open()))
    assert bench.world.run_until(lambda: bool(bench.provider.sends), within_s=60)
    assert bench.provider.transfers == []
    bench.node.crash()
    bench.world.run_for(200)
    assert bench.provider.truth(OURS) is State.PAID


def test_a_process_that_dies_while_it_waits_for_a_connection_has_sent_nothing() -> None:
    bench = Bench(replace(QUIET, connect_s=(1.0, 1.0)))
    bench.start(bench.adapter.submit(PAYOUT, Open()))
    bench.world.run_for(0.5)
    bench.node.crash()
    bench.world.run_for(200)
    assert bench.provider.sends == []


def test_nothing_is_sent_once_the_send_window_has_passed() -> None:
    bench = Bench(replace(QUIET, connect_s=(6.0, 6.0)))
    outcome = bench.ended(bench.adapter.submit(PAYOUT, Closes(bench.world, 5.0)))
    assert (outcome.kind, outcome.reason) == (OutcomeClass.NOT_SENT, "SEND_WINDOW_PASSED")
    bench.world.run_for(200)
    assert bench.provider.sends == []
    assert bench.provider.transfers == []


def test_a_process_that_froze_before_the_last_look_sends_nothing_when_it_thaws() -> None:
    bench = Bench(replace(QUIET, connect_s=(1.0, 1.0)))
    task = bench.start(bench.adapter.submit(PAYOUT, Closes(bench.world, 5.0)))
    bench.world.run_for(0.5)
    bench.node.freeze(30)
    bench.world.run_for(29)
    assert not task.done()
    bench.world.run_for(10)
    assert task.result().kind is OutcomeClass.NOT_SENT
    assert bench.provider.sends == []


def test_an_answer_to_a_frozen_process_is_found_when_it_thaws() -> None:
    bench = Bench()
    task = bench.start(bench.adapter.submit(PAYOUT, Open()))
    assert bench.world.run_until(lambda: bool(bench.provider.sends), within_s=60)
    bench.node.freeze(600)
    bench.world.run_for(599)
    assert not task.done()
    bench.world.run_for(10)
    assert task.result().kind is OutcomeClass.ACCEPTED


@pytest.mark.parametrize(
    ("fault", "reason", "arrives"),
    [
        ("reset_before", "CONNECTION_LOST", False),
        ("vanished", "TIMED_OUT", False),
        ("error_before", "HTTP_503", False),
        ("reset_after", "CONNECTION_LOST", True),
        ("error_after", None, True),
        ("answer_late", "TIMED_OUT", True),
    ],
)
def test_a_fault_on_the_way_is_unknown_whether_the_request_arrived_or_not(
    fault: str, reason: str | None, arrives: bool
) -> None:
    habits: dict[str, Any] = {fault: 1.0}
    bench = Bench(replace(QUIET, **habits))
    outcome = bench.submitted(PAYOUT)
    assert outcome.kind is OutcomeClass.UNKNOWN
    assert reason in (None, outcome.reason)
    bench.world.run_for(200)
    assert len(bench.provider.payments) == arrives
    assert bench.provider.injected[fault] == 1


def test_a_negative_proof_is_a_proof_and_a_positive_one_too_whatever_else_is_wrong() -> None:
    """What the engine may rely on: NOT_SENT, BLOCKED, REJECTED, and THROTTLED with proof moved no money."""
    kinds: dict[OutcomeClass, int] = {}
    for seed in range(40):
        world = World(seed)
        capabilities = repeating(tuple(RepeatedReference)[seed % 4])
        provider = SimProvider(world, "SIM", capabilities, Habits.drawn(world.rng, worst=0.3))
        adapter = SimAdapter(world.node("a"), provider)
        payouts = [a_sent_payout(number) for number in range(30)]
        tasks = [world.nodes[0].loop.create_task(adapter.submit(payout, Open())) for payout in payouts]
        world.run_for(60_000)
        for payout, task in zip(payouts, tasks, strict=True):
            outcome, truth = task.result(), provider.truth(payout.submission_ref)
            kinds[outcome.kind] = kinds.get(outcome.kind, 0) + 1
            refused = outcome.kind in (OutcomeClass.NOT_SENT, OutcomeClass.BLOCKED, OutcomeClass.REJECTED)
            if refused or outcome.refused_before_processing:
                assert provider.payments_of(payout.submission_ref) == []
                assert truth in (None, State.UNPAID)
            if outcome.kind in (OutcomeClass.ACCEPTED, OutcomeClass.CONFIRMED):
                assert truth is not None
            assert len(provider.payments_of(payout.submission_ref)) <= 1
    assert set(kinds) == set(OutcomeClass)


def test_a_blocked_account_refuses_until_somebody_unblocks_it_and_keeps_no_reference() -> None:
    bench = Bench(replace(QUIET, blocked=1.0))
    assert bench.submitted(PAYOUT).kind is OutcomeClass.BLOCKED
    bench.provider.habits = QUIET
    assert bench.submitted(PAYOUT).kind is OutcomeClass.BLOCKED
    bench.provider.unblock()
    assert bench.submitted(PAYOUT).kind is OutcomeClass.ACCEPTED


# ---- questions --------------------------------------------------------------------------------------------


def test_a_look_up_lags_behind_and_then_says_what_is_true() -> None:
    bench = Bench(replace(QUIET, lookup_lag_s=(60.0, 60.0), settle_s=(30.0, 30.0)))
    bench.submitted(PAYOUT)
    assert bench.ended(bench.adapter.look_up(PAYOUT)).finding is Finding.ABSENT
    bench.world.run_for(61)
    report = bench.ended(bench.adapter.look_up(PAYOUT))
    assert report.finding is Finding.PAID
    assert (report.terms.amount, report.provider_ref) == (PAYOUT.amount, "SIM-1")


def test_a_look_up_that_lags_for_as_long_as_absence_counts_is_refused() -> None:
    with pytest.raises(ValueError, match="lag"):
        Bench(replace(QUIET, lookup_lag_s=(0.0, 900.0)))


def test_a_poll_asks_by_their_reference() -> None:
    bench = Bench(replace(QUIET, unpaid=1.0))
    known = replace(PAYOUT, provider_ref=bench.submitted(PAYOUT).provider_ref)
    bench.world.run_for(200)
    assert bench.ended(bench.adapter.poll(known)).finding is Finding.UNPAID
    stranger = replace(PAYOUT, provider_ref=ProviderRef("nobody's"))
    assert bench.ended(bench.adapter.poll(stranger)).finding is Finding.ABSENT


def test_a_read_that_fails_says_nothing() -> None:
    for seed in range(10):
        bench = Bench(replace(QUIET, read_fails=1.0), seed=seed)
        assert bench.ended(bench.adapter.look_up(PAYOUT)).finding is Finding.NO_ANSWER


def test_a_question_that_the_contract_forbids_is_held_against_the_engine() -> None:
    bench = Bench(capabilities=Capabilities(status_by_provider_ref=False))
    bench.ended(bench.adapter.look_up(PAYOUT))
    bench.ended(bench.adapter.poll(replace(PAYOUT, provider_ref=ProviderRef("theirs"))))
    assert len(bench.provider.violations) == 2


def test_a_call_through_another_account_is_held_against_the_engine() -> None:
    bench = Bench()
    stranger = SimAdapter(bench.node, bench.provider, account="account-2")
    bench.ended(stranger.submit(PAYOUT, Open()))
    bench.ended(stranger.look_up(PAYOUT))
    assert len(bench.provider.violations) == 2


# ---- webhooks ---------------------------------------------------------------------------------------------


def test_a_settled_transfer_is_told_with_a_body_that_reads_back_the_same() -> None:
    bench = Bench()
    bench.submitted(PAYOUT)
    bench.world.run_for(200)
    [(row, report, trusted)] = bench.desk.came
    notice = bench.adapter.read_webhook(orjson.loads(row.body))
    assert (notice.report, report.finding, trusted) == (report, Finding.PAID, True)
    assert (row.provider_ref, row.our_ref, row.status_word) == (notice.provider_ref, notice.our_ref, "PAID")
    assert row.signature_valid


def whether_a_webhook_overtook(seed: int) -> tuple[bool, bool]:
    """The answer to the submit; a webhook sent before."""
    bench = Bench(replace(QUIET, tells_in_flight=1.0, settle_s=(0.0, 2.0)), seed=seed)
    task = bench.start(bench.adapter.submit(PAYOUT, Open()))
    bench.world.run_until(lambda: bool(bench.desk.came), within_s=60)
    before_the_answer = not task.done()
    bench.world.run_for(60)
    return before_the_answer, bench.desk.findings == [Finding.PAID, Finding.IN_FLIGHT]


def test_webhooks_overtake_the_answer_and_each_other() -> None:
    overtook = [whether_a_webhook_overtook(seed) for seed in range(40)]
    assert any(before_the_answer for before_the_answer, _ in overtook)
    assert any(before_a_webhook for _, before_a_webhook in overtook)


@pytest.mark.parametrize("refusal", [False, None])
def test_a_webhook_comes_again_until_it_is_answered(refusal: bool | None) -> None:
    bench = Bench(desk=Desk(lambda number: refusal if number < 3 else True))
    bench.submitted(PAYOUT)
    bench.world.run_for(2_000)
    assert bench.desk.findings == [Finding.PAID] * 3
    ids = [row.webhook_id for row, _, _ in bench.desk.came]
    assert ids == sorted(set(ids))


def test_a_webhook_that_nobody_answers_is_given_up() -> None:
    bench = Bench(desk=Desk(lambda number: False))
    bench.submitted(PAYOUT)
    bench.world.run_for(5_000)
    assert len(bench.desk.came) == QUIET.webhook_tries_max
    assert bench.provider.injected["webhook_given_up"] == 1


def test_webhooks_are_lost_doubled_and_repeated_although_they_were_taken() -> None:
    lost = Bench(replace(QUIET, webhook_lost=1.0))
    doubled = Bench(replace(QUIET, webhook_twice=1.0))
    unheard = Bench(replace(QUIET, webhook_answer_lost=1.0, webhook_tries_max=2))
    for bench in (lost, doubled, unheard):
        bench.submitted(PAYOUT)
        bench.world.run_for(1_000)
    assert [len(bench.desk.came) for bench in (lost, doubled, unheard)] == [0, 2, 2]
    lost.provider.tell_again()
    lost.provider.calm()
    lost.provider.tell_again()
    lost.world.run_for(100)
    assert lost.desk.findings == [Finding.PAID]


def test_a_forged_hint_is_never_trusted_and_may_say_anything() -> None:
    said: list[Finding] = []
    for seed in range(20):
        bench = Bench(replace(QUIET, hint_lies=1.0), replace(ASKABLE, webhooks=WebhookTrust.HINT), seed=seed)
        bench.submitted(PAYOUT)
        bench.world.run_for(200)
        assert len(bench.desk.came) == 3
        assert not any(trusted or row.signature_valid for row, _, trusted in bench.desk.came)
        said += bench.desk.findings
        assert bench.provider.contradicted(OURS) == ""
    assert {Finding.UNPAID, Finding.REVERSED} <= set(said)


def test_one_that_promises_no_webhooks_sends_none() -> None:
    bench = Bench(replace(QUIET, tells_in_flight=1.0), replace(ASKABLE, webhooks=WebhookTrust.NONE))
    bench.submitted(PAYOUT)
    bench.world.run_for(200)
    assert bench.desk.came == []


# ---- lies -------------------------------------------------------------------------------------------------


def what_a_contradicting_provider_says(seed: int) -> list[Finding]:
    bench = Bench(replace(QUIET, contradicts=1.0, unpaid=0.5), seed=seed)
    desk = bench.desk = bench.provider.deliver = Desk(lambda _: bool(bench.provider.contradicted(OURS)))
    bench.submitted(PAYOUT)
    bench.world.run_for(2_000)
    # One that comes unmarked is refused here, and would come again.
    assert len(desk.came) == 2
    return desk.findings


def test_a_contradiction_is_told_in_any_order_and_marked_before_anything_false_is_said() -> None:
    told = [what_a_contradicting_provider_says(seed) for seed in range(60)]
    assert all(sorted(findings) == [Finding.PAID, Finding.UNPAID] for findings in told)
    assert {findings[0] for findings in told} == {Finding.PAID, Finding.UNPAID}


def test_without_contradictions_signed_webhooks_and_reads_tell_the_truth() -> None:
    for seed in range(40):
        bench = Bench(replace(Habits.drawn(World(seed).rng), contradicts=0.0, reverses=0.0), seed=seed)
        bench.start(bench.adapter.submit(PAYOUT, Open()))
        bench.world.run_for(60_000)
        truth = bench.provider.truth(OURS)
        final = [finding for finding in bench.desk.findings if finding is not Finding.IN_FLIGHT]
        if truth is None:
            assert bench.desk.came == []
        assert all(finding.value.lower() == truth for finding in final)
        bench.provider.calm()
        read = bench.ended(bench.adapter.look_up(PAYOUT)).finding
        assert read is (Finding.ABSENT if truth is None else FINDINGS[truth])


def test_wrong_terms_are_reported_everywhere_and_marked_and_what_was_asked_is_paid() -> None:
    bench = Bench(replace(QUIET, wrong_terms=1.0, reports_terms=0.0))
    outcome = bench.submitted(PAYOUT)
    bench.world.run_for(200)
    report = bench.ended(bench.adapter.look_up(PAYOUT))
    amounts = [outcome.terms.amount, report.terms.amount, bench.desk.came[0][1].terms.amount]
    assert amounts == [PAYOUT.amount + 1] * 3
    assert bench.provider.misreported(OURS)
    assert bench.provider.payments[0].amount == PAYOUT.amount


def test_a_reversal_comes_after_success_and_the_payment_stays_in_the_ledger() -> None:
    bench = Bench(replace(QUIET, reverses=1.0), replace(ASKABLE, reverses_after_success=True))
    bench.submitted(PAYOUT)
    bench.world.run_for(5_000)
    assert bench.provider.truth(OURS) is State.REVERSED
    assert bench.desk.findings == [Finding.PAID, Finding.REVERSED]
    assert len(bench.provider.payments) == 1


# ---- outages and calm -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outage", "kind"),
    [
        (Outage.REFUSES, OutcomeClass.NOT_SENT),
        (Outage.ERRORS, OutcomeClass.UNKNOWN),
        (Outage.SILENT, OutcomeClass.UNKNOWN),
    ],
)
def test_in_an_outage_nothing_is_processed_and_nothing_is_said(outage: Outage, kind: OutcomeClass) -> None:
    bench = Bench()
    bench.provider.outage = outage
    assert bench.submitted(PAYOUT).kind is kind
    assert bench.ended(bench.adapter.look_up(PAYOUT)).finding is Finding.NO_ANSWER
    bench.world.run_for(200)
    assert bench.provider.transfers == []


def test_outages_come_and_go_until_it_is_calm() -> None:
    bench = Bench(replace(QUIET, outage_every_s=100.0, outage_s=(50.0, 50.0)))
    assert bench.world.run_until(lambda: bench.provider.outage is not None, within_s=10_000)
    assert bench.world.run_until(lambda: bench.provider.outage is None, within_s=51)
    bench.provider.calm()
    assert not bench.world.run_until(lambda: bench.provider.outage is not None, within_s=10_000)


@pytest.mark.parametrize("seed", range(20))
def test_once_it_is_calm_everything_settles_and_every_call_is_answered(seed: int) -> None:
    faults: dict[str, Any] = dict.fromkeys(FAULTS, 0.5)
    bench = Bench(Habits(**faults), seed=seed)
    world, provider = bench.world, bench.provider
    for number in range(20):
        bench.start(bench.adapter.submit(a_sent_payout(number), Open()))
    world.run_for(600)
    provider.calm()
    latest_s = provider.habits.timeout_s + provider.habits.late_s[1] + provider.habits.settle_s[1]
    assert world.run_until(lambda: provider.is_settled, within_s=CALM_WITHIN_S + latest_s)
    before = provider.injected.copy()
    assert bench.submitted(a_sent_payout(99)).kind is OutcomeClass.ACCEPTED
    world.run_for(5_000)
    assert provider.truth(a_sent_payout(99).submission_ref) is State.PAID
    assert {name for name in FAULTS if provider.injected[name] != before[name]} == set()


def test_a_seed_tells_the_same_story_twice() -> None:
    def story(seed: int) -> object:
        world = World(seed)
        desk = Desk()
        provider = SimProvider(world, "SIM", ASKABLE, Habits.drawn(world.rng), deliver=desk)
        adapter = SimAdapter(world.node("a"), provider)
        for number in range(20):
            world.nodes[0].loop.create_task(adapter.submit(a_sent_payout(number), Open()))
        world.run_for(60_000)
        return provider.payments, provider.injected, desk.came, world.trace

    assert story(7) == story(7)
    assert story(7) != story(8)


# ---- submits in steps -----------------------------------------------------------------------------------


class Stops(Open):
    """Lets a submit go on until a step."""

    def __init__(self, before: str) -> None:
        self._before = before
        self.asked: list[tuple[str, ProviderRef | None]] = []

    async def reached(self, step: str, *, provider_ref: ProviderRef | None = None) -> bool:
        self.asked.append((step, provider_ref))
        return step != self._before


def test_money_moves_at_the_last_step_only_and_a_repeat_goes_on_with_what_is_there() -> None:
    bench = Bench(in_steps=True)
    early, late = Stops("CREATING"), Stops("CONFIRMING")
    for guard in (early, late):
        assert bench.ended(bench.adapter.submit(PAYOUT, guard)).kind is OutcomeClass.UNKNOWN
        bench.world.run_for(1_000)
        assert bench.provider.truth(OURS) is None
    named = late.asked[-1][1]
    seen = bench.ended(bench.adapter.look_up(PAYOUT))
    assert (seen.finding, seen.provider_ref) == (Finding.UNFINISHED, named)
    assert bench.ended(bench.adapter.poll(replace(PAYOUT, provider_ref=named))).finding is Finding.UNFINISHED
    done = bench.submitted(PAYOUT)
    assert (done.kind, done.provider_ref) == (OutcomeClass.ACCEPTED, named)
    again = bench.submitted(PAYOUT)
    assert (again.kind, again.provider_ref) == (OutcomeClass.ACCEPTED, named)
    bench.world.run_for(1_000)
    assert len(bench.provider.payments_of(OURS)) == 1


def test_a_lagging_look_up_still_calls_unfinished_what_was_confirmed() -> None:
    bench = Bench(replace(QUIET, lookup_lag_s=(50.0, 60.0)), in_steps=True)
    bench.ended(bench.adapter.submit(PAYOUT, Stops("CONFIRMING")))
    bench.world.run_for(100)
    bench.submitted(PAYOUT)
    assert bench.ended(bench.adapter.look_up(PAYOUT)).finding is Finding.UNFINISHED
    bench.world.run_for(100)
    assert bench.ended(bench.adapter.look_up(PAYOUT)).finding in (Finding.IN_FLIGHT, Finding.PAID)


@pytest.mark.parametrize("fault", ["vanished", "reset_before", "error_before", "reset_after", "answer_late"])
def test_a_step_whose_write_is_lost_moves_no_money(fault: str) -> None:
    always: dict[str, Any] = {fault: 1.0}
    bench = Bench(replace(QUIET, **always), in_steps=True)
    assert bench.submitted(PAYOUT).kind is OutcomeClass.NOT_SENT
    bench.world.run_for(2_000)
    assert bench.provider.payments == []


# ---- for want of money ------------------------------------------------------------------------------------


def test_one_that_runs_short_says_what_is_wanted_pays_nothing_and_takes_it_again_later() -> None:
    bench = Bench(replace(QUIET, short=1.0))
    short = bench.submitted(PAYOUT)
    assert short.kind is OutcomeClass.BLOCKED
    assert short.shortfall is not None
    assert (short.shortfall.amount, short.shortfall.currency) == (PAYOUT.amount, PAYOUT.currency)
    poor = bench.ended(bench.adapter.balance("XOF"))
    assert poor is not None
    assert poor.amount < PAYOUT.amount
    bench.world.run_for(QUIET.short_s[1])
    rich = bench.ended(bench.adapter.balance("XOF"))
    assert rich is not None
    assert rich.amount >= PAYOUT.amount
    bench.provider.habits = QUIET
    assert bench.submitted(PAYOUT).kind is OutcomeClass.ACCEPTED


def test_one_that_runs_short_later_ends_unpaid_and_says_that_the_next_would_too() -> None:
    bench = Bench(replace(QUIET, short_later=1.0))
    bench.submitted(PAYOUT)
    bench.world.run_for(200)
    seen = bench.ended(bench.adapter.look_up(PAYOUT))
    assert (seen.finding, seen.blocks_provider, seen.retry_with_new_reference) == (Finding.UNPAID, True, True)
    assert seen.shortfall is not None
    assert bench.provider.payments == []
