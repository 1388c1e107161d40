"""The roles of scripts/roles.sql: the engine can do its work and nothing else, and its password changes under load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import aiohttp
import psycopg2
import pytest

from nepxy.storage.address import Address
from tests.journey.harness import Client, Town, a_body
from tests.ship.database_home import DatabaseHome, database_home, nepxy, rows

WORKERS = 6
KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'nepxy_app' AND application_name = %s"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE app.audit_log SET who = 'nobody'",
        "DELETE FROM app.audit_log",
        "UPDATE app.payout_events SET why = 'nothing'",
        "DELETE FROM app.payout_events",
        "DELETE FROM app.mobile_money_payouts",
        "TRUNCATE app.mobile_money_payouts",
        "DROP TABLE app.audit_log",
        "ALTER TABLE app.mobile_money_payouts ADD COLUMN mine text",
        "CREATE TABLE app.mine (n int)",
        "CREATE TABLE public.mine (n int)",
        "CREATE TEMPORARY TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "DELETE FROM public._pw_migrate_internal",
        "SET ROLE nepxy_owner",
        "CREATE ROLE mine",
        "COPY app.api_clients TO PROGRAM 'cat'",
    ],
)
def test_what_the_engines_role_may_not_do(migrated: DatabaseHome, statement: str) -> None:
    with pytest.raises(psycopg2.Error) as caught:
        rows(migrated.app_url, statement)

    assert caught.value.pgcode in ("42501", "42704", "22023"), caught.value


def test_it_sees_who_holds_a_table_and_may_end_nobody_elses_session(migrated: DatabaseHome) -> None:
    with closing(psycopg2.connect(migrated.owner_url, application_name="lunch")) as forgotten:
        pid = forgotten.info.backend_pid
        forgotten.cursor().execute("LOCK TABLE app.mobile_money_payouts")
        seen = "SELECT application_name, state, query FROM pg_stat_activity WHERE pid = %s"
        held = ("lunch", "idle in transaction", "LOCK TABLE app.mobile_money_payouts")
        assert rows(migrated.app_url, seen, pid) == [held]
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            rows(migrated.app_url, "SELECT pg_terminate_backend(%s)", pid)


def test_the_owner_is_no_superuser_either(migrated: DatabaseHome) -> None:
    flags = "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
    found = migrated.admin(f"SELECT rolname, {flags} FROM pg_roles WHERE rolname LIKE 'nepxy%%' ORDER BY 1")

    assert found == [("nepxy_app", False), ("nepxy_owner", False)]


def test_the_roles_may_be_made_again_at_any_time(migrated: DatabaseHome) -> None:
    migrated.give_roles()

    assert rows(migrated.app_url, "SELECT count(*) FROM app.payout_events") == [(0,)]


def test_no_password_and_no_other_password_gets_in(migrated: DatabaseHome) -> None:
    for url in (
        migrated.app_url.replace("engine", "wrong"),
        migrated.app_url.replace("nepxy_app", "postgres"),
    ):
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(url)


@pytest.fixture(scope="module")
def migrated() -> Iterator[DatabaseHome]:

    with database_home() as home:
        nepxy("migrate", "up", url=home.owner_url)
        home.give_roles()
        yield home


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_the_password_changes_under_load_and_no_request_is_refused(
    home: DatabaseHome, tmp_path: Path
) -> None:
    nepxy("migrate", "up", url=home.owner_url)
    home.give_roles()
    secret = tmp_path / "database_url"
    secret.write_text(home.app_url)
    town = Town(database_url="", folder=tmp_path, overrides={"DATABASE_URL_FILE": str(secret)})
    town.start_provider()
    town.start_engine()
    stop = asyncio.Event()
    taken: dict[str, str] = {}
    refused: list[tuple[int, bytes]] = []
    try:
        async with aiohttp.ClientSession() as session:
            await town.until_ready(session)
            client = Client(session, town)

            async def work(worker: int) -> None:
                number = worker * 10_000
                while not stop.is_set():
                    number += 1
                    status, body, headers = await client.post(
                        f"key-{number}", a_body(number, external_ref=f"load-{number}")
                    )
                    if status == 202:
                        taken[f"key-{number}"] = headers["Location"].rpartition("/")[2]
                    else:
                        refused.append((status, body))
                    async with session.get(f"{town.base}/v1/payouts", headers=client.headers()) as page:
                        if page.status != 200:
                            refused.append((page.status, await page.read()))

            workers = [asyncio.create_task(work(worker)) for worker in range(WORKERS)]
            await until(lambda: len(taken) > 40)
            old_url = home.app_url

            # docs/rotating-secrets.md: the file first, then the role.
            secret.write_text(home.url("nepxy_app").replace("engine", "the%20new"))
            during = len(taken)
            await until(lambda: len(taken) > during + 40)
            await asyncio.to_thread(home.set_password, "nepxy_app", "the new: p@ss/word")
            # Connections that are there stay, for days maybe: here those of reads have to be made anew.
            await asyncio.to_thread(home.admin, KILL, "nepxy")
            after = len(taken)
            await until(lambda: len(taken) > after + 80)
            stop.set()
            await asyncio.gather(*workers)

            assert refused == []
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                psycopg2.connect(old_url)
            # The journal's too, which says 503 for as long as it has none; the client comes again.
            await asyncio.to_thread(home.admin, KILL, "nepxy-journal")
            taken["last"] = await posted_again_and_again(client, 1)
            await town.until_ready(session)
            for transaction_id in taken.values():
                await client.until(transaction_id, "CONFIRMED")
            async with session.get(f"{town.sandbox_base}/_sandbox/summary") as answer:
                summary = await answer.json()
            assert summary["movements"] == len(taken)
            assert summary["references_paid_more_than_once"] == 0
            assert "database.address_renewed" in town.log_text()
            assert "p@ss" not in town.log_text()
    finally:
        stop.set()
        town.stop()


async def posted_again_and_again(client: Client, number: int) -> str:
    """As a client does that keeps to Retry-After, if in less time."""
    async with asyncio.timeout(60):
        while True:
            status, _, headers = await client.post(f"last-{number}", a_body(number))
            if status == 202:
                return headers["Location"].rpartition("/")[2]
            await asyncio.sleep(0.1)


async def until(reached: Callable[[], bool], *, limit_s: float = 60) -> None:
    async with asyncio.timeout(limit_s):
        while not reached():
            await asyncio.sleep(0.05)


def test_an_address_is_read_again_only_when_it_no_longer_works(migrated: DatabaseHome) -> None:
    asked: list[str] = []

    def read_again() -> str:
        asked.append("once")
        return migrated.app_url

    good = Address(migrated.app_url, read_again)
    good.reach(psycopg2.connect).close()
    assert asked == []

    stale = Address(migrated.app_url.replace("engine", "old"), read_again)
    stale.reach(psycopg2.connect).close()
    assert (asked, stale.url) == (["once"], migrated.app_url)


def test_an_address_that_cannot_be_read_again_keeps_the_first_error(migrated: DatabaseHome) -> None:
    def half_written() -> str:
        raise ValueError("the file is empty")

    stale = Address(migrated.app_url.replace("engine", "old"), half_written)

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        stale.reach(psycopg2.connect)
