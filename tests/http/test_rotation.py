"""Secrets rotate without a gap and without a restart, and an old signed body that comes again changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from nepxy.config.settings import Settings
from nepxy.http.parts import PARTS, Parts
from tests.http.conftest import Paper, Served, StartPaper
from tests.http.support import ENVIRON, WEBHOOK_SECRET, a_request, bearer, keyed, sign

PATH = "/v1/webhooks/tmoney"
PAID = json.dumps({"provider_ref": "T-1", "external_ref": "ours", "status": "SUCCESS"}).encode()
NEW = "the new secret of webhooks"


def parts_of(started: Paper | Served) -> Parts:
    app = started.client.app
    assert app is not None
    return app[PARTS]


def counted(paper: Paper, secret: str) -> float:
    return paper.metric("nepxy_webhook_signatures_total", provider="TMONEY", secret=secret)


async def test_it_is_counted_which_secret_signed(start_paper: StartPaper) -> None:
    paper = await start_paper(
        {"TMONEY_WEBHOOK_SECRET": NEW, "TMONEY_WEBHOOK_SECRET_PREVIOUS": WEBHOOK_SECRET}
    )
    for secret in (NEW, NEW, WEBHOOK_SECRET, "nobody's"):
        await paper.client.post(PATH, data=PAID, headers=sign(PAID, secret))
    await paper.client.post(PATH, data=PAID)

    assert [counted(paper, name) for name in ("current", "previous", "none")] == [2, 1, 1]
    assert [one.webhook.signed_with for one in paper.engine.seen[:3]] == ["current", "current", "previous"]


async def test_secrets_are_read_again_without_a_restart(start_paper: StartPaper, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(WEBHOOK_SECRET)
    environ = {
        "TMONEY_WEBHOOK_SECRET": "",
        "TMONEY_WEBHOOK_SECRET_FILE": str(file),
        "TMONEY_WEBHOOK_SECRET_PREVIOUS_FILE": str(tmp_path / "previous"),
        "JWT_SECRET_PREVIOUS": "",
        "JWT_SECRET_PREVIOUS_FILE": str(tmp_path / "jwt"),
    }
    (tmp_path / "previous").write_text("older")
    (tmp_path / "jwt").write_text("an old key of tokens that is long enough")
    paper = await start_paper(environ)
    coming = bearer(secret="the key that comes next, long enough")
    assert (await paper.client.post("/v1/payouts", json=a_request(), headers=coming)).status == 401

    file.write_text(NEW)
    (tmp_path / "previous").write_text(WEBHOOK_SECRET)
    (tmp_path / "jwt").write_text("the key that comes next, long enough")
    parts_of(paper).secrets.reread(lambda: Settings.from_environ({**ENVIRON, **environ}))

    for secret, status in ((NEW, 200), (WEBHOOK_SECRET, 200), ("older", 401)):
        response = await paper.client.post(PATH, data=PAID, headers=sign(PAID, secret))
        assert (secret, response.status) == (secret, status)
    with_key = {**coming, "Idempotency-Key": uuid4().hex}
    assert (await paper.client.post("/v1/payouts", json=a_request(), headers=with_key)).status == 202
    assert (await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())).status == 202


async def test_wrong_settings_change_no_secret(paper: Paper, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = parts_of(paper).secrets
    secrets.reread(lambda: Settings.from_environ({**ENVIRON, "TMONEY_WEBHOOK_SECRET": NEW, "PORT": "none"}))

    assert (await paper.client.post(PATH, data=PAID, headers=sign(PAID))).status == 200
    shown = capsys.readouterr().out
    assert "secrets.kept" in shown
    assert NEW not in shown


def test_what_changed_is_named_and_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from nepxy.http.secrets import LiveSecrets

    secrets = LiveSecrets(Settings.from_environ(ENVIRON))
    changes = {"TMONEY_WEBHOOK_SECRET": NEW, "TMONEY_WEBHOOK_SECRET_PREVIOUS": WEBHOOK_SECRET}
    other = Settings.from_environ(
        {**ENVIRON, **changes, "JWT_SECRET_PREVIOUS": "j" * 32, "JWT_SECRET": "k" * 32}
    )

    assert secrets.replace(other) == (*changes, "JWT_SECRET", "JWT_SECRET_PREVIOUS")
    assert secrets.replace(other) == ()
    assert [key.get_secret_value() for key in secrets.jwt] == ["k" * 32, "j" * 32]


def test_developments_own_key_outlives_settings_that_hold_none() -> None:
    from nepxy.http.secrets import LiveSecrets

    secrets = LiveSecrets(Settings.from_environ(ENVIRON))
    secrets.replace(Settings.from_environ({**ENVIRON, "JWT_SECRET": ""}))
    assert secrets.jwt[0].get_secret_value() == ENVIRON["JWT_SECRET"]


async def test_the_key_of_tokens_rotates_under_load_and_no_request_is_refused(served: Served) -> None:
    """Both keys verify, the first signs; pages that were begun under the old key go on."""
    old, new = ENVIRON["JWT_SECRET"], "the key that comes next, long enough"
    secrets = parts_of(served).secrets
    await served.client.post("/v1/payouts", json=a_request(), headers=keyed())
    await served.client.post("/v1/payouts", json=a_request(external_ref="second"), headers=keyed())
    first = await (await served.client.get("/v1/payouts?limit=1", headers=bearer(secret=old))).json()
    refused: list[int] = []
    asked = 0
    over = asyncio.Event()

    async def load(key: str, until: asyncio.Event) -> None:
        nonlocal asked
        while not until.is_set():
            response = await served.client.get("/v1/payouts", headers=bearer(secret=key))
            asked += 1
            refused.extend([response.status] if response.status != 200 else [])

    def rotate(current: str, previous: str) -> None:
        secrets.reread(
            lambda: Settings.from_environ({**ENVIRON, "JWT_SECRET": current, "JWT_SECRET_PREVIOUS": previous})
        )

    async def some_more() -> None:
        seen = asked
        while asked < seen + 20:
            await asyncio.sleep(0)

    with_old_key = asyncio.Event()
    old_tokens = asyncio.create_task(load(old, with_old_key))
    await some_more()
    rotate(old, new)
    await some_more()
    rotate(new, old)
    new_tokens = asyncio.create_task(load(new, over))
    await some_more()
    second = await served.client.get(
        "/v1/payouts", params={"limit": "1", "cursor": first["next_cursor"]}, headers=bearer(secret=new)
    )
    with_old_key.set()
    await old_tokens
    rotate(new, "")
    await some_more()
    over.set()
    await new_tokens

    assert (refused, second.status) == ([], 200)
    assert (await served.client.get("/v1/payouts", headers=bearer(secret=old))).status == 401


# ---- replays -----------------------------------------------------------------------------------------------


async def a_payout_of(served: Served) -> str:
    response = await served.client.post("/v1/payouts", json=a_request(), headers=keyed())
    document: dict[str, Any] = await response.json()
    return str(document["transaction_id"])


def keep(served: Served, body: bytes, transaction_id: str, *, state: str = "APPLIED", **changes: Any) -> None:
    row = {
        "webhook_id": str(uuid4()),
        "provider": "TMONEY",
        "state": state,
        "signature_valid": True,
        "transaction_id": transaction_id,
        "body": body.decode(),
        "body_sha256": hashlib.sha256(body).hexdigest(),
        **changes,
    }
    names, places = ", ".join(row), ", ".join(["%s"] * len(row))
    served.desk.database.execute_sql(
        f"INSERT INTO app.webhook_events ({names}) VALUES ({places})", tuple(row.values())
    )
    served.desk.database.commit()


async def test_a_signed_body_that_was_applied_is_not_applied_again(served: Served) -> None:
    transaction_id = await a_payout_of(served)
    (reference,) = served.desk.rows("SELECT submission_ref::text FROM app.mobile_money_payouts")[0]
    told = len(served.engine.seen)
    for name in (transaction_id, reference):
        body = json.dumps({"external_ref": name, "status": "SUCCESS"}).encode()
        keep(served, body, transaction_id)
    body = json.dumps({"external_ref": transaction_id, "status": "SUCCESS"}).encode()

    response = await served.client.post(PATH, data=body, headers=sign(body))

    assert response.status == 200
    answer = await response.json()
    assert (answer["applied"], answer["ignored"], answer["reason"]) == (False, True, "ALREADY_APPLIED")
    assert (answer["external_ref"], answer["status"], answer["replayed"]) == (transaction_id, "SUCCESS", True)
    assert len(served.engine.seen) == told
    assert served.metric("nepxy_webhook_replays_total", provider="TMONEY") == 1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"state": "IGNORED"}, "it changed nothing then"),
        ({"signature_valid": False}, "anybody could have sent the first one"),
        ({"provider": "FLOOZ"}, "another provider's"),
        ({"body_sha256": "0" * 64}, "another body"),
    ],
)
async def test_what_was_not_applied_just_so_is_no_replay(
    served: Served, changes: dict[str, Any], what: str
) -> None:
    transaction_id = await a_payout_of(served)
    body = json.dumps({"external_ref": transaction_id, "status": "SUCCESS"}).encode()
    keep(served, body, transaction_id, **changes)
    told = len(served.engine.seen)

    response = await served.client.post(PATH, data=body, headers=sign(body))

    assert (response.status, len(served.engine.seen)) == (200, told + 1), what


@pytest.mark.parametrize("status", ["CONFIRMED", "FAILED"])
async def test_a_replay_of_what_settled_a_payout_is_answered_in_the_known_words(
    served: Served, status: str
) -> None:
    transaction_id = await a_payout_of(served)
    served.desk.database.execute_sql(
        "UPDATE app.mobile_money_payouts SET status = %s, settled_at = now(), next_retry_at = NULL", (status,)
    )
    served.desk.database.commit()
    body = json.dumps({"external_ref": transaction_id, "status": "SUCCESS"}).encode()
    keep(served, body, transaction_id)

    answer = await (await served.client.post(PATH, data=body, headers=sign(body))).json()

    assert (answer["reason"], answer["replayed"]) == (f"ALREADY_{status}", True)
