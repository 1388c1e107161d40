"""The person on call, in a test: has the alert, the runbook and a shell, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from nepxy.storage.embedded_home import find_binaries
from tests.cli.support import Ended, nepxy
from tests.deploy.promtool import fires
from tests.journey.harness import Client, Town, a_body
from tests.runbook.book import Section, filled

SETTLED_WITHIN_S = 40.0


@dataclass
class OnCall:
    """Follows one section of the runbook, and remembers what was scraped meanwhile."""

    client: Client
    environ: Mapping[str, str]
    second: Mapping[str, str]
    """Another operator's."""
    section: Section
    admin_url: str = ""
    """The database, as its superuser."""
    given: dict[str, str] = field(default_factory=dict)
    """What stands for the placeholders."""
    scrapes: list[str] = field(default_factory=list)

    @property
    def town(self) -> Town:
        return self.client.town

    # ---- what shows ---------------------------------------------------------------------------------

    async def scrape(self) -> str:
        async with self.client.session.get(f"{self.town.base}/metrics") as answer:
            text = await answer.text()
        self.scrapes.append(text)
        return text

    async def until_it_fires(self, alert: str, limit_s: float = 30.0) -> None:
        """The alert's own expression over the scrapes so far; a new one is taken until it holds."""
        assert alert in self.section.alerts, f"the runbook does not name {alert}"
        before = list(self.scrapes)
        async with asyncio.timeout(limit_s):
            while not fires(alert, *before, await self.scrape()):
                await asyncio.sleep(0.5)
        self.scrapes[:] = [*before, self.scrapes[-1]]

    async def until_it_is_silent(self, alert: str, limit_s: float = 30.0) -> None:
        """After a quarter of an hour in which all stays as it is now, the alert does not fire."""
        before = list(self.scrapes)
        async with asyncio.timeout(limit_s):
            # Gauges are counted every few seconds.
            while fires(alert, *before, *[await self.scrape()] * 16):
                await asyncio.sleep(0.5)

    async def until_the_doctor_says(self, status: int, limit_s: float = 30.0) -> Ended:
        """The section's first line, `nepxy doctor`, until it ends so: gauges are counted every few seconds."""
        (line,) = self.section.shows
        assert line == "nepxy doctor"
        ended = self.run(line, None)
        try:
            async with asyncio.timeout(limit_s):
                while ended.status != status:
                    await asyncio.sleep(0.5)
                    ended = self.run(line, None)
        except TimeoutError:
            raise AssertionError(f"the doctor never said {status}: {ended.out}{ended.err}") from None
        return ended

    # ---- what is done -------------------------------------------------------------------------------

    def follow(self, number: int, *, status: int | None = 0, **given: str) -> list[Ended]:
        """Type the commands of one step, as they stand; each must end so."""
        self.given |= given
        return [self.run(line, status) for line in self.section.steps[number - 1].commands]

    def run(self, line: str, status: int | None = 0) -> Ended:
        """Type one line."""
        typed = filled(line, self.given)
        words = shlex.split(typed)
        ended = nepxy(*words[1:], environ=self.environ) if words[0] == "nepxy" else self._in_a_shell(typed)
        assert status is None or ended.status == status, f"$ {typed}\n{ended.status}\n{ended.out}{ended.err}"
        return ended

    def _in_a_shell(self, line: str) -> Ended:
        # psql comes with the PostgreSQL of the tests, where the machine has none of its own.
        path = os.pathsep.join((os.environ["PATH"], str(a_psql().parent)))
        seen = {
            **os.environ,
            "PATH": path,
            "ADMIN_DATABASE_URL": self.admin_url,
            "NEPXY_URL": self.town.base,
        }
        ran = subprocess.run(["bash", "-c", line], env=seen, capture_output=True, text=True, check=False)
        return Ended(ran.returncode, ran.stdout, ran.stderr)

    def is_over(self) -> list[Ended]:
        """The commands of "It is over when"; each must say so."""
        return [self.run(line) for line in self.section.over]

    # ---- the world ----------------------------------------------------------------------------------

    async def pay(self, count: int, *, suffix: str = "1234", first: int = 1, **changes: Any) -> list[str]:
        """Payouts, accepted; their ids."""
        made = []
        for number in range(first, first + count):
            status, body, _ = await self.client.post(
                f"key-{number}", a_body(number, suffix=suffix, **changes)
            )
            assert status == 202, body
            made.append(json.loads(body)["transaction_id"])
        return made

    async def until_all(self, ids: list[str], *statuses: str) -> None:
        for transaction_id in ids:
            await self.client.until(transaction_id, *statuses, limit_s=SETTLED_WITHIN_S)

    async def sandbox(self, path: str) -> dict[str, Any]:
        async with self.client.session.get(f"{self.town.sandbox_base}/_sandbox/{path}") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def turn(self, **knobs: float) -> None:
        """Set the sandbox's faults."""
        async with self.client.session.post(
            f"{self.town.sandbox_base}/_sandbox/faults", json=knobs
        ) as answer:
            assert answer.status == 200, await answer.text()

    def audited(self) -> list[tuple[str, str, str]]:
        """Who, target and command of every audit row, oldest first."""
        with closing(psycopg2.connect(self.town.database_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT who, target, command FROM app.audit_log ORDER BY audit_id")
            return list(cursor.fetchall())


def a_psql() -> Path:
    """The machine's, or the one of the wheel."""
    found = shutil.which("psql")
    return Path(found) if found else find_binaries(18, None) / "psql"


def ids_in(text: str) -> list[str]:
    """The transaction ids that a table shows."""
    return re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", text)
