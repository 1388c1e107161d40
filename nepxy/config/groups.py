"""The settings that are not about providers, by concern. Defaults, limits and units are here and nowhere else."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator

from nepxy.config.fields import Group, setting
from nepxy.config.secret import Secret


class Environment(StrEnum):
    """Where this runs. `prod` refuses what the others only warn about."""

    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"


class Mode(StrEnum):
    """Which of a provider's two sets of variables is used."""

    SANDBOX = "sandbox"
    REAL = "real"


def lower(value: object) -> object:
    """For words whose case people do not care about."""
    return value.lower() if isinstance(value, str) else value


def upper(value: object) -> object:
    """For codes that are written in capitals."""
    return value.upper() if isinstance(value, str) else value


def _comma_separated(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part for part in (part.strip() for part in value.split(",")) if part)


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[\w.\-\[\]:]+", origin):
            raise ValueError(
                f"{origin!r} is not an origin; set scheme and host only, such as https://app.example.com"
            )
    return origins


def _corridors(value: object) -> object:
    pairs = _comma_separated(value)
    if not isinstance(pairs, tuple):
        return pairs
    for pair in pairs:
        if isinstance(pair, str) and not re.fullmatch(r"[A-Za-z]{2}:[A-Za-z]{2}", pair):
            raise ValueError(f"{pair!r} is not a corridor; set SEND:RECEIVE countries, such as TG:BJ,TG:GH")
    return tuple(tuple(pair.upper().split(":")) if isinstance(pair, str) else pair for pair in pairs)


def _database_url(url: Secret) -> Secret:
    text = url.get_secret_value()
    if not text:
        return url
    # The existing system's SQLAlchemy wrote its driver into the scheme; libpq takes no such thing.
    scheme, separator, rest = text.partition("://")
    if not separator or not re.fullmatch(r"postgres(ql)?(\+\w+)?", scheme):
        raise ValueError("is not a PostgreSQL URL; set postgresql://user:password@host:5432/database")
    return Secret(f"postgresql://{rest}")


class DatabaseSettings(Group):
    """For `nepxy/storage` and the journal."""

    title: ClassVar[str] = "Database"

    url: Annotated[Secret, AfterValidator(_database_url)] = setting(
        Secret(""),
        "DATABASE_URL",
        default_text="embedded PostgreSQL in dev; required otherwise",
        description="The PostgreSQL server, as postgresql://user:password@host:port/database.",
    )
    plaintext_allowed: bool = setting(
        False, "NEPXY_DATABASE_PLAINTEXT_ALLOWED",
        description="Production: the network to a database on another machine is private, and needs no TLS.",
    )  # fmt: skip
    pool_connections_max: int = setting(
        8, "NEPXY_POOL_CONNECTIONS_MAX", ge=1, le=500,
        description="Connections that reads may hold at once; journal writers have their own.",
    )  # fmt: skip
    reads_waiting_max: int = setting(
        1000, "NEPXY_READS_WAITING_MAX", ge=1, le=100_000,
        description="Reads that may wait for one of these connections; one more is answered with 503 and Retry-After.",
    )  # fmt: skip
    journal_writers: int = setting(
        1, "NEPXY_JOURNAL_WRITERS", ge=1, le=32,
        description="Threads that commit state changes, with one connection each.",
    )  # fmt: skip
    statement_timeout_s: float = setting(
        10.0, "NEPXY_STATEMENT_TIMEOUT_S", gt=0, le=600,
        description="After how many seconds the server gives up a statement.",
    )  # fmt: skip
    connect_timeout_s: float = setting(
        5.0, "NEPXY_CONNECT_TIMEOUT_S", gt=0, le=120,
        description="After how many seconds a connection attempt to the database is given up.",
    )  # fmt: skip


