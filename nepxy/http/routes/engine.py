"""The engine and its providers, for operators to look at."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from aiohttp import web

from nepxy.actors.messages import EngineView
from nepxy.errors import EngineTimeout, ProviderUnknown
from nepxy.http.auth import ADMIN_READ
from nepxy.http.bodies import json_response
from nepxy.http.engine_views import engine_view, provider_view
from nepxy.http.parts import ENGINE_WAIT_S, Parts, parts_of


async def providers(request: web.Request) -> web.Response:
    """All providers."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    view = await described(parts)
    return json_response({"providers": [provider_view(one) for one in view.providers]})


async def provider(request: web.Request) -> web.Response:
    """One, with its contract and the account that is configured for it."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    name = request.match_info["name"].upper()
    view = await described(parts)
    found = next((one for one in view.providers if one.name == name), None)
    if found is None:
        raise ProviderUnknown(name, (one.name for one in view.providers))
    settings = parts.front.settings.providers.get(name)
    policy, adapter = parts.front.policies.get(name), parts.front.adapters.get(name)
    shown: dict[str, Any] = {
        "account": policy.account if policy is not None else None,
        "profile": getattr(settings, "profile", None),
        "capabilities": asdict(adapter.capabilities) if adapter is not None else None,
    }
    return json_response(provider_view(found) | shown)


async def engine(request: web.Request) -> web.Response:
    """This node's engine."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    view = await described(parts)
    return json_response(engine_view(view, version=parts.front.settings.app_version))


async def described(parts: Parts) -> EngineView:
    """The engine at this moment, or half a second ago.

    Raises:
        EngineTimeout: it does not answer.
    """
    view = await parts.engine_view.answer()
    if view is None:
        raise EngineTimeout(ENGINE_WAIT_S)
    return view


ROUTES: Final = (
    ("GET", "/v1/admin/providers", providers),
    ("GET", "/v1/admin/providers/{name}", provider),
    ("GET", "/v1/admin/engine", engine),
)
