"""An operator's day, against real processes: what is stuck is asked about, what failed is reopened by two people."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.journey.harness import Client, Town, a_body

pytestmark = pytest.mark.timeout(180)
NOBODY_LISTENS = "http://127.0.0.1:9/webhooks"
REASON = {"reason": "the customer is on the telephone"}


@dataclass
class Operator:
    """A registered person at the API, with a token of his own."""

    session: aiohttp.ClientSession
    town: Town
    token: str

    async def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.town.base}/v1/admin{path}"
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def command(self, transaction_id: str, command: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        path = f"/mobile-money/payouts/{transaction_id}/{command}"
        return await self.ask("POST", path, REASON | fields)


async def an_operator(client: Client, name: str, *scopes: str) -> Operator:
    """Registered as the runbook says, signed in as a program would."""
    command = [sys.executable, "-m", "nepxy", "operators", "add", name, "--name", name.title()]
    for scope in scopes:
        command += ["--scope", scope]
    added = subprocess.run(command, env=client.town.environ(), capture_output=True, text=True, check=True)
    grant = {"grant_type": "client_credentials"} | dict(
        line.split("=", 1) for line in added.stdout.splitlines()
    )
    async with client.session.post(f"{client.town.base}/v1/auth/token", data=grant) as answer:
        token = await answer.json()
    assert answer.status == 200, token
    return Operator(client.session, client.town, token["access_token"])


@pytest.fixture
async def deaf(town: Town) -> AsyncIterator[Client]:
    """A town whose webhooks get lost, and whose polls are an hour apart: nothing is settled unless somebody asks."""
    town.overrides |= {"NEPXY_POLL_BASE_S": "3600", "NEPXY_SECOND_PERSON": "true"}
    town.start_provider(webhook_url=NOBODY_LISTENS, look_up=False)
    town.start_engine()
    async with aiohttp.ClientSession() as session:
        await town.until_ready(session)
        yield Client(session, town)


async def made(client: Client, key: str, suffix: str) -> str:
    status, body, _ = await client.post(key, a_body(1, suffix=suffix, external_ref=f"order-{key}"))
    assert status == 202, body
    return str(json.loads(body)["transaction_id"])


async def test_what_is_stuck_in_sent_is_asked_about_at_once_and_sent_once(deaf: Client) -> None:
    ann = await an_operator(deaf, "ann", "admin:read", "admin:write")
    stuck = await made(deaf, "stuck", "1234")
    await deaf.until(stuck, "SENT")
    _, listed = await ann.ask("GET", "/mobile-money/payouts?status=SENT&provider=TMONEY&stuck_s=0")
    assert [one["transaction_id"] for one in listed["payouts"]] == [stuck]
    _, told = await ann.ask("GET", f"/mobile-money/payouts/{stuck}/explain")
    assert "retry" in [one["command"] for one in told["commands"]]
    last: dict[str, Any] = {}
    for _ in range(40):
        # The sandbox settles after 0.3 s; asked before that, it has nothing new to say.
        status, last = await ann.command(stuck, "retry")
        if status != 200:
            break
        assert "is asked now" in last["what"]
        assert "only if" in last["what"]
        if (await deaf.get(f"/v1/payouts/{stuck}"))["status"] == "CONFIRMED":
            break
    paid = await deaf.until(stuck, "CONFIRMED", limit_s=10)
    assert paid["attempt_count"] == 1
    status, refused = await ann.command(stuck, "retry", force=True, client_consents=True)
    assert (status, refused["code"]) == (409, "COMMAND_NOT_VALID")
    assert refused["valid_commands"].split() == ["fail", "note"]


@pytest.fixture
def mute(town: Town) -> None:
    """The provider has nothing that could be asked."""
    town.overrides["TMONEY_SANDBOX_STATUS_URL_TEMPLATE"] = ""


async def test_what_may_have_been_sent_and_cannot_be_asked_about_is_not_sent_again_by_anybody(
    mute: None,
    deaf: Client,
) -> None:
    ann = await an_operator(deaf, "ann")
    bea = await an_operator(deaf, "bea")
    doubtful = await made(deaf, "doubt", "0205")
    payout = await deaf.until(doubtful, "SENT")
    while payout["in_doubt_since"] is None:
        payout = await deaf.get(f"/v1/payouts/{doubtful}")
    status, refused = await ann.command(doubtful, "poll")
    assert (status, refused["code"]) == (409, "COMMAND_NOT_VALID"), refused
    status, refused = await ann.command(doubtful, "retry", force=True)
    assert (status, refused["code"]) == (409, "COMMAND_NOT_VALID"), refused
    assert refused["valid_commands"].split() == ["confirm", "fail", "note"]
    status, waits = await ann.command(doubtful, "confirm", expected_version=refused["version"])
    assert (status, waits["outcome"]) == (202, "SECOND_PERSON_NEEDED")
    path = waits["proposal"]["links"]["approve"].removeprefix("/v1/admin")
    status, approved = await bea.ask("POST", path, {"reason": "seen in their portal, too"})
    assert (status, approved["payout"]["status"]) == (200, "CONFIRMED"), approved
    _, log = await bea.ask("GET", f"/audit?target=payouts/{doubtful}")
    newest = log["entries"][0]
    assert (newest["who"], newest["approved_by"]) == ("operator:ann", "operator:bea")
    assert (newest["before"]["status"], newest["after"]["status"]) == ("SENT", "CONFIRMED")


async def test_what_failed_is_reopened_by_force_and_two_people_under_a_new_reference(deaf: Client) -> None:
    ann = await an_operator(deaf, "ann")
    bea = await an_operator(deaf, "bea")
    failed_id = await made(deaf, "failed", "0101")
    failed = await deaf.until(failed_id, "FAILED")
    status, refused = await ann.command(failed_id, "retry")
    assert (status, refused["code"]) == (409, "FORCE_NEEDED")
    status, waits = await ann.command(failed_id, "retry", force=True)
    assert status == 202
    assert (await deaf.get(f"/v1/payouts/{failed_id}"))["version"] == failed["version"]
    # What waits for a second person outlives the process.
    deaf.town.kill_engine()
    deaf.town.start_engine()
    await deaf.town.until_ready(deaf.session)
    path = waits["proposal"]["links"]["approve"].removeprefix("/v1/admin")
    status, approved = await bea.ask("POST", path, {"reason": "the wallet is open again"})
    assert status == 200, approved
    assert "new reference" in approved["what"]
    again = await deaf.until(failed_id, "FAILED")
    assert again["submission_ref"] != failed["submission_ref"]
    assert again["attempt_count"] == 2
    _, found = await ann.ask("GET", f"/mobile-money/payouts?reference={failed['submission_ref']}")
    assert [one["transaction_id"] for one in found["payouts"]] == [failed_id]
    _, history = await ann.ask("GET", f"/mobile-money/payouts/{failed_id}/events")
    assert "REOPENED" in [event["why"] for event in history["events"]]
