"""An account of the generic JSON profile at an awkward server, and the guards of its submits."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Protocol

from nepxy.config.providers import WalletSettings
from nepxy.engine.outcomes import Outcome, StatusReport
from nepxy.engine.payout import Payout, ProviderRef, Status
from nepxy.providers.contract import SendGuard
from nepxy.providers.generic_json import GenericJsonWallet
from nepxy.providers.wire import ProviderHttp, WireResult
from tests.contract.awkward_server import AwkwardServer, Behaviour
from tests.factories import a_payout

API_KEY = "key-9-that-nobody-may-see"
PATH = "/cashouts"
STATUS_PATH = "/status"


class Serve(Protocol):
    """Starts a server; it stops with the test."""

    async def __call__(self, behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> AwkwardServer: ...


class Guard:
    """A send guard that counts how often it was asked."""

    def __init__(self, *, late: bool = False) -> None:
        self.late = late
        self.asked = 0

    def is_late(self) -> bool:
        self.asked += 1
        return self.late

    async def reached(self, step: str, *, provider_ref: ProviderRef | None = None) -> bool:
        return True


class Account:
    """One adapter over one session, and calls of the session itself."""

    def __init__(self, url: str, http: ProviderHttp, *, auth_mode: str, api_key: str | None) -> None:
        self.http = http
        self.url = url
        fields: dict[str, Any] = {
            "auth_mode": auth_mode,
            "api_key": API_KEY if api_key is None else api_key,
            "cashout_url": url + PATH,
            "status_url_template": url + STATUS_PATH + "/{provider_ref}",
        }
        self.wallet = GenericJsonWallet(name="TMONEY", settings=WalletSettings(**fields), http=http)

    async def submit(self, guard: SendGuard | None = None) -> Outcome:
        return await self.wallet.submit(a_payout(status=Status.SENT), guard or Guard())

    async def look_up(self) -> StatusReport:
        return await self.wallet.look_up(a_payout(status=Status.SENT))

    async def poll(self, provider_ref: str = "their-ref") -> StatusReport:
        return await self.wallet.poll(a_payout_taken(provider_ref))

    async def call(self, method: str = "POST", guard: SendGuard | None = None) -> WireResult:
        """A bare call of the session."""
        body = b'{"a": 1}' if method in ("POST", "PUT") else None
        return await self.http.call(method, self.url + PATH, headers={}, body=body, guard=guard)


NewAccount = Callable[..., Account]


def a_payout_taken(provider_ref: str = "their-ref") -> Payout:
    """A payout that the provider has taken."""
    return a_payout(status=Status.SENT, provider_ref=ProviderRef(provider_ref))


def our_ref() -> str:
    """The reference that every call of an account is about."""
    return a_payout().submission_ref
