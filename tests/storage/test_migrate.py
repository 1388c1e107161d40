"""Migrations run once, wholly or not at all, and nobody changes the past."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from pw_migrate.core.checksum import calculate_checksum

from nepxy.storage.migrate import (
    FILE_NAME,
    MIGRATIONS_DIR,
    MigrationError,
    MigrationStatus,
    TableBusy,
    migrate_down,
    migrate_up,
    migration_status,
)
from nepxy.storage.online_indexes import ONLINE_INDEXES
from tests.postgres_server import PostgresServer

FIRST = "20260101000000_expand_first"
SECOND = "20260102000000_expand_second"

# Runs in another process, as `python -m nepxy migrate` does.
MIGRATE = """
import sys
from pathlib import Path
from nepxy.storage.migrate import migrate_up
print(*migrate_up(sys.argv[1], migrations_dir=Path(sys.argv[2])))
"""


def write(folder: Path, name: str, up: str, down: str = "SELECT 1") -> Path:
    path = folder / f"{name}.py"
    path.write_text(
        f'''def migrate(migrator, database, *, fake=False):
    migrator.sql("""{up}""")


def rollback(migrator, database, *, fake=False):
    migrator.sql("""{down}""")
'''
    )
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small migrations."""
    write(tmp_path, FIRST, "CREATE TABLE public.one (n int)", "DROP TABLE public.one")
    write(tmp_path, SECOND, "CREATE TABLE public.two (n int)", "DROP TABLE public.two")
    return tmp_path


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def tables(url: str) -> set[object]:
    rows = query(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in rows} & {"one", "two", "three"}


