"""A restore is a time machine: an engine that wakes on a backup asks before it sends, and nobody is paid twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from nepxy.storage import controls
from nepxy.storage.database import connect_writer
from tests.journey.harness import Client, Town, a_body
from tests.postgres_server import PostgresServer
from tests.ship.database_home import SCRIPTS, DatabaseHome, backed_up, nepxy, rows, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
FAST = {"NEPXY_SETTLE_S": "2", "NEPXY_POLL_BASE_S": "0.5"}
"""The settling time is what an operator may set; 15 minutes would make a long test."""
ACCEPTED_AND_NEVER_SETTLED = "0402"


async def ledger_of(session: aiohttp.ClientSession, town: Town) -> dict[str, dict[str, Any]]:
    """Every reference that ever came to the provider, with how often it came and how often money moved for it."""
    async with session.get(f"{town.sandbox_base}/_sandbox/accounts") as answer:
        found: dict[str, dict[str, Any]] = await answer.json()
        return found


async def posted(client: Client, number: int, **changes: Any) -> str:
    status, body, _ = await client.post(f"key-{number}", a_body(number, **changes))
    assert status == 202, body
    return str(rows(client.town.database_url, LATEST, f"key-{number}")[0][0])


LATEST = "SELECT transaction_id::text FROM app.mobile_money_payouts WHERE idempotency_key = %s"
REFERENCE = "SELECT submission_ref::text FROM app.mobile_money_payouts WHERE idempotency_key = %s"


def set_paused(town: Town, paused: bool) -> None:
    """As an operator's command leaves it in the database."""
    database = connect_writer(town.database_url, statement_timeout_s=10, connect_timeout_s=10)
    with closing(database):
        controls.set_paused(database, "TMONEY", paused=paused, reason="drill", who="operator:ama")


def reference(town: Town, number: int) -> str:
    return str(rows(town.database_url, REFERENCE, f"key-{number}")[0][0])


async def until_ready(town: Town, session: aiohttp.ClientSession) -> dict[str, Any]:
    await town.until_ready(session)
    async with session.get(f"{town.base}/readyz") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def test_after_a_restore_what_was_sent_is_found_and_nothing_is_paid_twice(
    homes: Callable[[], DatabaseHome], tmp_path: Path
) -> None:
    old, new = homes(), homes()
    nepxy("migrate", "up", url=old.owner_url)
    town = Town(database_url=old.app_url, folder=tmp_path, overrides=dict(FAST))
    after = Town(
        database_url=new.app_url,
        folder=tmp_path,
        name="restored",
        engine_port=town.engine_port,
        sandbox_port=town.sandbox_port,
        overrides=dict(FAST),
    )
    town.start_provider()  # it can be asked by our reference, and pays a repeated one again
    try:
        async with aiohttp.ClientSession() as session:
            town.start_engine()
            await town.until_ready(session)
            client = Client(session, town)
            # Paid and known, in flight, and waiting: as the backup will have them.
            paid = await posted(client, 1)
            await client.until(paid, "CONFIRMED")
            in_flight = await posted(client, 2, suffix=ACCEPTED_AND_NEVER_SETTLED)
            await client.until(in_flight, "SENT")
            set_paused(town, True)
            await asyncio.sleep(2)  # the pause holds on every node within 2 s
            waiting = [await posted(client, number) for number in (3, 4)]

            file = backed_up(old.owner_url, tmp_path / "backups")

            # After it: what waited is paid, and two more that the backup will not have.
            set_paused(town, False)
            lost = [await posted(client, number) for number in (5, 6)]
            for transaction_id in (*waiting, *lost):
                await client.until(transaction_id, "CONFIRMED")
            references = {number: reference(town, number) for number in range(1, 7)}
            before = await ledger_of(session, town)
            town.kill_engine()

            run(str(SCRIPTS / "restore_db.sh"), str(file), url=new.owner_url)
            new.give_roles()
            after.start_engine()
            ready = await until_ready(after, session)
            assert ready["restored"]["held"] is True

            client = Client(session, after)
            for transaction_id in waiting:
                found = await client.until(transaction_id, "CONFIRMED")
                assert [event["why"] for event in await history(client, transaction_id)][:2] == [
                    "ACCEPTED",
                    "RESTORED",
                ]
                assert found["attempt_count"] == 1
            # A client who posts again what the backup lost: the same reference, and the payment is found.
            again = await posted(client, 5)
            assert again != lost[0]
            assert reference(after, 5) == references[5]
            await client.until(again, "CONFIRMED")
            # What is really new is asked about, too, and not sent while the engine is held.
            fresh = await posted(client, 7)
            assert (await client.until(fresh, "SENT", "PENDING"))["status_reason"] in (
                "MAYBE_REPOSTED",
                "ABSENT_AFTER_RESTORE",
            )
            while_held = await ledger_of(session, after)
            assert while_held == before, "nothing was submitted: every reference came as often as before"

            assert "HELD" in nepxy("restored", "status", url=new.app_url, check=False).stdout
            nepxy(
                "restored", "release", "--reason", "looked at, clients told", "--who", "ama", url=new.app_url
            )
            set_paused(
                after, False
            )  # the pause came back with the backup, like everything else of that moment
            await client.until(fresh, "CONFIRMED")
            later = await posted(client, 6)
            await client.until(later, "CONFIRMED")

            at_last = await ledger_of(session, after)
            assert {ref: one["moved_count"] for ref, one in at_last.items()} == {
                **{references[number]: 1 for number in (1, 3, 4, 5, 6)},
                references[2]: 0,
                reference(after, 7): 1,
            }
            assert all(one["submit_count"] == 1 for one in at_last.values()), at_last
    finally:
        after.stop()
        town.stop()


