"""Thunes' Money Transfer v2 (providers page section 4): payers, quotations, transactions, confirm, cancel, balances.

Its host is this sandbox's `/thunes`, so that the whole prefix is `/thunes/v2/money-transfer`. Money moves on confirm
only, and is in the ledger under the transaction's external id.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from aiohttp import web

from nepxy.sandbox.connection import reset
from nepxy.sandbox.faults import Dice, Faults, bend
from nepxy.sandbox.magic import SUCCESS
from nepxy.sandbox.script import Acts, Reply, Script
from nepxy.sandbox.thunes_callbacks import Callbacks, tried
from nepxy.sandbox.thunes_desk import NAME, Desk, Quotation, Transaction
from nepxy.sandbox.thunes_magic import ACCOUNT_STATUS, CONFIRM_REFUSED, CREATE_REFUSED, confirm_script
from nepxy.sandbox.thunes_payers import PAYERS, show_payer
from nepxy.sandbox.thunes_plan import Mishap, Plan
from nepxy.sandbox.thunes_read import (
    TYPES,
    Payer,
    ThunesRefused,
    read_quotation,
    read_transaction,
    read_verification,
)
from nepxy.sandbox.wire import json_response
from nepxy.sandbox.world import World

BASE = f"/{NAME}/v2/money-transfer"
_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_GARBAGE = "<!doctype html><p>OK, but not {json"

_REFUSALS: dict[Reply, tuple[int, str, str]] = {
    Reply.ERROR_500: (500, "1009001", "Unexpected error"),
    Reply.MAINTENANCE_503: (503, "1009001", "Unexpected error"),
    Reply.THROTTLED_429: (429, "1009001", "Too many requests"),
    Reply.REJECTED_422: (400, "1005001", "Account invalid"),
    Reply.INSUFFICIENT_FLOAT_402: (400, "1007005", "Transaction cannot be confirmed: insufficient balance"),
    Reply.INSUFFICIENT_FLOAT_403: (400, "1007005", "Transaction cannot be confirmed: insufficient balance"),
    Reply.IP_NOT_ALLOWED_403: (401, "1000401", "Unauthorized"),
    Reply.BAD_CREDENTIALS_401: (401, "1000401", "Unauthorized"),
}

Act = Callable[[], Awaitable[dict[str, Any]]]


class Thunes:
    """The routes, and what happens to a call on its way."""

    name = NAME

    def __init__(self, world: World) -> None:
        self._world = world
        self._desk = Desk(world, PAYERS)
        self._plan = Plan()
        self._write_count = 0
        world.add_provider(NAME)
        self._callbacks = Callbacks(world, self._desk)

    def routes(self) -> list[web.RouteDef]:
        """All of the contract that moves money or tells of it, and the plan of mishaps."""
        return [
            web.get(f"{BASE}/ping", self.ping),
            web.get(f"{BASE}/payers", self.payers),
            web.get(f"{BASE}/payers/{{id}}", self.payer),
            web.post(f"{BASE}/payers/{{id}}/{{kind}}/credit-party-verification", self.verify),
            web.get(f"{BASE}/balances", self.balances),
            web.post(f"{BASE}/quotations", self.quote),
            web.get(f"{BASE}/quotations/{{id}}", self.quotation),
            web.post(f"{BASE}/quotations/{{id}}/transactions", self.create),
            web.get(f"{BASE}/transactions/{{id}}", self.transaction),
            web.post(f"{BASE}/transactions/{{id}}/confirm", self.confirm),
            web.post(f"{BASE}/transactions/{{id}}/cancel", self.cancel),
            web.get("/_sandbox/thunes/transactions/{external_id}", self.counts),
            *self._plan.routes(),
        ]

    # ---- reads -------------------------------------------------------------------------------------

    async def ping(self, request: web.Request) -> web.StreamResponse:
        """Whether it is up."""
        return await self._read(request, "read", lambda: {"status": "up"})

    async def payers(self, request: web.Request) -> web.StreamResponse:
        """Those of a country and a currency, or all."""
        query = request.query

        def found() -> Any:
            return [
                show_payer(payer)
                for payer in PAYERS.values()
                if query.get("country_iso_code", payer.country) == payer.country
                and query.get("currency", payer.currency) == payer.currency
            ]

        return await self._read(request, "payer", found)

    async def payer(self, request: web.Request) -> web.StreamResponse:
        """One of them."""

        return await self._read(request, "payer", lambda: show_payer(_payer_of(request)))

    async def verify(self, request: web.Request) -> web.StreamResponse:
        """Whether a number's account takes money; moves nothing."""
        raw = await request.read()

        def found() -> Any:
            msisdn = read_verification(raw, _payer_of(request))
            _refuse_by_number(CREATE_REFUSED, msisdn)
            return {"id": 1, "account_status": ACCOUNT_STATUS.get(msisdn[-4:], "AVAILABLE")}

        return await self._read(request, "verification", found)

    async def balances(self, request: web.Request) -> web.StreamResponse:
        """The one balance that there is."""

        def found() -> Any:
            desk = self._desk
            held = Decimal(0) if self._faults.out_of_float else desk.balance
            numbers = {
                "balance": held,
                "pending": Decimal(0),
                "available": held,
                "credit_facility": Decimal(0),
            }
            shown = {name: desk.number(amount) for name, amount in numbers.items()}
            return [{"id": 1, "currency": desk.config.source_currency, **shown}]

        return await self._read(request, "balances", found)

    async def quotation(self, request: web.Request) -> web.StreamResponse:
        """By its id, or by the client's with `ext-` before it."""
        return await self._read(
            request, "read", lambda: self._desk.show_quotation(self._quotation(request.match_info["id"]))
        )

    async def transaction(self, request: web.Request) -> web.StreamResponse:
        """By its id, or by the client's with `ext-` before it."""
        self._world.status_read_count += 1

        def found() -> Any:
            wanted = request.match_info["id"]
            remembered = self._desk.remembered(wanted[4:]) if wanted.startswith("ext-") else None
            try:
                return self._desk.show(self._transaction(wanted))
            except ThunesRefused:
                if remembered is None or wanted[4:] in self._desk.transactions_by_ext:
                    raise
                return remembered

        return await self._read(request, "read", found)

    async def counts(self, request: web.Request) -> web.StreamResponse:
        """For tests: what there is under a transaction's external id."""
        external_id = request.match_info["external_id"]
        found = self._desk.transactions_by_ext.get(external_id)
        quotations = [ext for ext in self._desk.quotations_by_ext if ext.startswith(external_id)]
        return json_response(
            {
                "quotations": quotations,
                "transactions": 0 if found is None else 1,
                "confirms_received": 0 if found is None else found.confirms_received,
                "status": None if found is None else self._desk.code_of(found),
                "id": None if found is None else found.id,
            }
        )

    # ---- writes ------------------------------------------------------------------------------------

    async def quote(self, request: web.Request) -> web.StreamResponse:
        """Makes an offer."""

        def read(raw: bytes) -> tuple[str, Script, Act]:
            wanted = read_quotation(raw, PAYERS, self._desk.config.source_currency)

            async def act() -> dict[str, Any]:
                return self._desk.show_quotation(self._desk.quote(wanted))

            return wanted.external_id, SUCCESS, act

        return await self._write(request, "quotation", read, status=201)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Makes a transaction of an offer; moves nothing."""

        def read(raw: bytes) -> tuple[str, Script, Act]:
            quotation = self._quotation(request.match_info["id"])
            wanted = quotation.request
            body = read_transaction(raw, wanted.transaction_type, wanted.payer)
            self._world.ledger.submitted(body["external_id"])

            async def act() -> dict[str, Any]:
                _refuse_by_number(CREATE_REFUSED, body["credit_party_identifier"]["msisdn"])
                return self._desk.show(self._desk.create(quotation, body))

            return body["external_id"], SUCCESS, act

        return await self._write(request, "transaction", read, status=201)

    async def confirm(self, request: web.Request) -> web.StreamResponse:
        """Takes a transaction up; from here on money moves."""

        def read(raw: bytes) -> tuple[str, Script, Act]:
            transaction = self._transaction(request.match_info["id"])
            transaction.confirms_received += 1
            # The number's bad answer was given the first time; who asks again may learn the truth.
            first = transaction.order is None
            script = confirm_script(transaction.msisdn) if first else SUCCESS

            async def act() -> dict[str, Any]:
                if first:
                    _refuse_by_number(CONFIRM_REFUSED, transaction.msisdn)
                course = confirm_script(transaction.msisdn)
                overtaking = self._desk.confirm(transaction, course, out_of_money=self._faults.out_of_float)
                shown = self._desk.show(transaction)
                if any(step.notices for step in course.course):
                    self._callbacks.post(transaction)
                await tried(overtaking)
                return shown

            return transaction.external_id, script, act

        return await self._write(request, "confirm", read)

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Ends what was not confirmed."""

        def read(raw: bytes) -> tuple[str, Script, Act]:
            transaction = self._transaction(request.match_info["id"])

            async def act() -> dict[str, Any]:
                self._desk.cancel(transaction)
                self._callbacks.post(transaction)
                return self._desk.show(transaction)

            return transaction.external_id, SUCCESS, act

        return await self._write(request, "cancel", read)

    # ---- on its way --------------------------------------------------------------------------------

    @property
    def _faults(self) -> Faults:
        return self._world.faults[NAME]

    async def _read(self, request: web.Request, step: str, find: Callable[[], Any]) -> web.StreamResponse:
        try:
            self._authenticate(request)
            dice = Dice(self._world.config.seed, NAME, "read", self._world.status_read_count)
            await self._world.pause(dice.between("delay", self._faults.delay_s_min, self._faults.delay_s_max))
            mishap = self._plan.take(step)
            if mishap is not None:
                return await self._reply(request, mishap.reply, mishap, find() if mishap.acts else None)
            if step == "read" and dice.hits("status_error", self._faults.status_error_rate):
                raise ThunesRefused("1009001", "Unexpected error", status=500)
            return json_response(find())
        except ThunesRefused as refused:
            return refused.response()

    async def _write(
        self,
        request: web.Request,
        step: str,
        read: Callable[[bytes], tuple[str, Script, Act]],
        *,
        status: int = 200,
    ) -> web.StreamResponse:
        try:
            self._authenticate(request)
            reference, script, act = read(await request.read())
            self._write_count += 1
            dice = Dice(self._world.config.seed, NAME, step, reference, self._write_count)
            faults = self._faults.model_copy(update={"out_of_float": False})
            mishap = self._plan.take(step)
            if mishap is not None:
                acts = Acts.AT_ONCE if mishap.acts else Acts.NEVER
                script = replace(SUCCESS, acts=acts)
            else:
                script = bend(script, faults, dice)
            delay_s = dice.between("delay", faults.delay_s_min, faults.delay_s_max)
            late_s = self._world.config.late_reply_s if script.acts is Acts.LATE else 0.0
            acting = self._act(act, script, delay_s + late_s)
            shown = await (self._world.see_through(acting) if delay_s + late_s else acting)
            reply = mishap.reply if mishap is not None else script.reply.name
            return await self._reply(request, reply, mishap, shown, status=status)
        except ThunesRefused as refused:
            return refused.response()

    async def _act(self, act: Act, script: Script, before_s: float) -> dict[str, Any] | None:
        await self._world.pause(before_s)
        return None if script.acts is Acts.NEVER else await act()

    async def _reply(
        self, request: web.Request, reply: str, mishap: Mishap | None, shown: Any, *, status: int = 200
    ) -> web.StreamResponse:
        if reply == "RAW" and mishap is not None:
            return mishap.raw()
        kind, config = Reply[reply], self._world.config
        waits_s = {Reply.SLOW: config.slow_s, Reply.LATE: config.late_reply_s, Reply.HANG: config.hang_s}
        await self._world.pause(waits_s.get(kind, 0.0))
        if kind in (Reply.HANG, Reply.RESET):
            return reset(request)
        if kind in _REFUSALS:
            http, code, message = _REFUSALS[kind]
            response = ThunesRefused(code, message, status=http).response()
            if kind in (Reply.THROTTLED_429, Reply.MAINTENANCE_503):
                response.headers["Retry-After"] = str(config.retry_after_s)
            return response
        if kind is Reply.HTML_502:
            return web.Response(status=502, text=_HTML, content_type="text/html")
        if kind is Reply.GARBAGE_200 or shown is None:
            return web.Response(status=200, text=_GARBAGE, content_type="application/json")
        return json_response(shown, status=status)

    def _authenticate(self, request: web.Request) -> None:
        config = self._desk.config
        expected = base64.b64encode(f"{config.api_key}:{config.api_secret}".encode())
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(b"Basic " + expected, given):
            raise ThunesRefused("1000401", "Unauthorized", status=401)

    def _quotation(self, wanted: str) -> Quotation:
        desk = self._desk
        by_ext = wanted.startswith("ext-")
        found = desk.quotations_by_ext.get(wanted[4:]) if by_ext else desk.quotations.get(_number(wanted))
        if found is None:
            raise ThunesRefused("1008002", "Quotation not found", status=404)
        return found

    def _transaction(self, wanted: str) -> Transaction:
        desk = self._desk
        by_ext = wanted.startswith("ext-")
        found = desk.transaction_by_ext(wanted[4:]) if by_ext else desk.transactions.get(_number(wanted))
        if found is None:
            raise ThunesRefused("1008004", "Transaction not found", status=404)
        return found


def build(world: World) -> Thunes:
    """Thunes, joined to the world."""
    return Thunes(world)


def _refuse_by_number(table: Any, msisdn: str) -> None:
    if msisdn[-4:] in table:
        raise ThunesRefused(*table[msisdn[-4:]])


def _payer_of(request: web.Request) -> Payer:
    payer = PAYERS.get(_number(request.match_info["id"]))
    if payer is None or request.match_info.get("kind", TYPES[0]) not in TYPES:
        raise ThunesRefused("1000404", "Resource not found", status=404)
    return payer


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else -1
