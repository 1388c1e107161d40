"""What was asked is kept beside what was answered: masked, bounded, and without the names of people."""

from __future__ import annotations

import pytest

from nepxy.engine.outcomes import OutcomeClass
from nepxy.engine.payout import Status
from tests.contract.profiles import SECRET, a_sent_payout, played
from tests.contract.support import Guard
from tests.contract.test_momo_tokens import Set, stage
from tests.contract.thunes_support import ThunesAtWork, a_sandbox, a_thunes_payout
from tests.factories import NOW, a_payout, answered, decided

__all__ = ["stage"]  # the fixture


@pytest.mark.parametrize("profile", ["tmoney", "flooz", "moov-soap", "paygate", "qosic"])
async def test_a_wallets_request_is_kept_masked(profile: str) -> None:
    async with played(profile) as town:
        payout = a_sent_payout(profile)
        outcome = await town.adapter.submit(payout, Guard())
    assert 0 < len(outcome.request.encode()) <= 300
    for hidden in (SECRET, payout.phone_e164, payout.phone_e164[1:], payout.phone_e164[-8:]):
        assert hidden not in outcome.request
    if profile != "moov-soap":  # its envelope alone is most of what is kept
        assert payout.submission_ref in outcome.request
        assert str(payout.amount) in outcome.request


async def test_momos_request_is_kept_masked(stage: Set) -> None:
    on = await stage()
    outcome = await on.submit()
    assert '"amount":"1000"' in outcome.request
    assert "2290190000001" not in outcome.request


async def test_thunes_requests_are_kept_without_the_names_of_people() -> None:
    async with ThunesAtWork(a_sandbox()) as thunes:
        payout = a_thunes_payout()
        refusal = {"errors": [{"code": "1005001", "message": "no such account"}]}
        await thunes.plan({"step": "transaction", "reply": "RAW", "status": 400, "body": refusal})
        outcome = await thunes.submit(payout)
    assert outcome.kind is OutcomeClass.REJECTED, outcome
    assert payout.submission_ref in outcome.request
    assert "FAMILY_SUPPORT" in outcome.request
    for name in ("Ama", "Mensah", "Jeanne", payout.phone_e164[1:]):
        assert name not in outcome.request + outcome.answer


async def test_what_was_never_sent_is_told_with_what_would_have_been() -> None:
    async with played("tmoney", change={"cashout_url": "http://127.0.0.1:9/cashout"}) as town:
        outcome = await town.adapter.submit(a_sent_payout("tmoney"), Guard())
    assert (outcome.kind, outcome.answer) == (OutcomeClass.NOT_SENT, "nothing was sent")
    assert a_sent_payout("tmoney").submission_ref in outcome.request


def test_the_request_is_stored_with_the_transition() -> None:
    asked = '{"amount":"1000"}'
    decision = decided(a_payout(status=Status.SENT), answered(OutcomeClass.UNKNOWN, request=asked), now=NOW)
    assert decision.evidence is not None
    assert decision.evidence.request == asked
