"""The contracts of the real providers, as their own adapters declare them, and what their protocols fix besides.

Nothing is declared here a second time: the capabilities come from the environment through the settings and the
registry, as `serve` gets them. What a model provider does beyond them follows the provider page, by section.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any, Final

from nepxy.config.settings import Settings
from nepxy.engine.capabilities import Capabilities
from nepxy.providers.registry import plugins
from tests.simulation.providers import Span

LAGS: Final[tuple[Span, ...]] = ((0.0, 0.0), (0.0, 20.0), (5.0, 120.0), (60.0, 800.0))
"""How long look-ups may lag; below `absent_counts_after_s` of every contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One provider on one profile."""

    provider: str
    label: str
    """For the report: `FLOOZ moov-soap`."""
    capabilities: Capabilities
    in_steps: bool = False
    protocol: Mapping[str, Any] = field(default_factory=dict)
    """Habits that its protocol fixes, by field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """What is set for it, and what its protocol is like."""

    provider: str
    profile: str
    environ: Mapping[str, str]
    in_steps: bool = False
    protocol: Mapping[str, Any] = field(default_factory=dict)


_ACCEPTS: Final = {"confirmed_at_once": 0.0}
"""A submit's answer says "taken", never "paid"."""
_NAMED: Final = {"accepts_without_ref": 0.0}
_ENDS: Final = {"new_reference": 0.0}
"""No code of its says that a new attempt may succeed, but for want of money where it has one."""
_GENERIC: Final = {**_NAMED, **_ENDS, "short_later": 0.0}
_BLIND: Final = {**_GENERIC, "blind_to_ours": True, "echoes_ours": 0.0}
"""It takes no reference of ours for a question: what the page marks [U]."""

_THUNES_ACCOUNT: Final = {
    "THUNES_SANDBOX_API_ENDPOINT": "https://thunes.example.com",
    "THUNES_SANDBOX_API_KEY": "key",
    "THUNES_SANDBOX_API_SECRET": "secret",
    "THUNES_PAYER_ID_TG": "1",
    "THUNES_SOURCE_CURRENCY": "EUR",
    "THUNES_SOURCE_COUNTRY_ISO3": "FRA",
    "THUNES_TX_TYPE": "B2C",
    "THUNES_SENDER_BUSINESS_NAME": "NepXy SA",
    "THUNES_SENDER_ADDRESS": "1 rue de la Paix",
    "THUNES_SENDER_CITY": "Paris",
    "THUNES_SENDER_POSTAL": "75002",
    "THUNES_SENDER_COUNTRY_ISO3": "FRA",
}
_MOMO_ACCOUNT: Final = {
    "MOMO_SANDBOX_SUBSCRIPTION_KEY_DISBURSEMENT": "key",
    "MOMO_SANDBOX_API_USER": "11111111-1111-4111-8111-111111111111",
    "MOMO_SANDBOX_API_KEY": "key",
}


def _generic(wallet: str, duplicates: str = "", *, can_be_asked: bool = True) -> dict[str, str]:
    environ = {f"{wallet}_SANDBOX_API_KEY": "key", f"{wallet}_SANDBOX_CASHOUT_URL": "https://example.com/pay"}
    if can_be_asked:
        environ[f"{wallet}_SANDBOX_STATUS_URL_TEMPLATE"] = "https://example.com/pay/{provider_ref}"
    if duplicates:
        environ[f"{wallet}_DUPLICATE_REFERENCE"] = duplicates
    return environ


