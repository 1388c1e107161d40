"""What is measured: NepXy, and the floor program beside it, each with a provider and a database of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import aiohttp

from nepxy.cli.bench.load import TMONEY, Load, Purse, session
from nepxy.cli.bench.postgres import Server, query
from nepxy.cli.bench.processes import Program, free_port
from nepxy.config.secret import Secret
from nepxy.http.tokens import issue_token

CLIENT: Final = "bench"
TOKEN_S: Final = 86_400
STALL_S_MAX: Final = 60.0
"""Without any progress for so long, a run has failed."""
POLL_S: Final = 0.05


class RunFailed(Exception):
    """What was measured did not do its work: there is no figure."""


@dataclass(slots=True, kw_only=True)
class Town:
    """A program to be measured, and the world around it."""

    name: str
    program: Program
    provider: Program
    database_url: str
    http: aiohttp.ClientSession
    headers: Mapping[str, str] = field(default_factory=dict)
    up_path: str = "/"

    def load(self, purses: tuple[Purse, ...] = (TMONEY,)) -> Load:
        """Clients of this town."""
        return Load(self.http, f"{self.program.url}/v1/payouts", self.headers, purses=purses)

    async def habits(self, **habits: Any) -> None:
        """Have the provider behave so from now on."""
        async with self.http.post(f"{self.provider.url}/habits", json=habits) as answer:
            answer.raise_for_status()

    async def counts(self) -> dict[str, int]:
        """What came to the provider, and what it reported."""
        async with self.http.get(f"{self.provider.url}/counts") as answer:
            counts: dict[str, int] = await answer.json()
            return counts

    async def until_reported(self, count: int) -> None:
        """Wait until so many payouts were reported paid, and each report was taken.

        Raises:
            RunFailed: nothing went on for a minute.
        """
        last, last_s = -1, perf_counter()
        while True:
            self.program.check()
            now = (await self.counts())["webhooks_taken"]
            if now >= count:
                return
            if now != last:
                last, last_s = now, perf_counter()
            elif perf_counter() - last_s > STALL_S_MAX:
                raise RunFailed(f"{self.name}: {now} of {count} payouts were settled, and no more are")
            await asyncio.sleep(POLL_S)

    def statuses(self) -> dict[str, int]:
        """Payouts of the bench's clients by status; seeded rows do not count."""
        if self.name == "floor":
            rows = query(self.database_url, "SELECT status, count(*) FROM floor.payouts GROUP BY 1")
        else:
            rows = query(
                self.database_url,
                "SELECT status, count(*) FROM app.mobile_money_payouts WHERE client_id = %s GROUP BY 1",
                (CLIENT,),
            )
        return {str(status): int(count) for status, count in rows}

    async def restart(self) -> float:
        """Start the program again; seconds until it is ready."""
        return await self.program.start(self.up_path)


@asynccontextmanager
async def nepxy_town(
    server: Server, folder: Path, *, variables: Mapping[str, str] | None = None, port: int = 0
) -> AsyncIterator[Town]:
    """NepXy with one wallet, real authentication and idempotency; `variables` are settings of the case."""
    jwt, webhook = secrets.token_hex(32), secrets.token_hex(16)
    database = await asyncio.to_thread(server.database)
    port, provider_port = port or free_port(), free_port()
    provider = _stand_in("stand-in", provider_port, port, "tmoney", webhook, folder / "nepxy")
    program = Program(
        "nepxy",
        ("-m", "nepxy", "serve", "--port", str(port)),
        url=f"http://127.0.0.1:{port}",
        folder=folder / "nepxy",
        variables={
            "DATABASE_URL": database,
            "JWT_SECRET": jwt,
            "MM_ENABLED_PROVIDERS": "TMONEY",
            # The load is one client, and plays many.
            "NEPXY_CLIENT_REQUESTS_PER_S": "0",
            "NEPXY_LOG_FORMAT": "json",
            **wallet_variables("TMONEY", provider.url, webhook),
            **(variables or {}),
        },
    )
    try:
        async with session() as http:
            await provider.start("/counts")
            await program.start("/readyz")
            yield Town(
                name="nepxy",
                program=program,
                provider=provider,
                database_url=database,
                http=http,
                headers={"Authorization": f"Bearer {_token(jwt)}"},
                up_path="/readyz",
            )
    finally:
        program.stop()
        provider.kill()
        await asyncio.to_thread(server.drop, database)


@asynccontextmanager
async def floor_town(server: Server, folder: Path) -> AsyncIterator[Town]:
    """The floor program."""
    webhook = secrets.token_hex(16)
    database = await asyncio.to_thread(lambda: server.database(migrated=False))
    port, provider_port = free_port(), free_port()
    provider = _stand_in("stand-in", provider_port, port, "tmoney", webhook, folder / "floor")
    program = Program(
        "floor",
        (
            *("-m", "nepxy.cli.bench.floor", "--dsn", database, "--port", str(port)),
            *("--provider-url", f"{provider.url}/cashout", "--secret", webhook),
        ),
        url=f"http://127.0.0.1:{port}",
        folder=folder / "floor",
    )
    try:
        async with session() as http:
            await provider.start("/counts")
            await program.start()
            yield Town(name="floor", program=program, provider=provider, database_url=database, http=http)
    finally:
        program.kill()
        provider.kill()
        await asyncio.to_thread(server.drop, database)


def wallet_variables(name: str, provider_url: str, secret: str) -> dict[str, str]:
    """Settings of a wallet on the generic profile at this stand-in."""
    return {
        f"{name}_SANDBOX_CASHOUT_URL": f"{provider_url}/cashout",
        f"{name}_SANDBOX_STATUS_URL_TEMPLATE": f"{provider_url}/cashout/{{provider_ref}}",
        f"{name}_SANDBOX_API_KEY": "bench",
        f"{name}_WEBHOOK_SECRET": secret,
        f"{name}_CONCURRENCY_MAX": "1000",
    }


def _stand_in(name: str, port: int, engine_port: int, provider: str, secret: str, folder: Path) -> Program:
    webhook_url = f"http://127.0.0.1:{engine_port}/v1/webhooks/{provider}"
    return Program(
        name,
        (
            *("-m", "nepxy.cli.bench.stand_in", "--port", str(port)),
            *("--webhook-url", webhook_url, "--secret", secret),
        ),
        url=f"http://127.0.0.1:{port}",
        folder=folder,
    )


def second_stand_in(town: Town, provider: str, port: int, secret: str, folder: Path) -> Program:
    """Another wallet's provider, in the same town."""
    return _stand_in(
        f"stand-in-{provider}", port, int(town.program.url.rpartition(":")[2]), provider, secret, folder
    )


def _token(jwt_secret: str) -> str:
    return issue_token(
        subject=CLIENT,
        scopes=("payouts:write", "payouts:read"),
        secret=Secret(jwt_secret),
        now=datetime.now(UTC),
        expires_in_s=TOKEN_S,
    )
