"""Which provider pays a number: the client's wish, or the network that the number belongs to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from nepxy.engine.msisdn import Msisdn
from nepxy.errors import FieldProblem, ProviderDisabled, ProviderUnknown, ValidationFailed

MTN_COUNTRIES: Final = frozenset(
    ("UG", "GH", "CI", "ZM", "CM", "BJ", "CG", "SZ", "GN", "ZA", "LR", "SS", "NG", "RW")
)
"""Where MoMo has a target environment (providers.md 3.1 [D]); there is no MTN in Togo."""

COUNTRIES: Final[Mapping[str, frozenset[str]]] = {
    "TMONEY": frozenset({"TG"}),
    "FLOOZ": frozenset({"TG", "BJ"}),
    "MOMO": MTN_COUNTRIES,
}
"""Where a wallet's provider can pay at all. One that is not here, such as THUNES, says so by being usable or not."""

NETWORKS: Final[Mapping[tuple[str, str], str]] = {
    ("TG", "Togocom"): "TMONEY",
    ("TG", "Moov"): "FLOOZ",
    ("BJ", "Moov"): "FLOOZ",
    **{(country, "MTN"): "MOMO" for country in sorted(MTN_COUNTRIES)},
}
"""The provider of a country's network."""

ELSEWHERE: Final = "THUNES"
"""Reaches other networks and countries, through its payers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A provider, and why this one: the reason is kept with the payout."""

    provider: str
    reason: str


def choose_provider(
    number: Msisdn, *, wanted: str | None, usable: Collection[str], known: Collection[str]
) -> Choice:
    """Choose the provider of a new payout.

    Args:
        number: whom to pay.
        wanted: the provider that the client names; None: ours to choose.
        usable: the providers that take new payouts to this number's country now.
        known: all providers that there are.

    Raises:
        ProviderUnknown, ProviderDisabled: `wanted` does not exist, or takes no new payouts.
        ValidationFailed: `wanted` cannot pay in this country, or nobody usable can pay this number.
    """
    if wanted is not None:
        return _as_wanted(number, wanted, usable=usable, known=known)
    network = number.carrier or "an unknown network"
    own = NETWORKS.get((number.country, number.carrier or ""))
    if own is not None and own in usable:
        return Choice(provider=own, reason=f"{network} in {number.country} is paid through {own}")
    if ELSEWHERE in usable:
        why = f"{own} takes no new payouts" if own else "no provider of its own"
        return Choice(provider=ELSEWHERE, reason=f"{network} in {number.country}: {why}, so {ELSEWHERE}")
    local = sorted(name for name in usable if number.country in COUNTRIES.get(name, ()))
    if number.carrier is None and len(local) == 1:
        return Choice(
            provider=local[0], reason=f"{network} in {number.country}: {local[0]} is the only one there"
        )
    problem = f"none that is switched on pays {network} in {number.country}"
    hint = f"ask the operator to switch {own} on" if own else "name a provider that does"
    raise ValidationFailed([FieldProblem("provider", problem, hint)])


def _as_wanted(number: Msisdn, wanted: str, *, usable: Collection[str], known: Collection[str]) -> Choice:
    if wanted not in known:
        raise ProviderUnknown(wanted, known)
    countries = COUNTRIES.get(wanted)
    if countries is not None and number.country not in countries:
        problem = FieldProblem("provider", f"{wanted} does not pay in {number.country}", "leave it out")
        raise ValidationFailed([problem])
    if wanted not in usable:
        raise ProviderDisabled(wanted)
    return Choice(provider=wanted, reason="the client named it")
