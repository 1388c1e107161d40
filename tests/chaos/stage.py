"""What the chaos runs on: a PostgreSQL of its own, the provider sandbox, two engines, and the door before them."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import psycopg2
from aiohttp import web

from nepxy.storage.embedded import EmbeddedPostgres
from nepxy.storage.migrate import migrate_up
from tests.journey.harness import Town

HASTE: Final = {
    "NEPXY_LEASE_TTL_S": "2",
    "NEPXY_SEND_WINDOW_S": "0.5",
    "MM_HTTP_TIMEOUT_S": "1.5",
    "NEPXY_RETRY_BASE_S": "0.3",
    "NEPXY_RETRY_CAP_S": "2",
    "NEPXY_POLL_BASE_S": "1",
    "NEPXY_POLL_CAP_S": "3",
    "NEPXY_SETTLE_S": "2",
    "NEPXY_SWEEP_INTERVAL_S": "0.3",
    "NEPXY_PASSIVATE_AFTER_S": "4",
    "NEPXY_ASK_TIMEOUT_S": "3",
    "NEPXY_STATEMENT_TIMEOUT_S": "3",
    "NEPXY_CONNECT_TIMEOUT_S": "2",
    "NEPXY_DRAIN_LIMIT_S": "8",
    "NEPXY_JOURNAL_WRITERS": "2",
}
"""A day's waiting in seconds; the same settings as in production, only smaller."""

FROZEN_S: Final = 3.5
"""Longer than the lease and than the send window of `HASTE`."""
START_S_MAX: Final = 40.0
POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is asked for."""

    rounds: int
    seed: int = 1
    clients: int = 12
    look_up: bool = True
    """Whether the provider can be asked by our reference."""
    duplicates: str = "pays_again"
    round_s: float = 4.0
    """How long a round lasts at least, in seconds."""
    settle_s_max: float = 60.0
    """How long the end may take until everything is final or in REVIEW, in seconds."""


class Door:
    """What a load balancer is in production: the provider's webhooks go to an engine that answers."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._runner: web.AppRunner | None = None
        self._dice = random.Random(0)
        self.url = ""

    async def open(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/webhooks/{provider}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1/webhooks/tmoney"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {
            name: request.headers[name] for name in ("Content-Type", "X-Signature") if name in request.headers
        }
        towns = list(self._stage.towns)
        # Mostly to the engine that works; now and then to the one that stands by, as a careless balancer would.
        if self._dice.random() < 0.2:
            towns.reverse()
        for town in towns:
            try:
                async with self._stage.session.post(
                    f"{town.base}{request.path}", data=body, headers=headers, timeout=aiohttp.ClientTimeout(3)
                ) as answer:
                    if answer.status != 503:
                        return web.Response(status=answer.status, body=await answer.read())
            except (aiohttp.ClientError, TimeoutError):
                continue
        return web.Response(status=503)