def _declared_of_wallet(wallet: str) -> Iterator[_Declared]:
    """5.1, 5.3 and 5.4: the profiles that both wallets have."""
    yield _Declared(provider=wallet, profile="generic", environ=_generic(wallet), protocol=_GENERIC)
    yield _Declared(provider=wallet, profile="generic, blind", environ=_generic(wallet), protocol=_BLIND)
    silent = _generic(wallet, can_be_asked=False)
    yield _Declared(provider=wallet, profile="generic, webhooks only", environ=silent, protocol=_GENERIC)
    for duplicates in ("rejects", "replays", "pays_again"):
        environ = _generic(wallet, duplicates)
        yield _Declared(provider=wallet, profile=f"generic, {duplicates}", environ=environ, protocol=_GENERIC)
    paygate = {
        f"{wallet}_PROFILE": "paygate",
        f"{wallet}_SANDBOX_BASE_URL": "https://paygate.example.com",
        f"{wallet}_SANDBOX_PAYGATE_AUTH_TOKEN": "token",
    }
    yield _Declared(
        provider=wallet,
        profile="paygate",
        environ=paygate,
        protocol={**_ACCEPTS, **_ENDS, "short": 0.0, "short_later": 0.0},
    )
    qosic = {
        f"{wallet}_PROFILE": "qosic",
        f"{wallet}_SANDBOX_BASE_URL": "https://qosic.example.com",
        f"{wallet}_SANDBOX_QOSIC_USER": "us",
        f"{wallet}_SANDBOX_QOSIC_PASSWORD": "password",
        f"{wallet}_SANDBOX_QOSIC_CLIENT_ID_TG": "client",
    }
    yield _Declared(provider=wallet, profile="qosic", environ=qosic, protocol={**_ACCEPTS, **_ENDS})


def _declared() -> Iterator[_Declared]:
    yield from _declared_of_wallet("TMONEY")
    yield from _declared_of_wallet("FLOOZ")
    moov = {
        "FLOOZ_PROFILE": "moov-soap",
        "FLOOZ_SANDBOX_BASE_URL": "https://moov.example.com/UssdPush",
        "FLOOZ_SANDBOX_MOOV_TOKEN": "token",
        "FLOOZ_SANDBOX_MOOV_MSISDN": "2290199999999",
    }
    # 5.2: it pays within the call, and no answer of its status call says "failed".
    pays = {**_ENDS, "confirmed_at_once": 0.8, "says_unpaid": False}
    yield _Declared(provider="FLOOZ", profile="moov-soap", environ=moov, protocol=pays)
    blind = {**pays, "blind_to_ours": True, "echoes_ours": 0.0}
    yield _Declared(provider="FLOOZ", profile="moov-soap, blind", environ=moov, protocol=blind)
    # 3.2, 3.3: taken with 202, called by our own reference and by nothing else.
    ours = {**_ACCEPTS, **_NAMED, "ref_is_ours": 1.0, "echoes_ours": 0.0}
    yield _Declared(provider="MOMO", profile="disbursement", environ=_MOMO_ACCOUNT, protocol=ours)
    # 4.2: three writes; a confirm is "queued", whatever it says.
    theirs = {**_ACCEPTS, **_NAMED, "ref_is_ours": 0.0, "echoes_ours": 0.0}
    yield _Declared(provider="THUNES", profile="v2", environ=_THUNES_ACCOUNT, in_steps=True, protocol=theirs)


@cache
def contracts() -> Mapping[str, tuple[Contract, ...]]:
    """Every profile of every provider, by provider."""
    found: dict[str, list[Contract]] = {}
    for declared in _declared():
        settings = Settings.from_environ(declared.environ).providers[declared.provider]
        if settings.ready_problems:
            raise ValueError(f"{declared.provider} {declared.profile} lacks {settings.ready_problems}")
        # No I/O: a session opens at its first call, and none is made.
        adapter = plugins()[declared.provider].build(settings)
        contract = Contract(
            provider=declared.provider,
            label=f"{declared.provider} {declared.profile}",
            capabilities=adapter.capabilities,
            in_steps=declared.in_steps,
            protocol=declared.protocol,
        )
        found.setdefault(declared.provider, []).append(contract)
    return {name: tuple(each) for name, each in found.items()}


def drawn(rng: Random) -> Mapping[str, Contract]:
    """All four providers, each on one of its profiles."""
    return {name: rng.choice(each) for name, each in contracts().items()}
