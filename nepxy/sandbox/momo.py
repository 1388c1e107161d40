"""MTN MoMo Disbursement (providers page section 3): token, transfer, status, balance, account holder.

Its host is this sandbox's `/momo`. A transfer's reference is the client's `X-Reference-Id`, and the ledger's key.
"At once" (3.7) is one settle delay. References that a refusal burnt, and tokens, are forgotten by a restart.
"""

import time
from collections import deque
from decimal import Decimal
from typing import Annotated, Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nepxy.sandbox.book import Order
from nepxy.sandbox.config import DuplicateBehaviour
from nepxy.sandbox.faults import Dice, bend
from nepxy.sandbox.magic import BY_NAME
from nepxy.sandbox.momo_magic import NOT_ENOUGH_FUNDS, fate_of, holder_of
from nepxy.sandbox.momo_read import (
    MomoRefused,
    places_of,
    read_callback_url,
    read_digits,
    read_reference,
    read_transfer,
    to_major,
)
from nepxy.sandbox.momo_tokens import Tokens
from nepxy.sandbox.script import Notice, Reply, Script, Status
from nepxy.sandbox.wallet import DUPLICATE_WEBHOOK_COPIES, Ask, Wallet, ask_of, is_visible
from nepxy.sandbox.webhooks import Delivery
from nepxy.sandbox.wire import error_response, json_response
from nepxy.sandbox.world import World

NAME = "momo"
BASE = f"/{NAME}/disbursement"

_WORDS = {Status.PENDING: "PENDING", Status.SUCCESS: "SUCCESSFUL", Status.FAILED: "FAILED"}
_PROBLEMS: dict[Reply, tuple[int, str, str]] = {
    Reply.MAINTENANCE_503: (503, "SERVICE_UNAVAILABLE", "Service temporarily unavailable."),
    Reply.THROTTLED_429: (429, "rate_limit", "Rate limit is exceeded."),
    Reply.IP_NOT_ALLOWED_403: (403, "FORBIDDEN IP", "Authorization failed. IP not authorized."),
    Reply.BAD_CREDENTIALS_401: (401, "invalid_token", "Invalid or expired token"),
}
_INTERNAL = (500, "INTERNAL_PROCESSING_ERROR", "An internal error occurred while processing.")


