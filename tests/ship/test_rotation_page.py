"""docs/rotating-secrets.md is followed, word for word, on an engine under load: no request is refused."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psycopg2
import pytest

from tests.cli.conftest import operator
from tests.journey.harness import Client, Town, a_body
from tests.ship.database_home import DatabaseHome, nepxy
from tests.ship.pages import blocks, run_commands
from tests.ship.test_database_roles import KILL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOOK_BOTH, HOOK_NEW, KEY_BOTH, KEY_SIGNS, KEY_ALONE, CLIENT, URL, PASSWORD = range(8)
"""The page's blocks, in order."""
FILES = ("jwt_secret", "tmoney_webhook_secret", "database_url")


@dataclass
class Shop:
    """A client that posts without a pause: by a token that it was given once, and by one that it fetches each time."""

    session: aiohttp.ClientSession
    base: str
    secret: str
    token: str = ""
    taken: list[str] = field(default_factory=list)
    refused: list[tuple[str, int, str]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetched(self, secret: str) -> tuple[int, str]:
        form = {"grant_type": "client_credentials", "client_id": "acme", "client_secret": secret}
        async with self.session.post(f"{self.base}/v1/auth/token", data=form) as answer:
            return answer.status, (await answer.json()).get("access_token", "")

    async def posted(self, token: str, key: str) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        body = a_body(len(self.taken), external_ref=key)
        async with self.session.post(f"{self.base}/v1/payouts", json=body, headers=headers) as answer:
            return answer.status, await answer.text()

    async def work(self, name: str, *, fresh: bool) -> None:
        number = 0
        while not self.over.is_set():
            number += 1
            token = self.token
            if fresh:
                status, token = await self.fetched(self.secret)
                if status != 200:
                    self.refused.append(("token", status, self.secret))
            status, text = await self.posted(token, f"{name}-{number}")
            if status == 202:
                self.taken.append(json.loads(text)["transaction_id"])
            else:
                self.refused.append((name, status, text))

    async def some_more(self) -> None:
        seen = len(self.taken)
        async with asyncio.timeout(60):
            while len(self.taken) < seen + 30:
                await asyncio.sleep(0.02)


@dataclass
class Rotation:
    """The page in its operator's hands."""

    town: Town
    home: DatabaseHome
    folder: Path
    environ: dict[str, str]
    shop: Shop

    async def step(self, number: int) -> str:
        """One block of the page; the load goes on meanwhile, and for a while after it."""
        body = blocks("rotating-secrets")[number][1]
        said = await asyncio.to_thread(run_commands, body, self.folder, self.home, **self.environ)
        await self.shop.some_more()
        assert self.shop.refused == [], f"after:\n{body}"
        return said

    def held(self, name: str) -> str:
        return (self.folder / name).read_text().strip()

    async def hook(self, secret: str) -> int:
        """What a webhook that is signed by this is answered."""
        body = json.dumps({"provider_ref": "nobody's", "external_ref": "", "status": "SUCCESS"}).encode()
        signed = hmac.digest(secret.encode(), body, hashlib.sha256).hex()
        headers = {"X-Signature": signed, "Content-Type": "application/json"}
        url = f"{self.town.base}/v1/webhooks/tmoney"
        async with self.shop.session.post(url, data=body, headers=headers) as answer:
            return answer.status


@pytest.fixture
async def rotation(home: DatabaseHome, tmp_path: Path) -> AsyncIterator[Rotation]:
    nepxy("migrate", "up", url=home.owner_url)
    home.give_roles()
    town = Town(database_url=home.app_url, folder=tmp_path)
    before = town.environ()
    for name in FILES:
        given = home.app_url if name == "database_url" else before[name.upper()]
        (tmp_path / name).write_text(given)
    # As the page says: those of the previous secrets are there from the start, and empty.
    for name in FILES[:2]:
        (tmp_path / f"{name}_previous").write_text("")
    named = [*FILES, *(f"{name}_previous" for name in FILES[:2])]
    people = operator(town, "ama", "Ama Mensah")
    first = secret_of(nepxy("clients", "add", "acme", url=home.app_url).stdout)
    town.overrides |= {name.upper(): "" for name in named}
    town.overrides |= {f"{name.upper()}_FILE": str(tmp_path / name) for name in named}
    environ = {
        **people,
        "SECRETS": str(tmp_path),
        "DATABASE_URL_FILE": str(tmp_path / "database_url"),
        "DATABASE_HOST_AND_NAME": home.app_url.rpartition("@")[2],
        "ADMIN_DATABASE_URL": home.server.url,
    }
    town.start_sandbox()
    town.start_engine()
    try:
        async with aiohttp.ClientSession() as session:
            await town.until_ready(session)
            yield Rotation(town, home, tmp_path, environ, Shop(session, town.base, first))
    finally:
        town.stop()


def secret_of(said: str) -> str:
    """What `clients add` printed."""
    return said.partition("client_secret=")[2].strip()


async def test_the_page_is_followed_under_load_and_no_request_is_refused(rotation: Rotation) -> None:
    assert [said for said, _ in blocks("rotating-secrets")] == [""] * (PASSWORD + 1)
    shop, old_hook, old_url = rotation.shop, rotation.held("tmoney_webhook_secret"), rotation.home.app_url
    old_key, first = rotation.held("jwt_secret"), shop.secret
    _, shop.token = await shop.fetched(first)
    of_old_key = shop.token
    async with asyncio.TaskGroup() as load:
        load.create_task(shop.work("kept", fresh=False))
        load.create_task(shop.work("fresh", fresh=True))
        await shop.some_more()

        await rotation.step(HOOK_BOTH)
        new_hook = rotation.held("tmoney_webhook_secret")
        assert [await rotation.hook(secret) for secret in (old_hook, new_hook)] == [200, 200]

        await rotation.step(KEY_BOTH)
        await rotation.step(KEY_SIGNS)
        assert rotation.held("jwt_secret_previous") == old_key != rotation.held("jwt_secret")
        # Its last token of the old key has expired: it has fetched another one.
        _, shop.token = await shop.fetched(first)
        await shop.some_more()
        await rotation.step(KEY_ALONE)
        assert (await shop.posted(of_old_key, "too late"))[0] == 401

        second = secret_of(await rotation.step(CLIENT))
        shop.secret = second
        await shop.some_more()
        third = secret_of(await rotation.step(CLIENT))
        assert [(await shop.fetched(one))[0] for one in (first, second, third)] == [401, 200, 200]

        await rotation.step(URL)
        await rotation.step(PASSWORD)
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(old_url)
        psycopg2.connect(rotation.held("database_url")).close()
        # Connections that are there stay, for days maybe: those of reads have to be made anew.
        await asyncio.to_thread(rotation.home.admin, KILL, "nepxy")
        await shop.some_more()
        assert "database.address_renewed" in rotation.town.log_text()
        shop.over.set()
    assert shop.refused == []

    # The sandbox signed by the old secret all the while: none of its webhooks was missed, what it paid is confirmed.
    rotation.town.database_url = rotation.held("database_url")
    client = Client(shop.session, rotation.town)
    headers = {"Authorization": f"Bearer {shop.token}"}
    for transaction_id in shop.taken[:: max(1, len(shop.taken) // 40)]:
        await until_confirmed(client, transaction_id, headers)
    async with shop.session.get(f"{rotation.town.base}/metrics") as answer:
        metrics = await answer.text()
    assert 'nepxy_webhook_signatures_total{provider="TMONEY",secret="none"} 0.0' in metrics

    # And now the provider signs by the new one.
    await asyncio.to_thread(
        run_commands,
        blocks("rotating-secrets")[HOOK_NEW][1],
        rotation.folder,
        rotation.home,
        **rotation.environ,
    )
    assert [await rotation.hook(secret) for secret in (old_hook, new_hook)] == [401, 200]
    log = rotation.town.log_text()
    assert "secrets.kept" not in log
    for secret in (old_hook, new_hook, old_key, rotation.held("jwt_secret"), rotation.held("app_password")):
        assert secret not in log


async def until_confirmed(client: Client, transaction_id: str, headers: dict[str, str]) -> None:
    """By its webhook, or the poll that follows."""
    async with asyncio.timeout(60):
        while True:
            url = f"{client.town.base}/v1/payouts/{transaction_id}"
            async with client.session.get(url, headers=headers) as answer:
                if (await answer.json())["status"] == "CONFIRMED":
                    return
            await asyncio.sleep(0.1)
