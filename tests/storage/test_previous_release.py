"""The release before works on the schema of this one: that is what makes a roll-back safe (docs/rollback.md)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nepxy.storage.migrate import MIGRATIONS_DIR, migrate_down

HOME = Path(__file__).parents[1] / "previous_release"
FROZEN = HOME / "frozen"


def smoked(url: str, code: Path) -> dict[str, object]:
    """What the smoke says, run by the code in that folder."""
    finished = subprocess.run(
        [sys.executable, str(HOME / "smoke.py"), url],
        env={**os.environ, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    said: dict[str, object] = json.loads(finished.stdout)
    assert Path(str(said["code"])).is_relative_to(code), "another release's code ran"
    return said


def test_the_previous_releases_storage_works_on_the_newest_schema(database_url_both: str) -> None:
    said = smoked(database_url_both, FROZEN)

    ours = {path.name for path in MIGRATIONS_DIR.glob("[0-9]*.py")}
    theirs = {path.name for path in (FROZEN / "nepxy" / "migrations").glob("[0-9]*.py")}
    assert theirs < ours, "the frozen copy is older than today's schema"
    assert (said["may_serve"], said["unknown"]) == (True, len(ours - theirs))
    assert said["rows"] == {
        "payout_events": 13,
        "payout_attempts": 4,
        "webhook_events": 4,
        "discrepancies": 1,
        "audit_log": 2,
    }


def test_it_works_on_its_own_schema_too(database_url: str) -> None:
    """Else the test above would fail for reasons that have nothing to do with the newest schema."""
    theirs = len(list((FROZEN / "nepxy" / "migrations").glob("[0-9]*.py")))
    for _ in range(len(list(MIGRATIONS_DIR.glob("[0-9]*.py"))) - theirs):
        migrate_down(database_url)

    assert smoked(database_url, FROZEN)["unknown"] == 0


def test_the_smoke_notices_a_schema_that_it_cannot_work_on(database_url: str) -> None:
    import psycopg2

    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE app.mobile_money_payouts RENAME COLUMN unreached_count TO unreached")
    connection.close()

    with pytest.raises(AssertionError, match="unreached_count"):
        smoked(database_url, FROZEN)


def test_the_frozen_copy_is_what_git_has_under_its_name() -> None:
    ref = (FROZEN / "REF").read_text().strip()
    found = subprocess.run(
        ["git", "archive", ref, "nepxy"], cwd=HOME.parents[1], capture_output=True, check=False
    )
    if found.returncode != 0:
        pytest.skip("this copy of the repository has no history")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        for path in FROZEN.rglob("*.py"):
            member = archive.extractfile(str(path.relative_to(FROZEN)))
            assert member is not None
            assert member.read() == path.read_bytes(), path
