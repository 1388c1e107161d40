"""Reconciliation over HTTP: real engine, real PostgreSQL, and a provider that answers real requests as it is told."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nepxy.actors.messages import Drain
from nepxy.engine.payout import Payout, ProviderRef, Status
from nepxy.engine.reconcile import ReportKind
from nepxy.storage.reconcile import start_report
from tests.http.conftest import StartSteered
from tests.http.steering import Steered, a_pending
from tests.http.support import bearer, code_of, fields_of

RUN = "/v1/admin/reconcile"
FILES = f"{RUN}/files"
REPORTS = f"{RUN}/reports"


class Provider:
    """Answers status reads: by reference what was said to answer, 404 for the rest."""

    def __init__(self) -> None:
        self.says: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def status(self, request: web.Request) -> web.Response:
        reference = request.match_info["reference"]
        self.asked.append(reference)
        await self.may_answer.wait()
        if reference not in self.says:
            return web.json_response({"error": "NOT_FOUND"}, status=404)
        return web.json_response(self.says[reference])

    def knows(self, payout: Payout, status: str, **changes: Any) -> None:
        self.says[str(payout.provider_ref or payout.submission_ref)] = {
            "external_id": payout.submission_ref,
            "status": status,
            **changes,
        }


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Provider, str]]:
    made = Provider()
    app = web.Application()
    app.router.add_get("/status/{reference}", made.status)
    server = TestServer(app)
    await server.start_server()
    yield made, f"http://127.0.0.1:{server.port}/status/{{provider_ref}}"
    made.may_answer.set()
    await server.close()


class Desk:
    """An operator's desk: the engine, and the provider that it asks."""

    def __init__(self, steered: Steered, provider: Provider) -> None:
        self.steered = steered
        self.provider = provider

    async def run(self, **order: Any) -> dict[str, Any]:
        """The report, once it has ended."""
        response = await self.steered.post(RUN, {"reason": "a test", **order})
        assert response.status == 202, await response.text()
        return await self.ended((await response.json())["report"]["report_id"])

    async def ended(self, report_id: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while True:
                report = await self.steered.get(f"{REPORTS}/{report_id}")
                if report["ended_at"] is not None:
                    return report
                await asyncio.sleep(0.05)

    async def upload(
        self, content: str | bytes, query: dict[str, str] | None = None, *, status: int = 200, **more: str
    ) -> dict[str, Any]:
        params = {"provider": "TMONEY", "reason": "a test", **(query or {}), **more}
        response = await self.steered.client.post(
            FILES, data=content, params=params, headers={**bearer("ann", "admin"), "Content-Type": "text/csv"}
        )
        assert response.status == status, await response.text()
        document: dict[str, Any] = await response.json()
        if status != 200:
            return document
        return await self.steered.get(document["report"]["links"]["self"])

    def a_payout(self, status: Status, **changes: Any) -> Payout:
        return self.steered.a_payout(status, **changes)

    def named(self, status: Status, **changes: Any) -> Payout:
        """One that the provider has a name for."""
        now = datetime.now(UTC)
        return self.a_payout(
            status, provider_ref=ProviderRef(f"T-{uuid4().hex[:10]}"), taken_at=now, **changes
        )

    def discrepancies(self) -> list[tuple[Any, ...]]:
        return self.steered.desk.rows("SELECT transaction_id::text, kind FROM app.discrepancies ORDER BY 2")

    def status(self, payout: Payout) -> str:
        sql = f"SELECT status FROM app.mobile_money_payouts WHERE transaction_id = '{payout.transaction_id}'"
        return str(self.steered.desk.rows(sql)[0][0])


@pytest.fixture
async def desk(start_steered: StartSteered, provider: tuple[Provider, str]) -> Desk:
    made, template = provider
    return Desk(await start_steered({"TMONEY_SANDBOX_STATUS_URL_TEMPLATE": template}), made)


# ---- asking ----------------------------------------------------------------------------------------


async def test_a_settled_payout_that_its_provider_contradicts_gets_a_discrepancy_and_stays(
    desk: Desk,
) -> None:
    paid, failed, agreed = (
        desk.named(Status.CONFIRMED),
        desk.named(Status.FAILED),
        desk.named(Status.CONFIRMED),
    )
    desk.provider.knows(paid, "FAILED")
    desk.provider.knows(failed, "SUCCESS")
    desk.provider.knows(agreed, "SUCCESS")

    report = await desk.run()

    assert (report["state"], report["kind"]) == ("DONE", "LOOK_UP")
    figures = report["figures"]
    assert (figures["checked"], figures["agree"], figures["differ"]) == (3, 1, 2)
    assert report["progress"] == {"done": 3, "total": 3}
    assert sorted(desk.discrepancies(), key=lambda row: row[1]) == [
        (failed.transaction_id, "PAID_AFTER_FAILED"),
        (paid.transaction_id, "UNPAID_AFTER_CONFIRMED"),
    ]
    assert (desk.status(paid), desk.status(failed)) == ("CONFIRMED", "FAILED")
    found = {one["transaction_id"]: one for one in report["differences"]}
    assert {one["kind"] for one in found.values()} == {"STATE_DIFFERS"}
    assert any("payouts confirm" in one["cli"] for one in found[failed.transaction_id]["commands"])
    assert any("payouts fail" in one["cli"] for one in found[paid.transaction_id]["commands"])
    events = await desk.steered.get(f"/v1/admin/mobile-money/payouts/{paid.transaction_id}/events")
    assert [event["to_status"] for event in events["events"]][-1] == "CONFIRMED"


async def test_what_is_in_doubt_or_in_review_is_settled_by_the_ordinary_rules(desk: Desk) -> None:
    doubted, reviewed = desk.a_payout(Status.SENT), desk.a_payout(Status.REVIEW)
    desk.provider.knows(doubted, "SUCCESS", provider_ref="T-1")
    desk.provider.knows(reviewed, "FAILED", reason="PAYEE_GONE")

    report = await desk.run(since_h=1)

    assert (desk.status(doubted), desk.status(reviewed)) == ("CONFIRMED", "FAILED")
    assert (report["figures"]["resolved"], report["figures"]["differ"]) == (2, 0)
    events = await desk.steered.get(f"/v1/admin/mobile-money/payouts/{doubted.transaction_id}/events")
    assert (events["events"][-1]["who"], events["events"][-1]["evidence"]["source"]) == (
        "reconciliation",
        "lookup",
    )


async def test_what_a_provider_does_not_know_or_has_with_another_amount_is_a_difference(desk: Desk) -> None:
    lost, dearer = desk.named(Status.CONFIRMED), desk.named(Status.CONFIRMED)
    desk.provider.knows(dearer, "SUCCESS", amount_cents=dearer.amount + 1, currency="XOF")

    report = await desk.run()

    kinds = {one["transaction_id"]: one["kind"] for one in report["differences"]}
    assert kinds == {lost.transaction_id: "MISSING_THERE", dearer.transaction_id: "AMOUNT_DIFFERS"}
    assert (report["figures"]["missing_there"], report["figures"]["amount_differs"]) == (1, 1)
    assert desk.discrepancies() == [(dearer.transaction_id, "TERMS_DIFFER")]


async def test_only_what_can_be_asked_is_asked_and_only_recently_settled(desk: Desk) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=30)
    old = desk.named(Status.CONFIRMED, settled_at=long_ago)
    elsewhere = desk.named(Status.CONFIRMED, account="another account")
    desk.a_payout(Status.CANCELLED)
    desk.a_payout(Status.PENDING)
    desk.a_payout(Status.SENT, in_doubt_since=None, taken_at=long_ago, provider_ref=ProviderRef("T-fine"))

    report = await desk.run(since_h=24)

    assert (report["figures"]["checked"], report["figures"]["not_asked"]) == (0, 1)
    assert desk.provider.asked == []
    report = await desk.run(since_h=48)
    assert desk.provider.asked == [old.provider_ref]
    assert elsewhere.provider_ref not in desk.provider.asked


