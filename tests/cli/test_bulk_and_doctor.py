"""`nepxy bulk`, `doctor`, `actors` and `database` against a real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import Instance
from tests.cli.support import nepxy

pytestmark = pytest.mark.timeout(180)
WHY = ("--reason", "trying the command line")
UNKNOWN = "019a0000-0000-7000-8000-000000000000"


def stuck(instance: Instance, count: int) -> list[str]:
    """Payouts that were paid, and of which nobody has told us."""
    ids = [instance.accepted("0503") for _ in range(count)]
    for transaction_id in ids:
        instance.until_paid(transaction_id)
    return ids


def test_a_lever_says_first_what_it_would_touch_and_then_does_it_once(instance: Instance) -> None:
    ids = stuck(instance, 3)
    lever = ("bulk", "poll", "--status", "SENT", "--error", "ACCEPTED", *WHY)
    would = instance.run(*lever, "--dry-run")
    assert (would.status, would.err) == (0, "")
    assert "3 payouts, at 60 a minute" in would.out
    assert all(transaction_id in would.out for transaction_id in ids)
    assert instance.run(*lever, "--dry-run", "--json").json()["count"] == 3
    for transaction_id in ids:
        assert instance.until(transaction_id, "SENT")["status"] == "SENT"

    unsure = instance.run(*lever)
    assert unsure.status == 2
    assert "--yes" in unsure.err
    ended = instance.run(*lever, "--per-minute", "600", "--watch", "--yes", "--json")
    assert (ended.status, ended.err) == (0, "")
    run = ended.json()
    assert (run["state"], run["done"], run["count"]) == ("DONE", 3, 3)
    for transaction_id in ids:
        instance.until(transaction_id, "CONFIRMED")
    assert run["run_id"] in instance.run("bulk", "list").out
    assert "trying the command line" in instance.run("bulk", "show", run["run_id"], "--watch").out
    entries = instance.run("audit", "--target", f"payouts/{ids[0]}", "--json").json()["entries"]
    assert [entry["command"] for entry in entries] == ["poll"]
    nothing = instance.run(*lever, "--yes")
    assert nothing.status == 0
    assert "0 payouts" in nothing.out


def test_more_than_the_cap_is_refused_before_anybody_is_asked(instance: Instance) -> None:
    stuck(instance, 2)
    lever = ("bulk", "poll", "--status", "SENT", *WHY, "--yes")
    refused = instance.run(*lever, "--count-max", "1")
    assert refused.status == 2
    assert "BULK_OVER_THE_CAP" in refused.err
    refused = instance.run(*lever, "--amount-cap", "1")
    assert refused.status == 2
    assert "BULK_OVER_THE_CAP" in refused.err


def test_a_run_is_stopped_and_does_no_more(instance: Instance) -> None:
    stuck(instance, 3)
    lever = ("bulk", "poll", "--status", "SENT", *WHY, "--per-minute", "1", "--yes", "--json")
    started = instance.run(*lever)
    assert (started.status, started.err) == (0, "")
    number = started.json()["run"]["run_id"]
    stopped = instance.run("bulk", "stop", number, *WHY)
    assert (stopped.status, stopped.err) == (0, "")
    shown = instance.run("bulk", "show", number, "--json").json()
    assert shown["state"] == "STOPPED"
    assert shown["done"] < shown["count"]


def test_ctrl_c_stops_the_watching_and_not_the_run(instance: Instance) -> None:
    stuck(instance, 4)
    before = len(instance.run("bulk", "list", "--json").json()["runs"])
    looks = instance.town.log_text().count("/v1/admin/bulk/{run_id}")
    command = ("bulk", "poll", "--status", "SENT", *WHY, "--per-minute", "20", "--yes", "--watch")
    watching = subprocess.Popen(
        [sys.executable, "-m", "nepxy", *command],
        env={**os.environ, **instance.ama},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # It follows once it has asked for the second time how the run stands.
    while instance.town.log_text().count("/v1/admin/bulk/{run_id}") < looks + 2:
        assert watching.poll() is None
        time.sleep(0.05)
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=30)
    runs = instance.run("bulk", "list", "--json").json()["runs"]
    assert len(runs) == before + 1
    assert f"the run goes on: nepxy bulk show {runs[0]['run_id']} --watch" in err
    assert instance.run("bulk", "show", runs[0]["run_id"], "--json").json()["state"] != "STOPPED"


def test_a_providers_failed_payouts_are_counted_first_and_a_wrong_provider_is_told_which_there_are(
    instance: Instance,
) -> None:
    lever = ("--since", "1h", *WHY, "--dry-run")
    would = instance.run("providers", "retry-failed", "TMONEY", *lever)
    assert (would.status, would.err) == (0, "")
    assert "0 payouts, at 60 a minute" in would.out
    wrong = instance.run("providers", "retry-failed", "MPESA", *lever)
    assert wrong.status == 2
    assert "THUNES" in wrong.err
    late = instance.run("providers", "retry-failed", "TMONEY", "--since", "a while ago", *WHY)
    assert late.status == 2
    assert "--since" in late.err


@pytest.mark.parametrize("wrong", ["7", UNKNOWN])
def test_a_run_that_is_none(instance: Instance, wrong: str) -> None:
    for arguments in (("bulk", "show", wrong), ("bulk", "stop", wrong, *WHY)):
        refused = instance.run(*arguments)
        assert (refused.status, refused.out) == (2, "")
        assert "NOT_FOUND" in refused.err


def test_the_doctor_finds_nothing_wrong_and_says_what_it_looked_at(instance: Instance) -> None:
    well = instance.run("doctor")
    assert (well.status, well.err) == (0, "")
    titles = ("The engine answers", "stuck in SENT", "signature", "downtime", "idempotency", "pool")
    assert all(title.lower() in well.out.lower() for title in titles)
    found = instance.run("doctor", "--json").json()["incidents"]
    assert [it["state"] for it in found] == ["ok"] * 6


def test_the_doctor_who_reaches_nobody_says_so(instance: Instance) -> None:
    ended = nepxy("doctor", environ={**instance.ama, "NEPXY_URL": "http://127.0.0.1:9"})
    assert (ended.status, ended.out) == (3, "")
    assert "cannot be reached" in ended.err


def test_actors_are_shown_as_a_tree_and_a_payouts_by_its_id(instance: Instance) -> None:
    shown = instance.run("actors")
    assert (shown.status, shown.err) == (0, "")
    assert "supervisor" in shown.out
    assert "TMONEY" in shown.out
    assert "mailbox" in shown.out
    transaction_id = instance.accepted()
    assert "payout" in instance.run("actors", transaction_id).out
    assert instance.run("actors", UNKNOWN).status == 2


def test_the_database_shows_connections_against_their_limits(instance: Instance) -> None:
    shown = instance.run("database")
    assert (shown.status, shown.err) == (0, "")
    assert "in use" in shown.out
    assert instance.run("database", "--json").json()["ok"] is True
