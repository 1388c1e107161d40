"""Connections: how they are made, pooled and bounded, and how the driver's errors become ours."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Concatenate, ParamSpec, TypeVar

import peewee
import psycopg2
from playhouse.pool import MaxConnectionsExceeded

from nepxy.errors import DatabaseUnavailable, Unavailable
from nepxy.storage.address import Address, AddressedPool, AddressedPostgres

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


PASSING_CLASSES = ("25", "28", "40", "53", "55", "57", "58")
"""SQLSTATE classes of what passes: wrong server, log-in, rollback, resources, object state, operator, system."""

PASSING = ("3D000", "3F000", "42501", "42P01")
"""Nothing in a statement's values causes these: the database, schema, privilege or table is missing for now."""

UNKNOWN_CLASSES = ("08", "40003", "57P")
"""The server or the connection is going, or its reply may have crossed with our commit."""

NEW_CONNECTION_CLASSES = (*UNKNOWN_CLASSES, "25", "28", "3D", "53300")
"""Conditions that belong to the session or to the server that was reached, as after a failover."""

TIME_OUTS = ("57014", "55P03")
"""The statement's and the lock's."""


class NotConnected(Exception):
    """No connection could be made, so nothing was sent; its `__cause__` says why."""


def connect(database: peewee.PostgresqlDatabase) -> None:
    """Connect unless connected: apart from the first statement, so that a failure here leaves nothing unknown.

    Raises:
        NotConnected: with the driver's error as its cause.
    """
    if not database.is_closed():
        return
    try:
        database.connect()
    except (peewee.PeeweeException, psycopg2.Error) as error:
        raise NotConnected(str(error)) from error


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE that the server gave; None: it gave none, as where the connection broke or was never made."""
    driver = getattr(error, "orig", None) or error.__cause__ or error
    return getattr(driver, "pgcode", None) or getattr(error, "pgcode", None)


def fault_of(error: BaseException) -> Fault:
    """Classify an error of Peewee or psycopg2 by its SQLSTATE; without one, the connection is what broke."""
    if isinstance(error, NotConnected):
        return Fault.TRY_AGAIN
    code = sqlstate_of(error)
    if code is None:
        known = isinstance(
            error, peewee.DataError | peewee.ProgrammingError | psycopg2.DataError | ValueError | TypeError
        )
        return Fault.REFUSED if known else Fault.OUTCOME_UNKNOWN
    if code.startswith(UNKNOWN_CLASSES):
        return Fault.OUTCOME_UNKNOWN
    return Fault.TRY_AGAIN if code in PASSING or code.startswith(PASSING_CLASSES) else Fault.REFUSED


def needs_new_connection(error: BaseException) -> bool:
    """Whether the same connection would only fail again: it is gone, unusable, or leads to the wrong server."""
    if isinstance(error, NotConnected):
        return True
    code = sqlstate_of(error)
    if code is None:
        return fault_of(error) is Fault.OUTCOME_UNKNOWN
    return code.startswith(NEW_CONNECTION_CLASSES)


def is_race(error: BaseException) -> bool:
    """Whether a unique key was refused because another transaction took it first (SQLSTATE 23505)."""
    return sqlstate_of(error) == "23505"


def took_too_long(error: BaseException) -> bool:
    """Whether the server gave up the statement, or its wait for a lock, at our time-out."""
    return sqlstate_of(error) in TIME_OUTS


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
        " -c idle_in_transaction_session_timeout=60000"
        # Statements that are sent after a lock count on seeing what its last holder has committed.
        r" -c default_transaction_isolation=read\ committed"
        # What is acknowledged, and each intent, outlives a crash of the server (money rules 1 and 2).
        " -c synchronous_commit=on",
        # A peer that is gone without a word (a cut cable) is noticed in under half a minute.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }


def connect_writer(
    url: str | Address, *, statement_timeout_s: float, connect_timeout_s: float
) -> peewee.PostgresqlDatabase:
    """One connection's worth of database, for a journal writer: unconnected until it is first used."""
    return AddressedPostgres(
        _address(url),
        connect_timeout=max(1, int(connect_timeout_s)),
        **session_options(statement_timeout_s, "nepxy-journal"),
    )


