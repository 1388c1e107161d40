"""What operators set for each provider. One class a provider; the names are those of deployments that exist.

Which calls an adapter makes, and what their answers mean, is in `nepxy/providers`; this says only where to call
and as whom. `ready_problems` tells what is missing, without deciding whether that stops the start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from nepxy.config.fields import Group, names_of, setting
from nepxy.config.groups import Mode, RetrySettings, lower, upper
from nepxy.config.reach import CURRENCIES, MTN_COUNTRIES, MTN_ENVIRONMENTS, Reach, networks
from nepxy.config.secret import Secret

PAYER_ID_PREFIX = "THUNES_PAYER_ID_"
"""Followed by the destination's ISO-2 country."""

PAYER_ID = re.compile(rf"{PAYER_ID_PREFIX}([A-Z]{{2}})")

_MTN_SANDBOX_CURRENCIES = {country: CURRENCIES[country] | {"EUR"} for country in MTN_COUNTRIES}

_ANSWER_MARGIN_S = 5.0
"""For the clock's grain and a busy event loop, on top of the two limits that `answer_window_s` adds up."""


def _url(url: str) -> str:
    if url and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", url):
        raise ValueError("is not a URL; set https://host/path, without a user name or a password in it")
    return url


def _status_template(template: str) -> str:
    if template and "{provider_ref}" not in template:
        raise ValueError("has no {provider_ref}; set https://host/path/{provider_ref}")
    if others := set(re.findall(r"\{[^}]*\}?", template)) - {"{provider_ref}"}:
        raise ValueError(f"holds {', '.join(sorted(others))}; {{provider_ref}} is the only placeholder")
    return _url(template)


def _payer_ids(payers: Mapping[str, str]) -> Mapping[str, str]:
    if wrong := sorted(country for country, payer in payers.items() if not payer.isdecimal()):
        raise ValueError(f"{', '.join(wrong)} is not a number; set the payer's id as Thunes gave it")
    return MappingProxyType(dict(payers))


def _path_word(word: str) -> str:
    if not re.fullmatch(r"[a-z0-9]{0,16}", word):
        raise ValueError("is not one word of a path; set letters and digits only, such as tm")
    return word


def _moov_codes(codes: str) -> str:
    for pair in filter(None, map(str.strip, codes.split(","))):
        code, _, word = pair.partition("=")
        if not re.fullmatch(r"-?[0-9]{1,4}", code) or word not in MOOV_MEANINGS:
            raise ValueError(f"{pair!r} is not CODE=MEANING; the meanings are {', '.join(MOOV_MEANINGS)}")
        if code == "0" and word not in ("accepted", "unknown"):
            raise ValueError(
                "code 0 says that it is paid; it can be made accepted or unknown, and nothing else"
            )
    return codes


MOOV_MEANINGS = ("accepted", "rejected", "blocked", "float", "unknown")
"""What a code of Moov's can be made to mean; "paid" is 0 alone, and nothing else can be made it."""

MsisdnForm = Literal["e164", "digits", "national", "old-benin"]
"""`+22901…`; the same without `+`; without the country; Benin's numbers as they were until November 2024."""

Url = Annotated[str, AfterValidator(_url)]
UpperText = Annotated[str, BeforeValidator(upper)]
PathWord = Annotated[str, BeforeValidator(lower), AfterValidator(_path_word)]


