"""One run of reconciliation: plans whom to ask about, asks through the gates, tells the rules, keeps a report.

A coroutine that the reconciliation actor owns: it waits outside of every turn. Few questions wait at a provider at a
time, so that a run never stands in the way of the engine's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from pykka import ActorRef

from nepxy.actors.asker import Asker, AskProvider
from nepxy.actors.context import EngineParts, ProviderParts
from nepxy.actors.messages import PayoutAnswer, ReportFound
from nepxy.engine.events import Source, StatusReported, Work
from nepxy.engine.outcomes import Finding, StatusReport
from nepxy.engine.payout import Payout, TransactionId
from nepxy.engine.reconcile import (
    AGREES,
    DIFFERS,
    NOT_ASKED,
    UNKNOWN,
    Difference,
    Tally,
    compare,
    question_of,
    shown,
)
from nepxy.engine.runtime import ActorDeadError, AskTimeout, MailboxFull, Runtime, ask
from nepxy.errors import NepXyError
from nepxy.storage.database import Reader
from nepxy.storage.payouts import first_id_of
from nepxy.storage.reconcile import add_progress, payouts_by_id, settled_ids, unsettled_ids

log = structlog.get_logger("nepxy.reconcile")

ASKED_AT_ONCE: Final = 2
"""Questions of a run that wait, or are asked, at one provider at a time."""
PAGE: Final = 20
"""Rows are read so shortly before they are asked about."""
SAVE_EVERY_S: Final = 1.0
FOLLOWED_S: Final = 31 * 86_400.0
"""What is settled now was made at most so long ago: a payout lives for 30 days."""
MISSES_MAX: Final = 3
"""So many questions in a row got no place: the rest of this provider's is left for the next run."""
CALL_S_MAX: Final = 180.0
TELL_S_MAX: Final = 30.0
LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUpOrder:
    """What a run is to look at."""

    provider: str | None
    since_h: float
    count_max: int
    transaction_ids: tuple[str, ...] = ()


class GivenUp(Exception):
    """The report was ended by somebody else: this node was thought to be gone."""