async def test_chosen_payouts_are_asked_about_and_no_others(desk: Desk) -> None:
    chosen, other = desk.named(Status.CONFIRMED), desk.named(Status.CONFIRMED)
    desk.provider.knows(chosen, "SUCCESS")
    report = await desk.run(transaction_ids=[chosen.transaction_id])
    assert desk.provider.asked == [chosen.provider_ref]
    assert report["parameters"]["transaction_ids"] == [chosen.transaction_id]
    assert other.provider_ref not in desk.provider.asked


async def test_no_more_are_asked_about_than_were_wished_for(desk: Desk) -> None:
    for _ in range(4):
        desk.named(Status.CONFIRMED)
    report = await desk.run(count_max=2)
    assert (len(desk.provider.asked), report["figures"]["checked"]) == (2, 2)
    assert report["figures"]["beyond_count_max"] >= 1


async def test_a_question_waits_for_its_place_as_everybody_does(desk: Desk) -> None:
    """Two questions a run at one provider, and one place in four for questions: here one."""
    for _ in range(5):
        desk.named(Status.CONFIRMED)
    desk.provider.may_answer.clear()
    response = await desk.steered.post(RUN, {"reason": "a test"})
    report_id = (await response.json())["report"]["report_id"]
    async with asyncio.timeout(10):
        while not desk.provider.asked:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    assert len(desk.provider.asked) == 1
    registry = desk.steered.front.registry
    assert registry.get_sample_value("nepxy_reconcile_running") == 1
    running = await desk.steered.get(f"{REPORTS}/{report_id}")
    assert (running["state"], running["progress"]["total"], running["progress"]["done"]) == ("RUNNING", 5, 0)

    second = await desk.steered.post(RUN, {"reason": "again"})
    assert (second.status, await code_of(second)) == (409, "RECONCILE_RUNNING")
    assert (await second.json())["report_id"] == report_id

    desk.provider.may_answer.set()
    assert (await desk.ended(report_id))["figures"]["missing_there"] == 5
    assert registry.get_sample_value("nepxy_reconcile_running") == 0


