"""Profile A, the generic JSON protocol (providers page 5.1 [N], webhooks section 8), for any wallet that speaks it.

Where the contract is silent [U] this stand-in is strict: exactly the four documented fields, of their exact types.
"""

import asyncio
import hmac
import re
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from nepxy.sandbox.book import Order
from nepxy.sandbox.config import AuthMode, DuplicateBehaviour, ProviderConfig
from nepxy.sandbox.connection import reset
from nepxy.sandbox.faults import Dice, Faults, bend
from nepxy.sandbox.magic import SUCCESS, script_for
from nepxy.sandbox.script import Acts, Notice, Reply, Script, Signature
from nepxy.sandbox.webhooks import Delivery
from nepxy.sandbox.wire import Refused, error_response, json_response
from nepxy.sandbox.world import World

AMOUNT_MAX = 10**12
WEBHOOK_BEFORE_REPLY_S_MAX = 5.0
"""How long a submit waits for the webhook that is to overtake it."""
DUPLICATE_WEBHOOK_COPIES = 3

_FIELDS = ("external_id", "amount_cents", "currency", "msisdn")
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")

# Each answer to a submit that is neither an acceptance nor a matter of time or connection.
_ERRORS: dict[Reply, tuple[int, str, str]] = {
    Reply.ERROR_500: (500, "INTERNAL_ERROR", "unexpected error"),
    Reply.MAINTENANCE_503: (503, "MAINTENANCE", "the service is under maintenance"),
    Reply.THROTTLED_429: (429, "TOO_MANY_REQUESTS", "slow down"),
    Reply.REJECTED_422: (422, "PAYEE_NOT_ELIGIBLE", "the wallet cannot receive money"),
    Reply.INSUFFICIENT_FLOAT_402: (402, "INSUFFICIENT_FLOAT", "the merchant account has not enough balance"),
    Reply.INSUFFICIENT_FLOAT_403: (403, "INSUFFICIENT_FLOAT", "the merchant account has not enough balance"),
    Reply.IP_NOT_ALLOWED_403: (403, "IP_NOT_ALLOWED", "this address is not on the allow-list"),
    Reply.BAD_CREDENTIALS_401: (401, "UNAUTHORIZED", "credentials were revoked"),
}
_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_GARBAGE = "<!doctype html><p>OK, but not {json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cashout:
    """A submit as it was read; every field has been checked."""

    external_id: str
    amount_cents: int
    """ISO 4217 minor units, whatever the name says: 1000 XOF is 1000."""
    currency: str
    msisdn: str

    def as_json(self) -> dict[str, object]:
        """The request's own fields."""
        return {
            "external_id": self.external_id,
            "amount_cents": self.amount_cents,
            "currency": self.currency,
            "msisdn": self.msisdn,
        }


