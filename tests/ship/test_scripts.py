"""The backup scripts on real servers: what they refuse, and that what they keep is whole and readable by its owner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ship.database_home import SCRIPTS, DatabaseHome, backed_up, database_home, nepxy, rows, run

BACKUP, RESTORE = str(SCRIPTS / "backup_db.sh"), str(SCRIPTS / "restore_db.sh")
IDENTITY = "SELECT installation_id, restored_at IS NOT NULL, released_at FROM app.engine_identity"


@pytest.mark.parametrize("version", [18, 16])
def test_a_backup_comes_back_whole_and_marked_on_another_server(version: int, tmp_path: Path) -> None:
    with database_home(version) as old, database_home(version) as new:
        nepxy("migrate", "up", url=old.owner_url)
        nepxy("clients", "add", "acme", url=old.owner_url)
        file = backed_up(old.owner_url, tmp_path)
        assert file.stat().st_mode & 0o077 == 0, "readable by its owner only"
        assert sorted(path.suffix for path in tmp_path.iterdir()) == [".dump", ".sha256"]

        run(RESTORE, str(file), url=new.owner_url)

        ((theirs, *_),) = rows(old.owner_url, IDENTITY)
        assert rows(new.owner_url, IDENTITY) == [(theirs, True, None)]
        assert rows(new.owner_url, "SELECT client_id FROM app.api_clients") == [("acme",)]
        assert nepxy("migrate", "status", url=new.owner_url).returncode == 0
        said = nepxy("restored", "status", url=new.owner_url, check=False)
        assert said.returncode == 1
        assert f"restored from {file.name}" in said.stdout


def test_passwords_are_not_on_the_command_line(home: DatabaseHome, tmp_path: Path) -> None:
    """Everybody on the machine can read a command line: a spy in pg_dump's place writes down what it was given."""
    nepxy("migrate", "up", url=home.owner_url)
    spies = tmp_path / "bin"
    spies.mkdir()
    spy = spies / "pg_dump"
    spy.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo "pg_dump (PostgreSQL) 18.0"; exit 0; fi\n'
        f'echo "$@" >{tmp_path}/said; echo "$PGUSER $PGPASSWORD" >{tmp_path}/environ; exit 1\n'
    )
    spy.chmod(0o755)

    done = run(BACKUP, str(tmp_path / "out"), url=home.owner_url, check=False, NEPXY_PG_BIN=str(spies))

    assert done.returncode == 1
    assert "p@ss" not in (tmp_path / "said").read_text()
    assert (tmp_path / "environ").read_text() == "nepxy_owner owner: p@ss/word\n"
    assert list((tmp_path / "out").iterdir()) == [], "half a backup is none"


def test_an_empty_database_is_not_backed_up(home: DatabaseHome, tmp_path: Path) -> None:
    done = run(BACKUP, str(tmp_path), url=home.owner_url, check=False)

    assert (done.returncode, "nothing to back up" in done.stderr) == (2, True)


def test_somebody_elses_database_makes_no_backup_of_ours(home: DatabaseHome, tmp_path: Path) -> None:
    rows(home.owner_url, "CREATE TABLE public.other (n int)")

    done = run(BACKUP, str(tmp_path), url=home.owner_url, check=False)

    assert (done.returncode, "has no app." in done.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_restore_over_a_full_database_wants_to_be_told_so(
    homes: Callable[[], DatabaseHome], tmp_path: Path
) -> None:
    old, new = homes(), homes()
    for home in (old, new):
        nepxy("migrate", "up", url=home.owner_url)
    nepxy("clients", "add", "acme", url=old.owner_url)
    # What a newer release has added there goes, too.
    rows(new.owner_url, "CREATE TABLE app.newer (n int)")
    file = backed_up(old.owner_url, tmp_path)

    refused = run(RESTORE, str(file), url=new.owner_url, check=False)
    assert (refused.returncode, "is not empty" in refused.stderr) == (2, True)
    assert rows(new.owner_url, "SELECT count(*) FROM app.api_clients") == [(0,)]

    run(RESTORE, str(file), "--overwrite", url=new.owner_url)
    assert rows(new.owner_url, "SELECT client_id FROM app.api_clients") == [("acme",)]
    assert rows(new.owner_url, "SELECT to_regclass('app.newer')") == [(None,)]
    assert rows(new.owner_url, IDENTITY)[0][1:] == (True, None)


def test_under_a_running_engine_nothing_is_restored(home: DatabaseHome, tmp_path: Path) -> None:
    nepxy("migrate", "up", url=home.owner_url)
    file = backed_up(home.owner_url, tmp_path)
    rows(
        home.owner_url,
        "UPDATE app.shard_leases SET owner = 'node', lease_until = clock_timestamp() + interval '1 minute'",
    )

    refused = run(RESTORE, str(file), "--overwrite", url=home.owner_url, check=False)

    assert (refused.returncode, "stop every engine first" in refused.stderr) == (2, True)


def test_a_file_that_was_damaged_is_not_restored(homes: Callable[[], DatabaseHome], tmp_path: Path) -> None:
    old, new = homes(), homes()
    nepxy("migrate", "up", url=old.owner_url)
    file = backed_up(old.owner_url, tmp_path)
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 1
    file.write_bytes(whole)

    refused = run(RESTORE, str(file), url=new.owner_url, check=False)

    assert (refused.returncode, "SHA-256" in refused.stderr) == (1, True)
    assert rows(new.owner_url, "SELECT to_regnamespace('app')") == [(None,)]


@pytest.mark.parametrize("arguments", [(), ("no such file",), ("file", "--force")])
def test_what_is_missing_is_said(arguments: tuple[str, ...]) -> None:
    done = run(RESTORE, *arguments, url="postgresql://nobody@127.0.0.1:1/none", check=False)

    assert done.returncode == 2
    assert done.stderr


def test_an_unreachable_database_is_said_without_its_password(tmp_path: Path) -> None:
    done = run(BACKUP, str(tmp_path), url="postgresql://me:s3cret@127.0.0.1:1/none", check=False)

    assert done.returncode == 2
    assert "No connection" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
