from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from nepxy.providers.wire import ProviderHttp
from tests.contract.awkward_server import AwkwardServer, Behaviour
from tests.contract.support import Account, Serve


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def serve(stack: AsyncExitStack) -> Serve:
    """Starts a server of this behaviour."""

    async def start(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> AwkwardServer:
        return await stack.enter_async_context(AwkwardServer(behaviour, tls))

    return start


@pytest.fixture
async def account(stack: AsyncExitStack) -> Callable[..., Account]:
    """Makes an account at a base URL, with a session of its own."""

    def make(
        url: str,
        *,
        timeout_s: float = 60.0,
        connections_max: int = 4,
        ssl_context: ssl.SSLContext | None = None,
        auth_mode: str = "bearer",
        api_key: str | None = None,
    ) -> Account:
        http = ProviderHttp(timeout_s=timeout_s, connections_max=connections_max, ssl_context=ssl_context)
        stack.push_async_callback(http.close)
        return Account(url, http, auth_mode=auth_mode, api_key=api_key)

    return make