class HttpSettings(Group):
    """For `nepxy/http`."""

    title: ClassVar[str] = "HTTP"

    host: str = setting(
        "127.0.0.1", "NEPXY_HTTP_HOST",
        default_text="127.0.0.1 in dev, 0.0.0.0 otherwise",
        description="The address to listen on; 0.0.0.0 is every IPv4 interface.",
    )  # fmt: skip
    port: int = setting(
        8001, "PORT", ge=0, le=65535, description="The TCP port to listen on; 0 takes any free one."
    )
    body_bytes_max: int = setting(
        65_536, "NEPXY_BODY_BYTES_MAX", ge=1_024, le=16_777_216,
        description="The largest request body in bytes; a larger one gets 413.",
    )  # fmt: skip
    body_s_max: float = setting(
        10.0, "NEPXY_BODY_S_MAX", gt=0, le=300,
        description="How many seconds a request body may take to arrive; a slower one gets 408.",
    )  # fmt: skip
    ask_timeout_s: float = setting(
        10.0, "NEPXY_ASK_TIMEOUT_S", gt=0, le=300,
        description="How many seconds a request waits for the engine before it gets 503.",
    )  # fmt: skip
    new_payouts_open_max: int = setting(
        256, "NEPXY_NEW_PAYOUTS_OPEN_MAX", ge=1, le=100_000,
        description="New payouts that a node takes at once; more get 503 with Retry-After, and nothing was taken.",
    )  # fmt: skip
    client_requests_per_s: float = setting(
        1_000.0, "NEPXY_CLIENT_REQUESTS_PER_S", ge=0, le=1_000_000,
        description="Requests a second of one client on one node, twice as many at once; more get 429. 0 is unlimited.",
    )  # fmt: skip
    cors_allow_origins: Annotated[
        tuple[str, ...], BeforeValidator(_comma_separated), AfterValidator(_origins)
    ] = setting(
        (), "CORS_ALLOW_ORIGINS", "CORS_ORIGINS",
        description="Origins whose pages may call the API, comma-separated; * is every one.",
    )  # fmt: skip
    client_address_header: str = setting(
        "", "NEPXY_CLIENT_ADDRESS_HEADER", pattern=r"^[A-Za-z0-9-]{0,64}$",
        default_text="none: the connection's own address",
        description="The header in which the proxy before us names the caller's address, such as Fly-Client-IP.",
    )  # fmt: skip


class AuthSettings(Group):
    """For tokens. Lengths are checked with the rest of the rules, because development makes its own secret."""

    title: ClassVar[str] = "Tokens"

    jwt_secret: Secret = setting(
        Secret(""), "JWT_SECRET",
        default_text="generated and kept in dev; required otherwise",
        description="HS256 key that signs access tokens: at least 16 characters, 32 recommended.",
    )  # fmt: skip
    jwt_secret_previous: Secret = setting(
        Secret(""), "JWT_SECRET_PREVIOUS",
        description="The key before, which still verifies during a rotation.",
    )  # fmt: skip
    jwt_alg: Literal["HS256"] = setting("HS256", "JWT_ALG", description="The signing algorithm.")
    access_minutes: int = setting(
        60, "JWT_ACCESS_MINUTES", ge=1, le=1_440, description="How many minutes an access token lives."
    )
    clock_skew_s: float = setting(
        30.0, "NEPXY_CLOCK_SKEW_S", ge=0, le=300,
        description="By how many seconds a token's times may differ from our clock.",
    )  # fmt: skip
    console_idle_minutes: int = setting(
        30, "NEPXY_CONSOLE_IDLE_MINUTES", ge=1, le=720,
        description="After how many minutes without a person's doing a session of the console ends.",
    )  # fmt: skip
    console_session_hours: int = setting(
        12, "NEPXY_CONSOLE_SESSION_HOURS", ge=1, le=168,
        description="After how many hours a session of the console ends, whatever is done in it.",
    )  # fmt: skip


