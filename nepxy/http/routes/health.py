"""`/healthz`: is this process alive, and how is it? `/readyz`: may it be given work? Both answer within a second."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web

from nepxy.actors.messages import EngineState, EngineView
from nepxy.http.bodies import json_response
from nepxy.http.engine_views import restored_view
from nepxy.http.parts import parts_of


async def healthz(request: web.Request) -> web.Response:
    """Always 200 while the process lives; what is wrong is in the fields."""
    parts = parts_of(request)
    view, up = await asyncio.gather(parts.engine_view.answer(), parts.database_up.answer())
    settings = parts.front.settings
    return json_response(
        {
            "ok": True,
            "db_ok": up is True,
            "version": settings.app_version,
            "git_sha": settings.git_sha,
            "env": settings.env.value,
            "mode": settings.mode.value,
            "engine": _engine(view),
            "recovery": _recovery(view),
        }
    )


async def readyz(request: web.Request) -> web.Response:
    """200 only where a payout would be taken and worked on; else 503 with every reason.

    An intake that operators paused on all nodes is no such reason: a balancer that then had no node left would turn
    away webhooks, too. `engine.intake_open` says so.
    """
    parts = parts_of(request)
    view, up, pending = await asyncio.gather(
        parts.engine_view.answer(), parts.database_up.answer(), parts.migrations_pending.answer()
    )
    reasons = [*_database_reasons(up, pending), *_engine_reasons(view)]
    document = {
        "ready": not reasons,
        "migrations_ok": pending == (),
        "migrations_pending": list(pending or ()),
        "reasons": reasons,
        "engine": _engine(view),
        "recovery": _recovery(view),
        "restored": restored_view(view.restored) if view is not None else None,
    }
    return json_response(document, status=503 if reasons else 200)


def _database_reasons(up: bool | None, pending: tuple[str, ...] | None) -> list[str]:
    reasons = [] if up else ["DATABASE_DOWN"]
    if pending is None:
        reasons.append("MIGRATIONS_UNKNOWN")
    elif pending:
        reasons.append("MIGRATIONS_PENDING")
    return reasons


def _engine_reasons(view: EngineView | None) -> list[str]:
    if view is None:
        return ["ENGINE_NOT_ANSWERING"]
    reasons = []
    if view.state is EngineState.DRAINING or view.drains_here:
        reasons.append("DRAINING")
    elif view.state is EngineState.STANDBY:
        reasons.append("STANDBY")
    elif view.state is not EngineState.RUNNING or view.shards_held == 0:
        reasons.append("SHARDS_NOT_HELD")
    if not view.recovery_started:
        reasons.append("RECOVERY_NOT_STARTED")
    if not view.journal_ok:
        reasons.append("JOURNAL_NOT_COMMITTING")
    return reasons


def _engine(view: EngineView | None) -> dict[str, Any]:
    """`state` is `starting`, `running`, `standby`, `draining` or `not_answering`; a standby names the owner."""
    return {
        "state": view.state.value if view else "not_answering",
        "standby_owner": view.other_owner if view else None,
        "shards_held": view.shards_held if view else 0,
        "intake_open": view.intake_open if view else False,
        "payouts_in_memory": view.payouts_in_memory if view else 0,
        "journal_ok": view.journal_ok if view else False,
    }


def _recovery(view: EngineView | None) -> dict[str, Any]:
    return {
        "started": view.recovery_started if view else False,
        "recovered_count": view.recovered_count if view else 0,
        "done": view.recovery_done if view else False,
    }


ROUTES: Final = (("GET", "/healthz", healthz), ("GET", "/readyz", readyz))
