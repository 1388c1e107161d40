"""What operators are told that a command needs is what it is refused without; and each has its words in every state."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from nepxy.engine.decide import Policy
from nepxy.engine.events import Command, OperatorAsked
from nepxy.engine.explain import NOTHING_KNOWN, ProviderNow, explained
from nepxy.engine.operator_words import safe_commands, was_done
from nepxy.engine.payout import Payout, Status
from tests.factories import NOW, a_payout, a_policy, decided

SITUATIONS: list[tuple[Payout, Policy]] = [
    (a_payout(status=status), policy)
    for status in Status
    for policy in (a_policy(), replace(a_policy(), second_person=False), a_policy(lookup=False, status=False))
]


def asked(payout: Payout, command: Command, policy: Policy, **fields: Any) -> str:
    order = OperatorAsked(command=command, reason="because", **fields)
    return decided(payout, order, policy=policy).answer


@pytest.mark.parametrize(("payout", "policy"), SITUATIONS)
def test_what_a_command_is_said_to_need_is_what_it_is_refused_without(payout: Payout, policy: Policy) -> None:
    for one in safe_commands(payout, now=NOW, policy=policy):
        given: dict[str, Any] = {}
        if "force" in one.needs:
            assert asked(payout, one.command, policy) == "FORCE_NEEDED"
            given["force"] = True
        if "second_person" in one.needs:
            assert asked(payout, one.command, policy, **given) == "SECOND_PERSON_NEEDED"
            given["second_person"] = "operator:bea"
        assert asked(payout, one.command, policy, **given) == "APPLIED"


@pytest.mark.parametrize(("payout", "policy"), SITUATIONS)
def test_every_command_says_what_it_does_and_what_it_did(payout: Payout, policy: Policy) -> None:
    for one in safe_commands(payout, now=NOW, policy=policy):
        assert one.does.endswith(".")
        order = OperatorAsked(command=one.command, reason="because", force=True, second_person="operator:bea")
        left = decided(payout, order, policy=policy).payout
        assert was_done(left, one.command, now=NOW, policy=policy).endswith(".")


def test_a_question_is_promised_for_when_it_may_be_asked() -> None:
    policy = a_policy()
    sent = a_payout(status=Status.SENT, in_doubt_since=NOW)
    (retry,) = [one for one in safe_commands(sent, now=NOW, policy=policy) if one.command is Command.RETRY]
    assert "asked now" in retry.does
    awaited = replace(sent, answer_by=NOW + timedelta(seconds=20))
    (retry,) = [one for one in safe_commands(awaited, now=NOW, policy=policy) if one.command is Command.RETRY]
    assert "2026-11-24 12:00:20 UTC" in retry.does


LATER = NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("payout", "provider", "at"),
    [
        (a_payout(), NOTHING_KNOWN, NOW),
        (a_payout(), ProviderNow(), None),
        (a_payout(), replace(NOTHING_KNOWN, paused_reason="storm"), None),
        (a_payout(), replace(NOTHING_KNOWN, held=True), None),
        (a_payout(attempt_count=1, unreached_count=1, next_retry_at=LATER), NOTHING_KNOWN, LATER),
        (a_payout(status=Status.SENT, answer_by=LATER), NOTHING_KNOWN, LATER),
        (a_payout(status=Status.REVIEW, status_reason="ACCOUNT_CHANGED"), NOTHING_KNOWN, None),
        (a_payout(status=Status.FAILED), NOTHING_KNOWN, None),
    ],
)
def test_when_it_goes_on_by_itself(payout: Payout, provider: ProviderNow, at: datetime | None) -> None:
    assert explained(payout, now=NOW, provider=provider).next_at == at


def test_what_stands_in_the_way_is_named() -> None:
    provider = replace(NOTHING_KNOWN, paused_reason="storm", breaker_open=True, held_until=LATER, held=True)
    told = " ".join(explained(a_payout(), now=NOW, provider=provider).blockers)
    for words in ("storm", "failed too often", "asked for silence until 2026-11-24 12:05", "backup"):
        assert words in told
    failed = explained(
        a_payout(status=Status.FAILED), now=NOW, unresolved_count=1, discrepancies=("REVERSED",)
    )
    assert len(failed.blockers) == 2
