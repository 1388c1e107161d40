"""What a payout costs: CPU of the engine's process, and the journal's budget as PostgreSQL counts it.

CPU time hardly depends on what else the machine does, so that changes can be measured on a busy one:
`python -m nepxy.cli.bench.budget --payouts 2000`. Settles payouts end to end (HTTP POST with a token and a key, a
provider that answers after 50 ms, a signed webhook after another 50 ms) on a PostgreSQL of its own; Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import psycopg2
import uvloop

from nepxy.cli.bench.load import Load, session
from nepxy.config.environ import process_environ
from nepxy.config.secret import Secret
from nepxy.http.tokens import issue_token
from nepxy.storage.embedded import EmbeddedPostgres
from nepxy.storage.migrate import migrate_up

JWT_SECRET: Final = secrets.token_hex(32)
WEBHOOK_SECRET: Final = secrets.token_hex(32)
WARM_UP: Final = 300
WAIT_S_MAX: Final = 120.0
STATISTICS_LATE_S: Final = 11.0
"""A session of PostgreSQL that goes idle tells the shared statistics of its last doings after 10 s."""

_FIGURES: Final = """
SELECT pg_current_wal_lsn() - '0/0'::pg_lsn,
    (SELECT n_tup_ins FROM pg_stat_user_tables WHERE relid = 'app.payout_events'::regclass),
    (SELECT n_tup_upd FROM pg_stat_user_tables WHERE relid = 'app.mobile_money_payouts'::regclass),
    (SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'app.mobile_money_payouts'::regclass),
    (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one payout cost, on average; `settled_count` of them."""

    settled_count: int
    repeated_count: int
    """Submits that came twice: must be 0."""
    cpu_ms: float
    wal_bytes: float
    events: float
    updates: float
    hot_share: float
    transactions: float
    """All of the database's, the housekeeping's too; many payouts share each of the journal's."""

    def lines(self) -> Iterator[str]:
        """One figure a line."""
        yield f"payouts settled              {self.settled_count}"
        yield f"submits repeated             {self.repeated_count}"
        yield f"CPU of the process           {self.cpu_ms:.2f} ms a payout"
        yield f"WAL                          {self.wal_bytes:.0f} bytes a payout"
        yield f"events                       {self.events:.2f} a payout"
        yield f"updates of the payout's row  {self.updates:.2f} a payout, {self.hot_share:.0%} of them HOT"
        yield f"transactions                 {self.transactions:.2f} a payout"


async def measure(url: str, *, payouts_count: int, at_once: int, warm_up: int = WARM_UP) -> Budget:
    """Settle payouts by an engine of its own on this database, which is migrated, and say what each cost."""
    engine, provider = _free_port(), _free_port()
    with _running(_serve(engine), _environ(url, provider)) as served, _running(_stand_in(provider, engine)):
        async with session() as http:
            town = _Town(http, f"http://127.0.0.1:{engine}", f"http://127.0.0.1:{provider}")
            await town.ready()
            await town.settle(warm_up, at_once=at_once)
            await asyncio.sleep(STATISTICS_LATE_S)
            before, cpu_s = await asyncio.to_thread(_figures, url), _cpu_s(served.pid)
            counts = await town.settle(payouts_count, at_once=at_once)
            cpu_s = _cpu_s(served.pid) - cpu_s
            await asyncio.sleep(STATISTICS_LATE_S)
            after = await asyncio.to_thread(_figures, url)
    wal, events, updates, hot, transactions = (
        (late - early) / payouts_count for early, late in zip(before, after, strict=True)
    )
    return Budget(
        settled_count=counts["webhooks_taken"] - warm_up,
        repeated_count=counts["repeated"],
        cpu_ms=1000 * cpu_s / payouts_count,
        wal_bytes=wal,
        events=events,
        updates=updates,
        hot_share=hot / updates if updates else 0.0,
        transactions=transactions,
    )


class _Town:
    """The engine and its provider, as a client sees them."""

    def __init__(self, http: aiohttp.ClientSession, engine: str, provider: str) -> None:
        token = issue_token(
            subject="bench",
            scopes=("payouts:write",),
            secret=Secret(JWT_SECRET),
            now=datetime.now(UTC),
            expires_in_s=3600,
        )
        headers = {"Authorization": f"Bearer {token}"}
        self._http = http
        self._engine = engine
        self._provider = provider
        self._load = Load(http, f"{engine}/v1/payouts", headers)
        self._wanted = 0

    async def ready(self) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not (  # noqa: ASYNC110 - two processes are waited for, which have no events of ours
                await self._is_up(f"{self._engine}/readyz") and await self._is_up(f"{self._provider}/counts")
            ):
                await asyncio.sleep(0.1)

    async def settle(self, payouts_count: int, *, at_once: int) -> Mapping[str, int]:
        """Post so many and wait until all are settled; what the provider has counted by then."""
        posted = await self._load.as_fast_as_answered(payouts_count, at_once=at_once)
        if posted.taken_count != payouts_count:
            raise RuntimeError(f"only {posted.taken_count} of {payouts_count} were taken: {posted.refused}")
        self._wanted += payouts_count
        async with asyncio.timeout(WAIT_S_MAX):
            while (counts := await self._counts())["webhooks_taken"] < self._wanted:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.05)
        return counts

    async def _counts(self) -> dict[str, int]:
        async with self._http.get(f"{self._provider}/counts") as answer:
            counts: dict[str, int] = orjson.loads(await answer.read())
        return counts

    async def _is_up(self, url: str) -> bool:
        try:
            async with self._http.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


