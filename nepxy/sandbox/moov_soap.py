"""Moov Africa Benin's merchant SOAP endpoint (profile B, providers page 5.2 [I]).

It pays within the call; an order that will not be paid at once is answered with 100, pending. There are no callbacks.
Where the contract is silent [U] this stand-in is strict: known elements only, whole francs, numbers of 13 digits.

Magic numbers of its own: 06xx answers status xx without acting (0655: 555, 0690: -1, 0693: 101), 0791 to 0799 pay and
answer 91 to 99 all the same (0790: -1): the codes whose meaning nobody agrees on.
"""

import hmac
import re
from dataclasses import dataclass, field, replace
from typing import NoReturn
from xml.parsers import expat
from xml.sax.saxutils import escape

from aiohttp import web

from nepxy.sandbox.book import Order
from nepxy.sandbox.config import MoovConfig
from nepxy.sandbox.magic import BY_NAME, SUCCESS
from nepxy.sandbox.script import Acts, Reply, Script, Status, Step
from nepxy.sandbox.wallet import AMOUNT_MAX, Ask, Wallet
from nepxy.sandbox.world import World

NAME = "moov-soap"
PATH = f"/{NAME}/com.tlc.merchant.api/UssdPush"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
NAMESPACE = "http://api.merchant.tlc.com/"

CODES = {
    **{f"06{code:02}": str(code) for code in (*range(1, 21), 91, 92, 94, 95, 98, 99)},
    "0655": "555",
    "0690": "-1",
    "0693": "101",
}
"""Statuses of a payout that is not made."""
PAID_YET = {f"07{code:02}": str(code) for code in (91, 92, 94, 95, 98, 99)} | {"0790": "-1"}
"""Statuses of a payout that is made all the same."""
BAD_CREDENTIALS = "98"
PARAMETERS = "91"
NO_SUCH_TRANSACTION = "94"
FAILED = "92"

_PAYS_AT_ONCE = (Step(after=0.0, becomes=Status.SUCCESS),)
_DESTINATION = re.compile(r"22901[0-9]{8}")
_AMOUNT = re.compile(r"[1-9][0-9]{0,11}")
_REFERENCE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUESTS = {
    "transferFlooz": {"destination", "amount", "referenceid", "walletid", "extendeddata"},
    "cashintrans": {"destination", "amount", "referenceid", "remarks"},
    "getTransactionStatus": {"transid"},
    "getBalance": {"msisdn"},
    "getMobileAccountStatus": {"msisdn"},
}


class _Malformed(Exception):
    """The request gets a SOAP fault."""


class MoovSoap(Wallet):
    """One merchant account."""

    def __init__(self, world: World, config: MoovConfig) -> None:
        super().__init__(world, name=NAME, duplicates=config.duplicate_behaviour)
        self._config = config
        self._operations: dict[str, str] = {}
        """By which operation each reference came last."""

    def routes(self) -> list[web.RouteDef]:
        """The one endpoint."""
        return [web.post(PATH, self.serve)]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Reads which operation is asked for, and does it."""
        try:
            operation, token, fields = read_request(await request.read())
        except _Malformed as malformed:
            return _fault(str(malformed))
        if not hmac.compare_digest(token.encode(), self._config.token.encode()):
            return _answer(operation, status=BAD_CREDENTIALS, message="bad credentials")
        match operation:
            case "getBalance":
                return self._balance(fields)
            case "getMobileAccountStatus":
                return _account_status(fields)
            case "getTransactionStatus":
                return await self._status(fields["transid"])
        wrong = _wrong_status(fields)
        if wrong is not None:
            return _answer(operation, status=wrong, referenceid=fields["referenceid"])
        ask = Ask(
            external_id=fields["referenceid"],
            msisdn=f"+{fields['destination']}",
            amount=int(fields["amount"]),
            currency="XOF",
        )
        self._operations[ask.external_id] = operation
        return await self.take(request, ask)

    def accepted(self, order: Order, ask: Ask) -> web.Response:
        """Paid, or pending."""
        code = PAID_YET.get(ask.msisdn[-4:])
        if code is not None:
            return self._said(ask, status=code)
        paid = order.status is Status.SUCCESS
        before = self._config.balance - self.moved_amount() + (order.amount if paid else 0)
        return self._said(
            ask,
            status="0" if paid else "100",
            message="SUCCESS" if paid else "PENDING",
            transactionid=order.provider_ref,
            senderkeycost="0",
            senderbonus="0",
            senderbalancebefore=str(before),
            senderbalanceafter=str(before - order.amount if paid else before),
        )

    def problem(self, reply: Reply, ask: Ask) -> web.Response:
        """Moov's codes where it has one; HTTP errors from what stands before it."""
        match reply:
            case Reply.REJECTED_422:
                code = CODES.get(ask.msisdn[-4:], "6")
                return self._said(ask, status=code)
            case Reply.INSUFFICIENT_FLOAT_402 | Reply.INSUFFICIENT_FLOAT_403:
                return self._said(ask, status="10")
            case Reply.BAD_CREDENTIALS_401:
                return self._said(ask, status=BAD_CREDENTIALS)
            case Reply.IP_NOT_ALLOWED_403:
                return web.Response(status=403, text="Forbidden")
            case Reply.THROTTLED_429:
                return web.Response(status=429, text="Too Many Requests")
            case Reply.MAINTENANCE_503:
                return web.Response(status=503, text="Service Unavailable")
            case _:
                return _fault("For input string")

    def repeated(self, ask: Ask, *, same: bool) -> web.Response:
        """92, failed: no code of its own is documented [U]."""
        return self._said(ask, status=FAILED)

    def script_of(self, ask: Ask) -> Script:
        """Moov's own magic numbers, then everybody's; what succeeds does so within the call."""
        suffix = ask.msisdn[-4:]
        if suffix in CODES:
            return Script(name=f"moov_{suffix}", what="refused", acts=Acts.NEVER, reply=Reply.REJECTED_422)
        script = super().script_of(ask) if suffix not in PAID_YET else SUCCESS
        if script is SUCCESS or (script.course and script.course[0].becomes is Status.SUCCESS):
            return replace(script, course=_PAYS_AT_ONCE)
        return BY_NAME[script.name]

    def _said(self, ask: Ask, **fields: str) -> web.Response:
        operation = self._operations.get(ask.external_id, "transferFlooz")
        return _answer(operation, referenceid=ask.external_id, **fields)

    def _balance(self, fields: dict[str, str]) -> web.Response:
        if fields["msisdn"] != self._config.merchant_msisdn:
            return _answer("getBalance", status="555", message="not registered")
        balance = 0 if self.faults.out_of_float else self._config.balance - self.moved_amount()
        return _answer("getBalance", status="0", message="SUCCESS", balance=str(balance))

    async def _status(self, transid: str) -> web.Response:
        if await self.read_fails(transid):
            return _fault("unexpected error")
        book = self.world.book
        order = book.find(NAME, transid)
        if order is None and self._config.status_lookup_by_our_reference:
            order = book.latest(NAME, transid)
        operation = "getTransactionStatus"
        if order is None:
            return _answer(operation, status=NO_SUCH_TRANSACTION, description="does not exist")
        code, word = {
            Status.SUCCESS: ("0", "SUCCESS"),
            Status.FAILED: (FAILED, "FAILED"),
            Status.PENDING: ("100", "PENDING"),
        }[order.status]
        return _answer(
            operation,
            status=code,
            description=word,
            referenceid=order.external_id,
            transid=order.provider_ref,
        )


