"""A forgotten session holds a lock, every read waits behind it, and the pool runs dry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager

import aiohttp
import psycopg2
import pytest

from tests.journey.harness import Client
from tests.runbook.conftest import Stage

pytestmark = pytest.mark.timeout(180)
ANCHOR = "connection-pool-exhaustion"


@contextmanager
def a_forgotten_session(database_url: str) -> Iterator[int]:
    """Somebody altered a table by hand and went to lunch; yields the pid of that session."""
    with closing(psycopg2.connect(database_url, application_name="lunch")) as connection:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE app.mobile_money_payouts IN ACCESS EXCLUSIVE MODE")
        yield connection.info.backend_pid


async def keep_reading(client: Client) -> None:
    """A client that lists its payouts again and again, whatever the answer."""
    while True:
        try:
            async with client.session.get(
                f"{client.town.base}/v1/payouts", headers=client.headers()
            ) as answer:
                await answer.read()
        except aiohttp.ClientError:
            pass


async def test_a_dry_pool_rings_and_the_runbook_ends_what_blocks_it(stage: Stage, database_url: str) -> None:
    async with stage(ANCHOR, NEPXY_POOL_CONNECTIONS_MAX="2") as on_call:
        (before,) = await on_call.pay(1)
        await on_call.until_all([before], "CONFIRMED")
        with a_forgotten_session(database_url) as pid:
            readers = [asyncio.create_task(keep_reading(on_call.client)) for _ in range(6)]
            try:
                await on_call.until_it_fires("DatabasePoolExhausted")
                said = await on_call.until_the_doctor_says(1)
                assert f"docs/runbook.md#{ANCHOR}" in said.out
                (shown,) = on_call.follow(1)
                assert str(pid) in shown.out
                assert "lunch" in shown.out
                on_call.follow(2)
                on_call.follow(3, PID=str(pid))
                (shown,) = on_call.follow(4)
                assert str(pid) not in shown.out
                on_call.follow(5)
                for step in (6, 7):
                    assert on_call.follow(step) == []
            finally:
                for reader in readers:
                    reader.cancel()
                await asyncio.gather(*readers, return_exceptions=True)
        (after,) = await on_call.pay(1, first=60)
        await on_call.until_all([after], "CONFIRMED")
        await on_call.until_the_doctor_says(0)
        on_call.is_over()
        await on_call.until_it_is_silent("DatabasePoolExhausted")
        given = [(target, command) for _, target, command in on_call.audited()]
        assert given == [("supervisor", "pause_intake"), ("supervisor", "resume_intake")]
