"""After a restore from a backup nothing that may have been sent is sent again without proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nepxy.engine.capabilities import RepeatedReference
from nepxy.engine.decide import Decision, Policy
from nepxy.engine.effects import DecideAgain, GiveBackSlot, Postpone, RequestSlot, Submit
from nepxy.engine.events import (
    CancelRequested,
    Command,
    DueReached,
    Event,
    OperatorAsked,
    SlotGranted,
    Work,
)
from nepxy.engine.outcomes import Finding
from nepxy.engine.payout import Payout, Status
from nepxy.engine.restored import Restored
from tests.factories import ACCOUNT, NOW, a_payout, a_policy, decided, reported

LONG_AGO = NOW - timedelta(hours=2)
HELD = Restored(at=NOW - timedelta(hours=1), doubt_until=None)
RELEASED = replace(HELD, doubt_until=NOW + timedelta(hours=72))
OVER = replace(HELD, doubt_until=NOW - timedelta(minutes=1))
OF_THE_BACKUP: dict[str, Any] = {"created_at": LONG_AGO}


def after_restore(restored: Restored = RELEASED, **changes: Any) -> Policy:
    return replace(a_policy(**changes), restored=restored)


def played(payout: Payout, event: Event, policy: Policy) -> tuple[Payout, Decision]:
    """One event, and what is decided again because of it."""
    decision = decided(payout, event, policy=policy)
    first = decision.effects[0] if decision.effects else None
    if isinstance(first, DecideAgain):
        return played(decision.payout, first.event, policy)
    return decision.payout, decision


def test_what_waited_in_the_backup_is_looked_up_before_anything_is_sent() -> None:
    payout, decision = played(a_payout(**OF_THE_BACKUP), DueReached(), after_restore())

    assert (payout.status, payout.status_reason) == (Status.SENT, "RESTORED")
    assert (payout.in_doubt_since, payout.account, payout.attempt_count) == (NOW, ACCOUNT, 1)
    assert payout.submission_ref == a_payout().submission_ref
    assert decision.effects == (RequestSlot(work=Work.LOOKUP),)


def test_a_place_that_was_granted_for_a_submit_is_given_back() -> None:
    payout, decision = played(a_payout(**OF_THE_BACKUP), SlotGranted(work=Work.SUBMIT), after_restore())

    assert payout.status is Status.SENT
    assert decision.effects == (GiveBackSlot(),)


def test_what_the_provider_paid_after_the_backup_is_adopted() -> None:
    waiting, _ = played(a_payout(**OF_THE_BACKUP), DueReached(), after_restore())

    payout, _ = played(waiting, reported(Finding.PAID, attempt=1), after_restore())

    assert payout.status is Status.CONFIRMED


def test_absent_is_no_proof_for_what_came_out_of_the_backup() -> None:
    policy = after_restore()
    waiting, _ = played(a_payout(**OF_THE_BACKUP), DueReached(), policy)
    lag_over = replace(waiting, answer_by=LONG_AGO)

    payout, decision = played(lag_over, reported(Finding.ABSENT, attempt=1), policy)

    assert (payout.status, payout.status_reason) == (Status.REVIEW, "ABSENT_UNPROVEN")
    assert not any(isinstance(effect, RequestSlot | Submit) for effect in decision.effects)


def test_absent_leads_to_a_repeat_where_the_provider_refuses_repeats() -> None:
    policy = after_restore(repeated=RepeatedReference.REJECTS)
    waiting, _ = played(a_payout(**OF_THE_BACKUP), DueReached(), policy)

    _, decision = played(waiting, reported(Finding.ABSENT, attempt=1), policy)

    assert decision.effects == (RequestSlot(work=Work.RESEND),)


def test_where_nobody_can_be_asked_it_ends_in_review() -> None:
    policy = after_restore(lookup=False, status=False)
    waiting, decision = played(a_payout(**OF_THE_BACKUP), DueReached(), policy)
    assert isinstance(decision.effects[0], Postpone)

    payout, _ = played(replace(waiting, answer_by=LONG_AGO), DueReached(), policy)

    assert (payout.status, payout.status_reason) == (Status.REVIEW, "UNRESOLVED")


def test_it_can_be_cancelled_neither_by_its_client_nor_by_an_operator() -> None:
    payout, decision = played(a_payout(**OF_THE_BACKUP), CancelRequested(), after_restore())
    assert (payout.status, decision.answer) == (Status.SENT, "PAYOUT_NOT_CANCELLABLE")

    order = OperatorAsked(command=Command.CANCEL, reason="the client asks")
    payout, decision = played(a_payout(**OF_THE_BACKUP), order, after_restore())
    assert (payout.status, decision.answer) == (Status.SENT, "COMMAND_NOT_VALID")


def test_it_does_not_fail_by_its_time_alone() -> None:
    expired = a_payout(**OF_THE_BACKUP, expires_at=NOW - timedelta(minutes=1))

    payout, decision = played(expired, DueReached(), after_restore())

    assert payout.status is Status.SENT
    assert decision.effects == (RequestSlot(work=Work.LOOKUP),)


def test_the_next_generation_of_it_may_have_been_used_too() -> None:
    """A generation that was raised after the backup, and paid, is derived again after the restore."""
    next_one = a_payout(
        **OF_THE_BACKUP,
        generation=1,
        attempt_count=1,
        last_attempt_at=NOW - timedelta(minutes=5),
        status_reason="RETRY_WITH_NEW_REFERENCE",
    )

    payout, decision = played(next_one, DueReached(), after_restore())

    assert (payout.status, payout.status_reason) == (Status.SENT, "MAYBE_REPOSTED")
    assert decision.effects == (RequestSlot(work=Work.LOOKUP),)


@pytest.mark.parametrize("restored", [HELD, RELEASED])
def test_what_looks_new_is_asked_about_first_because_it_may_be_a_re_post(restored: Restored) -> None:
    payout, decision = played(a_payout(), DueReached(), after_restore(restored))

    assert (payout.status, payout.status_reason) == (Status.SENT, "MAYBE_REPOSTED")
    assert decision.effects == (RequestSlot(work=Work.LOOKUP),)


def test_a_re_post_that_the_provider_has_paid_is_adopted() -> None:
    asked, _ = played(a_payout(), DueReached(), after_restore())

    payout, _ = played(asked, reported(Finding.PAID, attempt=1), after_restore())

    assert payout.status is Status.CONFIRMED


def test_what_looks_new_and_is_unknown_to_the_provider_is_sent() -> None:
    policy = after_restore()
    asked, _ = played(a_payout(), DueReached(), policy)

    payout, _ = played(asked, reported(Finding.ABSENT, attempt=1), policy)
    assert (payout.status, payout.status_reason) == (Status.PENDING, "ABSENT_AFTER_RESTORE")
    assert payout.counted_attempts == 0

    _, decision = played(payout, SlotGranted(work=Work.SUBMIT), policy)
    assert [effect.reference for effect in decision.effects if isinstance(effect, Submit)] == [
        payout.submission_ref
    ]


def test_absent_counts_for_what_looks_new_only_once_the_look_ups_lag_is_over() -> None:
    just_now = replace(RELEASED, at=NOW - timedelta(minutes=3))
    asked, _ = played(a_payout(), DueReached(), after_restore(just_now))

    payout, _ = played(asked, reported(Finding.ABSENT, attempt=1), after_restore(just_now))

    assert payout.status is Status.SENT


def test_once_the_time_for_re_posts_is_over_a_new_payout_is_simply_sent() -> None:
    payout, decision = played(a_payout(), DueReached(), after_restore(OVER))

    assert payout.status is Status.PENDING
    assert decision.effects == (RequestSlot(work=Work.SUBMIT),)


def test_what_came_out_of_the_backup_stays_in_doubt_however_late_it_is_looked_at() -> None:
    payout, _ = played(a_payout(**OF_THE_BACKUP), DueReached(), after_restore(OVER))

    assert (payout.status, payout.status_reason) == (Status.SENT, "RESTORED")


@pytest.mark.parametrize("reason", ["NOT_SENT", "THROTTLED", "BLOCKED"])
def test_an_attempt_since_the_restore_that_was_not_processed_is_simply_repeated(reason: str) -> None:
    tried = a_payout(
        **OF_THE_BACKUP,
        status_reason=reason,
        attempt_count=2,
        unreached_count=1,
        last_attempt_at=NOW - timedelta(minutes=5),
    )

    payout, decision = played(tried, DueReached(), after_restore())

    assert payout.status is Status.PENDING
    assert decision.effects == (RequestSlot(work=Work.SUBMIT),)


def test_while_held_nothing_is_sent_whatever_the_provider_promises() -> None:
    policy = after_restore(HELD, repeated=RepeatedReference.REJECTS, lookup=False, status=False)
    fresh = a_payout(status_reason="ABSENT_AFTER_RESTORE")
    doubtful = a_payout(status=Status.SENT, in_doubt_since=LONG_AGO, answer_by=LONG_AGO)

    for payout in (fresh, doubtful):
        for event in (DueReached(), SlotGranted(work=Work.SUBMIT), SlotGranted(work=Work.RESEND)):
            after, decision = played(payout, event, policy)
            assert after == payout
            assert not any(isinstance(effect, RequestSlot | Submit) for effect in decision.effects)
    # It waits for its release, rather than for a person.
    assert isinstance(decided(doubtful, DueReached(), policy=policy).effects[0], Postpone)


def test_while_held_the_provider_is_asked_all_the_same() -> None:
    doubtful = a_payout(status=Status.SENT, in_doubt_since=LONG_AGO, answer_by=LONG_AGO)

    _, decision = played(doubtful, DueReached(), after_restore(HELD))

    assert decision.effects == (RequestSlot(work=Work.LOOKUP),)


def test_without_a_restore_nothing_of_this_applies() -> None:
    assert decided(a_payout(**OF_THE_BACKUP), DueReached()).payout.status is Status.PENDING
