"""What the journal can write, and what it answers: plain values, made by actors, committed in batches.

One object is one sender's wish. The journal turns a batch of them into one statement in one round trip
(`journal.write_batch`) and gives each its own answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nepxy.config.groups import LimitSettings
from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.limits import Reached
from nepxy.engine.payout import Payout, SubmissionRef, TransactionId
from nepxy.errors import NepXyError


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    """A webhook as received, for `app.webhook_events`: secrets and numbers in `headers` are masked."""

    webhook_id: str
    """UUIDv7, ours."""
    provider: str
    signature_valid: bool
    signed_with: str | None
    """`current` or `previous`: which of the two secrets matched."""
    provider_ref: str | None
    our_ref: str | None
    """What it names besides the provider's reference; ours, if it is one of our references."""
    external_ref: str | None
    status_word: str | None
    headers: str
    """JSON."""
    body: str
    """As received; cut short where it was not signed."""
    body_sha256: str
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who owns a shard, and since which change of owners."""

    owner: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """An operator's command on a payout, for `app.audit_log`; what was before and after, the journal adds."""

    command: str
    reason: str
    command_id: str | None
    """The operator's own key for the command: sent again, it is answered and not done again."""
    arguments: str = "{}"
    """JSON."""
    approved_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePayout:
    """A client's payout with its idempotency record, in one transaction (money rule 1)."""

    payout: Payout
    write_id: str
    request_id: str | None
    request_hash: str
    request_body: str
    """The parsed, normalised request as JSON, so that a conflict can name the fields that differ."""
    response_status: int
    response_body: str
    """What the client is answered; a replay gives the same bytes."""
    external_ref_unique: bool = True
    limits: LimitSettings | None = None
    """What its client may do, checked in the same transaction; None: nothing has to be counted."""

    @property
    def external_ref_slot(self) -> str:
        """With the client's reference it is unique: empty, or the payout's own id where that is switched off."""
        return "" if self.external_ref_unique else self.payout.transaction_id


@dataclass(frozen=True, slots=True, kw_only=True)
class MovePayout:
    """A transition, guarded by the version that it was decided on (money rules 7 and 8)."""

    before: Payout
    after: Payout
    evidence: Evidence
    write_id: str
    request_id: str | None
    who: str
    """Who or what moved it: `engine`, `client:ID`, `operator:ID`, `provider:NAME`."""
    discrepancy: Discrepancy | None = None
    webhook: WebhookRow | None = None
    """The webhook that caused it: stored, or marked as applied, in the same transaction."""
    intent: Intent | None = None
    step: Step | None = None
    noted_as: str | None = None
    """The code of a fact that is kept in the history and changes neither state nor reason; None: it is no note."""
    audit: AuditRow | None = None
    """The operator's command that moved it, kept in the same transaction."""
    presumes_attempt: bool = False
    """After a restore: the attempt that it is taken for gets its row, by which webhooks find it."""
    reopens: bool = False
    """A failed payout is tried again: only where no attempt is unresolved, and no discrepancy is open."""

    @property
    def why(self) -> str:
        """The `why` of its event: the payout's new reason, unless it is a note."""
        return self.noted_as or self.after.status_reason

    @property
    def gains_provider_ref(self) -> bool:
        """Whether this write makes a provider reference known: a parked webhook may be waiting for it."""
        return self.after.provider_ref is not None and self.before.provider_ref is None

    @property
    def leads_to_a_call(self) -> Intent | None:
        """What the database checks before the provider may be written to; None: nothing follows that it could stop."""
        return self.intent or self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """That an attempt begins: what the database checks and sets by its own clock (money rule 2)."""

    lease: Lease
    send_window_s: float
    answer_window_s: float
    restored_at: datetime | None = None
    """The last restore of the database that it was decided under: like an epoch, for one who did not hear of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Intent):
    """That an attempt under way goes on to its next write: the database checks the lease and `answer_by`, moves
    `send_by` and `answer_by` on by its own clock, and keeps the phase with the attempt."""

    name: str
    """The adapter's code of the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteOnPayout:
    """No transition, yet something to keep: a webhook that changed nothing, a discrepancy. Guarded by the version."""

    payout: Payout
    evidence: Evidence | None
    discrepancy: Discrepancy | None = None
    webhook: WebhookRow | None = None
    webhook_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostponePayout:
    """Only the due time moves: no event, no new version."""

    transaction_id: TransactionId
    version: int
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetWebhook:
    """Find the payout that a webhook speaks of, or park the webhook; under the lock that its payout takes, too."""

    webhook: WebhookRow


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepWebhook:
    """A webhook that nothing follows from: bad signature, unreadable, no reference."""

    webhook: WebhookRow
    reason: str


Write = CreatePayout | MovePayout | NoteOnPayout | PostponePayout | MeetWebhook | KeepWebhook


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The payout and its key are committed."""

    payout: Payout
    earlier: bool = False
    """By an earlier try, whose commit was not heard of: the payout may have gone on meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyKnown:
    """The idempotency key was used before: what was stored with it."""

    transaction_id: TransactionId
    request_hash: str
    request_body: str
    response_status: int
    response_body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAgain:
    """A concurrent writer committed the same key or reference, unseen by this statement: the next one sees it. Or it is
    to be counted by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalRefKnown:
    """The client has a payout with this external reference."""

    transaction_id: TransactionId


@dataclass(frozen=True, slots=True, kw_only=True)
class OverLimit:
    """The payout does not fit into its client's limits: nothing is stored, not even its key."""

    reached: Reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The transition is committed."""

    payout: Payout
    parked_webhooks: tuple[str, ...] = ()
    """Ids of webhooks that had come before their payout's provider reference was known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Someone wrote first: the row has another version. Reload and decide again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentDenied:
    """The row is as seen, yet the database does not let the attempt begin, or go on to its next step."""

    reason: str
    """`PAUSED`, `RETRIES_PAUSED`, `LEASE_LOST`, `EXPIRED`, `TOO_EARLY` or `RESTORED`; of a step: `LEASE_LOST`,
    `TOO_LATE` or `RESTORED`; of a reopening: `ATTEMPT_UNRESOLVED` or `DISCREPANCY_OPEN`; of an operator's command:
    `COMMAND_REPEATED`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """The webhook speaks of this payout; it is not stored yet: the payout's own write does that."""

    transaction_id: TransactionId
    reference: SubmissionRef
    """Which of the payout's references it speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """Nothing matches the webhook yet: it is stored and waits."""


PROVIDER_REF_UNIQUE: Final = "mobile_money_payouts_provider_ref"
"""The unique index by which a provider's reference belongs to one payout; the database names it when it refuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFailed:
    """This write alone cannot be done, and never will be: the database refuses its values."""

    error: NepXyError

    @property
    def another_has_the_provider_ref(self) -> bool:
        """Whether the refused value is a provider reference that another payout of that provider has."""
        return PROVIDER_REF_UNIQUE in self.error.message


Answer = (
    Created
    | KeyKnown
    | LookAgain
    | ExternalRefKnown
    | OverLimit
    | Moved
    | Stale
    | IntentDenied
    | Noted
    | Met
    | Parked
    | WriteFailed
)
