"""The database refuses, hangs or breaks off in the middle of a commit, under a running engine.

Each time: a request gets a 503 that can be repeated with its key, the provider is called only after a committed intent,
and work resumes by itself.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import aiohttp
import psycopg2
import pytest

from tests.conftest import OUTSIDE_URL
from tests.journey.harness import Client, Town, a_body
from tests.postgres_server import PostgresServer

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(OUTSIDE_URL is not None, reason="needs a server's socket, and roles of its own"),
]

ROLE = "nepxy_faults"


def run_sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run them in one transaction; the last one's rows."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


async def sandbox(client: Client, path: str) -> Any:
    async with client.session.get(f"{client.town.sandbox_base}/_sandbox/{path}") as answer:
        return await answer.json()


async def assert_each_call_had_its_intent(client: Client, url: str) -> None:
    """What the sandbox was asked for, against what was committed before."""
    intents = dict(run_sql(url, "SELECT submission_ref::text, submit_count FROM app.payout_attempts"))
    for reference, account in (await sandbox(client, "accounts")).items():
        assert account["submit_count"] <= intents.get(reference, 0), reference
    assert (await sandbox(client, "summary"))["references_paid_more_than_once"] == 0


async def taken(client: Client, key: str, body: dict[str, Any]) -> str:
    """Post with the same key until it is taken; in between, nothing but 503."""
    async with asyncio.timeout(60):
        while True:
            status, content, headers = await client.post(key, body)
            if status == 202:
                return str(json.loads(content)["transaction_id"])
            assert status == 503, content
            assert int(headers["Retry-After"]) > 0
            await asyncio.sleep(0.1)


# ---- faults that the database reports ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def faulty_url(postgres: PostgresServer) -> Iterator[str]:
    """A database whose every write of a payout raises what `app.fault` holds; empty: nothing."""
    with postgres.fresh_database() as url:
        run_sql(
            url,
            "CREATE TABLE app.fault (code text)",
            """
            CREATE FUNCTION app.raise_fault() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE wanted text := (SELECT code FROM app.fault);
            BEGIN
                IF wanted IS NOT NULL THEN
                    RAISE EXCEPTION 'a fault of the test' USING ERRCODE = wanted;
                END IF;
                RETURN NULL;
            END $$
            """,
            "CREATE TRIGGER fault BEFORE INSERT ON app.mobile_money_payouts"
            " FOR EACH STATEMENT EXECUTE FUNCTION app.raise_fault()",
            # Member of the owner, so that it may do all; no superuser, so that a connection limit binds it.
            f"DROP ROLE IF EXISTS {ROLE}",
            f"CREATE ROLE {ROLE} LOGIN IN ROLE CURRENT_USER",
        )
        try:
            yield url
        finally:
            run_sql(
                url,
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'",
                f"DROP ROLE {ROLE}",
            )


@pytest.fixture(scope="module")
def faulty_town(faulty_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    parts = urlsplit(faulty_url)
    place = parts.netloc.rpartition("@")[2]
    town = Town(
        database_url=urlunsplit(parts._replace(netloc=f"{ROLE}@{place}")),
        folder=tmp_path_factory.mktemp("faulty"),
        overrides={"NEPXY_STATEMENT_TIMEOUT_S": "1", "NEPXY_ASK_TIMEOUT_S": "2"},
    )
    try:
        town.start_sandbox()
        town.start_engine()
        yield town
    finally:
        town.stop()


@pytest.fixture
async def faulty(faulty_town: Town) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        await faulty_town.until_ready(session)
        yield Client(session, faulty_town)


@contextmanager
def raising(url: str, code: str) -> Iterator[None]:
    run_sql(url, f"INSERT INTO app.fault VALUES ('{code}')")
    try:
        yield
    finally:
        run_sql(url, "DELETE FROM app.fault")


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody's ALTER TABLE that goes on and on: every write runs into the statement's time-out."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE app.payout_events IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def no_connections(url: str) -> Iterator[None]:
    """Too many connections, for whoever wants a new one; and there are no old ones."""
    run_sql(url, f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    run_sql(url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")
    try:
        yield
    finally:
        run_sql(url, f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


FAULTS: dict[str, Callable[[str], AbstractContextManager[None]]] = {
    "serialization-failure": lambda url: raising(url, "40001"),
    "deadlock": lambda url: raising(url, "40P01"),
    "disk-full": lambda url: raising(url, "53100"),
    "statement-time-out": locked,
    "too-many-connections": no_connections,
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_a_503_and_work_resumes_by_itself_when_it_ends(
    faulty: Client, faulty_url: str, name: str
) -> None:
    start = 100 * (1 + list(FAULTS).index(name))
    # One whose answer comes in 3 s, into the fault; its webhook, too, meets a database that takes nothing.
    slow_id = await taken(faulty, f"{name}-slow", a_body(start, suffix="0201"))
    slow = await faulty.until(slow_id, "SENT", "CONFIRMED")
    async with asyncio.timeout(20):
        while slow["submission_ref"] not in await sandbox(faulty, "accounts"):
            await asyncio.sleep(0.05)
    called_before = (await sandbox(faulty, "summary"))["submits_received"]

    with FAULTS[name](faulty_url):
        posts = [faulty.post(f"{name}-{n}", a_body(start + n)) for n in range(1, 6)]
        for status, content, headers in await asyncio.gather(*posts):
            assert status == 503, content
            assert json.loads(content)["code"] in ("DATABASE_UNAVAILABLE", "ENGINE_TIMEOUT", "NODE_STANDBY")
            assert int(headers["Retry-After"]) > 0
        assert (await sandbox(faulty, "summary"))["submits_received"] == called_before
        async with faulty.session.get(f"{faulty.town.base}/healthz") as health:
            assert health.status == 200

    ids = [await taken(faulty, f"{name}-{n}", a_body(start + n)) for n in range(1, 6)]
    assert len(set(ids)) == 5
    for transaction_id in (slow_id, *ids):
        assert (await faulty.until(transaction_id, "CONFIRMED"))["attempt_count"] == 1
    await assert_each_call_had_its_intent(faulty, faulty_url)
    assert "actor.failed" not in faulty.town.log_text()


# ---- a connection that is cut in the middle of a commit ---------------------------------------------------


CHUNK_BYTES = 1 << 16
READY_FOR_QUERY = b"Z\x00\x00\x00\x05"


class Cutter:
    """Stands between the engine and PostgreSQL's socket; cuts the connection once, at the statement it was told."""

    def __init__(self, target: str, folder: Path) -> None:
        self._target = target
        self.folder = folder
        self._marker = b""
        self._landed = False
        self._cut = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut_at(self, marker: str, *, landed: bool) -> None:
        """At the next statement that holds the marker; `landed`: the server runs it, and its answer is lost."""
        self._cut.clear()
        self._landed, self._marker = landed, marker.encode()

    async def until_cut(self) -> None:
        assert await asyncio.to_thread(self._cut.wait, 30)

    def stop(self) -> None:
        for one in (self._listener, *self._open):
            hang_up(one)
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            self._open |= {client, server}
            muted = threading.Event()
            back = threading.Thread(target=self._pass_back, args=(server, client, muted))
            with suppress(OSError):
                server.connect(self._target)
                back.start()
                self._pass_on(client, server, muted)
            hang_up(server)
            hang_up(client)
            if back.ident is not None:
                back.join()
            self._open -= {client, server}

    def _pass_on(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        while data := client.recv(CHUNK_BYTES):
            if self._marker and self._marker in data:
                self._marker = b""
                if not self._landed:
                    self._cut.set()
                    return
                muted.set()
            server.sendall(data)

    def _pass_back(self, server: socket.socket, client: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(CHUNK_BYTES):
                if not muted.is_set():
                    client.sendall(data)
                elif READY_FOR_QUERY in data:
                    self._cut.set()  # it is committed, and nobody will hear of it
                    break
        hang_up(client)


def hang_up(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def cutter(database_url: str) -> Iterator[Cutter]:
    query = parse_qs(urlsplit(database_url).query)
    folder = Path(tempfile.mkdtemp(prefix="nepxy-cut-"))  # short: the kernel takes about 100 bytes of a path
    made = Cutter(f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}", folder)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def through(url: str, folder: Path) -> str:
    query = urlencode({"host": str(folder), "port": "5432"})
    return urlunsplit(urlsplit(url)._replace(query=query))


MOMENTS: dict[str, Callable[[str], str]] = {
    "the payout's own commit": lambda key: f'"idempotency_key":"{key}"',
    "the intent's commit": lambda key: '"is_intent":true',
    "the answer's commit": lambda key: '"gains_ref":true',
}


@pytest.mark.parametrize("landed", [True, False], ids=["landed", "not landed"])
async def test_a_commit_whose_outcome_is_unknown_is_resolved_and_never_assumed(
    cutter: Cutter, database_url: str, tmp_path: Path, landed: bool
) -> None:
    town = Town(
        database_url=through(database_url, cutter.folder),
        folder=tmp_path,
        overrides={"NEPXY_ASK_TIMEOUT_S": "5"},
    )
    try:
        async with aiohttp.ClientSession() as session:
            town.start_sandbox()
            town.start_engine()
            await town.until_ready(session)
            client = Client(session, town)
            for number, (moment, marker) in enumerate(MOMENTS.items(), start=1):
                cutter.cut_at(marker(f"cut-{number}"), landed=landed)
                # Polled, not told by a webhook: so that the cut commit is the only way to the reference.
                posting = asyncio.create_task(taken(client, f"cut-{number}", a_body(number, suffix="0503")))
                await cutter.until_cut()
                transaction_id = await posting
                payout = await client.until(transaction_id, "CONFIRMED")
                assert payout["attempt_count"] == 1, moment
                events = (await client.get(f"/v1/payouts/{transaction_id}/events"))["items"]
                assert [event["to_status"] for event in events] == ["PENDING", "SENT", "SENT", "CONFIRMED"], (
                    moment
                )
            counts = run_sql(
                database_url, "SELECT count(*), sum(attempt_count) FROM app.mobile_money_payouts"
            )
            assert counts == [(3, 3)]
            accounts = await sandbox(client, "accounts")
            assert [account["submit_count"] for account in accounts.values()] == [1, 1, 1]
            await assert_each_call_had_its_intent(client, database_url)
    finally:
        town.stop()
