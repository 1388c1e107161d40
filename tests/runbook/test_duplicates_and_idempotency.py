"""A client uses one key for two requests; the runbook finds which field differs, and what became of the first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.journey.harness import a_body
from tests.runbook.conftest import Stage

pytestmark = pytest.mark.timeout(180)
ANCHOR = "duplicates-and-idempotency"


async def test_a_conflict_rings_and_the_runbook_names_the_field(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(ANCHOR) as on_call:
        client = on_call.client
        (first,) = await on_call.pay(1)
        await on_call.until_all([first], "CONFIRMED")
        other = a_body(1) | {"amount": 5000}
        status, refused, _ = await client.post("key-1", other)
        assert (status, json.loads(refused)["code"]) == (409, "IDEMPOTENCY_CONFLICT")
        await on_call.until_it_fires("IdempotencyConflicts")
        said = await on_call.until_the_doctor_says(1)
        assert f"docs/runbook.md#{ANCHOR}" in said.out

        (stored,) = on_call.follow(1, KEY="key-1")
        assert first in stored.out
        assert a_body(1)["phone_e164"] not in stored.out
        monkeypatch.chdir(tmp_path)
        Path("request.json").write_text(json.dumps(other))
        (compared,) = on_call.follow(2, status=1)
        assert [line.split()[0] for line in compared.out.splitlines()[1:]] == ["amount"]
        assert "5000" in compared.out
        shown, _ = on_call.follow(3, ID=first)
        assert "CONFIRMED" in shown.out
        # Step 4: the client does as it is told.
        on_call.follow(4)
        status, _, headers = await client.post("key-1", a_body(1))
        assert (status, headers["Idempotency-Replayed"]) == (202, "true")
        status, _, _ = await client.post("key-2", other | {"external_ref": "another-payout"})
        assert status == 202
        (both,) = on_call.follow(5, LAST_DIGITS="1234")
        assert first in both.out

        await on_call.until_the_doctor_says(0, limit_s=60)
        on_call.is_over()
        await on_call.until_it_is_silent("IdempotencyConflicts")
        ledger = await on_call.sandbox("summary")
        assert ledger["references_paid_more_than_once"] == 0
