"""What a sandbox is told at its start: who it plays, how fast, and where it remembers.

Only values and their checks; no environment variable, file or clock is read here.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ConfigDict

_EXACTLY = ConfigDict(extra="forbid")
"""For those who read a config from a file: a field that there is not is a slip."""


class AuthMode(StrEnum):
    """How a client proves who it is (providers page 5.1 [N])."""

    BEARER = "bearer"
    X_API_KEY = "x-api-key"
    NONE = "none"


class DuplicateBehaviour(StrEnum):
    """What the provider does with a reference that it has already accepted (providers page 5.6, 9)."""

    PAYS_AGAIN = "pays_again"
    """Moves the money again, under a new provider reference: how a double payment shows in the ledger."""
    REJECTS = "rejects"
    """409; nothing moves."""
    REPLAYS = "replays"
    """Answers with the first acceptance; nothing moves. The same reference with another body is a 409."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """One provider's account with us, seen from the provider's side."""

    __pydantic_config__ = _EXACTLY

    api_key: str = field(default="sandbox-key", repr=False)
    auth_mode: AuthMode = AuthMode.BEARER
    webhook_url: str | None = None
    """Where results are posted, such as `http://127.0.0.1:8001/v1/webhooks/tmoney`; None: polling only."""
    webhook_secret: str = field(default="", repr=False)
    """Key of the HMAC-SHA256 over the raw body; required with a `webhook_url`."""
    duplicate_behaviour: DuplicateBehaviour = DuplicateBehaviour.PAYS_AGAIN
    status_lookup_by_our_reference: bool = False
    """Whether the status path also takes our `external_id`; the contract does not say [U]."""
    visible_after_s: float = 0.0
    """How long a status read does not find what has just been taken up."""

    def __post_init__(self) -> None:
        # A plain "rejects" from a script must not slip past comparisons by identity.
        object.__setattr__(self, "auth_mode", AuthMode(self.auth_mode))
        object.__setattr__(self, "duplicate_behaviour", DuplicateBehaviour(self.duplicate_behaviour))
        if self.auth_mode is not AuthMode.NONE and not self.api_key:
            raise ValueError("api_key is empty: set it, or auth_mode none")
        if self.webhook_url is not None:
            parts = urlsplit(self.webhook_url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("webhook_url must be an absolute http or https URL, or None")
            if not self.webhook_secret:
                raise ValueError("webhook_secret is empty: webhooks are signed, set it beside webhook_url")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThunesConfig:
    """Our partner account at Thunes, seen from its side (providers page 4)."""

    __pydantic_config__ = _EXACTLY

    api_key: str = field(default="sandbox-key", repr=False)
    api_secret: str = field(default="sandbox-secret", repr=False)
    source_currency: str = "EUR"
    """Currency of the one balance."""
    balance: Decimal = Decimal(1_000_000_000)
    """What it holds at the start, in major units; confirms hold back from it."""
    webhook_url: str | None = None
    """Where callbacks go that name no `callback_url` of their own; None: nowhere."""
    webhook_secret: str = field(default="", repr=False)
    """Signs callbacks as a proxy of the client's would; empty: unsigned, as the contract has it."""
    quotation_ttl_s: float = 86_400.0
    visibility_lag_s: float = 0.0
    """How long a new transaction cannot be found by its external id."""
    amounts_as_strings: bool = True
    """Answers carry amounts as `"50.00000000"` [I]; False: as JSON numbers."""
    status_as_integer: bool = False

    def __post_init__(self) -> None:
        if not self.api_key or not self.api_secret:
            raise ValueError("api_key and api_secret must not be empty")
        for name in ("quotation_ttl_s", "visibility_lag_s", "balance"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.webhook_url is not None and urlsplit(self.webhook_url).scheme not in ("http", "https"):
            raise ValueError("webhook_url must be an absolute http or https URL, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class MoovConfig:
    """A merchant account at Moov Africa Benin (providers page 5.2)."""

    __pydantic_config__ = _EXACTLY

    token: str = field(default="sandbox-token", repr=False)
    duplicate_behaviour: DuplicateBehaviour = DuplicateBehaviour.PAYS_AGAIN
    status_lookup_by_our_reference: bool = False
    """Whether `transid` also takes our `referenceid` [U]."""
    merchant_msisdn: str = "2290199999999"
    balance: int = 10**12
    """What the merchant number holds before anything is paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayGateConfig:
    """An account at PayGate Global (providers page 5.3)."""

    __pydantic_config__ = _EXACTLY

    auth_token: str = field(default="sandbox-token", repr=False)
    callback_url: str | None = None
    duplicate_behaviour: DuplicateBehaviour = DuplicateBehaviour.PAYS_AGAIN
    visible_after_s: float = 0.0
    """How long a status call does not find what has just been taken up."""
    balance: int = 10**12
    """What each of the two floats holds before anything is paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QosicConfig:
    """An account at Qosic (providers page 5.4)."""

    __pydantic_config__ = _EXACTLY

    user: str = "sandbox-user"
    password: str = field(default="sandbox-password", repr=False)
    client_id_tm: str = "TOGOCOM"
    """Of Togocom, whose paths begin with `tm`."""
    client_id_tg: str = "MOOVTG"
    """Of Moov Togo, whose paths begin with `tg`."""
    callback_url: str | None = None
    duplicate_behaviour: DuplicateBehaviour = DuplicateBehaviour.PAYS_AGAIN
    visible_after_s: float = 0.0
    """How long a query reports as failed what has just been taken up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MomoConfig:
    """Our disbursement account at MTN MoMo, seen from its side (providers page 3)."""

    __pydantic_config__ = _EXACTLY

    subscription_key: str = field(default="sandbox-subscription-key", repr=False)
    api_user: str = "7d3f0f4e-5a4c-4f0e-9a54-3c2f4b6d8e10"
    """UUID."""
    api_key: str = field(default="sandbox-key", repr=False)
    target_environment: str = "sandbox"
    currency: str = "EUR"
    """The only one that is taken; the real sandbox takes EUR alone [D]."""
    balance: Decimal = Decimal(1_000_000_000)
    """What the account holds at the start, in major units."""
    token_life_s: int = 3600
    callback_method: str = "POST"
    """POST or PUT: the documentation has both [D]."""
    callback_copies: int = 1
    """How often each callback is sent; 0: never."""
    provider_callback_host: str | None = None
    """The host that an `X-Callback-Url` must have; None: any."""
    plain_http_callbacks: bool = False
    """For local tests: also takes plain http, other ports and IP addresses in `X-Callback-Url`."""
    visibility_lag_s: float = 0.0
    """How long a status read does not find what has just been taken."""
    status_reads_per_s_max: int = 10
    """More than these get 429: the only rate that MTN publishes."""
    reason_as_object: bool = False
    """`reason` as `{code, message}`, as in the published schema; False: a string, as observed."""

    def __post_init__(self) -> None:
        for name in ("subscription_key", "api_user", "api_key", "target_environment", "currency"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        for name in ("balance", "token_life_s", "callback_copies", "visibility_lag_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.status_reads_per_s_max <= 0:
            raise ValueError("status_reads_per_s_max must be above zero")
        if self.callback_method not in ("POST", "PUT"):
            raise ValueError("callback_method is POST or PUT")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Everything that a sandbox needs; all of it has a default that suits a laptop."""

    __pydantic_config__ = _EXACTLY

    tmoney: ProviderConfig = field(default_factory=ProviderConfig)
    flooz: ProviderConfig = field(default_factory=ProviderConfig)
    moov_soap: MoovConfig = field(default_factory=MoovConfig)
    paygate: PayGateConfig = field(default_factory=PayGateConfig)
    qosic: QosicConfig = field(default_factory=QosicConfig)
    thunes: ThunesConfig = field(default_factory=ThunesConfig)
    momo: MomoConfig = field(default_factory=MomoConfig)
    settle_delay_s: float = 1.0
    """From acceptance to the final state and its webhook; magic numbers stretch it by a factor."""
    seed: int = 0
    """Decides every probabilistic fault: the same seed, reference and submit number meet the same fate."""
    slow_s: float = 3.0
    """How long the `slow` number takes to answer."""
    late_reply_s: float = 30.0
    """When a late answer comes: longer than any client waits (the engine's default is 20 s)."""
    hang_s: float = 120.0
    """How long "never answers" holds the connection before it drops it."""
    retry_after_s: int = 2
    """`Retry-After` of 429 and 503 answers, whole seconds."""
    webhook_concurrency_max: int = 64
    """Webhook requests under way at one moment."""
    webhook_backlog_max: int = 100_000
    """Webhooks not yet acknowledged; above it, new ones are dropped and counted as failed."""
    webhook_tries_max: int = 8
    webhook_backoff_s: float = 0.25
    """Wait after the first failed try; doubles with each further one."""
    webhook_backoff_s_max: float = 30.0
    webhook_timeout_s: float = 10.0
    ledger_path: Path | None = None
    """Append-only JSON-lines file that lets orders and movements survive a restart; None: memory only."""

    def __post_init__(self) -> None:
        for name in (
            "settle_delay_s",
            "slow_s",
            "late_reply_s",
            "hang_s",
            "retry_after_s",
            "webhook_backoff_s",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        for name in (
            "webhook_concurrency_max",
            "webhook_backlog_max",
            "webhook_tries_max",
            "webhook_timeout_s",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above zero")
