"""What others send a payout through the supervisor, as the payout's actor is told it."""

from __future__ import annotations

from typing import assert_never

from nepxy.actors.messages import CancelPayout, CommandPayout, Deliver, ReportFound, WebhookArrived
from nepxy.engine.events import CancelRequested, Source, StatusReported
from nepxy.engine.payout import SubmissionRef


def asked_of_payout(message: CancelPayout | CommandPayout | ReportFound) -> Deliver:
    """What a client, an operator or reconciliation wants of it; only the node that holds its shard may hear them."""
    match message:
        case CancelPayout():
            return Deliver(
                event=CancelRequested(),
                who=f"client:{message.client_id}",
                request_id=message.request_id,
                reply_to=message.reply_to,
            )
        case CommandPayout():
            return Deliver(
                event=message.order,
                who=f"operator:{message.operator_id}",
                request_id=message.request_id,
                audit=message.audit,
                reply_to=message.reply_to,
            )
        case ReportFound():
            return Deliver(event=message.event, who="reconciliation", reply_to=message.reply_to)
        case _:
            assert_never(message)


def webhook_event(message: WebhookArrived, reference: SubmissionRef) -> Deliver:
    """What a webhook says of it; whoever has the payout records that."""
    event = StatusReported(
        source=Source.WEBHOOK, reference=reference, report=message.report, trusted=message.trusted
    )
    return Deliver(
        event=event,
        who=f"provider:{message.webhook.provider}",
        request_id=message.webhook.request_id,
        webhook=message.webhook,
        unchecked=message.unchecked,
        reply_to=message.reply_to,
    )
