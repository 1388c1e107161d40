"""Our accounts at the sandbox: the provider's side of each, and the variables that make the engine use it.

Both sides are derived from one key, so that whoever starts sandbox and engine has one secret to pass on. Where a
provider wants two, they differ, so that an adapter that mixes them up is refused. Development only.
"""

from __future__ import annotations

from typing import Any, Final

from nepxy.sandbox.config import (
    MomoConfig,
    MoovConfig,
    PayGateConfig,
    ProviderConfig,
    QosicConfig,
    ThunesConfig,
)
from nepxy.sandbox.thunes_payers import PAYERS

API_USER: Final = MomoConfig().api_user

_COUNTRIES: Final = {"TGO": "TG", "BEN": "BJ", "GHA": "GH"}

SENDER: Final = {
    "THUNES_SOURCE_CURRENCY": ThunesConfig().source_currency,
    "THUNES_SOURCE_COUNTRY_ISO3": "FRA",
    "THUNES_SENDER_FIRSTNAME": "Development",
    "THUNES_SENDER_LASTNAME": "Sender",
    "THUNES_SENDER_DOB": "1990-01-01",
    "THUNES_SENDER_GENDER": "FEMALE",
    "THUNES_SENDER_NATIONALITY_ISO3": "FRA",
    "THUNES_SENDER_COUNTRY_OF_BIRTH_ISO3": "FRA",
    "THUNES_SENDER_ADDRESS": "1 rue de Rivoli",
    "THUNES_SENDER_CITY": "Paris",
    "THUNES_SENDER_POSTAL": "75001",
    "THUNES_SENDER_COUNTRY_ISO3": "FRA",
}
"""Nobody: play money may have a sender who does not exist, and nothing else may."""


def sandbox_accounts(*, key: str, webhook_url: str, webhook_secret: str) -> dict[str, Any]:
    """The fields of `SandboxConfig` that are about accounts.

    Args:
        key: of every account.
        webhook_url: where TMONEY's webhooks go; FLOOZ's and THUNES's go beside it, under their own names. Empty: none
            are sent. MOMO's go where each transfer says.
        webhook_secret: signs them.
    """

    def url_for(name: str) -> str | None:
        return f"{webhook_url.rpartition('/')[0]}/{name}" if webhook_url else None

    return {
        "tmoney": ProviderConfig(api_key=key, webhook_url=webhook_url or None, webhook_secret=webhook_secret),
        "flooz": ProviderConfig(api_key=key, webhook_url=url_for("flooz"), webhook_secret=webhook_secret),
        "moov_soap": MoovConfig(token=key),
        "paygate": PayGateConfig(auth_token=key),
        "qosic": QosicConfig(password=key),
        "thunes": ThunesConfig(
            api_key=key,
            api_secret=thunes_secret(key),
            webhook_url=url_for("thunes"),
            webhook_secret=webhook_secret,
        ),
        # The real one posts callbacks to public HTTPS hosts only; this one knows where it is.
        "momo": MomoConfig(api_key=key, subscription_key=subscription_key(key), plain_http_callbacks=True),
    }


def account_variables(*, sandbox: str, engine: str, key: str, webhook_secret: str) -> dict[str, str]:
    """The variables of an engine whose four providers are this sandbox's.

    MOMO's target environment stays `sandbox`, as with MTN's own: there every country of MTN's is played by one account,
    and all are paid in euros.

    Args:
        sandbox: its base URL.
        engine: base URL at which the sandbox reaches the engine.
        key: as for `sandbox_accounts`.
        webhook_secret: as for `sandbox_accounts`.
    """
    wallets: dict[str, str] = {}
    for name in ("TMONEY", "FLOOZ"):
        cashout = f"{sandbox}/{name.lower()}/v1/cashout"
        wallets |= {
            f"{name}_SANDBOX_CASHOUT_URL": cashout,
            f"{name}_SANDBOX_STATUS_URL_TEMPLATE": cashout + "/{provider_ref}",
            f"{name}_SANDBOX_API_KEY": key,
            f"{name}_WEBHOOK_SECRET": webhook_secret,
        }
    return {
        "MM_ENABLED_PROVIDERS": "TMONEY,FLOOZ,MOMO,THUNES",
        **wallets,
        "MOMO_SANDBOX_BASE_URL": f"{sandbox}/momo",
        "MOMO_SANDBOX_SUBSCRIPTION_KEY_DISBURSEMENT": subscription_key(key),
        "MOMO_SANDBOX_API_USER": API_USER,
        "MOMO_SANDBOX_API_KEY": key,
        "MOMO_CALLBACK_URL": engine,
        "THUNES_SANDBOX_API_ENDPOINT": f"{sandbox}/thunes",
        "THUNES_SANDBOX_API_KEY": key,
        "THUNES_SANDBOX_API_SECRET": thunes_secret(key),
        "THUNES_WEBHOOK_SECRET": webhook_secret,
        "THUNES_CALLBACK_URL": f"{engine}/v1/webhooks/thunes",
        **SENDER,
        **{f"THUNES_PAYER_ID_{_COUNTRIES[payer.country]}": str(payer.id) for payer in PAYERS.values()},
    }


def subscription_key(key: str) -> str:
    """MTN's, of the disbursement product."""
    return f"{key}-disbursement"


def thunes_secret(key: str) -> str:
    """Thunes's API secret."""
    return f"{key}-secret"