async def test_a_run_is_audited_and_the_gauges_say_what_it_found(desk: Desk) -> None:
    lost = desk.named(Status.CONFIRMED)
    report = await desk.run(since_h=3)
    assert report["who"] == "operator:ann"
    rows = desk.steered.desk.rows(
        "SELECT who, command, target, reason, arguments->>'since_h', request_id IS NOT NULL FROM app.audit_log"
    )
    assert rows == [("operator:ann", "reconcile", f"reconcile/{report['report_id']}", "a test", "3.0", True)]
    registry = desk.steered.front.registry
    async with asyncio.timeout(10):
        while registry.get_sample_value("nepxy_reconcile_differences", {"kind": "LOOK_UP"}) != 1:
            await asyncio.sleep(0.05)
    done = registry.get_sample_value("nepxy_reconcile_last_done_timestamp_seconds", {"kind": "LOOK_UP"})
    assert done
    assert abs(done - datetime.now(UTC).timestamp()) < 60
    labels = {"provider": lost.provider, "verdict": "differ"}
    assert registry.get_sample_value("nepxy_reconcile_checked_total", labels) == 1


async def test_the_schedule_begins_a_run_by_itself(start_steered: StartSteered, provider: Any) -> None:
    made, template = provider
    environ = {"TMONEY_SANDBOX_STATUS_URL_TEMPLATE": template, "NEPXY_RECONCILE_EVERY_H": "2"}
    desk = Desk(await start_steered(environ), made)
    await asyncio.sleep(0.5)
    assert (await desk.steered.get(REPORTS))["reports"] == []
    # Two hours pass since this installation began.
    desk.steered.desk.database.execute_sql(
        "UPDATE app.engine_identity SET created_at = created_at - interval '3 h'"
    )
    async with asyncio.timeout(10):
        while not (found := (await desk.steered.get(REPORTS))["reports"]):
            await asyncio.sleep(0.05)
    assert (found[0]["who"], found[0]["parameters"]["scheduled"]) == ("engine", True)
    await desk.ended(found[0]["report_id"])
    await asyncio.sleep(0.5)
    assert len((await desk.steered.get(REPORTS))["reports"]) == 1
    assert desk.steered.audit() == []


async def test_a_run_whose_node_is_gone_is_ended(desk: Desk) -> None:
    left = {
        kind: desk.steered.front.reader.run_here(
            start_report,
            report_id=str(uuid4()),
            who="operator:ann",
            kind=kind,
            provider=None,
            parameters={"node": "a node that crashed"},
            reason="before the crash",
            request_id=None,
        )
        for kind in ReportKind
    }
    for report in left.values():
        assert report is not None
        ended = await desk.ended(report.report_id)
        assert (ended["state"], ended["figures"]["failed_because"]) == ("FAILED", "INTERRUPTED")


