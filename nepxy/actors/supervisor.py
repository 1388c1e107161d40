"""The supervisor: spawns one actor a provider and one a payout in flight, routes to them, and mends what breaks.

It is the only one that routes events to payouts, so it knows exactly which of them have something on its
way. A payout whose actor dies is restarted from its row; one that keeps dying is parked in REVIEW; one
poisoned payout never stops another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import structlog
from pykka import ActorRef

from nepxy.actors.bulk import BulkStore, LookForRuns
from nepxy.actors.commands import (
    COMMAND_REPEATED,
    CommandEngine,
    CommandProvider,
    EngineAnswer,
    EngineCommand,
)
from nepxy.actors.context import EngineParts, Store
from nepxy.actors.engine_control import (
    SETS,
    EngineNotSet,
    EngineSet,
    EngineSteering,
    Hooks,
    engine_refusal,
    engine_values,
    reposts_for_h,
)
from nepxy.actors.helpers import (
    BULK,
    LEASE_KEEPER,
    RECONCILER,
    RECONCILIATION,
    SHOWN,
    Helpers,
    StartAgain,
    SupervisorLimits,
)
from nepxy.actors.joining import arrived_again
from nepxy.actors.messages import (
    AcceptPayout,
    CancelPayout,
    CommandPayout,
    Commit,
    Committed,
    Deliver,
    DescribeEngine,
    DoubtCounted,
    Drain,
    Drained,
    EngineState,
    EngineView,
    JournalFaltered,
    JournalRecovered,
    LeasesChanged,
    LookForReplay,
    ParkedWebhooksFound,
    PauseStateLoaded,
    PayoutIdle,
    PayoutLearnedRef,
    PayoutsDue,
    ProviderRestarted,
    RecoveryProgressed,
    ReportFound,
    Retire,
    SentElsewhere,
    SlotFreed,
    SlotResult,
    StartReconcile,
    TakenUp,
    WebhookAnswer,
    WebhookArrived,
    WebhookRefused,
    WebhooksJoinable,
)
from nepxy.actors.parking import parking
from nepxy.actors.payout import PayoutActor
from nepxy.actors.provider_table import ProviderSetup, ProviderTable
from nepxy.actors.reconciliation import ReconciliationSetup
from nepxy.actors.replies import reply
from nepxy.actors.roster import Roster
from nepxy.actors.tree import ActorRow, ActorTree, DescribeActors, DescribePayoutActor, Lives
from nepxy.engine.events import CancelRequested, DueReached, Source, StatusReported
from nepxy.engine.payout import Payout, TransactionId, shard_of
from nepxy.engine.restored import Restored
from nepxy.engine.runtime import ChildFailed, ChildStopped, LoopActor, ReplyTo, RestartIntensity
from nepxy.errors import (
    Draining,
    EngineBusy,
    IntakePaused,
    NepXyError,
    NodeStandby,
    PayoutNotFound,
    ProviderUnknown,
)
from nepxy.storage.accounts import AccountFigures
from nepxy.storage.in_doubt import DoubtFigures
from nepxy.storage.webhooks import StoredWebhook
from nepxy.storage.writes import (
    Created,
    KeepWebhook,
    MeetWebhook,
    Met,
    Moved,
    Parked,
    WriteFailed,
)

__all__ = ["ProviderSetup", "Supervisor", "SupervisorLimits"]

log = structlog.get_logger("nepxy.supervisor")

COUNT_ACCOUNTS_AGAIN_S: Final = 5.0
OWN_SHARE: Final = 2
"""This part of the memory is divided among the providers for good: a dead one's backlog never fills it all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _RowFound:
    """A payout was loaded because something waits to be delivered to it."""

    transaction_id: TransactionId
    payout: Payout | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _RowNotRead:
    transaction_id: TransactionId
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class _AccountsCounted:
    figures: tuple[AccountFigures, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _AccountsNotCounted:
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class _ToPark:
    """A payout whose actor died too often: its row, if it can be read at all."""

    transaction_id: TransactionId
    payout: Payout | None
    detail: str


class Supervisor(LoopActor):
    """The root of the tree. Its own death ends the process: nobody is above it."""

    kind = "supervisor"
    actor_name = "supervisor"

    def __init__(
        self,
        *,
        parts: EngineParts,
        setups: Mapping[str, ProviderSetup],
        limits: SupervisorLimits,
        escalate: Callable[[str], None],
        hooks: Hooks | None = None,
        reconciliation: ReconciliationSetup | None = None,
        bulk: BulkStore | None = None,
        **kwargs: Any,
    ) -> None:
        """Start the tree.

        Args:
            parts: what every actor shares.
            setups: each provider that may have payouts, configured or not.
            limits: of the actors that this one starts.
            escalate: called when something died that cannot be mended here; the process should end.
            hooks: what else operators may ask for.
            reconciliation: how providers are asked for comparison; None: they are not.
            bulk: where the levers are that touch many payouts; None: nobody pulls them.
        """
        super().__init__(**kwargs)
        self._hooks = hooks or Hooks()
        self._steering = EngineSteering(configured_max=parts.payouts_in_memory_max)
        self._started_at = self.runtime.scheduler.now()
        self._parts = parts
        self._linger_s = limits.linger_s
        self._escalate = escalate
        self._providers = ProviderTable(
            engine=parts, setups=setups, runtime=self.runtime, parent=self.actor_ref
        )
        self._roster = Roster()
        self._lives = Lives()
        self._life = EngineState.STARTING
        self._trusted_until_s = 0.0
        self._other_owner: str | None = None
        self._helpers = Helpers(
            parts=parts,
            limits=limits,
            providers=self._providers,
            lives=self._lives,
            runtime=self.runtime,
            supervisor=self.actor_ref,
            reconciliation=reconciliation,
            bulk=bulk,
        )
        self._doubt: tuple[DoubtFigures, ...] = ()
        self._sent_elsewhere: tuple[SentElsewhere, ...] = ()
        self._journal_ok = True
        self._tags = count()
        self._commits: dict[int, Any] = {}
        """What waits for the journal: the message that caused the write, by tag."""
        self._arriving: dict[TransactionId, list[Deliver]] = {}
        """What waits for a payout to be loaded."""
        self._lingering: dict[TransactionId, tuple[float, PayoutIdle]] = {}
        """Who may leave memory, and when it must; longest idle first."""
        self._intensities: dict[object, RestartIntensity] = {}
        self._drain_reply: ReplyTo | None = None

    def on_start(self) -> None:
        """Start the providers and the lease keeper; the reconciler follows once there are shards."""
        now = self.runtime.scheduler.now()
        self._providers.start_all()
        for child in (self.actor_name, "journal", *(("provider", name) for name in self._providers)):
            self._lives.born(child, now)
        self._helpers.start_first()

    def on_stop(self) -> None:
        """Leave nobody behind who would take the shards again once they are given back."""
        self._helpers.stop(LEASE_KEEPER)

    def on_receive(self, message: Any) -> EngineView | ActorTree | ActorRow | None:
        """Handle one message."""
        match message:
            case AcceptPayout():
                self._accept(message)
            case Committed():
                self._committed(message)
            case PayoutIdle():
                self._idle(message)
            case PayoutLearnedRef():
                self._roster.know(message.transaction_id, message.submission_ref, message.provider_ref)
            case WebhookArrived():
                self._webhook(message)
            case WebhookRefused(webhook=webhook, reason=reason):
                self._commit(KeepWebhook(webhook=webhook, reason=reason), message)
            case CancelPayout():
                self._cancel(message)
            case CommandPayout():
                self._command_payout(message)
            case PayoutsDue():
                self._due(message)
            case ReportFound():
                self._report_found(message)
            case StartReconcile():
                self._start_reconcile(message)
            case ParkedWebhooksFound(webhook_ids=webhook_ids):
                self._fetch_parked(webhook_ids)
            case WebhooksJoinable(webhooks=webhooks):
                for stored in webhooks:
                    self._join(stored)
            case LeasesChanged():
                self._leases(message)
            case PauseStateLoaded(controls=controls):
                self._providers.pauses_loaded(message, self._tell)
                if controls is not None:
                    self._steering.loaded(controls.engine)
            case CommandProvider():
                self._command_provider(message)
            case CommandEngine():
                self._command_engine(message)
            case EngineSet():
                self._engine_set(message)
            case EngineNotSet(message=command, error=error):
                self._steering.writing -= command.command in SETS
                _fail(command.reply_to, error)
            case DoubtCounted(figures=figures):
                self._doubt = figures
            case _AccountsCounted(figures=figures):
                self._accounts_counted(figures)
            case _AccountsNotCounted(error=error):
                log.warning("accounts.not_counted", error=f"{type(error).__name__}: {error}")
                self.tell_later(COUNT_ACCOUNTS_AGAIN_S, "count accounts")
            case "count accounts":
                self._count_accounts()
            case LookForRuns():
                runner = self._helpers.get(BULK)
                if runner is not None:
                    self._tell(runner, message)
            case StartAgain(kind=kind):
                self._helpers.start(kind)
            case "let go":
                self._let_some_go()
                if self._lingering:
                    self.tell_later(self._linger_s / 2, "let go")
            case RecoveryProgressed():
                self._helpers.progressed(message)
            case _RowFound(transaction_id=transaction_id, payout=payout):
                self._row_found(transaction_id, payout)
            case _RowNotRead(transaction_id=transaction_id, error=error):
                self._row_not_read(transaction_id, error)
            case _ToPark():
                self._park(message)
            case ChildStopped(child_id=child_id, ref=ref):
                self._child_stopped(child_id, ref)
            case ChildFailed(child_id=child_id, ref=ref, error=error):
                self._child_failed(child_id, ref, error)
            case JournalFaltered():
                self._journal_ok = False
            case JournalRecovered():
                self._journal_ok = True
            case Drain(reply_to=reply_to):
                self._drain(reply_to)
            case DescribeEngine():
                return self._view()
            case DescribeActors():
                return self._tree()
            case DescribePayoutActor(transaction_id=transaction_id):
                return self._payout_row(transaction_id)
            case _:
                raise TypeError(f"the supervisor does not take {type(message).__name__}")
        self._maybe_drained()
        return None

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        """Nobody is above: end the process, and let the next one go on from the rows."""
        self._escalate(f"the supervisor died: {exception_value}")

    # ---- payouts in --------------------------------------------------------------------------------

    def _accept(self, message: AcceptPayout) -> None:
        refusal = self._refusal(message.create.payout.transaction_id) or self._intake_refusal()
        if refusal is not None:
            _fail(message.reply_to, refusal)
            return
        self._commit(message.create, message)

    def _intake_refusal(self) -> NepXyError | None:
        """Why an operator has this node take no new payouts; what it has goes on."""
        steering = self._steering
        if not steering.controls.intake_open:
            return IntakePaused()
        return Draining() if steering.drains_here is not None else None

    def _refusal(self, transaction_id: TransactionId) -> NepXyError | None:
        """Why this node may not take a payout now."""
        if self._life is EngineState.DRAINING:
            return Draining()
        trusted = self.runtime.scheduler.monotonic() < self._trusted_until_s
        if not trusted or shard_of(transaction_id) not in self._parts.ownership.epochs:
            owner = (
                f"node {self._other_owner} holds it" if self._other_owner else "nobody's lease is known yet"
            )
            return NodeStandby(f"this node does not own the payout's shard; {owner}")
        return None

    def _commit(self, write: Any, cause: Any) -> None:
        tag = next(self._tags)
        self._commits[tag] = cause
        self._parts.journal.tell(Commit(write=write, reply_to=self.actor_ref, tag=tag))

    def _committed(self, message: Committed) -> None:
        cause = self._commits.pop(message.tag) if isinstance(message.tag, int) else None
        match cause, message.answer:
            case AcceptPayout(reply_to=reply_to), Created(payout=payout) as created:
                self._parts.moves.moved(payout)
                if payout.transaction_id not in self._roster and self._has_room(payout.provider):
                    self._spawn(payout, is_new=not created.earlier)
                if reply_to is not None:
                    reply_to.tell(created)
            case AcceptPayout() | WebhookArrived() | WebhookRefused(), WriteFailed(error=error):
                _fail(cause.reply_to, error)
            case AcceptPayout(reply_to=reply_to), answer:
                if reply_to is not None:
                    reply_to.tell(answer)
            case WebhookArrived(), Met(transaction_id=transaction_id, reference=reference):
                self._to_payout(transaction_id, _webhook_event(cause, reference))
            case WebhookArrived(reply_to=reply_to), Parked():
                _tell_webhook(reply_to, "PAYOUT_NOT_FOUND")
            case WebhookRefused(reply_to=reply_to, reason=reason), _:
                _tell_webhook(reply_to, reason)
            case _ToPark(transaction_id=transaction_id), Moved(payout=payout):
                self._intensities.pop(transaction_id, None)
                self._parts.metrics.reviews.labels(payout.provider, payout.status_reason).inc()
                log.error("payout.parked", transaction_id=transaction_id, detail=cause.detail)
            case _ToPark(transaction_id=transaction_id), answer:
                log.error("payout.not_parked", transaction_id=transaction_id, answer=type(answer).__name__)
            case _:
                raise TypeError(
                    f"the journal answered {type(message.answer).__name__} to {type(cause).__name__}"
                )

    def _room(self) -> int:
        return max(0, self._steering.payouts_in_memory_max - len(self._roster))

    def _has_room(self, provider: str) -> bool:
        """Whether one more payout of this provider may be in memory: what others have a right to stays free."""
        free = self._room()
        share = self._steering.payouts_in_memory_max // (OWN_SHARE * max(1, len(self._providers)))
        if self._roster.count_of(provider) < share:
            return free > 0
        kept = sum(
            max(0, share - self._roster.count_of(name)) for name in self._providers if name != provider
        )
        return free > kept

    def _spawn(self, payout: Payout, *, is_new: bool = False) -> None:
        ref = PayoutActor.start(
            payout=payout,
            parts=self._providers.of(payout.provider),
            runtime=self.runtime,
            parent=self.actor_ref,
            child_id=payout.transaction_id,
        )
        self._roster.add(payout, ref, is_new=is_new)
        self._parts.metrics.payouts_in_memory.set(len(self._roster))
        self._let_some_go()
        for deliver in self._arriving.pop(payout.transaction_id, ()):
            self._to_payout(payout.transaction_id, deliver)
        if self._refusal(payout.transaction_id) is not None:
            # A webhook's fact is recorded by whoever has it; the rest is for who holds the shard.
            self._tell(ref, Retire())

    def _due(self, message: PayoutsDue) -> None:
        started = 0
        if self._life is EngineState.RUNNING:
            for payout in message.payouts:
                known = payout.transaction_id in self._roster or payout.transaction_id in self._arriving
                if (
                    not known
                    and self._has_room(payout.provider)
                    and shard_of(payout.transaction_id) in self._parts.ownership.epochs
                ):
                    self._spawn(payout)
                    started += 1
        self._tell(message.reply_to, TakenUp(started_count=started, room_count=self._room()))

    # ---- to payouts --------------------------------------------------------------------------------

    def _to_payout(self, transaction_id: TransactionId, deliver: Deliver) -> None:
        """Deliver to the payout's actor; if it is not in memory, load it first."""
        entry = self._roster.get(transaction_id)
        if entry is not None:
            entry.delivered_count += 1
            entry.untold = entry.untold and deliver.webhook is None
            self._tell(entry.ref, deliver)
            return
        waiting = self._arriving.setdefault(transaction_id, [])
        waiting.append(deliver)
        if len(waiting) == 1:
            self._load(transaction_id)

    def _load(self, transaction_id: TransactionId) -> None:
        self.pipe_to_self(
            self._parts.store.load(transaction_id),
            on_result=lambda payout: _RowFound(transaction_id=transaction_id, payout=payout),
            on_error=lambda error: _RowNotRead(transaction_id=transaction_id, error=error),
            name="supervisor-load",
        )

    def _row_found(self, transaction_id: TransactionId, payout: Payout | None) -> None:
        if transaction_id not in self._arriving:
            return
        if transaction_id in self._roster:
            for deliver in self._arriving.pop(transaction_id):
                self._to_payout(transaction_id, deliver)
        elif payout is not None:
            self._spawn(payout)
        else:
            for deliver in self._arriving.pop(transaction_id):
                _fail(deliver.reply_to, PayoutNotFound(transaction_id))

    def _row_not_read(self, transaction_id: TransactionId, error: BaseException) -> None:
        waiting = self._arriving.pop(transaction_id, [])
        for deliver in waiting:
            # Whoever waits may come again; a restart or a due time comes again by itself.
            _fail(deliver.reply_to, error)
        log.warning("payout.not_loaded", transaction_id=transaction_id, error=str(error))

    def _cancel(self, message: CancelPayout) -> None:
        deliver = Deliver(
            event=CancelRequested(),
            who=f"client:{message.client_id}",
            request_id=message.request_id,
            reply_to=message.reply_to,
        )
        refusal = self._refusal(message.transaction_id)
        if refusal is not None:
            _fail(message.reply_to, refusal)
        else:
            self._to_payout(message.transaction_id, deliver)

    def _command_payout(self, message: CommandPayout) -> None:
        deliver = Deliver(
            event=message.order,
            who=f"operator:{message.operator_id}",
            request_id=message.request_id,
            audit=message.audit,
            reply_to=message.reply_to,
        )
        refusal = self._refusal(message.transaction_id)
        if refusal is not None:
            _fail(message.reply_to, refusal)
        else:
            self._to_payout(message.transaction_id, deliver)

    def _report_found(self, message: ReportFound) -> None:
        deliver = Deliver(event=message.event, who="reconciliation", reply_to=message.reply_to)
        refusal = self._refusal(message.transaction_id)
        if refusal is not None:
            _fail(message.reply_to, refusal)
        else:
            self._to_payout(message.transaction_id, deliver)

    def _start_reconcile(self, message: StartReconcile) -> None:
        if self._life is EngineState.DRAINING:
            _fail(message.reply_to, Draining())
        elif (reconciliation := self._helpers.get(RECONCILIATION)) is None:
            _fail(message.reply_to, EngineBusy("reconciliation is being restarted"))
        else:
            self._tell(reconciliation, message)

    # ---- commands to providers and to this actor -----------------------------------------------------

    def _command_provider(self, message: CommandProvider) -> None:
        try:
            self._providers.command(message, self._tell)
        except ProviderUnknown as unknown:
            _fail(message.reply_to, unknown)

    def _valid_commands(self) -> tuple[EngineCommand, ...]:
        runs = self._life_now() is EngineState.RUNNING
        restored = self._parts.ownership.restored
        return self._steering.valid_commands(
            runs=runs,
            may_reload=self._hooks.reload_secrets is not None,
            held=restored is not None and restored.held,
        )

    def _command_engine(self, message: CommandEngine) -> None:
        refused = engine_refusal(message, self._valid_commands())
        if refused is not None:
            answer = EngineAnswer(
                engine=self._view(), answer=refused.answer, field=refused.field, problem=refused.problem
            )
            reply(message.reply_to, answer)
            return
        self._steering.writing += message.command in SETS
        self.pipe_to_self(
            _kept(self._parts.store, message, self._hooks),
            on_result=lambda done: done,
            on_error=lambda error: EngineNotSet(message=message, error=error),
            name="supervisor-command",
        )

    def _engine_set(self, done: EngineSet) -> None:
        """A command is in the database: now it holds here, and what is only done is done."""
        message, steering = done.message, self._steering
        if message.command in SETS:
            steering.writing -= 1
            steering.load_may_be_old = True
        if done.controls is not None:
            steering.controls = done.controls
        if not done.is_new:
            reply(message.reply_to, EngineAnswer(engine=self._view(), answer=COMMAND_REPEATED))
            return
        match message.command:
            case EngineCommand.RESUME_INTAKE:
                steering.drains_here = None
            case EngineCommand.DRAIN:
                steering.drains_here = message.by.reason
            case EngineCommand.RECOVER if self._life_now() is EngineState.RUNNING:
                self._helpers.sweep_anew()
            case EngineCommand.RELEASE_RESTORED:
                self._restored(done.restored)
            case _:
                pass
        by = message.by
        log.warning("engine.controlled", command=message.command.value, who=by.who, reason=by.reason)
        reply(message.reply_to, EngineAnswer(engine=self._view(), changed=done.changed))

    def _webhook(self, message: WebhookArrived) -> None:
        webhook = message.webhook
        found = self._roster.find(webhook.provider, webhook.provider_ref, webhook.our_ref)
        if message.unchecked and (found is None or not self._roster.is_untold(found[0])):
            reply(message.reply_to, LookForReplay())
            return
        if found is None:
            self._commit(MeetWebhook(webhook=webhook), message)
            return
        transaction_id, reference = found
        self._to_payout(transaction_id, _webhook_event(message, reference))

    def _fetch_parked(self, webhook_ids: tuple[str, ...]) -> None:
        self.pipe_to_self(
            self._parts.store.webhooks(webhook_ids),
            on_result=lambda found: WebhooksJoinable(webhooks=tuple(found)),
            # The reconciler joins what is left: nothing is lost by giving up here.
            on_error=lambda error: WebhooksJoinable(webhooks=()),
            name="supervisor-parked",
        )

    def _join(self, stored: StoredWebhook) -> None:
        """A parked webhook has found its payout: read it again, and deliver it as if it came now."""
        webhook = stored.webhook
        adapter = self._providers.adapter_of(webhook.provider)
        if adapter is None:
            return
        try:
            arrived = arrived_again(stored, adapter)
        except Exception:  # one stored body that trips an adapter must not end the process
            log.exception("webhook.unreadable_when_joined", webhook_id=webhook.webhook_id)
            # Put aside: parked, it would stand before all newer ones at every look.
            aside = WebhookRefused(webhook=webhook, reason="UNREADABLE_WHEN_JOINED")
            self._commit(KeepWebhook(webhook=webhook, reason=aside.reason), aside)
            return
        self._to_payout(stored.transaction_id, _webhook_event(arrived, stored.reference))

    # ---- leaving memory ----------------------------------------------------------------------------

    def _idle(self, message: PayoutIdle) -> None:
        """Let it go at once where it is done; what waits for a webhook lingers, so that it need not be read again."""
        if message.until is None or self._linger_s <= 0:
            self._let_go(message)
            return
        if not self._lingering:
            self.tell_later(self._linger_s, "let go")
        self._lingering.pop(message.transaction_id, None)
        until_s = self.runtime.scheduler.monotonic() + self._linger_s
        self._lingering[message.transaction_id] = until_s, message
        self._let_some_go()

    def _let_some_go(self) -> None:
        """Those who have lingered long enough; and more, where they take up more than half of what is free."""
        now_s = self.runtime.scheduler.monotonic()
        while self._lingering:
            until_s, message = next(iter(self._lingering.values()))
            if until_s > now_s and len(self._lingering) <= self._room():
                break
            self._let_go(message)

    def _let_go(self, message: PayoutIdle) -> None:
        self._lingering.pop(message.transaction_id, None)
        entry = self._roster.get(message.transaction_id)
        if entry is None or entry.ref is not message.ref or entry.delivered_count != message.delivered_count:
            return
        self._roster.remove(message.transaction_id)
        self._intensities.pop(message.transaction_id, None)
        self._lives.forget(message.transaction_id)
        self._parts.metrics.payouts_in_memory.set(len(self._roster))
        message.ref.stop(block=False)

    def _child_stopped(self, child_id: object, ref: ActorRef[Any]) -> None:
        if isinstance(child_id, str):
            entry = self._roster.get(TransactionId(child_id))
            if entry is not None and entry.ref is ref:
                self._roster.remove(TransactionId(child_id))
                self._parts.metrics.payouts_in_memory.set(len(self._roster))

    # ---- what breaks -------------------------------------------------------------------------------

    def _child_failed(self, child_id: object, ref: ActorRef[Any], error: BaseException) -> None:
        log.error("actor.failed", child=str(child_id), error=type(error).__name__, exc_info=error)
        self._lives.died(child_id, error, self.runtime.scheduler.now())
        allowed = self._intensity(child_id).record(self.runtime.scheduler.monotonic())
        match child_id:
            case str():
                self._payout_failed(TransactionId(child_id), ref, error, allowed=allowed)
            case ("provider", str() as name) if allowed:
                self._parts.metrics.restarts.labels("provider").inc()
                self._providers.start(name)
                self._lives.born(child_id, self.runtime.scheduler.now())
                for entry in self._roster:
                    if entry.provider == name:
                        self._tell(entry.ref, ProviderRestarted())
            case (str() as kind, _) if kind in SHOWN:
                allowed = self._helpers.died(kind, allowed=allowed, later=self.tell_later)
            case _:
                allowed = False
        if not allowed and not isinstance(child_id, str):
            self._escalate(f"{child_id} died too often: {type(error).__name__}")

    def _payout_failed(
        self, transaction_id: TransactionId, ref: ActorRef[Any], error: BaseException, *, allowed: bool
    ) -> None:
        entry = self._roster.get(transaction_id)
        if entry is None or entry.ref is not ref:
            return
        self._roster.remove(transaction_id)
        freed = SlotFreed(transaction_id=transaction_id, result=SlotResult.LOST)
        self._tell(self._providers.of(entry.provider).door.ref, freed)
        if allowed:
            self._parts.metrics.restarts.labels("payout").inc()
            self._to_payout(transaction_id, Deliver(event=DueReached()))
            return
        detail = type(error).__name__
        self.pipe_to_self(
            self._parts.store.load(transaction_id),
            on_result=lambda payout: _ToPark(transaction_id=transaction_id, payout=payout, detail=detail),
            on_error=lambda _: _ToPark(transaction_id=transaction_id, payout=None, detail=detail),
            name="supervisor-park",
        )

    def _park(self, message: _ToPark) -> None:
        """Put a payout into REVIEW without an actor of its own, which is what keeps dying."""
        payout = message.payout
        if payout is None:
            log.error("payout.not_parked", transaction_id=message.transaction_id, detail=message.detail)
            return
        write = parking(
            payout,
            message.detail,
            now=self.runtime.scheduler.now(),
            policy=self._providers.of(payout.provider).policy,
            new_id=self._parts.new_id,
        )
        if write is not None:
            self._commit(write, message)

    def _intensity(self, child_id: object) -> RestartIntensity:
        known = self._intensities.get(child_id)
        if known is None:
            known = RestartIntensity(
                restarts_max=self._parts.restarts_max, within_s=self._parts.restarts_within_s
            )
            self._intensities[child_id] = known
        return known

    # ---- leases, recovery --------------------------------------------------------------------------

    def _leases(self, message: LeasesChanged) -> None:
        before, held = self._parts.ownership.epochs, message.held
        self._restored(message.restored)
        self._parts.ownership.epochs = dict(held.epochs)
        self._trusted_until_s = message.trusted_until_s
        self._other_owner = held.other_owner
        self._parts.metrics.shards_held.set(len(held.epochs))
        # By epoch: a shard that another node had for a moment in between was lost all the same.
        lost = {shard for shard, epoch in before.items() if held.epochs.get(shard) != epoch}
        if lost:
            log.error("leases.lost", shard_count=len(lost), owner=held.other_owner)
            for transaction_id, entry in self._roster.items():
                if shard_of(transaction_id) in lost:
                    self._tell(entry.ref, Retire())
        if self._life is EngineState.DRAINING:
            return
        gained = {shard for shard, epoch in held.epochs.items() if before.get(shard) != epoch}
        self._life = EngineState.RUNNING if held.epochs else EngineState.STANDBY
        if gained:
            log.info("leases.gained", shard_count=len(gained))
            self._helpers.sweep_anew()
            self._count_accounts()

    def _restored(self, restored: Restored | None) -> None:
        """The database was restored, or an operator has released the engine since."""
        before = self._parts.ownership.restored
        if restored == before:
            return
        self._parts.ownership.restored = restored
        self._parts.metrics.restored_held.set(restored is not None and restored.held)
        if restored is None:
            return
        log.critical("engine.restored", restored_at=restored.at, held=restored.held)
        noticed = before is None or before.at != restored.at
        for entry in self._roster:
            # What is in memory is older, or newer, than what is in the database now: it is read again.
            self._tell(entry.ref, Retire() if noticed else Deliver(event=DueReached()))

    def _count_accounts(self) -> None:
        """Say what was sent through accounts that are not configured now: nobody can ask about it (money rule 10)."""
        self.pipe_to_self(
            self._parts.store.accounts_in_flight(shards=tuple(self._parts.ownership.epochs)),
            on_result=lambda figures: _AccountsCounted(figures=tuple(figures)),
            on_error=lambda error: _AccountsNotCounted(error=error),
            name="supervisor-accounts",
        )

    def _accounts_counted(self, figures: tuple[AccountFigures, ...]) -> None:
        counts: dict[str, int] = {}
        for one in figures:
            if one.account != self._providers.account_of(one.provider):
                counts[one.provider] = counts.get(one.provider, 0) + one.payouts_count
        self._sent_elsewhere = tuple(
            SentElsewhere(
                provider=provider,
                payouts_count=payouts_count,
                is_configured=self._providers.account_of(provider) is not None,
            )
            for provider, payouts_count in sorted(counts.items())
        )
        for provider in (*self._providers, *counts.keys() - set(self._providers)):
            self._parts.metrics.sent_elsewhere.labels(provider).set(counts.get(provider, 0))
        for elsewhere in self._sent_elsewhere:
            log.error(
                "account.changed_under_payouts",
                provider=elsewhere.provider,
                payouts_count=elsewhere.payouts_count,
                what_follows="they go to REVIEW"
                if elsewhere.is_configured
                else "they wait for an account of this provider, and go to REVIEW when they expire",
            )

    # ---- the end -----------------------------------------------------------------------------------

    def _drain(self, reply_to: ReplyTo | None) -> None:
        self._drain_reply = reply_to
        if self._life is not EngineState.DRAINING:
            self._life = EngineState.DRAINING
            log.info("engine.draining", payouts_in_memory=len(self._roster))
            self._helpers.drain()
            for entry in self._roster:
                self._tell(entry.ref, Retire())

    def _maybe_drained(self) -> None:
        if self._life is not EngineState.DRAINING or self._drain_reply is None:
            return
        if not self._roster and not self._commits and not self._arriving:
            # The lease outlives this by its length; renewed, it could be taken again after it was given back.
            self._helpers.stop(LEASE_KEEPER)
            self._drain_reply.tell(Drained())
            self._drain_reply = None

    def _view(self) -> EngineView:
        return EngineView(
            state=self._life_now(),
            shards_held=len(self._parts.ownership.epochs),
            other_owner=self._other_owner,
            payouts_in_memory=len(self._roster),
            recovery_started=self._helpers.get(RECONCILER) is not None,
            recovered_count=self._helpers.recovered_count,
            recovery_done=self._helpers.recovery_done,
            journal_ok=self._journal_ok,
            journal_depth=self._parts.metrics.journal_waiting_count,
            providers=self._providers.views(),
            node_id=self._parts.ownership.node_id,
            started_at=self._started_at,
            intake_open=self._steering.closed_reason is None,
            intake_reason=self._steering.closed_reason or "",
            intake_by=self._steering.controls.intake_by,
            drains_here=self._steering.drains_here is not None,
            payouts_in_memory_max=self._steering.payouts_in_memory_max,
            valid_commands=tuple(command.value for command in self._valid_commands()),
            sent_elsewhere=self._sent_elsewhere,
            doubt=self._doubt,
            restored=self._parts.ownership.restored,
        )

    def doing(self) -> str:
        """What an operator reads of it."""
        return f"{self._life_now().value}: {len(self._roster)} payouts in memory, {len(self._commits)} commits awaited"

    def _tree(self) -> ActorTree:
        me = self.actor_name
        rows = [*self._lives.rows(me, me, "", self.actor_ref)]
        rows += self._lives.rows("journal", "journal", me, self._parts.journal)
        for name, ref in self._providers.refs():
            rows += self._lives.rows(("provider", name), f"provider/{name}", me, ref)
        rows += self._helpers.rows(me)
        return ActorTree(actors=tuple(rows), payouts_count=len(self._roster))

    def _payout_row(self, transaction_id: TransactionId) -> ActorRow | None:
        entry = self._roster.get(transaction_id)
        if entry is None:
            return None
        return next(self._lives.rows(transaction_id, f"payout/{transaction_id}", self.actor_name, entry.ref))

    def _life_now(self) -> EngineState:
        expired = self.runtime.scheduler.monotonic() >= self._trusted_until_s
        return EngineState.STANDBY if self._life is EngineState.RUNNING and expired else self._life

    def _tell(self, ref: ActorRef[Any], message: Any) -> None:
        self.runtime.tell_or_dead_letter(ref, message)


async def _kept(store: Store, message: CommandEngine, hooks: Hooks) -> EngineSet:
    """Write a command down."""
    command, by = message.command, message.by
    changed: tuple[str, ...] = ()
    if command is EngineCommand.RELOAD_SECRETS and hooks.reload_secrets is not None:
        # Before its row: a reload that is refused must not use up its key, or given again it would be called done.
        changed = hooks.reload_secrets()
    if command in SETS:
        controls = await store.set_engine(command.value, engine_values(message), by)
        return EngineSet(message=message, controls=controls)
    if command is EngineCommand.RELEASE_RESTORED:
        is_new = await store.release_restored(by, reposts_for_h(message.reposts_for_h) * 3600)
        return EngineSet(message=message, controls=None, is_new=is_new, restored=await store.restored())
    is_new = await store.note_command("supervisor", command.value, by)
    return EngineSet(message=message, controls=None, is_new=is_new, changed=changed)


def _webhook_event(message: WebhookArrived, reference: Any) -> Deliver:
    event = StatusReported(
        source=Source.WEBHOOK, reference=reference, report=message.report, trusted=message.trusted
    )
    return Deliver(
        event=event,
        who=f"provider:{message.webhook.provider}",
        request_id=message.webhook.request_id,
        webhook=message.webhook,
        unchecked=message.unchecked,
        reply_to=message.reply_to,
    )


def _fail(reply_to: ReplyTo | None, error: BaseException) -> None:
    fail = getattr(reply_to, "fail", None)
    if fail is not None:
        fail(error)


def _tell_webhook(reply_to: ReplyTo | None, reason: str) -> None:
    if reply_to is not None:
        reply_to.tell(WebhookAnswer(applied=False, reason=reason))
