"""PayGate Global, an aggregator of Togo for both wallets (profile C, providers page 5.3).

Its answers are HTTP 200 with a code in the body; its callbacks have neither status nor signature. Where the contract is
silent [U] this stand-in is strict, and says 404 to an identifier that it does not know.

Magic numbers of its own: 0600 status 0 (which is no acceptance), 0602, 0604 and 0606 its submit codes, 0605 its other
error shape, 0403 accepted and cancelled later (0401: expired later).
"""

import hmac
import re
from collections.abc import Iterator
from typing import Any

import orjson
from aiohttp import web

from nepxy.sandbox.book import Order
from nepxy.sandbox.config import PayGateConfig
from nepxy.sandbox.magic import BY_NAME
from nepxy.sandbox.script import Acts, Notice, Reply, Script, Status
from nepxy.sandbox.wallet import AMOUNT_MAX, Ask, Wallet, is_visible
from nepxy.sandbox.wire import json_response
from nepxy.sandbox.world import World

NAME = "paygate"
NETWORKS = {
    "TMONEY": re.compile(r"\+?228(7[0-3]|9[0-3])[0-9]{6}"),
    "FLOOZ": re.compile(r"\+?228(7[89]|9[6-9])[0-9]{6}"),
}
CODES = {"0600": 0, "0602": 2, "0604": 4, "0606": 6}
CANCELLED_LATER = "0403"
OTHER_ERROR = "0605"
_TEXTS = ("phone_number", "reason", "network")
_REFERENCE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _Refused(Exception):
    """The request gets this submit code and nothing was done."""

    def __init__(self, code: int) -> None:
        self.code = code


class PayGate(Wallet):
    """One account."""

    def __init__(self, world: World, config: PayGateConfig) -> None:
        super().__init__(world, name=NAME, duplicates=config.duplicate_behaviour)
        self._config = config

    def routes(self) -> list[web.RouteDef]:
        """Submit, the two status calls and the balance."""
        return [
            web.post(f"/{NAME}/api/v1/disburse", self.disburse),
            web.post(f"/{NAME}/api/v1/status", self.status),
            web.post(f"/{NAME}/api/v2/status", self.status_by_identifier),
            web.post(f"/{NAME}/api/v1/check-balance", self.check_balance),
        ]

    async def disburse(self, request: web.Request) -> web.StreamResponse:
        """Takes up a payout."""
        try:
            body = self._authenticated(await request.read())
            ask = _ask(body)
        except _Refused as refused:
            return json_response({"status": refused.code})
        return await self.take(request, ask)

    async def status(self, request: web.Request) -> web.StreamResponse:
        """By PayGate's reference."""
        return await self._answer_status(await request.read(), "tx_reference")

    async def status_by_identifier(self, request: web.Request) -> web.StreamResponse:
        """By the client's."""
        return await self._answer_status(await request.read(), "identifier")

    async def check_balance(self, request: web.Request) -> web.StreamResponse:
        """Both floats."""
        try:
            self._authenticated(await request.read())
        except _Refused as refused:
            return json_response({"status": refused.code})
        paid = dict.fromkeys(NETWORKS, 0)
        for movement in self.world.ledger.movements:
            if movement.provider == NAME:
                paid[_network_of(movement.msisdn)] += movement.amount
        floats = {
            network.lower(): 0 if self.faults.out_of_float else self._config.balance - amount
            for network, amount in paid.items()
        }
        return json_response(floats)

    def accepted(self, order: Order, ask: Ask) -> web.Response:
        """200 in the body."""
        return json_response({"tx_reference": order.provider_ref, "status": 200})

    def problem(self, reply: Reply, ask: Ask) -> web.Response:
        """PayGate's codes where it has one; its network's own answers else."""
        suffix = ask.msisdn[-4:]
        if reply is Reply.REJECTED_422 and suffix in CODES:
            return json_response({"status": CODES[suffix]})
        match reply:
            case Reply.REJECTED_422 if suffix != OTHER_ERROR:
                return json_response({"status": 4})
            case Reply.BAD_CREDENTIALS_401:
                return json_response({"status": 2})
            case Reply.IP_NOT_ALLOWED_403:
                return json_response(_error("IP_NOT_REGISTERED"), status=403)
            case Reply.THROTTLED_429:
                return json_response(_error("TOO_MANY_REQUESTS"), status=429)
            case Reply.MAINTENANCE_503:
                return json_response(_error("MAINTENANCE"), status=503)
            case Reply.ERROR_500:
                return json_response(_error("INTERNAL_ERROR"), status=500)
            case _:
                # Want of float has no documented code [U].
                return json_response(_error("DISBURSE_FAILED"))

    def repeated(self, ask: Ask, *, same: bool) -> web.Response:
        """Code 6, as for payments; for disburse it is not documented."""
        return json_response({"status": 6})

    def script_of(self, ask: Ask) -> Script:
        """PayGate's own magic numbers, then everybody's."""
        suffix = ask.msisdn[-4:]
        if suffix in CODES or suffix == OTHER_ERROR:
            return Script(name=f"paygate_{suffix}", what="refused", acts=Acts.NEVER, reply=Reply.REJECTED_422)
        # By a name that a restart knows: how it failed is told by the number.
        return BY_NAME["fails_later"] if suffix == CANCELLED_LATER else super().script_of(ask)

    def messages(self, order: Order, notice: Notice) -> Iterator[tuple[str, bytes, dict[str, str]]]:
        """One callback; it says that something happened, not what."""
        if self._config.callback_url is None:
            return
        network = _network_of(order.msisdn)
        body = {
            "tx_reference": order.provider_ref,
            "identifier": order.external_id,
            "payment_reference": f"OP{order.provider_ref}",
            "amount": order.amount,
            "datetime": "2026-11-24 12:00:00",
            "payment_method": "T-Money" if network == "TMONEY" else network,
            "phone_number": order.msisdn,
        }
        yield self._config.callback_url, orjson.dumps(body), {"Content-Type": "application/json"}

    def _authenticated(self, raw: bytes) -> dict[str, Any]:
        try:
            body: Any = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise _Refused(4) from None
        token = body.get("auth_token") if type(body) is dict else None
        if not isinstance(token, str):
            raise _Refused(4)
        if not hmac.compare_digest(token.encode(), self._config.auth_token.encode()):
            raise _Refused(2)
        return {key: value for key, value in body.items() if key != "auth_token"}

    async def _answer_status(self, raw: bytes, key: str) -> web.StreamResponse:
        try:
            body = self._authenticated(raw)
        except _Refused as refused:
            # The worst reading of the contract: the codes of a submit, which mean something else in a status [U].
            return json_response({"status": refused.code})
        reference = body.get(key)
        if not isinstance(reference, str) or set(body) != {key}:
            return json_response({"status": 4})
        if await self.read_fails(reference):
            return json_response(_error("INTERNAL_ERROR"), status=500)
        book = self.world.book
        order = book.latest(NAME, reference) if key == "identifier" else book.find(NAME, reference)
        if order is None or not is_visible(order, self._config.visible_after_s):
            return json_response(_error("TRANSACTION_NOT_FOUND"), status=404)
        return json_response(
            {
                "tx_reference": order.provider_ref,
                "identifier": order.external_id,
                "payment_reference": f"OP{order.provider_ref}",
                "status": _status_of(order),
                "amount": order.amount,
                "datetime": "2026-11-24 12:00:00",
                "payment_method": "T-Money" if _network_of(order.msisdn) == "TMONEY" else "FLOOZ",
            }
        )