class EngineSettings(Group):
    """For the supervisor, the payout actors, the leases and the stop."""

    title: ClassVar[str] = "Engine"

    payouts_in_memory_max: int = setting(
        100_000, "NEPXY_PAYOUTS_IN_MEMORY_MAX", ge=1, le=10_000_000,
        description="Payout actors alive at once; the others wait in the database. About 5 KB each.",
    )  # fmt: skip
    passivate_after_s: float = setting(
        60.0, "NEPXY_PASSIVATE_AFTER_S", gt=0, le=86_400,
        description="A payout that has nothing to do for this many seconds leaves memory.",
    )  # fmt: skip
    expires_after_h: float = setting(
        72.0, "NEPXY_EXPIRES_AFTER_H", gt=0, le=8_760,
        description="For how many hours an unsent payout waits out an outage before it fails.",
    )  # fmt: skip
    drain_limit_s: float = setting(
        30.0, "NEPXY_DRAIN_LIMIT_S", ge=0, le=600,
        description="How many seconds a stop waits for work in flight.",
    )  # fmt: skip
    lease_ttl_s: float = setting(
        10.0, "NEPXY_LEASE_TTL_S", ge=1, le=600,
        description="After how many seconds without renewal another node may take a shard.",
    )  # fmt: skip
    sweep_interval_s: float = setting(
        1.0, "NEPXY_SWEEP_INTERVAL_S", gt=0, le=300,
        description="How many seconds pass between two looks for payouts that are due.",
    )  # fmt: skip
    balance_check_s: float = setting(
        60.0, "NEPXY_BALANCE_CHECK_S", ge=1, le=86_400,
        description="How many seconds pass between two looks at the balance of a provider that ran short of money.",
    )  # fmt: skip
    stuck_after_s: float = setting(
        1_800.0, "NEPXY_STUCK_AFTER_S", ge=1, le=2_592_000,
        description="A payout that is SENT for longer than this many seconds counts as stuck, which alerts.",
    )  # fmt: skip
    recovery_batch: int = setting(
        500, "NEPXY_RECOVERY_BATCH", ge=1, le=100_000,
        description="How many payouts one sweep takes up; bounds the burst after a restart.",
    )  # fmt: skip
    restarts_max: int = setting(
        5, "NEPXY_RESTARTS_MAX", ge=0, le=1_000,
        description="An actor that crashes more often than this within NEPXY_RESTARTS_WITHIN_S is parked.",
    )  # fmt: skip
    restarts_within_s: float = setting(
        60.0, "NEPXY_RESTARTS_WITHIN_S", gt=0, le=86_400,
        description="The window in seconds in which crashes are counted.",
    )  # fmt: skip
    second_person: bool = setting(
        False, "NEPXY_SECOND_PERSON",
        default_text="on in prod, off otherwise",
        description="Whether confirm and fail want another operator's approval; what is final always does.",
    )  # fmt: skip
    installation_id: str = setting(
        "", "NEPXY_INSTALLATION_ID", pattern=r"^[A-Za-z0-9._-]{0,64}$",
        default_text="the one that the database keeps",
        description="Goes into every reference that providers see. Set it only to take over after a restore.",
    )  # fmt: skip


class RetrySettings(Group):
    """For the retry policy. Read once for all providers and once for each, whose own variables win."""

    title: ClassVar[str] = "Retries"

    base_s: float = setting(
        30.0, "{P}_RETRY_BASE_S", "NEPXY_RETRY_BASE_S", gt=0, le=86_400,
        description="The longest wait in seconds before the first retry; then it grows by the factor.",
    )  # fmt: skip
    factor: float = setting(
        2.0, "{P}_RETRY_FACTOR", "NEPXY_RETRY_FACTOR", ge=1, le=10,
        description="By how much the wait grows with each failure.",
    )  # fmt: skip
    cap_s: float = setting(
        3_600.0, "{P}_RETRY_CAP_S", "NEPXY_RETRY_CAP_S", gt=0, le=604_800,
        description="The longest wait between two retries, in seconds.",
    )  # fmt: skip
    attempts_max: int = setting(
        5, "{P}_RETRY_ATTEMPTS_MAX", "NEPXY_RETRY_ATTEMPTS_MAX", ge=1, le=100,
        description="Attempts that reach the provider before the payout fails; outages do not count.",
    )  # fmt: skip
    poll_base_s: float = setting(
        60.0, "{P}_POLL_BASE_S", "NEPXY_POLL_BASE_S", gt=0, le=86_400,
        description="How many seconds after acceptance the provider is first asked how it stands.",
    )  # fmt: skip
    poll_cap_s: float = setting(
        3_600.0, "{P}_POLL_CAP_S", "NEPXY_POLL_CAP_S", gt=0, le=604_800,
        description="The longest wait between two such questions, in seconds.",
    )  # fmt: skip
    send_window_s: float = setting(
        5.0, "{P}_SEND_WINDOW_S", "NEPXY_SEND_WINDOW_S", gt=0, le=300,
        description="Seconds from the committed intent to the last moment at which a request may leave.",
    )  # fmt: skip
    settle_s: float = setting(
        900.0, "{P}_SETTLE_S", "NEPXY_SETTLE_S", ge=0, le=604_800,
        description="Seconds that an unanswered attempt waits for a webhook before it goes to REVIEW.",
    )  # fmt: skip


