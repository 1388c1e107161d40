"""What the previous release does with the database, done by its own frozen code: `smoke.py DATABASE_URL`.

Runs in a process of its own, with `frozen` first on the path. It speaks that release's interface, so no checker of
today's code looks at it. Prints one line of JSON; any exception is a failure.
"""

import json
import sys
import uuid
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import nepxy
from nepxy.engine.decide import Discrepancy, Evidence
from nepxy.engine.payout import Payout, ProviderRef, Status, SubmissionRef, TransactionId, shard_of
from nepxy.engine.references import submission_ref
from nepxy.storage import controls, leases, payouts, webhooks
from nepxy.storage.database import connect_writer
from nepxy.storage.journal import find_landed, write_batch
from nepxy.storage.migrate import migration_status
from nepxy.storage.writes import (
    Created,
    CreatePayout,
    Intent,
    IntentDenied,
    KeepWebhook,
    KeyKnown,
    Lease,
    MeetWebhook,
    Met,
    Moved,
    MovePayout,
    Noted,
    NoteOnPayout,
    Parked,
    PostponePayout,
    Stale,
    WebhookRow,
)

NODE = "previous-release"
NOW = datetime.now(timezone.utc).replace(microsecond=0)
SAID = Evidence(source="submit", call="POST /cashout", answer="202", rule="ACCEPTED")


def a_payout(installation_id, key):
    return Payout(
        transaction_id=TransactionId(f"01936000-0000-7000-8000-{uuid.uuid4().hex[:12]}"),
        client_id="acme",
        idempotency_key=key,
        provider="TMONEY",
        amount=1000,
        currency="XOF",
        phone_e164="+22890123456",
        country="TG",
        external_ref=f"order-{key}",
        submission_ref=submission_ref(
            installation_id=installation_id, client_id="acme", idempotency_key=key, generation=0
        ),
        next_retry_at=NOW,
        expires_at=NOW + timedelta(hours=72),
        created_at=NOW,
    )


def a_create(payout, request_hash="hash"):
    return CreatePayout(
        payout=payout,
        write_id=str(uuid.uuid4()),
        request_id="req-1",
        request_hash=request_hash,
        request_body="{}",
        response_status=202,
        response_body='{"status":"PENDING"}',
    )


def a_move(before, to, why, **changes):
    extra = {name: changes.pop(name) for name in ("intent", "webhook", "discrepancy") if name in changes}
    return MovePayout(
        before=before,
        after=before.moved(to, why, **changes),
        evidence=SAID,
        write_id=str(uuid.uuid4()),
        request_id=None,
        who="engine",
        **extra,
    )


def a_webhook(**changes):
    row = WebhookRow(
        webhook_id=f"01936000-0000-7000-9000-{uuid.uuid4().hex[:12]}",
        provider="TMONEY",
        signature_valid=True,
        signed_with="current",
        provider_ref=None,
        our_ref=None,
        external_ref=None,
        status_word="SUCCESS",
        headers="{}",
        body="{}",
        body_sha256="00" * 32,
        request_id="req-2",
    )
    return replace(row, **changes)


