"""What `make run` starts: everything in one process group, tried by the smoke script, stopped by Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.cli.support import nepxy
from tests.journey.harness import free_port

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not tmp_path: as root the embedded server runs as another user, who must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="nepxy-run-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def until_ready(process: subprocess.Popen[str], *urls: str) -> None:
    async with asyncio.timeout(90), aiohttp.ClientSession() as session:
        for url in urls:
            while True:
                assert process.poll() is None
                try:
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)


async def test_run_takes_a_payout_to_confirmed_and_carries_on_after_ctrl_c(data_dir: Path) -> None:
    port, sandbox_port = free_port(), free_port()
    environ = {
        **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
        "NEPXY_DATA_DIR": str(data_dir),
    }
    command = [sys.executable, "-m", "nepxy", "run", "--port", str(port), "--sandbox-port", str(sandbox_port)]
    base = f"http://127.0.0.1:{port}"
    for start in range(2):
        process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
        )
        try:
            await until_ready(process, f"{base}/readyz", f"http://127.0.0.1:{sandbox_port}/_sandbox/faults")
            people = json.loads((data_dir / "dev-client.json").read_text())
            smoke_environ = environ | {
                "BASE_URL": base,
                "NEPXY_CLIENT_ID": people["client_id"],
                "NEPXY_CLIENT_SECRET": people["client_secret"],
            }
            smoke = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, str(ROOT / "scripts" / "smoke_dev.py")],
                env=smoke_environ,
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            assert smoke.returncode == 0, smoke.stdout + smoke.stderr
            if start == 0:
                await until_paid_as_the_readme_says(base, f"http://127.0.0.1:{sandbox_port}", people)
            await until_kept(base, people, count=start + 1)
            # The operators' commands find it without being told.
            listed = await asyncio.to_thread(nepxy, "payouts", "list", "--json", environ=environ)
            assert listed.status == 0, listed.err
            assert len(listed.json()["payouts"]) >= start + 1
        finally:
            os.killpg(process.pid, signal.SIGINT)
            output, _ = await asyncio.to_thread(process.communicate, timeout=90)
        assert process.returncode == 0, output
        assert "export TOKEN=" in output
        assert "export OPERATOR_TOKEN=" in output


async def until_paid_as_the_readme_says(base: str, sandbox: str, people: dict[str, str]) -> None:
    """Each line of the README's that pays is posted as it stands, is settled, and moves its money once."""
    bodies = re.findall(r"^pay '(\{.*\})'$", (ROOT / "README.md").read_text(), re.MULTILINE)
    wanted = {body["external_ref"]: body for body in map(json.loads, bodies)}
    async with aiohttp.ClientSession() as session:
        headers = await signed_in(session, base, people)
        for name, body in wanted.items():
            keyed = headers | {"Idempotency-Key": name}
            async with session.post(f"{base}/v1/payouts", json=body, headers=keyed) as answer:
                assert answer.status == 202, await answer.text()
        async with asyncio.timeout(60):
            while True:
                async with session.get(f"{base}/v1/payouts", headers=headers) as answer:
                    items = {item["external_ref"]: item for item in (await answer.json())["items"]}
                done = {name: items[name] for name in wanted}
                if {item["status"] for item in done.values()} == {"CONFIRMED"}:
                    break
                await asyncio.sleep(0.2)
        assert {item["provider"] for item in done.values()} == {"TMONEY", "FLOOZ", "MOMO", "THUNES"}
        for name, item in done.items():
            async with session.get(f"{sandbox}/_sandbox/ledger/{item['submission_ref']}") as answer:
                moved = (await answer.json())["entries"]
            provider, number = item["provider"].lower(), wanted[name]["phone_e164"]
            assert [(one["provider"], one["msisdn"]) for one in moved] == [(provider, number)]


async def signed_in(session: aiohttp.ClientSession, base: str, people: dict[str, str]) -> dict[str, str]:
    asked = {
        "grant_type": "client_credentials",
        "client_id": people["client_id"],
        "client_secret": people["client_secret"],
    }
    async with session.post(f"{base}/v1/auth/token", data=asked) as answer:
        return {"Authorization": f"Bearer {(await answer.json())['access_token']}"}


async def until_kept(base: str, people: dict[str, str], *, count: int) -> None:
    """The payouts of earlier runs are still there."""
    async with aiohttp.ClientSession() as session:
        headers = await signed_in(session, base, people)
        async with session.get(f"{base}/v1/payouts", headers=headers) as answer:
            items = (await answer.json())["items"]
    assert len(items) >= count
    assert {item["status"] for item in items} == {"CONFIRMED"}
