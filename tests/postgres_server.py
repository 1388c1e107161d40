"""Servers and databases for tests; the fixtures over them are in conftest.py."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg2

from nepxy.storage.embedded import EmbeddedPostgres
from nepxy.storage.migrate import MIGRATIONS_DIR, migrate_up
from nepxy.storage.online_indexes import build_indexes

ROLES = Path(__file__).parents[1] / "scripts" / "roles.sql"


@dataclass
class PostgresServer:
    """A server to make databases on; `embedded` only where it is ours, to stop and to crash."""

    url: str
    version: int
    embedded: EmbeddedPostgres | None = None
    _template: str | None = field(default=None, repr=False)

    def url_for(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def execute(self, statement: str) -> None:
        """Run one statement outside of any transaction, as CREATE DATABASE wants it."""
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    @contextmanager
    def fresh_database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a database that exists until the block ends, whoever is still connected then."""
        name = f"nepxy_test_{uuid4().hex[:12]}"
        template = self._migrated_template() if migrated else "template0"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url_for(name)
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def as_engine(self, url: str) -> str:
        """The same database as the role that serves, which may do its work and nothing else (scripts/roles.sql).

        A server outside may want a password for that role, and let nobody make it: there the URL stays what it is.
        """
        if self.embedded is None:
            return url
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(ROLES.read_text())
        return url.replace("://postgres@", "://nepxy_app@", 1)

    def _migrated_template(self) -> str:
        """Migrate once; a copy of the result takes a twentieth of a second."""
        if self._template is None:
            if not list(MIGRATIONS_DIR.glob("[0-9]*.py")):
                return "template0"
            name = f"nepxy_template_{uuid4().hex[:12]}"
            self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            self._template = name
            migrate_up(self.url_for(name))
            build_indexes(self.url_for(name))
        return self._template

    def drop_template(self) -> None:
        if self._template is not None:
            self.execute(f"DROP DATABASE {self._template} WITH (FORCE)")


def sweep_killed_runs() -> None:
    """Remove the servers of test runs that were killed: nobody holds their owners.lock any more."""
    for version_file in Path(tempfile.gettempdir()).glob("nepxy-test-pg*/cluster/PG_VERSION"):
        folder = version_file.parents[1]
        # Somebody else's folder, or gone in this moment: not ours to sweep.
        with suppress(OSError), (folder / "owners.lock").open("rb") as owners:
            fcntl.flock(owners, fcntl.LOCK_EX | fcntl.LOCK_NB)
            version = int(version_file.read_text())
            fcntl.flock(owners, fcntl.LOCK_UN)
            EmbeddedPostgres.start(folder, version=version, durable=False).destroy()


@contextmanager
def embedded_server(version: int) -> Iterator[PostgresServer]:
    sweep_killed_runs()
    # Not pytest's own temporary folder: it is closed to the account that runs the server when the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix=f"nepxy-test-pg{version}-"))
    folder.chmod(0o711)
    embedded = EmbeddedPostgres.start(folder, version=version, durable=False)
    try:
        yield PostgresServer(embedded.url, version, embedded)
    finally:
        embedded.destroy()


@contextmanager
def outside_server(url: str) -> Iterator[PostgresServer]:
    with closing(psycopg2.connect(url)) as connection:
        version = connection.server_version // 10_000
    server = PostgresServer(url, version)
    try:
        yield server
    finally:
        server.drop_template()
