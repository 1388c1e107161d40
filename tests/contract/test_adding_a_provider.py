"""docs/adding-a-provider.md is true: its blocks make a package that is found, proves itself, and pays a payout."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.journey.harness import Client, Town

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-provider.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEY = "acme-key"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files, and with what an installation would have written down of them."""
    folder = tmp_path_factory.mktemp("site")
    for name, text in BLOCK.findall(PAGE):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    setup = configparser.ConfigParser()
    setup.read(folder / "setup.cfg")
    info = folder / "acme_pay-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pay\nVersion: 1.0\n")
    groups = setup["options.entry_points"].items()
    points = "".join(f"[{group}]\n{lines.strip()}\n" for group, lines in groups)
    (info / "entry_points.txt").write_text(points)
    return folder


@pytest.fixture
def environ(package: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(package), str(ROOT)))}


def run(environ: dict[str, str], *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=environ, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_makes_the_files_that_it_names(package: Path) -> None:
    named = re.findall(
        r"^ *([a-z_]+\.(?:py|cfg)) ", PAGE.partition("```\n")[2].partition("```")[0], re.MULTILINE
    )
    made = {str(file.name) for file in package.rglob("*") if file.suffix in (".py", ".cfg")}
    assert set(named) == made


def test_the_provider_is_found_by_its_entry_points(package: Path, environ: dict[str, str]) -> None:
    code = """
from nepxy.config.settings import Settings
from nepxy.providers.registry import build_adapters, plugins
without = Settings.from_environ({})
assert list(without.providers) == ["TMONEY", "FLOOZ", "MOMO", "THUNES", "ACME"], without.providers
assert not without.providers["ACME"].enabled
assert without.providers["ACME"].ready_problems == ("ACME_SANDBOX_BASE_URL", "ACME_SANDBOX_API_KEY")
assert "ACME" in plugins() and "ACME" not in build_adapters(without.providers)
set_up = Settings.from_environ({
    "MM_ENABLED_PROVIDERS": "ACME", "ACME_BASE_URL": "https://acme.example", "ACME_SANDBOX_API_KEY": "key",
    "ACME_RETRY_BASE_S": "7", "ACME_BASE_URI": "slip",
})
acme = set_up.providers["ACME"]
assert acme.enabled and acme.retry.base_s == 7 and set_up.providers["TMONEY"].retry.base_s == 30
assert build_adapters(set_up.providers)["ACME"].account.startswith("sandbox acme https://acme.example")
assert "did you mean ACME_BASE_UR" in set_up.warnings[0], set_up.warnings
print("found")
"""
    assert run(environ, "-c", code, cwd=package) == "found\n"


def test_its_adapter_passes_the_conformance_suite(package: Path, environ: dict[str, str]) -> None:
    # In a process of its own: this one does not know the package, and pytest is configured as an outsider would.
    said = run(environ, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_acme_pay.py", cwd=package)
    assert int(re.findall(r"(\d+) passed", said)[0]) >= 15
    assert "failed" not in said
    assert "skipped" not in said


@pytest.fixture
def acme_town(database_url: str, tmp_path: Path, package: Path) -> Iterator[Town]:
    town = Town(database_url=database_url, folder=tmp_path)
    town.overrides = {
        "PYTHONPATH": os.pathsep.join((str(package), str(ROOT))),
        "MM_ENABLED_PROVIDERS": "ACME",
        "ACME_SANDBOX_API_KEY": KEY,
        "ACME_SANDBOX_BASE_URL": f"http://127.0.0.1:{town.sandbox_port}",
        "ACME_WEBHOOK_SECRET": "acme-webhook-secret",
    }
    try:
        yield town
    finally:
        town.stop()


async def test_a_payout_without_a_provider_is_paid_through_it(
    acme_town: Town, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(package))
    from acme_pay.sandbox import Sandbox  # type: ignore[import-not-found]

    sandbox = Sandbox(KEY)
    runner = web.AppRunner(sandbox.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", acme_town.sandbox_port).start()
    try:
        acme_town.start_engine()
        async with aiohttp.ClientSession() as session:
            await engine_ready(acme_town, session)
            client = Client(session, acme_town)
            body = {
                "amount": 1000,
                "currency": "XOF",
                "phone_e164": "+221771234567",
                "country": "SN",
                "external_ref": "salary-1",
            }
            status, answer, _ = await client.post("key-1", body)
            made = json.loads(answer)
            assert (status, made["provider"]) == (202, "ACME")
            assert made["route_reason"] == "Orange in SN is paid through ACME"
            paid = await client.until(made["transaction_id"], "CONFIRMED", "FAILED", "REVIEW")
            assert paid["status"] == "CONFIRMED"
            assert sandbox.moved == {paid["submission_ref"]: 1}
    finally:
        await runner.cleanup()


async def engine_ready(town: Town, session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(60):
        while True:
            assert town.engine is not None
            assert town.engine.poll() is None, town.log_text()
            try:
                async with session.get(f"{town.base}/readyz") as ready:
                    if ready.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
