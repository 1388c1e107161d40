# ruff: noqa: S101 - part of a test suite
"""What is kept of an answer must be masked, bounded, and fit to be stored."""

from __future__ import annotations

from typing import Any, Final

from nepxy.config.masking import mask_phone
from nepxy.engine.outcomes import Outcome, StatusReport
from nepxy.engine.payout import Payout
from nepxy.providers.conformance.meddler import Meddle
from nepxy.providers.conformance.stage import Stage
from nepxy.providers.conformance.theatre import Theatre
from nepxy.providers.contract import AccountState, Balance, Notice

EVIDENCE_BYTES_MAX: Final = 300
CALL_BYTES_MAX: Final = 300
REASON_BYTES_MAX: Final = 120


def check_evidence(told: Outcome | StatusReport, stage: Stage, payout: Payout) -> None:
    """Masked, bounded, and with a reason."""
    texts = {
        "call": told.call,
        "request": told.request,
        "answer": told.answer,
        "rule": told.rule,
        "reason": told.reason,
    }
    limits = {
        "call": CALL_BYTES_MAX,
        "request": EVIDENCE_BYTES_MAX,
        "answer": EVIDENCE_BYTES_MAX,
        "rule": EVIDENCE_BYTES_MAX,
        "reason": REASON_BYTES_MAX,
    }
    for name, text in texts.items():
        assert len(text.encode()) <= limits[name], f"{name} has {len(text.encode())} bytes: {text}"
        assert payout.phone_e164[1:] not in text, f"{name} holds the number: {mask_phone(text)}"
        assert "\0" not in text, f"{name} holds a NUL, which no database takes"
        leaked = [secret for secret in stage.secrets if secret.lower() in text.lower()]
        assert not leaked, f"{name} holds a secret"
    assert told.reason, "there is always a reason"
    reference = told.provider_ref
    assert reference is None or _storable(reference), f"not a reference: {reference!r}"


def check_notice(notice: Notice, stage: Stage, payout: Payout) -> None:
    """It names something that can be stored and looked for."""
    assert notice.provider_ref is not None or notice.our_ref is not None
    for reference in (notice.provider_ref, notice.our_ref):
        assert reference is None or _storable(reference), f"not a reference: {reference!r}"
    assert len(notice.status_word.encode()) <= REASON_BYTES_MAX
    assert "\0" not in notice.status_word
    check_evidence(notice.report, stage, payout)


def _storable(reference: str) -> bool:
    return 0 < len(reference) <= 200 and reference.isprintable()


async def other_questions(theatre: Theatre, answer: bytes, payout: Payout) -> None:
    """Balance and account check, where they are declared."""
    adapter: Any = theatre.adapter
    if adapter.capabilities.balance:
        theatre.meddler.begin({0: Meddle(answer=answer)})
        held = await adapter.balance(payout.currency)
        assert held is None or isinstance(held, Balance)
        assert held is None or type(held.amount) is int
    if adapter.capabilities.account_check:
        theatre.meddler.begin({0: Meddle(answer=answer)})
        assert isinstance(await adapter.check_account(payout.phone_e164), AccountState)
