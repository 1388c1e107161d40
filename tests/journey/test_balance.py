"""What an operator's `check_balance` reads is what the provider holds for us now: real processes, real HTTP."""

from __future__ import annotations

from typing import Any

import aiohttp

from nepxy.storage.database import connect_writer
from nepxy.storage.people import save_operator
from tests.journey.four_town import FourTown, town
from tests.journey.harness import Client, token

__all__ = ["town"]

OPERATOR = {"Authorization": f"Bearer {token('ann', ('admin',))}"}


async def set_balance(client: Client, amount: str) -> None:
    url = f"{client.town.sandbox_base}/_sandbox/momo"
    async with client.session.post(url, json={"balance": amount}) as answer:
        assert answer.status == 200, await answer.text()


async def check_balance(client: Client, provider: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"target": f"providers/{provider}", "command": "check_balance", "reason": "it is a test"} | fields
    url = f"{client.town.base}/v1/admin/control"
    async with client.session.post(url, json=body, headers=OPERATOR) as answer:
        document: dict[str, Any] = await answer.json()
        return answer.status, document


async def test_a_balance_is_read_at_the_provider_each_time_it_is_asked_for(town: FourTown) -> None:
    town.start_sandbox()
    town.start_engine()
    database = connect_writer(town.database_url, statement_timeout_s=10, connect_timeout_s=10)
    save_operator(database, operator_id="ann", name="Ann", secret="not used here", scopes=("admin",))
    database.close()
    async with aiohttp.ClientSession() as session:
        await town.until_ready(session)
        client = Client(session, town)
        for held in (12_345, 678):
            await set_balance(client, str(held))
            status, document = await check_balance(client, "MOMO", currency="XOF")
            assert status == 200, document
            assert document["balance"]["amount"] == held
            assert document["balance"]["currency"] == "XOF"
            assert document["balance"]["asked_at"]
            assert f"{held} XOF" in document["what"]