async def test_a_run_of_a_node_that_stops_is_ended(desk: Desk) -> None:
    desk.named(Status.CONFIRMED)
    desk.provider.may_answer.clear()
    response = await desk.steered.post(RUN, {"reason": "a test"})
    report_id = (await response.json())["report"]["report_id"]
    async with asyncio.timeout(10):
        while not desk.provider.asked:
            await asyncio.sleep(0.02)
    desk.steered.supervisor.tell(Drain())
    ended = await desk.ended(report_id)
    assert (ended["state"], ended["figures"]["failed_because"]) == ("FAILED", "STOPPED")


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 422, "VALIDATION_FAILED", "reason"),
        ({"reason": "why", "provider": "TMONY"}, 422, "PROVIDER_UNKNOWN", "provider"),
        ({"reason": "why", "since_h": 0}, 422, "VALIDATION_FAILED", "since_h"),
        ({"reason": "why", "count_max": 10**9}, 422, "VALIDATION_FAILED", "count_max"),
        ({"reason": "why", "transaction_ids": ["no id"]}, 422, "VALIDATION_FAILED", "transaction_ids.0"),
        ({"reason": "why", "transaction_ids": [str(uuid4())]}, 404, "PAYOUT_NOT_FOUND", ""),
        ({"reason": "why", "sinse_h": 4}, 422, "VALIDATION_FAILED", "sinse_h"),
    ],
)
async def test_an_order_that_is_wrong_names_the_field(
    desk: Desk, body: dict[str, Any], status: int, code: str, field: str
) -> None:
    response = await desk.steered.post(RUN, body)
    assert (response.status, await code_of(response)) == (status, code)
    if field:
        assert list(await fields_of(response)) == [field]
    assert (await desk.steered.get(REPORTS))["reports"] == []


async def test_reading_needs_one_right_and_starting_the_other(desk: Desk) -> None:
    assert (await desk.steered.post(RUN, {"reason": "why"}, who="viv")).status == 403
    seen = await desk.steered.client.get(REPORTS, headers=bearer("viv", "admin"))
    assert (seen.status, (await seen.json())["reports"]) == (200, [])
    for path in (REPORTS, f"{REPORTS}/{uuid4()}"):
        response = await desk.steered.client.get(path, headers=bearer("wim", "admin"))
        assert response.status == 403
    assert (await desk.steered.client.get(REPORTS)).status == 401
    assert (await desk.steered.client.post(FILES, data=b"x")).status == 401


async def test_a_report_that_is_none_is_not_found(desk: Desk) -> None:
    for name in (str(uuid4()), f"{uuid4()}.csv", "nonsense"):
        response = await desk.steered.client.get(f"{REPORTS}/{name}", headers=bearer("ann", "admin"))
        assert (response.status, await code_of(response)) == (404, "REPORT_NOT_FOUND")


# ---- settlement files ------------------------------------------------------------------------------


async def test_a_file_is_matched_line_by_line(desk: Desk) -> None:
    agreed, other_amount, other_currency = (desk.named(Status.CONFIRMED) for _ in range(3))
    failed, doubted = desk.named(Status.FAILED), desk.a_payout(Status.SENT)
    absent = desk.named(Status.CONFIRMED)
    before = datetime.now(UTC) - timedelta(days=2)
    long_ago = desk.named(Status.CONFIRMED, settled_at=before)
    rows = [
        (agreed.provider_ref, "1000", "XOF", "SUCCESS"),
        (other_amount.submission_ref, "900.00", "XOF", "SUCCESS"),
        (other_currency.transaction_id, "1000", "XAF", "SUCCESS"),
        (failed.provider_ref, "1000", "XOF", "SUCCESS"),
        (doubted.submission_ref.upper(), "1000", "XOF", "SUCCESS"),
        ("nobody-knows-it", "5", "XOF", "SUCCESS"),
        (agreed.submission_ref, "1000", "XOF", "SUCCESS"),
        ("broken", "five", "XOF", "SUCCESS"),
    ]
    content = "Transaction ID;Amount;Currency;Status\r\n" + "".join(
        f"{';'.join(map(str, row))}\r\n" for row in rows
    )
    now = datetime.now(UTC)

    report = await desk.upload(
        "﻿" + content, {"from": (now - timedelta(hours=1)).isoformat(), "to": now.isoformat()}
    )

    found = sorted((one["theirs"].get("line", 99), one["kind"]) for one in report["differences"])
    assert found == [
        (3, "AMOUNT_DIFFERS"),
        (4, "AMOUNT_DIFFERS"),
        (5, "STATE_DIFFERS"),
        (6, "SETTLED_THERE"),
        (7, "MISSING_HERE"),
        (8, "DUPLICATE"),
        (99, "MISSING_THERE"),
    ]
    missing = next(one for one in report["differences"] if one["kind"] == "MISSING_THERE")
    assert missing["transaction_id"] == absent.transaction_id
    assert long_ago.transaction_id not in str(report)
    figures = report["figures"]
    assert (figures["lines"], figures["bad_lines"], figures["agree"], figures["differ"]) == (8, 1, 1, 7)
    assert [bad["line"] for bad in figures["bad"]] == [9]
    assert (report["state"], report["kind"], report["provider"]) == ("DONE", "SETTLEMENT_FILE", "TMONEY")
    assert all(one["commands"] for one in report["differences"])
    # A list that a person uploads moves nothing.
    assert (desk.status(failed), desk.status(doubted), desk.discrepancies()) == ("FAILED", "SENT", [])
    ((command, arguments),) = desk.steered.desk.rows("SELECT command, arguments::text FROM app.audit_log")
    assert command == "import_settlement_file"
    assert "node" not in arguments


