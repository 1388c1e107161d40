from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Ended, nepxy
from tests.journey.harness import JWT_SECRET, START_S_MAX, Town, a_body, token
from tests.postgres_server import PostgresServer


@dataclass
class Instance:
    """A running engine with its sandbox, and two operators who reach it by the command line only."""

    town: Town
    ama: Mapping[str, str]
    kofi: Mapping[str, str]
    made_count: int = field(default=0)

    def run(self, *arguments: str, who: str = "ama", stdin: str = "") -> Ended:
        """`nepxy ARGUMENTS` in this person's shell."""
        return nepxy(*arguments, environ=self.ama if who == "ama" else self.kofi, stdin=stdin)

    def pay(self, suffix: str = "1234", **changes: Any) -> str:
        """A client's payout, accepted; its id."""
        self.made_count += 1
        request = urllib.request.Request(
            f"{self.town.base}/v1/payouts",
            data=json.dumps(a_body(self.made_count, suffix=suffix, **changes)).encode(),
            headers={
                "Authorization": f"Bearer {token()}",
                "Content-Type": "application/json",
                "Idempotency-Key": f"key-{self.made_count}",
            },
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.load(answer)["transaction_id"])

    def until(self, transaction_id: str, *statuses: str, limit_s: float = 40.0) -> dict[str, Any]:
        """The payout as `show --json` has it, once it is in one of these states."""
        deadline_s = time.monotonic() + limit_s
        while True:
            payout = self.run("payouts", "show", transaction_id, "--json").json()
            if payout["status"] in statuses:
                return payout
            assert time.monotonic() < deadline_s, payout
            time.sleep(0.1)

    def until_paid(self, transaction_id: str) -> None:
        """Until the provider has moved its money, whatever we know of that."""
        reference = self.run("payouts", "show", transaction_id, "--json").json()["submission_ref"]
        deadline_s = time.monotonic() + 20.0
        while True:
            with urllib.request.urlopen(
                f"{self.town.sandbox_base}/_sandbox/ledger/{reference}", timeout=5
            ) as answer:
                if json.load(answer)["entries"]:
                    return
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    def accepted(self, suffix: str = "0402") -> str:
        """A payout that its provider has taken and does not settle; its id."""
        transaction_id = self.pay(suffix)
        deadline_s = time.monotonic() + 20.0
        while not self.run("payouts", "show", transaction_id, "--json").json()["provider_ref"]:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        return transaction_id


@pytest.fixture(scope="module")
def instance(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One for all tests of a module; each makes payouts of its own."""
    with postgres.fresh_database() as url:
        town = Town(
            database_url=postgres.as_engine(url),
            folder=tmp_path_factory.mktemp("instance"),
            overrides={"NEPXY_SECOND_PERSON": "true", "NEPXY_POLL_BASE_S": "3600"},
        )
        try:
            town.start_provider()
            town.start_engine()
            until_ready(town)
            yield Instance(town, operator(town, "ama", "Ama Mensah"), operator(town, "kofi", "Kofi Boateng"))
        finally:
            town.stop()


def until_ready(town: Town) -> None:
    deadline_s = time.monotonic() + START_S_MAX
    for url in (f"{town.base}/readyz", f"{town.sandbox_base}/_sandbox/summary"):
        while True:
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                assert time.monotonic() < deadline_s, town.log_text()
                time.sleep(0.1)


def operator(town: Town, operator_id: str, name: str, *options: str) -> dict[str, str]:
    """Register a person as docs/command-line.md says; the environment of that person's shell."""
    settings = {"DATABASE_URL": town.database_url, "JWT_SECRET": JWT_SECRET}
    ended = nepxy("operators", "add", operator_id, "--name", name, *options, environ=settings)
    assert ended.status == 0, ended.err
    secret = ended.out.partition("client_secret=")[2].strip()
    return {"NEPXY_URL": town.base, "NEPXY_OPERATOR_ID": operator_id, "NEPXY_OPERATOR_SECRET": secret}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
