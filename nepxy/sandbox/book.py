"""The orders that a provider accepted, and what becomes of them in time.

The one place that changes an order's status or moves money. Each change is first written to the history, then made,
then told. Speaks no provider's protocol: what a notice looks like on the wire is the provider's module's affair.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from nepxy.sandbox.history import History
from nepxy.sandbox.ledger import Ledger, Movement
from nepxy.sandbox.magic import BY_NAME, SUCCESS
from nepxy.sandbox.script import Notice, Script, Status, Step
from nepxy.sandbox.webhooks import Delivery

FAILURE_MESSAGE = "PAYEE_LIMIT_REACHED"


@dataclass(slots=True, kw_only=True)
class Order:
    """One acceptance; a reference that is paid twice has two of them."""

    provider: str
    provider_ref: str
    external_id: str
    msisdn: str
    amount: int
    """Minor units of `currency`."""
    currency: str
    script: Script
    nth: int
    """Which acceptance of its reference this is, from 1."""
    accepted_at_s: float
    """Unix time."""
    status: Status = Status.PENDING
    steps_taken: int = 0
    kept: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What its protocol needs later and nobody else does; JSON, because the history keeps it."""

    @property
    def message(self) -> str | None:
        """Why it failed; None unless it has."""
        return FAILURE_MESSAGE if self.status is Status.FAILED else None


Notify = Callable[[Order, Notice], list[Delivery]]
"""Puts one notice on the wire; returns at once, with no delivery if nothing is sent and several for copies."""


class Book:
    """All orders of all providers. Use only from the event loop's thread."""

    def __init__(self, *, settle_delay_s: float, seed: int, ledger: Ledger, history: History) -> None:
        self._settle_delay_s = settle_delay_s
        self._seed = seed
        self._ledger = ledger
        self._history = history
        self._notify: dict[str, Notify] = {}
        self._by_provider_ref: dict[tuple[str, str], Order] = {}
        self._latest: dict[tuple[str, str], Order] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self.pending_count = 0
        """Orders without a final status, the ones that are stuck for ever included."""

    @property
    def settling_count(self) -> int:
        """Orders to which something will still happen; at 0 the ledger is at rest."""
        return len(self._timers)

    def on_notice(self, provider: str, notify: Notify) -> None:
        """Registers who puts a provider's notices on the wire; call before any order is accepted."""
        self._notify[provider] = notify

    def find(self, provider: str, provider_ref: str) -> Order | None:
        """The order with the provider's own reference."""
        return self._by_provider_ref.get((provider, provider_ref))

    def latest(self, provider: str, external_id: str) -> Order | None:
        """The newest order under the client's reference."""
        return self._latest.get((provider, external_id))

    def accept(
        self,
        *,
        provider: str,
        external_id: str,
        msisdn: str,
        amount: int,
        currency: str,
        script: Script,
        kept: Mapping[str, Any] | None = None,
    ) -> tuple[Order, list[Delivery]]:
        """Takes up an order and plans its course; `kept` stays with it, and in the history.

        Returns:
            The order, and the webhooks that must have been tried before the submit is answered.

        Raises:
            OSError: the history could not be written; then nothing has happened.
        """
        earlier = self.latest(provider, external_id)
        nth = earlier.nth + 1 if earlier is not None else 1
        order = Order(
            provider=provider,
            provider_ref=self._new_provider_ref(provider, external_id, nth),
            external_id=external_id,
            msisdn=msisdn,
            amount=amount,
            currency=currency,
            script=script,
            nth=nth,
            accepted_at_s=time.time(),
            kept=kept or {},
        )
        self._history.append(
            {
                "kind": "accepted",
                "provider": provider,
                "provider_ref": order.provider_ref,
                "external_id": external_id,
                "msisdn": msisdn,
                "amount": amount,
                "currency": currency,
                "script": script.name,
                "nth": nth,
                "at_s": order.accepted_at_s,
                "kept": order.kept,
            }
        )
        self._add(order)
        before_reply: list[Delivery] = []
        while (step := self._next_step(order)) is not None and step.after == 0.0:
            before_reply += self._take(order, step)
        self._plan(order)
        return order, before_reply

    def restore(self, record: dict[str, Any]) -> None:
        """Makes again, without telling anybody, a change that the history remembers."""
        if record["kind"] == "accepted":
            self._add(
                Order(
                    provider=record["provider"],
                    provider_ref=record["provider_ref"],
                    external_id=record["external_id"],
                    msisdn=record["msisdn"],
                    amount=record["amount"],
                    currency=record["currency"],
                    script=BY_NAME.get(record["script"], SUCCESS),
                    nth=record["nth"],
                    accepted_at_s=record["at_s"],
                    kept=record.get("kept", {}),
                )
            )
        else:
            order = self._by_provider_ref[record["provider"], record["provider_ref"]]
            status = Status(record["status"]) if record["status"] else None
            self._apply(order, status, record["at_s"])

    def resume(self) -> None:
        """Plans what is still to happen to restored orders; what fell due meanwhile happens at once."""
        for order in self._by_provider_ref.values():
            self._plan(order)

    def close(self) -> None:
        """Stops time: no further step is taken."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _add(self, order: Order) -> None:
        self._by_provider_ref[order.provider, order.provider_ref] = order
        self._latest[order.provider, order.external_id] = order
        self.pending_count += 1
        self._ledger.accepted(order.external_id)

    def _next_step(self, order: Order) -> Step | None:
        course = order.script.course
        return course[order.steps_taken] if order.steps_taken < len(course) else None

    def _plan(self, order: Order) -> None:
        step = self._next_step(order)
        key = (order.provider, order.provider_ref)
        if step is None:
            self._timers.pop(key, None)
            return
        due_s = order.accepted_at_s + step.after * self._settle_delay_s
        self._timers[key] = asyncio.get_running_loop().call_later(
            max(0.0, due_s - time.time()), self._on_due, order, step
        )

    def _on_due(self, order: Order, step: Step) -> None:
        self._take(order, step)
        self._plan(order)

    def _take(self, order: Order, step: Step) -> list[Delivery]:
        now_s = time.time()
        moves = step.becomes is Status.SUCCESS
        self._history.append(
            {
                "kind": "moved" if moves else "step",
                "provider": order.provider,
                "provider_ref": order.provider_ref,
                "external_id": order.external_id,
                "amount": order.amount,
                "currency": order.currency,
                "status": step.becomes,
                "at_s": now_s,
            }
        )
        self._apply(order, step.becomes, now_s)
        notify = self._notify[order.provider]
        return [delivery for notice in step.notices for delivery in notify(order, notice)]

    def _apply(self, order: Order, status: Status | None, now_s: float) -> None:
        order.steps_taken += 1
        if status is None:
            return
        if order.status is Status.PENDING:
            self.pending_count -= 1
        order.status = status
        if status is Status.SUCCESS:
            self._ledger.moved(
                Movement(
                    provider=order.provider,
                    external_id=order.external_id,
                    provider_ref=order.provider_ref,
                    msisdn=order.msisdn,
                    amount=order.amount,
                    currency=order.currency,
                    moved_at_s=now_s,
                )
            )

    def _new_provider_ref(self, provider: str, external_id: str, nth: int) -> str:
        # Derived, not counted: a sandbox that forgot everything must not give an old payout's reference to a new one.
        source = f"{self._seed}\x1f{provider}\x1f{external_id}\x1f{nth}".encode()
        return provider[:2].upper() + blake2b(source, digest_size=10).hexdigest().upper()
