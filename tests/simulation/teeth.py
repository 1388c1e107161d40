"""The money rules, each broken on purpose: what the simulation must catch to be worth running.

Each entry patches the engine (or, where the rule lives in the database's statement, its model) for as long as
the context lasts, and names what the checks have to say of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from nepxy.actors import payout as payout_actor
from nepxy.actors.messages import WebhookAnswer, WebhookArrived
from nepxy.actors.payout import AttemptGuard, PayoutActor
from nepxy.actors.supervisor import Supervisor
from nepxy.engine import effects as fx
from nepxy.engine.capabilities import RepeatedReference
from nepxy.engine.decide import Decision, Evidence, decide
from nepxy.engine.events import Event, StatusReported, SubmitAnswered
from nepxy.engine.outcomes import Finding, OutcomeClass
from nepxy.engine.payout import Payout, Status
from nepxy.storage.writes import Created, Moved, MovePayout
from tests.simulation.database import ModelDatabase
from tests.simulation.link import DatabaseLink
from tests.simulation.providers import SimAdapter

Decide = Callable[..., Decision]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tooth:
    """One rule, broken."""

    breaks: Callable[[], Any]
    """A context manager."""
    says: str
    """Part of a violation that the checks must find."""
    bites_at: int = 0
    """The seed that is tried first: where it needs a rare storm, one that was seen to have it."""


@contextmanager
def _deciding(instead: Decide) -> Iterator[None]:
    with patch.object(payout_actor, "decide", instead):
        yield


def _acknowledged_before_the_commit() -> Any:
    accept = Supervisor._accept

    def hasty(self: Supervisor, message: Any) -> None:
        if message.reply_to is not None:
            message.reply_to.tell(Created(payout=message.create.payout))
        accept(self, message)

    return patch.object(Supervisor, "_accept", hasty)


def _called_before_the_intent() -> Any:
    journal = PayoutActor._journal

    def hasty(self: PayoutActor, deliver: Any, decision: Decision, write: Any) -> None:
        journal(self, deliver, decision, write)
        committed, self._payout = self._payout, decision.payout
        for effect in decision.effects:
            if isinstance(effect, fx.Submit):
                self._submit(effect)
        self._payout = committed

    return patch.object(PayoutActor, "_journal", hasty)


def _late_sends() -> Any:
    return patch.object(AttemptGuard, "is_late", lambda self: False)


def _steps_are_not_committed() -> Any:
    async def hasty(self: AttemptGuard, event: Any) -> bool:
        return True

    return patch.object(AttemptGuard, "_committed", hasty)


def _a_name_means_taken() -> Any:
    return patch.object(Payout, "is_taken", property(lambda self: self.provider_ref is not None))


def _reading_events_as(translate: Callable[[Payout, Event], Event]) -> Any:
    def instead(payout: Payout, event: Event, **context: Any) -> Decision:
        return decide(payout, translate(payout, event), **context)

    return _deciding(instead)


def _unknown_is_failed() -> Any:
    def translate(payout: Payout, event: Event) -> Event:
        if isinstance(event, SubmitAnswered) and event.outcome.kind is OutcomeClass.UNKNOWN:
            return replace(event, outcome=replace(event.outcome, kind=OutcomeClass.REJECTED))
        return event

    return _reading_events_as(translate)


def _a_new_reference_after_unknown() -> Any:
    def translate(payout: Payout, event: Event) -> Event:
        if isinstance(event, SubmitAnswered) and event.outcome.kind is OutcomeClass.UNKNOWN:
            refused = replace(event.outcome, kind=OutcomeClass.REJECTED, retry_with_new_reference=True)
            return replace(event, outcome=refused)
        return event

    return _reading_events_as(translate)


def _absent_is_proof() -> Any:
    def translate(payout: Payout, event: Event) -> Event:
        if isinstance(event, StatusReported) and event.report.finding is Finding.ABSENT:
            unpaid = replace(event.report, finding=Finding.UNPAID, retry_with_new_reference=True)
            return replace(event, report=unpaid)
        return event

    return _reading_events_as(translate)


def _resent_without_proof() -> Any:
    def instead(payout: Payout, event: Event, *, policy: Any, **context: Any) -> Decision:
        capabilities = replace(policy.capabilities, repeated_reference=RepeatedReference.REPLAYS)
        return decide(payout, event, policy=replace(policy, capabilities=capabilities), **context)

    return _deciding(instead)


def _hints_are_believed() -> Any:
    def translate(payout: Payout, event: Event) -> Event:
        return replace(event, trusted=True) if isinstance(event, StatusReported) else event

    return _reading_events_as(translate)


def _another_account_will_do() -> Any:
    def instead(payout: Payout, event: Event, *, policy: Any, **context: Any) -> Decision:
        account = payout.account if payout.account is not None else policy.account
        return decide(payout, event, policy=replace(policy, account=account), **context)

    return _deciding(instead)


def _final_is_rewritten() -> Any:
    def instead(payout: Payout, event: Event, *, now: Any, **context: Any) -> Decision:
        in_flight = isinstance(event, StatusReported) and event.report.finding is Finding.IN_FLIGHT
        if payout.status is Status.CONFIRMED and in_flight:
            rewritten = replace(
                payout,
                status=Status.SENT,
                status_reason="IN_FLIGHT",
                version=payout.version + 1,
                settled_at=None,
                next_retry_at=now,
            )
            return Decision(payout=rewritten, evidence=Evidence(source="webhook", rule="none"))
        return decide(payout, event, now=now, **context)

    return _deciding(instead)


def _nothing_says_what_proved_it() -> Any:
    def instead(payout: Payout, event: Event, **context: Any) -> Decision:
        decision = decide(payout, event, **context)
        return replace(decision, evidence=Evidence(source="")) if decision.evidence else decision

    return _deciding(instead)


def _amounts_in_another_unit() -> Any:
    submit = SimAdapter.submit

    async def scaled(self: SimAdapter, payout: Payout, guard: Any) -> Any:
        return await submit(self, replace(payout, amount=payout.amount * 100), guard)

    return patch.object(SimAdapter, "submit", scaled)


def _a_webhook_is_thrown_away() -> Any:
    webhook = Supervisor._webhook

    def careless(self: Supervisor, message: WebhookArrived) -> None:
        known = self._roster.find(
            message.webhook.provider, message.webhook.our_ref, message.webhook.provider_ref
        )
        if known is None and message.reply_to is not None:
            message.reply_to.tell(WebhookAnswer(applied=False, reason="PAYOUT_NOT_FOUND"))
            return
        webhook(self, message)

    return patch.object(Supervisor, "_webhook", careless)


def _an_unknown_commit_is_taken_for_granted() -> Any:
    find_landed = DatabaseLink.find_landed

    def trusting(self: DatabaseLink, writes: Any) -> Any:
        landed = dict(find_landed(self, writes))
        for number, write in enumerate(writes):
            if isinstance(write, MovePayout):
                landed.setdefault(number, Moved(payout=write.after))
        return landed

    return patch.object(DatabaseLink, "find_landed", trusting)


def _versions_are_ignored() -> Any:
    judge = ModelDatabase._judge_move

    def lenient(self: ModelDatabase, write: MovePayout, now: Any) -> Any:
        row = self.tables.payouts.get(write.after.transaction_id)
        if row is not None:
            after = replace(write.after, version=row.version + 1)
            write = replace(write, before=row, after=after)
        return judge(self, write, now)

    return patch.object(ModelDatabase, "_judge_move", lenient)


def _pauses_are_ignored_by_the_intent() -> Any:
    denied = ModelDatabase._denied

    def lenient(self: ModelDatabase, write: MovePayout, row: Payout, now: Any) -> str | None:
        reason = denied(self, write, row, now)
        return None if reason == "PAUSED" else reason

    return patch.object(ModelDatabase, "_denied", lenient)


def _retry_pauses_are_ignored_by_the_intent() -> Any:
    denied = ModelDatabase._denied

    def lenient(self: ModelDatabase, write: MovePayout, row: Payout, now: Any) -> str | None:
        reason = denied(self, write, row, now)
        return None if reason == "RETRIES_PAUSED" else reason

    return patch.object(ModelDatabase, "_denied", lenient)


def _transitions_leave_no_row() -> Any:
    move = ModelDatabase._move

    def forgetful(self: ModelDatabase, write: MovePayout, payout: Payout, at: Any) -> None:
        move(self, write, payout, at)
        if payout.status is Status.CONFIRMED:
            self.tables.events[payout.transaction_id].pop()

    return patch.object(ModelDatabase, "_move", forgetful)


TEETH: Mapping[str, Tooth] = {
    "rule 1: acknowledged before the commit": Tooth(
        breaks=_acknowledged_before_the_commit, says="before it was committed"
    ),
    "rule 2: called before the intent is committed": Tooth(
        breaks=_called_before_the_intent, says="without a committed intent"
    ),
    "rule 2: send_by is not looked at": Tooth(breaks=_late_sends, says="after its send_by"),
    "rule 2: a further write leaves before its step is committed": Tooth(
        breaks=_steps_are_not_committed, says="went on to CONFIRMING"
    ),
    "rule 3: a new reference before failure is proven": Tooth(
        breaks=_a_new_reference_after_unknown, says="was paid 2 times"
    ),
    "rule 4: unknown is taken for failed": Tooth(breaks=_unknown_is_failed, says="is FAILED, and was paid"),
    "rule 4: absent is taken for proof": Tooth(breaks=_absent_is_proof, says="was paid 2 times"),
    "rule 4: resent without proof that it is harmless": Tooth(
        breaks=_resent_without_proof, says="sent again to one that may pay again"
    ),
    "rule 4: a name of theirs is taken for their word": Tooth(
        breaks=_a_name_means_taken, says="the provider never had it"
    ),
    "rule 5: nothing says what proved a transition": Tooth(
        breaks=_nothing_says_what_proved_it, says="nothing proves"
    ),
    "rule 6: a final state is rewritten": Tooth(breaks=_final_is_rewritten, says="is no move (rule 6)"),
    "rule 7: a transition leaves no row": Tooth(breaks=_transitions_leave_no_row, says="(rule 7)"),
    "rule 8: versions are not compared": Tooth(breaks=_versions_are_ignored, says="was followed by one from"),
    "rule 8: an unknown commit is taken for granted": Tooth(
        breaks=_an_unknown_commit_is_taken_for_granted, says="without a committed intent"
    ),
    "rule 9: a webhook is answered and not stored": Tooth(
        breaks=_a_webhook_is_thrown_away, says="before it was stored"
    ),
    "rule 9: a hint settles": Tooth(breaks=_hints_are_believed, says="is CONFIRMED, and no money left"),
    "rule 10: an attempt begins while paused": Tooth(
        breaks=_pauses_are_ignored_by_the_intent, says="was paused (rule 10)"
    ),
    "rule 10: sent again while retries are paused": Tooth(
        breaks=_retry_pauses_are_ignored_by_the_intent, says="retries to", bites_at=355
    ),
    "rule 10: another account is asked": Tooth(
        breaks=_another_account_will_do, says="through another account than its own"
    ),
    "rule 11: amounts in another unit": Tooth(breaks=_amounts_in_another_unit, says="(rule 11)"),
}
