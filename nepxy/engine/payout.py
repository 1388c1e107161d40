"""The payout: its states, its record, and which moves between states exist at all.

The record mirrors one row of `app.mobile_money_payouts`, with what the current attempt's row adds
(`account`, `answer_by`). It is immutable: the only way to a new state is `decide`, and the only way for
that state to count is the journal's commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NewType, Self

from nepxy.errors import InvariantViolation

TransactionId = NewType("TransactionId", str)
"""Our id of a payout: a UUIDv7 in its canonical text form."""

SubmissionRef = NewType("SubmissionRef", str)
"""What we call a payout towards its provider: a UUIDv4-shaped hash, see `references.submission_ref`."""

ProviderRef = NewType("ProviderRef", str)
"""What the provider calls a payout, once it has answered."""


class Status(StrEnum):
    """Where a payout is. Drawn, with every move, in docs/states.md."""

    PENDING = "PENDING"
    """Not at the provider: no attempt of it is unresolved."""
    SENT = "SENT"
    """At the provider, or maybe at the provider (`taken_at` empty: "we may have sent this")."""
    CONFIRMED = "CONFIRMED"
    """Final: the provider paid."""
    FAILED = "FAILED"
    """Final: proven unpaid, and no policy retries it."""
    CANCELLED = "CANCELLED"
    """Final: stopped before anything was sent."""
    REVIEW = "REVIEW"
    """A person must look; polls and webhooks go on and may still settle it."""

    @property
    def is_final(self) -> bool:
        """Whether only an operator's audited command may change it (money rule 6)."""
        return self in FINAL


FINAL: Final = frozenset({Status.CONFIRMED, Status.FAILED, Status.CANCELLED})

