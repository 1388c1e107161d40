"""Whatever the API document allows, and more: a running engine never answers 5xx, nor anything that is not written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nepxy.storage.database import Reader
from nepxy.storage.people import save_operator
from tests.journey.harness import Client, a_body, token

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
EXAMPLES_OF_AN_OPERATION = 12
LIMIT_S = 240


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 60)
async def test_nothing_undocumented_and_no_5xx_whatever_is_sent(
    client: Client, database_url: str, tmp_path: Path
) -> None:
    reader = Reader(database_url, connections_max=1, statement_timeout_s=10, connect_timeout_s=5)
    reader.run_here(save_operator, operator_id="root", name="Root", secret="root's secret")
    reader.close()
    client.subject = "root"
    _, body, _ = await client.post("known", a_body(1))
    _known(tmp_path, transaction_id=json.loads(body)["transaction_id"])
    bearer = token("root", ("admin", "payouts:read", "payouts:write"))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{client.town.base}/openapi.json"),
        *("--header", f"Authorization: Bearer {bearer}"),
        *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES_OF_AN_OPERATION), "--seed", "1"),
        *("--exclude-path", "/v1/admin/live", "--continue-on-failure", "--no-color"),
    ]
    process = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert process.returncode == 0, process.stdout[-6000:] + process.stderr[-2000:]
    assert (await client.get("/v1/payouts"))["items"] is not None


def _known(folder: Path, *, transaction_id: str) -> None:
    """What no generator would guess, so that it gets past the doors, too."""
    values = {
        "path.transaction_id": transaction_id,
        "path.provider": "tmoney",
        "path.name": "TMONEY",
        "path.command": ["retry", "poll", "note", "pause", "resume", "set-pace", "juggle"],
    }
    lines = ["[parameters]", *(f"{json.dumps(name)} = {json.dumps(known)}" for name, known in values.items())]
    (folder / "schemathesis.toml").write_text("\n".join(lines))
