"""A stored webhook read once more, when its payout has become known: as if it came now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from nepxy.actors.messages import WebhookArrived
from nepxy.engine.capabilities import WebhookTrust
from nepxy.providers.contract import Adapter
from nepxy.storage.webhooks import StoredWebhook


def arrived_again(stored: StoredWebhook, adapter: Adapter) -> WebhookArrived:
    """What it says.

    Raises:
        Exception: whatever the adapter makes of a body that it cannot read; bodies come from outside.
    """
    webhook = stored.webhook
    notice = adapter.read_webhook(_without_nul(orjson.loads(webhook.body)))
    # Where the contract calls webhooks hints, a signature does not make one more than that.
    trusted = webhook.signature_valid and adapter.capabilities.webhooks is WebhookTrust.SIGNED
    return WebhookArrived(webhook=webhook, report=notice.report, trusted=trusted)


def _without_nul(value: Any) -> Any:
    """PostgreSQL takes no NUL in a text, and JSON may escape one: kept, it would refuse what follows from the webhook.

    Twin: `without_nul` of the HTTP doorway, which cleans what a webhook says when it arrives.
    """
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, Mapping):
        return {_without_nul(name): _without_nul(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return value
