"""What the wallets' protocols share: how a submit takes its course, whatever it looks like on the wire.

A protocol reads requests and writes answers; whether money is taken up, how often, when, and what is lost on the way,
is decided here alone, from the payee's number and today's faults.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from nepxy.sandbox.book import Order
from nepxy.sandbox.config import DuplicateBehaviour
from nepxy.sandbox.connection import reset
from nepxy.sandbox.faults import Dice, Faults, bend
from nepxy.sandbox.magic import SUCCESS, script_for
from nepxy.sandbox.script import Acts, Notice, Reply, Script
from nepxy.sandbox.webhooks import Delivery
from nepxy.sandbox.world import World

AMOUNT_MAX = 10**12
WEBHOOK_BEFORE_REPLY_S_MAX = 5.0
"""How long a submit waits for the webhook that is to overtake it."""
DUPLICATE_WEBHOOK_COPIES = 3

HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
GARBAGE = "<!doctype html><p>OK, but not {json"

ANSWERED = (
    Reply.ERROR_500,
    Reply.MAINTENANCE_503,
    Reply.THROTTLED_429,
    Reply.REJECTED_422,
    Reply.INSUFFICIENT_FLOAT_402,
    Reply.INSUFFICIENT_FLOAT_403,
    Reply.IP_NOT_ALLOWED_403,
    Reply.BAD_CREDENTIALS_401,
)
"""The replies that are neither an acceptance nor a matter of time or connection: each protocol has its own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A submit as it was read; every field has been checked."""

    external_id: str
    """The client's reference."""
    msisdn: str
    """E.164 with `+`."""
    amount: int
    """Minor units."""
    currency: str
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What its protocol needs later; as `Order.kept`."""


class Wallet(ABC):
    """One wallet operator or aggregator on one protocol."""

    def __init__(self, world: World, *, name: str, duplicates: DuplicateBehaviour) -> None:
        """Joins the world under a name, in lower case; the paths start with it."""
        self.name = name
        self.world = world
        self._duplicates = duplicates
        world.add_provider(name)
        world.book.on_notice(name, self._notify)

    # ---- what a protocol says ----------------------------------------------------------------------

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """Its endpoints."""

    @abstractmethod
    def accepted(self, order: Order, ask: Ask) -> web.StreamResponse:
        """The answer to a submit that was taken up."""

    @abstractmethod
    def problem(self, reply: Reply, ask: Ask) -> web.Response:
        """The answer for one of `ANSWERED`."""

    @abstractmethod
    def repeated(self, ask: Ask, *, same: bool) -> web.Response:
        """The answer to a reference that was used before, where the provider rejects those.

        Args:
            ask: the repeat.
            same: its fields are those of the first.
        """

    def messages(self, order: Order, notice: Notice) -> Iterator[tuple[str, bytes, dict[str, str]]]:
        """URL, body and headers of what is sent to the client about an order; nothing unless told otherwise."""
        return iter(())

    def script_of(self, ask: Ask) -> Script:
        """The course of a first submit."""
        return script_for(ask.msisdn)

    # ---- what all do -------------------------------------------------------------------------------

    @property
    def faults(self) -> Faults:
        """Today's."""
        return self.world.faults[self.name]

    async def take(self, request: web.Request, ask: Ask) -> web.StreamResponse:
        """Takes up a submit, or does to it what the payee's number and today's faults demand."""
        nth_submit = self.world.ledger.submitted(ask.external_id)
        dice = Dice(self.world.config.seed, self.name, ask.external_id, nth_submit)
        return await self._perform(request, ask, bend(self._script(ask), self.faults, dice), dice)

    async def read_fails(self, reference: str) -> bool:
        """Lets a status read wait as today's faults demand; whether it is to fail then."""
        self.world.status_read_count += 1
        dice = Dice(self.world.config.seed, "status", reference, self.world.status_read_count)
        await self.world.pause(_delay_s(self.faults, dice))
        return dice.hits("status_error", self.faults.status_error_rate)

    def moved_amount(self) -> int:
        """How much money it has paid out since the ledger was last reset."""
        return sum(
            movement.amount for movement in self.world.ledger.movements if movement.provider == self.name
        )

    @property
    def _duplicate_behaviour(self) -> DuplicateBehaviour:
        return self.faults.duplicate_behaviour or self._duplicates

    def _script(self, ask: Ask) -> Script:
        repeated = self.world.book.latest(self.name, ask.external_id) is not None
        if repeated and self._duplicate_behaviour is not DuplicateBehaviour.PAYS_AGAIN:
            # The number's bad answer was given the first time; a client that asks again may learn the truth.
            return SUCCESS
        return self.script_of(ask)

    async def _perform(
        self, request: web.Request, ask: Ask, script: Script, dice: Dice
    ) -> web.StreamResponse:
        # A slow request and a slow answer are different dangers: only the first can be looked up before it acts.
        delay_s = _delay_s(self.faults, dice)
        slow_request = delay_s > 0.0 and dice.hits("slow_request", 0.5)
        before_s, after_s = (delay_s, 0.0) if slow_request else (0.0, delay_s)
        if script.acts is Acts.LATE:
            before_s += self.world.config.late_reply_s
        acting = self._act(ask, script, before_s)
        order = await (self.world.see_through(acting) if before_s else acting)
        if isinstance(order, web.Response):
            return order
        await self.world.pause(after_s)
        return await self._reply(request, script.reply, ask, order)

    async def _act(self, ask: Ask, script: Script, before_s: float) -> Order | web.Response | None:
        await self.world.pause(before_s)
        if script.acts is Acts.NEVER:
            return None
        taken = self._take_up(ask, script)
        if isinstance(taken, web.Response):
            return taken
        order, overtaking = taken
        await _tried(overtaking)
        return order

    def _take_up(self, ask: Ask, script: Script) -> tuple[Order, list[Delivery]] | web.Response:
        # No await from the look-up to the acceptance: two submits of one reference at once must not both be first.
        earlier = self.world.book.latest(self.name, ask.external_id)
        behaviour = self._duplicate_behaviour
        if earlier is not None and behaviour is not DuplicateBehaviour.PAYS_AGAIN:
            same = ask == ask_of(earlier)
            if behaviour is DuplicateBehaviour.REJECTS or not same:
                return self.repeated(ask, same=same or behaviour is DuplicateBehaviour.REJECTS)
            return earlier, []
        return self.world.book.accept(
            provider=self.name,
            external_id=ask.external_id,
            msisdn=ask.msisdn,
            amount=ask.amount,
            currency=ask.currency,
            script=script,
            kept=ask.kept,
        )

    async def _reply(
        self, request: web.Request, reply: Reply, ask: Ask, order: Order | None
    ) -> web.StreamResponse:
        config = self.world.config
        match reply:
            case Reply.SLOW:
                await self.world.pause(config.slow_s)
            case Reply.LATE:
                await self.world.pause(config.late_reply_s)
            case Reply.HANG:
                await self.world.pause(config.hang_s)
        if reply in (Reply.HANG, Reply.RESET):
            return reset(request)
        if reply in ANSWERED:
            response = self.problem(reply, ask)
            if reply in (Reply.THROTTLED_429, Reply.MAINTENANCE_503):
                response.headers["Retry-After"] = str(config.retry_after_s)
            return response
        if reply is Reply.HTML_502:
            return web.Response(status=502, text=HTML, content_type="text/html")
        if reply is Reply.GARBAGE_200 or order is None:
            return web.Response(status=200, text=GARBAGE, content_type="application/json")
        return self.accepted(order, ask)

    def _notify(self, order: Order, notice: Notice) -> list[Delivery]:
        faults = self.faults
        dice = Dice(self.world.config.seed, self.name, order.provider_ref, order.steps_taken)
        if dice.hits("lost_webhook", faults.lost_webhook_rate):
            return []
        copies = (
            DUPLICATE_WEBHOOK_COPIES if dice.hits("duplicate_webhook", faults.duplicate_webhook_rate) else 1
        )
        return [
            self.world.webhooks.send(url, body, headers)
            for url, body, headers in self.messages(order, notice)
            for _ in range(copies)
        ]


def ask_of(order: Order) -> Ask:
    """The submit that an order was made of."""
    return Ask(
        external_id=order.external_id, msisdn=order.msisdn, amount=order.amount, currency=order.currency
    )


def is_visible(order: Order, after_s: float) -> bool:
    """Whether a status read knows an order yet: some providers take a while to find what they have taken."""
    return time.time() - order.accepted_at_s >= after_s


def _delay_s(faults: Faults, dice: Dice) -> float:
    return dice.between("delay", faults.delay_s_min, faults.delay_s_max)


async def _tried(deliveries: list[Delivery]) -> None:
    if not deliveries:
        return
    try:
        async with asyncio.timeout(WEBHOOK_BEFORE_REPLY_S_MAX):
            for delivery in deliveries:
                await delivery.tried.wait()
    except TimeoutError:
        # The client's webhook endpoint may be waiting for this very answer; then overtaking has been proven enough.
        return
