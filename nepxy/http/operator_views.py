"""What operators see of payouts, proposals and the audit log: more than clients do, and still nobody's whole number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from nepxy.config.masking import mask_phone
from nepxy.engine.payout import Payout
from nepxy.http.views import event_view, payout_view
from nepxy.storage.audit import AuditRecord
from nepxy.storage.payout_search import FoundPayout
from nepxy.storage.payouts import EventRecord
from nepxy.storage.proposals import Proposal
from nepxy.storage.webhook_events import WebhookRecord

PAYOUTS_PATH: Final = "/v1/admin/mobile-money/payouts"
WEBHOOKS_PATH: Final = "/v1/admin/webhooks/events"
PROPOSALS_PATH: Final = "/v1/admin/proposals"

_LEFT_OUT: Final = frozenset({"explanation", "failure_code", "links", "metadata", "purpose", "note"})
"""What only the client itself has to do with, and what has a path of its own."""


def operator_payout_view(found: FoundPayout, *, valid: Iterable[str]) -> dict[str, Any]:
    """A payout, with what only operators need to know of it."""
    payout = found.payout
    path = f"{PAYOUTS_PATH}/{payout.transaction_id}"
    shown = payout_view(payout).model_dump(mode="json", exclude=set(_LEFT_OUT))
    return shown | {
        "client_id": payout.client_id,
        "idempotency_key": payout.idempotency_key,
        "generation": payout.generation,
        "account": payout.account,
        "answer_by": payout.answer_by,
        "taken_at": payout.taken_at,
        "repeat_barred": payout.repeat_barred,
        "updated_at": found.updated_at,
        "valid_commands": list(valid),
        "links": {
            "self": path,
            "explain": f"{path}/explain",
            "events": f"{path}/events",
            "attempts": f"{path}/attempts",
            "webhooks": f"{path}/webhooks",
        },
    }


def audited(payout: Payout) -> dict[str, Any]:
    """A payout in the audit log; the twin of what the journal writes with a move."""
    due: datetime | None = payout.next_retry_at
    return {
        "status": payout.status.value,
        "status_reason": payout.status_reason,
        "version": payout.version,
        "submission_ref": payout.submission_ref,
        "next_retry_at": due.isoformat() if due is not None else None,
    }


def operator_event_view(record: EventRecord) -> dict[str, Any]:
    """One transition."""
    return event_view(record).model_dump(mode="json")


def evidence_view(record: EventRecord) -> dict[str, Any]:
    """What a transition was proved by, in one line."""
    shown = event_view(record)
    call, answer, rule = (str(shown.evidence.get(name) or "") for name in ("call", "answer", "rule"))
    asked = f"{call}: {answer}" if call and answer else call or answer
    return {
        "at": shown.at,
        "source": shown.evidence.get("source") or shown.who,
        "says": f"{asked} ({rule})" if asked and rule else asked or rule,
        "reference": shown.reference,
        "attempt": shown.attempt,
    }


def proposal_view(proposal: Proposal) -> dict[str, Any]:
    """A command that waits for a second person."""
    path = f"{PROPOSALS_PATH}/{proposal.proposal_id}"
    return asdict(proposal) | {"links": {"approve": f"{path}/approve", "reject": f"{path}/reject"}}


def audit_view(record: AuditRecord) -> dict[str, Any]:
    """A row of the audit log; its texts were masked when they were stored."""
    return asdict(record)


def webhook_view(record: WebhookRecord) -> dict[str, Any]:
    """A webhook, without headers and body; what the provider wrote into its references may be anybody's number."""
    shown = asdict(record)
    for name in ("external_ref", "our_ref", "status_word"):
        if shown[name] is not None:
            shown[name] = mask_phone(shown[name])
    return shown | {"links": {"self": f"{WEBHOOKS_PATH}/{record.webhook_id}"}}