async def test_without_a_period_what_the_file_lacks_is_not_looked_for(desk: Desk) -> None:
    desk.named(Status.CONFIRMED)
    report = await desk.upload("reference,amount,currency\nx,1,XOF\n")
    assert report["figures"]["missing_there"] is None
    assert [one["kind"] for one in report["differences"]] == ["MISSING_HERE"]


async def test_another_providers_payouts_and_a_clients_own_reference_match_nothing(desk: Desk) -> None:
    ours = desk.named(Status.CONFIRMED)
    content = f"reference,amount,currency\n{ours.external_ref},1000,XOF\n{ours.provider_ref},1000,XOF\n"
    report = await desk.upload(content)
    assert (report["figures"]["missing_here"], report["figures"]["agree"]) == (1, 1)
    report = await desk.upload(content, provider="FLOOZ")
    assert report["figures"]["missing_here"] == 2


async def test_a_line_about_an_older_reference_is_a_difference_where_it_was_paid(desk: Desk) -> None:
    payout = desk.named(Status.CONFIRMED, generation=1)
    older = str(uuid4())
    desk.steered.desk.database.execute_sql(
        "INSERT INTO app.payout_attempts (submission_ref, transaction_id, generation, provider, account, send_by,"
        " answer_by) VALUES (%s, %s, 0, 'TMONEY', 'x', now(), now())",
        (older, payout.transaction_id),
    )
    head = "reference,amount,currency,status\n"
    agreed = await desk.upload(f"{head}{older},1000,XOF,FAILED\n{payout.submission_ref},1000,XOF,SUCCESS\n")
    assert (agreed["figures"]["agree"], agreed["figures"]["differ"]) == (2, 0)
    paid_twice = await desk.upload(f"{head}{older},1000,XOF,SUCCESS\n")
    assert [one["kind"] for one in paid_twice["differences"]] == ["STATE_DIFFERS"]
    assert "older reference" in paid_twice["differences"][0]["detail"]


async def test_references_of_one_line_that_are_those_of_two_payouts_are_told(desk: Desk) -> None:
    first, second = desk.named(Status.CONFIRMED), desk.named(Status.CONFIRMED)
    report = await desk.upload(
        f"external_id,transaction_id,amount,currency\n{first.submission_ref},{second.provider_ref},1000,XOF\n"
    )
    (found,) = report["differences"]
    assert found["kind"] == "AMBIGUOUS"
    assert first.transaction_id in found["detail"]


async def test_a_report_is_downloaded_as_a_file_that_no_spreadsheet_runs(desk: Desk) -> None:
    evil = '=HYPERLINK("http://evil"),1,XOF,OK\n@SUM(1),1,XOF,OK\n+22890000001,1,XOF,OK\n -1+1,1,XOF,OK\n'
    evil = evil.replace('=HYPERLINK("http://evil")', '"=HYPERLINK(""http://evil"")"')
    report = await desk.upload("reference,amount,currency,status\n" + evil)
    response = await desk.steered.client.get(report["links"]["csv"], headers=bearer("ann", "admin"))
    assert response.headers["Content-Type"].startswith("text/csv")
    assert "attachment" in response.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(await response.text())))
    assert [row["their_references"][:2] for row in rows] == ["'=", "'@", "'+", "'-"]
    assert {row["kind"] for row in rows} == {"MISSING_HERE"}
    assert not any(cell.lstrip()[:1] in "=+-@" for row in rows for cell in row.values() if cell.strip())


