"""A thousand payouts by all four providers, on a day on which everything goes wrong, and each is settled rightly."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.journey.four_town import (
    CONTRADICTING,
    FAULTS,
    Forger,
    FourTown,
    Job,
    Row,
    eventually,
    jobs,
    read_discrepancies,
    read_rows,
    town,
    wrong_with,
)
from tests.journey.harness import Client

__all__ = ["town"]

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
COUNT = 1000
CLIENTS = 16
SETTLE_S_MAX = 150.0
"""Much more than it takes, for a machine that has much else to do."""
REVIEW_S_MAX = 30.0


async def post_all(client: Client, wanted: list[Job]) -> None:
    """By sixteen clients at once; every tenth request comes twice, as from a client that did not hear the answer."""
    left = iter(wanted)

    async def one() -> None:
        for job in left:
            for _ in range(2 if job.number % 10 == 0 else 1):
                status, body, _ = await client.post(job.key, dict(job.body))
                assert status == 202, body

    await asyncio.gather(*(one() for _ in range(CLIENTS)))


async def revoke_tokens(client: Client) -> None:
    """MTN forgets its tokens, again and again; that they also expire is in the account."""
    for _ in itertools.count():
        await asyncio.sleep(1.5)
        url = f"{client.town.sandbox_base}/_sandbox/momo"
        async with client.session.post(url, json={"revoke_tokens": True}) as answer:
            assert answer.status == 200


async def forge(client: Client, forger: Forger) -> None:
    """Webhooks of every third payout that is under way."""
    seen: set[str] = set()
    while True:
        page = await client.get("/v1/payouts?limit=100")
        for item in page["items"][::3]:
            if item["transaction_id"] not in seen:
                seen.add(item["transaction_id"])
                await forger.forge(item["submission_ref"], item["provider"])
        await asyncio.sleep(0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The engine's rows and the sandbox's ledger at one moment, and where they differ."""

    rows: Mapping[str, Row]
    summary: Mapping[str, Any]
    accounts: Mapping[str, Mapping[str, Any]]
    wrong: list[str]

    @property
    def at_rest(self) -> bool:
        return not self.summary["orders_settling"] and not self.summary["webhooks"]["outstanding"]


async def judged(client: Client, wanted: Mapping[str, Job]) -> Found:
    base = f"{client.town.sandbox_base}/_sandbox"
    async with client.session.get(f"{base}/summary") as answer:
        summary = await answer.json()
    async with client.session.get(f"{base}/accounts") as answer:
        accounts = await answer.json()
    rows = {row.key: row for row in await asyncio.to_thread(read_rows, client.town.database_url)}
    wrong = [one for key, job in wanted.items() for one in wrong_with(job, rows[key], accounts)]
    return Found(rows=rows, summary=summary, accounts=accounts, wrong=wrong)


