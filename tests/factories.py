"""Values with good defaults, so that a test names only what it is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from nepxy.engine.capabilities import Capabilities, RepeatedReference
from nepxy.engine.decide import Decision, Policy, decide
from nepxy.engine.events import Event, Source, StatusReported, SubmitAnswered
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, StatusReport
from nepxy.engine.payout import Payout, ProviderRef, Status, SubmissionRef, TransactionId
from nepxy.engine.references import submission_ref
from nepxy.engine.retry import RetryPolicy

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NEVER = datetime(2999, 1, 1, tzinfo=UTC)
"""For what runs by the real clock."""
INSTALLATION = "installation-1"
ACCOUNT = "account-1"
THEIRS = ProviderRef("their-ref")
NEVER = datetime(2999, 1, 1, tzinfo=UTC)
"""When a payout expires, or is due, that a test decides about by the real clock."""


def a_reference(generation: int = 0) -> SubmissionRef:
    """The reference of `a_payout` in a generation."""
    return submission_ref(
        installation_id=INSTALLATION, client_id="client-1", idempotency_key="key-1", generation=generation
    )


def a_payout(*, status: Status = Status.PENDING, **changes: Any) -> Payout:
    """A payout of 1000 XOF that keeps its own rules in every state; SENT means one attempt, unanswered."""
    final = status.is_final
    tried = status not in (Status.PENDING, Status.CANCELLED)
    fields: dict[str, Any] = {
        "transaction_id": TransactionId("0193a5c8-0000-7000-8000-000000000001"),
        "client_id": "client-1",
        "idempotency_key": "key-1",
        "provider": "mtn",
        "status": status,
        "amount": 1000,
        "currency": "XOF",
        "phone_e164": "+22990000001",
        "country": "BJ",
        "external_ref": "order-1",
        "generation": 0,
        "attempt_count": 1 if tried else 0,
        "last_attempt_at": NOW - timedelta(minutes=1) if tried else None,
        "answer_by": NOW - timedelta(seconds=30) if tried else None,
        "account": ACCOUNT if tried else None,
        "next_retry_at": None if final else NOW,
        "last_error": "Ask the provider, then confirm or fail it." if status is Status.REVIEW else None,
        "in_doubt_since": NOW - timedelta(seconds=30) if status is Status.REVIEW else None,
        "expires_at": NOW + timedelta(hours=72),
        "created_at": NOW - timedelta(minutes=2),
        "settled_at": NOW if final else None,
    } | changes
    fields.setdefault("submission_ref", a_reference(fields["generation"]))
    payout = Payout(**fields)
    payout.check()
    return payout


def a_policy(
    *,
    repeated: RepeatedReference = RepeatedReference.UNKNOWN,
    lookup: bool = True,
    status: bool = True,
    account: str | None = ACCOUNT,
    retry: RetryPolicy | None = None,
) -> Policy:
    """A provider that can be asked, and that promises nothing about repeats."""
    return Policy(
        capabilities=Capabilities(
            repeated_reference=repeated, lookup_by_reference=lookup, status_by_provider_ref=status
        ),
        retry=retry or RetryPolicy(),
        account=account,
        installation_id=INSTALLATION,
    )


def answered(
    kind: OutcomeClass, *, reference: SubmissionRef | None = None, attempt: int = 1, **fields: Any
) -> SubmitAnswered:
    """The answer to a submit of `a_payout`."""
    outcome = Outcome(kind=kind, reason=fields.pop("reason", "CODE"), **fields)
    return SubmitAnswered(reference=reference or a_reference(), attempt=attempt, outcome=outcome)


def reported(
    finding: Finding,
    *,
    reference: SubmissionRef | None = None,
    attempt: int | None = None,
    trusted: bool = True,
    source: Source = Source.LOOKUP,
    **fields: Any,
) -> StatusReported:
    """What the provider says of a reference of `a_payout`; of no attempt in particular, as a webhook does."""
    report = StatusReport(finding=finding, reason=fields.pop("reason", "CODE"), **fields)
    return StatusReported(
        source=source, reference=reference or a_reference(), attempt=attempt, report=report, trusted=trusted
    )


def decided(
    payout: Payout, event: Event, *, policy: Policy | None = None, now: datetime = NOW, jitter: float = 0.5
) -> Decision:
    """`decide` with the defaults above."""
    return decide(payout, event, now=now, policy=policy or a_policy(), jitter=jitter)
