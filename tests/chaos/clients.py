"""Clients under load: each payout is posted again with the same key until somebody says that it was taken."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import aiohttp

from tests.chaos.stage import Stage
from tests.journey.harness import a_body, token

ANSWER_S_MAX: Final = 4.0
PAUSE_S: Final = (0.05, 0.5)

SUFFIXES: Final = (
    *("1234",) * 60,
    *("5678",) * 20,
    "0101",  # refused at once
    "0401",  # accepted, fails later
    "0202",  # acts and never answers
    "0204",  # acts and resets the connection
    "0205",  # acts and answers 500
    "0302",  # resets without acting: nobody will ever know for sure
    "0501",  # three webhooks
    "0502",  # a late webhook
    "0503",  # no webhook
    "0504",  # its webhook overtakes the submit's answer
)
"""Last four digits of the payees' numbers; the sandbox's magic table tells what they do.

None of those with which the provider lies about money that moved: an engine that believes a signed webhook is right to.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What a client was promised."""

    key: str
    transaction_id: str
    amount: int
    phone_e164: str


@dataclass
class Clients:
    """A fixed number of clients, each with one payout at a time."""

    stage: Stage
    acknowledged: list[Acknowledged] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    """Answers that no client should ever get."""
    _numbers: count[int] = field(default_factory=count)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        seed = self.stage.plan.seed
        self._tasks = [
            asyncio.create_task(self._pay_on_and_on(random.Random(f"{seed}/{number}")))
            for number in range(self.stage.plan.clients)
        ]

    async def finish(self, limit_s: float) -> None:
        """Begin nothing new; whoever still waits for an acknowledgement goes on until it comes."""
        self._stopping.set()
        _, late = await asyncio.wait(self._tasks, timeout=limit_s)
        for task in late:
            task.cancel()
        if late:
            self.complaints.append(f"{len(late)} clients were never answered, though all is well again")
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def abandon(self) -> None:
        """End whatever is still under way, as after a run that broke off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pay_on_and_on(self, dice: random.Random) -> None:
        while not self._stopping.is_set():
            number = next(self._numbers)
            key = f"chaos-{number}"
            body = a_body(number, suffix=dice.choice(SUFFIXES))
            transaction_id = await self._post_until_taken(key, body, dice)
            self.acknowledged.append(
                Acknowledged(
                    key=key,
                    transaction_id=transaction_id,
                    amount=body["amount"],
                    phone_e164=body["phone_e164"],
                )
            )
            if dice.random() < 0.1:
                again = await self._post_until_taken(key, body, dice)
                if again != transaction_id:
                    self.complaints.append(f"{key} was taken as {transaction_id} and as {again}")
            if dice.random() < 0.04:
                await self._try_to_cancel(transaction_id, dice)
            await asyncio.sleep(dice.uniform(*PAUSE_S))

    async def _post_until_taken(self, key: str, body: dict[str, Any], dice: random.Random) -> str:
        towns = list(self.stage.towns)
        dice.shuffle(towns)
        wait_s = 0.1
        while True:
            towns.append(towns.pop(0))
            status, content = await self._call(f"{towns[0].base}/v1/payouts", key, body)
            if status == 202:
                return str(json.loads(content)["transaction_id"])
            if status not in (0, 503):
                self.complaints.append(f"{key} got {status}: {content.decode(errors='replace')[:200]}")
            await asyncio.sleep(dice.uniform(wait_s / 2, wait_s))
            wait_s = min(2 * wait_s, 0.8)

    async def _try_to_cancel(self, transaction_id: str, dice: random.Random) -> None:
        town = dice.choice(self.stage.towns)
        status, content = await self._call(f"{town.base}/v1/payouts/{transaction_id}/cancel", None, None)
        if status not in (0, 200, 409, 503):
            self.complaints.append(f"a cancel got {status}: {content.decode(errors='replace')[:200]}")

    async def _call(self, url: str, key: str | None, body: dict[str, Any] | None) -> tuple[int, bytes]:
        """Status and body; 0 where no whole answer came."""
        headers = {"Authorization": f"Bearer {token()}"} | ({"Idempotency-Key": key} if key else {})
        try:
            async with self.stage.session.post(
                url, json=body, headers=headers, timeout=aiohttp.ClientTimeout(total=ANSWER_S_MAX)
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            self.answers["none"] += 1
            return 0, b""
        code = str(answer.status)
        if answer.status == 503:
            code = f"503 {json.loads(content)['code']}"
        self.answers[code] += 1
        return answer.status, content