class LimitSettings(Group):
    """What one client may do. 0 is off; amounts are in the currency's minor unit (XOF has none: 1000 is 1000).

    Days and months are UTC's. What counts, `nepxy/engine/limits.py` says.
    """

    title: ClassVar[str] = "Limits of a client"

    amount_per_day_max: int = setting(
        0, "MAX_CASHOUT_PER_DAY_CENTS", ge=0,
        description="Sum of a client's payouts a day, in minor units; each currency by itself.",
    )  # fmt: skip
    payouts_per_day_max: int = setting(
        0, "MAX_CASHOUT_COUNT_PER_DAY", ge=0, description="A client's payouts a day."
    )
    receivers_per_day_max: int = setting(
        0, "MAX_DISTINCT_RECEIVERS_PER_DAY", ge=0, description="Different numbers that a client pays a day."
    )
    amount_per_month_max: int = setting(
        0, "MAX_CASHOUT_PER_MONTH_CENTS", ge=0,
        description="Sum of a client's payouts a month, in minor units; each currency by itself.",
    )  # fmt: skip
    payouts_per_month_max: int = setting(
        0, "MAX_CASHOUT_COUNT_PER_MONTH", ge=0, description="A client's payouts a month."
    )
    receivers_per_month_max: int = setting(
        0,
        "MAX_DISTINCT_RECEIVERS_PER_MONTH",
        ge=0,
        description="Different numbers that a client pays a month.",
    )
    payouts_per_window_max: int = setting(
        0, "MAX_CASHOUT_COUNT_PER_WINDOW", ge=0,
        description="A client's payouts within the last CASHOUT_WINDOW_MINUTES.",
    )  # fmt: skip
    window_minutes: int = setting(
        0, "CASHOUT_WINDOW_MINUTES", ge=0, le=44_640, description="The length of that window, in minutes."
    )
    corridor_allowlist: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_corridors)] = setting(
        (), "CORRIDOR_ALLOWLIST", default_text="all corridors",
        description="SEND:RECEIVE country pairs, comma-separated: no other is served, and sender.country is required.",
    )  # fmt: skip


class ReconcileSettings(Group):
    """For comparing what we hold with what providers say."""

    every_h: float = setting(
        24.0, "NEPXY_RECONCILE_EVERY_H", ge=0, le=8_760,
        description="Every how many hours providers are asked about what is in doubt or recently settled; 0: never.",
    )  # fmt: skip
    count_max: int = setting(
        1_000, "NEPXY_RECONCILE_COUNT_MAX", ge=1, le=50_000,
        description="Payouts that one such run asks about at most, unless it is told otherwise.",
    )  # fmt: skip
    file_bytes_max: int = setting(
        67_108_864, "NEPXY_RECONCILE_FILE_BYTES_MAX", ge=1_024, le=1_073_741_824,
        description="The largest settlement file that is taken, in bytes.",
    )  # fmt: skip
    file_lines_max: int = setting(
        200_000, "NEPXY_RECONCILE_FILE_LINES_MAX", ge=1, le=5_000_000,
        description="The most lines that a settlement file may have; about 200 bytes of memory each.",
    )  # fmt: skip


class LogSettings(Group):
    """For `nepxy.config.logs.configure_logging`."""

    title: ClassVar[str] = "Logs"

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(lower),
    ] = setting(
        "info", "NEPXY_LOG_LEVEL", "LOG_LEVEL", description="The least important line that is written."
    )
    format: Annotated[Literal["auto", "console", "json"], BeforeValidator(lower)] = setting(
        "auto", "NEPXY_LOG_FORMAT", "LOG_FORMAT",
        description="console for people, json for machines; auto takes console on a terminal.",
    )  # fmt: skip