class ProviderSettings(Group):
    """What all four have in common; the supervisor and the provider actors need no more."""

    name: ClassVar[str]
    """Canonical, also the label in metrics: `TMONEY`, `FLOOZ`, `MOMO`, `THUNES`."""
    serves: ClassVar[Reach] = Reach()
    """Where it can pay, whatever is set; see `reach`."""

    mode: Mode = Mode.SANDBOX
    listed: bool = True
    """Named in `MM_ENABLED_PROVIDERS`."""
    http_timeout_s: float = setting(
        20.0, "{P}_HTTP_TIMEOUT_S", "MM_HTTP_TIMEOUT_S", gt=0, le=300,
        description="How many seconds one call to the provider may take, connecting included.",
    )  # fmt: skip
    connect_timeout_s: float = setting(
        0.0, "{P}_CONNECT_TIMEOUT_S", "MM_CONNECT_TIMEOUT_S", ge=0, le=300,
        default_text="a quarter of the whole",
        description="How many seconds reaching the provider may take, TLS included.",
    )  # fmt: skip
    first_byte_timeout_s: float = setting(
        0.0, "{P}_FIRST_BYTE_TIMEOUT_S", "MM_FIRST_BYTE_TIMEOUT_S", ge=0, le=300,
        default_text="the whole",
        description="How many seconds may pass until the answer begins, and between two parts of it.",
    )  # fmt: skip
    concurrency_max: int = setting(
        64, "{P}_CONCURRENCY_MAX", "MM_CONCURRENCY_MAX", ge=1, le=10_000,
        description="Calls to the provider that may be open at once.",
    )  # fmt: skip
    requests_per_s: float = setting(
        0.0, "{P}_REQUESTS_PER_S", "MM_REQUESTS_PER_S", ge=0, le=100_000,
        description="Calls to the provider a second; 0 is unlimited.",
    )  # fmt: skip
    webhook_secret: Secret = setting(
        Secret(""), "{P}_WEBHOOK_SECRET", default_text="required in production when enabled",
        description="HMAC-SHA256 secret that signs the provider's webhooks.",
    )  # fmt: skip
    webhook_secret_previous: Secret = setting(
        Secret(""), "{P}_WEBHOOK_SECRET_PREVIOUS",
        description="The secret before, which still verifies during a rotation.",
    )  # fmt: skip
    retry: RetrySettings = Field(default_factory=RetrySettings)

    needs: ClassVar[tuple[str, ...]] = ()
    """Fields without which not one payout can be submitted."""

    @property
    def enabled(self) -> bool:
        """Whether new payouts may be given to it. Those in flight are followed either way (money rule 10)."""
        return self.listed

    @property
    def signs_webhooks(self) -> bool:
        """Whether its webhooks are signed: then their secret is needed, and an unsigned one is refused."""
        return True

    @property
    def reach(self) -> Reach:
        """Where it can pay as it is set up; a class whose variables decide about that overrides this."""
        return self.serves

    @property
    def answer_window_s(self) -> float:
        """Seconds from the committed intent to `answer_by`: nobody looks up or resends before."""
        return self.retry.send_window_s + self.http_timeout_s + _ANSWER_MARGIN_S

    @property
    def ready_problems(self) -> tuple[str, ...]:
        """Names of the variables that are missing; empty when it can submit. The webhook secret is not counted."""
        return tuple(self.variable(field) for field in self._needed() if not getattr(self, field))

    def variable(self, field: str) -> str:
        """The environment variable to tell a person about for this field, in the mode that is on."""
        return names_of(type(self).model_fields[field], self.name, self.mode.upper())[0]

    def _needed(self) -> tuple[str, ...]:
        return self.needs


