"""Every state and every reason that `decide` can give is explained, with what happens next and when."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nepxy.engine import decide, explain
from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.decide import restored_rules
from nepxy.engine.explain import NOTHING_KNOWN, ProviderNow
from nepxy.engine.payout import Payout, ProviderRef, Status, SubmissionRef, TransactionId

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PHONE = "+22890123456"
RULES = [
    importlib.import_module(f"{decide.__name__}.{module.name}")
    for module in pkgutil.iter_modules(decide.__path__)
]
ASKABLE = ProviderNow(capabilities=Capabilities(lookup_by_reference=True, webhooks=WebhookTrust.SIGNED))
REASON_CALLS = {"moved", "review", "settle", "_settle", "in_doubt", "_back_to_pending", "_begin_attempt"}


def a_payout(status: Status = Status.PENDING, **changes: Any) -> Payout:
    settled = status.is_final
    base = Payout(
        transaction_id=TransactionId("01936000-0000-7000-8000-0000000000ff"),
        client_id="acme",
        idempotency_key="key",
        provider="TMONEY",
        status=status,
        amount=1000,
        currency="XOF",
        phone_e164=PHONE,
        country="TG",
        external_ref="order-1",
        submission_ref=SubmissionRef("1b4e28ba-2fa1-41d2-883f-0016d3cca427"),
        attempt_count=1 if status in (Status.SENT, Status.REVIEW) else 0,
        account="sandbox" if status in (Status.SENT, Status.REVIEW) else None,
        next_retry_at=None if settled else NOW + timedelta(minutes=4),
        settled_at=NOW if settled else None,
        expires_at=NOW + timedelta(hours=72),
        created_at=NOW - timedelta(minutes=1),
    )
    return replace(base, **changes)


def said(payout: Payout, provider: ProviderNow = ASKABLE) -> str:
    return explain.explain(payout, now=NOW, provider=provider)


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def reasons_in_decide() -> set[str]:
    """Every constant code that `decide` hands to what moves a payout, and those chosen between beforehand."""
    # By name, not as constants where they are used.
    found = {restored_rules.RESTORED, restored_rules.MAYBE_REPOSTED, restored_rules.ABSENT_AFTER_RESTORE}
    for node in (node for module in RULES for node in ast.walk(ast.parse(inspect.getsource(module)))):
        if isinstance(node, ast.Call) and called(node) in REASON_CALLS:
            found |= {
                arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            }
        if isinstance(node, ast.IfExp):
            found |= {
                arm.value
                for arm in (node.body, node.orelse)
                if isinstance(arm, ast.Constant) and isinstance(arm.value, str)
            }
    return {reason for reason in found if re.fullmatch(r"[A-Z][A-Z_]{4,}", reason)}


def known_reasons() -> set[str]:
    tables = (explain.PENDING, explain.SENT, explain.REVIEW, explain.FAILED)
    said_in_its_place = {"CANCELLED_BY_CLIENT", "CANCELLED_BY_OPERATOR", "CONFIRMED_BY_OPERATOR"}
    return said_in_its_place.union(*tables)


def test_every_reason_of_decide_has_its_own_words() -> None:
    assert reasons_in_decide() - known_reasons() - {"NOT_UPDATED"} == set()


def test_no_words_are_left_over_for_a_reason_that_nothing_gives() -> None:
    assert known_reasons() - reasons_in_decide() - {"ACCEPTED"} == set()


EVERY = [
    *((Status.PENDING, reason) for reason in explain.PENDING),
    *((Status.SENT, reason) for reason in explain.SENT),
    *((Status.REVIEW, reason) for reason in explain.REVIEW),
    *((Status.FAILED, reason) for reason in explain.FAILED),
    (Status.CANCELLED, "CANCELLED_BY_CLIENT"),
    (Status.CANCELLED, "CANCELLED_BY_OPERATOR"),
    (Status.CONFIRMED, "SUCCESS"),
    (Status.CONFIRMED, "CONFIRMED_BY_OPERATOR"),
    (Status.FAILED, "PAYEE_NOT_FOUND"),
    *((status, f"NOBODY_FORESAW_{PHONE}") for status in Status),
]
PROVIDERS = [
    NOTHING_KNOWN,
    ASKABLE,
    ProviderNow(capabilities=None),
    ProviderNow(capabilities=Capabilities(), paused_reason=f"call {PHONE}"),
    ProviderNow(capabilities=Capabilities(repeated_reference=RepeatedReference.REJECTS), paused_reason=""),
]


@pytest.mark.parametrize(("status", "reason"), EVERY)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"answer_by": NOW + timedelta(seconds=20)},
        {"expires_at": NOW},
        {"next_retry_at": NOW - timedelta(hours=1)},
    ],
    ids=["plain", "answer due", "expired", "overdue"],
)
def test_every_state_and_reason_is_a_sentence_without_a_number(
    status: Status, reason: str, provider: ProviderNow, changes: dict[str, Any]
) -> None:
    if status.is_final:
        changes = {name: value for name, value in changes.items() if name != "next_retry_at"}
    text = said(a_payout(status, status_reason=reason, **changes), provider)
    assert re.fullmatch(r"[A-Z].*\.", text)
    assert "{" not in text
    assert "  " not in text
    assert PHONE not in text
    assert PHONE[4:] not in text
    assert len(text) < 500


def test_a_new_payout_says_when_it_is_sent_and_until_when() -> None:
    text = said(a_payout())
    assert "as soon as TMONEY has a place" in text
    assert "2026-11-27 12:00:00 UTC" in text


def test_a_retry_says_when() -> None:
    assert "at 2026-11-24 12:04:00 UTC (in 4 min)" in said(
        a_payout(status_reason="NOT_SENT", attempt_count=1)
    )


def test_a_paused_provider_is_named_with_the_reason() -> None:
    paused = ProviderNow(capabilities=Capabilities(), paused_reason="HTTP_403")
    assert "TMONEY is paused (HTTP_403)" in said(a_payout(), paused)


def test_what_waits_for_paused_retries_says_why_and_which_command_ends_it() -> None:
    paused = replace(ASKABLE, retries_paused_reason="storm of time-outs")
    tried = a_payout(status_reason="NOT_SENT", attempt_count=1)
    assert "Retries to TMONEY are paused (storm of time-outs)" in said(tried, paused)
    assert "resume_retries" in said(tried, paused)
    told = explain.explained(tried, now=NOW, provider=paused)
    assert told.next_at is None
    assert any("storm of time-outs" in blocker for blocker in told.blockers)


def test_paused_retries_hold_up_neither_a_first_attempt_nor_a_question() -> None:
    paused = replace(ASKABLE, retries_paused_reason="storm")
    for payout in (a_payout(), a_payout(Status.SENT, status_reason="IN_DOUBT")):
        assert said(payout, paused) == said(payout)
        assert not explain.explained(payout, now=NOW, provider=paused).blockers


def test_what_could_only_be_repeated_waits_for_retries_too() -> None:
    repeatable = ProviderNow(
        capabilities=Capabilities(repeated_reference=RepeatedReference.REJECTS, status_by_provider_ref=False)
    )
    doubted = a_payout(Status.SENT, status_reason="IN_DOUBT", in_doubt_since=NOW)
    assert "asked again" in said(doubted, repeatable)
    held = replace(repeatable, retries_paused_reason="storm")
    assert "Retries to TMONEY are paused (storm)" in said(doubted, held)
    assert explain.explained(doubted, now=NOW, provider=held).next_at == doubted.expires_at


def test_a_provider_that_cannot_be_asked_is_not_said_to_be_asked() -> None:
    deaf = ProviderNow(capabilities=Capabilities(status_by_provider_ref=False, webhooks=WebhookTrust.SIGNED))
    sent = a_payout(Status.SENT, status_reason="ACCEPTED_BY_PROVIDER", provider_ref=ProviderRef("T-1"))
    assert "cannot be asked" in said(sent, deaf)
    assert "asked again at 2026-11-24 12:04:00 UTC" in said(sent)


def test_an_attempt_that_may_still_be_answered_is_waited_for() -> None:
    waiting = a_payout(Status.SENT, status_reason="ATTEMPT_STARTED", answer_by=NOW + timedelta(seconds=30))
    assert "An answer may come until 2026-11-24 12:00:30 UTC" in said(waiting)


def test_what_is_taken_is_not_said_to_be_waited_for_nor_to_be_sent_again() -> None:
    replays = ProviderNow(
        capabilities=Capabilities(
            repeated_reference=RepeatedReference.REPLAYS,
            webhooks=WebhookTrust.SIGNED,
            lookup_by_reference=False,
        )
    )
    sent = a_payout(Status.SENT, status_reason="ACCEPTED_BY_PROVIDER", answer_by=NOW + timedelta(seconds=30))
    assert "An answer may come" in said(sent, replays)
    taken = replace(sent, taken_at=NOW)
    assert "when TMONEY reports it" in said(taken, replays)
    assert "a person looks at it after 2026-11-27 12:00:00 UTC" in said(taken, replays)


def test_what_may_be_looked_up_by_our_reference_is_said_to_be_asked_though_it_has_one_of_theirs() -> None:
    by_ours = ProviderNow(capabilities=Capabilities(lookup_by_reference=True, status_by_provider_ref=False))
    sent = a_payout(Status.SENT, status_reason="ACCEPTED_BY_PROVIDER", provider_ref=ProviderRef("T-1"))
    assert "asked again at 2026-11-24 12:04:00 UTC" in said(sent, by_ours)


def test_a_payout_in_review_that_was_never_sent_is_not_said_to_be_asked_about() -> None:
    assert "cannot be asked" in said(a_payout(Status.REVIEW, status_reason="CRASHED_TOO_OFTEN", account=None))


def test_while_held_after_a_restore_what_waits_says_so() -> None:
    text = said(a_payout(), replace(ASKABLE, held=True))

    assert "Nothing is sent since the database was restored" in text
