"""The operator's routing rules: a TOML file, named by `NEPXY_ROUTING_FILE`, read and checked whole at the start.

    [[rule]]                            # the first rule that fits a payout decides the order
    name = "moov-togo"
    country = ["TG"]                    # each of these three: any, when it is left out
    carrier = ["Moov"]
    currency = ["XOF"]
    amount_max = 500000                 # and amount_min; minor units, of the one currency named
    prefer = ["FLOOZ", "THUNES"]        # the first that takes new payouts
    only = true                         # nobody else, even where that means refusing the payout
    when_paused = "next"                # "wait" (the default): a paused provider's payouts wait for it

    [[cap]]
    provider = "FLOOZ"
    currency = "XOF"
    amount_max = 2000000                # of one payout, whoever chose the provider
    share_percent_max = 30              # of the payouts that may go to it, where the client names none

What a rule falls back on is decided when a payout is taken, before there is any attempt; never afterwards.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, ValidationError
from pydantic_core import ErrorDetails

from nepxy.config.catalogue import did_you_mean
from nepxy.config.providers import PROVIDER_ALIASES, ProviderSettings

VARIABLE = "NEPXY_ROUTING_FILE"

_FILE_BYTES_MAX = 1_048_576
_ENTRIES_MAX = 1_000
_AMOUNT_MAX = 10**15


def _texts(value: object) -> object:
    """One text counts as a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _names(value: object) -> object:
    names = _texts(value)
    if not isinstance(names, tuple):
        return names
    upper = (name.strip().upper() if isinstance(name, str) else name for name in names)
    return tuple(PROVIDER_ALIASES.get(name, name) for name in upper)


