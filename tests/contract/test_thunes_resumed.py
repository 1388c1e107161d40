"""A submit to Thunes that breaks off anywhere is taken up again: one transaction, one confirm, one payment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass
from nepxy.engine.payout import Payout, ProviderRef
from tests.contract.thunes_support import Steps, ThunesAtWork, a_sandbox, a_thunes_payout, again, eventually

WRITES = ("quotation", "transaction", "confirm")
ENDS = ("RESET", "ERROR_500", "HTML_502", "GARBAGE_200", "MAINTENANCE_503", "THROTTLED_429")


@pytest.fixture
async def thunes() -> AsyncIterator[ThunesAtWork]:
    async with ThunesAtWork(a_sandbox()) as thunes:
        yield thunes


async def paid_once(thunes: ThunesAtWork, payout: Payout) -> None:
    """Follow it to its end, as the engine would: look up, resend what is not there or unfinished."""
    attempt = payout
    for _ in range(5):
        report = await thunes.settled(attempt)
        if report.finding is Finding.PAID:
            break
        assert report.finding in (Finding.ABSENT, Finding.UNFINISHED)
        attempt = again(attempt)
        outcome = await thunes.submit(attempt)
        assert outcome.kind in (OutcomeClass.ACCEPTED, OutcomeClass.CONFIRMED)
    counts = await thunes.counts(payout)
    assert (counts["transactions"], counts["accepted"], counts["moved"]) == (1, 1, 1)
    assert (counts["ledger"]["amount"], counts["ledger"]["msisdns"]) == (payout.amount, [payout.phone_e164])


async def test_a_payout_is_quoted_created_confirmed_and_paid(thunes: ThunesAtWork) -> None:
    payout, steps = a_thunes_payout(), Steps()

    outcome = await thunes.submit(payout, steps)

    assert (outcome.kind, outcome.reason) == (OutcomeClass.ACCEPTED, "STATUS_20000")
    assert [step for step, _ in steps.reached_steps] == ["CREATING", "CONFIRMING"]
    assert steps.reached_steps[1] == ("CONFIRMING", outcome.provider_ref)
    await paid_once(thunes, payout)


@pytest.mark.parametrize("acts", [True, False], ids=["after-acting", "before-acting"])
@pytest.mark.parametrize("step", WRITES)
@pytest.mark.parametrize("reply", ENDS)
async def test_a_lost_answer_to_any_write_is_unknown_and_pays_once(
    thunes: ThunesAtWork, step: str, reply: str, acts: bool
) -> None:
    payout = a_thunes_payout()
    await thunes.plan({"step": step, "acts": acts, "reply": reply})

    outcome = await thunes.submit(payout)

    expected = OutcomeClass.THROTTLED if reply == "THROTTLED_429" else OutcomeClass.UNKNOWN
    assert outcome.kind is expected
    assert not outcome.refused_before_processing
    await paid_once(thunes, payout)


@pytest.mark.parametrize("acts", [True, False], ids=["after-acting", "before-acting"])
@pytest.mark.parametrize("step", WRITES)
async def test_an_answer_that_never_comes_is_unknown_and_pays_once(step: str, acts: bool) -> None:
    async with ThunesAtWork(a_sandbox(), timeout_s=0.3) as thunes:
        payout = a_thunes_payout()
        await thunes.plan({"step": step, "acts": acts, "reply": "HANG"})

        outcome = await thunes.submit(payout)

        assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "TIMED_OUT")
        await paid_once(thunes, payout)


@pytest.mark.parametrize("step", ["CREATING", "CONFIRMING"])
async def test_a_step_that_is_not_committed_is_not_taken(thunes: ThunesAtWork, step: str) -> None:
    payout = a_thunes_payout()

    outcome = await thunes.submit(payout, Steps(stops_at=step))

    made = 0 if step == "CREATING" else 1
    counts = await thunes.counts(payout)
    assert outcome.reason == "STEP_NOT_COMMITTED"
    assert outcome.kind is (OutcomeClass.NOT_SENT if step == "CREATING" else OutcomeClass.UNKNOWN)
    assert (counts["transactions"], counts["confirms_received"]) == (made, 0)
    await paid_once(thunes, payout)


async def test_nothing_is_confirmed_once_it_is_late(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout()

    outcome = await thunes.submit(payout, Steps(late_from="CONFIRMING"))

    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "SEND_WINDOW_PASSED")
    assert (await thunes.counts(payout))["confirms_received"] == 0
    assert (await thunes.adapter.look_up(payout)).finding is Finding.UNFINISHED
    await paid_once(thunes, payout)


async def test_nothing_is_created_once_it_is_late(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout()

    outcome = await thunes.submit(payout, Steps(late_from="CREATING"))

    assert (outcome.kind, outcome.reason) == (OutcomeClass.NOT_SENT, "SEND_WINDOW_PASSED")
    assert (await thunes.counts(payout))["transactions"] == 0


@pytest.mark.parametrize("step", [*WRITES, "read"])
async def test_a_crash_in_the_middle_of_any_call_pays_once(thunes: ThunesAtWork, step: str) -> None:
    payout = a_thunes_payout()
    if step == "read":
        # Only a repeated submit reads first.
        await thunes.submit(payout, Steps(stops_at="CONFIRMING"))
        payout = again(payout)
    await thunes.plan({"step": step, "acts": True, "reply": "HANG"})
    submitting = asyncio.create_task(thunes.submit(payout))

    async def the_call_has_come() -> bool | None:
        return None if await thunes.see("thunes/plan") else True

    await eventually(the_call_has_come)
    submitting.cancel()
    await asyncio.gather(submitting, return_exceptions=True)

    assert submitting.cancelled()
    await paid_once(thunes, payout)


async def test_two_submits_at_once_confirm_once(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout()

    outcomes = await asyncio.gather(
        thunes.submit(payout), thunes.submit(again(payout)), thunes.submit(again(payout))
    )

    assert OutcomeClass.ACCEPTED in {outcome.kind for outcome in outcomes}
    assert {outcome.kind for outcome in outcomes} <= {
        OutcomeClass.ACCEPTED,
        OutcomeClass.CONFIRMED,
        OutcomeClass.UNKNOWN,
    }
    await paid_once(thunes, payout)


async def test_a_submit_that_is_repeated_after_a_confirm_writes_nothing(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout("0402")
    first = await thunes.submit(payout)

    second = await thunes.submit(again(payout))

    counts = await thunes.counts(payout)
    assert (second.kind, second.provider_ref) == (OutcomeClass.ACCEPTED, first.provider_ref)
    assert (len(counts["quotations"]), counts["ledger"]["submit_count"], counts["confirms_received"]) == (
        1,
        1,
        1,
    )


async def test_a_first_attempt_whose_reference_was_used_goes_on_with_what_is_there(
    thunes: ThunesAtWork,
) -> None:
    """A row that was restored from a backup knows nothing of the attempts after it."""
    payout = a_thunes_payout()
    await thunes.submit(payout, Steps(stops_at="CONFIRMING"))

    outcome = await thunes.submit(payout)

    assert outcome.kind is OutcomeClass.ACCEPTED
    await paid_once(thunes, payout)


async def test_1007001_for_the_transaction_leads_to_the_one_that_is_there(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout()
    await thunes.submit(payout, Steps(stops_at="CONFIRMING"))
    # The read before the writes says that there is none; the create says otherwise.
    await thunes.plan({"step": "read", "reply": "RAW", "status": 404, "body": an_error("1008004")})

    outcome = await thunes.submit(again(payout))

    assert outcome.kind is OutcomeClass.ACCEPTED
    await paid_once(thunes, payout)


async def test_a_transaction_that_is_not_visible_yet_is_not_made_twice() -> None:
    async with ThunesAtWork(a_sandbox({"visibility_lag_s": 3600.0})) as thunes:
        payout = a_thunes_payout()
        await thunes.plan({"step": "confirm", "acts": True, "reply": "RESET"})
        await thunes.submit(payout)

        report = await thunes.adapter.look_up(payout)
        outcome = await thunes.submit(again(payout))

        counts = await thunes.counts(payout)
        assert report.finding is Finding.ABSENT
        assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "EXTERNAL_ID_USED")
        assert not outcome.reference_was_used
        assert (counts["transactions"], counts["accepted"]) == (1, 1)


async def test_where_its_id_is_known_none_is_created_again(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout(provider_ref=ProviderRef("123456789"))

    outcome = await thunes.submit(again(payout, provider_ref=payout.provider_ref))

    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "TRANSACTION_NOT_FOUND")
    assert (await thunes.counts(payout))["transactions"] == 0


async def test_where_its_id_is_known_it_is_found_by_it_while_it_is_not_visible() -> None:
    async with ThunesAtWork(a_sandbox({"visibility_lag_s": 3600.0})) as thunes:
        payout = a_thunes_payout()
        first = await thunes.submit(payout, Steps(stops_at="CONFIRMING"))

        outcome = await thunes.submit(again(payout, provider_ref=first.provider_ref))

        counts = await thunes.counts(payout)
        assert outcome.kind is OutcomeClass.ACCEPTED
        assert (counts["transactions"], counts["accepted"]) == (1, 1)


async def test_1007002_is_a_success(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout()
    await thunes.plan({"step": "confirm", "acts": True, "reply": "RAW", "body": an_error("1007002")})

    outcome = await thunes.submit(payout)

    assert (outcome.kind, outcome.reason) == (OutcomeClass.ACCEPTED, "ALREADY_CONFIRMED")
    assert outcome.provider_ref == str((await thunes.counts(payout))["id"])


async def test_1007003_is_read_again_and_may_have_moved_on(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout("0402")
    await thunes.plan({"step": "confirm", "acts": True, "reply": "RAW", "body": an_error("1007003")})

    outcome = await thunes.submit(payout)

    assert outcome.kind is OutcomeClass.ACCEPTED


async def test_1007003_for_what_is_still_created_is_unknown(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout("0711")

    outcome = await thunes.submit(payout)

    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "CANNOT_CONFIRM")
    assert (await thunes.adapter.look_up(payout)).finding is Finding.UNFINISHED


async def test_too_little_money_blocks_and_the_same_transaction_is_confirmed_later(
    thunes: ThunesAtWork,
) -> None:
    payout = a_thunes_payout()
    await thunes.set_faults(out_of_float=True)

    blocked = await thunes.submit(payout)
    empty = await thunes.adapter.balance("XOF")
    await thunes.set_faults(out_of_float=False)

    assert (blocked.kind, blocked.reason) == (OutcomeClass.BLOCKED, "INSUFFICIENT_BALANCE")
    assert blocked.shortfall is not None
    assert (blocked.shortfall.amount, blocked.shortfall.currency) == (
        153,
        "EUR",
    )  # 1000 / 655.957, rounded up
    assert empty is not None
    assert empty.amount == 0
    assert (await thunes.submit(again(payout))).kind is OutcomeClass.ACCEPTED
    await paid_once(thunes, payout)


async def test_an_expired_quotation_is_cancelled_and_a_new_reference_may_pay() -> None:
    async with ThunesAtWork(a_sandbox({"quotation_ttl_s": 0.0})) as thunes:
        payout = a_thunes_payout()
        outcome = await thunes.submit(payout)
        assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "QUOTATION_EXPIRED")


async def test_a_quotation_that_expires_before_the_confirm_ends_this_reference(thunes: ThunesAtWork) -> None:
    payout, steps = a_thunes_payout(), Steps()
    await thunes.plan({"step": "confirm", "reply": "RAW", "body": an_error("1007004")})

    outcome = await thunes.submit(payout, steps)

    assert (outcome.kind, outcome.reason) == (OutcomeClass.REJECTED, "QUOTATION_EXPIRED")
    assert outcome.retry_with_new_reference
    assert [step for step, _ in steps.reached_steps] == ["CREATING", "CONFIRMING", "CANCELLING"]
    assert (await thunes.counts(payout))["status"] == "40000"
    renewed = await thunes.submit(a_thunes_payout(generation=1))
    assert renewed.kind is OutcomeClass.ACCEPTED


async def test_an_expired_quotation_of_what_was_confirmed_ends_nothing(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout("0402")
    await thunes.plan({"step": "confirm", "acts": True, "reply": "RAW", "body": an_error("1007004")})

    outcome = await thunes.submit(payout)

    assert outcome.kind is OutcomeClass.ACCEPTED


@pytest.mark.parametrize("acts", [True, False])
async def test_a_lost_answer_to_a_cancel_is_unknown(thunes: ThunesAtWork, acts: bool) -> None:
    payout = a_thunes_payout()
    await thunes.plan(
        {"step": "confirm", "reply": "RAW", "body": an_error("1007004")},
        {"step": "cancel", "acts": acts, "reply": "RESET"},
    )

    outcome = await thunes.submit(payout)

    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "QUOTATION_EXPIRED")
    found = await thunes.adapter.look_up(payout)
    assert found.finding is (Finding.UNPAID if acts else Finding.UNFINISHED)
    assert not found.retry_with_new_reference


async def test_a_cancel_that_is_refused_proves_nothing(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout()
    await thunes.plan(
        {"step": "confirm", "reply": "RAW", "body": an_error("1007004")},
        {"step": "cancel", "reply": "RAW", "body": an_error("1007014")},
    )

    assert (await thunes.submit(payout)).kind is OutcomeClass.UNKNOWN


@pytest.mark.parametrize("status", ["10000", "20000", "50000", "CANCELLED"])
async def test_a_cancel_that_is_answered_with_another_state_proves_nothing(
    thunes: ThunesAtWork, status: str
) -> None:
    payout = a_thunes_payout()
    said = {"id": 7, "external_id": payout.submission_ref, "status": status}
    await thunes.plan(
        {"step": "confirm", "reply": "RAW", "body": an_error("1007004")},
        {"step": "cancel", "reply": "RAW", "status": 200, "body": said},
    )

    assert (await thunes.submit(payout)).kind is OutcomeClass.UNKNOWN


async def test_a_refusal_for_good_of_a_confirm_is_closed_before_it_counts(thunes: ThunesAtWork) -> None:
    payout = a_thunes_payout("0712")

    outcome = await thunes.submit(payout)

    assert (outcome.kind, outcome.reason) == (OutcomeClass.REJECTED, "LIMIT_EXCEEDED")
    assert not outcome.retry_with_new_reference
    assert (await thunes.counts(payout))["status"] == "40000"


@pytest.mark.parametrize("changed", [{"amount": 1001}, {"phone_e164": "+22890005678"}])
async def test_a_transaction_with_other_terms_is_never_confirmed(
    thunes: ThunesAtWork, changed: dict[str, Any]
) -> None:
    payout = a_thunes_payout()
    await thunes.submit(payout, Steps(stops_at="CONFIRMING"))
    ours = again(payout, **changed)

    outcome = await thunes.submit(ours)

    report = await thunes.adapter.look_up(ours)
    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "TERMS_DIFFER")
    assert report.finding is Finding.UNFINISHED
    assert report.terms.differ_from(amount=ours.amount, currency=ours.currency, phone_e164=ours.phone_e164)
    assert (await thunes.counts(payout))["confirms_received"] == 0


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("RESET", OutcomeClass.NOT_SENT),
        ("ERROR_500", OutcomeClass.NOT_SENT),
        ("GARBAGE_200", OutcomeClass.NOT_SENT),
        ("THROTTLED_429", OutcomeClass.THROTTLED),
        ("BAD_CREDENTIALS_401", OutcomeClass.BLOCKED),
    ],
)
@pytest.mark.parametrize("step", ["read", "payer"])
async def test_a_read_that_fails_before_the_first_write_sends_nothing(
    thunes: ThunesAtWork, step: str, reply: str, kind: OutcomeClass
) -> None:
    payout = again(a_thunes_payout())
    # A read on a pooled connection that dies is made again by the session.
    await thunes.plan({"step": step, "reply": reply, "times": 2})

    outcome = await thunes.submit(payout)

    assert outcome.kind is kind
    assert outcome.refused_before_processing is (kind is OutcomeClass.THROTTLED)
    counts = await thunes.counts(payout)
    assert (counts["quotations"], counts["transactions"]) == ([], 0)


async def test_a_payer_is_asked_for_once_by_many_and_again_after_a_failure(thunes: ThunesAtWork) -> None:
    await thunes.plan(
        {"step": "payer", "reply": "ERROR_500"}, {"step": "payer", "acts": True, "reply": "ACCEPTED"}
    )

    async def submit(generation: int) -> Outcome:
        return await thunes.submit(a_thunes_payout(generation=generation))

    assert (await submit(0)).kind is OutcomeClass.NOT_SENT
    outcomes = await asyncio.gather(*(submit(generation) for generation in range(1, 6)))

    assert {outcome.kind for outcome in outcomes} == {OutcomeClass.ACCEPTED}
    assert await thunes.see("thunes/plan") == []
    await thunes.plan({"step": "payer", "reply": "ERROR_500"})
    assert (await submit(7)).kind is OutcomeClass.ACCEPTED
    assert len(await thunes.see("thunes/plan")) == 1


async def test_on_a_bad_day_every_payout_is_paid_once(thunes: ThunesAtWork) -> None:
    rates = dict.fromkeys(
        ("drop_before_rate", "drop_after_rate", "error_before_rate", "error_after_rate"), 0.1
    )
    await thunes.set_faults(**rates, status_error_rate=0.1)

    async def pay(generation: int) -> Payout:
        payout = attempt = a_thunes_payout(generation=generation)
        outcome = await thunes.submit(attempt)
        for _ in range(50):
            report = await thunes.settled(attempt)
            if report.finding is Finding.PAID:
                return payout
            if report.finding in (Finding.ABSENT, Finding.UNFINISHED):
                attempt = again(attempt)
                outcome = await thunes.submit(attempt)
                assert outcome.kind is not OutcomeClass.REJECTED
        raise AssertionError(f"not paid: {outcome}")

    payouts = await asyncio.gather(*(pay(generation) for generation in range(60)))

    accounts = await thunes.see("accounts")
    moved = [accounts[payout.submission_ref]["moved_count"] for payout in payouts]
    assert moved == [1] * 60
    assert (await thunes.see("summary"))["movements"] == 60


def an_error(*codes: str) -> dict[str, Any]:
    return {"errors": [{"code": code, "message": "as told"} for code in codes]}
