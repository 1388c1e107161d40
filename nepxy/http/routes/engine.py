"""The engine and its providers, for operators to look at."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from nepxy.actors.messages import EngineView
from nepxy.actors.tree import ActorRow, ActorTree, DescribeActors, DescribePayoutActor
from nepxy.errors import EngineTimeout, InvariantViolation, ProviderUnknown, Unavailable
from nepxy.http.auth import ADMIN_READ
from nepxy.http.bodies import json_response
from nepxy.http.engine_views import engine_view, provider_view
from nepxy.http.facts import facts_of
from nepxy.http.incidents import incidents as judged
from nepxy.http.parts import ENGINE_WAIT_S, Parts, parts_of
from nepxy.http.routes.operator_payouts import found_payout
from nepxy.http.validation import query_fields, read_query
from nepxy.http.watch import KEPT_S, STEP_S
from nepxy.storage.activity import database_activity


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


async def actors(request: web.Request) -> web.Response:
    """The live tree, but for the payouts."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    return json_response(await actor_tree(parts))


async def actor_tree(parts: Parts) -> dict[str, Any]:
    """The tree as it is shown."""
    tree = await parts.engine.ask(DescribeActors())
    if not isinstance(tree, ActorTree):
        raise InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(tree).__name__}")
    return {"actors": [asdict(row) for row in tree.actors], "payouts": {"count": tree.payouts_count}}


async def payout_actor(request: web.Request) -> web.Response:
    """One payout's actor, or when the next one comes for it."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    found = await found_payout(parts, request)
    row = await parts.engine.ask(DescribePayoutActor(transaction_id=found.payout.transaction_id))
    if isinstance(row, ActorRow):
        return json_response(asdict(row))
    payout = found.payout
    name = f"payout/{payout.transaction_id}"
    return json_response(
        {"name": name, "kind": "payout", "state": "passivated", "next_at": payout.next_retry_at}
    )


async def database(request: web.Request) -> web.Response:
    """What the database is busy with, and our connections to it; answered while the pool is exhausted, too."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    reader, settings = parts.front.reader, parts.front.settings
    pool = {
        "size": reader.connections_max,
        "in_use": reader.in_use_count,
        "waiting": reader.waiting_count,
    }
    shown: dict[str, Any] = {"ok": False, "pool": pool, "writers": settings.database.journal_writers}
    try:
        activity = await parts.apart.run(database_activity)
    except Unavailable as away:
        return json_response(shown | {"says": away.message})
    return json_response(
        shown
        | {
            "ok": True,
            "server_version": activity.server_version,
            "connections": {"ours": activity.ours, "all": activity.all, "max": activity.max},
            "oldest_transaction_s": activity.oldest_transaction_s,
            "locks_waiting": activity.locks_waiting,
            "slow": [asdict(one) for one in activity.slow],
        }
    )


async def incidents(request: web.Request) -> web.Response:
    """The runbook's five incidents: which of them is there now."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    return json_response({"incidents": await found_incidents(parts), "at": parts.now()})


async def found_incidents(parts: Parts) -> list[dict[str, Any]]:
    """The incidents as they are shown."""
    return [asdict(one) for one in judged(await facts_of(parts))]


class SeriesQuery(BaseModel):
    """`GET /v1/admin/series`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minutes: Annotated[float, Field(gt=0, le=KEPT_S / 60)] = 60.0


async def series(request: web.Request) -> web.Response:
    """Payouts by state and provider over the last minutes, as this node saw them."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    query = read_query(SeriesQuery, query_fields(request))
    return json_response({"step_s": STEP_S, "points": parts.watch.points(query.minutes)})


ROUTES: Final = (
    ("GET", "/v1/admin/providers", providers),
    ("GET", "/v1/admin/providers/{name}", provider),
    ("GET", "/v1/admin/engine", engine),
    ("GET", "/v1/admin/actors", actors),
    ("GET", "/v1/admin/actors/payouts/{transaction_id}", payout_actor),
    ("GET", "/v1/admin/database", database),
    ("GET", "/v1/admin/incidents", incidents),
    ("GET", "/v1/admin/series", series),
)
