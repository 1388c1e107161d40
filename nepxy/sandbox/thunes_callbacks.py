"""Thunes' callbacks (providers page 4.7): a POST of the whole transaction at each change, unsigned by contract."""

import asyncio

import orjson

from nepxy.sandbox.book import Order
from nepxy.sandbox.faults import Dice
from nepxy.sandbox.profile_a import sign
from nepxy.sandbox.script import Notice, Signature, Status
from nepxy.sandbox.thunes_desk import NAME, Desk, Transaction
from nepxy.sandbox.webhooks import Delivery
from nepxy.sandbox.world import World

BEFORE_REPLY_S_MAX = 5.0
"""How long a confirm waits for a callback that is to overtake it."""
DUPLICATE_COPIES = 3
_STATUS_FIELDS = ("status", "status_message", "status_class", "status_class_message")


class Callbacks:
    """Posts them, to the transaction's own URL or the account's."""

    def __init__(self, world: World, desk: Desk) -> None:
        self._world = world
        self._desk = desk
        world.book.on_notice(NAME, self._notify)

    def post(self, transaction: Transaction, notice: Notice | None = None) -> list[Delivery]:
        """Puts one on its way, with what the notice wants done to it; none, where there is no URL or it gets lost."""
        config, wanted = self._desk.config, notice or Notice()
        faults = self._world.faults[NAME]
        url = transaction.body.get("callback_url") or config.webhook_url
        dice = Dice(self._world.config.seed, NAME, transaction.external_id, self._desk.code_of(transaction))
        if url is None or dice.hits("lost_webhook", faults.lost_webhook_rate):
            return []
        shown = self._desk.show(transaction, says=wanted.says)
        if not wanted.with_status:
            for name in _STATUS_FIELDS:
                del shown[name]
        body = orjson.dumps(shown)
        headers = {"Content-Type": "application/json"}
        if config.webhook_secret and wanted.signature is not Signature.MISSING:
            secret = config.webhook_secret
            headers["X-Signature"] = sign(
                body, secret if wanted.signature is Signature.GOOD else f"not-{secret}"
            )
        copies = DUPLICATE_COPIES if dice.hits("duplicate_webhook", faults.duplicate_webhook_rate) else 1
        return [self._world.webhooks.send(url, body, headers) for _ in range(copies)]

    def _notify(self, order: Order, notice: Notice) -> list[Delivery]:
        transaction = self._desk.transactions_by_ext.get(order.external_id)
        if transaction is None:
            return []
        # The desk learns of its order only when the book has accepted, and a notice may come before that.
        transaction.order = order
        if order.status is Status.FAILED and order.steps_taken == len(order.script.course):
            self._desk.give_back(transaction)
        return self.post(transaction, notice)


async def tried(deliveries: list[Delivery]) -> None:
    """Waits until each has been tried once, or for long enough: the client may be waiting for this very answer."""
    try:
        async with asyncio.timeout(BEFORE_REPLY_S_MAX):
            for delivery in deliveries:
                await delivery.tried.wait()
    except TimeoutError:
        return
