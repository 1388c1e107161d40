"""What a provider's word is beside ours, and whether it may be asked for: as tables."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nepxy.engine.events import Work
from nepxy.engine.outcomes import Finding, ReportedTerms
from nepxy.engine.payout import Status
from nepxy.engine.reconcile import DifferenceKind, Tally, Verdict, compare, question_of
from tests.factories import NOW, THEIRS, a_payout, a_policy

PAID, UNPAID, REVERSED = Finding.PAID, Finding.UNPAID, Finding.REVERSED
IN_FLIGHT, UNFINISHED, ABSENT = Finding.IN_FLIGHT, Finding.UNFINISHED, Finding.ABSENT
AGREE = None
STATE, SETTLED, MISSING = (
    DifferenceKind.STATE_DIFFERS,
    DifferenceKind.SETTLED_THERE,
    DifferenceKind.MISSING_THERE,
)
TABLE = {
    Status.CONFIRMED: {PAID: AGREE, UNPAID: STATE, REVERSED: STATE, IN_FLIGHT: STATE, ABSENT: MISSING},
    Status.FAILED: {PAID: STATE, UNPAID: AGREE, REVERSED: STATE, IN_FLIGHT: STATE, ABSENT: AGREE},
    Status.CANCELLED: {PAID: STATE, UNPAID: AGREE, REVERSED: STATE, IN_FLIGHT: STATE, ABSENT: AGREE},
    Status.SENT: {PAID: SETTLED, UNPAID: SETTLED, REVERSED: SETTLED, IN_FLIGHT: AGREE, ABSENT: MISSING},
    Status.REVIEW: {PAID: SETTLED, UNPAID: SETTLED, REVERSED: SETTLED, IN_FLIGHT: AGREE, ABSENT: MISSING},
    Status.PENDING: {PAID: SETTLED, UNPAID: SETTLED, REVERSED: SETTLED, IN_FLIGHT: AGREE, ABSENT: AGREE},
}


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("finding", [PAID, UNPAID, REVERSED, IN_FLIGHT, ABSENT])
def test_every_state_beside_every_word(status: Status, finding: Finding) -> None:
    verdict = compare(a_payout(status=status), finding)
    assert verdict is not None
    assert verdict.kind == TABLE[status][finding]
    assert bool(verdict.detail) == (verdict.kind is not None)


def test_no_answer_says_nothing_and_what_is_begun_is_under_way() -> None:
    assert compare(a_payout(status=Status.CONFIRMED), Finding.NO_ANSWER) is None
    assert compare(a_payout(status=Status.SENT), UNFINISHED) == Verdict()


@pytest.mark.parametrize(
    ("terms", "named"),
    [
        (ReportedTerms(amount=999), "amount"),
        (ReportedTerms(currency="XAF"), "currency"),
        (ReportedTerms(phone_e164="+22990000009"), "phone_e164"),
    ],
)
def test_other_terms_differ_without_being_quoted(terms: ReportedTerms, named: str) -> None:
    verdict = compare(a_payout(status=Status.CONFIRMED), PAID, terms)
    assert verdict is not None
    assert verdict.kind is DifferenceKind.AMOUNT_DIFFERS
    assert named in verdict.detail
    assert "+229" not in verdict.detail


def test_what_is_settled_is_asked_about_by_their_name_first() -> None:
    settled = a_payout(status=Status.CONFIRMED, provider_ref=THEIRS)
    assert question_of(settled, now=NOW, policy=a_policy()) is Work.POLL
    assert question_of(settled, now=NOW, policy=a_policy(status=False)) is Work.LOOKUP
    assert question_of(settled, now=NOW, policy=a_policy(status=False, lookup=False)) is None
    nameless = a_payout(status=Status.FAILED)
    assert question_of(nameless, now=NOW, policy=a_policy()) is Work.LOOKUP


def test_nothing_is_asked_on_another_account_nor_while_the_answer_may_come() -> None:
    for status in (Status.SENT, Status.CONFIRMED, Status.FAILED):
        payout = a_payout(status=status)
        assert question_of(payout, now=NOW, policy=a_policy(account="another")) is None
        assert question_of(payout, now=NOW, policy=a_policy(account=None)) is None
    awaited = a_payout(status=Status.SENT, answer_by=NOW + timedelta(seconds=1))
    assert question_of(awaited, now=NOW, policy=a_policy()) is None


def test_what_was_never_sent_is_not_asked_about() -> None:
    assert question_of(a_payout(status=Status.CANCELLED), now=NOW, policy=a_policy()) is None
    assert question_of(a_payout(), now=NOW, policy=a_policy()) is None


def test_figures_say_zero_where_nothing_was_found() -> None:
    tally = Tally()
    tally.add("agree", 2)
    tally.differ(DifferenceKind.MISSING_THERE)
    tally.add("not_asked")
    figures = tally.figures()
    assert (figures["checked"], figures["agree"], figures["differ"], figures["not_asked"]) == (3, 2, 1, 1)
    assert (figures["missing_there"], figures["missing_here"], figures["state_differs"]) == (1, 0, 0)