class WalletSettings(ProviderSettings):
    """TMONEY and FLOOZ, over one of the profiles that integrators meet (providers.md, section 5)."""

    profile: Annotated[Literal["generic", "moov-soap", "paygate", "qosic"], BeforeValidator(lower)] = setting(
        "generic", "{P}_PROFILE",
        description="The protocol of the account: generic JSON, Moov's merchant SOAP, or an aggregator's.",
    )  # fmt: skip
    duplicate_reference: Annotated[
        Literal["rejects", "replays", "pays_again", "unknown"], BeforeValidator(lower)
    ] = setting(
        "unknown", "{P}_DUPLICATE_REFERENCE",
        description="What a repeated reference gets, by the provider's own paper; rejects and replays allow resends.",
    )  # fmt: skip
    msisdn_form: Annotated[
        Literal["profile", "e164", "digits", "national", "old-benin"], BeforeValidator(lower)
    ] = setting(
        "profile", "{P}_MSISDN_FORM",
        description="How a number is sent; profile is what the profile's contract says.",
    )  # fmt: skip

    # ---- the generic JSON profile (5.1 [N]) --------------------------------------------------------

    auth_mode: Annotated[Literal["bearer", "x-api-key", "none"], BeforeValidator(lower)] = setting(
        "bearer", "{P}_AUTH_MODE", description="How the API key is sent; none sends no key."
    )
    api_key: Secret = setting(
        Secret(""), "{P}_{MODE}_API_KEY", "{P}_API_KEY", description="The provider's API key."
    )
    cashout_url: Url = setting(
        "", "{P}_{MODE}_CASHOUT_URL", "{P}_CASHOUT_URL", description="The URL that payouts are posted to."
    )
    status_url_template: Annotated[str, AfterValidator(_status_template)] = setting(
        "", "{P}_{MODE}_STATUS_URL_TEMPLATE", "{P}_STATUS_URL_TEMPLATE",
        description="The URL of a payout's state, with {provider_ref} in it; without one, only webhooks settle.",
    )  # fmt: skip

    # ---- the others (5.2 to 5.4) -------------------------------------------------------------------

    base_url: Url = setting(
        "", "{P}_{MODE}_BASE_URL", "{P}_BASE_URL",
        description="Where the profile's API is: Moov's endpoint, or what comes before an aggregator's paths.",
    )  # fmt: skip
    paygate_auth_token: Secret = setting(
        Secret(""), "{P}_{MODE}_PAYGATE_AUTH_TOKEN", "{P}_PAYGATE_AUTH_TOKEN",
        description="PayGate Global's auth_token; PayGate has no sandbox.",
    )  # fmt: skip
    qosic_user: str = setting(
        "", "{P}_{MODE}_QOSIC_USER", "{P}_QOSIC_USER", description="User of Qosic's Basic authentication."
    )
    qosic_password: Secret = setting(
        Secret(""), "{P}_{MODE}_QOSIC_PASSWORD", "{P}_QOSIC_PASSWORD",
        description="Password of Qosic's Basic authentication.",
    )  # fmt: skip
    qosic_client_id_tg: str = setting(
        "", "{P}_{MODE}_QOSIC_CLIENT_ID_TG", "{P}_QOSIC_CLIENT_ID_TG",
        description="Qosic's clientid of this operator in Togo.",
    )  # fmt: skip
    qosic_client_id_bj: str = setting(
        "", "{P}_{MODE}_QOSIC_CLIENT_ID_BJ", "{P}_QOSIC_CLIENT_ID_BJ",
        description="Qosic's clientid of this operator in Benin.",
    )  # fmt: skip
    qosic_operator_tg: PathWord = setting(
        "", "{P}_QOSIC_OPERATOR_TG", default_text="tm for TMONEY, tg for FLOOZ",
        description="The operator's part of Qosic's paths, for Togo.",
    )  # fmt: skip
    qosic_operator_bj: PathWord = setting(
        "", "{P}_QOSIC_OPERATOR_BJ", description="The operator's part of Qosic's paths, for Benin."
    )  # fmt: skip

    needs = ("api_key", "cashout_url")
    needs_by_profile: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "generic": needs,
            "moov-soap": ("base_url", "moov_token"),
            "paygate": ("base_url", "paygate_auth_token"),
            "qosic": ("base_url", "qosic_user", "qosic_password"),
        }
    )

    @property
    def signs_webhooks(self) -> bool:
        """Whether the account's webhooks are signed, so that their secret is needed."""
        return self.profile == "generic"

    @property
    def ready_problems(self) -> tuple[str, ...]:
        """As for every provider; and Qosic needs at least one country's client id and operator."""
        missing = super().ready_problems
        if self.profile == "qosic" and not self.qosic_countries:
            return (*missing, self.variable("qosic_client_id_tg"))
        return missing

    @property
    def qosic_countries(self) -> Mapping[str, tuple[str, str]]:
        """Operator and client id by country calling code, for each country that has both."""
        pairs = {
            "228": (self.qosic_operator_tg, self.qosic_client_id_tg),
            "229": (self.qosic_operator_bj, self.qosic_client_id_bj),
        }
        return MappingProxyType({code: pair for code, pair in pairs.items() if all(pair)})

    @property
    def reach(self) -> Reach:
        """Moov's own API is Benin's, PayGate pays in Togo (5.2, 5.3), Qosic where there is a client id."""
        qosic = {"228": "TG", "229": "BJ"}
        countries = {
            "moov-soap": frozenset({"BJ"}),
            "paygate": frozenset({"TG"}),
            "qosic": frozenset(qosic[code] for code in self.qosic_countries),
        }.get(self.profile)
        return self.serves if countries is None else self.serves.within(countries)

    def msisdn_form_or(self, of_profile: MsisdnForm) -> MsisdnForm:
        """The form that is set, else the profile's own."""
        return of_profile if self.msisdn_form == "profile" else self.msisdn_form

    def _needed(self) -> tuple[str, ...]:
        needed = self.needs_by_profile[self.profile]
        return tuple(field for field in needed if field != "api_key" or self.auth_mode != "none")


