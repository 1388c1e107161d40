"""A stored webhook read once more, when its payout has become known: as if it came now."""

from __future__ import annotations

from typing import Final

import orjson
import structlog

from nepxy.actors.deliveries import webhook_event
from nepxy.actors.messages import Deliver, WebhookArrived, WebhookRefused
from nepxy.config.masking import without_nul
from nepxy.engine.capabilities import WebhookTrust
from nepxy.providers.contract import Adapter
from nepxy.storage.webhooks import StoredWebhook

UNREADABLE: Final = "UNREADABLE_WHEN_JOINED"

log = structlog.get_logger("nepxy.supervisor")


def joined(stored: StoredWebhook, adapter: Adapter) -> Deliver | WebhookRefused:
    """What its payout is told; where it cannot be read, it is to be put aside.

    One stored body that trips an adapter must not end the process; and left parked, it would stand before all newer
    ones at every look.
    """
    webhook = stored.webhook
    try:
        return webhook_event(arrived_again(stored, adapter), stored.reference)
    except Exception:
        log.exception("webhook.unreadable_when_joined", webhook_id=webhook.webhook_id)
        return WebhookRefused(webhook=webhook, reason=UNREADABLE)


def arrived_again(stored: StoredWebhook, adapter: Adapter) -> WebhookArrived:
    """What it says.

    Raises:
        Exception: whatever the adapter makes of a body that it cannot read; bodies come from outside.
    """
    webhook = stored.webhook
    notice = adapter.read_webhook(without_nul(orjson.loads(webhook.body)))
    # Where the contract calls webhooks hints, a signature does not make one more than that.
    trusted = webhook.signature_valid and adapter.capabilities.webhooks is WebhookTrust.SIGNED
    return WebhookArrived(webhook=webhook, report=notice.report, trusted=trusted)