async def test_a_thousand_payouts_by_four_providers_on_a_bad_day_are_settled_rightly(town: FourTown) -> None:
    town.start_sandbox()
    town.start_engine()
    wanted = {job.key: job for job in jobs(COUNT)}
    began = time.monotonic()
    async with aiohttp.ClientSession() as session:
        await town.until_ready(session)
        client, forger = Client(session, town), Forger(town, session)
        async with session.post(f"{town.sandbox_base}/_sandbox/faults", json=FAULTS) as answer:
            assert answer.status == 200, await answer.text()
        trouble = [asyncio.create_task(revoke_tokens(client)), asyncio.create_task(forge(client, forger))]
        await post_all(client, list(wanted.values()))
        posted_s = time.monotonic() - began

        def are_settled() -> bool:
            rows = read_rows(town.database_url)
            return len(rows) == COUNT and {row.status for row in rows} <= {"CONFIRMED", "FAILED", "REVIEW"}

        try:
            await eventually(are_settled, limit_s=SETTLE_S_MAX, what="payouts settled")
        finally:
            for task in trouble:
                task.cancel()
            ended = await asyncio.gather(*trouble, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
        settled_s = time.monotonic() - began

        # A payout in REVIEW is asked about all the same: what was told meanwhile may still settle it.
        deadline = time.monotonic() + REVIEW_S_MAX
        while True:
            found = await judged(client, wanted)
            doubtful = any("REVIEW" in one for one in found.wrong)
            if (found.at_rest and not doubtful) or time.monotonic() > deadline:
                break
            await asyncio.sleep(1)
    summary, rows = found.summary, found.rows

    of_provider = {name: Counter[str]() for name in ("TMONEY", "FLOOZ", "MOMO", "THUNES")}
    for row in rows.values():
        of_provider[row.provider][row.status] += 1
    print(
        json.dumps({"posted_s": posted_s, "settled_s": settled_s, **of_provider, "summary": summary}),
        forger.answers,
    )
    assert found.wrong == [], "\n".join(found.wrong)
    assert summary["references_paid_more_than_once"] == 0
    ours = {reference for row in rows.values() for reference in row.references}
    assert set(found.accounts) <= ours, "a reference that no attempt was committed for"

    for name, states in of_provider.items():
        assert sum(states.values()) == COUNT // 4
        assert states["CONFIRMED"] > COUNT // 8, f"{name}: {states}"
        assert states["FAILED"], f"{name}: {states}"
        assert states["REVIEW"], f"{name}: {states}"

    by_id = {row.transaction_id: wanted[row.key] for row in rows.values()}
    contradicted = {by_id[one].suffix for one in read_discrepancies(town.database_url)}
    assert contradicted <= CONTRADICTING
    # MTN signs nothing: to an unsigned one of its path the engine listens, and asks. Nobody else is heard at all.
    heard = {provider for provider, status in forger.answers if status < 300}
    refused = {provider for provider, status in forger.answers if status in (401, 404)}
    assert heard == {"MOMO"}, forger.answers
    assert refused == {"TMONEY", "FLOOZ", "THUNES", ""}, forger.answers


async def test_a_provider_short_of_money_waits_for_it_and_the_others_go_on(town: FourTown) -> None:
    town.overrides["NEPXY_BALANCE_CHECK_S"] = "1"
    town.start_sandbox()
    town.start_engine()
    ordinary = {job.provider: job for job in jobs(COUNT) if job.suffix >= "1000"}
    async with aiohttp.ClientSession() as session:
        await town.until_ready(session)
        client, faults = Client(session, town), f"{town.sandbox_base}/_sandbox/faults"

        async def post(job: Job) -> str:
            status, body, _ = await client.post(job.key, dict(job.body))
            assert status == 202, body
            return str(json.loads(body)["transaction_id"])

        for short in ("MOMO", "THUNES"):
            async with session.post(f"{faults}?provider={short.lower()}", json={"out_of_float": True}):
                pass
        ids = {name: await post(job) for name, job in ordinary.items()}
        for name in ("TMONEY", "FLOOZ"):
            await client.until(ids[name], "CONFIRMED")
        waiting = {"MOMO", "THUNES"}
        async with asyncio.timeout(30):
            while waiting:
                for name in tuple(waiting):
                    payout = await client.get(f"/v1/payouts/{ids[name]}")
                    assert payout["status"] in ("PENDING", "SENT"), payout
                    if payout["status"] == "PENDING" and payout["last_error"]:
                        waiting.discard(name)
                await asyncio.sleep(0.1)
        async with session.post(faults, json={"out_of_float": False}):
            pass
        for name in ("MOMO", "THUNES"):
            assert (await client.until(ids[name], "CONFIRMED"))["provider"] == name
        async with session.get(f"{town.sandbox_base}/_sandbox/summary") as answer:
            summary = await answer.json()
    assert (summary["movements"], summary["references_paid_more_than_once"]) == (4, 0)


async def test_a_failure_of_our_own_making_pauses_its_provider_and_nobody_else(town: FourTown) -> None:
    town.start_sandbox()
    town.start_engine()
    async with aiohttp.ClientSession() as session:
        await town.until_ready(session)
        client = Client(session, town)

        async def post(name: str, number: str) -> str:
            body = {"amount": 1000, "currency": "XOF", "phone_e164": number, "country": "BJ"}
            status, answer, _ = await client.post(name, {**body, "external_ref": name})
            assert status == 202, answer
            return str(json.loads(answer)["transaction_id"])

        limited = await post("limit", "+2290151000656")
        async with asyncio.timeout(30):
            while True:
                payout = await client.get(f"/v1/payouts/{limited}")
                if payout["status"] == "PENDING" and payout["last_error"]:
                    break
                await asyncio.sleep(0.1)
        assert "MOMO" in payout["explanation"]
        behind = await post("behind", "+2290151001234")
        beside = await post("beside", "+2290195001234")
        assert (await client.until(beside, "CONFIRMED"))["provider"] == "FLOOZ"
        waiting = await client.get(f"/v1/payouts/{behind}")
        assert (waiting["provider"], waiting["status"], waiting["attempt_count"]) == ("MOMO", "PENDING", 0)
        assert "paused" in waiting["explanation"]
