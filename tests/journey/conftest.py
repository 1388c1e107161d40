from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.journey.harness import Client, Town


@pytest.fixture
def town(engine_database_url: str, tmp_path: Path) -> Iterator[Town]:
    made = Town(database_url=engine_database_url, folder=tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
async def client(town: Town) -> AsyncIterator[Client]:
    town.start_sandbox()
    town.start_engine()
    async with aiohttp.ClientSession() as session:
        await town.until_ready(session)
        yield Client(session, town)
