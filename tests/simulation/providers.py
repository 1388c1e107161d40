"""Mobile-money providers as the world sees them: what reached them, what they paid, and every way to be told wrongly.

`SimProvider` is the truth: it never crashes, keeps every reference by its contract, moves money, sends webhooks.
`SimAdapter` is how one process reaches it, over a network that loses, delays and repeats. What left a process
goes on without it: a request arrives although its sender died, and its answer then finds nobody.

A provider lies only where a transfer says so (`contradicted`, `misreported`); whatever else is false, a forged
hint, may never settle anything. All chance is the world's, so that a seed replays.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any, Final, Protocol, TypeVar, assert_never

import orjson

from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.outcomes import (
    NO_TERMS,
    Finding,
    Outcome,
    OutcomeClass,
    ReportedTerms,
    Shortfall,
    StatusReport,
)
from nepxy.engine.payout import Payout, ProviderRef
from nepxy.engine.runtime.scheduler import Cancellable
from nepxy.errors import WebhookRefused
from nepxy.providers.contract import Balance, Notice, SendGuard
from nepxy.storage.writes import WebhookRow
from tests.simulation.kernel import Node, World

T = TypeVar("T")

Span = tuple[float, float]
"""At least and at most so many seconds."""

WEBHOOK_TIMEOUT_S: Final = 10.0
"""How long a provider waits for the answer to a webhook before it counts it as failed."""
WEBHOOK_AGAIN_S: Final[Span] = (5.0, 90.0)
CALM_WITHIN_S: Final = 120.0
"""After `calm`, whatever is still in flight settles within this time."""

FAULTS: Final = (
    "connect_slow",
    "not_sent",
    "reset_before",
    "vanished",
    "late_arrival",
    "error_before",
    "reset_after",
    "error_after",
    "answer_late",
    "arrives_twice",
    "blocked",
    "short",
    "short_later",
    "throttled",
    "read_fails",
    "settle_slow",
    "webhook_slow",
    "webhook_lost",
    "webhook_twice",
    "webhook_answer_lost",
    "hint_lies",
    "contradicts",
    "wrong_terms",
    "reverses",
)
"""Habits that are faults: `Habits.quiet` has none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a provider and the way to it behave: probabilities in [0, 1], unless named `_s`. By default, well."""

    connect_s: Span = (0.001, 0.1)
    connect_slow: float = 0.0
    """Waiting for a connection takes `connect_slow_s` instead, so that the send window may pass."""
    connect_slow_s: Span = (2.0, 9.0)
    not_sent: float = 0.0
    """The connection is refused: nothing leaves the process."""

    travel_s: Span = (0.01, 0.5)
    timeout_s: float = 20.0
    """Ours, for a whole call."""
    reset_before: float = 0.0
    """The connection breaks, and the request never arrives."""
    vanished: float = 0.0
    """The request never arrives, and nobody says so: our time-out."""
    late_arrival: float = 0.0
    """The request arrives `late_s` after our time-out."""
    late_s: Span = (1.0, 600.0)
    error_before: float = 0.0
    """A 5xx, and nothing was processed."""
    reset_after: float = 0.0
    """It is processed, and the connection breaks."""
    error_after: float = 0.0
    """It is processed, and the answer is a 5xx or cannot be read."""
    answer_late: float = 0.0
    """It is processed, and the answer comes after our time-out."""
    arrives_twice: float = 0.0
    """Something on the way repeats the request; only where the contract makes that harmless."""

    confirmed_at_once: float = 0.0
    """Paid within the call, instead of later."""
    rejected: float = 0.0
    """Refused within the call, for good under this reference."""
    forgets_refused: float = 0.0
    """Of a refusal nothing is kept: a look-up finds nothing, and the reference counts as unused."""
    unpaid: float = 0.0
    """Accepted, and ends unpaid."""
    new_reference: float = 0.5
    """A refusal, or an end unpaid, says that a new attempt may succeed."""
    blocked: float = 0.0
    """The provider blocks the account, from this request on until somebody calls `unblock`."""
    short: float = 0.0
    """What we hold there does not suffice from this request on, for `short_s`."""
    short_later: float = 0.0
    """Of those accepted: ends unpaid because what we hold there does not suffice, for `short_s`."""
    short_s: Span = (30.0, 300.0)
    throttled: float = 0.0
    throttled_proven: float = 0.5
    """Of those throttled: provably turned away unread."""
    throttled_yet_taken: float = 0.3
    """Of those throttled without proof: processed all the same."""
    settle_s: Span = (0.0, 90.0)
    settle_slow: float = 0.0
    settle_slow_s: Span = (600.0, 20_000.0)
    lookup_lag_s: Span = (0.0, 20.0)
    """How long a look-up or poll does not see what has arrived; below the contract's `absent_counts_after_s`."""
    accepts_without_ref: float = 0.0
    """The answer to a submit does not name the provider's own reference."""
    echoes_ours: float = 0.0
    """The answer to a submit gives our own reference back, where every later word names the provider's."""
    tells_refusals: float = 0.0
    """A refusal that is kept also sends a webhook: it may arrive after the next attempt."""
    ref_is_ours: float = 0.0
    """The provider calls it by our reference."""
    blind_to_ours: bool = False
    """A question by our reference is answered "no such reference", always."""
    says_unpaid: bool = True
    """A question about what ended unpaid is answered so; else the answer says nothing."""
    reports_terms: float = 0.7
    """An answer repeats amount, currency and number."""
    read_fails: float = 0.0
    """A look-up or poll is not answered, or with an error."""

    outage_every_s: float = 0.0
    """Mean time between outages; 0: none."""
    outage_s: Span = (30.0, 900.0)

    tells_in_flight: float = 0.3
    """A webhook says "in flight" as soon as a request is accepted, mostly before its own answer is back."""
    webhook_s: Span = (0.0, 3.0)
    webhook_slow: float = 0.0
    webhook_slow_s: Span = (30.0, 1_800.0)
    webhook_lost: float = 0.0
    """Never sent at all."""
    webhook_twice: float = 0.0
    webhook_answer_lost: float = 0.0
    """Our 200 does not get back, so that it is sent again."""
    webhook_tries_max: int = 6
    hint_lies: float = 0.0
    """Besides a hint comes a forged one, which says anything."""

    contradicts: float = 0.0
    """The provider says, with its signature or by what it does, that a transfer is both paid and unpaid."""
    wrong_terms: float = 0.0
    """Another amount is reported than was received and paid."""
    reverses: float = 0.0
    """A paid transfer is taken back; only where the contract says so."""
    reverse_s: Span = (10.0, 3_600.0)

    def quiet(self) -> Habits:
        """The same provider, without faults."""
        off: dict[str, Any] = dict.fromkeys(FAULTS, 0.0)
        return replace(self, outage_every_s=0.0, **off)

    @classmethod
    def drawn(cls, rng: Random, *, worst: float = 0.15) -> Habits:
        """Some faults and not others, each more or less often: a run in which all happen at once hides most of them.

        Args:
            rng: the world's.
            worst: the highest probability that a fault gets.
        """
        faults: dict[str, Any] = {
            name: rng.uniform(0.01, worst) if rng.random() < 0.5 else 0.0 for name in FAULTS
        }
        for name in ("contradicts", "wrong_terms", "blocked"):
            # Each of these spoils many payouts for the stricter checks, or stops all of a provider's.
            faults[name] /= 5
        # Hints are rare among webhooks, and a forged one must find its payout unsettled.
        faults["hint_lies"] = rng.choice((0.0, 0.6))
        return cls(
            confirmed_at_once=rng.choice((0.0, 0.1, 0.8)),
            rejected=rng.choice((0.0, 0.1, 0.3)),
            forgets_refused=rng.choice((0.0, 1.0)),
            unpaid=rng.choice((0.0, 0.1, 0.4)),
            new_reference=rng.choice((0.0, 0.5, 1.0)),
            settle_s=rng.choice(((0.0, 1.0), (0.0, 90.0), (60.0, 600.0))),
            lookup_lag_s=rng.choice(((0.0, 0.0), (0.0, 20.0), (5.0, 120.0))),
            accepts_without_ref=rng.choice((0.0, 0.0, 0.3)),
            echoes_ours=rng.choice((0.0, 0.0, 0.5)),
            tells_refusals=rng.choice((0.0, 0.5)),
            ref_is_ours=rng.choice((0.0, 0.0, 1.0)),
            outage_every_s=rng.choice((0.0, 0.0, 1_800.0)),
            tells_in_flight=rng.choice((0.0, 0.5)),
            **faults,
        )


