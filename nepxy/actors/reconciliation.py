"""Reconciliation: begins runs on schedule and on demand, one at a time, and ends what was interrupted.

Only the node that owns shards compares, and only what is on them. Nothing hangs on this actor: a run that it loses is
marked FAILED at the next look, whoever looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from pykka import ActorRef

from nepxy.actors.context import EngineParts, ProviderParts
from nepxy.actors.look_up_run import LookUpOrder, LookUpRun
from nepxy.actors.messages import Retire, StartReconcile
from nepxy.engine.reconcile import ReportKind
from nepxy.engine.runtime import LoopActor, ReplyTo
from nepxy.errors import Draining, NepXyError, NodeStandby, ReconcileRunning
from nepxy.storage.database import Reader
from nepxy.storage.reconcile import (
    Report,
    Standing,
    add_progress,
    end_interrupted,
    scheduled_since,
    standing,
    start_report,
)

log = structlog.get_logger("nepxy.reconcile")

NOTHING: Final = Standing(last_done_at={}, differences={})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationSetup:
    """What the composition root knows of it."""

    reader: Reader
    every_h: float
    """Between two runs by schedule; 0: none."""
    count_max: int
    """Payouts that a run by schedule asks about."""
    check_s: float = 10.0
    """Between two looks at whether a run is due, or one was interrupted."""
    wait_s: float = 60.0
    """How long a question waits for its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    standing: Standing
    is_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotLooked:
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class _Began:
    order: LookUpOrder
    report: Report | None
    reply_to: ReplyTo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotBegun:
    error: BaseException
    reply_to: ReplyTo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunEnded:
    report_id: str
    error: BaseException | None


