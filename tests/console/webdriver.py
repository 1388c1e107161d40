"""A real browser, driven over the W3C WebDriver protocol (https://www.w3.org/TR/webdriver2/): as much as our tests use.

Needs the system packages `chromium` and `chromium-driver`.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from tests.journey.harness import free_port

ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
"""The protocol's own name for a reference to an element."""
WAIT_S: Final = 20.0
START_S: Final = 30.0

KEYS: Final = {
    "TAB": "\ue004",
    "ENTER": "\ue007",
    "ESCAPE": "\ue00c",
    "SPACE": " ",
    "SHIFT": "\ue008",
    "LEFT": "\ue012",
    "UP": "\ue013",
    "RIGHT": "\ue014",
    "DOWN": "\ue015",
}

ARGUMENTS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--force-color-profile=srgb",
)


class NotThere(AssertionError):
    """The page did not become what the test waits for."""


class WebDriverError(Exception):
    """The driver refused a command."""


def browser_missing() -> str:
    """What is not installed; empty: nothing."""
    if shutil.which("chromedriver") is None:
        return "chromedriver is not installed (package chromium-driver)"
    if shutil.which("chromium") is None and shutil.which("google-chrome") is None:
        return "no Chromium is installed (package chromium)"
    return ""


class Browser:
    """One window."""

    def __init__(self, http: aiohttp.ClientSession, session: str) -> None:
        """`session` is the URL of the driver's session."""
        self._http = http
        self._session = session

    async def command(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One command of the protocol."""
        async with self._http.request(
            method, self._session + path, json=None if method == "GET" else (body or {})
        ) as answer:
            value = (await answer.json())["value"]
        if answer.status != 200:
            raise WebDriverError(f"{method} {path}: {value['error']}: {value['message']}")
        return value

    async def go(self, url: str) -> None:
        """Open an address."""
        await self.command("POST", "/url", {"url": url})

    async def run(self, script: str, *args: Any) -> Any:
        """Run a function's body in the page and give what it returns, awaited. Not bound by the page's policy."""
        wrapped = (
            "const done = arguments[arguments.length - 1]; const args = [...arguments].slice(0, -1);"
            f"(async (...args) => {{ {script} }})(...args)"
            ".then((value) => done({value}), (error) => done({error: String(error)}));"
        )
        answer = await self.command("POST", "/execute/async", {"script": wrapped, "args": list(args)})
        if "error" in answer:
            raise WebDriverError(answer["error"])
        return answer.get("value")

    async def until(self, script: str, *args: Any, what: str = "", wait_s: float = WAIT_S) -> Any:
        """What a function's body returns in the page, once it is true."""
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    found = await self.run(script, *args)
                    if found:
                        return found
                    await asyncio.sleep(0.1)
        except TimeoutError:
            text = await self.run("return document.body.innerText")
            raise NotThere(
                f"not within {wait_s} s: {what or script} {args}\n--- the page says\n{text}"
            ) from None

    async def until_text(self, text: str, within: str = "body", wait_s: float = WAIT_S) -> None:
        """Wait until the page (or a part of it) says so."""
        await self.until(
            "return [...document.querySelectorAll(args[0])].some((one) => one.innerText.includes(args[1]))",
            within,
            text,
            what=f"{text!r} in {within}",
            wait_s=wait_s,
        )

    async def find(self, selector: str, text: str = "", wait_s: float = WAIT_S) -> Element:
        """The first visible element of a CSS selector whose words have this text."""
        script = (
            "return [...document.querySelectorAll(args[0])].find((one) => one.checkVisibility() &&"
            " (one.innerText + ' ' + (one.getAttribute('aria-label') ?? '')).includes(args[1])) ?? null"
        )
        found = await self.until(script, selector, text, what=f"{selector} {text!r}", wait_s=wait_s)
        return Element(self, found[ELEMENT])

    async def active(self) -> str:
        """What has the focus, in words: its tag, its label or text."""
        script = (
            "const one = document.activeElement; return `${one.tagName} ${one.getAttribute('aria-label')"
            " ?? one.labels?.[0]?.innerText ?? one.innerText ?? ''}`.trim()"
        )
        return str(await self.run(script))

    async def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is; names of `KEYS` or characters."""
        actions = []
        for key in keys:
            code = KEYS.get(key, key)
            actions += [{"type": "keyDown", "value": code}, {"type": "keyUp", "value": code}]
        await self.command(
            "POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}
        )

    async def type(self, text: str) -> None:
        """Type a text, wherever the focus is."""
        await self.press(*text)

    async def resize(self, width: int, height: int) -> None:
        """The page's own size, below what a window can be, too."""
        await self.chrome(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )

    async def prefer(self, **features: str) -> None:
        """Media features as a person set them: `prefers_color_scheme="dark"`."""
        chosen = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.chrome("Emulation.setEmulatedMedia", {"features": chosen})

    async def chrome(self, name: str, parameters: Mapping[str, Any]) -> Any:
        """A command of Chromium's own protocol."""
        return await self.command("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    async def screenshot(self, file: Path, *, whole: bool = False) -> None:
        """Keep what the window shows (`whole`: all of the page) as PNG."""
        shown = await self.chrome("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        file.write_bytes(base64.b64decode(shown["data"]))

    async def complaints(self) -> list[str]:
        """What the page and the browser wrote to its console since the last time: errors and broken policies."""
        entries = await self.command("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]


class Element:
    """An element of the page."""

    def __init__(self, browser: Browser, reference: str) -> None:
        """`reference` is the driver's."""
        self._browser = browser
        self._path = f"/element/{reference}"

    async def click(self) -> None:
        """Click into its middle, as a person would: it must be in view and not covered."""
        await self._browser.command("POST", f"{self._path}/click")

    async def type(self, text: str) -> None:
        """Type into it."""
        await self._browser.command("POST", f"{self._path}/value", {"text": text})

    async def text(self) -> str:
        """Its visible words."""
        return str(await self._browser.command("GET", f"{self._path}/text"))


class Driver:
    """A running chromedriver."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._port = free_port()
        self._base = f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        """Start it, and wait until it takes sessions."""
        self._process = await asyncio.create_subprocess_exec(
            "chromedriver",
            f"--port={self._port}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._http = aiohttp.ClientSession()
        async with asyncio.timeout(START_S):
            while True:
                try:
                    async with self._http.get(f"{self._base}/status") as answer:
                        if (await answer.json())["value"]["ready"]:
                            return self
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        await self._http.close()
        self._process.terminate()
        await self._process.wait()

    @asynccontextmanager
    async def window(self, width: int = 1280, height: int = 860) -> AsyncIterator[Browser]:
        """A browser of its own: no cookies, no history."""
        profile = tempfile.mkdtemp(prefix="nepxy-browser-")
        options = {
            "args": [*ARGUMENTS, f"--user-data-dir={profile}", f"--window-size={width},{height}"],
        }
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        async with self._http.post(
            f"{self._base}/session", json={"capabilities": {"alwaysMatch": wanted}}
        ) as answer:
            value = (await answer.json())["value"]
        if "sessionId" not in value:
            raise WebDriverError(str(value))
        session = f"{self._base}/session/{value['sessionId']}"
        browser = Browser(self._http, session)
        try:
            await browser.resize(width, height)
            yield browser
        finally:
            await self._http.delete(session)
            shutil.rmtree(profile, ignore_errors=True)
