"""The server that a bench runs on, databases of its own on it, and what the server counts of them."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from nepxy.storage.embedded import EmbeddedPostgres
from nepxy.storage.migrate import migrate_up

_COUNTED: Final = """
SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
       coalesce(sum(n_tup_ins), 0), coalesce(sum(n_tup_upd), 0), coalesce(sum(n_tup_hot_upd), 0)
FROM pg_stat_user_tables WHERE relname IN ('mobile_money_payouts', 'payouts')
"""
_WAL: Final = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What PostgreSQL has counted of one database, at one moment."""

    commits: int
    inserts: int
    """Into the table of payouts, as are the updates."""
    updates: int
    hot_updates: int


class Server:
    """A PostgreSQL, and the databases that a bench has made on it."""

    def __init__(self, url: str) -> None:
        """`url`: of a role that may create databases."""
        self._url = url
        self._made: list[str] = []
        self._template: str | None = None

    @property
    def version(self) -> str:
        """As the server writes it, such as `18.1`."""
        return str(query(self._url, "SHOW server_version")[0][0])

    def wal_bytes(self) -> int:
        """Written since the server was made, by all databases."""
        return int(query(self._url, _WAL)[0][0])

    def database(self, *, migrated: bool = True) -> str:
        """A new database; its URL."""
        if migrated and self._template is None:
            self._template = self._create(None)
            migrate_up(self._url_of(self._template))
        return self._url_of(self._create(self._template if migrated else None))

    def drop(self, url: str) -> None:
        """Drop one that was made here, whoever is connected."""
        name = next(name for name in self._made if self._url_of(name) == url)
        self._made.remove(name)
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def drop_all(self) -> None:
        """Leave nothing behind."""
        for name in tuple(self._made):
            self.drop(self._url_of(name))

    def _create(self, template: str | None) -> str:
        name = f"nepxy_bench_{secrets.token_hex(4)}"
        source = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        self._execute(sql.SQL("CREATE DATABASE {}{}").format(sql.Identifier(name), source))
        self._made.append(name)
        return name

    def _execute(self, statement: sql.Composable) -> None:
        # A database is made and dropped outside a transaction, from another one.
        with closing(psycopg2.connect(self._url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def _url_of(self, name: str) -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{quote(name)}"))


def counted(url: str) -> Counted:
    """What PostgreSQL has counted of this database; its sessions report at most once a second."""
    commits, inserts, updates, hot = query(url, _COUNTED)[0]
    return Counted(commits=int(commits), inserts=int(inserts), updates=int(updates), hot_updates=int(hot))


def query(url: str, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Rows of one statement on a connection of its own, committed."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def server(url: str) -> Iterator[Server]:
    """The server at `url`, or an embedded one where it is empty; nothing of the bench is left on it."""
    if url:
        outside = Server(url)
        try:
            yield outside
        finally:
            outside.drop_all()
        return
    folder = Path(tempfile.mkdtemp(prefix="nepxy-bench-"))
    # Where we are root, the server runs as somebody else, who must be able to walk through.
    folder.chmod(0o711)
    try:
        embedded = EmbeddedPostgres.start(folder / "postgres", database="bench")
        try:
            yield Server(embedded.url)
        finally:
            embedded.destroy()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def version_of(url: str) -> str:
    """The version of the server at `url`; empty where none answers."""
    try:
        return Server(url).version
    except psycopg2.OperationalError:
        return ""
