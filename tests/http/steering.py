"""A front end over a real engine and a real PostgreSQL, for operators: payouts are put into any state by their row."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import uuid4

import uuid_utils
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from nepxy.actors.context import EngineParts, Ownership
from nepxy.actors.journal import Journal
from nepxy.actors.journal_writer import JournalWriter
from nepxy.actors.messages import DescribeEngine, EngineView
from nepxy.actors.metrics import EngineMetrics
from nepxy.actors.reconciliation import ReconciliationSetup
from nepxy.actors.supervisor import ProviderSetup, Supervisor, SupervisorLimits
from nepxy.engine.payout import Payout, Status, TransactionId
from nepxy.engine.references import submission_ref
from nepxy.engine.runtime import LoopActorRef, LoopScheduler, Runtime, ask, stop_and_wait
from nepxy.http.app import create_app
from nepxy.http.front import FrontEnd
from nepxy.storage.database import Reader, connect_writer
from nepxy.storage.payouts import first_id_of
from nepxy.storage.people import save_operator
from nepxy.storage.store import DatabaseStore
from nepxy.storage.writes import CreatePayout
from tests.http.support import PHONE, Client, Desk, a_front, bearer

INSTALLATION = "00000000-0000-4000-8000-000000000000"
OPERATORS = {"ann": ("admin",), "bea": ("admin",), "viv": ("admin:read",), "wim": ("admin:write",)}


@dataclass
class Steered:
    """A running front end with its engine."""

    client: Client
    desk: Desk
    front: FrontEnd
    supervisor: LoopActorRef[Supervisor]
    _stops: list[Any] = field(default_factory=list)

    async def post(self, path: str, body: dict[str, Any], *, who: str = "ann") -> ClientResponse:
        return await self.client.post(path, json=body, headers=bearer(who, "admin"))

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        response = await self.client.get(path, params=query, headers=bearer("ann", "admin"))
        assert response.status == 200, await response.text()
        found: dict[str, Any] = await response.json()
        return found

    async def command(
        self, payout: Payout, command: str, *, who: str = "ann", **fields: Any
    ) -> tuple[int, dict[str, Any]]:
        body = {"target": f"payouts/{payout.transaction_id}", "command": command, "reason": "it is a test"}
        response = await self.post("/v1/admin/control", body | fields, who=who)
        return response.status, await response.json()

    async def row(self, payout: Payout) -> dict[str, Any]:
        return await self.get(f"/v1/admin/mobile-money/payouts/{payout.transaction_id}")

    def audit(self) -> list[tuple[Any, ...]]:
        """Who, command, outcome and approver of every row that operators left, oldest first."""
        return self.desk.rows(
            "SELECT who, command, outcome, approved_by FROM app.audit_log WHERE who <> 'engine' ORDER BY audit_id"
        )

    def a_payout(
        self, status: Status = Status.PENDING, *, reason: str | None = None, **changes: Any
    ) -> Payout:
        """A payout of TMONEY in the database, in this state, and not due for an hour."""
        pending = a_pending(**{k: v for k, v in changes.items() if k in _OF_THE_REQUEST})
        if "created_at" in changes:
            # An id tells the time at which it was made.
            made_at = first_id_of(changes["created_at"], early_s=0)[:14]
            pending = replace(pending, transaction_id=TransactionId(made_at + pending.transaction_id[14:]))
        self.desk.create(
            CreatePayout(
                payout=pending,
                write_id=str(uuid4()),
                request_id="req-of-the-client",
                request_hash="hash",
                request_body='{"amount":1000}',
                response_status=202,
                response_body="{}",
            )
        )
        if status is Status.PENDING and not changes and reason is None:
            return pending
        after = replace(pending, version=2, **(self._in_state(status, reason) | changes))
        after.check()
        self.desk.move(pending, after)
        if after.account is not None:
            self.attempt(after)
        return after

    def attempt(self, payout: Payout, **changes: Any) -> None:
        """The row of its current attempt."""
        self.desk.database.execute_sql(
            "INSERT INTO app.payout_attempts (submission_ref, transaction_id, generation, provider, account, send_by, "
            "answer_by, in_doubt_since) VALUES (%s, %s, %s, %s, %s, now(), %s, %s) ON CONFLICT DO NOTHING",
            (
                payout.submission_ref,
                payout.transaction_id,
                payout.generation,
                payout.provider,
                payout.account,
                payout.answer_by,
                changes.get("in_doubt_since", payout.in_doubt_since),
            ),
        )

    def _in_state(self, status: Status, reason: str | None) -> dict[str, Any]:
        now = datetime.now(UTC)
        tried = status not in (Status.PENDING, Status.CANCELLED)
        account = self.front.policies["TMONEY"].account
        return {
            "status": status,
            "status_reason": reason or _REASONS[status],
            "attempt_count": 1 if tried else 0,
            "last_attempt_at": now - timedelta(minutes=5) if tried else None,
            "answer_by": now - timedelta(minutes=4) if tried else None,
            "account": account if tried else None,
            "next_retry_at": None if status.is_final else now + timedelta(hours=1),
            "in_doubt_since": now - timedelta(minutes=4) if status in (Status.SENT, Status.REVIEW) else None,
            "settled_at": now if status.is_final else None,
            "retryable": status in (Status.PENDING, Status.SENT),
        }


_OF_THE_REQUEST = {"client_id", "amount", "phone_e164", "external_ref", "provider", "created_at"}
_REASONS = {
    Status.PENDING: "ACCEPTED",
    Status.SENT: "IN_DOUBT",
    Status.REVIEW: "UNRESOLVED",
    Status.CONFIRMED: "SUCCESS",
    Status.FAILED: "PAYEE_NOT_ELIGIBLE",
    Status.CANCELLED: "CANCELLED_BY_CLIENT",
}


def a_pending(**changes: Any) -> Payout:
    now = datetime.now(UTC)
    client_id, key = changes.get("client_id", "acme"), uuid4().hex
    base = Payout(
        transaction_id=TransactionId(str(uuid_utils.uuid7())),
        client_id=client_id,
        idempotency_key=key,
        provider="TMONEY",
        amount=1000,
        currency="XOF",
        phone_e164=PHONE,
        country="TG",
        external_ref=f"order-{key[:8]}",
        submission_ref=submission_ref(
            installation_id=INSTALLATION, client_id=client_id, idempotency_key=key, generation=0
        ),
        next_retry_at=now + timedelta(hours=1),
        expires_at=now + timedelta(hours=72),
        created_at=now,
    )
    return replace(base, **changes)


async def start_engine(url: str, environ: dict[str, str] | None = None, *, name: str = "node-a") -> Steered:
    """Start it; end it with `stop_steered`."""
    reader = Reader(url, connections_max=6, statement_timeout_s=10, connect_timeout_s=5)
    lease_reader = Reader(url, connections_max=1, statement_timeout_s=10, connect_timeout_s=5)
    for operator_id, scopes in OPERATORS.items():
        reader.run_here(
            save_operator, operator_id=operator_id, name=operator_id, secret=f"{operator_id}'s", scopes=scopes
        )
    ref: Any = None
    front = a_front(ref, reader, environ)
    writers: list[Any] = []

    def make_writers(tell_journal: Any) -> list[Any]:
        database = connect_writer(url, statement_timeout_s=10, connect_timeout_s=5)
        writers.append(JournalWriter.start(database=database, tell_journal=tell_journal, giving_up=Event()))
        return writers

    metrics = EngineMetrics(front.registry, front.settings.providers)
    runtime = Runtime(scheduler=LoopScheduler(), observer=metrics)
    journal = Journal.start(
        make_writers=make_writers,
        metrics=metrics,
        watcher=lambda message: None,
        escalate=lambda reason: None,
        runtime=runtime,
    )
    store = DatabaseStore(
        reader=reader, lease_reader=lease_reader, node_id=name, host="here", app_version="test", lease_ttl_s=5
    )
    parts = EngineParts(
        store=store,
        journal=journal,
        ownership=Ownership(node_id=name),
        metrics=metrics,
        moves=front.moves,
        new_id=lambda: str(uuid4()),
        dice=random.Random(1),
    )
    setups = {
        provider: ProviderSetup(
            name=provider,
            adapter=front.adapters.get(provider),  # type: ignore[arg-type]  # whole adapters, seen through a protocol
            policy=front.policies[provider],
            enabled=True,
            concurrency_max=4,
            requests_per_s=0,
        )
        for provider in front.adapters
    }
    supervisor = Supervisor.start(
        parts=parts,
        setups=setups,
        limits=SupervisorLimits(lease_ttl_s=5),
        escalate=lambda reason: None,
        bulk=store,
        reconciliation=ReconciliationSetup(
            reader=reader,
            every_h=front.settings.reconcile.every_h,
            count_max=front.settings.reconcile.count_max,
            check_s=0.2,
            wait_s=2.0,
        ),
        runtime=runtime,
    )
    front = replace(front, supervisor=supervisor)
    client: Client = TestClient(TestServer(create_app(front)))
    await client.start_server()
    steered = Steered(client=client, desk=Desk(url), front=front, supervisor=supervisor)
    steered._stops = [client, supervisor, journal, *writers, reader, lease_reader]
    await _running(supervisor)
    return steered


async def _running(supervisor: LoopActorRef[Supervisor]) -> None:
    """Its shards are its own: commands are taken. Each look waits for the supervisor's turn, and gives the loop one."""
    async with asyncio.timeout(20):
        while True:
            view = await ask(supervisor, DescribeEngine(), timeout_s=5)
            assert isinstance(view, EngineView)
            if view.shards_held:
                return
            await asyncio.sleep(0.01)


async def stop_steered(steered: Steered) -> None:
    client, supervisor, journal, writer, reader, lease_reader = steered._stops
    await client.close()
    for actor in (supervisor, journal, writer):
        await stop_and_wait(actor, timeout_s=10)
    for adapter in steered.front.adapters.values():
        await adapter.close()  # type: ignore[attr-defined]
    reader.close()
    lease_reader.close()
    steered.desk.database.close()
