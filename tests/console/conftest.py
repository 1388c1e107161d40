"""A real Chromium before a real engine, with the sandbox behind it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from nepxy.storage.database import Reader
from nepxy.storage.people import save_operator
from tests.console.webdriver import Browser, Driver, browser_missing
from tests.journey.conftest import town
from tests.journey.harness import Client, Town

__all__ = ["town"]

OPERATOR_ID = "awa"
SECRET = "awa's long secret"
SHOWN = os.environ.get("NEPXY_SCREENSHOTS", "")
"""A folder that keeps the screenshots, for people to look at."""


@dataclass
class Console:
    """The console in a browser, and its town."""

    browser: Browser
    town: Town
    client: Client
    folder: Path

    async def open(self, view: str = "overview") -> None:
        """Show a view."""
        await self.browser.go(f"{self.town.base}/console#/{view}")

    async def sign_in(self, operator_id: str = OPERATOR_ID, secret: str = SECRET) -> None:
        """As a person does: fill in the form."""
        await self.browser.go("about:blank")  # else only the address's fragment would change
        await self.open()
        await (await self.browser.find("input[autocomplete=username]")).type(operator_id)
        await (await self.browser.find("input[type=password]")).type(secret)
        await (await self.browser.find("button", "Sign in")).click()

    async def signed_in(self) -> None:
        """Sign in, and wait until the engine is heard."""
        await self.sign_in()
        await self.browser.until_text("Live", ".sign")

    async def confirm(self, label: str, reason: str) -> None:
        """Give a reason in the open dialog, press its button, and read that it was done."""
        await (await self.browser.find("dialog textarea")).type(reason)
        await (await self.browser.find("dialog button.primary", label)).click()

    async def done(self) -> str:
        """What the dialog says that was done; then close it."""
        told = await (await self.browser.find("dialog .told")).text()
        await (await self.browser.find("dialog button", "Done")).click()
        return told

    async def keep(self, name: str) -> None:
        """A screenshot; the folder of the test has it, or the one that people look at."""
        folder = Path(SHOWN) if SHOWN else self.folder
        await self.browser.screenshot(folder / f"{name}.png", whole=True)


@pytest.fixture(scope="session", autouse=True)
def browser_there() -> None:
    if missing := browser_missing():
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture
async def console(town: Town, tmp_path: Path) -> AsyncIterator[Console]:
    # What was sent is asked about only on demand: what is stuck stays so until an operator acts.
    town.overrides |= {"NEPXY_POLL_BASE_S": "600", "NEPXY_POLL_CAP_S": "600"}
    reader = Reader(town.database_url, connections_max=1, statement_timeout_s=10, connect_timeout_s=5)
    reader.run_here(save_operator, operator_id=OPERATOR_ID, name="Awa Mensah", secret=SECRET)
    reader.run_here(save_operator, operator_id="esi", name="Esi", secret="esi's long secret")
    reader.run_here(
        save_operator, operator_id="kofi", name="Kofi", secret="kofi's long secret", scopes=("admin:read",)
    )
    reader.close()
    town.start_sandbox()
    town.start_engine()
    async with aiohttp.ClientSession() as http, Driver() as driver, driver.window() as browser:
        await town.until_ready(http)
        yield Console(browser=browser, town=town, client=Client(http, town), folder=tmp_path)