class State(StrEnum):
    """What truly became of a transfer."""

    IN_FLIGHT = "in_flight"
    PAID = "paid"
    UNPAID = "unpaid"
    REVERSED = "reversed"


FINDINGS: Final[Mapping[State, Finding]] = {
    State.IN_FLIGHT: Finding.IN_FLIGHT,
    State.PAID: Finding.PAID,
    State.UNPAID: Finding.UNPAID,
    State.REVERSED: Finding.REVERSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A submit as it left a process."""

    reference: str
    attempt: int
    amount: int
    currency: str
    phone_e164: str
    account: str
    node: str
    sent_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money that left the provider, once."""

    reference: str
    provider_ref: str
    at: datetime
    amount: int
    currency: str
    phone_e164: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the first steps of a submit in steps have left: it moves no money until the last one."""

    request: Request
    provider_ref: str
    visible_at: datetime


@dataclass(slots=True, kw_only=True)
class Transfer:
    """One request that the provider has taken, or refused and kept."""

    request: Request
    provider_ref: str
    state: State
    received_at: datetime
    visible_at: datetime
    """When look-ups and polls begin to see it."""
    will_pay: bool
    retry_with_new_reference: bool
    terms: ReportedTerms
    short_of: Shortfall | None = None
    """It ends unpaid because we do not hold this there."""
    answer: Outcome | None = None
    """What its submit was answered, for those that replay."""
    settled_at: datetime | None = None
    reversed_at: datetime | None = None
    contradicted: str = ""
    """How the provider contradicts itself about it; empty: it does not."""
    misreported: bool = False
    """Whether the provider reports other terms than it received."""
    timer: Cancellable | None = None


class Outage(StrEnum):
    """How a provider is away."""

    REFUSES = "refuses"
    """No connection."""
    ERRORS = "errors"
    """5xx before anything is processed."""
    SILENT = "silent"
    """Nothing arrives, nothing is answered."""


class DeliverWebhook(Protocol):
    """The way of a webhook to whichever process answers; `on_answer` is called at most once, or never."""

    def __call__(
        self, webhook: WebhookRow, report: StatusReport, trusted: bool, on_answer: Callable[[bool], None], /
    ) -> None:
        """Hand it over. `on_answer(True)` means: stored."""


class SimProvider:
    """One provider: its ledger, its contract, its faults."""

    def __init__(
        self,
        world: World,
        name: str,
        capabilities: Capabilities,
        habits: Habits | None = None,
        *,
        account: str = "account-1",
        in_steps: bool = False,
        deliver: DeliverWebhook | None = None,
        on_send: Callable[[Payout, str], None] | None = None,
    ) -> None:
        """Open it.

        Args:
            world: time and chance.
            name: `TMONEY` and the like.
            capabilities: the contract that it declares, and keeps.
            habits: how it behaves besides; None: well.
            account: fingerprint of the account that adapters use, unless they are given another.
            in_steps: a submit takes three writes (a quotation, a draft, its confirmation), and only the last one
                moves money; each may be repeated, and goes on with what is there.
            deliver: where webhooks go; None: nowhere, until it is set.
            on_send: called with the payout as its actor held it, at the moment at which a write of a submit leaves a
                process, and with the step that it is; it must not raise, because the adapter's caller would take
                that for an unknown outcome.
        """
        self.world = world
        self.name = name
        self.capabilities = capabilities
        self.habits = habits or Habits()
        self.account = account
        self.in_steps = in_steps
        self.deliver = deliver
        self.on_send = on_send
        self.blocked = False
        self.short_until: datetime | None = None
        """Until when what we hold there does not suffice."""
        self.outage: Outage | None = None
        self.is_calm = False
        self.injected: Counter[str] = Counter()
        """How often each fault was injected."""
        self.sends: list[Request] = []
        """Every submit that left a process, whether it arrived or not."""
        self.transfers: list[Transfer] = []
        self.payments: list[Payment] = []
        self.violations: list[str] = []
        """What the engine did although the contract forbids it."""
        self._by_reference: dict[str, list[Transfer]] = {}
        self._by_provider_ref: dict[str, Transfer] = {}
        self._drafts: dict[str, Draft] = {}
        self._drafts_by_provider_ref: dict[str, Draft] = {}
        self._contradicted: dict[str, str] = {}
        self._lies: list[Cancellable] = []
        self._on_the_way = 0
        self._outage_timer: Cancellable | None = None
        if self.habits.lookup_lag_s[1] >= capabilities.absent_counts_after_s:
            raise ValueError("a look-up may not lag for as long as the contract's absent_counts_after_s")
        self._plan_outage()

    # ---- what the checks ask -----------------------------------------------------------------------

    def truth(self, reference: str) -> State | None:
        """What truly became of a reference; None: it never arrived, or was refused and forgotten."""
        states = [transfer.state for transfer in self._by_reference.get(reference, ())]
        for state in (State.PAID, State.REVERSED, State.IN_FLIGHT, State.UNPAID):
            if state in states:
                return state
        return None

    def reference_of(self, provider_ref: str | None, our_ref: str | None) -> str | None:
        """Which of our references a webhook speaks of; None: it was never taken."""
        transfer = self._by_provider_ref.get(provider_ref) if provider_ref is not None else None
        if transfer is not None:
            return transfer.request.reference
        return our_ref if our_ref in self._by_reference else None

    def payments_of(self, *references: str) -> list[Payment]:
        """The money that left under any of these references."""
        return [payment for payment in self.payments if payment.reference in references]

    def contradicted(self, reference: str) -> str:
        """How the provider contradicted itself about a reference; empty: it did not."""
        return self._contradicted.get(reference, "")

    def misreported(self, reference: str) -> bool:
        """Whether it reports other terms for a reference than it received."""
        return any(transfer.misreported for transfer in self._by_reference.get(reference, ()))

    @property
    def is_settled(self) -> bool:
        """Whether nothing is still in flight here, or on its way here."""
        return self._on_the_way == 0 and all(
            transfer.state is not State.IN_FLIGHT for transfer in self.transfers
        )

    # ---- what operators and the end of a run do ----------------------------------------------------

    def unblock(self) -> None:
        """The operator put right what the account was blocked for."""
        self.blocked = False

    def calm(self) -> None:
        """No faults from now on; what is in flight settles within `CALM_WITHIN_S`.

        Requests that are late already still arrive, and webhooks that were lost for good stay lost.
        """
        self.is_calm = True
        self.habits = self.habits.quiet()
        self.blocked = False
        self.short_until = None
        self.outage = None
        for planned in (self._outage_timer, *self._lies):
            if planned is not None:
                planned.cancel()
        for transfer in self.transfers:
            if transfer.state is State.IN_FLIGHT:
                self._settle_later(transfer, self.world.rng.uniform(0, CALM_WITHIN_S))

    def tell_again(self) -> None:
        """Send the webhook of every settled transfer once more, as a provider's support does when asked."""
        for transfer in self.transfers:
            if transfer.state is not State.IN_FLIGHT:
                self._tell(transfer, FINDINGS[transfer.state])

    @property
    def is_short(self) -> bool:
        """Whether what we hold there does not suffice now."""
        return self.short_until is not None and self.world.now() < self.short_until

    # ---- requests ----------------------------------------------------------------------------------

    def write(self, act: Callable[[], T], reply: Callable[[T | None], None]) -> None:
        """An earlier write of a submit in steps leaves a process; the way is as bad as for the last one.

        Answered with None where nobody can tell what became of it.
        """
        there_s, back_s = self.within(self.habits.travel_s), self.within(self.habits.travel_s)
        if self.outage is Outage.SILENT:
            return
        fate = "error_before" if self.outage is not None else self._fate()

        def arrive() -> None:
            done = act()
            if fate == "late_arrival":
                return
            told = None if fate in ("reset_after", "error_after") else done
            late_s = self.habits.timeout_s if fate == "answer_late" else 0.0
            self.world.call_later(back_s + late_s, lambda: reply(told))

        match fate:
            case "vanished":
                pass
            case "reset_before" | "error_before":
                self.world.call_later(there_s, lambda: reply(None))
            case "late_arrival":
                self.world.call_later(self.habits.timeout_s + self.within(self.habits.late_s), arrive)
            case _:
                self.world.call_later(there_s, arrive)

    def quote(self) -> str:
        """The first write of a submit in steps: nothing hangs on it."""
        return "quoted"

    def draft(self, request: Request) -> str:
        """The second: what there is under this reference, or something new; its name."""
        known = self._drafts.get(request.reference)
        if known is not None:
            self.injected["repeated_draft"] += 1
            return known.provider_ref
        seen_in_s = self.within(self.habits.lookup_lag_s)
        draft = Draft(
            request=request,
            provider_ref=f"{self.name}-d{len(self._drafts) + 1}",
            visible_at=self.world.now() + timedelta(seconds=seen_in_s),
        )
        self._drafts[request.reference] = self._drafts_by_provider_ref[draft.provider_ref] = draft
        if (
            self.world.chance(self.habits.tells_in_flight)
            and self.capabilities.webhooks is not WebhookTrust.NONE
        ):
            self._post_later(
                {
                    "status": Finding.UNFINISHED.value,
                    "provider_ref": draft.provider_ref,
                    "our_ref": request.reference,
                }
            )
        return draft.provider_ref

    def send(self, request: Request, reply: Callable[[Outcome], None]) -> None:
        """A submit leaves a process; whatever happens to that process, it is on its way."""
        self.sends.append(request)
        if self.outage is not None:
            self._during_outage(reply)
            return
        match self._fate():
            case "reset_before":
                self._reply_later(reply, _unknown("CONNECTION_LOST"))
            case "vanished":
                pass
            case "late_arrival":
                late_s = self.habits.timeout_s + self.within(self.habits.late_s)
                self._arrive_later(request, lambda _: None, there_s=late_s)
            case "error_before":
                self._reply_later(reply, _unknown("HTTP_503"))
            case "reset_after":
                self._arrive_later(request, lambda _: reply(_unknown("CONNECTION_LOST")))
            case "error_after":
                garbled = self.world.rng.choice(("HTTP_500", "HTTP_502", "ANSWER_UNREADABLE"))
                self._arrive_later(request, lambda _: reply(_unknown(garbled)))
            case "answer_late":
                self._arrive_later(request, reply, back_s=self.habits.timeout_s)
            case _:
                self._arrive_later(request, reply)

    def _fate(self) -> str:
        """At most one fault of the way, the same for all submits."""
        habits = self.habits
        fates = (
            ("reset_before", habits.reset_before),
            ("vanished", habits.vanished),
            ("late_arrival", habits.late_arrival),
            ("error_before", habits.error_before),
            ("reset_after", habits.reset_after),
            ("error_after", habits.error_after),
            ("answer_late", habits.answer_late),
        )
        return next((name for name, probability in fates if self.happens(name, probability)), "")

    def _during_outage(self, reply: Callable[[Outcome], None]) -> None:
        """A connection that was there already breaks; nothing is processed."""
        self.injected["sent_in_outage"] += 1
        match self.outage:
            case Outage.REFUSES:
                self._reply_later(reply, _unknown("CONNECTION_LOST"))
            case Outage.ERRORS:
                self._reply_later(reply, _unknown("HTTP_503"))
            case Outage.SILENT | None:
                pass
            case _:
                assert_never(self.outage)

    def _reply_later(self, reply: Callable[[Outcome], None], outcome: Outcome) -> None:
        self.world.call_later(self.within(self.habits.travel_s), lambda: reply(outcome))

    def _arrive_later(
        self,
        request: Request,
        reply: Callable[[Outcome], None],
        *,
        there_s: float | None = None,
        back_s: float = 0.0,
    ) -> None:
        """Let it arrive after `there_s` (None: as usual), and its answer set out `back_s` later than usual."""
        self._on_the_way += 1

        def arrive() -> None:
            self._on_the_way -= 1
            outcome = self.arrive(request)
            self.world.note(
                f"{self.name} gets {request.reference} #{request.attempt} of {request.node}: {outcome.kind}"
            )
            self.world.call_later(back_s + self.within(self.habits.travel_s), lambda: reply(outcome))

        self.world.call_later(self.within(self.habits.travel_s) if there_s is None else there_s, arrive)

    def arrive(self, request: Request) -> Outcome:
        """The request is here: what the provider does with it, and what it would answer."""
        habits = self.habits
        if self.happens("throttled", habits.throttled):
            if self.happens("throttled_proven", habits.throttled_proven):
                return self._throttled(proven=True)
            if self.happens("throttled_yet_taken", habits.throttled_yet_taken):
                self._process(request)
            return self._throttled(proven=False)
        if self.blocked or self.happens("blocked", habits.blocked):
            self.blocked = True
            return Outcome(kind=OutcomeClass.BLOCKED, reason="ACCOUNT_BLOCKED", rule="sim: blocked")
        known = request.reference in self._by_reference
        if not known and (self.is_short or self.happens("short", habits.short)):
            return Outcome(
                kind=OutcomeClass.BLOCKED,
                reason="NOT_ENOUGH_FUNDS",
                shortfall=self._runs_short(request),
                rule="sim: short",
            )
        return self._process_maybe_twice(request)

    def _runs_short(self, request: Request) -> Shortfall:
        if not self.is_short:
            self.short_until = self.world.now() + timedelta(seconds=self.within(self.habits.short_s))
        return Shortfall(amount=request.amount, currency=request.currency)

    def _throttled(self, *, proven: bool) -> Outcome:
        return Outcome(
            kind=OutcomeClass.THROTTLED,
            reason="HTTP_429",
            refused_before_processing=proven,
            retry_after_s=self.world.rng.choice((None, 1.0, 30.0)),
            rule="sim: throttled",
        )

    def _process_maybe_twice(self, request: Request) -> Outcome:
        outcome = self._process(request)
        taken = outcome.kind in (OutcomeClass.ACCEPTED, OutcomeClass.CONFIRMED)
        # A twin of what was refused could be taken, and then a refusal would prove nothing: no contract is like that.
        if (
            taken
            and self.capabilities.resend_allowed
            and self.happens("arrives_twice", self.habits.arrives_twice)
        ):
            return self.world.rng.choice((outcome, self._process(request)))
        return outcome

    def _process(self, request: Request) -> Outcome:
        known = self._by_reference.get(request.reference)
        if known:
            self.injected["repeated_reference"] += 1
            if self.in_steps and self.capabilities.resend_allowed:
                return self._confirmed_before(known[0])
            match self.capabilities.repeated_reference:
                case RepeatedReference.REJECTS:
                    return replace(_unknown("DUPLICATE"), reference_was_used=True)
                case RepeatedReference.REPLAYS:
                    return known[0].answer or _unknown("HTTP_500")
                case RepeatedReference.PAYS_AGAIN | RepeatedReference.UNKNOWN:
                    self.violations.append(f"{request.reference} was sent again to one that may pay again")
                case _:
                    assert_never(self.capabilities.repeated_reference)
        if self.happens("rejected", self.habits.rejected):
            return self._reject(request)
        return self._accept(request)

    def _confirmed_before(self, transfer: Transfer) -> Outcome:
        """A repeated confirmation changes nothing; the adapter reads what became of the first, and says so."""
        if transfer.state is State.UNPAID:
            return _unknown("CANNOT_CONFIRM")
        return Outcome(
            kind=OutcomeClass.ACCEPTED,
            reason="ALREADY_CONFIRMED",
            provider_ref=ProviderRef(transfer.provider_ref),
            rule="sim: confirmed before",
        )

    def _reject(self, request: Request) -> Outcome:
        again = self.world.chance(self.habits.new_reference)
        refusal = Outcome(
            kind=OutcomeClass.REJECTED,
            reason="LIMIT_REACHED" if again else "WALLET_CLOSED",
            retry_with_new_reference=again,
            rule="sim: rejected",
        )
        if not self.in_steps and self.happens("forgets_refused", self.habits.forgets_refused):
            return refusal
        transfer = self._transfer(request, will_pay=False, again=again)
        transfer.state, transfer.settled_at, transfer.answer = State.UNPAID, self.world.now(), refusal
        if self.happens("tells_refusals", self.habits.tells_refusals):
            self._tell(transfer, Finding.UNPAID)
        return refusal

    def _accept(self, request: Request) -> Outcome:
        habits = self.habits
        is_short = self.happens("short_later", habits.short_later)
        will_pay = not is_short and not self.world.chance(habits.unpaid)
        again = is_short or self.world.chance(habits.new_reference)
        transfer = self._transfer(request, will_pay=will_pay, again=again)
        transfer.short_of = self._runs_short(request) if is_short else None
        echoes = self.happens("echoes_ours", habits.echoes_ours)
        named = ProviderRef(request.reference if echoes else transfer.provider_ref)
        if will_pay and self.world.chance(habits.confirmed_at_once):
            kind, reason = OutcomeClass.CONFIRMED, "PAID"
            self._settle(transfer)
        else:
            kind, reason = OutcomeClass.ACCEPTED, "ACCEPTED"
            if self.world.chance(habits.tells_in_flight):
                self._tell(transfer, Finding.IN_FLIGHT)
            self._plan_settlement(transfer)
            # A forger is quickest while nobody knows the end.
            hints = self.capabilities.webhooks is WebhookTrust.HINT
            if hints and self.happens("hint_lies", habits.hint_lies):
                self._post_later(self._forged(transfer))
        transfer.answer = Outcome(
            kind=kind,
            reason=reason,
            provider_ref=None if self.happens("accepts_without_ref", habits.accepts_without_ref) else named,
            terms=self._told_terms(transfer),
            rule="sim: taken",
        )
        return transfer.answer

    def _transfer(self, request: Request, *, will_pay: bool, again: bool) -> Transfer:
        now, habits = self.world.now(), self.habits
        misreported = self.happens("wrong_terms", habits.wrong_terms)
        provider_ref = f"{self.name}-{len(self.transfers) + 1}"
        if request.reference not in self._by_provider_ref and self.world.chance(habits.ref_is_ours):
            provider_ref = request.reference
        draft = self._drafts.get(request.reference)
        if draft is not None and draft.provider_ref not in self._by_provider_ref:
            provider_ref = draft.provider_ref
        transfer = Transfer(
            request=request,
            provider_ref=provider_ref,
            state=State.IN_FLIGHT,
            received_at=now,
            visible_at=now + timedelta(seconds=self.within(habits.lookup_lag_s)),
            will_pay=will_pay,
            retry_with_new_reference=again,
            misreported=misreported,
            terms=ReportedTerms(
                amount=request.amount + 1 if misreported else request.amount,
                currency=request.currency,
                phone_e164=request.phone_e164,
            ),
        )
        self.transfers.append(transfer)
        self._by_reference.setdefault(request.reference, []).append(transfer)
        self._by_provider_ref[provider_ref] = transfer
        return transfer

    # ---- settlement --------------------------------------------------------------------------------

    def _plan_settlement(self, transfer: Transfer) -> None:
        habits = self.habits
        slow = self.happens("settle_slow", habits.settle_slow)
        wait_s = self.within(habits.settle_slow_s if slow else habits.settle_s)
        if self.world.chance(habits.contradicts):
            self._plan_contradiction(transfer, wait_s)
        self._settle_later(transfer, wait_s)

    def _settle_later(self, transfer: Transfer, wait_s: float) -> None:
        if transfer.timer is not None:
            transfer.timer.cancel()
        transfer.timer = self.world.call_later(wait_s, lambda: self._settle(transfer))

    def _plan_contradiction(self, transfer: Transfer, settles_in_s: float) -> None:
        """Marked before anything false is said: from here on the checks know that this reference proves nothing."""
        signed = self.capabilities.webhooks is WebhookTrust.SIGNED
        how = self.world.rng.choice(("lies_first", "lies_after", "flips") if signed else ("flips",))
        if how == "flips":
            transfer.will_pay = False
        transfer.contradicted = self._contradicted[transfer.request.reference] = how
        self.injected[f"contradiction_{how}"] += 1
        lie = Finding.UNPAID if transfer.will_pay else Finding.PAID
        within = (0.0, settles_in_s) if how == "lies_first" else (settles_in_s, settles_in_s + 600.0)
        act = (lambda: self._pay_late(transfer)) if how == "flips" else (lambda: self._tell(transfer, lie))
        self._lies.append(self.world.call_later(self.within(within), act))

    def _settle(self, transfer: Transfer) -> None:
        if transfer.state is not State.IN_FLIGHT:
            return
        transfer.timer = None
        transfer.settled_at = self.world.now()
        if transfer.will_pay:
            self._pay(transfer)
        else:
            transfer.state = State.UNPAID
            self._tell(transfer, Finding.UNPAID)

    def _pay_late(self, transfer: Transfer) -> None:
        """It was called unpaid, and now it is paid."""
        if transfer.state is State.IN_FLIGHT:
            self._settle(transfer)
        self._pay(transfer)

    def _pay(self, transfer: Transfer) -> None:
        request = transfer.request
        transfer.state = State.PAID
        self.payments.append(
            Payment(
                reference=request.reference,
                provider_ref=transfer.provider_ref,
                at=self.world.now(),
                amount=request.amount,
                currency=request.currency,
                phone_e164=request.phone_e164,
            )
        )
        self.world.note(f"{self.name} pays {request.reference}")
        self._tell(transfer, Finding.PAID)
        if self.capabilities.reverses_after_success and self.happens("reverses", self.habits.reverses):
            self.world.call_later(self.within(self.habits.reverse_s), lambda: self._reverse(transfer))

    def _reverse(self, transfer: Transfer) -> None:
        transfer.state = State.REVERSED
        transfer.reversed_at = self.world.now()
        self.world.note(f"{self.name} reverses {transfer.request.reference}")
        self._tell(transfer, Finding.REVERSED)

    # ---- questions ---------------------------------------------------------------------------------

    def ask(self, status: Callable[[], StatusReport], reply: Callable[[StatusReport], None]) -> None:
        """A look-up or poll leaves a process: answered with what is true when it arrives, or with nothing."""
        there_s, back_s = self.within(self.habits.travel_s), self.within(self.habits.travel_s)
        if self.outage is Outage.SILENT:
            return
        if self.outage is not None or self.happens("read_fails", self.habits.read_fails):
            reason = self.world.rng.choice(("HTTP_500", "HTTP_429", "CONNECTION_LOST", "TIMED_OUT"))
            if reason != "TIMED_OUT":
                retry_after_s = 20.0 if reason == "HTTP_429" else None
                self.world.call_later(there_s, lambda: reply(_no_answer(reason, retry_after_s=retry_after_s)))
            return

        def arrive() -> None:
            report = status()
            self.world.call_later(back_s, lambda: reply(report))

        self.world.call_later(there_s, arrive)

    def status_by_reference(self, reference: str) -> StatusReport:
        """What a look-up says now."""
        if self.habits.blind_to_ours:
            self.injected["blind_look_up"] += reference in self._by_reference
            return StatusReport(finding=Finding.ABSENT, reason="NOT_FOUND", rule="sim: absent")
        transfer = next(iter(self._by_reference.get(reference, ())), None)
        return self._status(transfer, self._drafts.get(reference))

    def status_by_provider_ref(self, provider_ref: str) -> StatusReport:
        """What a poll says now."""
        draft = self._drafts_by_provider_ref.get(provider_ref)
        # Who gives our reference back as its own takes it for a question, too.
        ours = self._by_reference.get(provider_ref) if self.habits.echoes_ours else None
        return self._status(self._by_provider_ref.get(provider_ref) or (ours[0] if ours else None), draft)

    def _status(self, transfer: Transfer | None, draft: Draft | None) -> StatusReport:
        now = self.world.now()
        if transfer is None or now < transfer.visible_at:
            self.injected["not_seen_yet"] += transfer is not None
            if draft is not None and now >= draft.visible_at:
                # Of one that was confirmed a moment ago, too: so long do look-ups lag.
                self.injected["seen_unfinished"] += 1
                return StatusReport(
                    finding=Finding.UNFINISHED,
                    reason="CREATED",
                    provider_ref=ProviderRef(draft.provider_ref),
                    rule="sim: unfinished",
                )
            return StatusReport(finding=Finding.ABSENT, reason="NOT_FOUND", rule="sim: absent")
        finding = FINDINGS[transfer.state]
        if finding is Finding.UNPAID and not self.habits.says_unpaid:
            self.injected["unpaid_not_said"] += 1
            return StatusReport(finding=Finding.NO_ANSWER, reason="NOT_SAID", rule="sim: says nothing")
        return StatusReport(
            finding=finding,
            reason=finding.value,
            provider_ref=ProviderRef(transfer.provider_ref),
            retry_with_new_reference=finding is Finding.UNPAID and transfer.retry_with_new_reference,
            blocks_provider=finding is Finding.UNPAID and transfer.short_of is not None,
            shortfall=transfer.short_of if finding is Finding.UNPAID else None,
            terms=self._told_terms(transfer),
            rule="sim: status",
        )

    def _told_terms(self, transfer: Transfer) -> ReportedTerms:
        # Wrong terms are always told: one who is told them only now and then cannot be blamed for a settlement.
        return (
            transfer.terms
            if transfer.misreported or self.world.chance(self.habits.reports_terms)
            else NO_TERMS
        )

    # ---- webhooks ----------------------------------------------------------------------------------

    def _tell(self, transfer: Transfer, finding: Finding) -> None:
        """Send a webhook about a transfer, at least once, if the provider sends any and it is not lost."""
        trust = self.capabilities.webhooks
        if trust is WebhookTrust.NONE:
            return
        if trust is WebhookTrust.HINT and self.happens("hint_lies", self.habits.hint_lies):
            self._post_later(self._forged(transfer))
        if self.happens("webhook_lost", self.habits.webhook_lost):
            return
        body = self._body(transfer, finding)
        self._post_later(body)
        if self.happens("webhook_twice", self.habits.webhook_twice):
            self._post_later(body)

    def _body(self, transfer: Transfer, finding: Finding) -> dict[str, object]:
        theirs, ours = self.world.rng.choice(((True, True), (True, False), (False, True)))
        body: dict[str, object] = {"status": finding.value}
        if theirs:
            body["provider_ref"] = transfer.provider_ref
        if ours:
            body["our_ref"] = transfer.request.reference
        if finding is Finding.UNPAID:
            body["retry"] = transfer.retry_with_new_reference
            body["blocks"] = transfer.short_of is not None
        terms = self._told_terms(transfer)
        if terms is not NO_TERMS:
            body |= {"amount": terms.amount, "currency": terms.currency, "phone": terms.phone_e164}
        return body

    def _forged(self, transfer: Transfer) -> dict[str, object]:
        """What anybody could have sent."""
        rng = self.world.rng
        finding = rng.choice((Finding.PAID, Finding.UNPAID, Finding.IN_FLIGHT, Finding.REVERSED))
        return {
            "status": finding.value,
            "our_ref": transfer.request.reference,
            "provider_ref": rng.choice((transfer.provider_ref, f"forged-{rng.getrandbits(32):08x}")),
            "retry": rng.random() < 0.5,
            "amount": transfer.request.amount + rng.choice((0, 0, 0, 1)),
        }

    def _post_later(self, body: Mapping[str, object]) -> None:
        slow = self.happens("webhook_slow", self.habits.webhook_slow)
        wait_s = self.within(self.habits.webhook_slow_s if slow else self.habits.webhook_s)
        self.world.call_later(wait_s, lambda: self._post(body, 1))

    def _post(self, body: Mapping[str, object], tries: int) -> None:
        """Deliver it; an error, or no answer at all, and it comes again."""
        is_over = False

        def answered(ok: bool) -> None:
            nonlocal is_over
            if is_over:
                return
            is_over = True
            timer.cancel()
            if ok and self.happens("webhook_answer_lost", self.habits.webhook_answer_lost):
                ok = False
            if not ok:
                self._post_again(body, tries)

        timer = self.world.call_later(WEBHOOK_TIMEOUT_S, lambda: answered(False))
        if self.deliver is None:
            answered(False)
            return
        trusted = self.capabilities.webhooks is WebhookTrust.SIGNED
        row, notice = self._row(body, trusted=trusted)
        self.deliver(row, notice.report, trusted, answered)

    def _post_again(self, body: Mapping[str, object], tries: int) -> None:
        if tries >= self.habits.webhook_tries_max and not self.is_calm:
            self.injected["webhook_given_up"] += 1
            return
        self.injected["webhook_repeated"] += 1
        self.world.call_later(self.within(WEBHOOK_AGAIN_S), lambda: self._post(body, tries + 1))

    def _row(self, body: Mapping[str, object], *, trusted: bool) -> tuple[WebhookRow, Notice]:
        """As `http.webhook_rows` fills it: a new id each time that one comes."""
        notice = read_notice(self.name, body)
        raw = orjson.dumps(body)
        row = WebhookRow(
            webhook_id=new_webhook_id(self.world),
            provider=self.name,
            signature_valid=trusted,
            signed_with="current" if trusted else None,
            provider_ref=notice.provider_ref,
            our_ref=notice.our_ref,
            external_ref=notice.our_ref,
            status_word=notice.status_word,
            headers="{}",
            body=raw.decode(),
            body_sha256=hashlib.sha256(raw).hexdigest(),
            request_id=None,
        )
        return row, notice

    # ---- outages -----------------------------------------------------------------------------------

    def _plan_outage(self) -> None:
        if self.habits.outage_every_s > 0:
            wait_s = self.world.rng.expovariate(1 / self.habits.outage_every_s)
            self._outage_timer = self.world.call_later(wait_s, self._begin_outage)

    def _begin_outage(self) -> None:
        self.outage = self.world.rng.choice(tuple(Outage))
        self.injected[f"outage_{self.outage.value}"] += 1
        self.world.note(f"{self.name} is away: {self.outage.value}")
        self._outage_timer = self.world.call_later(self.within(self.habits.outage_s), self._end_outage)

    def _end_outage(self) -> None:
        self.outage = None
        self._plan_outage()

    # ---- chance ------------------------------------------------------------------------------------

    def happens(self, what: str, probability: float) -> bool:
        """Whether it happens this time; counted."""
        if probability <= 0 or not self.world.chance(probability):
            return False
        self.injected[what] += 1
        self.world.note(f"{self.name}: {what}")
        return True

    def within(self, span: Span) -> float:
        """So many seconds."""
        return self.world.rng.uniform(*span)


class SimAdapter:
    """One process's way to a provider: `nepxy.providers.contract.Adapter`."""

    def __init__(self, node: Node, provider: SimProvider, *, account: str | None = None) -> None:
        """Connect a process.

        Args:
            node: the process; all waiting is its own.
            provider: the other end.
            account: as configured in this process; None: the provider's usual one.
        """
        self._node = node
        self._world = node.world
        self._provider = provider
        self._account = account if account is not None else provider.account

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._provider.name

    @property
    def capabilities(self) -> Capabilities:
        """The provider's contract."""
        return self._provider.capabilities

    @property
    def account(self) -> str:
        """Fingerprint of the configured account."""
        return self._account

    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        """Send it, unless it is too late for that once there is a connection."""
        provider = self._provider
        self._check_account("submitted", payout)
        refused = await self._connected()
        if refused is not None:
            return Outcome(kind=OutcomeClass.NOT_SENT, reason=refused, rule="sim: nothing left")
        if guard.is_late():
            provider.injected["send_window_passed"] += 1
            return Outcome(kind=OutcomeClass.NOT_SENT, reason="SEND_WINDOW_PASSED", rule="sim: nothing left")
        if provider.in_steps:
            return await self._submit_in_steps(payout, guard)
        # From here to `send` there is no await: a process cannot stop between the last look and the first byte.
        return await self._send(payout, "SUBMIT")

    async def _submit_in_steps(self, payout: Payout, guard: SendGuard) -> Outcome:
        """A quotation, a draft, its confirmation: each step is committed before the write that follows it."""
        provider = self._provider
        self._sent(payout, "SUBMIT")
        quoted: str | None = await self._answer_to(lambda reply: provider.write(provider.quote, reply), None)
        if quoted is None:
            return Outcome(kind=OutcomeClass.NOT_SENT, reason="NO_QUOTATION", rule="sim: nothing was begun")
        if not await guard.reached("CREATING") or await self._connected() is not None or guard.is_late():
            return _unknown("STOPPED_BEFORE_DRAFT")
        self._sent(payout, "CREATING")
        request = self._request(payout)
        named: str | None = await self._answer_to(
            lambda reply: provider.write(lambda: provider.draft(request), reply), None
        )
        if named is None:
            return _unknown("NO_DRAFT")
        committed = await guard.reached("CONFIRMING", provider_ref=ProviderRef(named))
        if not committed or await self._connected() is not None or guard.is_late():
            return _unknown("STOPPED_BEFORE_CONFIRMATION")
        return await self._send(payout, "CONFIRMING")

    async def _send(self, payout: Payout, step: str) -> Outcome:
        """The write that moves money."""
        request, provider = self._request(payout), self._provider
        self._sent(payout, step)
        return await self._answer_to(lambda reply: provider.send(request, reply), _unknown("TIMED_OUT"))

    def _sent(self, payout: Payout, step: str) -> None:
        if self._provider.on_send is not None:
            self._provider.on_send(payout, step)

    def _request(self, payout: Payout) -> Request:
        return Request(
            reference=payout.submission_ref,
            attempt=payout.attempt_count,
            amount=payout.amount,
            currency=payout.currency,
            phone_e164=payout.phone_e164,
            account=self._account,
            node=self._node.name,
            sent_at=self._world.now(),
        )

    async def balance(self, currency: str) -> Balance | None:
        """What we hold there: nothing while it is short, else enough for everything."""
        if await self._connected() is not None or self._provider.outage is not None:
            return None
        return Balance(amount=0 if self._provider.is_short else 1_000_000_000, currency=currency)

    async def look_up(self, payout: Payout) -> StatusReport:
        """Ask what became of our reference."""
        if not self.capabilities.lookup_by_reference:
            self._provider.violations.append(
                f"{payout.submission_ref} was looked up where nobody can be asked"
            )
        self._check_account("looked up", payout)
        reference = payout.submission_ref
        return await self._read(lambda: self._provider.status_by_reference(reference))

    async def poll(self, payout: Payout) -> StatusReport:
        """Ask for the state of the provider's reference."""
        if not self.capabilities.status_by_provider_ref or payout.provider_ref is None:
            self._provider.violations.append(f"{payout.submission_ref} was polled where nobody can be asked")
        self._check_account("polled", payout)
        provider_ref = str(payout.provider_ref)
        return await self._read(lambda: self._provider.status_by_provider_ref(provider_ref))

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        """Read a webhook's parsed body."""
        return read_notice(self.name, document)

    async def close(self) -> None:
        """Nothing is held."""

    async def _read(self, status: Callable[[], StatusReport]) -> StatusReport:
        refused = await self._connected()
        if refused is not None:
            return _no_answer(refused)
        return await self._answer_to(lambda reply: self._provider.ask(status, reply), _no_answer("TIMED_OUT"))

    async def _connected(self) -> str | None:
        """Wait for a connection; why there is none, or None."""
        provider = self._provider
        habits = provider.habits
        slow = provider.happens("connect_slow", habits.connect_slow)
        await self._node.sleep(provider.within(habits.connect_slow_s if slow else habits.connect_s))
        if provider.outage is Outage.REFUSES or provider.happens("not_sent", provider.habits.not_sent):
            return "CONNECT_FAILED"
        return None

    async def _answer_to(self, send: Callable[[Callable[[T], None]], None], nothing: T) -> T:
        """Wait for the answer, or for our time-out; the timer is the world's, as the network's answer is."""
        waiter: asyncio.Future[T] = self._node.create_future()

        def give_up() -> None:
            if not waiter.done() and self._node.alive:
                self._provider.injected["timed_out"] += 1
            _resolve(waiter, nothing)

        timer = self._world.call_later(self._provider.habits.timeout_s, give_up)
        send(lambda answer: _resolve(waiter, answer))
        answer = await waiter
        timer.cancel()
        return answer

    def _check_account(self, what: str, payout: Payout) -> None:
        if payout.account != self._account:
            self._provider.violations.append(
                f"{payout.submission_ref} was {what} through another account than its own"
            )


def read_notice(provider: str, document: Mapping[str, object]) -> Notice:
    """What a webhook's body says.

    Raises:
        WebhookRefused: `MISSING_STATUS` or `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
    """
    word = document.get("status")
    provider_ref, our_ref = _text(document, "provider_ref"), _text(document, "our_ref")
    if not isinstance(word, str):
        raise WebhookRefused("MISSING_STATUS", provider)
    if provider_ref is None and our_ref is None:
        raise WebhookRefused("MISSING_PROVIDER_REF_OR_EXTERNAL_REF", provider)
    amount = document.get("amount")
    report = StatusReport(
        finding=Finding(word),
        reason=word,
        provider_ref=ProviderRef(provider_ref) if provider_ref is not None else None,
        retry_with_new_reference=document.get("retry") is True,
        blocks_provider=document.get("blocks") is True,
        terms=ReportedTerms(
            amount=amount if isinstance(amount, int) else None,
            currency=_text(document, "currency"),
            phone_e164=_text(document, "phone"),
        ),
        call="webhook",
        rule="sim: webhook",
    )
    return Notice(provider_ref=provider_ref, our_ref=our_ref, status_word=word, report=report)


def new_webhook_id(world: World) -> str:
    """A UUIDv7 text of the true time: parked webhooks are read back in the order of their ids."""
    milliseconds = int(world.now().timestamp() * 1000)
    value = (milliseconds & (1 << 48) - 1) << 80 | world.rng.getrandbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def _unknown(reason: str) -> Outcome:
    return Outcome(kind=OutcomeClass.UNKNOWN, reason=reason, rule="sim: no clear answer")


def _no_answer(reason: str, *, retry_after_s: float | None = None) -> StatusReport:
    return StatusReport(
        finding=Finding.NO_ANSWER,
        reason=reason,
        provider_failed=True,
        retry_after_s=retry_after_s,
        rule="sim: a failed read",
    )


def _resolve(waiter: asyncio.Future[T], answer: T) -> None:
    if not waiter.done():
        waiter.set_result(answer)


def _text(document: Mapping[str, object], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None