def _address(url: str | Address) -> Address:
    return url if isinstance(url, Address) else Address(url)


class Reader:
    """Runs repository functions in threads, each with a pooled connection; nothing blocks the event loop.

    At most `connections_max` run at once and `waiting_max` wait for their turn; one more gets a 503, as does a caller
    that finds no free connection within `wait_s`.
    """

    def __init__(
        self,
        url: str | Address,
        *,
        connections_max: int,
        statement_timeout_s: float,
        connect_timeout_s: float,
        wait_s: float = 5.0,
        waiting_max: int = 1000,
        application_name: str = "nepxy",
    ) -> None:
        """Prepare the pool; nothing is connected yet."""
        self.database = AddressedPool(
            _address(url),
            max_connections=connections_max,
            stale_timeout=300,
            timeout=wait_s,
            connect_timeout=max(1, int(connect_timeout_s)),
            **session_options(statement_timeout_s, application_name),
        )
        self.connections_max = connections_max
        self.waiting_max = waiting_max
        self._made_by: dict[str, Any] = {
            "url": url,
            "statement_timeout_s": statement_timeout_s,
            "connect_timeout_s": connect_timeout_s,
            "waiting_max": waiting_max,
        }
        self._threads = ThreadPoolExecutor(connections_max, thread_name_prefix="reader")
        self._counting = threading.Lock()
        self._waiting_count = 0
        self._in_use_count = 0

    def apart(self, *, connections_max: int, wait_s: float) -> Reader:
        """Another pool to the same database: for what has to work while this one is exhausted."""
        return Reader(**self._made_by, connections_max=connections_max, wait_s=wait_s)

    @property
    def waiting_count(self) -> int:
        """Reads that wait for a connection."""
        return self._waiting_count

    @property
    def in_use_count(self) -> int:
        """Reads that have one."""
        return self._in_use_count

    async def run(
        self, function: Callable[Concatenate[peewee.Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function(database, ...)` in a thread and return what it returns.

        Raises:
            Unavailable: `DATABASE_UNAVAILABLE`; also where too many wait already: nothing was read.
        """
        if self._waiting_count >= self.waiting_max:
            raise DatabaseUnavailable(
                f"{self.waiting_max} reads wait for a database connection: no more may", retry_after_s=1
            )

        def read() -> T:
            self._moved(waiting=-1, in_use=1)
            try:
                return self.run_here(function, *args, **kwargs)
            finally:
                self._moved(waiting=0, in_use=-1)

        self._moved(waiting=1, in_use=0)
        try:
            reading = self._threads.submit(read)
        except RuntimeError:  # closed at a stop
            self._moved(waiting=-1, in_use=0)
            raise
        reading.add_done_callback(self._withdrawn)
        return await asyncio.wrap_future(reading)

    def _moved(self, *, waiting: int, in_use: int) -> None:
        with self._counting:
            self._waiting_count += waiting
            self._in_use_count += in_use

    def _withdrawn(self, reading: Future[Any]) -> None:
        """Whoever waited for it was cancelled before it began: it never will."""
        if reading.cancelled():
            self._moved(waiting=-1, in_use=0)

    def run_here(
        self, function: Callable[Concatenate[peewee.Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same in the caller's own thread."""
        with translated(getattr(function, "__name__", "read")):
            # A restart of the server kills all pooled connections at once, and a failover leaves them all at the wrong
            # one; a fresh one tells the truth. Others may give dead ones back meanwhile: each try uses one up.
            tries_left = self.connections_max
            while True:
                is_connected = False
                try:
                    with self.database.connection_context():
                        is_connected = True
                        return function(self.database, *args, **kwargs)
                except (peewee.DatabaseError, peewee.InterfaceError) as error:
                    if tries_left == 0 or not needs_new_connection(error):
                        raise
                    # A server that is not there is asked once more, not once for each connection.
                    tries_left = tries_left - 1 if is_connected else 0
                    self.database.close_idle()

    def close_soon(self) -> None:
        """Take no more reads, and close the idle connections; who still reads closes its own when the process ends."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.database.close_idle()

    def close(self) -> None:
        """Let running reads end, then close every connection."""
        self._threads.shutdown(wait=True)
        self.database.close_all()