class TmoneySettings(WalletSettings):
    """Togocom's wallet."""

    name = "TMONEY"
    serves = Reach(countries=frozenset({"TG"}), networks=frozenset({("TG", "Togocom")}))

    profile: Annotated[Literal["generic", "paygate", "qosic"], BeforeValidator(lower)] = setting(
        "generic", "{P}_PROFILE",
        description="The protocol of the account: generic JSON, or an aggregator's.",
    )  # fmt: skip
    qosic_operator_tg: PathWord = setting(
        "tm", "{P}_QOSIC_OPERATOR_TG", description="The operator's part of Qosic's paths, for Togo."
    )


class FloozSettings(WalletSettings):
    """Moov Africa's wallet."""

    name = "FLOOZ"
    serves = Reach(countries=frozenset({"TG", "BJ"}), networks=networks("Moov", frozenset({"TG", "BJ"})))

    qosic_operator_tg: PathWord = setting(
        "tg", "{P}_QOSIC_OPERATOR_TG", description="The operator's part of Qosic's paths, for Togo."
    )
    moov_token: Secret = setting(
        Secret(""), "{P}_{MODE}_MOOV_TOKEN", "{P}_MOOV_TOKEN",
        description="Moov's token: base64 of AES-256-CBC over 0:user:password with Moov's key and a zero IV.",
    )  # fmt: skip
    moov_operation: Literal["transferFlooz", "cashintrans"] = setting(
        "transferFlooz", "{P}_MOOV_OPERATION", description="Moov's operation that pays."
    )
    moov_wallet_id: str = setting(
        "0", "{P}_MOOV_WALLET_ID", pattern=r"^[0-9]{1,4}$", description="Moov's walletid that pays."
    )
    moov_msisdn: str = setting(
        "", "{P}_{MODE}_MOOV_MSISDN", "{P}_MOOV_MSISDN", pattern=r"^([0-9]{8,15})?$",
        description="Our own merchant number at Moov, whose balance is asked for; without one, it is not.",
    )  # fmt: skip
    moov_codes: Annotated[str, AfterValidator(_moov_codes)] = setting(
        "", "{P}_MOOV_CODES",
        description="Moov's codes that mean something else than by default, as 11=unknown,101=blocked.",
    )  # fmt: skip


class MomoSettings(ProviderSettings):
    """MTN MoMo disbursement (providers.md, section 3)."""

    name = "MOMO"
    serves = Reach(countries=MTN_COUNTRIES, networks=networks("MTN", MTN_COUNTRIES))

    base_url: Url = setting(
        "", "MOMO_{MODE}_BASE_URL", "MOMO_BASE_URL",
        default_text="MTN's public sandbox in sandbox mode, none in real mode",
        description="Scheme and host of the disbursement API.",
    )  # fmt: skip
    subscription_key: Secret = setting(
        Secret(""),
        "MOMO_{MODE}_SUBSCRIPTION_KEY_DISBURSEMENT",
        "MOMO_SUBSCRIPTION_KEY_DISBURSEMENT",
        "MOMO_DISBURSE_SUB_KEY",
        description="Subscription key of the disbursement product; another product's key gets 401.",
    )
    api_user: str = setting(
        "", "MOMO_{MODE}_API_USER", "MOMO_API_USER", "MOMO_API_USER_ID", description="API user, a UUID."
    )
    api_key: Secret = setting(
        Secret(""), "MOMO_{MODE}_API_KEY", "MOMO_API_KEY", description="The API user's key."
    )
    target_env: Annotated[str, BeforeValidator(lower)] = setting(
        "sandbox", "MOMO_TARGET_ENV", "MOMO_ENV", pattern=r"^[a-z]+$",
        description="X-Target-Environment: sandbox, or the country's, such as mtnbenin.",
    )  # fmt: skip
    callback_url: Url = setting(
        "", "MOMO_CALLBACK_URL", "MOMO_CALLBACK_HOST", default_text="none: polling only",
        description="Public base of our callback URLs: HTTPS on port 443, a name and not an address.",
    )  # fmt: skip
    callback_secret: Secret = setting(
        Secret(""), "MOMO_CALLBACK_SECRET", default_text="derived from the API key",
        description="Key that signs our callback URLs.",
    )  # fmt: skip
    callback_secret_previous: Secret = setting(
        Secret(""), "MOMO_CALLBACK_SECRET_PREVIOUS",
        description="The key before, whose callback URLs still count.",
    )  # fmt: skip
    sandbox_currency: UpperText = setting(
        "EUR", "MOMO_SANDBOX_CURRENCY", pattern=r"^([A-Z]{3})?$",
        description="Currency that transfers are labelled with in MTN's sandbox, which takes no other.",
    )  # fmt: skip
    benin_digits: int = setting(
        10, "MOMO_BENIN_DIGITS", ge=8, le=10,
        description="Digits of Benin's numbers after 229 as MTN wants them: 10, or 8 as of old.",
    )  # fmt: skip

    needs = ("base_url", "subscription_key", "api_user", "api_key")

    @property
    def ready_problems(self) -> tuple[str, ...]:
        """As for every provider; and real money does not go to the sandbox's target environment."""
        missing = super().ready_problems
        if self.mode is Mode.REAL and self.target_env == "sandbox":
            return (*missing, self.variable("target_env"))
        return missing

    @property
    def signs_webhooks(self) -> bool:
        """MTN signs none (3.6 [D]); a secret makes those count that something of ours in between signs."""
        return bool(self.webhook_secret)

    @property
    def reach(self) -> Reach:
        """One account pays in the country of its target environment; the sandbox plays all, in euros (3.1, 3.2 [D])."""
        country = MTN_ENVIRONMENTS.get(self.target_env)
        if country is not None:
            return self.serves.within(frozenset({country}))
        if self.target_env == "sandbox":
            return replace(self.serves, currencies=_MTN_SANDBOX_CURRENCIES)
        return self.serves


