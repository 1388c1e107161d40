"""The supervisor: spawns one actor a provider and one a payout in flight, routes to them, and mends what breaks.

It is the only one that routes events to payouts, so it knows exactly which of them have something on its
way. A payout whose actor dies is restarted from its row; one that keeps dying is parked in REVIEW; one
poisoned payout never stops another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import structlog
from pykka import ActorRef

from nepxy.actors.bulk import BulkStore, LookForRuns
from nepxy.actors.commands import (
    CommandEngine,
    CommandProvider,
)
from nepxy.actors.context import EngineParts
from nepxy.actors.deliveries import asked_of_payout, webhook_event
from nepxy.actors.engine_control import (
    EngineNotSet,
    EngineSet,
    EngineSteering,
    Hooks,
)
from nepxy.actors.engine_desk import EngineDesk, Steered
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
from nepxy.actors.in_memory import LetGo, PayoutsInMemory, RowFound, RowNotRead
from nepxy.actors.joining import joined
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
    SlotFreed,
    SlotResult,
    StartReconcile,
    WebhookAnswer,
    WebhookArrived,
    WebhookRefused,
    WebhooksJoinable,
)
from nepxy.actors.parking import ToPark, parking
from nepxy.actors.provider_table import ProviderSetup, ProviderTable
from nepxy.actors.reconciliation import ReconciliationSetup
from nepxy.actors.replies import fail_reply, reply
from nepxy.actors.sent_elsewhere import AccountsCounted, AccountsNotCounted, AccountsWatch, CountAccounts
from nepxy.actors.tenure import Tenure
from nepxy.actors.tree import ActorRow, ActorTree, DescribeActors, DescribePayoutActor, Lives
from nepxy.engine.events import DueReached
from nepxy.engine.payout import TransactionId, shard_of
from nepxy.engine.restored import Restored
from nepxy.engine.runtime import ChildFailed, ChildStopped, LoopActor, ReplyTo, RestartIntensity
from nepxy.errors import (
    Draining,
    EngineBusy,
    IntakePaused,
    NepXyError,
    ProviderUnknown,
)
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
        self._steering = EngineSteering(configured_max=parts.payouts_in_memory_max)
        self._started_at = self.runtime.scheduler.now()
        self._parts = parts
        self._escalate = escalate
        self._providers = ProviderTable(
            engine=parts, setups=setups, runtime=self.runtime, parent=self.actor_ref
        )
        self._lives = Lives()
        self._tenure = Tenure(
            ownership=parts.ownership, metrics=parts.metrics, scheduler=self.runtime.scheduler
        )
        self._payouts = PayoutsInMemory(
            actor=self,
            parts=parts,
            linger_s=limits.linger_s,
            providers=self._providers,
            steering=self._steering,
            tenure=self._tenure,
            forget=self._forget,
        )
        self._roster = self._payouts.roster
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
        self._desk = EngineDesk(
            steering=self._steering,
            ownership=parts.ownership,
            store=parts.store,
            hooks=hooks or Hooks(),
            steered=Steered(
                view=self._view,
                life_now=lambda: self._tenure.life_now,
                sweep_anew=self._helpers.sweep_anew,
                restored=self._restored,
            ),
        )
        self._doubt: tuple[DoubtFigures, ...] = ()
        self._accounts = AccountsWatch(actor=self, parts=parts, providers=self._providers)
        self._journal_ok = True
        self._tags = count()
        self._commits: dict[int, Any] = {}
        """What waits for the journal: the message that caused the write, by tag."""
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
                self._payouts.idle(message)
            case PayoutLearnedRef():
                self._roster.know(message.transaction_id, message.submission_ref, message.provider_ref)
            case WebhookArrived():
                self._webhook(message)
            case WebhookRefused(webhook=webhook, reason=reason):
                self._commit(KeepWebhook(webhook=webhook, reason=reason), message)
            case CancelPayout() | CommandPayout() | ReportFound():
                self._ask_payout(message)
            case PayoutsDue():
                self._payouts.due(message)
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
                self._desk.kept(message)
            case EngineNotSet():
                self._desk.not_kept(message)
            case DoubtCounted(figures=figures):
                self._doubt = figures
            case AccountsCounted():
                self._accounts.counted(message)
            case AccountsNotCounted():
                self._accounts.not_counted(message)
            case CountAccounts():
                self._accounts.count()
            case LookForRuns():
                runner = self._helpers.get(BULK)
                if runner is not None:
                    self._tell(runner, message)
            case StartAgain(kind=kind):
                self._helpers.start(kind)
            case LetGo():
                self._payouts.look_who_lingers()
            case RecoveryProgressed():
                self._helpers.progressed(message)
            case RowFound():
                self._payouts.row_found(message)
            case RowNotRead():
                self._payouts.row_not_read(message)
            case ToPark():
                self._park(message)
            case ChildStopped(child_id=str() as child_id, ref=ref):
                self._payouts.stopped(TransactionId(child_id), ref)
            case ChildStopped():
                pass
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
        refusal = self._tenure.refusal(message.create.payout.transaction_id) or self._intake_refusal()
        if refusal is not None:
            fail_reply(message.reply_to, refusal)
            return
        self._commit(message.create, message)

    def _intake_refusal(self) -> NepXyError | None:
        """Why an operator has this node take no new payouts; what it has goes on."""
        steering = self._steering
        if not steering.controls.intake_open:
            return IntakePaused()
        return Draining() if steering.drains_here is not None else None

    def _commit(self, write: Any, cause: Any) -> None:
        tag = next(self._tags)
        self._commits[tag] = cause
        self._parts.journal.tell(Commit(write=write, reply_to=self.actor_ref, tag=tag))

    def _committed(self, message: Committed) -> None:
        cause = self._commits.pop(message.tag) if isinstance(message.tag, int) else None
        match cause, message.answer:
            case AcceptPayout(reply_to=reply_to), Created(payout=payout) as created:
                self._parts.moves.moved(payout)
                self._payouts.created(payout, is_new=not created.earlier)
                reply(reply_to, created)
            case AcceptPayout() | WebhookArrived() | WebhookRefused(), WriteFailed(error=error):
                fail_reply(cause.reply_to, error)
            case AcceptPayout(reply_to=reply_to), answer:
                reply(reply_to, answer)
            case WebhookArrived(), Met(transaction_id=transaction_id, reference=reference):
                self._payouts.deliver(transaction_id, webhook_event(cause, reference))
            case WebhookArrived(reply_to=reply_to), Parked():
                reply(reply_to, WebhookAnswer(applied=False, reason="PAYOUT_NOT_FOUND"))
            case WebhookRefused(reply_to=reply_to, reason=reason), _:
                reply(reply_to, WebhookAnswer(applied=False, reason=reason))
            case ToPark(transaction_id=transaction_id), Moved(payout=payout):
                self._intensities.pop(transaction_id, None)
                self._parts.metrics.reviews.labels(payout.provider, payout.status_reason).inc()
                log.error("payout.parked", transaction_id=transaction_id, detail=cause.detail)
            case ToPark(transaction_id=transaction_id), answer:
                log.error("payout.not_parked", transaction_id=transaction_id, answer=type(answer).__name__)
            case _:
                raise TypeError(
                    f"the journal answered {type(message.answer).__name__} to {type(cause).__name__}"
                )

    # ---- to payouts --------------------------------------------------------------------------------

    def _ask_payout(self, message: CancelPayout | CommandPayout | ReportFound) -> None:
        refusal = self._tenure.refusal(message.transaction_id)
        if refusal is not None:
            fail_reply(message.reply_to, refusal)
        else:
            self._payouts.deliver(message.transaction_id, asked_of_payout(message))

    def _start_reconcile(self, message: StartReconcile) -> None:
        if self._tenure.life is EngineState.DRAINING:
            fail_reply(message.reply_to, Draining())
        elif (reconciliation := self._helpers.get(RECONCILIATION)) is None:
            fail_reply(message.reply_to, EngineBusy("reconciliation is being restarted"))
        else:
            self._tell(reconciliation, message)

    # ---- commands to providers and to this actor -----------------------------------------------------

    def _command_provider(self, message: CommandProvider) -> None:
        try:
            self._providers.command(message, self._tell)
        except ProviderUnknown as unknown:
            fail_reply(message.reply_to, unknown)

    def _command_engine(self, message: CommandEngine) -> None:
        writing = self._desk.take(message)
        if writing is not None:
            self.pipe_to_self(
                writing,
                on_result=lambda done: done,
                on_error=lambda error: EngineNotSet(message=message, error=error),
                name="supervisor-command",
            )

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
        self._payouts.deliver(transaction_id, webhook_event(message, reference))

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
        adapter = self._providers.adapter_of(stored.webhook.provider)
        if adapter is None:
            return
        match joined(stored, adapter):
            case Deliver() as deliver:
                self._payouts.deliver(stored.transaction_id, deliver)
            case WebhookRefused(webhook=webhook, reason=reason) as aside:
                self._commit(KeepWebhook(webhook=webhook, reason=reason), aside)

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
                self._payouts.tell_all(ProviderRestarted(), lambda _, entry: entry.provider == name)
            case (str() as kind, _) if kind in SHOWN:
                allowed = self._helpers.died(kind, allowed=allowed, later=self.tell_later)
            case _:
                allowed = False
        if not allowed and not isinstance(child_id, str):
            self._escalate(f"{child_id} died too often: {type(error).__name__}")

    def _payout_failed(
        self, transaction_id: TransactionId, ref: ActorRef[Any], error: BaseException, *, allowed: bool
    ) -> None:
        entry = self._payouts.died(transaction_id, ref)
        if entry is None:
            return
        freed = SlotFreed(transaction_id=transaction_id, result=SlotResult.LOST)
        self._tell(self._providers.of(entry.provider).door.ref, freed)
        if allowed:
            self._parts.metrics.restarts.labels("payout").inc()
            self._payouts.deliver(transaction_id, Deliver(event=DueReached()))
            return
        detail = type(error).__name__
        self.pipe_to_self(
            self._parts.store.load(transaction_id),
            on_result=lambda payout: ToPark(transaction_id=transaction_id, payout=payout, detail=detail),
            on_error=lambda _: ToPark(transaction_id=transaction_id, payout=None, detail=detail),
            name="supervisor-park",
        )

    def _park(self, message: ToPark) -> None:
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

    def _forget(self, transaction_id: TransactionId) -> None:
        """A payout left memory in order: how often it died before does not count any more."""
        self._intensities.pop(transaction_id, None)
        self._lives.forget(transaction_id)

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
        self._restored(message.restored)
        moved = self._tenure.take(message)
        if moved.lost:
            self._payouts.tell_all(Retire(), lambda transaction_id, _: shard_of(transaction_id) in moved.lost)
        if moved.gained:
            self._helpers.sweep_anew()
            self._accounts.count()

    def _restored(self, restored: Restored | None) -> None:
        told = self._tenure.restored(restored)
        if told is not None:
            self._payouts.tell_all(told)

    # ---- the end -----------------------------------------------------------------------------------

    def _drain(self, reply_to: ReplyTo | None) -> None:
        self._drain_reply = reply_to
        if self._tenure.life is not EngineState.DRAINING:
            self._tenure.drain()
            log.info("engine.draining", payouts_in_memory=len(self._roster))
            self._helpers.drain()
            self._payouts.tell_all(Retire())

    def _maybe_drained(self) -> None:
        if self._tenure.life is not EngineState.DRAINING or self._drain_reply is None:
            return
        if self._payouts.is_quiet and not self._commits:
            # The lease outlives this by its length; renewed, it could be taken again after it was given back.
            self._helpers.stop(LEASE_KEEPER)
            self._drain_reply.tell(Drained())
            self._drain_reply = None

    def _view(self) -> EngineView:
        return EngineView(
            state=self._tenure.life_now,
            shards_held=len(self._parts.ownership.epochs),
            other_owner=self._tenure.other_owner,
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
            valid_commands=tuple(command.value for command in self._desk.valid_commands()),
            sent_elsewhere=self._accounts.found,
            doubt=self._doubt,
            restored=self._parts.ownership.restored,
        )

    def doing(self) -> str:
        """What an operator reads of it."""
        payouts, commits = len(self._payouts), len(self._commits)
        return f"{self._tenure.life_now.value}: {payouts} payouts in memory, {commits} commits awaited"

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

    def _tell(self, ref: ActorRef[Any], message: Any) -> None:
        self.runtime.tell_or_dead_letter(ref, message)
