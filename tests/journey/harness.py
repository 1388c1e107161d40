"""Real processes for the journeys: an engine and a sandbox of their own, over a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from nepxy.config.secret import Secret
from nepxy.http.tokens import issue_token

JWT_SECRET = "a secret of the journeys, long enough"
START_S_MAX = 60.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@dataclass
class Town:
    """One engine, one sandbox, one database."""

    database_url: str
    folder: Path
    engine_port: int = field(default_factory=free_port)
    sandbox_port: int = field(default_factory=free_port)
    overrides: dict[str, str] = field(default_factory=dict)
    name: str = "serve"
    """Of the engine's log; a second engine in the same folder needs another."""
    engine: subprocess.Popen[bytes] | None = None
    sandbox: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.engine_port}"

    @property
    def sandbox_base(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    def environ(self) -> dict[str, str]:
        cashout = f"{self.sandbox_base}/tmoney/v1/cashout"
        return {
            **os.environ,
            "DATABASE_URL": self.database_url,
            "JWT_SECRET": JWT_SECRET,
            "MM_ENABLED_PROVIDERS": "TMONEY",
            "TMONEY_SANDBOX_CASHOUT_URL": cashout,
            "TMONEY_SANDBOX_STATUS_URL_TEMPLATE": cashout + "/{provider_ref}",
            "TMONEY_SANDBOX_API_KEY": "journey-key",
            "TMONEY_WEBHOOK_SECRET": "journey-webhook-secret",
            "SANDBOX_API_KEY": "journey-key",
            "SANDBOX_WEBHOOK_SECRET": "journey-webhook-secret",
            "SANDBOX_WEBHOOK_URL": f"{self.base}/v1/webhooks/tmoney",
            "SANDBOX_LEDGER": str(self.folder / "ledger.jsonl"),
            "NEPXY_LEASE_TTL_S": "2",
            "NEPXY_SEND_WINDOW_S": "1",
            "MM_HTTP_TIMEOUT_S": "4",
            "NEPXY_RETRY_BASE_S": "0.3",
            "NEPXY_POLL_BASE_S": "1",
            "NEPXY_LOG_FORMAT": "json",
            **self.overrides,
        }

    def beside(self, name: str) -> Town:
        """A second engine on the same database and sandbox."""
        return replace(
            self,
            name=name,
            engine_port=free_port(),
            overrides=dict(self.overrides),
            engine=None,
            sandbox=None,
        )

    def start_sandbox(self) -> None:
        self.sandbox = self._start(
            "sandbox", "nepxy", "sandbox", "--port", str(self.sandbox_port), "--settle-delay-s", "0.3"
        )

    def start_provider(
        self,
        *,
        webhook_url: str | None = None,
        look_up: bool = True,
        duplicates: str = "pays_again",
        seed: int = 0,
    ) -> None:
        """The sandbox with the knobs of its own command line: may it be asked by our reference, what of repeats?"""
        environ = self.environ()
        self.sandbox = self._start(
            "sandbox",
            "nepxy.sandbox.server",
            *("--port", str(self.sandbox_port), "--settle-delay-s", "0.3", "--seed", str(seed)),
            *("--tmoney-api-key", environ["SANDBOX_API_KEY"]),
            *("--tmoney-webhook-url", webhook_url or environ["SANDBOX_WEBHOOK_URL"]),
            *("--tmoney-webhook-secret", environ["SANDBOX_WEBHOOK_SECRET"]),
            *("--duplicate-behaviour", duplicates, "--ledger-path", environ["SANDBOX_LEDGER"]),
            *(("--status-lookup-by-our-reference",) if look_up else ()),
        )

    def start_engine(self) -> None:
        self.engine = self._start(self.name, "nepxy", "serve", "--port", str(self.engine_port))

    def _start(self, log: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{log}.log").open("ab") as out:
            command = [sys.executable, "-m", module, *arguments]
            return subprocess.Popen(command, env=self.environ(), stdout=out, stderr=out)

    def log_text(self, name: str | None = None) -> str:
        return (self.folder / f"{name or self.name}.log").read_text(errors="replace")

    def signal_engine(self, number: signal.Signals) -> None:
        assert self.engine is not None
        self.engine.send_signal(number)

    def kill_engine(self) -> None:
        assert self.engine is not None
        self.engine.send_signal(signal.SIGKILL)
        self.engine.wait()

    def stop(self) -> None:
        for process in (self.engine, self.sandbox):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)  # a frozen one takes no SIGTERM
                process.terminate()
                try:
                    process.wait(timeout=40)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    async def until_ready(self, session: aiohttp.ClientSession) -> None:
        async with asyncio.timeout(START_S_MAX):
            while True:
                assert self.engine is not None
                assert self.engine.poll() is None, self.log_text()
                try:
                    async with (
                        session.get(f"{self.base}/readyz") as ready,
                        session.get(f"{self.sandbox_base}/_sandbox/summary") as sandbox,
                    ):
                        if ready.status == 200 and sandbox.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)


def token(subject: str = "acme", scopes: tuple[str, ...] = ("payouts:write", "payouts:read")) -> str:
    return issue_token(
        subject=subject, scopes=scopes, secret=Secret(JWT_SECRET), now=datetime.now(UTC), expires_in_s=3600
    )


@dataclass
class Client:
    """A client of the API, as its own code would be."""

    session: aiohttp.ClientSession
    town: Town
    subject: str = "acme"

    def headers(self, key: str | None = None) -> dict[str, str]:
        made = {"Authorization": f"Bearer {token(self.subject)}"}
        return made | ({"Idempotency-Key": key} if key else {})

    async def post(self, key: str, body: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        async with self.session.post(
            f"{self.town.base}/v1/payouts", json=body, headers=self.headers(key)
        ) as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def get(self, path: str) -> dict[str, Any]:
        async with self.session.get(f"{self.town.base}{path}", headers=self.headers()) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def until(self, transaction_id: str, *statuses: str, limit_s: float = 60.0) -> dict[str, Any]:
        """The payout, once it is in one of these states."""
        last: dict[str, Any] = {}
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    last = await self.get(f"/v1/payouts/{transaction_id}")
                    if last["status"] in statuses:
                        return last
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"not {statuses} within {limit_s} s: {json.dumps(last)}") from None


def a_body(number: int, *, suffix: str = "1234", **changes: Any) -> dict[str, Any]:
    """A valid request; `suffix` are the last four digits, which the sandbox's magic goes by."""
    return {
        "amount": 1000 + number,
        "currency": "XOF",
        "phone_e164": f"+22890{number % 100:02d}{suffix}",
        "country": "TG",
        "external_ref": f"salary-{number}",
    } | changes