MOVES: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset({Status.PENDING, Status.SENT, Status.CANCELLED, Status.FAILED, Status.REVIEW}),
    Status.SENT: frozenset({Status.SENT, Status.CONFIRMED, Status.FAILED, Status.REVIEW, Status.PENDING}),
    Status.REVIEW: frozenset({Status.REVIEW, Status.CONFIRMED, Status.FAILED}),
    Status.CONFIRMED: frozenset({Status.CONFIRMED}),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""The moves that the engine makes by itself. One to the same state records a fact: a reference, a doubt, a note."""

OPERATOR_MOVES: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset({Status.PENDING, Status.CANCELLED}),
    Status.SENT: frozenset({Status.SENT, Status.CONFIRMED, Status.FAILED}),
    Status.REVIEW: frozenset(
        {Status.REVIEW, Status.CONFIRMED, Status.FAILED, Status.SENT, Status.PENDING, Status.CANCELLED}
    ),
    Status.CONFIRMED: frozenset({Status.CONFIRMED, Status.FAILED}),
    Status.FAILED: frozenset({Status.FAILED, Status.PENDING, Status.CONFIRMED}),
    Status.CANCELLED: frozenset({Status.CANCELLED}),
}
"""The moves that an operator's audited command makes (money rule 6); `decide/operator_rules` says when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """One instruction to pay one person, once; as last committed.

    Times are aware and UTC; `amount` is in the currency's ISO 4217 minor unit.
    """

    transaction_id: TransactionId
    client_id: str
    idempotency_key: str
    """The client's key: with it, every generation's reference can be derived again (money rule 3)."""
    provider: str
    status: Status = Status.PENDING
    status_reason: str = "ACCEPTED"
    """The code of why it is in this state: the `why` of its last event."""
    amount: int
    currency: str
    phone_e164: str
    country: str
    external_ref: str
    submission_ref: SubmissionRef
    generation: int = 0
    """Raised only after a proven failure; part of what `submission_ref` is derived from."""
    provider_ref: ProviderRef | None = None
    """Known does not mean taken: a step of a submit that takes several writes may have told it."""
    attempt_count: int = 0
    """Intents committed so far, from 1; polls are not attempts."""
    unreached_count: int = 0
    """Attempts that were not processed (not sent, blocked, throttled), or ended for want of something on our side:
    they use up no try."""
    last_attempt_at: datetime | None = None
    next_retry_at: datetime | None
    """The latest time at which the engine looks at this payout again by itself; None once final."""
    in_doubt_since: datetime | None = None
    """Since when nobody can say whether an attempt was taken (money rule 4)."""
    answer_by: datetime | None = None
    """Until when the last attempt's own answer may come; by the database's clock."""
    account: str | None = None
    """The provider account that the current reference was sent through; None: it was never sent."""
    taken_at: datetime | None = None
    """Since when the provider is known to have taken the current reference, with or without one of its own."""
    repeat_barred: bool = False
    """What was learned of the current reference (it was used before, its repeat was refused) forbids that the
    engine sends it again by itself; for good, until the generation changes."""
    expires_at: datetime
    retryable: bool = True
    """False where a person or a new payout is needed: nothing will be submitted again by itself."""
    last_error: str | None = None
    version: int = 1
    """Raised by one with each committed transition; each write names the one that it saw."""
    created_at: datetime
    settled_at: datetime | None = None
    details: str = "{}"
    """What the adapter may need besides (recipient, sender, purpose): the request's own JSON, unread by the core."""

    @property
    def counted_attempts(self) -> int:
        """Attempts that count towards the policy's maximum."""
        return self.attempt_count - self.unreached_count

    @property
    def is_at_provider(self) -> bool:
        """Whether the provider has, or may have, the current reference, and nothing final is known of it."""
        return self.status in (Status.SENT, Status.REVIEW) and self.account is not None

    @property
    def is_taken(self) -> bool:
        """Whether the provider is known to have the current reference: then it is never sent again."""
        return self.taken_at is not None

    @property
    def is_unresolved(self) -> bool:
        """Whether money may be on its way under the current reference without an answer from the provider."""
        return self.is_at_provider and not self.is_taken

    @property
    def in_state_since(self) -> datetime | None:
        """When it came into its state, where the row tells: before the first attempt, and since the last one."""
        if self.status is Status.PENDING:
            return self.created_at if self.attempt_count == 0 else None
        return self.last_attempt_at if self.status is Status.SENT else None

    def moved(self, to: Status, reason: str, *, by_operator: bool = False, **changes: Any) -> Self:
        """The next version of this payout.

        Raises:
            InvariantViolation: the move does not exist in `MOVES`, or for an operator in `OPERATOR_MOVES`, or leaves
                the record contradicting itself.
        """
        if to not in (OPERATOR_MOVES if by_operator else MOVES)[self.status]:
            raise InvariantViolation(
                "PAYOUT_MOVE_IMPOSSIBLE", f"{self.status} -> {to} is not a move ({reason})"
            )
        moved = replace(self, status=to, status_reason=reason, version=self.version + 1, **changes)
        moved.check()
        return moved

    def check(self) -> None:
        """Hold the record against itself, on the way in from the database and out to it.

        Raises:
            InvariantViolation: naming the first rule that does not hold.
        """
        problem = next((text for holds, text in self._rules() if not holds), None)
        if problem is not None:
            raise InvariantViolation(
                "PAYOUT_RECORD_CONTRADICTS_ITSELF", f"payout {self.transaction_id}: {problem}"
            )

    def _rules(self) -> tuple[tuple[bool, str], ...]:
        final = self.status.is_final
        return (
            (self.amount > 0, "amount is not positive"),
            (0 <= self.unreached_count <= self.attempt_count, "more attempts unreached than made"),
            (self.attempt_count > 0 or self.status is not Status.SENT, "SENT without an attempt"),
            (
                self.account is not None or self.status is not Status.SENT,
                "SENT without the account it was sent by",
            ),
            (final == (self.settled_at is not None), "settled_at says otherwise than the state"),
            (final == (self.next_retry_at is None), "next_retry_at says otherwise than the state"),
            (not (final and self.in_doubt_since), "final, yet in doubt"),
            (self.status is not Status.PENDING or self.in_doubt_since is None, "PENDING, yet in doubt"),
            (
                self.status is not Status.PENDING or self.provider_ref is None,
                "PENDING with a provider reference",
            ),
            (
                self.status is not Status.PENDING or self.taken_at is None,
                "PENDING, yet taken by the provider",
            ),
            (
                self.status is not Status.PENDING or not self.repeat_barred,
                "PENDING, yet its reference must not be sent again",
            ),
        )


SHARDS: Final = 256
"""Buckets of ownership: a lease is held on a bucket, never written on each payout."""


def shard_of(transaction_id: TransactionId) -> int:
    """The bucket of a payout, from the random end of its UUIDv7."""
    return int(transaction_id[-2:], 16)