def build(world: World) -> PayGate:
    """PayGate, joined to the world."""
    return PayGate(world, world.config.paygate)


def _ask(body: dict[str, Any]) -> Ask:
    """Reads a disburse, strictly.

    Raises:
        _Refused: code 4.
    """
    if not set(_TEXTS) | {"amount"} <= set(body) <= set(_TEXTS) | {"amount", "reference"}:
        raise _Refused(4)
    reference = body.get("reference", "")
    if any(type(body[name]) is not str or not body[name] for name in _TEXTS) or type(reference) is not str:
        raise _Refused(4)
    # By exact type: a bool is an int in Python, and a float is no amount however round.
    if type(body["amount"]) is not int or not 1 <= body["amount"] <= AMOUNT_MAX:
        raise _Refused(4)
    pattern = NETWORKS.get(body["network"])
    if pattern is None or pattern.fullmatch(body["phone_number"]) is None:
        raise _Refused(4)
    if reference and _REFERENCE.fullmatch(reference) is None:
        raise _Refused(4)
    number = "+" + body["phone_number"].removeprefix("+")
    return Ask(external_id=reference, msisdn=number, amount=body["amount"], currency="XOF")


def _network_of(msisdn: str) -> str:
    return next(network for network, pattern in NETWORKS.items() if pattern.fullmatch(msisdn))


def _status_of(order: Order) -> int:
    match order.status:
        case Status.SUCCESS:
            return 0
        case Status.FAILED:
            return 6 if order.msisdn.endswith(CANCELLED_LATER) else 4
        case _:
            return 2


def _error(code: str) -> dict[str, str]:
    return {"error_code": code, "error_message": code.replace("_", " ").lower()}
