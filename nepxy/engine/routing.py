"""Which provider a new payout is given to: the client's wish, the operator's rules, or the network of the number.

Decided once, before there is any attempt; a payout never changes its provider afterwards. Who can pay where is what
providers declare (`nepxy.config.reach`), so that one more needs no change here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from nepxy.config.reach import Reach
from nepxy.config.routing_rules import RoutingRules, Rule
from nepxy.engine.msisdn import Msisdn
from nepxy.errors import FieldProblem, ProviderDisabled, ProviderUnknown, ValidationFailed

NO_RULES: Final = RoutingRules()


class Standing(StrEnum):
    """Whether a provider may be given new payouts at this moment."""

    OPEN = "open"
    PAUSED = "is paused"
    """It takes them, and they wait."""
    DISABLED = "is switched off"
    NOT_READY = "is not set up"

    @property
    def takes_payouts(self) -> bool:
        """Whether a new payout may be given to it at all."""
        return self in (Standing.OPEN, Standing.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider as routing sees it."""

    reach: Reach
    standing: Standing = Standing.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The payout that a provider is chosen for."""

    number: Msisdn
    amount: int
    """In the currency's minor unit."""
    currency: str
    provider: str | None = None
    """The provider that the client names; None: ours to choose."""
    ticket: int = 0
    """0 to 99, the same whenever the same request comes again (`ticket_of`): what shares are given by."""

    @property
    def network(self) -> str:
        """The number's network, for people."""
        return f"{self.number.carrier or 'an unknown network'} in {self.number.country}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A provider, and why this one: the reason is kept with the payout."""

    provider: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Obstacle:
    """Why a provider is passed over, and which field of the request is to blame if nobody is left."""

    text: str
    field: str = "provider"
    soft: bool = False
    """It counts only while there is another provider: neither a pause nor a share refuses a payout."""


