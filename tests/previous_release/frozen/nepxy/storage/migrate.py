"""Runs the schema's migrations with pw-migrate, and tells without it which of them a database has.

pw-migrate finds the files, runs them and keeps their checksums. Three things it cannot promise, so they are here:

- **Once.** Its lock is a row that two can take at once and that a crash leaves taken. We hold a PostgreSQL advisory
  lock, which dies with its transaction. That lock also works behind a pooler, where a session's would not.
- **All or nothing.** It commits a migration and its own history row apart, so a kill in between runs the file again.
  We wrap a whole run, history included, in one transaction.
- **No surprise.** It skips in silence a file whose timestamp is already applied or whose name it does not like, and
  records as applied a file without the function that it calls. We refuse all of these.

It replaces `Database.execute_sql` in the whole process while it replays applied files. So it is imported only where
a migration runs, by `python -m nepxy migrate`; a serving process asks `migration_status`, which is plain SQL.

The history is `public._pw_migrate_internal`, pw-migrate's own default: not in `app`, because it must exist before the
first migration makes that schema, and outlive the last `rollback`, which drops it. (Beside it the tool makes
`migration_lock` and `_pw_migrate_peewee_engine`; nothing of ours reads them.)
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import peewee
import psycopg2
from psycopg2.extensions import connection as PsycopgConnection
from psycopg2.extensions import parse_dsn

if TYPE_CHECKING:
    from pw_migrate.core.runner import MigratorRunner

MIGRATIONS_DIR: Final = Path(__file__).parents[1] / "migrations"
HISTORY_TABLE: Final = "_pw_migrate_internal"
FILE_NAME: Final = re.compile(r"(?P<version>\d{14})_(?P<name>(expand|contract)_[a-z0-9_]+)\.py")
# An arbitrary number, "nepxymig" in ASCII; all that matters is that nothing else of ours uses it.
ADVISORY_LOCK_KEY: Final = int.from_bytes(b"nepxymig", "big")
# How long to wait for another run of migrations to end, and for a lock on a table: the first may take its time, the
# second must give up before the queries that queue up behind it become an outage.
WAIT_FOR_RUN_S_MAX: Final = 120.0
WAIT_FOR_TABLE_S_MAX: Final = 5.0
STATUS_S_MAX: Final = 5

# pw-migrate binds its models to a database by a class attribute, so two threads would write to each other's database.
_one_at_a_time = threading.Lock()


class MigrationError(Exception):
    """The schema was not changed; the message says which migration is wrong and `hint` what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """How a database compares with the migration files of this release; names without `.py`, in order of time."""

    applied: tuple[str, ...]
    """In the database, known or not."""
    pending: tuple[str, ...]
    """Files that the database lacks."""
    unknown: tuple[str, ...]
    """Applied, without a file here: a newer release was here before. Its schema must suit us (expand/contract)."""
    changed: tuple[str, ...]
    """Applied from a file that was another one then, in its content or in its name."""

    @property
    def is_current(self) -> bool:
        """Whether this release can serve on this schema."""
        return not self.pending and not self.changed


@dataclass(frozen=True, slots=True)
class _Migration:
    version: str
    name: str
    checksum: str | None

    @property
    def full_name(self) -> str:
        return f"{self.version}_{self.name}"


def migrate_up(
    url: str,
    *,
    migrations_dir: Path = MIGRATIONS_DIR,
    wait_for_run_s: float = WAIT_FOR_RUN_S_MAX,
    wait_for_table_s: float = WAIT_FOR_TABLE_S_MAX,
) -> list[str]:
    """Apply every pending migration, all of them or none; a second caller waits, then finds nothing to do.

    Never call this in a process that serves: see the module's docstring.

    Returns:
        The names that this call applied, in order.

    Raises:
        MigrationError: nothing was applied.
    """
    files = _read_files(migrations_dir)
    _check_functions(migrations_dir, files)
    with _transaction(url, wait_for_run_s=wait_for_run_s, wait_for_table_s=wait_for_table_s) as database:
        status = _compare(files, _read_history(database.connection()))
        _refuse_changed(status)
        if not status.pending:
            return []
        runner = _load_runner(database, migrations_dir)
        # A rolled back row would keep the name and the time of its first run.
        pending_versions = [name.partition("_")[0] for name in status.pending]
        database.execute_sql(
            f"DELETE FROM public.{HISTORY_TABLE} WHERE status <> 'UP' AND version = ANY(%s)",
            (pending_versions,),
        )
        for name in status.pending:
            _run(name, lambda: runner.run_up(steps=1))
        return list(status.pending)


