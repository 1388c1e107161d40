"""The provider actor: protects a provider and us. It grants places for calls; it never makes a call itself.

Whose turn it is, the gate decides (`engine/gate.py`); this is its shell: messages, timers, metrics, and the
pause, which holds here at once and follows in the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, assert_never, cast

import structlog
from pykka import ActorDeadError

from nepxy.actors.commands import BALANCE_UNKNOWN, CommandProvider, ProviderAnswer, ProviderCommand
from nepxy.actors.context import EngineParts
from nepxy.actors.messages import (
    DescribeProvider,
    PauseProvider,
    PauseStateLoaded,
    ProviderView,
    ResumeProvider,
    SlotFreed,
    SlotOffered,
    SlotRefused,
    SlotResult,
    SlowDownProvider,
    WantSlot,
)
from nepxy.actors.metrics import ProviderGauges
from nepxy.actors.provider_control import currency_of, refusal, values
from nepxy.actors.provider_state import PauseWish, ProviderState
from nepxy.actors.replies import fail_reply, reply
from nepxy.engine.breaker import BreakerState
from nepxy.engine.controls import NO_OVERRIDES, ProviderOverrides
from nepxy.engine.gate import Want
from nepxy.engine.outcomes import Shortfall
from nepxy.engine.payout import TransactionId
from nepxy.engine.runtime import Cancellable, LoopActor, ReplyTo
from nepxy.errors import NepXyError
from nepxy.providers.contract import Adapter, Balance, ReportsBalance
from nepxy.storage.controls import By, Controls

log = structlog.get_logger("nepxy.provider")

SAVE_AGAIN_S: Final = 1.0
SLOW_DOWN_S: Final = 5.0
SLOW_DOWN_S_MAX: Final = 300.0
REFUSED_RETRY_S: Final = 30.0
"""At least; up to twice as long, at random: those whom a dead provider keeps out must not keep the loop busy."""
HOLDERS_CHECK_S: Final = 10.0
PUMP_S_MIN: Final = 0.001
"""A clock's smallest useful step: a shorter wait could be rounded away, and the actor would turn for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _BalanceRead:
    balance: Balance | None
    """None: it could not be had, which says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ControlsSet:
    message: CommandProvider
    overrides: ProviderOverrides


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotSet:
    message: CommandProvider
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class _BalanceTold:
    message: CommandProvider
    balance: Balance | BaseException | None


class Answering:
    """Where a pause is told to whoever commanded it."""

    def __init__(self, reply_to: ReplyTo) -> None:
        """Answer this one."""
        self._reply_to = reply_to

    def tell(self, message: Any) -> None:
        """The pause or resume is in the database."""
        self._reply_to.tell(ProviderAnswer(provider=message))

    def fail(self, error: BaseException) -> None:
        """It will not be."""
        fail_reply(self._reply_to, error)


class ProviderActor(LoopActor):
    """One provider of this process."""

    kind = "provider"

    def __init__(
        self, *, state: ProviderState, parts: EngineParts, adapter: Adapter | None = None, **kwargs: Any
    ) -> None:
        """Go on with what is known; who waits asks again.

        Args:
            state: the provider's, as its actor before this one left it; only this actor writes it from now on.
            parts: what all actors share.
            adapter: asked for our balance, where it can tell, while the provider is paused for want of it.
        """
        super().__init__(**kwargs)
        self.actor_name = state.name
        self._memory = state
        self._gate = state.gate
        self._parts = parts
        self._gauges: ProviderGauges = parts.metrics.of_provider(state.name)
        self._gauges.follow(state, self.runtime.scheduler)
        self._saving = False
        self._load_may_be_old = False
        self._timer: Cancellable | None = None
        self._checking = False
        self._adapter = adapter
        self._looking_at_balance = False
        self._writing = 0
        """Commands that are being written: what is read meanwhile may be older."""

    def on_start(self) -> None:
        """Who waited at the actor before this one is told to ask again; what it left unsaved is saved."""
        self._gate.restarted()
        self._save()
        self._check_later()
        self._look_at_balance_later()

    def doing(self) -> str:
        """What an operator reads of it."""
        gate, state = self._gate, self._memory
        paused = f"paused ({state.paused_reason}); " if state.paused_reason is not None else ""
        return (
            f"{paused}{gate.held_count} of {gate.concurrency_max} places in use, {gate.waiting_count} wait, "
            f"breaker {gate.breaker_state.value}"
        )

    def next_at(self) -> datetime | None:
        """When it grants the next place, if it holds anybody back by time."""
        if not self._gate.waiting_count:
            return None
        wait_s = self._gate.wait_s(self._monotonic())
        if not 0 < wait_s < float("inf"):
            return None
        return self.runtime.scheduler.now() + timedelta(seconds=wait_s)

    def on_receive(self, message: Any) -> ProviderView | None:
        """Handle one message."""
        match message:
            case CommandProvider():
                self._command(message)
            case _ControlsSet(message=command, overrides=overrides):
                self._controls_set(command, overrides)
            case _NotSet(message=command, error=error):
                self._writing -= 1
                fail_reply(command.reply_to, error)
            case _BalanceTold(message=command, balance=NepXyError() as error):
                fail_reply(command.reply_to, error)
            case _BalanceTold(message=command, balance=told):
                reply(command.reply_to, self._balance_answer(told))
            case WantSlot():
                self._want(message)
            case SlotFreed(transaction_id=transaction_id, result=result):
                self._freed(transaction_id, result)
            case PauseProvider(reason=reason, who=who, shortfall=shortfall, reply_to=reply_to):
                self._set_paused(True, reason, who, reply_to, shortfall, message.by)
            case ResumeProvider(who=who, reply_to=reply_to):
                self._set_paused(False, "", who, reply_to, by=message.by)
            case PauseStateLoaded(paused=paused, shortfalls=shortfalls, controls=controls):
                name = self._memory.name
                self._loaded(paused.get(name), shortfalls.get(name), controls)
            case "balance":
                self._look_at_balance()
            case _BalanceRead(balance=balance):
                self._balance_read(balance)
            case SlowDownProvider(retry_after_s=retry_after_s):
                wait_s = min(retry_after_s if retry_after_s is not None else SLOW_DOWN_S, SLOW_DOWN_S_MAX)
                self._gate.pace.hold(self._monotonic(), wait_s)
                log.warning("provider.throttled", provider=self.actor_name, wait_s=wait_s)
            case DescribeProvider():
                return self._memory.view(self.runtime.scheduler)
            case "pump":
                self._timer = None
            case "check":
                self._check_holders()
            case "saved":
                self._saved()
            case "unsaved":
                self._saving = False
                self.tell_later(SAVE_AGAIN_S, "save")
            case "save":
                self._save()
            case _:
                raise TypeError(f"a provider does not take {type(message).__name__}")
        self._pump()
        return None

    # ---- places ------------------------------------------------------------------------------------

    def _want(self, want: WantSlot) -> None:
        taken = self._gate.want(
            Want(
                transaction_id=want.transaction_id,
                work=want.work,
                due_at=want.due_at,
                created_at=want.created_at,
                who=want.ref,
                again=want.again,
            )
        )
        if not taken:
            wait_s = REFUSED_RETRY_S * (1 + self._parts.dice.random())
            self.runtime.tell_or_dead_letter(want.ref, SlotRefused(work=want.work, retry_after_s=wait_s))

    def _pump(self) -> None:
        """Grant places while there are any."""
        while (want := self._gate.next(self._monotonic())) is not None:
            self._offer(want)
        if self._gate.waiting_count and self._gate.held_count < self._gate.concurrency_max:
            self._pump_later(self._gate.wait_s(self._monotonic()))
        self._check_later()

    def _offer(self, want: Want) -> None:
        try:
            want.who.tell(SlotOffered(work=want.work))
        except ActorDeadError:
            self._gate.unused(want.transaction_id, self._monotonic())
        else:
            self._gauges.grants[want.work].inc()

    def _freed(self, transaction_id: TransactionId, result: SlotResult) -> None:
        was, now_s = self._gate.breaker_state, self._monotonic()
        took_s = self._gate.held_for_s(transaction_id, now_s)
        if took_s is not None and result in (SlotResult.ANSWERED, SlotResult.FAILED):
            self._memory.calls.ended(now_s, took_s, answered=result is SlotResult.ANSWERED)
        match result:
            case SlotResult.ANSWERED:
                self._gate.answered(transaction_id, now_s)
            case SlotResult.FAILED:
                self._gate.failed(transaction_id, now_s)
            case SlotResult.UNUSED:
                self._gate.unused(transaction_id, now_s)
            case SlotResult.LOST:
                self._gate.lost(transaction_id, now_s)
            case _:
                assert_never(result)
        now = self._gate.breaker_state
        if now is not was and BreakerState.CLOSED in (now, was):
            log.warning("provider.breaker_changed", provider=self.actor_name, state=now.value)

    def _pump_later(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if 0 < wait_s < float("inf"):
            self._timer = self.tell_later(max(wait_s, PUMP_S_MIN), "pump")

    def _check_later(self) -> None:
        if self._gate.held_count and not self._checking:
            self._checking = True
            self.tell_later(HOLDERS_CHECK_S, "check")

    def _check_holders(self) -> None:
        """Take places back from the dead: an offer may have crossed with the end of the payout's actor."""
        self._checking = False
        for transaction_id, place in self._gate.places():
            if not place.who.is_alive():
                log.warning(
                    "provider.place_reclaimed", provider=self.actor_name, transaction_id=transaction_id
                )
                self._gauges.reclaimed.inc()
                self._gate.lost(transaction_id, self._monotonic())

    # ---- the pause ---------------------------------------------------------------------------------

    def _set_paused(
        self,
        paused: bool,
        reason: str,
        who: str,
        reply_to: ReplyTo | None,
        shortfall: Shortfall | None = None,
        by: By | None = None,
    ) -> None:
        state = self._memory
        replies = [] if reply_to is None else [reply_to]
        # Else the engine would lift, once there is money again, what was paused for something else meanwhile.
        is_engines = state.shortfall is not None or state.overrides.paused_by == "engine"
        takes_over = (
            paused and is_engines and shortfall is None and (who != "engine" or bool(state.shortfall))
        )
        if paused == (state.paused_reason is not None) and not takes_over:
            if state.unsaved:
                state.unsaved[-1].replies.extend(replies)
            else:
                self._answer(replies)
            return
        wish = PauseWish(paused=paused, reason=reason, who=who, shortfall=shortfall, by=by, replies=replies)
        state.wish(wish, self.runtime.scheduler.now())
        event = "provider.paused" if paused else "provider.resumed"
        log.warning(event, provider=self.actor_name, reason=reason, who=who)
        if paused and shortfall is not None:
            # Somebody has to pay in: nothing else brings it back.
            log.error(
                "provider.short_of_balance",
                provider=self.actor_name,
                amount=shortfall.amount,
                currency=shortfall.currency,
                resumes_by_itself=state.tells_balance,
            )
        self._save()
        self._look_at_balance_later()

    def _save(self) -> None:
        """Save the oldest unsaved wish; one at a time, so that the database sees them in their order."""
        if self._saving or not self._memory.unsaved:
            return
        self._saving = True
        wish = self._memory.unsaved[0]
        self.pipe_to_self(
            self._parts.store.set_paused(
                self._memory.name,
                paused=wish.paused,
                reason=wish.reason,
                who=wish.who,
                shortfall=wish.shortfall,
                by=wish.by,
            ),
            on_result=lambda _: "saved",
            on_error=lambda _: "unsaved",
            name="provider-save-pause",
        )

    def _saved(self) -> None:
        self._saving = False
        # What is being read just now may have been read before this was written.
        self._load_may_be_old = True
        wish = self._memory.unsaved.popleft()
        self._answer(wish.replies)
        self._save()

    def _answer(self, replies: list[ReplyTo]) -> None:
        view = self._memory.view(self.runtime.scheduler)
        for reply_to in replies:
            reply_to.tell(view)

    def _loaded(self, reason: str | None, shortfall: Shortfall | None, controls: Controls | None) -> None:
        """What the database says holds for every node; except for what this one has not saved yet."""
        old, self._load_may_be_old = self._load_may_be_old, False
        if self._memory.unsaved or self._writing:
            return
        if controls is not None and not old:
            self._override(controls.providers.get(self._memory.name, NO_OVERRIDES))
        if (reason is None) != (self._memory.paused_reason is None):
            if old:
                return
            event = "provider.resumed" if reason is None else "provider.paused"
            log.warning(event, provider=self.actor_name, reason=reason or "")
        elif old and shortfall != self._memory.shortfall:
            return
        self._memory.pause(reason, shortfall)
        self._look_at_balance_later()

    # ---- commands ----------------------------------------------------------------------------------

    def _command(self, message: CommandProvider) -> None:
        state, by, reply_to = self._memory, message.by, message.reply_to
        refused = refusal(state, message)
        if refused is not None:
            answer = ProviderAnswer(
                provider=state.view(self.runtime.scheduler),
                answer=refused.answer,
                field=refused.field,
                problem=refused.problem,
            )
            reply(reply_to, answer)
        elif message.command in (ProviderCommand.PAUSE, ProviderCommand.RESUME):
            pauses = message.command is ProviderCommand.PAUSE
            answered = None if reply_to is None else Answering(reply_to)
            self._set_paused(pauses, by.reason if pauses else "", by.who, answered, by=by)
        elif message.command is ProviderCommand.CHECK_BALANCE:
            self._check_balance(message)
        else:
            self._set_controls(message)

    def _set_controls(self, message: CommandProvider) -> None:
        """In the database first: what is answered holds on every node, and after a restart."""
        self._writing += 1
        self.pipe_to_self(
            self._parts.store.set_overrides(
                self._memory.name, message.command.value, values(message), message.by
            ),
            on_result=lambda overrides: _ControlsSet(message=message, overrides=overrides),
            on_error=lambda error: _NotSet(message=message, error=error),
            name="provider-set-controls",
        )

    def _controls_set(self, message: CommandProvider, overrides: ProviderOverrides) -> None:
        self._writing -= 1
        self._load_may_be_old = True
        log.warning(
            "provider.controlled",
            provider=self.actor_name,
            command=message.command.value,
            who=message.by.who,
            reason=message.by.reason,
        )
        self._override(overrides)
        reply(message.reply_to, ProviderAnswer(provider=self._memory.view(self.runtime.scheduler)))

    def _override(self, overrides: ProviderOverrides) -> None:
        self._memory.override(overrides, self._monotonic())

    def _check_balance(self, message: CommandProvider) -> None:
        """Outside the actor's turn, and past the gate: one question that a person asks."""
        state, store, adapter = self._memory, self._parts.store, cast(ReportsBalance, self._adapter)
        currency = currency_of(state, message) or ""

        async def ask() -> Balance | None:
            balance = await adapter.balance(currency)
            told = {"amount": balance.amount if balance else None, "currency": currency}
            await store.note_command(f"providers/{state.name}", message.command.value, message.by, told)
            return balance

        self.pipe_to_self(
            ask(),
            on_result=lambda balance: _BalanceTold(message=message, balance=balance),
            on_error=lambda error: _BalanceTold(message=message, balance=error),
            name="provider-check-balance",
        )

    def _balance_answer(self, balance: Balance | BaseException | None) -> ProviderAnswer:
        view = self._memory.view(self.runtime.scheduler)
        if isinstance(balance, Balance):
            self._parts.metrics.balance_read(self._memory.name, balance.currency, balance.amount)
            return ProviderAnswer(provider=view, balance=balance)
        if balance is not None:
            log.error("adapter.failed", call="balance", provider=self.actor_name, exc_info=balance)
        problem = f"{self._memory.name} did not tell our balance, which says nothing about it"
        return ProviderAnswer(provider=view, answer=BALANCE_UNKNOWN, problem=problem)

    # ---- for want of money -------------------------------------------------------------------------

    def _look_at_balance_later(self) -> None:
        waits = self._memory.shortfall is not None and self._memory.tells_balance
        if waits and self._adapter is not None and not self._looking_at_balance:
            self._looking_at_balance = True
            self.tell_later(self._parts.balance_check_s, "balance")

    def _look_at_balance(self) -> None:
        shortfall = self._memory.shortfall
        if shortfall is None or self._adapter is None:
            self._looking_at_balance = False
            return

        def broke(error: BaseException) -> _BalanceRead:
            log.error("adapter.failed", call="balance", provider=self.actor_name, exc_info=error)
            return _BalanceRead(balance=None)

        self.pipe_to_self(
            cast(ReportsBalance, self._adapter).balance(shortfall.currency),
            on_result=lambda balance: _BalanceRead(balance=balance),
            on_error=broke,
            name="provider-balance",
        )

    def _balance_read(self, balance: Balance | None) -> None:
        self._looking_at_balance = False
        shortfall = self._memory.shortfall
        if balance is not None:
            self._parts.metrics.balance_read(self._memory.name, balance.currency, balance.amount)
        if shortfall is None:
            return
        if balance is None or balance.currency != shortfall.currency:
            log.warning("provider.balance_unknown", provider=self.actor_name, currency=shortfall.currency)
        elif balance.amount >= shortfall.amount:
            # Names the shortfall: in the database, too, it lifts this pause and no other.
            self._set_paused(False, "", "engine", None, shortfall)
        self._look_at_balance_later()

    def _monotonic(self) -> float:
        return self.runtime.scheduler.monotonic()