class Smoke:
    def __init__(self, url):
        self.database = connect_writer(url, statement_timeout_s=10, connect_timeout_s=10)
        self.installation_id = leases.installation_id(self.database)
        held = leases.acquire_or_renew(self.database, node_id=NODE, host="here", app_version="0", ttl_s=600)
        self.epochs = held.epochs
        assert len(self.epochs) == 256

    def one(self, write):
        (answer,) = write_batch(self.database, [write])
        return answer

    def moved(self, write):
        answer = self.one(write)
        assert isinstance(answer, Moved), answer
        return answer.payout

    def intent_on(self, payout):
        lease = Lease(owner=NODE, epoch=self.epochs[shard_of(payout.transaction_id)])
        return a_move(
            payout,
            Status.SENT,
            "ATTEMPT_STARTED",
            attempt_count=payout.attempt_count + 1,
            last_attempt_at=NOW,
            account="sandbox",
            intent=Intent(lease=lease, send_window_s=5, answer_window_s=60),
        )

    def takes_and_replays(self):
        payout = a_payout(self.installation_id, "key-1")
        assert isinstance(self.one(a_create(payout)), Created)
        again = replace(payout, transaction_id=TransactionId(str(uuid.uuid4())))
        assert isinstance(self.one(a_create(again, "other hash")), KeyKnown)
        assert payouts.load_payout(self.database, payout.transaction_id) == payout
        return payout

    def sends_and_settles(self, payout):
        sent = self.moved(self.intent_on(payout))
        assert isinstance(self.one(self.intent_on(payout)), Stale)
        accepted = self.moved(
            a_move(sent, Status.SENT, "ACCEPTED_BY_PROVIDER", provider_ref=ProviderRef("T-1"), next_retry_at=NOW)
        )
        assert isinstance(self.one(PostponePayout(
            transaction_id=payout.transaction_id, version=accepted.version, until=NOW)), Noted)
        due = payouts.due_payouts(
            self.database, until=NOW + timedelta(hours=1), shards=list(range(256)), after=None, limit=10
        )
        assert [one.transaction_id for one in due] == [payout.transaction_id]
        webhook = a_webhook(provider_ref="T-1")
        assert isinstance(self.one(MeetWebhook(webhook=webhook)), Met)
        write = a_move(
            accepted, Status.CONFIRMED, "SUCCESS", settled_at=NOW, next_retry_at=None, in_doubt_since=None, webhook=webhook
        )
        confirmed = self.moved(write)
        assert 0 in find_landed(self.database, [write])
        note = NoteOnPayout(
            payout=confirmed,
            evidence=SAID,
            discrepancy=Discrepancy(kind="REVERSED", detail="taken back"),
            webhook=a_webhook(provider_ref="T-1"),
            webhook_reason="ALREADY_CONFIRMED",
        )
        assert isinstance(self.one(note), Noted)

    def doubts_and_reviews(self):
        payout = a_payout(self.installation_id, "key-2")
        self.one(a_create(payout))
        sent = self.moved(self.intent_on(payout))
        doubtful = self.moved(a_move(sent, Status.SENT, "IN_DOUBT", in_doubt_since=NOW))
        review = self.moved(a_move(doubtful, Status.REVIEW, "UNRESOLVED", retryable=False))
        assert review.in_doubt_since == NOW

    def parks_and_joins(self):
        payout = a_payout(self.installation_id, "key-3")
        self.one(a_create(payout))
        sent = self.moved(self.intent_on(payout))
        webhook = a_webhook(provider_ref="T-3")
        assert isinstance(self.one(MeetWebhook(webhook=webhook)), Parked)
        answer = self.one(
            a_move(sent, Status.SENT, "ACCEPTED_BY_PROVIDER", provider_ref=ProviderRef("T-3"), next_retry_at=NOW)
        )
        assert answer.parked_webhooks == (webhook.webhook_id,), answer
        assert [one.webhook.webhook_id for one in webhooks.joinable_webhooks(self.database, limit=5)] == [
            webhook.webhook_id
        ]
        assert isinstance(self.one(KeepWebhook(webhook=a_webhook(signature_valid=False), reason="BAD_SIGNATURE")), Noted)

    def obeys_controls(self):
        payout = a_payout(self.installation_id, "key-4")
        self.one(a_create(payout))
        controls.set_paused(self.database, "TMONEY", paused=True, reason="audit", who="operator:ama")
        assert controls.paused_providers(self.database) == {"TMONEY": "audit"}
        assert self.one(self.intent_on(payout)) == IntentDenied(reason="PAUSED")
        controls.set_paused(self.database, "TMONEY", paused=False, reason="", who="operator:ama")
        self.moved(self.intent_on(payout))
        leases.release(self.database, node_id=NODE)

    def counts(self):
        tables = ("payout_events", "payout_attempts", "webhook_events", "discrepancies", "audit_log")
        counted = ", ".join(f"(SELECT count(*) FROM app.{table})" for table in tables)
        return dict(zip(tables, self.database.execute_sql(f"SELECT {counted}").fetchone()))


def main(url):
    status = migration_status(url)
    smoke = Smoke(url)
    smoke.sends_and_settles(smoke.takes_and_replays())
    smoke.doubts_and_reviews()
    smoke.parks_and_joins()
    smoke.obeys_controls()
    print(
        json.dumps(
            {
                "code": nepxy.__file__,
                "may_serve": status.is_current,
                "unknown": len(status.unknown),
                "rows": smoke.counts(),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
