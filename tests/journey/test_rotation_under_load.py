"""Every secret is rotated in a running engine, with payouts on their way: no request is refused, no webhook missed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from nepxy.config.secret import Secret
from nepxy.http.tokens import issue_token
from nepxy.storage.database import Reader
from nepxy.storage.people import save_client
from tests.journey.harness import JWT_SECRET, Client, Town, a_body

OLD_HOOK = "journey-webhook-secret"
NEW_HOOK = "the webhook secret that comes next"
NEW_KEY = "the key of tokens that comes next, long"


@dataclass
class Files:
    """The secrets as an operator keeps them: a file each."""

    folder: Path
    names: tuple[str, ...] = (
        "JWT_SECRET",
        "JWT_SECRET_PREVIOUS",
        "TMONEY_WEBHOOK_SECRET",
        "TMONEY_WEBHOOK_SECRET_PREVIOUS",
    )
    held: dict[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, str]:
        return dict.fromkeys(self.names, "") | {
            f"{name}_FILE": str(self.folder / name.lower()) for name in self.names
        }

    def write(self, **secrets: str) -> None:
        self.held |= secrets
        for name, secret in self.held.items():
            (self.folder / name.lower()).write_text(secret)


@dataclass
class Load:
    """Requests without a pause, by a token of one key; what was refused."""

    client: Client
    name: str
    key: str
    asked: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        token = issue_token(
            subject="acme",
            scopes=("payouts:read", "payouts:write"),
            secret=Secret(self.key),
            now=datetime.now(UTC),
            expires_in_s=600,
        )
        while not self.over.is_set():
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"{self.name}-{self.asked}"}
            body = a_body(self.asked, external_ref=f"{self.name}-{self.asked}")
            self.asked += 1
            async with self.client.session.post(
                f"{self.client.town.base}/v1/payouts", json=body, headers=headers
            ) as answer:
                if answer.status != 202:
                    self.refused.append((answer.status, await answer.text()))

    async def some_more(self) -> None:
        seen = self.asked
        async with asyncio.timeout(60):
            while self.asked < seen + 20:
                await asyncio.sleep(0.01)


@pytest.fixture
async def turning(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Client, Files]]:
    files = Files(tmp_path)
    files.write(
        JWT_SECRET=JWT_SECRET,
        JWT_SECRET_PREVIOUS="unused, as it was never given out",
        TMONEY_WEBHOOK_SECRET=OLD_HOOK,
        TMONEY_WEBHOOK_SECRET_PREVIOUS="unused, as it was never given out",
    )
    town = Town(database_url=database_url, folder=tmp_path, overrides=files.environ())
    try:
        town.start_sandbox()
        town.start_engine()
        async with aiohttp.ClientSession() as session:
            await town.until_ready(session)
            yield Client(session, town), files
    finally:
        town.stop()


async def reread(client: Client) -> None:
    """SIGHUP, and until the engine says that it has taken the new ones."""
    before = client.town.log_text().count("secrets.reread")
    client.town.signal_engine(signal.SIGHUP)
    async with asyncio.timeout(20):
        while client.town.log_text().count("secrets.reread") == before:
            await asyncio.sleep(0.05)


async def hook(client: Client, secret: str) -> int:
    body = json.dumps({"provider_ref": "nobody's", "external_ref": "nobody's", "status": "SUCCESS"}).encode()
    signed = hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    headers = {"X-Signature": signed, "Content-Type": "application/json"}
    async with client.session.post(
        f"{client.town.base}/v1/webhooks/tmoney", data=body, headers=headers
    ) as answer:
        return answer.status


@pytest.mark.slow
async def test_the_key_of_tokens_and_a_webhook_secret_rotate_while_payouts_are_paid(
    turning: tuple[Client, Files],
) -> None:
    client, files = turning
    old, new = Load(client, "old", JWT_SECRET), Load(client, "new", NEW_KEY)
    async with asyncio.TaskGroup() as loads:
        loads.create_task(old.run())
        await old.some_more()
        files.write(
            JWT_SECRET_PREVIOUS=NEW_KEY,
            TMONEY_WEBHOOK_SECRET=NEW_HOOK,
            TMONEY_WEBHOOK_SECRET_PREVIOUS=OLD_HOOK,
        )
        await reread(client)
        loads.create_task(new.run())
        await old.some_more()
        assert [await hook(client, secret) for secret in (OLD_HOOK, NEW_HOOK)] == [200, 200]
        files.write(JWT_SECRET=NEW_KEY, JWT_SECRET_PREVIOUS=JWT_SECRET)
        await reread(client)
        await old.some_more()
        await new.some_more()
        old.over.set()
        new.over.set()
    assert (old.refused, new.refused) == ([], [])

    async with client.session.get(
        f"{client.town.base}/v1/payouts?limit=200", headers=client.headers()
    ) as answer:
        made = (await answer.json())["items"]
    # The sandbox goes on signing by the old secret: what it pays is confirmed by its webhooks all the same.
    for one in made[:40]:
        await client.until(one["transaction_id"], "CONFIRMED")

    files.write(
        JWT_SECRET_PREVIOUS="unused, and given to nobody",
        TMONEY_WEBHOOK_SECRET_PREVIOUS="unused, and given to nobody",
    )
    await reread(client)
    assert [await hook(client, secret) for secret in (OLD_HOOK, NEW_HOOK)] == [401, 200]
    async with client.session.get(f"{client.town.base}/v1/payouts", headers=client.headers()) as answer:
        assert answer.status == 401
    log = client.town.log_text()
    for secret in (JWT_SECRET, NEW_KEY, OLD_HOOK, NEW_HOOK):
        assert secret not in log


async def test_a_clients_secrets_overlap(turning: tuple[Client, Files], database_url: str) -> None:
    """The one before goes on working until the next one is given."""
    client, _ = turning
    reader = Reader(database_url, connections_max=1, statement_timeout_s=10, connect_timeout_s=5)
    secrets = ["the first secret", "the second secret", "the third secret"]

    async def works(secret: str) -> bool:
        form = {"grant_type": "client_credentials", "client_id": "shop", "client_secret": secret}
        async with client.session.post(f"{client.town.base}/v1/auth/token", data=form) as answer:
            return answer.status == 200

    found = []
    for given in secrets:
        reader.run_here(save_client, client_id="shop", name="Shop", secret=given)
        found.append([await works(secret) for secret in secrets])
    reader.close()
    assert found == [[True, False, False], [True, True, False], [False, True, True]]
