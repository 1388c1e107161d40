"""Through which accounts payouts are in flight, counted on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nepxy.engine.payout import SHARDS, Status, shard_of
from nepxy.storage.accounts import AccountFigures, accounts_in_flight
from tests.storage.test_journal import NOW, Journal, a_move, an_intent


@pytest.fixture
def journal(database_url_both: str) -> Iterator[Journal]:
    journal = Journal(database_url_both)
    yield journal
    journal.database.close()


def test_only_what_was_sent_and_is_not_settled_is_counted_by_account(journal: Journal) -> None:
    epoch = journal.leased()
    for account, provider in (("old", "TMONEY"), ("old", "TMONEY"), ("new", "TMONEY"), ("old", "MOMO")):
        journal.moved(an_intent(journal.created(provider=provider), epoch, account=account))
    journal.created()
    sent = journal.moved(an_intent(journal.created(), epoch, account="old"))
    paid = sent.moved(Status.CONFIRMED, "PAID", settled_at=NOW, next_retry_at=None)
    journal.moved(a_move(sent, paid))
    reviewed = journal.moved(an_intent(journal.created(), epoch, account="new"))
    journal.moved(a_move(reviewed, reviewed.moved(Status.REVIEW, "ASKED")))

    assert accounts_in_flight(journal.database, shards=range(SHARDS)) == [
        AccountFigures(provider="MOMO", account="old", payouts_count=1),
        AccountFigures(provider="TMONEY", account="new", payouts_count=2),
        AccountFigures(provider="TMONEY", account="old", payouts_count=2),
    ]


def test_only_the_shards_that_are_asked_for_are_counted(journal: Journal) -> None:
    sent = journal.moved(an_intent(journal.created(), journal.leased(), account="old"))
    mine = shard_of(sent.transaction_id)
    others = [shard for shard in range(SHARDS) if shard != mine]
    assert accounts_in_flight(journal.database, shards=others) == []
    assert [one.payouts_count for one in accounts_in_flight(journal.database, shards=[mine])] == [1]
