"""A front end to test: settings, tokens, and stand-ins for the engine that answer as told or write for real."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import uuid_utils
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from prometheus_client import CollectorRegistry

from nepxy.actors.messages import (
    AcceptPayout,
    CancelPayout,
    DescribeEngine,
    EngineState,
    EngineView,
    LookForReplay,
    PayoutAnswer,
    WebhookAnswer,
    WebhookArrived,
    WebhookRefused,
)
from nepxy.actors.replies import reply
from nepxy.config.secret import Secret
from nepxy.config.settings import Settings
from nepxy.engine.capabilities import Capabilities
from nepxy.engine.decide import Evidence, Policy, decide
from nepxy.engine.events import CancelRequested
from nepxy.engine.payout import Payout
from nepxy.engine.retry import RetryPolicy
from nepxy.engine.runtime import LoopActor, LoopActorRef, LoopScheduler, Runtime
from nepxy.errors import Unavailable
from nepxy.http.auth import Registered, find_registered
from nepxy.http.front import FrontEnd
from nepxy.http.new_payout import find_key
from nepxy.http.tokens import issue_token
from nepxy.providers.registry import build_adapters
from nepxy.providers.signatures import signed_with
from nepxy.storage.database import Reader, connect_writer
from nepxy.storage.journal import write_batch
from nepxy.storage.payouts import client_payout
from nepxy.storage.people import ClientRecord, OperatorRecord
from nepxy.storage.webhook_replays import applied_before
from nepxy.storage.writes import (
    Created,
    CreatePayout,
    KeepWebhook,
    LookAgain,
    MeetWebhook,
    MovePayout,
    Write,
)

Client = TestClient[web.Request, web.Application]

JWT_SECRET = "the-secret-of-tests-that-is-long-enough"
WEBHOOK_SECRET = "tmoney-webhook-secret"
PHONE = "+22890123456"
ENVIRON = {
    "JWT_SECRET": JWT_SECRET,
    "JWT_SECRET_PREVIOUS": "the-previous-secret-that-is-long-enough",
    "TMONEY_SANDBOX_API_KEY": "key",
    "TMONEY_SANDBOX_CASHOUT_URL": "http://127.0.0.1:9/cashout",
    "TMONEY_SANDBOX_STATUS_URL_TEMPLATE": "http://127.0.0.1:9/status/{provider_ref}",
    "TMONEY_WEBHOOK_SECRET": WEBHOOK_SECRET,
    "APP_VERSION": "1.2.3",
    "GIT_SHA": "abc123",
}
RUNNING = EngineView(
    state=EngineState.RUNNING,
    shards_held=256,
    other_owner=None,
    payouts_in_memory=3,
    recovery_started=True,
    recovered_count=7,
    recovery_done=True,
    journal_ok=True,
    journal_depth=0,
)

Answer = Callable[[Any], Any]
SILENCE = object()


def created(message: Any) -> Any:
    """The engine on a good day, without a database."""
    match message:
        case AcceptPayout(create=create):
            return Created(payout=create.payout)
        case WebhookArrived():
            return WebhookAnswer(applied=True, reason="", transaction_id=None)
        case WebhookRefused(reason=reason):
            return WebhookAnswer(applied=False, reason=reason)
        case _:
            return TypeError(f"no answer for {type(message).__name__}")


class StandIn(LoopActor):
    """Takes the supervisor's messages and answers each with what `answer` says: a value, an exception, or nothing."""

    def __init__(self, *, answer: Answer = created, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.answer = answer
        self.seen: list[Any] = []
        self.view: EngineView | Exception = RUNNING

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, DescribeEngine):
            if isinstance(self.view, Exception):
                raise self.view
            return self.view
        if isinstance(message, WebhookArrived) and message.unchecked:
            # It remembers nothing: whether a body was applied before is for the database to say.
            reply(message.reply_to, LookForReplay())
            return None
        self.seen.append(message)
        answer = self.answer(message)
        if answer is SILENCE or message.reply_to is None:
            return None
        if isinstance(answer, Exception):
            message.reply_to.fail(answer)
        else:
            message.reply_to.tell(answer)
        return None


class Desk:
    """Answers by writing to the database, one message a batch, as the journal would."""

    def __init__(self, url: str) -> None:
        self.database = connect_writer(url, statement_timeout_s=10, connect_timeout_s=5)

    def __call__(self, message: Any) -> Any:
        match message:
            case AcceptPayout(create=create):
                return self.create(create)
            case CancelPayout():
                return self.cancel(message)
            case WebhookArrived(webhook=webhook):
                self.write(MeetWebhook(webhook=webhook))
                return WebhookAnswer(applied=False, reason="PAYOUT_NOT_FOUND")
            case WebhookRefused(webhook=webhook, reason=reason):
                self.write(KeepWebhook(webhook=webhook, reason=reason))
                return WebhookAnswer(applied=False, reason=reason)
            case _:
                return TypeError(f"no answer for {type(message).__name__}")

    def create(self, create: CreatePayout) -> Any:
        answer: Any = LookAgain()
        while isinstance(answer, LookAgain):
            answer = self.write(create)
        return answer

    def cancel(self, message: CancelPayout) -> PayoutAnswer:
        payout = client_payout(self.database, message.client_id, message.transaction_id)
        assert payout is not None
        policy = Policy(
            capabilities=Capabilities(), retry=RetryPolicy(), account=None, installation_id="test"
        )
        decision = decide(payout, CancelRequested(), now=datetime.now(UTC), policy=policy, jitter=0)
        if decision.payout is not payout:
            self.move(payout, decision.payout, decision.evidence)
        return PayoutAnswer(payout=decision.payout, answer=decision.answer)

    def move(self, before: Payout, after: Payout, evidence: Evidence | None = None) -> None:
        self.write(
            MovePayout(
                before=before,
                after=after,
                evidence=evidence or Evidence(source="test", call="POST /cashout", answer=f"200 {PHONE}"),
                write_id=str(uuid4()),
                request_id=None,
                who="test",
            )
        )

    def write(self, write: Write) -> Any:
        return write_batch(self.database, [write])[0]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self.database.execute_sql(sql).fetchall())