@dataclass
class Stage:
    """All the processes of one run."""

    plan: Plan
    folder: Path
    server: EmbeddedPostgres
    session: aiohttp.ClientSession
    towns: list[Town]
    counts: Counter[str] = field(default_factory=Counter)
    """What was done to the processes, by kind: the figures of the run."""
    complaints: list[str] = field(default_factory=list)
    """What went wrong on the way, whatever the ledger says in the end."""
    door: Door = field(init=False)

    def __post_init__(self) -> None:
        self.door = Door(self)

    @classmethod
    async def build(cls, plan: Plan, folder: Path) -> Stage:
        home = Path(tempfile.mkdtemp(prefix="nepxy-chaos-"))
        home.chmod(0o711)
        server = await asyncio.to_thread(EmbeddedPostgres.start, home / "postgres", durable=False)
        await asyncio.to_thread(migrate_up, server.url)
        first = Town(database_url=server.url, folder=folder, overrides=dict(HASTE), name="engine-a")
        stage = cls(
            plan=plan,
            folder=folder,
            server=server,
            session=aiohttp.ClientSession(),
            towns=[first, first.beside("engine-b")],
        )
        await stage.door.open()
        stage.start_sandbox()
        for town in stage.towns:
            town.start_engine()
        await stage.until_working()
        return stage

    async def close(self) -> None:
        for town in self.towns:
            await asyncio.to_thread(town.stop)
        await self.door.close()
        await self.session.close()
        home = self.server.data_dir.parent
        await asyncio.to_thread(self.server.destroy)
        shutil.rmtree(home, ignore_errors=True)

    # ---- the sandbox -----------------------------------------------------------------------------------

    @property
    def _provider(self) -> Town:
        return self.towns[0]

    def start_sandbox(self) -> None:
        self._provider.start_provider(
            webhook_url=self.door.url,
            look_up=self.plan.look_up,
            duplicates=self.plan.duplicates,
            seed=self.plan.seed,
        )

    def kill_sandbox(self) -> None:
        sandbox = self._provider.sandbox
        assert sandbox is not None
        sandbox.kill()
        sandbox.wait()

    async def sandbox(self, path: str) -> Any:
        """An answer of the sandbox's control API; waited for while it starts."""
        async with asyncio.timeout(START_S_MAX):
            while True:
                try:
                    async with self.session.get(f"{self._provider.sandbox_base}/_sandbox/{path}") as answer:
                        return await answer.json()
                except aiohttp.ClientError:
                    await asyncio.sleep(POLL_S)

    async def set_faults(self, **knobs: Any) -> None:
        """A good day, but for these knobs."""
        await self.sandbox("summary")
        url = f"{self._provider.sandbox_base}/_sandbox/faults"
        async with self.session.post(url, json={"reset": True, **knobs}) as answer:
            assert answer.status == 200, await answer.text()

    # ---- the engines -----------------------------------------------------------------------------------

    async def state_of(self, town: Town) -> str:
        """`running`, `standby`, `draining`, ... as the engine says itself; `gone` if it says nothing."""
        try:
            async with self.session.get(
                f"{town.base}/healthz", timeout=aiohttp.ClientTimeout(total=1.5)
            ) as answer:
                return str((await answer.json())["engine"]["state"])
        except (aiohttp.ClientError, TimeoutError, KeyError):
            return "gone"

    async def owner(self) -> Town:
        """The engine that holds the leases now; waited for."""
        async with asyncio.timeout(START_S_MAX):
            while True:
                for town in self.towns:
                    if await self.state_of(town) == "running":
                        return town
                self.check_alive()
                await asyncio.sleep(POLL_S)
        raise AssertionError("unreachable")

    def other(self, town: Town) -> Town:
        return next(one for one in self.towns if one is not town)

    async def until_state(self, town: Town, *states: str) -> None:
        try:
            async with asyncio.timeout(START_S_MAX):
                while await self.state_of(town) not in states:
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            said = await self.state_of(town)
            raise AssertionError(f"{town.name} is {said}, not {states}, after {START_S_MAX} s") from None

    async def until_working(self) -> None:
        """Both engines answer, one of them owns the shards, and the sandbox answers."""
        await self.owner()
        for town in self.towns:
            await self.until_state(town, "running", "standby")
        await self.sandbox("summary")

    def kill(self, town: Town) -> None:
        town.kill_engine()
        town.engine = None
        self.counts["engine killed (SIGKILL)"] += 1

    async def stop_softly(self, town: Town) -> int:
        """SIGTERM, and the exit status."""
        town.signal_engine(signal.SIGTERM)
        self.counts["engine stopped (SIGTERM)"] += 1
        engine, town.engine = town.engine, None
        assert engine is not None
        return await asyncio.to_thread(engine.wait, START_S_MAX)

    def check_alive(self) -> None:
        """An engine that ended without being told to is news."""
        for town in self.towns:
            engine = town.engine
            if engine is not None and engine.poll() is not None:
                self.complaints.append(f"{town.name} ended by itself with status {engine.returncode}")
                town.start_engine()

    # ---- the database ----------------------------------------------------------------------------------

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.server.url)) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def terminate_backends(self) -> int:
        """Cut every connection of the engines, wherever in a commit it is."""
        killed = self.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        self.counts["database connections cut"] += len(killed)
        return len(killed)

    def log_lines(self) -> Iterable[tuple[str, str]]:
        """Each engine's name and log line."""
        for town in self.towns:
            for line in town.log_text().splitlines():
                yield town.name, line