def wait_until(happened: Callable[[], bool], *, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def migrate_process(url: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MIGRATE, url, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_up_down_one_step_and_up_again(empty_database_url: str, folder: Path) -> None:
    url = empty_database_url
    assert migrate_up(url, migrations_dir=folder) == [FIRST, SECOND]
    assert tables(url) == {"one", "two"}
    assert migrate_up(url, migrations_dir=folder) == []

    assert migrate_down(url, migrations_dir=folder) == SECOND
    assert tables(url) == {"one"}

    assert migrate_up(url, migrations_dir=folder) == [SECOND]
    assert tables(url) == {"one", "two"}
    assert migrate_down(url, migrations_dir=folder) == SECOND
    assert migrate_down(url, migrations_dir=folder) == FIRST
    assert migrate_down(url, migrations_dir=folder) is None
    assert tables(url) == set()


def test_status_tells_applied_pending_and_unknown(empty_database_url: str, folder: Path) -> None:
    def status() -> MigrationStatus:
        return migration_status(empty_database_url, migrations_dir=folder)

    assert status() == MigrationStatus(applied=(), pending=(FIRST, SECOND), unknown=(), changed=())
    assert not status().is_current

    migrate_up(empty_database_url, migrations_dir=folder)
    assert status() == MigrationStatus(applied=(FIRST, SECOND), pending=(), unknown=(), changed=())
    assert status().is_current

    # What the previous release sees after the next one has migrated: it may serve.
    (folder / f"{SECOND}.py").unlink()
    assert status() == MigrationStatus(applied=(FIRST, SECOND), pending=(), unknown=(SECOND,), changed=())
    assert status().is_current


def test_status_neither_loads_pw_migrate_nor_leaves_a_table(empty_database_url: str, folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from nepxy.storage.migrate import migration_status;"
        "migration_status(sys.argv[1], migrations_dir=Path(sys.argv[2]));"
        "print([name for name in sys.modules if name.startswith(('pw_migrate', 'peewee_migrate'))])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, empty_database_url, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert finished.stdout.strip() == "[]"
    assert query(empty_database_url, "SELECT * FROM pg_tables WHERE schemaname = 'public'") == []


def test_our_checksum_is_the_one_that_pw_migrate_stores(empty_database_url: str, folder: Path) -> None:
    migrate_up(empty_database_url, migrations_dir=folder)

    stored = query(empty_database_url, "SELECT checksum FROM public._pw_migrate_internal ORDER BY version")

    assert stored == [(calculate_checksum(str(folder / f"{name}.py")),) for name in (FIRST, SECOND)]


def test_five_processes_at_once_apply_each_migration_once(empty_database_url: str, folder: Path) -> None:
    write(folder, FIRST, "CREATE TABLE public.one (n int); SELECT pg_sleep(0.5)")
    processes = [migrate_process(empty_database_url, folder) for _ in range(5)]

    said = sorted(process.communicate()[0].split() for process in processes)

    assert said == [[], [], [], [], [FIRST, SECOND]]
    assert [process.returncode for process in processes] == [0] * 5


def test_five_instances_that_start_at_once_migrate_the_real_schema_once(empty_database_url: str) -> None:
    environ = {**os.environ, "ENV": "dev", "DATABASE_URL": empty_database_url}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "nepxy", "migrate", "up"],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(5)
    ]

    said = [line for process in processes for line in process.communicate()[0].strip().splitlines()]

    names = [path.stem for path in sorted(MIGRATIONS_DIR.glob("[0-9]*.py"))]
    assert [line for line in said if line.startswith("applied")] == [f"applied {name}" for name in names]
    built = [line for line in said if line.startswith("built index")]
    assert len(built) == len(set(built)) == len(ONLINE_INDEXES)
    assert {line for line in said if not line.startswith(("applied", "built"))} == {
        "nothing to do: the schema is current"
    }
    assert [process.returncode for process in processes] == [0] * 5
    assert migration_status(empty_database_url).is_current


def test_threads_of_one_process_do_not_write_to_each_others_database(
    postgres: PostgresServer, folder: Path
) -> None:
    with postgres.fresh_database(migrated=False) as one, postgres.fresh_database(migrated=False) as other:
        with ThreadPoolExecutor() as pool:
            applied = list(pool.map(lambda url: migrate_up(url, migrations_dir=folder), [one, other]))

        assert applied == [[FIRST, SECOND], [FIRST, SECOND]]
        assert tables(one) == tables(other) == {"one", "two"}


def test_a_run_killed_half_way_leaves_nothing_and_the_next_one_succeeds(
    empty_database_url: str, folder: Path
) -> None:
    url = empty_database_url
    query(url, "CREATE TABLE public.nap AS SELECT 600 AS length_s")
    write(
        folder, SECOND, "CREATE TABLE public.two (n int); SELECT pg_sleep((SELECT length_s FROM public.nap))"
    )
    process = migrate_process(url, folder)
    asleep = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    wait_until(lambda: query(url, asleep) == [(True,)])

    process.kill()
    process.communicate()
    query(url, "UPDATE public.nap SET length_s = 0")

    assert tables(url) == set()
    assert migration_status(url, migrations_dir=folder).applied == ()
    # The dead runner's lock goes with its connection, which the server notices within a second.
    assert migrate_up(url, migrations_dir=folder, wait_for_run_s=30) == [FIRST, SECOND]
    assert tables(url) == {"one", "two"}


def test_a_failing_migration_takes_the_whole_run_with_it(empty_database_url: str, folder: Path) -> None:
    write(folder, SECOND, "CREATE TABLE public.two (n int); SELECT 1 / 0")

    with pytest.raises(MigrationError, match=f"{SECOND} failed: division by zero"):
        migrate_up(empty_database_url, migrations_dir=folder)

    assert tables(empty_database_url) == set()
    write(folder, SECOND, "CREATE TABLE public.two (n int)")
    assert migrate_up(empty_database_url, migrations_dir=folder) == [FIRST, SECOND]


def test_a_lone_percent_sign_is_explained(empty_database_url: str, folder: Path) -> None:
    write(folder, SECOND, "SELECT 'a' LIKE 'a%'")

    with pytest.raises(MigrationError, match="as %%"):
        migrate_up(empty_database_url, migrations_dir=folder)


def test_a_rollback_that_raises_changes_nothing(empty_database_url: str, folder: Path) -> None:
    migrate_up(empty_database_url, migrations_dir=folder)
    third = "20260103000000_contract_third"
    (folder / f"{third}.py").write_text(
        "def migrate(migrator, database, *, fake=False):\n    migrator.sql('CREATE TABLE public.three (n int)')\n\n\n"
        "def rollback(migrator, database, *, fake=False):\n    raise RuntimeError('the column is gone for good')\n"
    )
    migrate_up(empty_database_url, migrations_dir=folder)

    with pytest.raises(MigrationError, match="gone for good"):
        migrate_down(empty_database_url, migrations_dir=folder)

    assert migration_status(empty_database_url, migrations_dir=folder).applied[-1] == third
    assert "three" in tables(empty_database_url)


def test_a_changed_file_is_refused_even_for_a_blank_line(empty_database_url: str, folder: Path) -> None:
    migrate_up(empty_database_url, migrations_dir=folder)
    first = folder / f"{FIRST}.py"
    first.write_text(first.read_text() + "\n")
    write(folder, "20260103000000_expand_third", "CREATE TABLE public.three (n int)")

    for run in (migrate_up, migrate_down):
        with pytest.raises(MigrationError, match=f"(?s){FIRST}.*Restore the file"):
            run(empty_database_url, migrations_dir=folder)

    status = migration_status(empty_database_url, migrations_dir=folder)
    assert (status.changed, status.is_current) == ((FIRST,), False)
    assert tables(empty_database_url) == {"one", "two"}


def test_another_file_under_an_applied_timestamp_is_refused(empty_database_url: str, folder: Path) -> None:
    migrate_up(empty_database_url, migrations_dir=folder)
    (folder / f"{SECOND}.py").rename(folder / "20260102000000_expand_renamed.py")

    with pytest.raises(MigrationError, match=SECOND):
        migrate_up(empty_database_url, migrations_dir=folder)


def test_a_file_may_change_its_name_while_it_is_rolled_back(empty_database_url: str, folder: Path) -> None:
    migrate_up(empty_database_url, migrations_dir=folder)
    migrate_down(empty_database_url, migrations_dir=folder)
    (folder / f"{SECOND}.py").rename(folder / "20260102000000_expand_renamed.py")

    assert migrate_up(empty_database_url, migrations_dir=folder) == ["20260102000000_expand_renamed"]
    assert migration_status(empty_database_url, migrations_dir=folder).is_current


def test_two_files_of_one_timestamp_are_refused(empty_database_url: str, folder: Path) -> None:
    write(folder, "20260102000000_expand_twin", "CREATE TABLE public.three (n int)")

    with pytest.raises(MigrationError, match=r"20260102000000_expand_second, 20260102000000_expand_twin"):
        migrate_up(empty_database_url, migrations_dir=folder)

    assert tables(empty_database_url) == set()


@pytest.mark.parametrize(
    "name", ["0001_initial", "20260103000000_add_table", "20260103000000_expand_Upper", "helpers"]
)
def test_a_name_that_would_never_run_is_refused(empty_database_url: str, folder: Path, name: str) -> None:
    write(folder, name, "SELECT 1")

    with pytest.raises(MigrationError, match=name):
        migrate_up(empty_database_url, migrations_dir=folder)


def test_a_file_without_its_functions_is_refused_instead_of_recorded(
    empty_database_url: str, folder: Path
) -> None:
    (folder / "20260103000000_expand_third.py").write_text("def up(migrator):\n    pass\n")

    with pytest.raises(MigrationError, match="no function migrate and no function rollback"):
        migrate_up(empty_database_url, migrations_dir=folder)

    assert tables(empty_database_url) == set()


def test_a_migration_of_a_newer_release_is_not_rolled_back_blindly(
    empty_database_url: str, folder: Path
) -> None:
    migrate_up(empty_database_url, migrations_dir=folder)
    (folder / f"{SECOND}.py").unlink()

    with pytest.raises(MigrationError, match=f"{SECOND} is applied"):
        migrate_down(empty_database_url, migrations_dir=folder)

    assert tables(empty_database_url) == {"one", "two"}


def test_a_locked_table_makes_it_give_up_rather_than_queue(empty_database_url: str, folder: Path) -> None:
    url = empty_database_url
    migrate_up(url, migrations_dir=folder)
    write(folder, "20260103000000_expand_third", "ALTER TABLE public.one ADD COLUMN m int")
    with closing(psycopg2.connect(url)) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT * FROM public.one")

        with pytest.raises(TableBusy, match="lock timeout"):
            migrate_up(url, migrations_dir=folder, wait_for_table_s=0.2, try_for_s=0)

    assert migrate_up(url, migrations_dir=folder) == ["20260103000000_expand_third"]


def test_beside_a_long_transaction_it_tries_again_and_readers_hardly_notice(
    empty_database_url: str, folder: Path
) -> None:
    """A waiting ALTER TABLE makes every reader queue up behind it: so each wait is short, and the table is left alone
    in between."""
    url, third = empty_database_url, "20260103000000_expand_third"
    migrate_up(url, migrations_dir=folder)
    write(folder, third, "ALTER TABLE public.one ADD COLUMN m int")
    tries: list[TableBusy] = []
    applied: list[str] = []
    longest_s, reads_count = 0.0, 0
    with (
        closing(psycopg2.connect(url)) as long_one,
        long_one.cursor() as cursor,
        closing(psycopg2.connect(url)) as reader,
        reader.cursor() as reading,
        ThreadPoolExecutor(1) as pool,
    ):
        reader.autocommit = True
        cursor.execute("SELECT * FROM public.one")

        def run() -> None:
            applied.extend(
                migrate_up(
                    url, migrations_dir=folder, wait_for_table_s=0.3, table_free_for_s=0.5, busy=tries.append
                )
            )

        migrating = pool.submit(run)
        while len(tries) < 3:
            began = time.monotonic()
            reading.execute("SELECT count(*) FROM public.one")
            longest_s, reads_count = max(longest_s, time.monotonic() - began), reads_count + 1
            assert not migrating.done(), "it may not get past the long transaction"
        long_one.commit()
        migrating.result(timeout=30)

    assert applied == [third]
    assert reads_count > 20
    # One wait of 0.3 s, and what a loaded machine adds; without the limit it would be the long transaction's length.
    assert longest_s < 1.5


def test_it_says_who_it_waited_for(empty_database_url: str, folder: Path) -> None:
    query(empty_database_url, "CREATE TABLE public.nap AS SELECT 600 AS length_s")
    write(folder, FIRST, "SELECT pg_sleep((SELECT length_s FROM public.nap))")
    slow = migrate_process(empty_database_url, folder)
    holds_lock = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted"
    wait_until(lambda: query(empty_database_url, holds_lock) == [(True,)])

    with pytest.raises(MigrationError, match=r"Another run of migrations did not end within 0\.2 s"):
        migrate_up(empty_database_url, migrations_dir=folder, wait_for_run_s=0.2)

    slow.kill()
    slow.communicate()


def test_settings_that_would_hide_the_history_are_refused(
    empty_database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW_MIGRATE_HISTORY_TABLE", "elsewhere")

    with pytest.raises(MigrationError, match="Unset PW_MIGRATE_HISTORY_TABLE"):
        migrate_up(empty_database_url, migrations_dir=folder)

    assert query(empty_database_url, "SELECT * FROM pg_tables WHERE schemaname = 'public'") == []


def test_a_lock_row_left_by_hand_is_explained(empty_database_url: str, folder: Path) -> None:
    migrate_up(empty_database_url, migrations_dir=folder)
    migrate_down(empty_database_url, migrations_dir=folder)
    query(empty_database_url, "UPDATE public.migration_lock SET is_locked = true")

    with pytest.raises(MigrationError, match=r"UPDATE public\.migration_lock SET is_locked = false"):
        migrate_up(empty_database_url, migrations_dir=folder)


def test_an_unreachable_database_is_said_without_its_password(folder: Path) -> None:
    with pytest.raises(MigrationError, match="No connection to the database") as caught:
        migrate_up("postgresql://postgres:s3cret@127.0.0.1:1/nepxy", migrations_dir=folder)

    assert "s3cret" not in str(caught.value)


def test_our_own_migrations_go_up_down_and_up_again(empty_database_url: str) -> None:
    names = [path.stem for path in sorted(MIGRATIONS_DIR.glob("[0-9]*.py"))]
    assert all(FILE_NAME.fullmatch(f"{name}.py") for name in names)
    relations = (
        "SELECT relkind, relname FROM pg_class WHERE relnamespace = to_regnamespace('app') ORDER BY 1, 2"
    )

    assert migrate_up(empty_database_url) == names
    made = query(empty_database_url, relations)
    for name in reversed(names):
        assert migrate_down(empty_database_url) == name
    assert query(empty_database_url, relations) == []
    assert migrate_up(empty_database_url) == names
    assert query(empty_database_url, relations) == made


def test_a_fresh_database_is_migrated_and_its_own(database_url: str, postgres: PostgresServer) -> None:
    assert migration_status(database_url).is_current
    query(database_url, "CREATE TABLE public.one (n int)")

    with postgres.fresh_database() as other:
        assert tables(other) == set()
