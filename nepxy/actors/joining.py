"""A stored webhook read once more, when its payout has become known: as if it came now."""

from __future__ import annotations

import orjson

from nepxy.actors.messages import WebhookArrived
from nepxy.config.masking import without_nul
from nepxy.engine.capabilities import WebhookTrust
from nepxy.providers.contract import Adapter
from nepxy.storage.webhooks import StoredWebhook


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