async def test_differences_come_in_pages_and_a_file_has_them_all(desk: Desk) -> None:
    lines = "".join(f"none-{n},1,XOF\n" for n in range(1203))
    report = await desk.upload("reference,amount,currency\n" + lines)
    assert (len(report["differences"]), report["next_after"]) == (1000, 1000)
    rest = await desk.steered.get(report["links"]["self"], after="1000")
    assert (len(rest["differences"]), rest["next_after"]) == (203, None)
    response = await desk.steered.client.get(report["links"]["csv"], headers=bearer("ann", "admin"))
    assert len(list(csv.reader(io.StringIO(await response.text())))) == 1204


@pytest.mark.parametrize(
    ("content", "query", "status", "code"),
    [
        (b"", {}, 422, "VALIDATION_FAILED"),
        (b"a,b\n1,2\n", {}, 422, "VALIDATION_FAILED"),
        (b"reference,amount\nx,1\n", {}, 422, "VALIDATION_FAILED"),
        (b"reference\nx\n", {"provider": "NOBODY"}, 422, "PROVIDER_UNKNOWN"),
        (b"reference\nx\n", {"reason": ""}, 422, "VALIDATION_FAILED"),
        (b"reference\nx\n", {"from": "2026-11-24T00:00:00Z"}, 422, "VALIDATION_FAILED"),
        (
            b"reference\nx\n",
            {"from": "2026-11-24T00:00:00Z", "to": "2026-11-24T00:00:00Z"},
            422,
            "VALIDATION_FAILED",
        ),
        (b"reference\nx\n", {"column.amount": "Nope"}, 422, "VALIDATION_FAILED"),
    ],
)
async def test_a_file_that_cannot_be_taken_leaves_no_report(
    desk: Desk, content: bytes, query: dict[str, str], status: int, code: str
) -> None:
    document = await desk.upload(content, query, status=status)
    assert document["code"] == code
    assert (await desk.steered.get(REPORTS))["reports"] == []


async def test_files_have_limits(start_steered: StartSteered, provider: Any) -> None:
    made, template = provider
    environ = {
        "TMONEY_SANDBOX_STATUS_URL_TEMPLATE": template,
        "NEPXY_RECONCILE_FILE_LINES_MAX": "3",
        "NEPXY_RECONCILE_FILE_BYTES_MAX": "1024",
    }
    desk = Desk(await start_steered(environ), made)
    assert (await desk.upload("reference\n" + "x" * 2000, status=413))["code"] == "BODY_TOO_LARGE"
    assert (await desk.steered.get(REPORTS))["reports"] == []

    async def slowly() -> AsyncIterator[bytes]:
        yield b"reference\n"
        for _ in range(10):
            yield b"x" * 200 + b"\n"

    response = await desk.steered.client.post(
        FILES,
        data=slowly(),
        params={"provider": "TMONEY", "reason": "a test"},
        headers=bearer("ann", "admin"),
    )
    assert response.status in (413, 422)
    document = await desk.upload("reference\na\nb\nc\nd\n", status=422)
    assert "more than 3 lines" in document["fields"][0]["problem"]
    reports = (await desk.steered.get(REPORTS))["reports"]
    assert {one["state"] for one in reports} == {"FAILED"}
    assert "VALIDATION_FAILED" in {one["figures"]["failed_because"] for one in reports}


async def test_a_payout_of_nobody_is_found_by_no_phone_number(desk: Desk) -> None:
    """A report never shows one: neither ours nor theirs."""
    payout = desk.named(Status.CONFIRMED)
    content = f"reference,msisdn,amount,currency\n{payout.provider_ref},{payout.phone_e164},5,XOF\n"
    report = await desk.upload(content)
    assert payout.phone_e164.removeprefix("+") not in str(report)
    assert a_pending().phone_e164 == payout.phone_e164
