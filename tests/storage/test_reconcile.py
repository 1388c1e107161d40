"""Reports of reconciliation, and whom it looks at, on each PostgreSQL that we support."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from nepxy.engine.payout import SHARDS, ProviderRef, shard_of
from nepxy.engine.reconcile import Difference, DifferenceKind, ReportKind
from nepxy.storage.leases import acquire_or_renew
from nepxy.storage.reconcile import (
    SETTLED,
    add_progress,
    end_interrupted,
    find_report,
    report_differences,
    scheduled_since,
    settled_ids,
    standing,
    start_report,
    unsettled_ids,
)
from nepxy.storage.settlement_match import NAMED, confirmed_ids, named_payouts
from tests.storage.test_in_doubt import SETTLED as SETTLED_ROWS
from tests.storage.test_in_doubt import doubted, walk
from tests.storage.test_journal import Journal

ALL = list(range(SHARDS))
FIRST, LAST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def journal(database_url_both: str) -> Iterator[Journal]:
    journal = Journal(database_url_both)
    yield journal
    journal.database.close()


def begun(journal: Journal, kind: ReportKind = ReportKind.LOOK_UP, *, node: str = "node-a") -> str | None:
    report = start_report(
        journal.database,
        report_id=str(uuid4()),
        who="operator:ann",
        kind=kind,
        provider="TMONEY",
        parameters={"node": node},
        reason="a test",
        request_id="req-1",
    )
    return report.report_id if report is not None else None


def alive(journal: Journal, node: str) -> None:
    acquire_or_renew(journal.database, node_id=node, host="here", app_version="test", ttl_s=60)


def test_one_look_up_runs_at_a_time_and_files_beside_it(journal: Journal) -> None:
    first = begun(journal)
    assert first is not None
    assert begun(journal) is None
    assert begun(journal, ReportKind.SETTLEMENT_FILE) is not None
    assert add_progress(journal.database, first, figures={"differ": 0}, state="DONE")
    assert begun(journal) is not None
    assert journal.rows("SELECT count(*) FROM app.audit_log WHERE target LIKE 'reconcile/%%'") == [(3,)]


def test_what_was_found_is_kept_as_long_as_the_report_runs(journal: Journal) -> None:
    report_id = begun(journal)
    assert report_id is not None
    found = Difference(
        kind=DifferenceKind.MISSING_HERE, transaction_id=None, theirs={"line": 2}, detail="none"
    )
    assert add_progress(journal.database, report_id, figures={"differ": 1}, differences=[(1, found)])
    assert add_progress(
        journal.database, report_id, figures={"differ": 2}, differences=[(2, found)], state="DONE"
    )
    assert not add_progress(journal.database, report_id, figures={"differ": 3}, differences=[(3, found)])
    kept = report_differences(journal.database, report_id, limit=10)
    assert [(one.n, one.kind, one.theirs) for one in kept] == [
        (1, "MISSING_HERE", {"line": 2}),
        (2, "MISSING_HERE", {"line": 2}),
    ]
    assert [one.n for one in report_differences(journal.database, report_id, after=1, limit=10)] == [2]
    report = find_report(journal.database, report_id)
    assert report is not None
    assert (report.state, report.figures, report.ended_at is not None) == ("DONE", {"differ": 2}, True)


def test_only_what_nobody_makes_any_more_is_ended(journal: Journal) -> None:
    alive(journal, "node-a")
    file_here = begun(journal, ReportKind.SETTLEMENT_FILE)
    file_there = begun(journal, ReportKind.SETTLEMENT_FILE, node="gone")
    look_up = begun(journal)
    assert look_up is not None
    assert end_interrupted(journal.database, node_id="node-a", mine=[look_up]) == [file_there]
    # Another owner asks: node-a still holds its shards, and makes its own.
    assert end_interrupted(journal.database, node_id="node-b") == []
    # The actor that made it has died, and its successor knows of none.
    assert end_interrupted(journal.database, node_id="node-a") == [look_up]
    assert file_here is not None
    report = find_report(journal.database, file_here)
    assert report is not None
    assert report.state == "RUNNING"


def test_a_look_up_is_over_once_its_node_holds_no_shard(journal: Journal) -> None:
    alive(journal, "node-a")
    look_up = begun(journal)
    journal.rows("UPDATE app.shard_leases SET owner = 'node-b' RETURNING 1")
    assert end_interrupted(journal.database, node_id="node-b") == [look_up]


def test_the_last_report_of_each_kind_and_provider_counts(journal: Journal) -> None:
    for differ in (5, 2):
        report_id = begun(journal)
        assert report_id is not None
        add_progress(journal.database, report_id, figures={"differ": differ}, state="DONE")
    failed = begun(journal)
    assert failed is not None
    add_progress(journal.database, failed, figures={"differ": 9}, state="FAILED")
    found = standing(journal.database)
    assert found.differences == {"LOOK_UP": 2}
    assert abs((found.last_done_at["LOOK_UP"] - datetime.now(UTC)).total_seconds()) < 60


def test_the_schedule_counts_from_the_installation_and_not_from_an_operators_run(journal: Journal) -> None:
    ((created_at,),) = journal.rows("SELECT created_at FROM app.engine_identity")
    begun(journal)
    assert scheduled_since(journal.database) == created_at


def test_what_is_in_doubt_or_in_review_is_found_by_shard_and_provider(journal: Journal) -> None:
    payout = doubted(journal)
    doubted(journal, provider="MOMO", currency="GHS", country="GH")
    journal.sent()
    found = unsettled_ids(journal.database, provider=None, shards=ALL, limit=10)
    assert {provider for _, provider in found} == {"TMONEY", "MOMO"}
    shard = [shard_of(payout.transaction_id)]
    assert unsettled_ids(journal.database, provider="TMONEY", shards=shard, limit=10) == [
        (payout.transaction_id, "TMONEY")
    ]
    others = [one for one in ALL if one not in shard]
    assert unsettled_ids(journal.database, provider="TMONEY", shards=others, limit=10) == []
    assert len(unsettled_ids(journal.database, provider=None, shards=ALL, limit=1)) == 1


def test_settled_payouts_are_walked_in_bounded_steps_and_none_is_left_out(journal: Journal) -> None:
    journal.rows(SETTLED_ROWS + " RETURNING 1", 250)
    seen: list[str] = []
    before: str | None = LAST
    steps = 0
    while before is not None:
        found, before = settled_ids(
            journal.database,
            provider="TMONEY",
            shards=ALL,
            since=LONG_AGO,
            from_id=FIRST,
            before=before,
            scan_max=100,
        )
        seen += [transaction_id for transaction_id, _ in found]
        steps += 1
    assert (len(seen), len(set(seen)), steps) == (250, 250, 3)
    assert seen == sorted(seen, reverse=True)
    confirmed, rest = confirmed_ids(
        journal.database,
        provider="TMONEY",
        from_at=datetime.now(UTC) - timedelta(hours=1),
        to_at=datetime.now(UTC) + timedelta(hours=1),
        from_id=FIRST,
        before=LAST,
    )
    assert (sorted(confirmed), rest) == (sorted(seen), None)


def test_a_step_is_bounded_however_many_are_settled(journal: Journal) -> None:
    journal.rows(SETTLED_ROWS + " RETURNING 1", 20_000)
    journal.rows("ANALYZE app.mobile_money_payouts")
    params = {
        "before": LAST,
        "from_id": FIRST,
        "scan_max": 500,
        "since": LONG_AGO,
        "provider": None,
        "shards": ALL,
    }
    sql = "EXPLAIN (ANALYZE, FORMAT JSON) " + SETTLED.format(mine="true")
    ((plan,),) = journal.database.execute_sql(sql, params).fetchall()
    nodes = list(walk(plan[0]["Plan"] if isinstance(plan, list) else json.loads(plan)[0]["Plan"]))
    tables = [node for node in nodes if node.get("Relation Name") == "mobile_money_payouts"]
    assert tables
    assert all(node["Node Type"] != "Seq Scan" for node in tables)
    assert sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in tables) <= 500


def test_a_reference_finds_its_payout_by_any_of_our_names(journal: Journal) -> None:
    sent = journal.sent()
    journal.rows(
        "UPDATE app.mobile_money_payouts SET provider_ref = 'T-1' WHERE transaction_id = %s RETURNING 1",
        sent.transaction_id,
    )
    names = [sent.transaction_id, sent.submission_ref.upper(), "T-1", sent.external_ref, "unknown"]
    found = named_payouts(journal.database, "TMONEY", names)
    assert set(found) == {sent.transaction_id, sent.submission_ref.upper(), "T-1"}
    assert {one.payout.transaction_id for named in found.values() for one in named} == {sent.transaction_id}
    assert not any(one.is_older for named in found.values() for one in named)
    assert found["T-1"][0].payout.provider_ref == ProviderRef("T-1")
    assert named_payouts(journal.database, "MOMO", names) == {}


def test_a_batch_of_references_costs_the_same_however_many_payouts_there_are(journal: Journal) -> None:
    journal.rows(SETTLED_ROWS + " RETURNING 1", 20_000)
    journal.rows("ANALYZE app.mobile_money_payouts, app.payout_attempts")
    refs = [row[0] for row in journal.rows("SELECT submission_ref::text FROM app.payout_attempts LIMIT 500")]
    explain = "EXPLAIN (ANALYZE, FORMAT JSON) " + NAMED
    ((plan,),) = journal.database.execute_sql(explain, {"refs": refs, "provider": "TMONEY"}).fetchall()
    nodes = list(walk(plan[0]["Plan"] if isinstance(plan, list) else json.loads(plan)[0]["Plan"]))
    scans = [
        node for node in nodes if node.get("Relation Name") in ("mobile_money_payouts", "payout_attempts")
    ]
    assert len(scans) == 5
    assert all(node["Node Type"] != "Seq Scan" for node in scans), scans
    assert len(named_payouts(journal.database, "TMONEY", refs)) == 500