def ticket_of(client_id: str, idempotency_key: str) -> int:
    """A request's place among a hundred; the same request always has the same, so that a replay goes the same way."""
    digest = hashlib.sha256(f"{client_id}\n{idempotency_key}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100


def with_pauses(providers: Mapping[str, Candidate], paused: Collection[str]) -> dict[str, Candidate]:
    """The same providers, of which these are paused."""
    return {
        name: replace(one, standing=Standing.PAUSED)
        if name in paused and one.standing is Standing.OPEN
        else one
        for name, one in providers.items()
    }


def choose_provider(
    wanted: Wanted, *, providers: Mapping[str, Candidate], rules: RoutingRules = NO_RULES
) -> Choice:
    """Choose the provider of a new payout.

    Args:
        wanted: whom to pay, how much, and the client's wish.
        providers: all that there are, in the order in which equals are tried.
        rules: the operator's.

    Raises:
        ProviderUnknown, ProviderDisabled: the one that the client names does not exist, or takes no new payouts.
        ValidationFailed: the one that it names cannot pay this, or nobody can.
    """
    if wanted.provider is not None:
        return _as_named(wanted, wanted.provider, providers=providers, rules=rules)
    rule = next((rule for rule in rules.rules if _fits(rule, wanted)), None)
    passed: dict[str, _Obstacle] = {}
    for name in _order(wanted, rule, providers):
        obstacle = _obstacle(wanted, name, providers[name], rule, rules)
        if obstacle is None:
            return Choice(provider=name, reason=_reason(wanted, rule, name, passed, providers))
        passed[name] = obstacle
    soft = [name for name, obstacle in passed.items() if obstacle.soft]
    if soft:
        # Rather one that pays beyond its share than one whose payouts wait.
        last = next((name for name in soft if providers[name].standing is Standing.OPEN), soft[0])
        by = f"rule {rule.name}" if rule is not None else wanted.network
        return Choice(provider=last, reason=f"{by}: {last} {passed[last].text}, and no other can pay")
    raise ValidationFailed([_nobody(wanted, rule, passed)])


def _as_named(
    wanted: Wanted, name: str, *, providers: Mapping[str, Candidate], rules: RoutingRules
) -> Choice:
    """The client's own choice: its network is not held against it, because numbers are ported."""
    candidate = providers.get(name)
    if candidate is None:
        raise ProviderUnknown(name, providers)
    country = wanted.number.country
    if country not in candidate.reach.countries:
        problem = FieldProblem("provider", f"{name} does not pay in {country}", "leave it out")
        raise ValidationFailed([problem])
    if not candidate.standing.takes_payouts:
        raise ProviderDisabled(name)
    obstacle = _terms_obstacle(wanted, name, candidate, rules)
    if obstacle is not None:
        raise ValidationFailed([FieldProblem(obstacle.field, f"{name} {obstacle.text}")])
    return Choice(provider=name, reason="the client named it")


def _fits(rule: Rule, wanted: Wanted) -> bool:
    number = wanted.number
    return rule.fits(
        country=number.country, carrier=number.carrier, currency=wanted.currency, amount=wanted.amount
    )


def _order(wanted: Wanted, rule: Rule | None, providers: Mapping[str, Candidate]) -> Iterator[str]:
    """Whom to try, in this order: the rule's, the network's own, those that reach every network, the only one."""
    named = tuple(name for name in rule.prefer if name in providers) if rule is not None else ()
    yield from dict.fromkeys(named)
    if rule is not None and rule.only:
        return
    country, network = wanted.number.country, wanted.number.carrier
    local = [name for name, one in providers.items() if country in one.reach.countries and name not in named]
    own = [name for name in local if (country, network) in providers[name].reach.networks]
    wide = [name for name in local if providers[name].reach.any_network and name not in own]
    yield from own
    yield from wide
    if network is None:
        rest = [name for name in local if name not in wide and providers[name].standing.takes_payouts]
        # With two, it would be a guess whose wallet this is.
        yield from rest if len(rest) == 1 else ()


def _obstacle(
    wanted: Wanted, name: str, candidate: Candidate, rule: Rule | None, rules: RoutingRules
) -> _Obstacle | None:
    if not candidate.reach.pays(wanted.number.country, wanted.number.carrier):
        return _Obstacle(text=f"does not pay {wanted.network}")
    if not candidate.standing.takes_payouts:
        return _Obstacle(text=candidate.standing)
    if (obstacle := _terms_obstacle(wanted, name, candidate, rules)) is not None:
        return obstacle
    for cap in rules.caps:
        share = cap.share_percent_max
        fits = cap.fits(name, country=wanted.number.country, currency=wanted.currency)
        if fits and share is not None and wanted.ticket >= share:
            return _Obstacle(text=f"has its share of {share} %", soft=True)
    paused = candidate.standing is Standing.PAUSED
    if paused and rule is not None and rule.when_paused == "next":
        return _Obstacle(text=Standing.PAUSED, soft=True)
    return None


def _terms_obstacle(wanted: Wanted, name: str, candidate: Candidate, rules: RoutingRules) -> _Obstacle | None:
    """What of the amount and the currency stands in the way."""
    country = wanted.number.country
    currencies = candidate.reach.currencies_in(country)
    if currencies and wanted.currency not in currencies:
        text = f"pays {' or '.join(sorted(currencies))} in {country}, not {wanted.currency}"
        return _Obstacle(text=text, field="currency")
    for cap in rules.caps:
        fits = cap.fits(name, country=country, currency=wanted.currency)
        if fits and cap.amount_max is not None and wanted.amount > cap.amount_max:
            text = f"takes at most {cap.amount_max} minor units of {wanted.currency} a payout"
            return _Obstacle(text=text, field="amount")
    return None


def _reason(
    wanted: Wanted,
    rule: Rule | None,
    name: str,
    passed: Mapping[str, _Obstacle],
    providers: Mapping[str, Candidate],
) -> str:
    over = ", ".join(f"{other} {obstacle.text}" for other, obstacle in passed.items())
    if rule is not None:
        return f"rule {rule.name}: {over}, so {name}" if over else f"rule {rule.name} prefers {name}"
    if over:
        return f"{wanted.network}: {over}, so {name}"
    if (wanted.number.country, wanted.number.carrier) in providers[name].reach.networks:
        return f"{wanted.network} is paid through {name}"
    if providers[name].reach.any_network:
        return f"{wanted.network}: no provider of its own, so {name}"
    return f"{wanted.network}: {name} is the only one there"


def _nobody(wanted: Wanted, rule: Rule | None, passed: Mapping[str, _Obstacle]) -> FieldProblem:
    """The refusal: the request's fault where another amount or currency would help, else the moment's."""
    blamed = next((one for one in passed.values() if one.field != "provider"), None)
    if blamed is not None:
        name = next(name for name, one in passed.items() if one is blamed)
        return FieldProblem(blamed.field, f"{name} {blamed.text}, and no other can pay {wanted.network}")
    problem = f"none that is switched on pays {wanted.network}"
    if rule is not None and rule.only:
        problem = f"rule {rule.name} lets nobody else pay {wanted.network}"
    off = [f"{name}, which {one.text}" for name, one in passed.items()]
    hint = f"ask the operator about {'; '.join(off)}" if off else "name a provider that does"
    return FieldProblem("provider", problem, hint)
