"""What an operator changes under payouts in flight: the account, who is enabled; and starts without credentials."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.journey.harness import JWT_SECRET, Client, Town, a_body
from tests.journey.test_webhooks_in import a_stuck_payout, send

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """Where the other account's provider would be: it hears whoever calls, and answers nobody."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        yield listener


def was_called(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


async def restarted(client: Client, town: Town, **environ: str) -> None:
    """The operator stops the engine, changes its settings, and starts it again."""
    town.signal_engine(signal.SIGTERM)
    assert town.engine is not None
    assert await asyncio.to_thread(town.engine.wait, 60) == 0, town.log_text()
    town.overrides = dict(environ)
    town.start_engine()
    await town.until_ready(client.session)


async def test_what_was_sent_through_another_account_is_counted_and_never_asked_about_at_the_new_one(
    client: Client, town: Town, elsewhere: socket.socket
) -> None:
    stuck = await a_stuck_payout(client)
    cashout = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/cashout"
    await restarted(
        client,
        town,
        TMONEY_SANDBOX_CASHOUT_URL=cashout,
        TMONEY_SANDBOX_STATUS_URL_TEMPLATE=cashout + "/{provider_ref}",
        TMONEY_SANDBOX_API_KEY="another-key",
    )

    reviewed = await client.until(stuck["transaction_id"], "REVIEW")

    assert reviewed["status_reason"] == "ACCOUNT_CHANGED"
    assert not was_called(elsewhere)
    said = [json.loads(line) for line in town.log_text().splitlines() if "changed_under_payouts" in line]
    assert [(line["provider"], line["payouts_count"]) for line in said] == [("TMONEY", 1)]
    async with client.session.get(f"{town.base}/metrics") as metrics:
        assert 'nepxy_payouts_sent_elsewhere{provider="TMONEY"} 1.0' in await metrics.text()

    # The old account again: it is followed where it was sent, and its provider's word settles it.
    await restarted(client, town)
    _, answer = await send(client, {"provider_ref": stuck["provider_ref"], "status": "SUCCESS"})
    assert answer["applied"]
    assert (await client.get(f"/v1/payouts/{stuck['transaction_id']}"))["status"] == "CONFIRMED"
    assert not was_called(elsewhere)


async def test_a_provider_that_is_taken_out_gets_nothing_new_and_what_it_has_is_followed_to_its_end(
    client: Client, town: Town
) -> None:
    stuck = await a_stuck_payout(client)
    _, body, _ = await client.post("polled", a_body(2, suffix="0503"))
    await restarted(client, town, MM_ENABLED_PROVIDERS="FLOOZ")

    status, content, _ = await client.post("late", a_body(3, provider="TMONEY"))
    assert (status, json.loads(content)["code"]) == (422, "PROVIDER_DISABLED")
    # No webhook comes for this one: it is asked about.
    await client.until(json.loads(body)["transaction_id"], "CONFIRMED")
    _, answer = await send(client, {"provider_ref": stuck["provider_ref"], "status": "SUCCESS"})
    assert answer["applied"]
    assert (await client.get(f"/v1/payouts/{stuck['transaction_id']}"))["status"] == "CONFIRMED"


def test_production_refuses_to_start_without_credentials_and_names_all_that_is_missing(
    database_url: str,
) -> None:
    environ = {
        **os.environ,
        "ENV": "prod",
        "DATABASE_URL": database_url,
        "JWT_SECRET": JWT_SECRET,
        "MM_MODE": "real",
        "MM_ENABLED_PROVIDERS": "TMONEY,MOMO",
        "MOMO_REAL_API_USER": "8d0c3f9e-6f3e-4c5e-9d3a-0c0f0a0b0c0d",
    }
    command = [sys.executable, "-m", "nepxy", "serve", "--port", "0"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    for name in (
        "TMONEY_REAL_API_KEY",
        "TMONEY_REAL_CASHOUT_URL",
        "MOMO_REAL_SUBSCRIPTION_KEY_DISBURSEMENT",
        "MOMO_REAL_API_KEY",
    ):
        assert name in ended.stderr
    assert "MOMO_REAL_API_USER" not in ended.stderr
