"""`nepxy webhooks`, `idempotency`, `discrepancies`, `audit` and the review queue, against a real engine."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Instance, operator
from tests.cli.support import nepxy
from tests.journey.harness import JWT_SECRET, a_body

pytestmark = pytest.mark.timeout(180)
WHY = ("--reason", "trying the command line")
UNKNOWN = "019a0000-0000-7000-8000-000000000000"


def webhook(instance: Instance, document: dict[str, Any], secret: str = "journey-webhook-secret") -> int:
    """What a provider would send; the status that it gets."""
    raw = json.dumps(document).encode()
    signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        f"{instance.town.base}/v1/webhooks/tmoney",
        data=raw,
        headers={"X-Signature": f"sha256={signature}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_webhooks_of_a_payout_are_shown_with_their_bodies_masked(instance: Instance) -> None:
    transaction_id = instance.pay()
    instance.until(transaction_id, "CONFIRMED")
    shown = instance.run("payouts", "webhooks", transaction_id)
    assert (shown.status, shown.err) == (0, "")
    (came,) = instance.run("payouts", "webhooks", transaction_id, "--json").json()["webhooks"]
    one = instance.run("webhooks", "show", came["webhook_id"])
    assert one.status == 0
    assert "X-Signature" in one.out or "x-signature" in one.out.lower()
    assert a_body(instance.made_count)["phone_e164"] not in one.out
    listed = instance.run("webhooks", "list", "--provider", "tmoney", "--signature-valid", "--since", "1h")
    assert came["webhook_id"] in listed.out


def test_a_forged_webhook_is_found_and_cannot_be_replayed(instance: Instance) -> None:
    reference = instance.until(instance.accepted(), "SENT")["provider_ref"]
    assert webhook(instance, {"provider_ref": reference, "status": "SUCCESS"}, secret="forged") == 401
    # Nothing of a forged one is believed, its references neither: it is found by when it came.
    newest = instance.run("webhooks", "list", "--signature-invalid", "--limit", "1", "--json")
    (found,) = newest.json()["webhooks"]
    assert found["state"] == "INVALID"
    refused = instance.run("webhooks", "replay", found["webhook_id"], *WHY)
    assert (refused.status, refused.out) == (2, "")
    assert "WEBHOOK_NOT_REPLAYABLE" in refused.err


def test_a_replayed_webhook_is_decided_by_the_same_rules(instance: Instance) -> None:
    transaction_id = instance.accepted()
    reference = instance.until(transaction_id, "SENT")["provider_ref"]
    assert webhook(instance, {"provider_ref": reference, "status": "SUCCESS"}) == 200
    instance.until(transaction_id, "CONFIRMED")
    (came,) = instance.run("payouts", "webhooks", transaction_id, "--json").json()["webhooks"]
    replayed = instance.run("webhooks", "replay", came["webhook_id"], *WHY)
    assert (replayed.status, replayed.err) == (0, "")
    assert instance.until(transaction_id, "CONFIRMED")["status"] == "CONFIRMED"


@pytest.mark.parametrize("wrong", ["7", UNKNOWN])
def test_a_webhook_that_is_none(instance: Instance, wrong: str) -> None:
    for arguments in (("webhooks", "show", wrong), ("webhooks", "replay", wrong, *WHY)):
        refused = instance.run(*arguments)
        assert refused.status == 2
        assert "WEBHOOK_NOT_FOUND" in refused.err


def test_a_key_says_what_it_stands_for_and_how_a_body_differs(instance: Instance, folder: Path) -> None:
    transaction_id = instance.pay()
    key, body = f"key-{instance.made_count}", a_body(instance.made_count)
    shown = instance.run("idempotency", "show", key)
    assert transaction_id in shown.out
    assert body["phone_e164"] not in shown.out
    assert "no client has used this key" in instance.run("idempotency", "show", "never").out

    compare = ("idempotency", "compare", key, "--client", "acme", "--body")
    same = instance.run(*compare, json.dumps(body))
    assert (same.status, same.err) == (0, "")
    other = body | {"amount": 77_000}
    (folder / "request.json").write_text(json.dumps(other))
    for given, stdin in ((json.dumps(other), ""), ("@request.json", ""), ("-", json.dumps(other))):
        differs = instance.run(*compare, given, "--json", stdin=stdin)
        assert differs.status == 1
        assert [it["field"] for it in differs.json()["differences"]] == ["amount"]
    unknown = instance.run("idempotency", "compare", "never", "--client", "acme", "--body", "{}")
    assert unknown.status == 2
    assert "IDEMPOTENCY_KEY_NOT_FOUND" in unknown.err


def test_a_discrepancy_is_listed_and_closed_once(instance: Instance) -> None:
    transaction_id = instance.pay("0505")  # success, then failure
    instance.until(transaction_id, "CONFIRMED")
    found: list[dict[str, Any]] = []
    while not found:
        found = [
            it
            for it in instance.run("discrepancies", "list", "--json").json()["discrepancies"]
            if it["transaction_id"] == transaction_id
        ]
    number = str(found[0]["discrepancy_id"])
    assert transaction_id in instance.run("discrepancies", "list", "--provider", "TMONEY").out
    closed = instance.run("discrepancies", "close", number, "--reason", "the provider was testing")
    assert (closed.status, closed.err) == (0, "")
    assert transaction_id not in instance.run("discrepancies", "list").out
    assert transaction_id in instance.run("discrepancies", "list", "--all").out
    again = instance.run("discrepancies", "close", number, *WHY)
    assert again.status == 2
    assert "DISCREPANCY_CLOSED" in again.err
    assert "DISCREPANCY_NOT_FOUND" in instance.run("discrepancies", "close", "nine", *WHY).err


def test_the_audit_log_says_who_did_what_and_why(instance: Instance) -> None:
    transaction_id = instance.accepted()
    assert (
        instance.run("payouts", "poll", transaction_id, "--reason", "the client asks", who="kofi").status == 0
    )
    entries = instance.run("audit", "--target", f"payouts/{transaction_id}", "--json").json()["entries"]
    assert [(it["who"], it["command"], it["reason"], it["outcome"]) for it in entries] == [
        ("operator:kofi", "poll", "the client asks", "APPLIED")
    ]
    shown = instance.run("audit", "--who", "kofi", "--command", "poll", "--limit", "1")
    assert "the client asks" in shown.out
    assert "before" in instance.run("audit", "--who", "kofi", "--full").out


def test_the_review_queue_holds_what_nobody_knows(instance: Instance) -> None:
    transaction_id = instance.pay("0302")  # reset, and not paid
    instance.until(transaction_id, "SENT", "REVIEW")
    while transaction_id not in (queue := instance.run("payouts", "review")).out:
        assert queue.status == 0
    assert "TMONEY" in queue.out
    assert "note" in queue.out


def test_an_operator_who_reads_like_a_registered_one_is_refused(instance: Instance) -> None:
    operator(instance.town, "yao", "Yao")
    settings = {"DATABASE_URL": instance.town.database_url, "JWT_SECRET": JWT_SECRET}
    refused = nepxy("operators", "add", "Yao", "--name", "Yao", environ=settings)
    assert refused.status == 2
    assert "There is an operator yao" in refused.err
    assert "choose another one" in refused.err
    assert "client_secret" not in refused.out
