"""Parked webhooks read back: what can be joined is joined, whatever else stays parked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nepxy.engine.payout import ProviderRef, Status
from nepxy.storage.webhooks import joinable_webhooks
from nepxy.storage.writes import MeetWebhook
from tests.storage.test_journal import Journal, a_move, a_webhook


@pytest.fixture
def journal(database_url_both: str) -> Iterator[Journal]:
    journal = Journal(database_url_both)
    yield journal
    journal.database.close()


def parked(journal: Journal, provider: str, count: int) -> list[str]:
    """Webhooks that came before their payouts' references were known, oldest first."""
    ids = []
    for n in range(count):
        ref = f"{provider}-{n}"
        sent = journal.sent(provider=provider)
        webhook = a_webhook(provider=provider, provider_ref=ref)
        journal.one(MeetWebhook(webhook=webhook))
        journal.moved(a_move(sent, sent.moved(Status.SENT, "ACCEPTED", provider_ref=ProviderRef(ref))))
        ids.append(webhook.webhook_id)
    return ids


def test_one_providers_parked_webhooks_never_stand_before_anothers(journal: Journal) -> None:
    nobody_reads = parked(journal, "THUNES", 4)
    newer = parked(journal, "TMONEY", 3)

    found = [one.webhook.webhook_id for one in joinable_webhooks(journal.database, limit=2)]

    assert found == [*nobody_reads[:2], *newer[:2]]


def test_a_webhook_that_matches_in_two_ways_is_joined_once(journal: Journal) -> None:
    sent = journal.sent()
    webhook = a_webhook(provider_ref="P-1", our_ref="something else")
    journal.one(MeetWebhook(webhook=webhook))
    journal.moved(a_move(sent, sent.moved(Status.SENT, "ACCEPTED", provider_ref=ProviderRef("P-1"))))
    journal.rows("UPDATE app.webhook_events SET our_ref = %s", sent.submission_ref)

    (found,) = joinable_webhooks(journal.database, limit=10)

    assert (found.transaction_id, found.reference) == (sent.transaction_id, sent.submission_ref)