async def test_a_copy_that_nobody_marked_is_noticed_by_the_engine_itself(
    postgres: PostgresServer, database_url: str, tmp_path: Path
) -> None:
    """A snapshot, a hand-made restore, a rewind: no script of ours was run."""
    town = Town(database_url=postgres.as_engine(database_url), folder=tmp_path, overrides=dict(FAST))
    town.start_provider()
    copy = f"{urlsplit(database_url).path[1:]}_copy"
    after: Town | None = None
    try:
        async with aiohttp.ClientSession() as session:
            town.start_engine()
            assert (await until_ready(town, session))["restored"] is None
            client = Client(session, town)
            await client.until(await posted(client, 1), "CONFIRMED")
            set_paused(town, True)
            await asyncio.sleep(2)  # the pause holds on every node within 2 s
            waiting = await posted(client, 2)
            town.kill_engine()
            # No session may be left on what is copied.
            postgres.execute(END_SESSIONS.format(town_database(town)))
            postgres.execute(f"CREATE DATABASE {copy} TEMPLATE {town_database(town)}")
            before = await ledger_of(session, town)

            url = postgres.as_engine(postgres.url_for(copy))
            after = Town(
                database_url=url,
                folder=tmp_path,
                name="copy",
                engine_port=town.engine_port,
                sandbox_port=town.sandbox_port,
                overrides=dict(FAST),
                sandbox=town.sandbox,
            )
            set_paused(after, False)
            after.start_engine()
            assert (await until_ready(after, session))["restored"]["held"] is True
            assert "engine.restored" in after.log_text()
            client = Client(session, after)
            for transaction_id in (waiting, await posted(client, 3)):
                found = await client.until(transaction_id, "SENT", "PENDING", "REVIEW")
                assert found["attempt_count"] <= 1
            # Long enough for what is looked up, absent, and would be sent if it were let.
            await asyncio.sleep(float(FAST["NEPXY_SETTLE_S"]) * 2)
            assert await ledger_of(session, after) == before, "nothing was submitted"
            async with session.get(f"{after.base}/metrics") as answer:
                assert "nepxy_restored_held 1.0" in await answer.text()

            nepxy("restored", "release", "--reason", "a drill", "--reposts-for-h", "0", url=url)
            await client.until(await posted(client, 4), "CONFIRMED")
            assert rows(url, COMMANDS) == [
                ("engine", "restore_noticed"),
                ("operator:cli", "release_restored"),
            ]
    finally:
        if after is not None:
            after.stop()
        town.stop()
        postgres.execute(f"DROP DATABASE IF EXISTS {copy} WITH (FORCE)")


END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
COMMANDS = "SELECT who, command FROM app.audit_log WHERE command LIKE '%restore%' ORDER BY audit_id"


def town_database(town: Town) -> str:
    return urlsplit(town.database_url).path[1:]


async def history(client: Client, transaction_id: str) -> list[dict[str, Any]]:
    found: dict[str, Any] = await client.get(f"/v1/payouts/{transaction_id}/events")
    return list(found["items"])
