"""The judge of the chaos runs has teeth: each broken money rule is called by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.clients import Acknowledged
from tests.chaos.verdict import Account, Row, Verdict, judge

REF, OTHER_REF = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
ROW = Row(
    transaction_id="t1",
    idempotency_key="k1",
    status="CONFIRMED",
    status_reason="SUCCESS",
    amount=1000,
    currency="XOF",
    phone_e164="+22890011234",
    provider_ref="TM1",
    version=3,
    events=[(1, "PENDING"), (2, "SENT"), (3, "CONFIRMED")],
    attempts={REF: 1},
)
PAID = Account(
    submit_count=1, accepted_count=1, moved_count=1, amount=1000, currencies=["XOF"], msisdns=["+22890011234"]
)
UNPAID = replace(PAID, moved_count=0, amount=0, currencies=[], msisdns=[])
UNTAKEN = replace(UNPAID, accepted_count=0)
PROMISE = Acknowledged(key="k1", transaction_id="t1", amount=1000, phone_e164="+22890011234")


def ended(status: str, *, reason: str = "X") -> Row:
    return replace(
        ROW, status=status, status_reason=reason, events=[(1, "PENDING"), (2, "SENT"), (3, status)]
    )


def judged(row: Row = ROW, *, look_up: bool = True, **accounts: Account) -> Verdict:
    found = {REF: accounts.get("ours", PAID)}
    if "other" in accounts:
        found[OTHER_REF] = accounts["other"]
    return judge(rows=[row], accounts=found, acknowledged=[PROMISE], look_up=look_up)


def test_all_is_well_where_each_confirmed_payout_was_paid_once() -> None:
    verdict = judged()
    assert verdict.wrong == []
    assert verdict.figures["distinct references paid"] == 1


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (judged(ours=replace(PAID, moved_count=2, amount=2000)), "was paid 2 times"),
        (judged(replace(ROW, attempts={REF: 1, OTHER_REF: 1}), other=PAID), "was paid by 2 references"),
        (judged(ours=UNPAID), "no money moved"),
        (judged(ended("FAILED")), "money moved"),
        (judged(ended("CANCELLED")), "money moved"),
        (judged(ours=replace(PAID, amount=999)), "other money moved than asked for"),
        (judged(ours=replace(PAID, msisdns=["+22890019999"])), "other money moved than asked for"),
        (judged(ended("SENT"), ours=UNTAKEN), "is left over"),
        (judged(ended("PENDING"), ours=UNTAKEN), "is left over"),
        (judged(ended("REVIEW")), "the provider could be asked, and knows it"),
        (judged(other=UNTAKEN), "sent without a committed intent"),
        (judged(ours=replace(PAID, submit_count=2)), "was sent 2 times on 1 intents"),
        (judged(replace(ROW, version=4)), "its row with"),
        (judged(replace(ROW, events=[(1, "PENDING"), (3, "CONFIRMED")])), "its history has gaps"),
        (
            judged(replace(ROW, events=[(1, "SENT"), (2, "FAILED"), (3, "CONFIRMED")])),
            "settled more than once",
        ),
    ],
)
def test_a_broken_rule_is_called_by_its_name(verdict: Verdict, said: str) -> None:
    assert any(said in problem for problem in verdict.wrong), verdict.wrong


def test_an_acknowledged_payout_that_is_missing_is_called() -> None:
    verdict = judge(rows=[], accounts={}, acknowledged=[PROMISE], look_up=True)
    assert verdict.wrong == ["t1 was acknowledged and is missing"]
    assert verdict.figures["acknowledged but missing"] == 1


def test_one_key_with_two_payouts_is_called() -> None:
    twin = replace(ROW, transaction_id="t2", attempts={})
    verdict = judge(rows=[ROW, twin], accounts={REF: PAID}, acknowledged=[PROMISE], look_up=True)
    assert any("key k1 made 2 payouts" in problem for problem in verdict.wrong)


def test_review_is_right_where_nobody_can_tell() -> None:
    review = ended("REVIEW", reason="ABSENT_UNPROVEN")
    assert judged(review, ours=UNTAKEN).wrong == []
    assert judged(replace(review, provider_ref=None), look_up=False).wrong == []
