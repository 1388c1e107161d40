"""Which adapters this process has: made from the settings, one for each provider with credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from nepxy.config.providers import ProviderSettings, WalletSettings
from nepxy.providers.contract import Adapter
from nepxy.providers.generic_json import GenericJsonWallet
from nepxy.providers.wire import ProviderHttp


def _tmoney(settings: ProviderSettings) -> Adapter:
    if not isinstance(settings, WalletSettings):
        raise TypeError(f"TMONEY needs WalletSettings, not {type(settings).__name__}")
    http = ProviderHttp(timeout_s=settings.http_timeout_s, connections_max=settings.concurrency_max)
    return GenericJsonWallet(name="TMONEY", settings=settings, http=http)


FACTORIES: Final[Mapping[str, Callable[[ProviderSettings], Adapter]]] = {"TMONEY": _tmoney}


def build_adapters(providers: Mapping[str, ProviderSettings]) -> dict[str, Adapter]:
    """An adapter for each provider that has one and whose credentials are complete; enabled or not (money rule 10)."""
    return {
        name: FACTORIES[name](settings)
        for name, settings in providers.items()
        if name in FACTORIES and not settings.ready_problems
    }
