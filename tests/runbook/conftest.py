from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.cli.support import nepxy
from tests.deploy.promtool import require_promtool
from tests.journey.harness import JWT_SECRET, Client, Town
from tests.runbook.book import section
from tests.runbook.on_call import OnCall

Stage = Callable[..., AbstractAsyncContextManager[OnCall]]


class HastyTown(Town):
    """Its doctor forgets in ten seconds what it would remember for minutes."""

    def start_engine(self) -> None:
        self.engine = self._start(self.name, "tests.runbook.hasty", "serve", "--port", str(self.engine_port))


@pytest.fixture
def town(engine_database_url: str, tmp_path: Path) -> Iterator[Town]:
    made = HastyTown(database_url=engine_database_url, folder=tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def stage(town: Town, database_url: str) -> Stage:
    """A running instance and a person on call for one section: `async with stage("anchor", SETTING=…) as on_call`."""
    require_promtool()

    @asynccontextmanager
    async def staged(anchor: str, **settings: str) -> AsyncIterator[OnCall]:
        town.overrides |= settings
        town.start_provider()
        town.start_engine()
        async with aiohttp.ClientSession() as session:
            await town.until_ready(session)
            made = OnCall(
                client=Client(session, town),
                environ=operator(town, "ama", "Ama Mensah"),
                second=operator(town, "kofi", "Kofi Boateng"),
                section=section(anchor),
                admin_url=database_url,
                given={"NAME": "TMONEY", "CLIENT": "acme"},
            )
            await made.scrape()
            yield made

    return staged


def operator(town: Town, operator_id: str, name: str) -> dict[str, str]:
    """Register a person as the runbook's first page says; the environment of that person's shell."""
    settings = {"DATABASE_URL": town.database_url, "JWT_SECRET": JWT_SECRET}
    ended = nepxy("operators", "add", operator_id, "--name", name, environ=settings)
    assert ended.status == 0, ended.err
    secret = ended.out.partition("client_secret=")[2].strip()
    return {"NEPXY_URL": town.base, "NEPXY_OPERATOR_ID": operator_id, "NEPXY_OPERATOR_SECRET": secret}