class PaperReader(Reader):
    """A database of a few records and no payouts; `down` makes it go away."""

    def __init__(self, *people: ClientRecord | OperatorRecord) -> None:
        super().__init__(
            "postgresql://127.0.0.1:1/none", connections_max=1, statement_timeout_s=1, connect_timeout_s=1
        )
        self.people = {
            getattr(one, "client_id", "") or getattr(one, "operator_id", ""): one for one in people
        }
        self.down = False
        self.lookups_count = 0

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        if self.down:
            raise Unavailable("DATABASE_UNAVAILABLE", "it is away")
        if function is find_registered:
            self.lookups_count += 1
            found = self.people.get(args[0])
            return Registered(
                client=found if isinstance(found, ClientRecord) else None,
                operator=found if isinstance(found, OperatorRecord) else None,
            )
        if function in (find_key, applied_before):
            return None
        if function.__name__ == "_select_one":
            return True
        raise AssertionError(f"nobody expected {function.__name__}")


def a_client(client_id: str = "acme", **changes: Any) -> ClientRecord:
    record = ClientRecord(
        client_id=client_id,
        name="Acme",
        scopes=("payouts:write", "payouts:read"),
        external_ref_unique=True,
        disabled=False,
    )
    return replace(record, **changes)


def a_front(ref: LoopActorRef[Any], reader: Reader, environ: Mapping[str, str] | None = None) -> FrontEnd:
    settings = Settings.from_environ({**ENVIRON, **(environ or {})})

    async def none_pending() -> tuple[str, ...]:
        return ()

    adapters = build_adapters(settings.providers)
    return FrontEnd(
        settings=settings,
        supervisor=ref,
        reader=reader,
        adapters=adapters,
        policies={
            name: Policy(
                capabilities=adapter.capabilities,
                retry=RetryPolicy(),
                account=adapter.account,
                installation_id="00000000-0000-4000-8000-000000000000",
                second_person=settings.engine.second_person,
            )
            for name, adapter in adapters.items()
        },
        signed_with=signed_with,
        installation_id="00000000-0000-4000-8000-000000000000",
        registry=CollectorRegistry(),
        clock=lambda: datetime.now(UTC),
        new_id=lambda: str(uuid_utils.uuid7()),
        migrations_pending=none_pending,
    )


def a_runtime() -> Runtime:
    return Runtime(scheduler=LoopScheduler())


def a_request(**changes: Any) -> dict[str, Any]:
    """A payout request; a field that is None is left out."""
    request = {
        "amount": 1000,
        "currency": "XOF",
        "phone_e164": PHONE,
        "country": "TG",
        "external_ref": f"order-{uuid4().hex[:8]}",
        **changes,
    }
    return {name: value for name, value in request.items() if value is not None}


def bearer(
    subject: str = "acme", scope: str = "payouts:write payouts:read", **changes: Any
) -> dict[str, str]:
    """The header of a token; `age_s` makes it older."""
    token = issue_token(
        subject=subject,
        scopes=scope.split(),
        secret=Secret(changes.get("secret", JWT_SECRET)),
        now=datetime.now(UTC) - timedelta(seconds=changes.get("age_s", 0)),
        expires_in_s=changes.get("expires_in_s", 600),
    )
    return {"Authorization": f"Bearer {token}"}


def keyed(key: str | None = None, **changes: Any) -> dict[str, str]:
    return {**bearer(**changes), "Idempotency-Key": key or uuid4().hex}


def sign(body: bytes, secret: str = WEBHOOK_SECRET) -> dict[str, str]:
    return {"X-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


async def code_of(response: ClientResponse) -> str:
    """The code of a problem document, which must be a whole one."""
    assert response.content_type == "application/problem+json", await response.text()
    document = await response.json()
    assert document["status"] == response.status
    assert document["request_id"] == response.headers["X-Request-ID"]
    assert document["type"].startswith("urn:nepxy:problem:")
    return str(document["code"])


async def fields_of(response: ClientResponse) -> dict[str, str]:
    """The wrong fields of a problem document, with what is wrong and how to mend it."""
    return {one["name"]: f"{one['problem']}; {one['hint']}" for one in (await response.json())["fields"]}
