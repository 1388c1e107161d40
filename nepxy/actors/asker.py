"""One question of reconciliation to a provider: waits for a place like everybody else, asks once, and is gone.

An actor of its own, because a place is offered to whoever asked for it; and under a key of its own, so that it never
takes the place of the payout's actor.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog

from nepxy.actors.context import ProviderParts
from nepxy.actors.messages import SlotFreed, SlotOffered, SlotRefused, SlotResult, SlowDownProvider, WantSlot
from nepxy.engine.events import Work
from nepxy.engine.outcomes import Finding, StatusReport
from nepxy.engine.payout import Payout, TransactionId
from nepxy.engine.runtime import Cancellable, LoopActor, ReplyTo
from nepxy.errors import EngineBusy

log = structlog.get_logger("nepxy.reconcile")

WANT_AGAIN_S: Final = 20.0
"""The provider's actor may have been restarted, and forgotten who waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskProvider:
    """The run to an asker: ask now. Answered with a `StatusReport`, or None: no place came in time."""

    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    report: StatusReport


class Asker(LoopActor):
    """Asks about one payout."""

    kind = "asker"

    def __init__(
        self, *, payout: Payout, work: Work, parts: ProviderParts, wait_s: float, **kwargs: Any
    ) -> None:
        """Wait for `AskProvider`.

        Args:
            payout: as last committed.
            work: LOOKUP or POLL.
            parts: its provider's.
            wait_s: for how long a place is waited for.
        """
        super().__init__(**kwargs)
        self._payout = payout
        self._work = work
        self._parts = parts
        self._wait_s = wait_s
        self._key = TransactionId(f"reconcile/{payout.transaction_id}")
        self._reply_to: ReplyTo | None = None
        self._calling = False
        self._again: Cancellable | None = None

    def on_stop(self) -> None:
        """Stopped with the run: the place is free again."""
        if self._reply_to is not None:
            self._free(SlotResult.LOST if self._calling else SlotResult.UNUSED)

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        """Whoever waits need not wait for nothing."""
        if self._reply_to is not None:
            self._free(SlotResult.LOST)
            self._reply_to.fail(EngineBusy("the actor that asked died"))

    def on_receive(self, message: Any) -> None:
        """Handle one message."""
        match message:
            case AskProvider(reply_to=reply_to):
                self._reply_to = reply_to
                self._want()
                self.tell_later(self._wait_s, "too late")
            case SlotOffered():
                self._offered()
            case SlotRefused() | "too late":
                if not self._calling:
                    self._free(SlotResult.UNUSED)
                    self._answer(None)
            case "want":
                if not self._calling:
                    self._want()
            case _Ended(report=report):
                self._free(_slot_after(report))
                if report.retry_after_s is not None:
                    self._tell_provider(SlowDownProvider(retry_after_s=report.retry_after_s))
                self._answer(report)
            case _:
                raise TypeError(f"an asker does not take {type(message).__name__}")

    def _want(self) -> None:
        now: datetime = self.runtime.scheduler.now()
        # Due now: whatever the engine itself has to ask, and was due before, goes first.
        want = WantSlot(
            transaction_id=self._key, ref=self.actor_ref, work=self._work, due_at=now, created_at=now
        )
        self._tell_provider(want)
        self._again = self.tell_later(WANT_AGAIN_S, "want")

    def _offered(self) -> None:
        adapter = self._parts.adapter
        if self._calling or self._reply_to is None or adapter is None:
            if not self._calling:
                self._free(SlotResult.UNUSED)
            return
        self._calling = True
        call = adapter.look_up if self._work is Work.LOOKUP else adapter.poll
        self.pipe_to_self(
            call(self._payout),
            on_result=lambda report: _Ended(report=report),
            on_error=self._broke,
            name="reconcile-ask",
        )

    def _broke(self, error: BaseException) -> _Ended:
        log.error("adapter.failed", call=self._work.value, provider=self._parts.name, exc_info=error)
        report = StatusReport(
            finding=Finding.NO_ANSWER,
            reason="ADAPTER_FAILED",
            provider_failed=True,
            rule="an adapter raised",
        )
        return _Ended(report=report)

    def _free(self, result: SlotResult) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._tell_provider(SlotFreed(transaction_id=self._key, result=result))

    def _answer(self, report: StatusReport | None) -> None:
        reply_to, self._reply_to = self._reply_to, None
        if reply_to is not None:
            reply_to.tell(report)
        self.stop()

    def _tell_provider(self, message: Any) -> None:
        self.runtime.tell_or_dead_letter(self._parts.door.ref, message)


def _slot_after(report: StatusReport) -> SlotResult:
    """As for a payout's own question: an answer that is of no use to us says nothing of the provider's health."""
    if report.provider_failed:
        return SlotResult.FAILED
    return SlotResult.UNUSED if report.finding is Finding.NO_ANSWER else SlotResult.ANSWERED
