"""Talking to the wallets' stand-ins by hand: what a client sends, and what comes back."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from nepxy.sandbox.config import MoovConfig, PayGateConfig, ProviderConfig, QosicConfig, SandboxConfig
from tests.sandbox.support import API_KEY, SECRET, Sandbox

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
NAMESPACE = "http://api.merchant.tlc.com/"
BASIC = "Basic " + base64.b64encode(f"us:{API_KEY}".encode()).decode()


def a_wallet_config(
    url: str | None = None, *, account: dict[str, Any] | None = None, **changes: Any
) -> SandboxConfig:
    """A quick sandbox whose wallets report to `url`; `account` changes the side of all of them."""
    more = account or {}
    defaults: dict[str, Any] = {
        "settle_delay_s": 0.02,
        "webhook_backoff_s": 0.01,
        "slow_s": 0.02,
        "hang_s": 0.02,
    }
    return SandboxConfig(
        flooz=ProviderConfig(api_key=API_KEY, webhook_url=url, webhook_secret=SECRET, **more),
        moov_soap=MoovConfig(token=API_KEY, **more),
        paygate=PayGateConfig(auth_token=API_KEY, callback_url=url, **more),
        qosic=QosicConfig(user="us", password=API_KEY, callback_url=url, **more),
        **{**defaults, **changes},
    )


async def post(
    sandbox: Sandbox, path: str, body: object, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """POSTs JSON; the answer as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with sandbox.client.post(path, data=raw, headers=headers or {}) as response:
        return response.status, json.loads(await response.read())


def a_disburse(**changes: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "auth_token": API_KEY,
        "phone_number": "+22890001234",
        "amount": 1000,
        "reason": "Payout",
        "network": "TMONEY",
        "reference": "ref-1",
    }
    return {key: value for key, value in {**fields, **changes}.items() if value is not None}


def a_deposit(**changes: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "msisdn": "22896001234",
        "amount": "1000",
        "transref": "ref-1",
        "clientid": "MOOVTG",
    }
    return {key: value for key, value in {**fields, **changes}.items() if value is not None}


def a_transfer(**changes: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "destination": "2290195001234",
        "amount": "1000",
        "referenceid": "ref-1",
        "walletid": "0",
        "extendeddata": "",
    }
    return {key: value for key, value in {**fields, **changes}.items() if value is not None}


def an_envelope(operation: str, fields: dict[str, object], token: str = API_KEY) -> str:
    leaves = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    return (
        f'<s:Envelope xmlns:s="{ENVELOPE}" xmlns:api="{NAMESPACE}"><s:Body><api:{operation}>'
        f"<token>{token}</token><request>{leaves}</request></api:{operation}></s:Body></s:Envelope>"
    )


async def soap(sandbox: Sandbox, envelope: str) -> tuple[int, dict[str, str]]:
    """POSTs an envelope; the leaves of the answer."""
    path = "/moov-soap/com.tlc.merchant.api/UssdPush?wsdl"
    async with sandbox.client.post(path, data=envelope.encode()) as response:
        text = await response.text()
        return response.status, dict(re.findall(r"<(\w+)>([^<]*)</\1>", text))


async def transfer(sandbox: Sandbox, **changes: object) -> dict[str, str]:
    """A payout by SOAP; the leaves of its answer."""
    status, fields = await soap(sandbox, an_envelope("transferFlooz", a_transfer(**changes)))
    assert status == 200
    return fields
