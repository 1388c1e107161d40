"""What operators set for each provider. One class a provider; the names are those of deployments that exist.

Which calls an adapter makes, and what their answers mean, is in `nepxy/providers`; this says only where to call
and as whom. `ready_problems` tells what is missing, without deciding whether that stops the start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from nepxy.config.fields import Group, names_of, setting
from nepxy.config.groups import Mode, RetrySettings, lower, upper
from nepxy.config.secret import Secret

PAYER_ID_PREFIX = "THUNES_PAYER_ID_"
"""Followed by the destination's ISO-2 country."""

PAYER_ID = re.compile(rf"{PAYER_ID_PREFIX}([A-Z]{{2}})")

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


Url = Annotated[str, AfterValidator(_url)]
UpperText = Annotated[str, BeforeValidator(upper)]


class ProviderSettings(Group):
    """What all four have in common; the supervisor and the provider actors need no more."""

    name: ClassVar[str]
    """Canonical, also the label in metrics: `TMONEY`, `FLOOZ`, `MOMO`, `THUNES`."""

    mode: Mode = Mode.SANDBOX
    listed: bool = True
    """Named in `MM_ENABLED_PROVIDERS`."""
    http_timeout_s: float = setting(
        20.0, "{P}_HTTP_TIMEOUT_S", "MM_HTTP_TIMEOUT_S", gt=0, le=300,
        description="How many seconds one call to the provider may take, connecting included.",
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
    """TMONEY and FLOOZ over the generic JSON profile (providers.md, section 5.1 [N])."""

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

    needs = ("api_key", "cashout_url")

    def _needed(self) -> tuple[str, ...]:
        return tuple(field for field in self.needs if field != "api_key" or self.auth_mode != "none")


class TmoneySettings(WalletSettings):
    """Togocom's wallet."""

    name = "TMONEY"


class FloozSettings(WalletSettings):
    """Moov Africa's wallet."""

    name = "FLOOZ"


class MomoSettings(ProviderSettings):
    """MTN MoMo disbursement (providers.md, section 3)."""

    name = "MOMO"

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

    needs = ("base_url", "subscription_key", "api_user", "api_key")

    @property
    def ready_problems(self) -> tuple[str, ...]:
        """As for every provider; and real money does not go to the sandbox's target environment."""
        missing = super().ready_problems
        if self.mode is Mode.REAL and self.target_env == "sandbox":
            return (*missing, self.variable("target_env"))
        return missing


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
    def enabled(self) -> bool:
        """As for every provider; `THUNES_ENABLED=false` outranks the list."""
        return self.listed and self.switched_on

    @property
    def ready_problems(self) -> tuple[str, ...]:
        """As for every provider; and it needs at least one payer."""
        return super().ready_problems + (() if self.payer_ids else (f"{PAYER_ID_PREFIX}<ISO2>",))


PROVIDER_CLASSES: Mapping[str, type[ProviderSettings]] = MappingProxyType(
    {cls.name: cls for cls in (TmoneySettings, FloozSettings, MomoSettings, ThunesSettings)}
)
"""Every provider that can be set up, by its canonical name."""

PROVIDER_ALIASES: Mapping[str, str] = MappingProxyType({"MTN_MOMO": "MOMO"})
"""Other names that lists of providers may hold."""
