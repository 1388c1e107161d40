"""Every message between actors. Commands are imperative, facts are past, answers are nouns.

All are frozen; one from outside carries its `request_id`. Inside the tree actors tell with a `reply_to`;
only doorways (HTTP, command line, tests) ask.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pykka import ActorRef

from nepxy.engine.call_ring import NO_CALLS, CallFigures
from nepxy.engine.controls import NO_OVERRIDES, ProviderOverrides
from nepxy.engine.events import Event, OperatorAsked, StatusReported, StepReached, Work
from nepxy.engine.outcomes import Shortfall, StatusReport
from nepxy.engine.payout import Payout, ProviderRef, SubmissionRef, TransactionId
from nepxy.engine.restored import Restored
from nepxy.engine.runtime import ReplyTo
from nepxy.errors import NepXyError
from nepxy.storage.controls import By, Controls
from nepxy.storage.in_doubt import DoubtFigures
from nepxy.storage.leases import HeldShards
from nepxy.storage.webhooks import StoredWebhook
from nepxy.storage.writes import Answer, AuditRow, CreatePayout, WebhookRow, Write

# ---- doorways to the supervisor -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptPayout:
    """A client's new payout. Answered after the commit with `Created`, `KeyKnown`, `ExternalRefKnown`, `OverLimit`, or
    fails.

    Fails with `Unavailable` (standby, draining, database away) or `WriteFailed.error`.
    """

    create: CreatePayout
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPayout:
    """A client wants its payout stopped. Answered with a `PayoutAnswer`; fails with `Unavailable`."""

    transaction_id: TransactionId
    client_id: str
    request_id: str | None
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandPayout:
    """An operator's command to one payout. Answered with a `PayoutAnswer` after the commit; fails with `Unavailable`,
    or `PayoutNotFound`."""

    transaction_id: TransactionId
    order: OperatorAsked
    operator_id: str
    audit: AuditRow
    request_id: str | None
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartReconcile:
    """An operator wants the providers asked about what is in doubt, in review or recently settled. Answered with the
    begun `Report`; fails with `ReconcileRunning` or `Unavailable`."""

    report_id: str
    who: str
    reason: str
    provider: str | None
    """None: all."""
    since_h: float
    count_max: int
    transaction_ids: tuple[str, ...] = ()
    """Only these; empty: whatever it finds."""
    request_id: str | None = None
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFound:
    """Reconciliation asked a provider about a payout, and the rules decide. Answered as `CommandPayout` is."""

    transaction_id: TransactionId
    event: StatusReported
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutAnswer:
    """What became of a command to a payout."""

    payout: Payout
    answer: str
    """`APPLIED`, or the code of why nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookArrived:
    """A webhook whose signature was checked (or whose provider signs none). Answered with a `WebhookAnswer`.

    Once it is answered, it is stored; fails with `Unavailable`: then it is not, and the provider should repeat it.
    """

    webhook: WebhookRow
    report: StatusReport
    trusted: bool
    """False: a hint, which only makes the engine ask."""
    unchecked: bool = False
    """Its sender has not looked whether its very body was applied before; `LookForReplay` says that it must."""
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRefused:
    """A webhook from which nothing may follow (bad signature, unreadable): kept. Answered with a `WebhookAnswer`."""

    webhook: WebhookRow
    reason: str
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookForReplay:
    """Of an unchecked webhook nothing was done: its body may have been applied before. Look, and send it as checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAnswer:
    """What became of a webhook; it is stored."""

    applied: bool
    reason: str
    """Empty if applied; else `PAYOUT_NOT_FOUND` (parked), `ALREADY_CONFIRMED`, `ALREADY_FAILED`, `NOT_UPDATED`, ..."""
    transaction_id: TransactionId | None = None


class EngineState(StrEnum):
    """Where the engine of this process is in its life."""

    STARTING = "starting"
    """It holds no shard yet, and no other node is known to."""
    STANDBY = "standby"
    """Another node holds the shards: this one waits for its lease to lapse."""
    RUNNING = "running"
    """It holds its shards: payouts are accepted; recovery may still be going on."""
    DRAINING = "draining"
    """It stops: no new payouts; calls in flight end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeEngine:
    """Asked (the handler's return value is the answer): an `EngineView`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineView:
    """The engine as health and operators see it, at one moment."""

    state: EngineState
    shards_held: int
    other_owner: str | None
    """Who holds what we do not."""
    payouts_in_memory: int
    recovery_started: bool
    recovered_count: int
    """Payouts taken up since this node came to own its shards."""
    recovery_done: bool
    journal_ok: bool
    """False while the journal cannot commit."""
    journal_depth: int
    """Writes that are not committed yet, everybody's."""
    providers: tuple[ProviderView, ...] = ()
    node_id: str = ""
    started_at: datetime | None = None
    intake_open: bool = True
    """Whether new payouts are taken, as far as operators decide it."""
    intake_reason: str = ""
    intake_by: str = ""
    drains_here: bool = False
    """Whether an operator has had this node alone stop taking payouts."""
    payouts_in_memory_max: int = 0
    valid_commands: tuple[str, ...] = ()
    sent_elsewhere: tuple[SentElsewhere, ...] = ()
    """What was in flight through other accounts than those configured now, when this node came to own its shards."""
    doubt: tuple[DoubtFigures, ...] = ()
    """A few seconds old; providers with nothing in doubt or in review may be left out."""
    restored: Restored | None = None
    """The last restore of the database; held: nothing is submitted until an operator releases it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentElsewhere:
    """Payouts in flight that were sent through another account than the configured one (money rule 10)."""

    provider: str
    payouts_count: int
    is_configured: bool
    """Whether any account of it is configured now: then they go to REVIEW; else they wait for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderView:
    """A provider actor's description of itself."""

    name: str
    ready: bool
    """Whether an adapter with credentials is there."""
    enabled: bool
    """Whether new payouts may be given to it."""
    paused: bool
    paused_reason: str
    breaker: str
    """`closed`, `open` or `half_open`."""
    in_flight: int
    """Places in use, questions included."""
    waiting: int
    """Payouts that wait for a place, for whatever it is."""
    concurrency_max: int
    requests_per_s: float
    """0: unlimited."""
    pause_is_saved: bool = True
    """False while the database does not know of the last pause or resume: other nodes do not either."""
    breaker_since: datetime | None = None
    """Since when the breaker is in its state; None: it never was in another."""
    waiting_submits: int = 0
    waiting_questions: int = 0
    """Look-ups and polls."""
    oldest_due_at: datetime | None = None
    """When the payout that waits longest was due; None: nobody waits."""
    held_until: datetime | None = None
    """Until when the provider asked for silence; None: it does not."""
    missing: tuple[str, ...] = ()
    """Where it is not ready: the variables that are not set, or what else it lacks."""
    shortfall: Shortfall | None = None
    """Paused until we hold this there; None: it is not paused, or for another reason."""
    resumes_by_itself: bool = False
    """Whether the engine lifts the pause once the balance is back."""
    overrides: ProviderOverrides = NO_OVERRIDES
    """What operators have set; who paused it, and when."""
    backoff_base_s: float | None = None
    """What holds now; None: not known here."""
    backoff_cap_s: float | None = None
    calls: CallFigures = NO_CALLS
    """Of the last five minutes."""
    valid_commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtCounted:
    """The doubt watcher to the supervisor: all that is in doubt on this node's shards."""

    figures: tuple[DoubtFigures, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Stop taking payouts, let calls in flight end. Answered with `Drained` when nothing is in flight any more."""

    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Nothing is in flight in this process."""


# ---- to and from the journal ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Write this. Answered with `Committed` once it is committed, whenever that is."""

    write: Write
    reply_to: ActorRef[Any]
    tag: Hashable = None
    """Comes back with the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The journal's answer to one `Commit`."""

    tag: Hashable
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFaltered:
    """A journal writer cannot commit now, and goes on trying. To the journal's watcher, once a change."""

    error: NepXyError


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRecovered:
    """The journal commits again. To the journal's watcher."""


# ---- to and from payouts ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Something happened to this payout. Answered, if anyone waits, after the commit of what follows from it."""

    event: Event
    who: str = "engine"
    request_id: str | None = None
    webhook: WebhookRow | None = None
    """The webhook that says so; it is stored with what follows from it."""
    unchecked: bool = False
    """Nobody has looked whether the webhook's body was applied before: only for a payout that knows it was not."""
    audit: AuditRow | None = None
    """The operator's command that this is; kept with what follows from it."""
    reply_to: ReplyTo | None = None
    """Told a `PayoutAnswer`, or a `WebhookAnswer` where there is a webhook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MayGoOn:
    """A payout's own submit, before a further write: answered with a `PayoutAnswer`; only one that says
    `STEP_COMMITTED` lets it go on. Fails with `EngineBusy` where the actor dies meanwhile."""

    event: StepReached
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """A payout's own timer: it is due. Late ones are harmless: what is due is decided anew."""

    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLoaded:
    """The payout's row as last committed, after a stale write; None: there is none."""

    payout: Payout | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLoadFailed:
    """The row could not be read; the payout asks again."""

    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """A payout's own provider call came to an end: what it means for the payout."""

    event: Event
    slot: SlotResult


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutLearnedRef:
    """A payout to its supervisor: webhooks may name it so from now on."""

    transaction_id: TransactionId
    provider: str
    provider_ref: ProviderRef | None
    submission_ref: SubmissionRef


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutIdle:
    """A payout to its supervisor: it has nothing to do until `until` (None: for ever) and may leave memory."""

    transaction_id: TransactionId
    ref: ActorRef[Any]
    until: datetime | None
    delivered_count: int
    """How many `Deliver`s it has had: where its supervisor has sent more, one is on its way, and it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """A supervisor to a payout: finish what is in flight, start nothing, then say `PayoutIdle`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRestarted:
    """A supervisor to a payout: its provider actor is a new one; who waited for a slot asks again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedWebhooksFound:
    """A payout to its supervisor: webhooks that came before their reference was known."""

    transaction_id: TransactionId
    webhook_ids: tuple[str, ...]


# ---- to and from providers ------------------------------------------------------------------------------------


class SlotResult(StrEnum):
    """How a slot was used, as far as the provider's health is concerned."""

    ANSWERED = "answered"
    """The provider answered sensibly, whatever it said about the payout."""
    FAILED = "failed"
    """No answer, or none that makes sense: counts towards the breaker."""
    UNUSED = "unused"
    """No call was made."""
    LOST = "lost"
    """The payout's actor died, and nobody knows whether it called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantSlot:
    """A payout to its provider: I have work to do. Answered with `SlotOffered` when it is its turn."""

    transaction_id: TransactionId
    ref: ActorRef[Any]
    work: Work
    due_at: datetime
    created_at: datetime
    again: bool = False
    """Whether it was tried before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotOffered:
    """A provider to a payout: now. The slot is the payout's until it tells `SlotFreed`."""

    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRefused:
    """A provider to a payout: the queue is full; come back later."""

    work: Work
    retry_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFreed:
    """A payout, or the runtime on its behalf, to its provider: the call is over."""

    transaction_id: TransactionId
    result: SlotResult


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseProvider:
    """No more submits to this provider until `ResumeProvider`; polls and settlement go on (money rule 10)."""

    reason: str
    who: str
    shortfall: Shortfall | None = None
    """What is missing is money of ours: where the provider can tell our balance, the pause ends by itself. Any other
    pause that comes on top takes its place, and does not."""
    by: By | None = None
    """The operator's command that this is."""
    reply_to: ReplyTo | None = None
    """Told a `ProviderView` once the pause is in the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeProvider:
    """Submits to this provider again. Answered as `PauseProvider` is."""

    who: str
    by: By | None = None
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDownProvider:
    """The provider asked for less: nothing is sent to it for a while."""

    retry_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeProvider:
    """Asked: a `ProviderView`."""


# ---- ownership and recovery -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasesChanged:
    """The lease keeper to the supervisor: what this node holds now; epochs by shard, empty: nothing."""

    held: HeldShards
    trusted_until_s: float
    """By the scheduler's monotonic clock: until when this may be believed without another word."""
    restored: Restored | None = None
    """The last restore of the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutsDue:
    """The reconciler to the supervisor: rows that are due, as last committed; those alive already are left alone."""

    payouts: tuple[Payout, ...]
    reply_to: ActorRef[Any]
    """The reconciler itself; told a `TakenUp`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenUp:
    """The supervisor's answer to `PayoutsDue`: how many were started, and how many more may come now."""

    started_count: int
    room_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhooksJoinable:
    """Parked webhooks whose payout is known: to the supervisor, from the reconciler or from itself."""

    webhooks: tuple[StoredWebhook, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryProgressed:
    """The reconciler to the supervisor: how far the first scan after coming to own the shards is."""

    recovered_count: int
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseStateLoaded:
    """What the database says is paused: provider to reason. To the supervisor, every two seconds at the latest."""

    paused: Mapping[str, str] = field(default_factory=dict)
    shortfalls: Mapping[str, Shortfall] = field(default_factory=dict)
    """Of those, the ones that wait for money of ours."""
    controls: Controls | None = None
    """All else that operators have set; None: not read."""