class ProfileA:
    """One wallet operator on profile A: its routes, answers and webhooks."""

    def __init__(
        self, world: World, config: ProviderConfig, *, name: str, msisdn: re.Pattern[str], currency: str
    ) -> None:
        """Joins the world under a name.

        Args:
            world: shared with the sandbox's other providers.
            config: this provider's account.
            name: lower case; the paths start with it.
            msisdn: what a whole payee number looks like, E.164 with `+`.
            currency: the only ISO 4217 code that its wallets hold.
        """
        self.name = name
        self._world = world
        self._config = config
        self._msisdn = msisdn
        self._currency = currency
        world.add_provider(name)
        world.book.on_notice(name, self._notify)

    def routes(self) -> list[web.RouteDef]:
        """Submit and status."""
        path = f"/{self.name}/v1/cashout"
        return [web.post(path, self.submit), web.get(path + "/{provider_ref}", self.status)]

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Takes a cash-out, or does to it what the payee's number and today's faults demand."""
        try:
            self._authenticate(request)
            cashout = read_cashout(await request.read(), msisdn=self._msisdn, currency=self._currency)
            nth_submit = self._world.ledger.submitted(cashout.external_id)
            dice = Dice(self._world.config.seed, self.name, cashout.external_id, nth_submit)
            script = bend(self._script(cashout), self._faults, dice)
            return await self._perform(request, cashout, script, dice)
        except Refused as refused:
            return refused.response()

    async def status(self, request: web.Request) -> web.StreamResponse:
        """What became of an order."""
        try:
            self._authenticate(request)
        except Refused as refused:
            return refused.response()
        self._world.status_read_count += 1
        reference = request.match_info["provider_ref"]
        faults = self._faults
        dice = Dice(self._world.config.seed, "status", reference, self._world.status_read_count)
        await self._world.pause(_delay_s(faults, dice))
        if dice.hits("status_error", faults.status_error_rate):
            return error_response(500, "INTERNAL_ERROR", "unexpected error")
        order = self._world.book.find(self.name, reference)
        if order is None and self._config.status_lookup_by_our_reference:
            order = self._world.book.latest(self.name, reference)
        if order is None:
            return error_response(404, "NOT_FOUND", "no such cashout")
        return json_response(_order_json(order))

    @property
    def _faults(self) -> Faults:
        return self._world.faults[self.name]

    @property
    def _duplicate_behaviour(self) -> DuplicateBehaviour:
        return self._faults.duplicate_behaviour or self._config.duplicate_behaviour

    def _authenticate(self, request: web.Request) -> None:
        mode, key = self._config.auth_mode, self._config.api_key
        if mode is AuthMode.NONE:
            return
        header, expected = (
            ("Authorization", f"Bearer {key}") if mode is AuthMode.BEARER else ("X-Api-Key", key)
        )
        given = request.headers.get(header, "")
        if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape")):
            raise Refused(401, "UNAUTHORIZED", "credentials are missing or wrong")

    def _script(self, cashout: Cashout) -> Script:
        repeated = self._world.book.latest(self.name, cashout.external_id) is not None
        if repeated and self._duplicate_behaviour is not DuplicateBehaviour.PAYS_AGAIN:
            # The number's bad answer was given the first time; a client that asks again may learn the truth.
            return SUCCESS
        return script_for(cashout.msisdn)

    async def _perform(
        self, request: web.Request, cashout: Cashout, script: Script, dice: Dice
    ) -> web.StreamResponse:
        # A slow request and a slow answer are different dangers: only the first can be looked up before it acts.
        delay_s = _delay_s(self._faults, dice)
        slow_request = delay_s > 0.0 and dice.hits("slow_request", 0.5)
        before_s, after_s = (delay_s, 0.0) if slow_request else (0.0, delay_s)
        if script.acts is Acts.LATE:
            before_s += self._world.config.late_reply_s
        acting = self._act(cashout, script, before_s)
        order = await (self._world.see_through(acting) if before_s else acting)
        await self._world.pause(after_s)
        return await self._reply(request, script.reply, cashout, order)

    async def _act(self, cashout: Cashout, script: Script, before_s: float) -> Order | None:
        await self._world.pause(before_s)
        if script.acts is Acts.NEVER:
            return None
        order, overtaking = self._take_up(cashout, script)
        await _tried(overtaking)
        return order

    def _take_up(self, cashout: Cashout, script: Script) -> tuple[Order, list[Delivery]]:
        # No await from the look-up to the acceptance: two submits of one reference at once must not both be first.
        earlier = self._world.book.latest(self.name, cashout.external_id)
        behaviour = self._duplicate_behaviour
        if earlier is not None and behaviour is not DuplicateBehaviour.PAYS_AGAIN:
            if behaviour is DuplicateBehaviour.REJECTS:
                raise Refused(409, "DUPLICATE_EXTERNAL_ID", "external_id was used before")
            if cashout != _cashout_of(earlier):
                raise Refused(409, "EXTERNAL_ID_REUSED", "external_id was used before with other fields")
            return earlier, []
        return self._world.book.accept(
            provider=self.name,
            external_id=cashout.external_id,
            msisdn=cashout.msisdn,
            amount=cashout.amount_cents,
            currency=cashout.currency,
            script=script,
        )

    async def _reply(
        self, request: web.Request, reply: Reply, cashout: Cashout, order: Order | None
    ) -> web.StreamResponse:
        config = self._world.config
        match reply:
            case Reply.SLOW:
                await self._world.pause(config.slow_s)
            case Reply.LATE:
                await self._world.pause(config.late_reply_s)
            case Reply.HANG:
                await self._world.pause(config.hang_s)
        if reply in (Reply.HANG, Reply.RESET):
            return reset(request)
        if reply in _ERRORS:
            response = error_response(*_ERRORS[reply])
            if reply in (Reply.THROTTLED_429, Reply.MAINTENANCE_503):
                response.headers["Retry-After"] = str(config.retry_after_s)
            return response
        if reply is Reply.HTML_502:
            return web.Response(status=502, text=_HTML, content_type="text/html")
        if reply is Reply.GARBAGE_200 or order is None:
            return web.Response(status=200, text=_GARBAGE, content_type="application/json")
        return json_response(
            {
                "status": "ACCEPTED",
                "provider_tx_id": f"TX-{order.provider_ref}",
                "provider_ref": order.provider_ref,
                "echo": cashout.as_json(),
            },
            status=202,
        )

    def _notify(self, order: Order, notice: Notice) -> list[Delivery]:
        url = self._config.webhook_url
        if url is None:
            return []
        faults = self._faults
        dice = Dice(self._world.config.seed, self.name, order.provider_ref, order.steps_taken)
        if dice.hits("lost_webhook", faults.lost_webhook_rate):
            return []
        body = webhook_body(order, notice)
        headers = {"Content-Type": "application/json"}
        if notice.signature is not Signature.MISSING:
            secret = self._config.webhook_secret
            headers["X-Signature"] = sign(
                body, secret if notice.signature is Signature.GOOD else f"not-{secret}"
            )
        duplicated = dice.hits("duplicate_webhook", faults.duplicate_webhook_rate)
        copies = DUPLICATE_WEBHOOK_COPIES if duplicated else 1
        return [self._world.webhooks.send(url, body, headers) for _ in range(copies)]


def read_cashout(raw: bytes, *, msisdn: re.Pattern[str], currency: str) -> Cashout:
    """Reads a submit's body, strictly.

    Args:
        raw: the body as it came.
        msisdn: what a whole payee number looks like.
        currency: the only one taken.

    Raises:
        Refused: 400 if the body has not the shape of a submit, 422 if a field's value is not acceptable.
    """
    try:
        body: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refused(400, "INVALID_JSON", "the body is not JSON") from None
    if type(body) is not dict:
        raise Refused(400, "INVALID_JSON", "the body is not a JSON object")
    missing = [name for name in _FIELDS if name not in body]
    if missing:
        raise Refused(400, "MISSING_FIELD", f"missing: {', '.join(missing)}")
    unknown = sorted(set(body) - set(_FIELDS))
    if unknown:
        raise Refused(400, "UNKNOWN_FIELD", f"unknown: {', '.join(unknown)[:200]}")
    for name in _FIELDS:
        # By exact type: a bool is an int in Python, and a float is no amount however round.
        if type(body[name]) is not (int if name == "amount_cents" else str):
            raise Refused(422, "INVALID_TYPE", f"{name} has the wrong JSON type")
    if not 1 <= body["amount_cents"] <= AMOUNT_MAX:
        raise Refused(422, "INVALID_AMOUNT", f"amount_cents is an integer from 1 to {AMOUNT_MAX}")
    if _EXTERNAL_ID.fullmatch(body["external_id"]) is None:
        raise Refused(422, "INVALID_EXTERNAL_ID", "external_id is 1 to 64 of A-Z a-z 0-9 . _ : -")
    if body["currency"] != currency:
        raise Refused(422, "UNSUPPORTED_CURRENCY", f"currency must be {currency}")
    if msisdn.fullmatch(body["msisdn"]) is None:
        raise Refused(422, "INVALID_MSISDN", "msisdn is not a number of this operator, E.164 with +")
    return Cashout(**body)


def webhook_body(order: Order, notice: Notice) -> bytes:
    """The exact bytes of a webhook; the signature covers these."""
    body = _order_json(order)
    if notice.says is not None:
        body["status"] = notice.says
    if not notice.with_status:
        del body["status"]
    return orjson.dumps(body)


def sign(body: bytes, secret: str) -> str:
    """The `X-Signature` header (providers page section 8): HMAC-SHA256 of the raw body, lower-case hex."""
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


def _order_json(order: Order) -> dict[str, object]:
    body: dict[str, object] = {"status": order.status, "provider_ref": order.provider_ref}
    body |= _cashout_of(order).as_json()
    if order.message is not None:
        body["message"] = order.message
    return body


def _cashout_of(order: Order) -> Cashout:
    return Cashout(
        external_id=order.external_id,
        amount_cents=order.amount,
        currency=order.currency,
        msisdn=order.msisdn,
    )


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
