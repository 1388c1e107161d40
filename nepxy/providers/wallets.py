"""Which profile TMONEY or FLOOZ speaks: chosen by configuration, one adapter for each (provider page, section 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from nepxy.config.providers import FloozSettings, ProviderSettings, WalletSettings
from nepxy.providers.contract import Adapter
from nepxy.providers.generic_json import GenericJsonWallet
from nepxy.providers.moov_soap import MoovSoapWallet
from nepxy.providers.paygate import PayGateWallet
from nepxy.providers.qosic import QosicWallet
from nepxy.providers.wire import ProviderHttp


def build_wallet(settings: ProviderSettings) -> Adapter:
    """The adapter of the configured profile, with a session of its own.

    Raises:
        TypeError: these are no settings of a wallet.
    """
    if not isinstance(settings, WalletSettings):
        raise TypeError(f"{settings.name} needs WalletSettings, not {type(settings).__name__}")
    http = ProviderHttp.of(settings)
    return PROFILES[settings.profile](settings, http)


def _generic(settings: WalletSettings, http: ProviderHttp) -> Adapter:
    return GenericJsonWallet(name=settings.name, settings=settings, http=http)


def _moov_soap(settings: WalletSettings, http: ProviderHttp) -> Adapter:
    if not isinstance(settings, FloozSettings):
        raise TypeError(f"moov-soap is FLOOZ's profile, not {settings.name}'s")
    return MoovSoapWallet(name=settings.name, settings=settings, http=http)


def _paygate(settings: WalletSettings, http: ProviderHttp) -> Adapter:
    return PayGateWallet(name=settings.name, settings=settings, http=http)


def _qosic(settings: WalletSettings, http: ProviderHttp) -> Adapter:
    return QosicWallet(name=settings.name, settings=settings, http=http)


PROFILES: Final[Mapping[str, Callable[[WalletSettings, ProviderHttp], Adapter]]] = {
    "generic": _generic,
    "moov-soap": _moov_soap,
    "paygate": _paygate,
    "qosic": _qosic,
}
