"""Front ends: one on paper, for what needs no database, and one on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from nepxy.engine.runtime import LoopActorRef, stop_and_wait
from nepxy.http.app import create_app
from nepxy.http.front import FrontEnd
from nepxy.storage.database import Reader
from nepxy.storage.people import OperatorRecord, save_client, save_operator
from tests.http.steering import Steered, start_engine, stop_steered
from tests.http.support import Client, Desk, PaperReader, StandIn, a_client, a_front, a_runtime


@dataclass
class Paper:
    """A running front end without a database."""

    client: Client
    engine: StandIn
    reader: PaperReader
    front: FrontEnd

    def metric(self, name: str, **labels: str) -> float:
        return self.front.registry.get_sample_value(name, labels) or 0.0


StartPaper = Callable[..., Awaitable[Paper]]


@pytest.fixture
async def start_paper() -> AsyncIterator[StartPaper]:
    """Starts front ends on paper; keyword arguments are fields of `FrontEnd`, `environ` is settings."""
    clients: list[Client] = []
    refs: list[LoopActorRef[Any]] = []

    async def start(environ: dict[str, str] | None = None, **changes: Any) -> Paper:
        reader = PaperReader(
            a_client(),
            a_client("switched-off", disabled=True),
            OperatorRecord(operator_id="root", name="Root", scopes=("admin",), disabled=False),
        )
        ref: LoopActorRef[Any] = StandIn.start(runtime=a_runtime())
        refs.append(ref)
        front = replace(a_front(ref, reader, environ), **changes)
        client: Client = TestClient(TestServer(create_app(front)))
        await client.start_server()
        clients.append(client)
        return Paper(client=client, engine=ref._living_actor(), reader=reader, front=front)

    yield start
    for client in clients:
        await client.close()
    for ref in refs:
        await stop_and_wait(ref, timeout_s=5)


@pytest.fixture
async def paper(start_paper: StartPaper) -> Paper:
    return await start_paper()


@dataclass
class Served:
    """A running front end on a database, with a desk that writes to it."""

    client: Client
    engine: StandIn
    desk: Desk
    front: FrontEnd

    def metric(self, name: str, **labels: str) -> float:
        return self.front.registry.get_sample_value(name, labels) or 0.0


StartServed = Callable[..., Awaitable[Served]]


@pytest.fixture
async def start_served(database_url: str) -> AsyncIterator[StartServed]:
    """Starts a front end on the database; `environ` is settings."""
    started: list[Callable[[], Awaitable[None]]] = []

    async def start(environ: dict[str, str] | None = None) -> Served:
        served, stop = await _served(database_url, environ)
        started.append(stop)
        return served

    yield start
    for stop in started:
        await stop()


@pytest.fixture
async def served(start_served: StartServed) -> Served:
    return await start_served()


async def _served(
    database_url: str, environ: dict[str, str] | None
) -> tuple[Served, Callable[[], Awaitable[None]]]:
    reader = Reader(database_url, connections_max=4, statement_timeout_s=10, connect_timeout_s=5)
    desk = Desk(database_url)
    reader.run_here(save_client, client_id="acme", name="Acme", secret="acme's secret")
    reader.run_here(
        save_client, client_id="loose", name="Loose", secret="loose's secret", external_ref_unique=False
    )
    reader.run_here(save_operator, operator_id="root", name="Root", secret="root's secret")
    ref: LoopActorRef[Any] = StandIn.start(runtime=a_runtime(), answer=desk)
    front = a_front(ref, reader, environ)
    client: Client = TestClient(TestServer(create_app(front)))
    await client.start_server()

    async def stop() -> None:
        await client.close()
        await stop_and_wait(ref, timeout_s=5)
        reader.close()
        desk.database.close()

    return Served(client=client, engine=ref._living_actor(), desk=desk, front=front), stop


StartSteered = Callable[..., Awaitable[Steered]]


@pytest.fixture
async def start_steered(database_url: str) -> AsyncIterator[StartSteered]:
    """Starts front ends over a real engine; the argument is settings."""
    started: list[Steered] = []

    async def start(environ: dict[str, str] | None = None) -> Steered:
        started.append(await start_engine(database_url, environ))
        return started[-1]

    yield start
    for one in started:
        await stop_steered(one)


@pytest.fixture
async def steered(start_steered: StartSteered) -> Steered:
    return await start_steered()