class Reconciliation(LoopActor):
    """Starts runs, and cleans up behind those that were lost."""

    kind = "reconciliation"
    actor_name = "reconciliation"

    def __init__(
        self,
        *,
        setup: ReconciliationSetup,
        parts: EngineParts,
        providers: Callable[[str], ProviderParts],
        supervisor: ActorRef[Any],
        **kwargs: Any,
    ) -> None:
        """Look at once.

        Args:
            setup: the schedule, and the database.
            parts: what all actors share.
            providers: what a provider's payouts share, by its name.
            supervisor: told what runs find.
        """
        super().__init__(**kwargs)
        self._setup = setup
        self._parts = parts
        self._providers = providers
        self._supervisor = supervisor
        self._looking = False
        self._asked: list[StartReconcile] = []
        """What came while it looked."""
        self._beginning = False
        self._run: LookUpRun | None = None
        self._task: asyncio.Task[None] | None = None
        self._retiring = False

    def on_start(self) -> None:
        """Look for what the last one left."""
        self._parts.metrics.reconcile_every.set(self._setup.every_h * 3600)
        self._parts.metrics.reconcile_running.set(0)
        self._look()

    def doing(self) -> str:
        """What an operator reads of it."""
        return (
            "compares with the providers" if self._run is not None else "waits for its time, or to be asked"
        )

    def on_receive(self, message: Any) -> None:
        """Handle one message."""
        match message:
            case StartReconcile() if self._looking:
                # The look would take a run that began meanwhile for one that was lost.
                self._asked.append(message)
            case StartReconcile():
                self._asked_to_start(message)
            case "look":
                self._look()
            case _Looked(standing=found, is_due=is_due):
                self._parts.metrics.reconciled(found)
                self._looked()
                if is_due and self._is_free:
                    self._begin_scheduled()
                self.tell_later(self._setup.check_s, "look")
            case _NotLooked(error=error):
                log.warning("reconcile.not_looked", error=f"{type(error).__name__}: {error}")
                self._looked()
                self.tell_later(self._setup.check_s, "look")
            case _Began(order=order, report=report, reply_to=reply_to):
                self._began(order, report, reply_to)
            case _NotBegun(error=error, reply_to=reply_to):
                self._beginning = False
                log.warning("reconcile.not_begun", error=f"{type(error).__name__}: {error}")
                if reply_to is not None:
                    reply_to.fail(error)
            case _RunEnded(report_id=report_id, error=error):
                self._ended(report_id, error)
            case Retire():
                self._retire("STOPPED")
                self._retiring = True
            case "kept":
                pass
            case _:
                raise TypeError(f"reconciliation does not take {type(message).__name__}")

    @property
    def _is_free(self) -> bool:
        return self._run is None and not self._beginning and not self._retiring

    # ---- looking -----------------------------------------------------------------------------------

    def _look(self) -> None:
        if not self._parts.ownership.epochs:
            # Whoever holds the shards looks. A run of ours is not ours to make any more.
            self._retire("LEASES_LOST")
            self._parts.metrics.reconciled(NOTHING)
            self.tell_later(self._setup.check_s, "look")
            return
        if self._beginning:
            # What is being begun just now is RUNNING without being known here.
            self.tell_later(self._setup.check_s, "look")
            return
        reader, every_h = self._setup.reader, self._setup.every_h
        node_id, mine = self._parts.ownership.node_id, self._mine()
        now = self.runtime.scheduler.now

        async def look() -> _Looked:
            for report_id in await reader.run(end_interrupted, node_id=node_id, mine=mine):
                log.warning("reconcile.interrupted", report_id=report_id)
            found = await reader.run(standing)
            is_due = False
            if every_h:
                is_due = now() - await reader.run(scheduled_since) >= timedelta(hours=every_h)
            return _Looked(standing=found, is_due=is_due)

        self._looking = True
        self.pipe_to_self(
            look(),
            on_result=lambda looked: looked,
            on_error=lambda error: _NotLooked(error=error),
            name="reconcile-look",
        )

    def _looked(self) -> None:
        self._looking = False
        asked, self._asked = self._asked, []
        for message in asked:
            self._asked_to_start(message)

    def _mine(self) -> tuple[str, ...]:
        return (self._run.report_id,) if self._run is not None else ()

    # ---- beginning ---------------------------------------------------------------------------------

    def _asked_to_start(self, message: StartReconcile) -> None:
        reply_to = message.reply_to
        refusal: NepXyError | None = None
        if self._retiring:
            refusal = Draining()
        elif not self._parts.ownership.epochs:
            refusal = NodeStandby("this node owns no shards, and compares nothing")
        elif not self._is_free:
            refusal = ReconcileRunning(self._run.report_id if self._run is not None else "")
        if refusal is not None:
            if reply_to is not None:
                reply_to.fail(refusal)
            return
        order = LookUpOrder(
            provider=message.provider,
            since_h=message.since_h,
            count_max=message.count_max,
            transaction_ids=message.transaction_ids,
        )
        self._start_run(order, message, reply_to)

    def _begin_scheduled(self) -> None:
        setup = self._setup
        # A run that was missed, or did not get to everything, is made good: twice as far back.
        order = LookUpOrder(provider=None, since_h=2 * setup.every_h, count_max=setup.count_max)
        message = StartReconcile(
            report_id=self._parts.new_id(),
            who="engine",
            reason="",
            provider=None,
            since_h=order.since_h,
            count_max=order.count_max,
        )
        self._start_run(order, message, None, scheduled=True)

    def _start_run(
        self,
        order: LookUpOrder,
        message: StartReconcile,
        reply_to: ReplyTo | None,
        *,
        scheduled: bool = False,
    ) -> None:
        self._beginning = True
        parameters: dict[str, Any] = {
            "since_h": order.since_h,
            "count_max": order.count_max,
            "node": self._parts.ownership.node_id,
            "reason": message.reason,
        }
        if order.transaction_ids:
            parameters["transaction_ids"] = list(order.transaction_ids)
        if scheduled:
            parameters["scheduled"] = True
        self.pipe_to_self(
            self._setup.reader.run(
                start_report,
                report_id=message.report_id,
                who=message.who,
                kind=ReportKind.LOOK_UP,
                provider=order.provider,
                parameters=parameters,
                reason=message.reason,
                request_id=message.request_id,
            ),
            on_result=lambda report: _Began(order=order, report=report, reply_to=reply_to),
            on_error=lambda error: _NotBegun(error=error, reply_to=reply_to),
            name="reconcile-begin",
        )

    def _began(self, order: LookUpOrder, report: Report | None, reply_to: ReplyTo | None) -> None:
        self._beginning = False
        if report is None:
            if reply_to is not None:
                reply_to.fail(ReconcileRunning(""))
            return
        if reply_to is not None:
            reply_to.tell(report)
        log.info("reconcile.started", report_id=report.report_id, who=report.who)
        self._run = LookUpRun(
            report_id=report.report_id,
            order=order,
            reader=self._setup.reader,
            engine=self._parts,
            providers=self._providers,
            supervisor=self._supervisor,
            runtime=self.runtime,
            wait_s=self._setup.wait_s,
        )
        self._parts.metrics.reconcile_running.set(1)
        report_id = report.report_id
        self._task = self.pipe_to_self(
            self._run.make(),
            on_result=lambda _: _RunEnded(report_id=report_id, error=None),
            on_error=lambda error: _RunEnded(report_id=report_id, error=error),
            name="reconcile-run",
        )
        if self._retiring:
            self._retire("STOPPED")

    # ---- ending ------------------------------------------------------------------------------------

    def _ended(self, report_id: str, error: BaseException | None) -> None:
        if self._run is None or self._run.report_id != report_id:
            return
        if error is not None:
            log.error("reconcile.failed", report_id=report_id, exc_info=error)
            self._fail(self._run, type(error).__name__)
        self._forget()

    def _retire(self, why: str) -> None:
        if self._run is None or self._task is None:
            return
        self._task.cancel()
        log.warning("reconcile.stopped", report_id=self._run.report_id, why=why)
        self._fail(self._run, why)
        self._forget()

    def _forget(self) -> None:
        self._run = self._task = None
        self._parts.metrics.reconcile_running.set(0)

    def _fail(self, run: LookUpRun, why: str) -> None:
        """If this cannot be written either, the next look ends it: its owner is this node, and it is not `mine`."""
        self.pipe_to_self(
            self._setup.reader.run(
                add_progress,
                run.report_id,
                figures={**run.figures(), "failed_because": why},
                state="FAILED",
            ),
            on_result=lambda _: "kept",
            on_error=lambda _: "kept",
            name="reconcile-fail",
        )
