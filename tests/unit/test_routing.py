"""The client's wish, the operator's rules and the number's network choose the provider, and the reason says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepxy.config.providers import ProviderSettings
from nepxy.config.reach import MTN_COUNTRIES, Reach
from nepxy.config.routing_rules import RoutingRules, read_routing
from nepxy.config.settings import Settings
from nepxy.engine.msisdn import Msisdn
from nepxy.engine.routing import Candidate, Choice, Standing, Wanted, choose_provider, ticket_of, with_pauses
from nepxy.errors import ConfigError, ProviderDisabled, ProviderUnknown, ValidationFailed

ALL = ("TMONEY", "FLOOZ", "MOMO", "THUNES")
PAYERS = {f"THUNES_PAYER_ID_{country}": "1" for country in ("TG", "BJ", "GH", "SN")}
PROVIDERS: Mapping[str, ProviderSettings] = Settings.from_environ(PAYERS).providers


def a_number(country: str, carrier: str | None) -> Msisdn:
    return Msisdn(phone_e164="+10000000", country=country, carrier=carrier)


def candidates(usable: Collection[str] = ALL, *, off: Standing = Standing.DISABLED) -> dict[str, Candidate]:
    return {
        name: Candidate(reach=one.reach, standing=Standing.OPEN if name in usable else off)
        for name, one in PROVIDERS.items()
    }


def choose(
    country: str,
    carrier: str | None,
    *,
    usable: Collection[str] = ALL,
    paused: Collection[str] = (),
    wanted: str | None = None,
    currency: str = "XOF",
    amount: int = 1000,
    ticket: int = 0,
    rules: RoutingRules | None = None,
) -> Choice:
    asked = Wanted(
        number=a_number(country, carrier), amount=amount, currency=currency, provider=wanted, ticket=ticket
    )
    providers = with_pauses(candidates(usable), paused)
    return choose_provider(asked, providers=providers, rules=rules or RoutingRules())


def rules_of(tmp_path: Path, text: str) -> RoutingRules:
    file = tmp_path / "routing.toml"
    file.write_text(text)
    rules, problems = read_routing(str(file), PROVIDERS)
    assert problems == ()
    return rules


# ---- without rules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "carrier", "currency", "usable", "provider"),
    [
        ("TG", "Togocom", "XOF", ALL, "TMONEY"),
        ("TG", "Moov", "XOF", ALL, "FLOOZ"),
        ("BJ", "Moov", "XOF", ALL, "FLOOZ"),
        ("BJ", "MTN", "XOF", ALL, "MOMO"),
        ("GH", "MTN", "GHS", ALL, "MOMO"),
        ("CM", "MTN", "XAF", ALL, "MOMO"),
        ("CM", "MTN", "EUR", ALL, "MOMO"),
        ("GH", "Telecel", "GHS", ALL, "THUNES"),
        ("BJ", "Celtiis", "XOF", ALL, "THUNES"),
        ("SN", "Orange", "XOF", ALL, "THUNES"),
        ("TG", "Moov", "XOF", ("TMONEY", "THUNES"), "THUNES"),
        ("TG", None, "XOF", ("TMONEY",), "TMONEY"),
        ("TG", None, "XOF", ALL, "THUNES"),
    ],
)
def test_carrier_and_country_choose_the_provider(
    country: str, carrier: str | None, currency: str, usable: tuple[str, ...], provider: str
) -> None:
    choice = choose(country, carrier, usable=usable, currency=currency)
    assert choice.provider == provider
    assert country in choice.reason


def test_a_number_is_never_given_to_another_networks_provider() -> None:
    with pytest.raises(ValidationFailed) as failed:
        choose("TG", "Moov", usable=("TMONEY",))
    assert "FLOOZ" in failed.value.fields[0].hint


def test_an_unknown_network_is_not_guessed_where_two_could_pay() -> None:
    with pytest.raises(ValidationFailed):
        choose("TG", None, usable=("TMONEY", "FLOOZ"))


def test_thunes_is_not_chosen_where_it_has_no_payer() -> None:
    with pytest.raises(ValidationFailed):
        choose("CI", "Orange")


def test_the_reason_says_who_was_passed_over() -> None:
    assert choose("TG", "Togocom").reason == "Togocom in TG is paid through TMONEY"
    assert choose("SN", "Orange").reason == "Orange in SN: no provider of its own, so THUNES"
    passed = choose("TG", "Moov", usable=("THUNES",)).reason
    assert passed == "Moov in TG: FLOOZ is switched off, so THUNES"


def test_a_paused_provider_is_waited_for_where_no_rule_says_otherwise() -> None:
    assert choose("TG", "Moov", paused=("FLOOZ",)).provider == "FLOOZ"


@pytest.mark.parametrize("wanted", [None, "FLOOZ"])
def test_a_currency_that_nobody_pays_there_is_refused_by_its_own_field(wanted: str | None) -> None:
    with pytest.raises(ValidationFailed) as failed:
        choose("TG", "Moov", currency="GHS", wanted=wanted)
    (problem,) = failed.value.fields
    assert problem.name == "currency"
    assert "XOF" in problem.problem


def test_a_real_account_of_mtn_pays_in_its_own_country_and_currency_only() -> None:
    momo = Settings.from_environ({"MM_MODE": "real", "MOMO_TARGET_ENV": "mtnbenin"}).momo
    assert momo.reach.countries == {"BJ"}
    assert momo.reach.currencies_in("BJ") == {"XOF"}
    assert Settings.from_environ({}).momo.reach.countries == MTN_COUNTRIES


# ---- the client's own choice -------------------------------------------------------------------------------


def test_the_clients_own_choice_counts_because_numbers_are_ported() -> None:
    choice = choose("TG", "Moov", wanted="TMONEY")
    assert (choice.provider, choice.reason) == ("TMONEY", "the client named it")


def test_a_wanted_provider_must_exist_be_on_and_pay_there() -> None:
    with pytest.raises(ProviderUnknown):
        choose("GH", "MTN", wanted="WAVE")
    with pytest.raises(ProviderDisabled):
        choose("GH", "MTN", wanted="MOMO", usable=("TMONEY",), currency="GHS")
    with pytest.raises(ValidationFailed):
        choose("GH", "MTN", wanted="TMONEY")


# ---- rules -------------------------------------------------------------------------------------------------

PREFER_THUNES = """
[[rule]]
name = "moov-togo"
country = "TG"
carrier = ["Moov"]
prefer = ["THUNES", "FLOOZ"]
when_paused = "next"
"""


def test_a_rule_prefers_and_says_so(tmp_path: Path) -> None:
    choice = choose("TG", "Moov", rules=rules_of(tmp_path, PREFER_THUNES))
    assert choice == Choice(provider="THUNES", reason="rule moov-togo prefers THUNES")


@pytest.mark.parametrize(("country", "carrier"), [("BJ", "Moov"), ("TG", "Togocom"), ("TG", None)])
def test_a_rule_speaks_of_nothing_but_what_it_fits(tmp_path: Path, country: str, carrier: str | None) -> None:
    rules = rules_of(tmp_path, PREFER_THUNES)
    assert choose(country, carrier, rules=rules) == choose(country, carrier)


def test_a_rule_falls_back_on_the_next_that_takes_payouts(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, PREFER_THUNES)
    off = choose("TG", "Moov", usable=("FLOOZ",), rules=rules)
    assert off == Choice(provider="FLOOZ", reason="rule moov-togo: THUNES is switched off, so FLOOZ")
    paused = choose("TG", "Moov", paused=("THUNES",), rules=rules)
    assert paused == Choice(provider="FLOOZ", reason="rule moov-togo: THUNES is paused, so FLOOZ")


def test_where_all_are_paused_the_payout_waits_for_the_first(tmp_path: Path) -> None:
    choice = choose("TG", "Moov", paused=("THUNES", "FLOOZ"), rules=rules_of(tmp_path, PREFER_THUNES))
    assert choice.provider == "THUNES"
    assert "paused" in choice.reason


def test_a_rule_that_says_wait_waits(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, PREFER_THUNES.replace('"next"', '"wait"'))
    assert choose("TG", "Moov", paused=("THUNES",), rules=rules).provider == "THUNES"
    assert not rules.ask_for_pauses


def test_only_lets_nobody_else_pay(tmp_path: Path) -> None:
    text = '[[rule]]\nname = "moov"\ncarrier = "Moov"\nprefer = "FLOOZ"\n'
    assert choose("TG", "Moov", usable=("THUNES",), rules=rules_of(tmp_path, text)).provider == "THUNES"
    with pytest.raises(ValidationFailed) as failed:
        choose("TG", "Moov", usable=("THUNES",), rules=rules_of(tmp_path, text + "only = true\n"))
    assert "rule moov" in failed.value.fields[0].problem


def test_a_rule_never_gives_a_number_to_a_provider_that_cannot_pay_it(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, '[[rule]]\nname = "all"\nprefer = ["TMONEY"]\n')
    assert choose("TG", "Moov", rules=rules).provider == "FLOOZ"
    assert choose("BJ", "MTN", rules=rules).provider == "MOMO"


@pytest.mark.parametrize(
    ("amount", "provider"), [(99, "FLOOZ"), (100, "THUNES"), (500, "THUNES"), (501, "FLOOZ")]
)
def test_a_rule_may_speak_of_amounts(tmp_path: Path, amount: int, provider: str) -> None:
    text = '[[rule]]\nname = "a"\ncurrency = "XOF"\namount_min = 100\namount_max = 500\nprefer = "THUNES"\n'
    assert choose("TG", "Moov", amount=amount, rules=rules_of(tmp_path, text)).provider == provider


def test_the_first_rule_that_fits_decides(tmp_path: Path) -> None:
    text = '[[rule]]\nname = "first"\ncountry = "TG"\nprefer = "THUNES"\n'
    text += '[[rule]]\nname = "second"\nprefer = "FLOOZ"\n'
    assert choose("TG", "Moov", rules=rules_of(tmp_path, text)).reason == "rule first prefers THUNES"
    assert choose("BJ", "Moov", rules=rules_of(tmp_path, text)).reason == "rule second prefers FLOOZ"


def test_the_alias_of_mtn_is_taken_in_rules(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, '[[rule]]\nname = "mtn"\nprefer = "mtn_momo"\n')
    assert rules.rules[0].prefer == ("MOMO",)


# ---- caps --------------------------------------------------------------------------------------------------

CAP = '[[cap]]\nprovider = "FLOOZ"\ncurrency = "XOF"\namount_max = 1000\n'


def test_above_a_cap_the_next_one_pays(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, CAP)
    assert choose("TG", "Moov", amount=1000, rules=rules).provider == "FLOOZ"
    above = choose("TG", "Moov", amount=1001, rules=rules)
    assert above.provider == "THUNES"
    assert "FLOOZ takes at most 1000" in above.reason


def test_a_cap_holds_in_its_own_currency_and_country_only(tmp_path: Path) -> None:
    text = '[[cap]]\nprovider = "MOMO"\ncountry = "BJ"\ncurrency = "EUR"\namount_max = 10\n'
    rules = rules_of(tmp_path, text)
    assert choose("BJ", "MTN", currency="XOF", rules=rules).provider == "MOMO"
    assert choose("CI", "MTN", currency="EUR", rules=rules).provider == "MOMO"
    with pytest.raises(ValidationFailed):
        choose("BJ", "MTN", currency="EUR", rules=rules)


@pytest.mark.parametrize("wanted", [None, "FLOOZ"])
def test_above_every_cap_the_amount_is_to_blame(tmp_path: Path, wanted: str | None) -> None:
    with pytest.raises(ValidationFailed) as failed:
        choose("TG", "Moov", amount=1001, usable=("FLOOZ",), wanted=wanted, rules=rules_of(tmp_path, CAP))
    assert failed.value.fields[0].name == "amount"


def test_a_share_is_kept_and_refuses_nobody(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, '[[cap]]\nprovider = "FLOOZ"\nshare_percent_max = 30\n')
    chosen = [choose("TG", "Moov", ticket=ticket, rules=rules).provider for ticket in range(100)]
    assert (chosen.count("FLOOZ"), chosen.count("THUNES")) == (30, 70)
    alone = choose("TG", "Moov", ticket=99, usable=("FLOOZ",), rules=rules)
    assert alone.provider == "FLOOZ"
    assert "share" in alone.reason
    assert choose("TG", "Moov", ticket=99, wanted="FLOOZ", rules=rules).provider == "FLOOZ"


def test_a_request_that_comes_again_has_the_same_ticket() -> None:
    tickets = [ticket_of("acme", f"key-{number}") for number in range(2_000)]
    assert tickets == [ticket_of("acme", f"key-{number}") for number in range(2_000)]
    assert set(tickets) == set(range(100))
    assert ticket_of("a", "b\nc") != ticket_of("b", "c") or ticket_of("ab", "c") != ticket_of("a", "bc")


# ---- whatever happens --------------------------------------------------------------------------------------

STANDINGS = st.sampled_from(list(Standing))
REACHES = st.builds(
    Reach,
    countries=st.frozensets(st.sampled_from(["TG", "BJ", "SN"])),
    networks=st.frozensets(st.tuples(st.sampled_from(["TG", "BJ"]), st.sampled_from(["Moov", "MTN"]))),
    any_network=st.booleans(),
)


@given(
    providers=st.dictionaries(
        st.sampled_from(ALL), st.builds(Candidate, reach=REACHES, standing=STANDINGS), max_size=4
    ),
    country=st.sampled_from(["TG", "BJ", "SN"]),
    carrier=st.sampled_from(["Moov", "MTN", None]),
    currency=st.sampled_from(["XOF", "GHS"]),
)
def test_whoever_is_chosen_can_pay_it(
    providers: dict[str, Candidate], country: str, carrier: str | None, currency: str
) -> None:
    wanted = Wanted(number=a_number(country, carrier), amount=1, currency=currency)
    try:
        choice = choose_provider(wanted, providers=providers)
    except ValidationFailed:
        return
    chosen = providers[choice.provider]
    assert chosen.standing.takes_payouts
    assert chosen.reach.pays(country, carrier)
    assert currency in chosen.reach.currencies_in(country)


def test_a_network_of_two_providers_goes_to_the_first_that_takes_payouts() -> None:
    providers = candidates()
    providers["WAVE"] = replace(providers["FLOOZ"])
    wanted = Wanted(number=a_number("TG", "Moov"), amount=1, currency="XOF")
    assert choose_provider(wanted, providers=providers).provider == "FLOOZ"
    providers["FLOOZ"] = replace(providers["FLOOZ"], standing=Standing.NOT_READY)
    choice = choose_provider(wanted, providers=providers)
    assert choice == Choice(provider="WAVE", reason="Moov in TG: FLOOZ is not set up, so WAVE")


# ---- the file ----------------------------------------------------------------------------------------------


RULE = '[[rule]]\nname = "a"\nprefer = "FLOOZ"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[rule]]\nname = "a"\nprefer = ["FLOZ"]', "rule 1 (a): prefer: 'FLOZ' names no provider; did you mean"),
        ('[[rule]]\nname = "a"', "rule 1 (a): prefer: is missing"),
        ('[[rule]]\nname = "a"\nprefer = []', "rule 1 (a): prefer: "),
        ('[[rule]]\nprefer = "FLOOZ"', "rule 1: name: is missing"),
        ('[[rule]]\nname = "A b"\nprefer = "FLOOZ"', "rule 1 (A b): name: "),
        (RULE + 'countri = "TG"', "rule 1 (a): countri: is not known; did you mean country?"),
        (RULE + 'country = "Togo"', "rule 1 (a): country: 'Togo'"),
        (RULE + 'country = "GH"', "rule 1 (a): prefer: FLOOZ does not pay in GH"),
        (RULE + 'country = "TG"\ncarrier = "MTN"', "FLOOZ does not pay MTN in TG"),
        (RULE + 'country = "TG"\ncurrency = "GHS"', "rule 1 (a): currency: FLOOZ pays XOF in TG"),
        (RULE + 'amount_max = 5', "rule 1 (a): amount_max: means nothing without"),
        (RULE + 'currency = "XOF"\namount_max = 10.5', "rule 1 (a): amount_max: 10.5"),
        (RULE + 'currency = "XOF"\namount_min = 9\namount_max = 8', "amount_min: is above"),
        (RULE + 'when_paused = "fail"', "rule 1 (a): when_paused: 'fail'"),
        (RULE + RULE, "rule 2 (a): name: rule 1 has it"),
        ('[[cap]]\nprovider = "FLOOZ"\nccurrency = "XOF"', "cap 1: ccurrency: is not known; did you mean currency?"),
        ('[[cap]]\nprovider = "FLOOZ"', "cap 1 (FLOOZ): amount_max: is missing, and so is share_percent_max"),
        ('[[cap]]\nprovider = "FLOOZ"\namount_max = 5', "cap 1 (FLOOZ): currency: is missing"),
        ('[[cap]]\nprovider = "WAVE"\nshare_percent_max = 5', "cap 1 (WAVE): provider: 'WAVE' names no provider"),
        ('[[cap]]\nprovider = "FLOOZ"\nshare_percent_max = 100', "cap 1: share_percent_max: 100"),
        ('[[rules]]\nname = "a"', "rules: is not known; the file holds [[rule]] and [[cap]]; did you mean rule?"),
        ('rule = "a"', "rule: is not a list of tables"),
        ("[[rule", "is not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_file_stops_the_start_and_names_file_rule_and_field(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "routing.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        Settings.from_environ({**PAYERS, "NEPXY_ROUTING_FILE": str(file)})
    (problem, *_) = refused.value.problems
    assert problem.startswith(f"NEPXY_ROUTING_FILE: {file}")
    assert words in "\n".join(refused.value.problems)


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        Settings.from_environ({"NEPXY_ROUTING_FILE": str(tmp_path / "none.toml")})
    assert "cannot be read" in refused.value.problems[0]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "routing.toml"
    file.write_text('[[rule]]\nname = "a"\nprefer = "X"\n[[cap]]\nprovider = "FLOOZ"\n')
    with pytest.raises(ConfigError) as refused:
        Settings.from_environ({"NEPXY_ROUTING_FILE": str(file), "PORT": "none"})
    assert len(refused.value.problems) == 3
