"""Profile A, the generic JSON protocol (providers page 5.1 [N], webhooks section 8), for any wallet that speaks it.

Where the contract is silent [U] this stand-in is strict: exactly the four documented fields, of their exact types.
"""

import hmac
import re
from collections.abc import Iterator
from typing import Any

import orjson
from aiohttp import web

from nepxy.sandbox.book import Order
from nepxy.sandbox.config import AuthMode, ProviderConfig
from nepxy.sandbox.script import Notice, Reply, Signature
from nepxy.sandbox.wallet import AMOUNT_MAX, Ask, Wallet, ask_of, is_visible
from nepxy.sandbox.wire import Refused, error_response, json_response
from nepxy.sandbox.world import World

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


class ProfileA(Wallet):
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
        super().__init__(world, name=name, duplicates=config.duplicate_behaviour)
        self._config = config
        self._msisdn = msisdn
        self._currency = currency

    def routes(self) -> list[web.RouteDef]:
        """Submit and status."""
        path = f"/{self.name}/v1/cashout"
        return [web.post(path, self.submit), web.get(path + "/{provider_ref}", self.status)]

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Takes a cash-out, or does to it what the payee's number and today's faults demand."""
        try:
            self._authenticate(request)
            ask = read_cashout(await request.read(), msisdn=self._msisdn, currency=self._currency)
        except Refused as refused:
            return refused.response()
        return await self.take(request, ask)

    async def status(self, request: web.Request) -> web.StreamResponse:
        """What became of an order."""
        try:
            self._authenticate(request)
        except Refused as refused:
            return refused.response()
        reference = request.match_info["provider_ref"]
        if await self.read_fails(reference):
            return error_response(500, "INTERNAL_ERROR", "unexpected error")
        order = self.world.book.find(self.name, reference)
        if order is None and self._config.status_lookup_by_our_reference:
            order = self.world.book.latest(self.name, reference)
        if order is None or not is_visible(order, self._config.visible_after_s):
            return error_response(404, "NOT_FOUND", "no such cashout")
        return json_response(_order_json(order))

    def accepted(self, order: Order, ask: Ask) -> web.Response:
        """202, with two names for the order."""
        return json_response(
            {
                "status": "ACCEPTED",
                "provider_tx_id": f"TX-{order.provider_ref}",
                "provider_ref": order.provider_ref,
                "echo": _as_json(ask),
            },
            status=202,
        )

    def problem(self, reply: Reply, ask: Ask) -> web.Response:
        """An error in JSON."""
        return error_response(*_ERRORS[reply])

    def repeated(self, ask: Ask, *, same: bool) -> web.Response:
        """409."""
        if same:
            return error_response(409, "DUPLICATE_EXTERNAL_ID", "external_id was used before")
        return error_response(409, "EXTERNAL_ID_REUSED", "external_id was used before with other fields")

    def messages(self, order: Order, notice: Notice) -> Iterator[tuple[str, bytes, dict[str, str]]]:
        """One webhook, signed as the notice says."""
        url = self._config.webhook_url
        if url is None:
            return
        body = webhook_body(order, notice)
        headers = {"Content-Type": "application/json"}
        if notice.signature is not Signature.MISSING:
            secret = self._config.webhook_secret
            headers["X-Signature"] = sign(
                body, secret if notice.signature is Signature.GOOD else f"not-{secret}"
            )
        yield url, body, headers

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


def read_cashout(raw: bytes, *, msisdn: re.Pattern[str], currency: str) -> Ask:
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
    return Ask(
        external_id=body["external_id"],
        msisdn=body["msisdn"],
        amount=body["amount_cents"],
        currency=body["currency"],
    )


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
    body |= _as_json(ask_of(order))
    if order.message is not None:
        body["message"] = order.message
    return body


def _as_json(ask: Ask) -> dict[str, object]:
    """The request's own fields."""
    return {
        "external_id": ask.external_id,
        "amount_cents": ask.amount,
        "currency": ask.currency,
        "msisdn": ask.msisdn,
    }
