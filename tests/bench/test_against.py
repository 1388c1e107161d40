"""`nepxy bench --against`: a running engine's figures by its users' own means, and what it says to wrong orders."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.conftest import until_ready
from tests.cli.support import Ended, nepxy
from tests.journey.harness import Town, free_port, token
from tests.postgres_server import PostgresServer


@pytest.fixture(scope="module")
def town(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One engine and its sandbox for all tests here; none of them breaks it."""
    with postgres.fresh_database() as url:
        made = Town(database_url=postgres.as_engine(url), folder=tmp_path_factory.mktemp("against"))
        try:
            made.start_sandbox()
            made.start_engine()
            until_ready(made)
            yield made
        finally:
            made.stop()


def bench(town: Town, *arguments: str, access: str = "", stdin: str = "") -> Ended:
    environ = {"NEPXY_TOKEN": access or token()}
    return nepxy("bench", "--against", town.base, *arguments, environ=environ, stdin=stdin)


def submits(town: Town) -> int:
    """Lines of the sandbox's ledger: each submit leaves one at least."""
    ledger = town.folder / "ledger.jsonl"
    return len(ledger.read_text().splitlines()) if ledger.exists() else 0


def test_everything_is_accepted_settled_and_told_in_figures(town: Town) -> None:
    # 7 / 30 * 30 is less than 7 to a computer.
    ended = bench(town, "--payouts", "7", "--per-s", "30", "--yes")

    assert ended.status == 0, ended.err
    figures: dict[str, Any] = ended.json()
    assert figures["accepted"] == 7
    assert figures["refused"] == {}
    assert figures["reads_failed"] == 0
    assert figures["statuses"] == {"CONFIRMED": 7}
    for name in ("accept_ms", "read_ms", "settle_ms"):
        found = figures[name]
        assert 0 < found["p50"] <= found["p99"] <= found["p99.9"] <= found["max"], name
    # The sandbox settles after 300 ms.
    assert figures["settle_ms"]["p50"] >= 300
    assert f"7 payouts of 1,000 to 1,999 XOF at {town.base}, by TMONEY" in ended.err


def test_it_asks_first_and_makes_nothing_without_a_yes(town: Town) -> None:
    before = submits(town)
    for said in ("n\n", "\n"):
        ended = bench(town, "--payouts", "1", stdin=said)
        assert ended.status == 2
        # What is typed is echoed here; on a terminal, too.
        assert ended.out.strip() == said.strip()
        assert "Where the account is real, so is the money." in ended.err
        assert "Nothing was made." in ended.err
    assert submits(town) == before

    ended = bench(town, "--payouts", "1", stdin="y\n")
    assert ended.status == 0, ended.err
    assert '"CONFIRMED": 1' in ended.out
    assert submits(town) > before


def test_without_a_token_it_says_which_variable_to_set(town: Town) -> None:
    ended = nepxy("bench", "--against", town.base, "--yes")
    assert (ended.status, ended.out) == (2, "")
    assert "NEPXY_TOKEN is not set" in ended.err
    assert "payouts:write and payouts:read" in ended.err


@pytest.mark.parametrize("url", ["payouts.example.com", "ftp://x", "http://", "https://x?y=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    ended = nepxy("bench", "--against", url, "--yes", environ={"NEPXY_TOKEN": "any"})
    assert (ended.status, ended.out) == (2, "")
    assert "is not a base URL" in ended.err
    assert "https://HOST" in ended.err


def test_an_address_where_nobody_answers_is_said_at_once() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = nepxy("bench", "--against", url, "--yes", environ={"NEPXY_TOKEN": "any"})
    assert (ended.status, ended.out) == (2, "")
    assert f"Nobody answers at {url}" in ended.err
    assert "Nothing was made." in ended.err


def test_an_address_of_something_else_is_refused(town: Town) -> None:
    ended = nepxy("bench", "--against", town.sandbox_base, "--yes", environ={"NEPXY_TOKEN": "any"})
    assert (ended.status, ended.out) == (2, "")
    assert "/v1/payouts does not list payouts: HTTP 404" in ended.err


def test_the_version_in_the_address_is_forgiven(town: Town) -> None:
    environ = {"NEPXY_TOKEN": token()}
    ended = nepxy("bench", "--against", f"{town.base}/v1/", "--payouts", "1", "--yes", environ=environ)
    assert ended.status == 0, ended.err


def test_a_token_that_is_none_is_refused_before_anything_is_made(town: Town) -> None:
    ended = bench(town, "--yes", access="no-token")
    assert (ended.status, ended.out) == (2, "")
    assert "The token is refused: 401" in ended.err
    assert "Nothing was made." in ended.err


def test_a_token_that_may_only_read_is_told_why_nothing_was_accepted(town: Town) -> None:
    ended = bench(town, "--payouts", "2", "--yes", access=token(scopes=("payouts:read",)))
    assert ended.status == 2
    assert ended.json()["refused"] == {"403": 2}
    assert "2 refused: 403 " in ended.err
    assert "payouts:write" in ended.err
    assert "Nothing was accepted." in ended.err


def test_a_refused_number_is_named(town: Town) -> None:
    ended = bench(town, "--payouts", "1", "--phone", "12", "--yes")
    assert ended.status == 2
    assert "1 refused: 422 VALIDATION_FAILED" in ended.err
    assert "phone_e164: " in ended.err


def test_a_provider_that_there_is_not_is_refused(town: Town) -> None:
    ended = bench(town, "--provider", "nope", "--yes")
    assert (ended.status, ended.out) == (2, "")
    assert "--provider is one of TMONEY, FLOOZ, MOMO, THUNES" in ended.err


@pytest.mark.parametrize(("option", "value"), [("--payouts", "1001"), ("--per-s", "101"), ("--payouts", "0")])
def test_more_than_a_deployment_should_bear_is_refused(town: Town, option: str, value: str) -> None:
    ended = bench(town, option, value, "--yes")
    assert (ended.status, ended.out) == (2, "")
    assert option in ended.err


def test_a_scenario_is_not_for_a_deployment(town: Town) -> None:
    ended = bench(town, "--scenario", "recovery", "--yes")
    assert (ended.status, ended.out) == (2, "")
    assert "--scenario is for this machine" in ended.err


def test_what_has_no_end_in_time_is_counted_and_said_not_to_be_lost(town: Town) -> None:
    assert town.sandbox is not None
    town.sandbox.send_signal(signal.SIGSTOP)
    try:
        ended = bench(town, "--payouts", "2", "--per-s", "50", "--wait-s", "1", "--yes")
    finally:
        town.sandbox.send_signal(signal.SIGCONT)
    assert ended.status == 1, ended.err
    assert ended.json()["accepted"] == 2
    assert ended.json()["settle_ms"] == {}
    assert "2 of 2 had no end after 1 s. They are not lost" in ended.err
