"""`nepxy reconcile` against a real engine: providers asked, a settlement file matched, reports read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.cli.conftest import Instance

pytestmark = pytest.mark.timeout(180)
WHY = ("--reason", "trying the command line")
UNKNOWN = "019a0000-0000-7000-8000-000000000000"


def test_providers_are_asked_and_what_was_stuck_is_settled(instance: Instance) -> None:
    transaction_id = instance.accepted("0503")  # no webhook comes, and the poll is an hour away
    instance.until_paid(transaction_id)
    asked = (
        "reconcile",
        "run",
        "--provider",
        "tmoney",
        "--payout",
        transaction_id,
        "--watch",
        "--json",
        *WHY,
    )
    report = instance.run(*asked)
    assert (report.status, report.err) == (0, "")
    assert report.json()["state"] == "DONE"
    assert report.json()["figures"]["checked"] == 1
    instance.until(transaction_id, "CONFIRMED")
    number = report.json()["report_id"]
    assert number in instance.run("reconcile", "reports").out
    shown = instance.run("reconcile", "show", number)
    assert "figures" in shown.out


def test_a_settlement_file_is_matched_line_by_line(instance: Instance, folder: Path) -> None:
    paid, other = instance.pay(), instance.pay()
    lines = []
    for transaction_id, amount in ((paid, None), (other, 1)):
        payout = instance.until(transaction_id, "CONFIRMED")
        lines.append((payout["submission_ref"], amount or payout["amount"], "SUCCESS"))
    text = "TxnNo,amount,status\n" + "".join(f"{ref},{amount},{status}\n" for ref, amount, status in lines)
    (folder / "november.csv").write_text(text)
    given = ("reconcile", "import", "november.csv", "--provider", "TMONEY", "--currency", "XOF", *WHY)
    unknown_column = instance.run(*given)
    assert unknown_column.status == 2

    report = instance.run(*given, "--column", "reference=TxnNo", "--json")
    assert report.status == 0, report.err
    number = report.json()["report_id"]
    (difference,) = instance.run("reconcile", "show", number, "--json").json()["differences"]
    assert (difference["kind"], difference["transaction_id"]) == ("AMOUNT_DIFFERS", other)
    assert f"nepxy explain {other}" in instance.run("reconcile", "show", number).out
    rows = list(csv.DictReader(io.StringIO(instance.run("reconcile", "show", number, "--csv").out)))
    assert [row["kind"] for row in rows] == ["AMOUNT_DIFFERS"]


def test_a_report_that_is_none(instance: Instance) -> None:
    for options in ((), ("--csv",), ("--watch",)):
        refused = instance.run("reconcile", "show", UNKNOWN, *options)
        assert (refused.status, refused.out) == (2, "")
        assert "REPORT_NOT_FOUND" in refused.err


def test_a_column_without_a_header_is_refused(instance: Instance, folder: Path) -> None:
    (folder / "x.csv").write_text("a,b\n")
    refused = instance.run(
        "reconcile", "import", "x.csv", "--provider", "TMONEY", "--column", "reference", *WHY
    )
    assert refused.status == 2
    assert "FIELD=HEADER" in refused.err
