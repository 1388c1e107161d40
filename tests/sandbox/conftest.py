from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.sandbox.support import Inbox, Play, Sandbox, a_config


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    await inbox.server.start_server()
    yield inbox
    await inbox.server.close()


@pytest.fixture
async def play(inbox: Inbox) -> AsyncIterator[Play]:
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Sandbox:
            return await stack.enter_async_context(Sandbox(a_config(inbox.url, **changes)))

        yield start


@pytest.fixture
async def sandbox(play: Play) -> Sandbox:
    return await play()