def _serve(port: int) -> list[str]:
    return ["nepxy", "serve", "--port", str(port)]


def _stand_in(port: int, engine: int) -> list[str]:
    url = f"http://127.0.0.1:{engine}/v1/webhooks/tmoney"
    command = ["nepxy.cli.bench.stand_in", "--port", str(port)]
    return [*command, "--webhook-url", url, "--secret", WEBHOOK_SECRET]


def _environ(url: str, provider: int) -> dict[str, str]:
    base = f"http://127.0.0.1:{provider}/cashout"
    return {
        "DATABASE_URL": url,
        "JWT_SECRET": JWT_SECRET,
        "MM_ENABLED_PROVIDERS": "TMONEY",
        "TMONEY_SANDBOX_CASHOUT_URL": base,
        "TMONEY_SANDBOX_STATUS_URL_TEMPLATE": f"{base}/{{provider_ref}}",
        "TMONEY_SANDBOX_API_KEY": "key",
        "TMONEY_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "TMONEY_CONCURRENCY_MAX": "1000",
        "NEPXY_CLIENT_REQUESTS_PER_S": "0",
        "NEPXY_LOG_FORMAT": "json",
    }


@contextmanager
def _running(
    command: list[str], environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A module of ours as a process, until the block ends."""
    process = subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, "-m", *command],
        env={**process_environ(), **(environ or {})},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _figures(url: str) -> tuple[float, ...]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_FIGURES)
            row: tuple[Any, ...] = cursor.fetchone() or ()
    finally:
        connection.close()
    return tuple(float(value or 0) for value in row)


def _cpu_s(pid: int) -> float:
    """CPU time of all of a process's threads so far, user and system."""
    # The second field is the command in parentheses, which may hold blanks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--payouts", type=int, default=2_000)
    parser.add_argument("--at-once", type=int, default=256, help="requests open at any time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nepxy-budget-") as home:
        server = EmbeddedPostgres.start(Path(home))
        try:
            migrate_up(server.url)
            budget = uvloop.run(measure(server.url, payouts_count=given.payouts, at_once=given.at_once))
        finally:
            server.stop()
    sys.stdout.write("\n".join(budget.lines()) + "\n")


if __name__ == "__main__":
    main()