class LookUpRun:
    """Makes one report."""

    def __init__(
        self,
        *,
        report_id: str,
        order: LookUpOrder,
        reader: Reader,
        engine: EngineParts,
        providers: Callable[[str], ProviderParts],
        supervisor: ActorRef[Any],
        runtime: Runtime,
        wait_s: float,
    ) -> None:
        """Nothing happens yet.

        Args:
            report_id: begun already.
            order: what to look at.
            reader: the database.
            engine: whose shards are looked at.
            providers: what a provider's payouts share.
            supervisor: told what was found.
            runtime: where askers run.
            wait_s: how long one question waits for its place.
        """
        self.report_id = report_id
        self._order = order
        self._reader = reader
        self._engine = engine
        self._providers = providers
        self._supervisor = supervisor
        self._runtime = runtime
        self._wait_s = wait_s
        self._tally = Tally()
        self._unsaved: list[tuple[int, Difference]] = []
        self._found_count = 0
        self._saving = asyncio.Lock()
        self._saved_at_s = 0.0

    async def make(self) -> None:
        """Ask about everything, and end the report as DONE.

        Raises:
            GivenUp: somebody else ended the report.
            Unavailable: the database is away.
        """
        planned = await self._plan()
        self._tally.counts["planned"] = sum(map(len, planned.values()))
        await self._save(force=True)
        async with asyncio.TaskGroup() as group:
            for provider, ids in planned.items():
                group.create_task(self._ask_provider(provider, ids))
        await self._save(force=True, state="DONE")
        log.info("reconcile.done", report_id=self.report_id, **self._tally.figures())

    def figures(self) -> dict[str, int]:
        """How far it is."""
        return self._tally.figures()

    # ---- the plan ----------------------------------------------------------------------------------

    async def _plan(self) -> dict[str, list[str]]:
        """Provider to ids: what is unsettled first, then the newest of what was settled."""
        order = self._order
        shards = tuple(self._engine.ownership.epochs)
        planned: dict[str, list[str]] = {}
        if order.transaction_ids:
            found = await self._reader.run(payouts_by_id, order.transaction_ids)
            for payout in found.values():
                planned.setdefault(payout.provider, []).append(payout.transaction_id)
            return planned
        pairs = await self._reader.run(
            unsettled_ids, provider=order.provider, shards=shards, limit=order.count_max
        )
        pairs += await self._settled(order, shards, order.count_max - len(pairs))
        for transaction_id, provider in pairs:
            planned.setdefault(provider, []).append(transaction_id)
        return planned

    async def _settled(
        self, order: LookUpOrder, shards: tuple[int, ...], count_max: int
    ) -> list[tuple[str, str]]:
        since = self._now() - timedelta(hours=order.since_h)
        from_id = first_id_of(since - timedelta(seconds=FOLLOWED_S), early_s=5)
        pairs: list[tuple[str, str]] = []
        before: str | None = LAST_ID
        while before is not None and len(pairs) < count_max:
            found, before = await self._reader.run(
                settled_ids,
                provider=order.provider,
                shards=shards,
                since=since,
                from_id=from_id,
                before=before,
            )
            pairs += found
        if len(pairs) > count_max or before is not None:
            self._tally.add("beyond_count_max", max(1, len(pairs) - count_max))
        return pairs[: max(0, count_max)]

    # ---- asking ------------------------------------------------------------------------------------

    async def _ask_provider(self, provider: str, ids: list[str]) -> None:
        """All of one provider's, few at a time; a provider that gives no places is left alone for this run."""
        misses = 0
        for begin in range(0, len(ids), PAGE):
            page = ids[begin : begin + PAGE]
            rows = await self._reader.run(payouts_by_id, page)
            for start in range(0, len(page), ASKED_AT_ONCE):
                some = [
                    rows[TransactionId(one)]
                    for one in page[start : start + ASKED_AT_ONCE]
                    if TransactionId(one) in rows
                ]
                if misses >= MISSES_MAX:
                    self._count(provider, NOT_ASKED, len(some))
                    continue
                asked = await asyncio.gather(*map(self._look_at, some))
                for got_place in asked:
                    misses = 0 if got_place else misses + 1
                await self._save()

    async def _look_at(self, payout: Payout) -> bool:
        """One payout. False: no place came in time."""
        parts = self._providers(payout.provider)
        work = (
            question_of(payout, now=self._now(), policy=parts.policy) if parts.adapter is not None else None
        )
        if work is None:
            self._count(payout.provider, NOT_ASKED)
            return True
        report = await self._asked(payout, work, parts)
        if report is None:
            self._count(payout.provider, NOT_ASKED)
            return False
        if report.finding is Finding.NO_ANSWER:
            self._count(payout.provider, UNKNOWN)
            return True
        after = await self._told(payout, work, report)
        self._judge(payout, after or payout, report, told=after is not None)
        return True

    async def _asked(self, payout: Payout, work: Work, parts: ProviderParts) -> StatusReport | None:
        asker = Asker.start(payout=payout, work=work, parts=parts, wait_s=self._wait_s, runtime=self._runtime)
        try:
            answer = await ask(asker, AskProvider(), timeout_s=self._wait_s + CALL_S_MAX)
        except (ActorDeadError, AskTimeout, NepXyError) as error:
            log.warning("reconcile.not_asked", provider=payout.provider, error=type(error).__name__)
            return None
        finally:
            # Also where the run is cancelled: its place is free again.
            asker.stop(block=False)
        return answer if isinstance(answer, StatusReport) else None

    async def _told(self, payout: Payout, work: Work, report: StatusReport) -> Payout | None:
        """The payout after the rules have heard it; None: it could not be told, and a later look will find it."""
        event = StatusReported(
            source=Source.LOOKUP if work is Work.LOOKUP else Source.POLL,
            reference=payout.submission_ref,
            attempt=payout.attempt_count,
            report=report,
        )
        found = ReportFound(transaction_id=payout.transaction_id, event=event)
        try:
            answer = await ask(self._supervisor, found, timeout_s=TELL_S_MAX)
        except (ActorDeadError, AskTimeout, MailboxFull, NepXyError) as error:
            log.warning(
                "reconcile.not_told", transaction_id=payout.transaction_id, error=type(error).__name__
            )
            self._tally.add("not_told")
            return None
        return answer.payout if isinstance(answer, PayoutAnswer) else None

    def _judge(self, before: Payout, after: Payout, report: StatusReport, *, told: bool) -> None:
        if after.status is not before.status:
            self._tally.add("resolved")
        verdict = compare(after, report.finding, report.terms)
        if verdict is None or verdict.kind is None:
            self._count(before.provider, AGREES)
            return
        self._tally.differ(verdict.kind)
        self._engine.metrics.reconcile_checked.labels(before.provider, DIFFERS).inc()
        self._found_count += 1
        difference = Difference(
            kind=verdict.kind,
            transaction_id=after.transaction_id,
            ours=shown(after),
            theirs=_theirs(report),
            detail=verdict.detail if told else f"{verdict.detail} The engine could not be told.",
        )
        self._unsaved.append((self._found_count, difference))

    def _count(self, provider: str, verdict: str, count: int = 1) -> None:
        self._tally.add(verdict, count)
        self._engine.metrics.reconcile_checked.labels(provider, verdict).inc(count)

    # ---- keeping -----------------------------------------------------------------------------------

    async def _save(self, *, force: bool = False, state: str = "RUNNING") -> None:
        async with self._saving:
            now_s = self._runtime.scheduler.monotonic()
            if not force and now_s - self._saved_at_s < SAVE_EVERY_S:
                return
            differences, self._unsaved = self._unsaved, []
            alive = await self._reader.run(
                add_progress,
                self.report_id,
                figures=self._tally.figures(),
                differences=differences,
                state=state,
            )
            if not alive:
                raise GivenUp
            self._saved_at_s = now_s

    def _now(self) -> datetime:
        return self._runtime.scheduler.now()


def _theirs(report: StatusReport) -> dict[str, object]:
    terms = report.terms
    return {
        "finding": report.finding.value,
        "status": report.reason,
        "amount": terms.amount,
        "currency": terms.currency,
        "provider_ref": report.provider_ref,
        "answer": report.answer,
    }
