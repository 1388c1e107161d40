"""What one field cannot know: rules between settings, and what production refuses.

Each rule is a line `NAME: what is wrong; what to do`. A problem stops the start; a warning is logged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from nepxy.config import production
from nepxy.config.catalogue import did_you_mean
from nepxy.config.fields import names_of
from nepxy.config.groups import Environment, Mode, RetrySettings
from nepxy.config.providers import ProviderSettings, WalletSettings
from nepxy.config.reach import MTN_ENVIRONMENTS

if TYPE_CHECKING:
    from nepxy.config.settings import Settings

_JWT_CHARACTERS_MIN = 16
_JWT_CHARACTERS_GOOD = 32
_URL_FIELDS = ("cashout_url", "status_url_template", "base_url", "callback_url", "api_endpoint")


def problems(settings: Settings, refused: Collection[str] = ()) -> Iterator[str]:
    """Why these settings may not start, though each field is well-formed.

    Args:
        settings: well-formed; what was not is at its default.
        refused: variables that were complained about before, so that none is also called missing.
    """
    yield from (line for line in _secret_problems(settings) if line.partition(":")[0] not in refused)
    if settings.env is Environment.PROD:
        yield from (line for line in production.refusals(settings) if line.partition(":")[0] not in refused)
    yield from _retry_problems("", settings.retry)
    for provider in settings.providers.values():
        if provider.retry != settings.retry:
            yield from _retry_problems(provider.name, provider.retry)
        if provider.enabled:
            yield from _provider_problems(settings, provider, refused)


def warnings(settings: Settings) -> Iterator[str]:
    """What may start, and deserves a second look."""
    if _JWT_CHARACTERS_MIN <= len(settings.auth.jwt_secret) < _JWT_CHARACTERS_GOOD:
        yield f"JWT_SECRET: is shorter than {_JWT_CHARACTERS_GOOD} characters; RFC 7518 wants 256 bits for HS256"
    if settings.env is Environment.DEV and settings.mode is Mode.REAL:
        yield "MM_MODE: is real in dev: real money moves; set sandbox unless you mean it"
    thunes = settings.thunes
    if settings.mode is Mode.REAL and thunes.use_simulation and "use_simulation" in thunes.model_fields_set:
        yield "THUNES_USE_SIMULATION: is never honoured in real mode; unset it"
    if settings.limits.payouts_per_window_max and not settings.limits.window_minutes:
        yield "MAX_CASHOUT_COUNT_PER_WINDOW: limits nothing without CASHOUT_WINDOW_MINUTES; set both"
    target_env = settings.momo.target_env
    if target_env not in ("sandbox", *MTN_ENVIRONMENTS):
        yield (
            f"{settings.momo.variable('target_env')}: {target_env!r} is no environment that is known, so nobody knows "
            f"its country{did_you_mean(target_env, MTN_ENVIRONMENTS)}"
        )
    for provider in settings.providers.values():
        if _settles_by_webhook_only(provider):
            variable = provider.variable("status_url_template")
            yield f"{variable}: is missing: without a webhook, a payout by {provider.name} ends in REVIEW"


def _secret_problems(settings: Settings) -> Iterator[str]:
    away_from_home = settings.env is not Environment.DEV
    if away_from_home and not settings.database.url:
        yield f"DATABASE_URL: is missing; {settings.env} needs postgresql://user:password@host:5432/database"
    if away_from_home and not settings.auth.jwt_secret:
        yield f"JWT_SECRET: is missing; set {_JWT_CHARACTERS_GOOD} random characters (openssl rand -base64 32)"
    for name, secret in (
        ("JWT_SECRET", settings.auth.jwt_secret),
        ("JWT_SECRET_PREVIOUS", settings.auth.jwt_secret_previous),
    ):
        if 0 < len(secret) < _JWT_CHARACTERS_MIN:
            yield (
                f"{name}: is shorter than {_JWT_CHARACTERS_MIN} characters; "
                f"set {_JWT_CHARACTERS_GOOD} random ones (openssl rand -base64 32)"
            )


def _retry_problems(provider: str, retry: RetrySettings) -> Iterator[str]:
    fields = RetrySettings.model_fields
    for low, high in (("base_s", "cap_s"), ("poll_base_s", "poll_cap_s")):
        if getattr(retry, low) > getattr(retry, high):
            low_name, high_name = (names_of(fields[field], provider)[0] for field in (low, high))
            yield (
                f"{low_name}: {getattr(retry, low):g} s is more than {high_name} "
                f"({getattr(retry, high):g} s); make it smaller, or the other larger"
            )


def _provider_problems(
    settings: Settings, provider: ProviderSettings, refused: Collection[str]
) -> Iterator[str]:
    in_production = settings.env is Environment.PROD
    needless = provider.webhook_secret or not provider.signs_webhooks
    secret = () if needless else (provider.variable("webhook_secret"),)
    missing = [name for name in (*provider.ready_problems, *secret) if name not in refused]
    if missing and (in_production or settings.strict_startup):
        yield (
            f"MM_ENABLED_PROVIDERS: {provider.name} is enabled without {', '.join(missing)}; "
            f"set {'them' if len(missing) > 1 else 'it'}, or take {provider.name} off the list"
        )
    if in_production and provider.mode is Mode.REAL:
        for field in _URL_FIELDS:
            if str(getattr(provider, field, "")).startswith("http://"):
                yield f"{provider.variable(field)}: is not HTTPS; real money needs https://"


def _settles_by_webhook_only(provider: ProviderSettings) -> bool:
    return (
        isinstance(provider, WalletSettings)
        and provider.enabled
        and not provider.ready_problems
        and provider.profile == "generic"
        and not provider.status_url_template
    )
