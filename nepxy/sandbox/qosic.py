"""Qosic (QOSPAY), an aggregator, as it pays in Togo through Togocom and Moov (profile D, providers page 5.4).

Its codes are texts in an HTTP 200 or 202; the same 00 means accepted in a deposit's answer and done in a query's. A
reference that it does not know, or does not know yet, looks like a failure. Callbacks are unsigned.

Magic numbers of its own: 06xx answers a code without acting (see `CODES`), 0601 accepts with 01, 0403 and 0404 fail
later with 02 and -2 (0401: with -1), 0405 with 529.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import orjson
from aiohttp import web

from nepxy.sandbox.book import Order
from nepxy.sandbox.config import QosicConfig
from nepxy.sandbox.magic import BY_NAME
from nepxy.sandbox.script import Acts, Notice, Reply, Script, Status
from nepxy.sandbox.wallet import AMOUNT_MAX, Ask, Wallet, is_visible
from nepxy.sandbox.wire import error_response, json_response
from nepxy.sandbox.world import World

NAME = "qosic"
NUMBERS = {
    "tm": re.compile(r"228(7[0-3]|9[0-3])[0-9]{6}"),
    "tg": re.compile(r"228(7[89]|9[6-9])[0-9]{6}"),
}
ANY_NUMBER = re.compile(r"[1-9][0-9]{10}|[1-9][0-9]{12}")
CODES = {
    "0602": "02",
    "0610": "100",
    "0611": "-1",
    "0612": "-2",
    "0615": "515",
    "0627": "527",
    "0629": "529",
    "0649": "849",
    "0680": "580",
    "0682": "682",
    "0699": "96",
}
"""Answers to a deposit that is not taken up."""
PENDING_AT_ONCE = "0601"
LATER = {"0401": "-1", "0403": "02", "0404": "-2", "0405": "529"}
"""Answers to a query about a deposit that failed."""
_DEPOSIT = {"msisdn", "amount", "transref", "clientid"}
_QUERY = {"transref", "clientid"}
_TRANSREF = re.compile(r"[A-Za-z0-9._-]{1,64}")
_AMOUNT = re.compile(r"[1-9][0-9]{0,11}")


class Qosic(Wallet):
    """One account with a client id for each operator."""

    def __init__(self, world: World, config: QosicConfig) -> None:
        super().__init__(world, name=NAME, duplicates=config.duplicate_behaviour)
        self._config = config
        self._clients = {"tm": config.client_id_tm, "tg": config.client_id_tg}

    def routes(self) -> list[web.RouteDef]:
        """Deposit and query, for each operator."""
        base = f"/{NAME}/QosicBridge/{{operator:tm|tg}}/v1"
        return [
            web.post(f"{base}/deposit", self.deposit),
            web.post(f"{base}/gettransactionstatus", self.query),
        ]

    async def deposit(self, request: web.Request) -> web.StreamResponse:
        """Takes up a payout."""
        if not self._is_client(request):
            return error_response(401, "UNAUTHORIZED", "credentials or address are wrong")
        operator = request.match_info["operator"]
        body = self._read(await request.read(), _DEPOSIT, operator)
        if body is None or _AMOUNT.fullmatch(body["amount"]) is None or int(body["amount"]) > AMOUNT_MAX:
            return error_response(400, "BAD_REQUEST", "a field is missing, unknown or malformed")
        if ANY_NUMBER.fullmatch(body["msisdn"]) is None:
            return json_response(_answer("849", body["transref"]))
        if NUMBERS[operator].fullmatch(body["msisdn"]) is None:
            return json_response(_answer("515", body["transref"]))
        number = f"+{body['msisdn']}"
        ask = Ask(external_id=body["transref"], msisdn=number, amount=int(body["amount"]), currency="XOF")
        return await self.take(request, ask)

    async def query(self, request: web.Request) -> web.StreamResponse:
        """What became of a deposit; one that is not known is said to have failed."""
        if not self._is_client(request):
            return error_response(401, "UNAUTHORIZED", "credentials or address are wrong")
        body = self._read(await request.read(), _QUERY, request.match_info["operator"])
        if body is None:
            return error_response(400, "BAD_REQUEST", "a field is missing, unknown or malformed")
        transref = body["transref"]
        if await self.read_fails(transref):
            return error_response(500, "INTERNAL_ERROR", "unexpected error")
        order = self.world.book.latest(NAME, transref)
        if order is None or not is_visible(order, self._config.visible_after_s):
            return json_response(_answer("-1", transref))
        return json_response(_answer(_code_of(order), transref, order))

    def accepted(self, order: Order, ask: Ask) -> web.Response:
        """202 with 00, or with 01 where the operator is slow."""
        code = "01" if ask.msisdn.endswith(PENDING_AT_ONCE) else "00"
        return json_response(_answer(code, ask.external_id, order), status=202)

    def problem(self, reply: Reply, ask: Ask) -> web.Response:
        """Qosic's codes where it has one; 401 for credentials and addresses alike."""
        match reply:
            case Reply.REJECTED_422:
                return json_response(_answer(CODES.get(ask.msisdn[-4:], "-1"), ask.external_id))
            case Reply.INSUFFICIENT_FLOAT_402 | Reply.INSUFFICIENT_FLOAT_403:
                return json_response(_answer("529", ask.external_id))
            case Reply.BAD_CREDENTIALS_401 | Reply.IP_NOT_ALLOWED_403:
                return error_response(401, "UNAUTHORIZED", "credentials or address are wrong")
            case Reply.THROTTLED_429:
                return error_response(429, "TOO_MANY_REQUESTS", "slow down")
            case Reply.MAINTENANCE_503:
                return error_response(503, "MAINTENANCE", "the service is under maintenance")
            case _:
                return error_response(500, "INTERNAL_ERROR", "unexpected error")

    def repeated(self, ask: Ask, *, same: bool) -> web.Response:
        """A failure like any other: no code of its own is documented [U]."""
        return json_response(_answer("-1", ask.external_id))

    def script_of(self, ask: Ask) -> Script:
        """Qosic's own magic numbers, then everybody's."""
        suffix = ask.msisdn[-4:]
        if suffix in CODES:
            return Script(name=f"qosic_{suffix}", what="refused", acts=Acts.NEVER, reply=Reply.REJECTED_422)
        # By a name that a restart knows: how it failed is told by the number.
        return BY_NAME["fails_later"] if suffix in LATER else super().script_of(ask)

    def messages(self, order: Order, notice: Notice) -> Iterator[tuple[str, bytes, dict[str, str]]]:
        """One callback, unsigned."""
        if self._config.callback_url is None:
            return
        paid = (notice.says or order.status) is Status.SUCCESS
        body = {
            "status": "SUCCESSFUL" if paid else "FAILED",
            "transRef": order.external_id,
            "serviceRef": order.provider_ref,
            "amount": str(order.amount),
            "code": "200" if paid else "-1",
        }
        if not notice.with_status:
            del body["status"]
        yield self._config.callback_url, orjson.dumps(body), {"Content-Type": "application/json"}

    def _is_client(self, request: web.Request) -> bool:
        expected = b64encode(f"{self._config.user}:{self._config.password}".encode())
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, b"Basic " + expected)

    def _read(self, raw: bytes, fields: set[str], operator: str) -> dict[str, str] | None:
        """The body, if it has exactly these fields, all texts, and the operator's own client id."""
        try:
            body: Any = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return None
        if type(body) is not dict or set(body) != fields:
            return None
        if any(type(value) is not str for value in body.values()):
            return None
        known = body["clientid"] == self._clients[operator]
        return body if known and _TRANSREF.fullmatch(body["transref"]) else None


def build(world: World) -> Qosic:
    """Qosic, joined to the world."""
    return Qosic(world, world.config.qosic)


def _code_of(order: Order) -> str:
    match order.status:
        case Status.SUCCESS:
            return "00"
        case Status.FAILED:
            return LATER.get(order.msisdn[-4:], "-1")
        case _:
            return "01"


def _answer(code: str, transref: str, order: Order | None = None) -> dict[str, str]:
    word = {"00": "SUCCESSFUL", "01": "PENDING"}.get(code, "FAILED")
    service_ref = "0" if order is None else order.provider_ref
    return {
        "responsecode": code,
        "responsemsg": word,
        "transref": transref,
        "serviceref": service_ref,
        "comment": "",
    }
