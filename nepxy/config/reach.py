"""Where a provider can pay: declared by its settings class, because what it reaches may depend on what is set.

Routing goes by this and never by a provider's name. Which payouts it *should* be given is the rule file's to say
(`nepxy/config/routing_rules.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

MTN_ENVIRONMENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mtnuganda": "UG",
        "mtnghana": "GH",
        "mtnivorycoast": "CI",
        "mtnzambia": "ZM",
        "mtncameroon": "CM",
        "mtnbenin": "BJ",
        "mtncongo": "CG",
        "mtnswaziland": "SZ",
        "mtnguineaconakry": "GN",
        "mtnsouthafrica": "ZA",
        "mtnliberia": "LR",
        "mtnsouthsudan": "SS",
        "mtnnigeria": "NG",
        "mtnrwanda": "RW",
    }
)
"""The country of each of MoMo's target environments (providers.md 3.1 [D]); there is no MTN in Togo."""

MTN_COUNTRIES: Final = frozenset(MTN_ENVIRONMENTS.values())

CURRENCIES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        **dict.fromkeys(("BJ", "BF", "CI", "GW", "ML", "NE", "SN", "TG"), frozenset({"XOF"})),
        **dict.fromkeys(("CM", "CF", "CG", "GA", "GQ", "TD"), frozenset({"XAF"})),
        "GH": frozenset({"GHS"}),
        "GN": frozenset({"GNF"}),
        "LR": frozenset({"LRD", "USD"}),
        "NG": frozenset({"NGN"}),
        "RW": frozenset({"RWF"}),
        "SS": frozenset({"SSP"}),
        "SZ": frozenset({"SZL"}),
        "UG": frozenset({"UGX"}),
        "ZA": frozenset({"ZAR"}),
        "ZM": frozenset({"ZMW"}),
    }
)
"""In which currencies a country's wallets are held; for a country that is not here, nobody knows, so none is refused.

Source: ISO 4217, list one. Liberia's wallets are held in either of its two currencies [U]: the provider decides.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Countries as ISO 3166 alpha-2, currencies as ISO 4217, networks by the names that `nepxy.engine.msisdn` gives."""

    countries: frozenset[str] = frozenset()
    """Where it can pay at all."""
    networks: frozenset[tuple[str, str]] = frozenset()
    """Country and network whose own provider it is: numbers of these go to it first."""
    any_network: bool = False
    """It pays numbers of every network in its countries; it is asked where no network's own provider can."""
    currencies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By country, where they are others than the country's own (`CURRENCIES`)."""

    def pays(self, country: str, network: str | None) -> bool:
        """Whether a number of this network may be given to it; None: nobody knows the number's network."""
        if country not in self.countries:
            return False
        return self.any_network or network is None or (country, network) in self.networks

    def within(self, countries: frozenset[str]) -> Reach:
        """The same in no other countries."""
        own = frozenset(pair for pair in self.networks if pair[0] in countries)
        return replace(self, countries=self.countries & countries, networks=own)

    def currencies_in(self, country: str) -> frozenset[str]:
        """The currencies that it pays there; empty: nobody knows, so none is refused."""
        return self.currencies.get(country) or CURRENCIES.get(country, frozenset())


def networks(network: str, countries: frozenset[str]) -> frozenset[tuple[str, str]]:
    """One network in several countries."""
    return frozenset((country, network) for country in countries)
