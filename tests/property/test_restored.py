"""After a restore, whatever happens: what may have been sent is not sent before the provider was asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nepxy.engine.capabilities import RepeatedReference
from nepxy.engine.decide import Decision, Policy
from nepxy.engine.decide.restored_rules import ABSENT_AFTER_RESTORE, SETTLES_IT
from nepxy.engine.effects import DecideAgain, Submit
from nepxy.engine.events import DueReached, Event, SlotGranted, Source, StatusReported, Work
from nepxy.engine.outcomes import Finding, StatusReport
from nepxy.engine.payout import Payout, Status
from nepxy.engine.restored import Restored
from tests.factories import NOW, a_payout, a_policy, decided
from tests.property.test_money_rules import STEPS_S, TERMS, events

AT = NOW - timedelta(minutes=30)
RESTORES = (Restored(at=AT, doubt_until=None), Restored(at=AT, doubt_until=NOW + timedelta(hours=72)))
POLICIES = tuple(
    replace(a_policy(repeated=repeated, lookup=lookup, status=lookup), restored=restored)
    for repeated, lookup, restored in product(RepeatedReference, (True, False), RESTORES)
)
ROWS = (
    a_payout(created_at=AT - timedelta(hours=1)),
    a_payout(created_at=AT + timedelta(minutes=10)),
    a_payout(
        created_at=AT - timedelta(hours=1),
        status_reason="NOT_SENT",
        attempt_count=1,
        unreached_count=1,
        last_attempt_at=AT - timedelta(minutes=40),
    ),
    a_payout(created_at=AT - timedelta(hours=1), status=Status.SENT, last_attempt_at=AT - timedelta(hours=1)),
)


@dataclass
class Life:
    """One payout after the restore, by what was committed of it."""

    payout: Payout
    policy: Policy
    asked_in_vain: bool = False
    """A look-up since the restore said that the current reference is not known."""

    def take(self, event: Event, at_s: float) -> None:
        before = self.payout
        decision = decided(before, event, policy=self.policy, now=NOW + timedelta(seconds=at_s))
        self._hold(before, event, decision)
        self.payout = decision.payout
        if self.payout.generation != before.generation:
            self.asked_in_vain = False
        for effect in decision.effects:
            if isinstance(effect, DecideAgain):
                self.take(effect.event, at_s)

    def _hold(self, before: Payout, event: Event, decision: Decision) -> None:
        restored, capabilities = self.policy.restored, self.policy.capabilities
        assert restored is not None
        if isinstance(event, StatusReported) and event.report.finding is Finding.ABSENT:
            asked = event.source is not Source.WEBHOOK and event.reference == before.submission_ref
            self.asked_in_vain = self.asked_in_vain or asked
        if decision.payout.status is Status.CANCELLED and before.status is not Status.CANCELLED:
            assert before.status_reason in SETTLES_IT
            assert before.last_attempt_at is not None
            assert before.last_attempt_at >= restored.at
        if not any(isinstance(effect, Submit) for effect in decision.effects):
            return
        assert not restored.held, "sent while held"
        # Each reference that this row can have may have been used: none of them is older than the restore's window.
        proven_harmless = capabilities.resend_allowed
        came_back = before.status_reason in ("NOT_SENT", "THROTTLED", "BLOCKED")
        assert self.asked_in_vain or proven_harmless or came_back, "sent, and the provider was not asked"
        if before.status is Status.PENDING and not came_back:
            assert before.status_reason == ABSENT_AFTER_RESTORE


@pytest.mark.parametrize(
    "row", ROWS, ids=["of the backup", "new", "tried in the backup", "sent in the backup"]
)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_nothing_is_sent_before_the_provider_was_asked(row: Payout, data: st.DataObject) -> None:
    life, at_s = Life(row, data.draw(st.sampled_from(POLICIES))), 0.0
    for _ in range(data.draw(st.integers(1, 14))):
        at_s += data.draw(st.sampled_from(STEPS_S))
        life.take(data.draw(events(life.payout) | _favourable(life.payout)), at_s)


def _favourable(payout: Payout) -> st.SearchStrategy[Event]:
    """What leads on most often, so that long lives are not all spent in REVIEW."""
    absent = StatusReported(
        source=Source.LOOKUP,
        reference=payout.submission_ref,
        attempt=payout.attempt_count,
        report=StatusReport(finding=Finding.ABSENT, reason="CODE", terms=TERMS[0]),
    )
    return st.sampled_from(
        [DueReached(), SlotGranted(work=Work.SUBMIT), SlotGranted(work=Work.RESEND), absent]
    )