class Turn(BaseModel):
    """What a test may do to the account while it is used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    balance: Annotated[Decimal | None, Field(ge=0, allow_inf_nan=False)] = None
    """Major units."""
    api_key: Annotated[str | None, Field(min_length=1)] = None
    """Another one from now on; tokens that were given out stay good."""
    revoke_tokens: bool = False


class Momo(Wallet):
    """The routes, and the account."""

    def __init__(self, world: World) -> None:
        super().__init__(world, name=NAME, duplicates=DuplicateBehaviour.REJECTS)
        self._config = world.config.momo
        self._tokens = Tokens(self._config)
        self._balance = self._config.balance
        self._burnt: set[str] = set()
        self._reads_at_s: deque[float] = deque()

    def routes(self) -> list[web.RouteDef]:
        """The contract, and what a test may turn."""
        v1 = f"{BASE}/v1_0"
        return [
            web.post(f"{BASE}/token/", self.token),
            web.post(f"{v1}/transfer", self.transfer),
            web.get(f"{v1}/transfer/{{ref}}", self.status),
            web.get(f"{v1}/account/balance", self.balance),
            web.get(f"{v1}/account/balance/{{currency}}", self.balance),
            web.get(f"{v1}/accountholder/msisdn/{{digits}}/active", self.active),
            web.post("/_sandbox/momo", self.turn),
        ]

    async def turn(self, request: web.Request) -> web.StreamResponse:
        """Sets the balance, rotates the API key, or makes every token invalid."""
        try:
            turn = Turn.model_validate_json(await request.read())
        except ValidationError as error:
            return error_response(422, "INVALID_TURN", "; ".join(e["msg"] for e in error.errors()))
        if turn.balance is not None:
            self._balance = turn.balance
        if turn.api_key is not None:
            self._tokens.api_key = turn.api_key
        if turn.revoke_tokens:
            self._tokens.revoke()
        return json_response({"balance": f"{self._balance:f}", "tokens": self._tokens.count})

    async def token(self, request: web.Request) -> web.StreamResponse:
        """A bearer token."""
        if request.headers.get("Content-Length") != "0":
            # The gateway's own page, in front of everything else [O].
            page = "<html><head><title>411 Length Required</title></head></html>"
            return web.Response(status=411, text=page, content_type="text/html")
        try:
            return json_response(self._tokens.give(request.headers))
        except MomoRefused as refused:
            return refused.response()

    async def transfer(self, request: web.Request) -> web.StreamResponse:
        """Takes a transfer for processing: 202, and no body."""
        raw = await request.read()
        try:
            self._tokens.check(request.headers)
            ref = read_reference(request.headers.get("X-Reference-Id", ""))
            ask = self._read(request, raw, ref)
        except MomoRefused as refused:
            return refused.response()
        nth_submit = self.world.ledger.submitted(ref)
        dice = Dice(self.world.config.seed, NAME, ref, nth_submit)
        # Short of money is no answer to a submit here: it is a transfer that fails.
        faults = self.faults.model_copy(update={"out_of_float": False})
        return await self._perform(request, ask, bend(self._script(ask), faults, dice), dice)

    async def status(self, request: web.Request) -> web.StreamResponse:
        """What became of a transfer."""
        try:
            self._tokens.check(request.headers)
            self._slow_down()
            self._environment(request)
            ref = read_reference(request.match_info["ref"])
            if await self.read_fails(ref):
                raise MomoRefused(*_INTERNAL)
            order = self.world.book.latest(NAME, ref)
            if order is None or not is_visible(order, self._config.visibility_lag_s):
                raise MomoRefused(404, "RESOURCE_NOT_FOUND", "Requested resource was not found.")
            return json_response(self._show(order))
        except MomoRefused as refused:
            return refused.response()

    async def balance(self, request: web.Request) -> web.StreamResponse:
        """What the account holds."""
        try:
            self._tokens.check(request.headers)
            self._environment(request)
            if request.match_info.get("currency", self._config.currency) != self._config.currency:
                raise MomoRefused(500, "INVALID_CURRENCY", "Currency not supported.")
        except MomoRefused as refused:
            return refused.response()
        held = Decimal(0) if self.faults.out_of_float else self._balance
        shown = f"{held:.{places_of(self._config.currency)}f}"
        return json_response({"availableBalance": shown, "currency": self._config.currency})

    async def active(self, request: web.Request) -> web.StreamResponse:
        """Whether a number has a wallet that is active."""
        try:
            self._tokens.check(request.headers)
            self._environment(request)
            status, code = holder_of(read_digits(request.match_info["digits"])) or (200, "active")
            if status != 200:
                raise MomoRefused(status, code)
        except MomoRefused as refused:
            return refused.response()
        return json_response({"result": bool(code)})

    # ---- what a wallet says ------------------------------------------------------------------------

    def accepted(self, order: Order, ask: Ask) -> web.StreamResponse:
        """202 without a body."""
        return web.Response(status=202)

    def problem(self, reply: Reply, ask: Ask) -> web.Response:
        """In MoMo's codes."""
        return MomoRefused(*_PROBLEMS.get(reply, _INTERNAL)).response()

    def repeated(self, ask: Ask, *, same: bool) -> web.Response:
        """409, whatever the body (3.3)."""
        return _duplicate().response()

    def script_of(self, ask: Ask) -> Script:
        """MTN's magic numbers, then everybody's."""
        return fate_of(ask.msisdn).script

    # ---- a transfer --------------------------------------------------------------------------------

    def _read(self, request: web.Request, raw: bytes, ref: str) -> Ask:
        """What is asked for; a refusal burns the reference like any other first result (3.3)."""
        if ref in self._burnt:
            raise _duplicate()
        earlier = self.world.book.latest(NAME, ref)
        if earlier is not None and self._duplicate_behaviour is DuplicateBehaviour.REJECTS:
            return ask_of(earlier)  # a repeat is a 409 whatever its body: none is compared
        try:
            if request.content_type != "application/json":
                raise MomoRefused(400, "BAD_REQUEST", "Content-Type is not application/json")
            transfer = read_transfer(raw)
            url = read_callback_url(request.headers.get("X-Callback-Url"), self._config)
            self._environment(request)
            if transfer.currency != self._config.currency:
                raise MomoRefused(500, "INVALID_CURRENCY", "Currency not supported.")
        except MomoRefused:
            self._burnt.add(ref)
            raise
        return Ask(
            external_id=ref,
            msisdn=f"+{transfer.digits}",
            amount=transfer.amount,
            currency=transfer.currency,
            kept={"shown": transfer.shown, "callback_url": url},
        )

    def _take_up(self, ask: Ask, script: Script) -> tuple[Order, list[Delivery]] | web.Response:
        # No await from the look at the balance to the acceptance.
        reason, cost = fate_of(ask.msisdn).reason, to_major(ask.amount, ask.currency)
        if reason is None and (self.faults.out_of_float or cost > self._balance):
            reason, script = NOT_ENOUGH_FUNDS, BY_NAME["fails_later"]
        ask.kept["reason"] = reason
        earlier = self.world.book.latest(NAME, ask.external_id)
        taken = super()._take_up(ask, script)
        if isinstance(taken, tuple) and taken[0] is not earlier and script.pays:
            self._balance -= cost
        return taken

    def _environment(self, request: web.Request) -> None:
        if request.headers.get("X-Target-Environment") != self._config.target_environment:
            raise MomoRefused(
                500, "NOT_ALLOWED_TARGET_ENVIRONMENT", "Access to target environment is forbidden."
            )

    def _slow_down(self) -> None:
        """The only rate that is published: status reads a second (3.5)."""
        now_s, reads = time.monotonic(), self._reads_at_s
        while reads and now_s - reads[0] >= 1.0:
            reads.popleft()
        if len(reads) >= self._config.status_reads_per_s_max:
            raise MomoRefused(*_PROBLEMS[Reply.THROTTLED_429])
        reads.append(now_s)

    # ---- what is told ------------------------------------------------------------------------------

    def _notify(self, order: Order, notice: Notice) -> list[Delivery]:
        """Unsigned, whatever the notice wants: there is nothing to sign with."""
        url, faults = order.kept.get("callback_url"), self.faults
        dice = Dice(self.world.config.seed, NAME, order.provider_ref, order.steps_taken)
        if url is None or dice.hits("lost_webhook", faults.lost_webhook_rate):
            return []
        shown = self._show(order, says=notice.says)
        if not notice.with_status:
            del shown["status"]
        copies = self._config.callback_copies
        if copies and dice.hits("duplicate_webhook", faults.duplicate_webhook_rate):
            copies = max(copies, DUPLICATE_WEBHOOK_COPIES)
        headers = {"Content-Type": "application/json", "User-Agent": "LWAC Http Client 1.0"}
        send, method = self.world.webhooks.send, self._config.callback_method
        return [send(url, orjson.dumps(shown), headers, method=method) for _ in range(copies)]

    def _show(self, order: Order, *, says: Status | None = None) -> dict[str, Any]:
        """The status body: without the reference, which only the reader's own URL names."""
        status = says or order.status
        shown: dict[str, Any] = {**order.kept.get("shown", {}), "status": _WORDS[status]}
        if status is Status.PENDING and order.script.name == "created_first" and not order.steps_taken:
            shown["status"] = "CREATED"
        if status is Status.SUCCESS:
            shown["financialTransactionId"] = str(int(order.provider_ref[2:12], 16))
        if status is Status.FAILED:
            code = order.kept.get("reason") or "INTERNAL_PROCESSING_ERROR"
            shown["reason"] = {"code": code, "message": code} if self._config.reason_as_object else code
        return shown


def build(world: World) -> Momo:
    """MoMo, joined to the world."""
    return Momo(world)


def _duplicate() -> MomoRefused:
    return MomoRefused(409, "RESOURCE_ALREADY_EXIST", "Duplicated reference id. Creation of resource failed.")
