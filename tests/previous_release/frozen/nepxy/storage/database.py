"""Connections: how they are made, pooled and bounded, and how the driver's errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Concatenate, ParamSpec, TypeVar

import peewee
import psycopg2
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase

from nepxy.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")


class Fault(StrEnum):
    """What a database error says about the transaction that it interrupted."""

    OUTCOME_UNKNOWN = "outcome_unknown"
    """The connection broke: the commit may have happened."""
    TRY_AGAIN = "try_again"
    """Rolled back for a reason that passes: serialization, deadlock, time-out, shutdown, disk full."""
    REFUSED = "refused"
    """Rolled back because of what was written: again would fail again."""


PASSING_CLASSES = ("40", "53", "55", "57", "58", "25")
"""SQLSTATE classes of conditions that pass: rollback, resources, object state, operator, system, read-only."""


def fault_of(error: BaseException) -> Fault:
    """Classify an error of Peewee or psycopg2 by its SQLSTATE; without one, the connection is what broke."""
    cause = error.orig if hasattr(error, "orig") else error.__cause__ or error
    driver = cause if isinstance(cause, psycopg2.Error) else error.__context__
    code = getattr(driver, "pgcode", None) or getattr(error, "pgcode", None)
    if code is None:
        known = isinstance(
            error, peewee.DataError | peewee.ProgrammingError | psycopg2.DataError | ValueError | TypeError
        )
        return Fault.REFUSED if known else Fault.OUTCOME_UNKNOWN
    if code in ("57P01", "57P02", "57P03") or code.startswith("08"):
        # The server is going, or its reply may have crossed with our commit.
        return Fault.OUTCOME_UNKNOWN
    return Fault.TRY_AGAIN if code.startswith(PASSING_CLASSES) else Fault.REFUSED


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn a driver's error into ours, in this one place.

    Raises:
        Unavailable: `DATABASE_UNAVAILABLE`: the database is away, busy or full; nothing was half-done.
    """
    try:
        yield
    except MaxConnectionsExceeded as error:
        raise Unavailable("DATABASE_UNAVAILABLE", f"all database connections are busy ({what})") from error
    except (peewee.PeeweeException, psycopg2.Error) as error:
        if fault_of(error) is Fault.REFUSED:
            raise
        raise Unavailable("DATABASE_UNAVAILABLE", f"the database cannot be used now ({what})") from error


def session_options(statement_timeout_s: float, application_name: str) -> dict[str, Any]:
    """What every connection of ours is set to."""
    timeout_ms = int(statement_timeout_s * 1000)
    return {
        "application_name": application_name,
        "options": f"-c statement_timeout={timeout_ms} -c lock_timeout={timeout_ms} -c TimeZone=UTC"
        " -c idle_in_transaction_session_timeout=60000",
        # A peer that is gone without a word (a cut cable) is noticed in under half a minute.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }


def connect_writer(
    url: str, *, statement_timeout_s: float, connect_timeout_s: float
) -> peewee.PostgresqlDatabase:
    """One connection's worth of database, for a journal writer: unconnected until it is first used."""
    return peewee.PostgresqlDatabase(
        normal_url(url),
        connect_timeout=max(1, int(connect_timeout_s)),
        **session_options(statement_timeout_s, "nepxy-journal"),
    )


def normal_url(url: str) -> str:
    """Peewee hands a URL to libpq only by its long scheme; `postgres://` is the same thing."""
    return "postgresql://" + url.removeprefix("postgres://") if url.startswith("postgres://") else url


class Reader:
    """Runs repository functions in threads, each with a pooled connection; nothing blocks the event loop.

    At most `connections_max` run at once; a caller that finds no free one within `wait_s` gets a 503.
    """

    def __init__(
        self,
        url: str,
        *,
        connections_max: int,
        statement_timeout_s: float,
        connect_timeout_s: float,
        wait_s: float = 5.0,
        application_name: str = "nepxy",
    ) -> None:
        """Prepare the pool; nothing is connected yet."""
        self.database = PooledPostgresqlDatabase(
            normal_url(url),
            max_connections=connections_max,
            stale_timeout=300,
            timeout=wait_s,
            connect_timeout=max(1, int(connect_timeout_s)),
            **session_options(statement_timeout_s, application_name),
        )
        self._threads = ThreadPoolExecutor(connections_max, thread_name_prefix="reader")

    async def run(
        self, function: Callable[Concatenate[peewee.Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function(database, ...)` in a thread and return what it returns.

        Raises:
            Unavailable: `DATABASE_UNAVAILABLE`.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self.run_here(function, *args, **kwargs)
        )

    def run_here(
        self, function: Callable[Concatenate[peewee.Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same in the caller's own thread."""
        with translated(getattr(function, "__name__", "read")):
            try:
                with self.database.connection_context():
                    return function(self.database, *args, **kwargs)
            except (peewee.OperationalError, peewee.InterfaceError) as error:
                # A restart of the server kills all pooled connections at once; one fresh one tells the truth.
                if fault_of(error) is not Fault.OUTCOME_UNKNOWN:
                    raise
                self.database.close_idle()
                with self.database.connection_context():
                    return function(self.database, *args, **kwargs)

    def close(self) -> None:
        """Let running reads end, then close every connection."""
        self._threads.shutdown(wait=True)
        self.database.close_all()