def migrate_down(
    url: str,
    *,
    migrations_dir: Path = MIGRATIONS_DIR,
    wait_for_run_s: float = WAIT_FOR_RUN_S_MAX,
    wait_for_table_s: float = WAIT_FOR_TABLE_S_MAX,
) -> str | None:
    """Roll the newest applied migration back, and only that one; None when none is applied.

    Raises:
        MigrationError: nothing was rolled back.
    """
    files = _read_files(migrations_dir)
    _check_functions(migrations_dir, files)
    with _transaction(url, wait_for_run_s=wait_for_run_s, wait_for_table_s=wait_for_table_s) as database:
        status = _compare(files, _read_history(database.connection()))
        _refuse_changed(status)
        if not status.applied:
            return None
        name = status.applied[-1]
        if name in status.unknown:
            raise MigrationError(
                f"{name} is applied, but this release does not have its file.",
                "Roll it back with the release that brought it.",
            )
        runner = _load_runner(database, migrations_dir)
        _run(name, lambda: runner.run_down(steps=1))
        return name


def migration_status(url: str, *, migrations_dir: Path = MIGRATIONS_DIR) -> MigrationStatus:
    """Compare the database with this release's files, over a connection of its own. Blocks: not for the event loop.

    Raises:
        psycopg2.Error: the database is not there, or the question took longer than `STATUS_S_MAX`.
    """
    connection = psycopg2.connect(url, connect_timeout=STATUS_S_MAX, application_name="nepxy status")
    try:
        return read_status(connection, migrations_dir=migrations_dir)
    finally:
        connection.close()


def read_status(connection: PsycopgConnection, *, migrations_dir: Path = MIGRATIONS_DIR) -> MigrationStatus:
    """`migration_status` over the caller's connection, in a transaction that is over when this returns."""
    with connection:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", (STATUS_S_MAX * 1000,))
        return _compare(_read_files(migrations_dir), _read_history(connection))


def _read_files(migrations_dir: Path) -> list[_Migration]:
    """This release's migrations, in order of time; refuses what pw-migrate would skip without a word."""
    files = []
    for path in sorted(migrations_dir.glob("*.py")):
        if path.name == "__init__.py":
            continue
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(
                f"{path.name} is not a migration's name, so it would never run.",
                "Name it <YYYYMMDDhhmmss>_expand_<what>.py or …_contract_<what>.py, in lower case.",
            )
        # The same as pw_migrate.core.checksum, which a test compares.
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append(_Migration(match["version"], match["name"], checksum))
    repeated = [version for version, count in Counter(file.version for file in files).items() if count > 1]
    if repeated:
        names = ", ".join(file.full_name for file in files if file.version in repeated)
        raise MigrationError(
            f"Two migrations have the same timestamp: {names}.",
            "Give the newer one a later timestamp; the second of a pair would never run.",
        )
    return files


def _check_functions(migrations_dir: Path, files: Sequence[_Migration]) -> None:
    """Refuse a file without the two functions: pw-migrate would do nothing, and record that it did."""
    for file in files:
        try:
            tree = ast.parse((migrations_dir / f"{file.full_name}.py").read_bytes())
        except SyntaxError as error:
            raise MigrationError(f"{file.full_name} is not Python: {error}.", "Mend the file.") from error
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        missing = {"migrate", "rollback"} - functions
        if missing:
            raise MigrationError(
                f"{file.full_name} has no function {' and no function '.join(sorted(missing))}.",
                "See docs/migrations.md; a migration that cannot be undone raises in rollback.",
            )


def _read_history(connection: PsycopgConnection) -> list[_Migration]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f"public.{HISTORY_TABLE}",))
        if cursor.fetchone() != (True,):
            return []
        cursor.execute(
            f"SELECT version, name, checksum FROM public.{HISTORY_TABLE} WHERE status = 'UP' ORDER BY version"
        )
        return [_Migration(*row) for row in cursor.fetchall()]


def _compare(files: Sequence[_Migration], history: Sequence[_Migration]) -> MigrationStatus:
    file_of = {file.version: file for file in files}
    applied_versions = {row.version for row in history}
    return MigrationStatus(
        applied=tuple(row.full_name for row in history),
        pending=tuple(file.full_name for file in files if file.version not in applied_versions),
        unknown=tuple(row.full_name for row in history if row.version not in file_of),
        changed=tuple(row.full_name for row in history if file_of.get(row.version, row) != row),
    )


