"""`nepxy payouts`, `proposals` and `audit` against a real engine, sandbox and PostgreSQL."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import Instance, operator
from tests.cli.support import nepxy
from tests.journey.harness import token

pytestmark = pytest.mark.timeout(180)
UNKNOWN = "019a0000-0000-7000-8000-000000000000"


def test_a_payout_is_found_shown_and_explained(instance: Instance) -> None:
    transaction_id = instance.pay()
    shown = instance.until(transaction_id, "CONFIRMED")
    assert shown["transaction_id"] == transaction_id

    listed = instance.run("payouts", "list", "--reference", transaction_id)
    assert listed.status == 0
    assert transaction_id in listed.out
    assert "CONFIRMED" in listed.out
    assert "+22890011234" not in listed.out

    for command, says in (
        (("payouts", "show"), "transaction_id"),
        (("explain",), "next"),
        (("payouts", "explain"), "evidence"),
        (("payouts", "events"), "CONFIRMED"),
        (("payouts", "attempts"), "submission_ref"),
    ):
        ended = instance.run(*command, transaction_id)
        assert (ended.status, ended.err) == (0, ""), command
        assert says in ended.out, command
        assert instance.run(*command, transaction_id, "--json").json(), command


def test_filters_that_find_nothing_say_so_and_filters_that_are_none_are_named(instance: Instance) -> None:
    assert "no payout is like that" in instance.run("payouts", "list", "--client", "nobody").out
    assert instance.run("payouts", "list", "--client", "nobody", "--json").json()["payouts"] == []
    refused = instance.run("payouts", "list", "--status", "SOON")
    assert (refused.status, refused.out) == (2, "")
    assert "status" in refused.err


def test_pages_go_on_by_their_cursor(instance: Instance) -> None:
    ids = {instance.pay() for _ in range(3)}
    first = instance.run("payouts", "list", "--limit", "2", "--json").json()
    rest = instance.run(
        "payouts", "list", "--limit", "200", "--cursor", first["next_cursor"], "--json"
    ).json()
    seen = [payout["transaction_id"] for payout in (*first["payouts"], *rest["payouts"])]
    assert ids <= set(seen)
    assert len(seen) == len(set(seen))
    assert f"--cursor {first['next_cursor']}" in instance.run("payouts", "list", "--limit", "2").out


def test_a_poll_says_what_it_does_and_what_comes_next(instance: Instance) -> None:
    transaction_id = instance.accepted("0503")
    instance.until_paid(transaction_id)
    ended = instance.run("payouts", "poll", transaction_id, "--reason", "no webhook came")
    assert (ended.status, ended.err) == (0, "")
    assert "Next: " in ended.out
    instance.until(transaction_id, "CONFIRMED")


def test_a_confirmation_waits_for_a_second_person_who_is_another_one(instance: Instance) -> None:
    transaction_id = instance.accepted()
    asked = instance.run("payouts", "confirm", transaction_id, "--reason", "seen in the portal", "--yes")
    assert asked.status == 4
    (proposal,) = instance.run("proposals", "list", "--json").json()["proposals"]
    number = proposal["proposal_id"]
    assert f"nepxy proposals approve {number}" in asked.out
    assert number in instance.run("proposals", "list").out

    alone = instance.run("proposals", "approve", number, "--reason", "it is fine")
    assert alone.status == 2
    assert "SECOND_PERSON_IS_THE_FIRST" in alone.err
    approved = instance.run("proposals", "approve", number, "--reason", "seen it, too", who="kofi")
    assert (approved.status, approved.err) == (0, "")
    assert instance.until(transaction_id, "CONFIRMED")["status_reason"] == "CONFIRMED_BY_OPERATOR"
    assert "nothing waits" in instance.run("proposals", "list").out


def test_a_proposal_can_be_turned_down(instance: Instance) -> None:
    transaction_id = instance.accepted()
    asked = instance.run(
        "payouts", "confirm", transaction_id, "--reason", "seen in the portal", "--yes", "--json"
    )
    assert asked.status == 4
    number = asked.json()["proposal"]["proposal_id"]
    assert (
        instance.run("proposals", "reject", number, "--reason", "it is another one", who="kofi").status == 0
    )
    assert instance.until(transaction_id, "SENT")["status"] == "SENT"


def test_a_command_that_its_state_does_not_take_is_refused_with_those_that_it_does(
    instance: Instance,
) -> None:
    transaction_id = instance.pay()
    instance.until(transaction_id, "CONFIRMED")
    refused = instance.run("payouts", "retry", transaction_id, "--reason", "again please", "--force", "--yes")
    assert (refused.status, refused.out) == (2, "")
    assert "COMMAND_NOT_VALID" in refused.err
    assert "commands valid now: " in refused.err
    assert "note" in refused.err


def test_two_operators_at_once_one_is_told_what_version_it_is_now(instance: Instance) -> None:
    transaction_id = instance.accepted()
    version = str(instance.until(transaction_id, "SENT")["version"])
    given = ("payouts", "note", transaction_id, "--reason", "called the provider")
    assert instance.run(*given).status == 0
    late = instance.run(
        "payouts", "poll", transaction_id, "--reason", "x" * 3, "--expected-version", version, who="kofi"
    )
    assert late.status == 2
    assert "VERSION_CONFLICT" in late.err
    assert f"its version is now {int(version) + 1}" in late.err


def test_the_same_command_id_again_is_answered_and_not_done_again(instance: Instance) -> None:
    transaction_id = instance.accepted()
    given = ("payouts", "note", transaction_id, "--reason", "called the provider", "--command-id", "call-1")
    assert instance.run(*given).status == 0
    again = instance.run(*given)
    assert again.status == 0
    assert "nothing was done now" in again.out
    events = instance.run("payouts", "events", transaction_id, "--json").json()["events"]
    assert [event["why"] for event in events].count("NOTE") == 1


@pytest.mark.parametrize("wrong", ["7", "../../readyz", UNKNOWN, "a b"])
def test_an_id_that_is_none_is_refused(instance: Instance, wrong: str) -> None:
    for arguments in (
        ("payouts", "show", wrong),
        ("explain", wrong),
        ("payouts", "poll", wrong, "--reason", "why not"),
    ):
        refused = instance.run(*arguments)
        assert (refused.status, refused.out) == (2, ""), arguments
        assert "PAYOUT_NOT_FOUND" in refused.err, refused.err


def test_who_may_not_is_told(instance: Instance) -> None:
    reader = operator(instance.town, "efua", "Efua Owusu", "--scope", "admin:read")
    transaction_id = instance.accepted()
    assert nepxy("payouts", "show", transaction_id, environ=reader).status == 0
    refused = nepxy("payouts", "poll", transaction_id, "--reason", "why not", environ=reader)
    assert refused.status == 2
    assert "SCOPE_MISSING" in refused.err
    for given, code in ((token(), "SCOPE_MISSING"), ("not-a-token", "TOKEN_INVALID")):
        refused = nepxy("payouts", "list", environ={"NEPXY_URL": instance.town.base, "NEPXY_TOKEN": given})
        assert (refused.status, refused.out) == (2, "")
        assert code in refused.err
    refused = nepxy("payouts", "list", environ=reader | {"NEPXY_OPERATOR_SECRET": "wrong"})
    assert refused.status == 2
    assert "CLIENT_CREDENTIALS_INVALID" in refused.err


def test_watching_as_json_writes_a_line_a_look_until_ctrl_c(instance: Instance) -> None:
    command = [
        sys.executable,
        "-m",
        "nepxy",
        "payouts",
        "list",
        "--json",
        "--watch",
        "--every",
        "0.2",
        "--limit",
        "1",
    ]
    watching = subprocess.Popen(
        command, env={**os.environ, **instance.ama}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(3)]
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=30)
    assert (watching.returncode, err) == (0, "")
    assert all("payouts" in json.loads(line) for line in lines)


def test_at_a_terminal_it_shows_the_payout_and_asks_and_no_is_no(instance: Instance) -> None:
    transaction_id = instance.accepted()
    said = at_a_terminal(
        instance, "payouts", "confirm", transaction_id, "--reason", "seen in the portal", answer="n"
    )
    assert f"Record it as paid: {transaction_id} (TMONEY" in said
    assert "nothing was done" in said
    assert instance.until(transaction_id, "SENT")["status"] == "SENT"
    said = at_a_terminal(
        instance, "payouts", "note", transaction_id, "--reason", "called the provider", answer=""
    )
    assert "Next: " in said


def at_a_terminal(instance: Instance, *arguments: str, answer: str) -> str:
    """What stands on a terminal's screen after a command; `answer` is typed when it asks."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, **instance.ama, "COLUMNS": "200", "TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "-m", "nepxy", *arguments], env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    screen, deadline_s = b"", time.monotonic() + 60
    while time.monotonic() < deadline_s:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        screen += part
        if answer and b"[y/N]" in screen:
            os.write(ours, f"{answer}\n".encode())
            answer = ""
        if not part:
            break
    process.wait(timeout=30)
    os.close(ours)
    return " ".join(screen.decode().split())
