"""What the handlers share, and how they get at it: one typed key into the aiohttp application."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import peewee
import structlog
from aiohttp import web

from nepxy.actors.messages import DescribeEngine, EngineView
from nepxy.config.groups import Environment
from nepxy.engine.routing import Candidate, Standing
from nepxy.engine.runtime import ask
from nepxy.http.asking import Engine
from nepxy.http.auth import Gatekeeper
from nepxy.http.checks import SharedCheck
from nepxy.http.cursors import Cursors
from nepxy.http.front import FrontEnd
from nepxy.http.intake import Intake
from nepxy.http.metrics import HttpMetrics
from nepxy.http.secrets import LiveSecrets
from nepxy.http.sessions import Sessions
from nepxy.http.throttle import ClientLimit, LoginLimit
from nepxy.http.watch import Watch
from nepxy.storage.database import Reader
from nepxy.storage.review import MoneyFigures, in_flight_figures

DATABASE_WAIT_S: Final = 0.8
"""Health answers within a second, whatever the database does."""
ENGINE_WAIT_S: Final = 0.5
FRESH_S: Final = 0.5
IN_FLIGHT_WAIT_S: Final = 5.0
IN_FLIGHT_FRESH_S: Final = 2.0
APART_MAX: Final = 2
"""Connections of each of the two that operators have, a node."""
APART_WAIT_S: Final = 2.0
MIGRATIONS_FRESH_S: Final = 2.0

REQUEST_ID: Final = web.RequestKey("request_id", str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Made once for an application."""

    front: FrontEnd
    engine: Engine
    gatekeeper: Gatekeeper
    sessions: Sessions
    """The console's."""
    cursors: Cursors
    metrics: HttpMetrics
    intake: Intake
    client_limit: ClientLimit
    login_limit: LoginLimit
    secrets: LiveSecrets
    """`reread()` takes the files' current ones: for SIGHUP."""
    candidates: Mapping[str, Candidate]
    """The providers as routing sees them, but for their pauses."""
    known: frozenset[str]
    enabled: frozenset[str]
    """Those that are switched on and have an adapter."""
    database_up: SharedCheck[bool]
    engine_view: SharedCheck[EngineView]
    migrations_pending: SharedCheck[tuple[str, ...]]
    in_flight: SharedCheck[list[MoneyFigures]]
    """What is in flight, counted at most every `IN_FLIGHT_FRESH_S`, however many look."""
    apart: Reader
    """Connections of their own for who operators are and what the server does: an exhausted pool must not blind them.

    Nothing that touches payouts may run there: a lock on those would take these connections, too.
    """
    watching: Reader
    """Others, for operators' looks at payouts."""
    watch: Watch

    def reader_of_people(self) -> Reader:
        """Where somebody who signs in is looked up: not behind reads that all wait, for one may come to end them."""
        reader = self.front.reader
        return self.apart if reader.in_use_count >= reader.connections_max else reader

    def now(self) -> datetime:
        """Now; aware, UTC."""
        return self.front.clock()


PARTS: Final = web.AppKey("parts", Parts)


def make_parts(front: FrontEnd, metrics: HttpMetrics) -> Parts:
    """Compose what the handlers share. Nothing runs yet."""

    async def database_up() -> bool:
        return await front.reader.run(_select_one)

    async def engine_view() -> EngineView:
        view = await ask(front.supervisor, DescribeEngine(), timeout_s=ENGINE_WAIT_S)
        if not isinstance(view, EngineView):
            raise TypeError(f"the supervisor described itself as {type(view).__name__}")
        return view

    async def migrations_pending() -> tuple[str, ...]:
        return await front.migrations_pending()

    async def in_flight() -> list[MoneyFigures]:
        return await front.reader.run(in_flight_figures)

    auth, providers = front.settings.auth, front.settings.providers
    secrets = LiveSecrets(front.settings)
    apart = front.reader.apart(connections_max=APART_MAX, wait_s=APART_WAIT_S)
    watching = front.reader.apart(connections_max=APART_MAX, wait_s=APART_WAIT_S)
    sessions = Sessions(
        settings=auth,
        secrets=secrets,
        reader=apart,
        clock=front.clock,
        secure=front.settings.env is not Environment.DEV,
    )
    client_limit = ClientLimit(front.settings.http.client_requests_per_s, clock=time.monotonic)
    return Parts(
        front=front,
        engine=Engine(front.supervisor, timeout_s=front.settings.http.ask_timeout_s),
        gatekeeper=Gatekeeper(
            settings=auth,
            secrets=secrets,
            reader=front.reader,
            clock=front.clock,
            sessions=sessions,
            client_limit=client_limit,
            operators=apart,
        ),
        sessions=sessions,
        client_limit=client_limit,
        login_limit=LoginLimit(clock=time.monotonic),
        cursors=Cursors(lambda: secrets.jwt),
        metrics=metrics,
        intake=Intake(front.settings.http.new_payouts_open_max, metrics.turned_away),
        secrets=secrets,
        candidates=_candidates(front),
        known=frozenset(providers),
        enabled=frozenset(name for name, one in providers.items() if one.enabled and name in front.adapters),
        database_up=SharedCheck("database", database_up, wait_s=DATABASE_WAIT_S, fresh_s=FRESH_S),
        engine_view=SharedCheck("engine", engine_view, wait_s=ENGINE_WAIT_S, fresh_s=FRESH_S),
        in_flight=SharedCheck("in_flight", in_flight, wait_s=IN_FLIGHT_WAIT_S, fresh_s=IN_FLIGHT_FRESH_S),
        migrations_pending=SharedCheck(
            "migrations", migrations_pending, wait_s=DATABASE_WAIT_S, fresh_s=MIGRATIONS_FRESH_S
        ),
        apart=apart,
        watching=watching,
        watch=Watch(
            registry=front.registry,
            providers=tuple(front.settings.providers),
            reader=watching,
            clock=front.clock,
        ),
    )


def parts_of(request: web.Request) -> Parts:
    """The application's parts, for a handler."""
    return request.app[PARTS]


def request_id_of(request: web.Request) -> str:
    """The id of this request, which the outermost middleware gave it."""
    return request[REQUEST_ID]


def note(**fields: object) -> None:
    """Bind fields to this request's log lines."""
    structlog.contextvars.bind_contextvars(**fields)


def _candidates(front: FrontEnd) -> Mapping[str, Candidate]:
    """Who takes new payouts. Without an adapter nothing could ever be sent."""

    def standing(name: str, enabled: bool) -> Standing:
        if not enabled:
            return Standing.DISABLED
        return Standing.OPEN if name in front.adapters else Standing.NOT_READY

    providers = front.settings.providers
    return {
        name: Candidate(reach=one.reach, standing=standing(name, one.enabled))
        for name, one in providers.items()
    }


def _select_one(database: peewee.Database) -> bool:
    return bool(database.execute_sql("SELECT 1").fetchone() == (1,))