def _name(value: object) -> object:
    names = _names(value)
    return names[0] if isinstance(names, tuple) and len(names) == 1 else value


Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Amount = Annotated[StrictInt, Field(ge=1, le=_AMOUNT_MAX)]
ProviderName = Annotated[str, BeforeValidator(_name)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Rule(_Entry):
    """Which providers are tried for the payouts that it fits, and in which order. Empty: any."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")]
    country: Annotated[tuple[Country, ...], BeforeValidator(_texts)] = ()
    carrier: Texts = ()
    currency: Annotated[tuple[Currency, ...], BeforeValidator(_texts)] = ()
    amount_min: Amount | None = None
    amount_max: Amount | None = None
    prefer: Annotated[tuple[str, ...], BeforeValidator(_names), Field(min_length=1, max_length=20)]
    only: bool = False
    when_paused: Literal["wait", "next"] = "wait"

    def fits(self, *, country: str, carrier: str | None, currency: str, amount: int) -> bool:
        """Whether it speaks of such a payout; a number whose network nobody knows has none of those named."""
        return (
            (not self.country or country in self.country)
            and (not self.carrier or carrier in self.carrier)
            and (not self.currency or currency in self.currency)
            and (self.amount_min is None or amount >= self.amount_min)
            and (self.amount_max is None or amount <= self.amount_max)
        )


class Cap(_Entry):
    """What a provider is given at most."""

    provider: ProviderName
    country: Annotated[tuple[Country, ...], BeforeValidator(_texts)] = ()
    currency: Currency | None = None
    amount_max: Amount | None = None
    """Of one payout, in minor units of `currency`; it holds for a client's own choice, too."""
    share_percent_max: Annotated[StrictInt, Field(ge=0, le=99)] | None = None
    """Of the payouts that could go to it, in the long run; it does not hold for a client's own choice."""

    def fits(self, provider: str, *, country: str, currency: str) -> bool:
        """Whether it speaks of this provider and such a payout."""
        return (
            provider == self.provider
            and (not self.country or country in self.country)
            and self.currency in (None, currency)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRules:
    """The file's rules, in its order. Without any, a number's own network decides."""

    rules: tuple[Rule, ...] = ()
    caps: tuple[Cap, ...] = ()

    @property
    def ask_for_pauses(self) -> bool:
        """Whether it matters which providers are paused."""
        return any(rule.when_paused == "next" for rule in self.rules)


def read_routing(
    file: str, providers: Mapping[str, ProviderSettings]
) -> tuple[RoutingRules, tuple[str, ...]]:
    """The rules of a file, and what is wrong with it: `NEPXY_ROUTING_FILE: file: rule: field: problem; what to do`.

    Args:
        file: its path; empty: there is none, and no rules.
        providers: all that are set up, by name.
    """
    if not file:
        return RoutingRules(), ()
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(_FILE_BYTES_MAX + 1)
        if len(content) > _FILE_BYTES_MAX:
            return RoutingRules(), (
                f"{VARIABLE}: {file} is larger than {_FILE_BYTES_MAX} bytes; split no hairs",
            )
        document = tomllib.loads(content.decode())
    except OSError as error:
        problem = f"{VARIABLE}: {file} cannot be read ({error.strerror}); mount it, or mend the path"
        return RoutingRules(), (problem,)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return RoutingRules(), (f"{VARIABLE}: {file} is not TOML ({error}); mend that line",)
    problems: list[str] = []
    problems += (
        f"{name}: is not known; the file holds [[rule]] and [[cap]]{did_you_mean(name, ('rule', 'cap'))}"
        for name in sorted(document.keys() - {"rule", "cap"})
    )
    rules = tuple(_entries(Rule, "rule", document.get("rule", []), problems))
    caps = tuple(_entries(Cap, "cap", document.get("cap", []), problems))
    problems += _rule_problems(rules, providers)
    problems += _cap_problems(caps, providers)
    lines = tuple(f"{VARIABLE}: {file}: {problem}" for problem in problems)
    return (RoutingRules() if lines else RoutingRules(rules=rules, caps=caps)), lines


E = TypeVar("E", Rule, Cap)


def _entries(model: type[E], kind: str, found: object, problems: list[str]) -> Iterator[E]:
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        problems.append(f"{kind}: is not a list of tables; begin each with [[{kind}]]")
        return
    if len(found) > _ENTRIES_MAX:
        problems.append(f"{kind}: there are {len(found)}; {_ENTRIES_MAX} is the most")
        return
    for number, fields in enumerate(found, start=1):
        try:
            yield model.model_validate(fields)
        except ValidationError as invalid:
            where = _where(kind, number, fields.get("name"))
            problems += (f"{where}: {_words(error, model)}" for error in invalid.errors(include_url=False))


def _where(kind: str, number: int, name: object) -> str:
    return f"{kind} {number} ({name})" if isinstance(name, str) else f"{kind} {number}"


def _words(error: ErrorDetails, model: type[BaseModel]) -> str:
    field = str(error["loc"][0]) if error["loc"] else ""
    match error["type"]:
        case "missing":
            return f"{field}: is missing"
        case "extra_forbidden":
            known = ", ".join(model.model_fields)
            return f"{field}: is not known{did_you_mean(field, model.model_fields)}; there are {known}"
        case _:
            shown = repr(error["input"])[:60]
            return f"{field}: {shown}: {error['msg'][:1].lower()}{error['msg'][1:]}{_HINTS.get(field, '')}"


_HINTS: Mapping[str, str] = {
    "name": "; use a-z, 0-9, dots and dashes",
    "country": "; write ISO 3166 codes in capitals, such as TG",
    "currency": "; write ISO 4217 codes in capitals, such as XOF",
    "amount_min": "; write a whole number of minor units (XOF has none: 1000 is 1000)",
    "amount_max": "; write a whole number of minor units (XOF has none: 1000 is 1000)",
    "share_percent_max": "; write a whole number from 0 to 99",
}


def _rule_problems(rules: tuple[Rule, ...], providers: Mapping[str, ProviderSettings]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for number, rule in enumerate(rules, start=1):
        where = _where("rule", number, rule.name)
        if rule.name in seen:
            yield f"{where}: name: rule {seen[rule.name]} has it, too; the reason on a payout names its rule"
        seen.setdefault(rule.name, number)
        if (rule.amount_min or rule.amount_max) and len(rule.currency) != 1:
            field = "amount_min" if rule.amount_min else "amount_max"
            yield f"{where}: {field}: means nothing without its currency; name exactly one in currency"
        if rule.amount_min and rule.amount_max and rule.amount_min > rule.amount_max:
            yield f"{where}: amount_min: is above amount_max, so it fits nothing"
        for name in rule.prefer:
            if (problem := _provider_problem(name, providers)) is not None:
                yield f"{where}: prefer: {problem}"
                continue
            reach = providers[name].reach
            carriers: tuple[str | None, ...] = rule.carrier or (None,)
            for country in rule.country:
                if reach.countries and not any(reach.pays(country, carrier) for carrier in carriers):
                    whom = f"{' or '.join(rule.carrier)} in {country}" if rule.carrier else f"in {country}"
                    yield f"{where}: prefer: {name} does not pay {whom}; take it out, or mend country and carrier"
                currencies = reach.currencies_in(country)
                if rule.currency and currencies and not currencies & set(rule.currency):
                    yield (
                        f"{where}: currency: {name} pays {', '.join(sorted(currencies))} in {country}, "
                        f"and not {', '.join(rule.currency)}"
                    )


def _cap_problems(caps: tuple[Cap, ...], providers: Mapping[str, ProviderSettings]) -> Iterator[str]:
    for number, cap in enumerate(caps, start=1):
        where = _where("cap", number, cap.provider)
        if (problem := _provider_problem(cap.provider, providers)) is not None:
            yield f"{where}: provider: {problem}"
        if cap.amount_max is None and cap.share_percent_max is None:
            yield f"{where}: amount_max: is missing, and so is share_percent_max; set one of them"
        if cap.amount_max is not None and cap.currency is None:
            yield f"{where}: currency: is missing; amount_max means nothing without it"


def _provider_problem(name: str, providers: Mapping[str, Any]) -> str | None:
    if name in providers:
        return None
    known = (*providers, *PROVIDER_ALIASES)
    return f"{name!r} names no provider{did_you_mean(name, known)}; there are {', '.join(providers)}"