class ThunesSettings(ProviderSettings):
    """Thunes Money Transfer v2 (providers.md, section 4). There is no fictitious sender by default."""

    name = "THUNES"

    switched_on: bool = setting(
        True, "THUNES_ENABLED", description="false takes Thunes out, even if it is listed as enabled."
    )
    api_endpoint: Url = setting(
        "", "THUNES_{MODE}_API_ENDPOINT", "THUNES_API_ENDPOINT",
        description="Scheme and host of the API, issued at onboarding.",
    )  # fmt: skip
    api_key: Secret = setting(
        Secret(""), "THUNES_{MODE}_API_KEY", "THUNES_API_KEY", description="The API key."
    )
    api_secret: Secret = setting(
        Secret(""), "THUNES_{MODE}_API_SECRET", "THUNES_API_SECRET", description="The API secret."
    )
    payer_ids: Annotated[Mapping[str, str], AfterValidator(_payer_ids), PlainSerializer(dict)] = Field(
        default_factory=lambda: MappingProxyType({})
    )
    """Payer's id by the destination's ISO-2 country; read from every `THUNES_PAYER_ID_<ISO2>`."""
    tx_type: Annotated[Literal["C2C", "C2B", "B2C", "B2B"], BeforeValidator(upper)] = setting(
        "C2C", "THUNES_TX_TYPE", description="Transaction type of every transfer."
    )
    quote_mode: Annotated[Literal["DESTINATION_AMOUNT", "SOURCE_AMOUNT"], BeforeValidator(upper)] = setting(
        "DESTINATION_AMOUNT", "THUNES_QUOTE_MODE", description="Which side's amount a quotation fixes."
    )
    source_currency: UpperText = setting(
        "",
        "THUNES_SOURCE_CURRENCY",
        pattern=r"^([A-Z]{3})?$",
        description="Currency of our balance, ISO 4217.",
    )
    source_country_iso3: UpperText = setting(
        "",
        "THUNES_SOURCE_COUNTRY_ISO3",
        pattern=r"^([A-Z]{3})?$",
        description="Country of the sender, ISO-3.",
    )
    sender_firstname: str = setting("", "THUNES_SENDER_FIRSTNAME", description="The sender's first name.")
    sender_lastname: str = setting("", "THUNES_SENDER_LASTNAME", description="The sender's last name.")
    sender_dob: str = setting(
        "", "THUNES_SENDER_DOB", pattern=r"^(\d{4}-\d{2}-\d{2})?$",
        description="The sender's date of birth, YYYY-MM-DD.",
    )  # fmt: skip
    sender_gender: str = setting(
        "", "THUNES_SENDER_GENDER", description="The sender's gender, as Thunes wants it."
    )
    sender_nationality_iso3: UpperText = setting(
        "",
        "THUNES_SENDER_NATIONALITY_ISO3",
        pattern=r"^([A-Z]{3})?$",
        description="The sender's nationality.",
    )
    sender_country_of_birth_iso3: UpperText = setting(
        "", "THUNES_SENDER_COUNTRY_OF_BIRTH_ISO3", pattern=r"^([A-Z]{3})?$", description="Where it was born."
    )
    sender_address: str = setting("", "THUNES_SENDER_ADDRESS", description="The sender's street and number.")
    sender_city: str = setting("", "THUNES_SENDER_CITY", description="The sender's city.")
    sender_postal: str = setting("", "THUNES_SENDER_POSTAL", description="The sender's postal code.")
    sender_country_iso3: UpperText = setting(
        "", "THUNES_SENDER_COUNTRY_ISO3", pattern=r"^([A-Z]{3})?$", description="The sender's country."
    )
    sender_business_name: str = setting(
        "", "THUNES_SENDER_BUSINESS_NAME",
        description="Our registered name, for the types B2C and B2B, where a business sends.",
    )  # fmt: skip
    callback_url: Url = setting(
        "", "THUNES_CALLBACK_URL", default_text="none: as agreed with Thunes, or polling only",
        description="The public URL of our /v1/webhooks/thunes, given to Thunes with every transaction.",
    )  # fmt: skip
    use_simulation: bool = setting(
        True, "THUNES_USE_SIMULATION", default_text="true in sandbox mode",
        description="Send x-simulated-transaction in sandbox mode; never sent in real mode.",
    )  # fmt: skip
    allow_unsigned_webhooks: bool = setting(
        False, "THUNES_ALLOW_UNSIGNED_WEBHOOKS",
        description="Take unsigned webhooks as hints; never honoured in production.",
    )  # fmt: skip

    needs = (
        "api_endpoint",
        "api_key",
        "api_secret",
        "source_currency",
        "source_country_iso3",
        "sender_firstname",
        "sender_lastname",
        "sender_dob",
        "sender_gender",
        "sender_nationality_iso3",
        "sender_country_of_birth_iso3",
        "sender_address",
        "sender_city",
        "sender_postal",
        "sender_country_iso3",
    )

    @property
    def signs_webhooks(self) -> bool:
        """Unless unsigned ones are allowed, as hints."""
        return not self.allow_unsigned_webhooks

    @property
    def reach(self) -> Reach:
        """Every network of each country that there is a payer for."""
        return Reach(countries=frozenset(self.payer_ids), any_network=True)

    @property
    def enabled(self) -> bool:
        """As for every provider; `THUNES_ENABLED=false` outranks the list."""
        return self.listed and self.switched_on

    @property
    def answer_window_s(self) -> float:
        """As for every provider; and the last of its writes may be followed by one read."""
        return super().answer_window_s + self.http_timeout_s

    @property
    def ready_problems(self) -> tuple[str, ...]:
        """As for every provider; and it needs at least one payer."""
        return super().ready_problems + (() if self.payer_ids else (f"{PAYER_ID_PREFIX}<ISO2>",))

    def _needed(self) -> tuple[str, ...]:
        """A business needs no birthday, and a person no registered name."""
        if self.tx_type.startswith("C"):
            return self.needs
        return (*(field for field in self.needs if field not in _OF_PERSONS), "sender_business_name")


_OF_PERSONS = frozenset(
    {
        "sender_firstname",
        "sender_lastname",
        "sender_dob",
        "sender_gender",
        "sender_nationality_iso3",
        "sender_country_of_birth_iso3",
    }
)

PROVIDER_CLASSES: Mapping[str, type[ProviderSettings]] = MappingProxyType(
    {cls.name: cls for cls in (TmoneySettings, FloozSettings, MomoSettings, ThunesSettings)}
)
"""Our own providers, by canonical name; packages may bring others (`nepxy/config/plugins.py`)."""

PROVIDER_ALIASES: Mapping[str, str] = MappingProxyType({"MTN_MOMO": "MOMO"})
"""Other names that lists of providers may hold."""