def build(world: World) -> MoovSoap:
    """Moov Benin, joined to the world."""
    return MoovSoap(world, world.config.moov_soap)


@dataclass(slots=True)
class _Reader:
    """Collects elements by their path of local names; refuses what no client of this endpoint has to send."""

    path: list[str] = field(default_factory=list)
    found: dict[tuple[str, ...], str] = field(default_factory=dict)
    text: str = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if namespace != {0: SOAP, 1: SOAP, 2: NAMESPACE}.get(len(self.path), ""):
            raise _Malformed("For input string")
        self.path.append(local)
        if tuple(self.path) in self.found or len(self.path) > 5:
            raise _Malformed("For input string")
        self.found[tuple(self.path)] = ""
        self.text = ""

    def characters(self, text: str) -> None:
        self.text += text

    def end(self, name: str) -> None:
        self.found[tuple(self.path)] = self.text.strip()
        self.path.pop()
        self.text = ""

    def refuse(self, *_: object) -> NoReturn:
        raise _Malformed("DOCTYPE is not allowed")


def read_request(raw: bytes) -> tuple[str, str, dict[str, str]]:
    """Reads an envelope, strictly.

    Returns:
        The operation, its token, and the fields of its request.

    Raises:
        _Malformed: it is no envelope of one known operation with its own fields, each once.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, ValueError, LookupError):
        raise _Malformed("the body is not XML") from None
    operations = [path[2] for path in reader.found if path[:2] == ("Envelope", "Body") and len(path) == 3]
    if len(operations) != 1 or operations[0] not in _REQUESTS:
        raise _Malformed("Cannot find dispatch method")
    here = ("Envelope", "Body", operations[0])
    request = {
        path[4]: text
        for path, text in reader.found.items()
        if path[:4] == (*here, "request") and len(path) == 5
    }
    token = reader.found.get((*here, "token"), "")
    if set(request) != _REQUESTS[operations[0]] or not token:
        raise _Malformed("For input string")
    return operations[0], token, request


def _wrong_status(fields: dict[str, str]) -> str | None:
    """Which status a payout's fields get, if anything is wrong with them."""
    if _REFERENCE.fullmatch(fields["referenceid"]) is None or fields.get("walletid", "0") != "0":
        return PARAMETERS
    if _AMOUNT.fullmatch(fields["amount"]) is None or int(fields["amount"]) > AMOUNT_MAX:
        return PARAMETERS
    return None if _DESTINATION.fullmatch(fields["destination"]) else "3"


def _account_status(fields: dict[str, str]) -> web.Response:
    """The magic numbers of a payout say here what it would say; 0609 is inactive."""
    code = CODES.get(fields["msisdn"][-4:], "0")
    if _DESTINATION.fullmatch(fields["msisdn"]) is None:
        code = "3"
    more = {"allowedtransfer": "1", "accounttype": "SUBSCRIBER", "firstname": "Ama"} if code == "0" else {}
    return _answer("getMobileAccountStatus", status=code, msisdn=fields["msisdn"], **more)


def _answer(operation: str, **fields: str) -> web.Response:
    inside = {"getTransactionStatus": "response"}.get(operation, "return")
    leaves = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
    return _envelope(
        f'<ns2:{operation}Response xmlns:ns2="{NAMESPACE}"><{inside}>{leaves}</{inside}></ns2:{operation}Response>'
    )


def _fault(text: str) -> web.Response:
    return _envelope(
        f"<soap:Fault><faultcode>soap:Server</faultcode><faultstring>{escape(text)}</faultstring></soap:Fault>",
        status=500,
    )


def _envelope(body: str, *, status: int = 200) -> web.Response:
    text = f'<soap:Envelope xmlns:soap="{SOAP}"><soap:Body>{body}</soap:Body></soap:Envelope>'
    return web.Response(status=status, text=text, content_type="text/xml")
