"""What is at the providers and what is contradicted, counted on a real PostgreSQL; what is settled costs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from nepxy.engine.evidence import Discrepancy
from nepxy.engine.payout import SHARDS, Status, shard_of
from nepxy.storage.in_flight import DISCREPANCIES, SENT, FlightFigures, flight_figures
from nepxy.storage.writes import NoteOnPayout
from tests.storage.test_in_doubt import SETTLED, walk
from tests.storage.test_journal import Journal, a_move

STUCK_AFTER_S = 600.0


@pytest.fixture
def journal(database_url_both: str) -> Iterator[Journal]:
    journal = Journal(database_url_both)
    yield journal
    journal.database.close()


def counted(journal: Journal, shards: list[int] | None = None) -> dict[str, FlightFigures]:
    mine = list(range(SHARDS)) if shards is None else shards
    figures = flight_figures(journal.database, shards=mine, stuck_after_s=STUCK_AFTER_S)
    return {one.provider: one for one in figures}


def sent_ago(journal: Journal, minutes: int, *, due_s_ago: int = -60) -> str:
    sent = journal.sent()
    journal.rows(
        "UPDATE app.mobile_money_payouts SET last_attempt_at = now() - make_interval(mins => %s),"
        " next_retry_at = now() - make_interval(secs => %s) WHERE transaction_id = %s RETURNING 1",
        minutes,
        due_s_ago,
        sent.transaction_id,
    )
    return sent.transaction_id


def test_what_is_sent_is_stuck_once_it_takes_longer_than_a_payout_should(journal: Journal) -> None:
    sent_ago(journal, 1)
    sent_ago(journal, 45)
    journal.created()

    found = counted(journal)["TMONEY"]

    assert (found.sent_count, found.stuck_count, found.overdue_count) == (2, 1, 0)
    assert 45 * 60 <= found.sent_oldest_age_s < 46 * 60


def test_a_look_that_is_minutes_late_is_overdue(journal: Journal) -> None:
    sent_ago(journal, 1, due_s_ago=60)
    sent_ago(journal, 1, due_s_ago=180)
    assert counted(journal)["TMONEY"].overdue_count == 1


def test_a_discrepancy_is_counted_until_somebody_closes_it(journal: Journal) -> None:
    sent = journal.sent()
    note = Discrepancy(kind="TERMS_DIFFER", detail="another amount")
    journal.write(NoteOnPayout(payout=sent, evidence=None, discrepancy=note, webhook=None, webhook_reason=""))
    shard = shard_of(sent.transaction_id)
    assert counted(journal)["TMONEY"].discrepancies_open == 1
    assert counted(journal, [shard])["TMONEY"].discrepancies_open == 1
    assert counted(journal, [one for one in range(SHARDS) if one != shard]) == {}
    journal.rows("UPDATE app.discrepancies SET closed_at = now(), closed_by = 'operator:root' RETURNING 1")
    assert counted(journal)["TMONEY"].discrepancies_open == 0


def test_a_payout_that_is_settled_is_counted_no_more(journal: Journal) -> None:
    sent = journal.sent()
    journal.moved(
        a_move(sent, sent.moved(Status.CONFIRMED, "PAID", settled_at=sent.created_at, next_retry_at=None))
    )
    assert counted(journal) == {}


def test_settled_payouts_are_never_looked_at(journal: Journal) -> None:
    sent_ago(journal, 45)
    journal.rows(SETTLED, 20_000)
    journal.rows("ANALYZE app.mobile_money_payouts, app.discrepancies")

    params = {"stuck_after_s": STUCK_AFTER_S, "overdue_s": 120.0}
    for statement in (SENT, DISCREPANCIES):
        explain = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement.format(mine="true")
        ((plan,),) = journal.database.execute_sql(explain, params).fetchall()
        nodes = list(walk(plan[0]["Plan"] if isinstance(plan, list) else json.loads(plan)[0]["Plan"]))
        scans = [node for node in nodes if "Relation Name" in node or "Index Name" in node]
        read = sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in scans)
        assert scans
        assert read < 20, scans