def _refuse_changed(status: MigrationStatus) -> None:
    if status.changed:
        raise MigrationError(
            f"Changed or renamed after it was applied: {', '.join(status.changed)}.",
            "Restore the file as it was (not even a blank line may differ) and write a new migration instead.",
        )


@contextlib.contextmanager
def _transaction(
    url: str, *, wait_for_run_s: float, wait_for_table_s: float
) -> Iterator[peewee.PostgresqlDatabase]:
    """One connection in one transaction that holds the advisory lock; commits only if the block ends well."""
    # libpq's own reading of the URL, because playhouse.db_url leaves %40 in a password as it is.
    parameters: dict[str, Any] = {
        "connect_timeout": 10,
        "application_name": "nepxy migrate",
        **parse_dsn(url),
    }
    database = peewee.PostgresqlDatabase(parameters.pop("dbname", "postgres"), **parameters)
    with _one_at_a_time:
        try:
            database.connect()
        except peewee.OperationalError as error:
            raise MigrationError(
                f"No connection to the database: {error}".strip(), "Is it up, and is DATABASE_URL right?"
            ) from error
        try:
            with database.atomic():
                _prepare(database, wait_for_run_s=wait_for_run_s, wait_for_table_s=wait_for_table_s)
                yield database
        finally:
            database.close()


def _prepare(database: peewee.PostgresqlDatabase, *, wait_for_run_s: float, wait_for_table_s: float) -> None:
    # A role's own search_path must not decide where the history lies; nor its time-outs, when a migration ends.
    database.execute_sql("SET LOCAL search_path = public")
    database.execute_sql("SET LOCAL statement_timeout = 0")
    database.execute_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
    # Else a killed runner's statement goes on, and keeps the lock, until it ends by itself.
    database.execute_sql("SET LOCAL client_connection_check_interval = 1000")
    # lock_timeout counts for the advisory lock, too.
    database.execute_sql("SET LOCAL lock_timeout = %s", (int(wait_for_run_s * 1000),))
    try:
        database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK_KEY,))
    except peewee.OperationalError as error:
        raise MigrationError(
            f"Another run of migrations did not end within {wait_for_run_s:g} s: {error}".strip(),
            "Look for application_name 'nepxy migrate' in pg_stat_activity; run this again when it is gone.",
        ) from error
    database.execute_sql("SET LOCAL lock_timeout = %s", (int(wait_for_table_s * 1000),))


def _load_runner(database: peewee.PostgresqlDatabase, migrations_dir: Path) -> MigratorRunner:
    """pw-migrate's runner, imported only now (see the module's docstring)."""
    from pw_migrate.core.runner import MigratorRunner
    from pw_migrate.models.migration_history import MigrationHistory

    runner = MigratorRunner(database, migrate_dir=str(migrations_dir))
    # PW_MIGRATE_HISTORY_TABLE, PEEWEE_MIGRATION_TABLE or a pw_migrate.toml would hide what is applied, from us too.
    table = MigrationHistory._meta.table_name
    if table != HISTORY_TABLE:
        raise MigrationError(
            f"pw-migrate is set to keep its history in {table!r}, not in {HISTORY_TABLE!r}.",
            "Unset PW_MIGRATE_HISTORY_TABLE and PEEWEE_MIGRATION_TABLE; remove history_table from pw_migrate.toml.",
        )
    return runner


def _run(name: str, step: Callable[[], list[str]]) -> None:
    """Let pw-migrate take one step, and make sure that it was the step that we meant."""
    from pw_migrate.exceptions import MigrationLocked

    try:
        done = step()
    except MigrationLocked as error:
        raise MigrationError(
            f"Someone runs pw-migrate by hand, or it was killed: {error}.",
            "If it was killed: UPDATE public.migration_lock SET is_locked = false; then run this again.",
        ) from error
    except IndexError as error:
        raise MigrationError(
            f"{name} failed: {error}.", "Nothing of this run was kept. Write each % in its SQL as %%."
        ) from error
    except Exception as error:
        raise MigrationError(
            f"{name} failed: {error}".strip(),
            "Nothing of this run was kept. If a table was locked, run it again when there is less traffic.",
        ) from error
    if done != [f"{name}.py"]:
        raise MigrationError(
            f"pw-migrate ran {done} instead of {name}.",
            "Nothing was kept; please report this as a bug of NepXy.",
        )
