"""Money in doubt and in review, counted on a real PostgreSQL; what is settled costs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from nepxy.engine.payout import SHARDS, Payout, Status, shard_of
from nepxy.storage.in_doubt import IN_DOUBT, IN_REVIEW, DoubtFigures, doubt_figures
from tests.storage.test_journal import NOW, Journal, a_move

SETTLED = """
WITH made AS (
    INSERT INTO app.mobile_money_payouts (transaction_id, amount, version, shard, attempt_count, created_at, expires_at,
        settled_at, status, status_reason, provider, currency, country, phone_e164, client_id, idempotency_key,
        external_ref, submission_ref, account)
    SELECT gen_random_uuid(), 1000, 3, n %% 256, 1, now(), now(), now(), 'CONFIRMED', 'PAID', 'TMONEY', 'XOF', 'TG',
        '+22890123456', 'acme', 'old-' || n, 'old-' || n, gen_random_uuid(), 'sandbox'
    FROM generate_series(1, %s) n
    RETURNING transaction_id, submission_ref)
INSERT INTO app.payout_attempts (submission_ref, transaction_id, generation, provider, account, send_by, answer_by)
SELECT submission_ref, transaction_id, 0, 'TMONEY', 'sandbox', now(), now() FROM made"""


@pytest.fixture
def journal(database_url_both: str) -> Iterator[Journal]:
    journal = Journal(database_url_both)
    yield journal
    journal.database.close()


def doubted(journal: Journal, *, minutes: int = 1, status: Status = Status.SENT, **changes: Any) -> Payout:
    sent = journal.sent(**changes)
    since = NOW - timedelta(minutes=minutes)
    return journal.moved(a_move(sent, sent.moved(status, "IN_DOUBT", in_doubt_since=since)))


def counted(journal: Journal, shards: list[int] | None = None) -> dict[str, DoubtFigures]:
    figures = doubt_figures(journal.database, shards=list(range(SHARDS)) if shards is None else shards)
    return {one.provider: one for one in figures}


def test_doubt_is_counted_by_provider_and_its_money_by_currency(journal: Journal) -> None:
    doubted(journal, minutes=5, amount=1000)
    doubted(journal, minutes=90, amount=500)
    doubted(journal, provider="MOMO", currency="GHS", country="GH", amount=70)
    doubted(journal, provider="MOMO", currency="XOF", amount=30)
    journal.sent()
    journal.created()

    found = counted(journal)

    assert found.keys() == {"TMONEY", "MOMO"}
    assert (found["TMONEY"].in_doubt_count, found["TMONEY"].amounts) == (2, {"XOF": 1500})
    assert (found["MOMO"].in_doubt_count, found["MOMO"].amounts) == (2, {"GHS": 70, "XOF": 30})
    # `NOW` is when the tests were collected; that may have been a while ago.
    assert 90 * 60 <= found["TMONEY"].oldest_age_s < 180 * 60
    assert found["TMONEY"].review_count == 0


def test_doubt_that_is_resolved_is_counted_no_more(journal: Journal) -> None:
    first, second = doubted(journal), doubted(journal)
    journal.moved(
        a_move(
            first,
            first.moved(Status.CONFIRMED, "PAID", settled_at=NOW, next_retry_at=None, in_doubt_since=None),
        )
    )
    assert counted(journal)["TMONEY"].in_doubt_count == 1
    journal.moved(a_move(second, second.moved(Status.SENT, "ACCEPTED", in_doubt_since=None)))
    assert counted(journal) == {}


def test_what_waits_for_a_person_is_counted_in_doubt_or_not(journal: Journal) -> None:
    doubted(journal, status=Status.REVIEW)
    known = journal.sent()
    journal.moved(a_move(known, known.moved(Status.REVIEW, "TERMS_DIFFER")))

    (found,) = counted(journal).values()

    assert (found.review_count, found.in_doubt_count) == (2, 1)


def test_only_payouts_of_the_asked_shards_are_counted(journal: Journal) -> None:
    payout = doubted(journal, status=Status.REVIEW)
    shard = shard_of(payout.transaction_id)
    assert counted(journal, [shard])["TMONEY"].review_count == 1
    assert counted(journal, [other for other in range(SHARDS) if other != shard]) == {}


def test_settled_payouts_are_never_looked_at(journal: Journal) -> None:
    doubted(journal, status=Status.REVIEW)
    journal.rows(SETTLED, 20_000)
    journal.rows("ANALYZE app.mobile_money_payouts, app.payout_attempts")

    for statement in (IN_DOUBT, IN_REVIEW):
        ((plan,),) = journal.rows("EXPLAIN (ANALYZE, FORMAT JSON) " + statement.format(mine="true"))
        nodes = list(walk(plan[0]["Plan"] if isinstance(plan, list) else json.loads(plan)[0]["Plan"]))
        scans = [node for node in nodes if "Relation Name" in node or "Index Name" in node]
        assert scans
        assert all("Seq Scan" not in node["Node Type"] for node in scans), scans
        read = sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in scans)
        assert read < 20, scans


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes."""
    yield node
    for child in node.get("Plans", ()):
        yield from walk(child)
