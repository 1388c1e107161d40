"""Where the database is and by which password: read again when the one that worked no longer does.

A password is changed without a maintenance window: the new one is written where `DATABASE_URL_FILE` points, then the
role is given it. Connections that are there stay; a new one is refused with the old password, and made with the new.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import peewee
import psycopg2
import structlog
from playhouse.pool import PooledPostgresqlDatabase
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

log = structlog.get_logger("nepxy.storage")

T = TypeVar("T")


class Address:
    """One database's URL, as it is now. For any thread."""

    def __init__(self, url: str, read_again: Callable[[], str] | None = None) -> None:
        """Begin with the URL of the start.

        Args:
            url: as libpq takes it.
            read_again: what the settings say now; called only after a connection was refused, and may raise.
        """
        self.url = normal_url(url)
        self._read_again = read_again

    def reach(self, connect: Callable[[str], T]) -> T:
        """What `connect` makes of the URL that worked last, or else of the one that the settings name now.

        Raises:
            psycopg2.OperationalError: neither works; of the first.
        """
        try:
            return connect(self.url)
        except psycopg2.OperationalError:
            fresh = self._fresh()
            if fresh is None:
                raise
            made = connect(fresh)
        log.info("database.address_renewed")
        self.url = fresh
        return made

    def _fresh(self) -> str | None:
        """Another URL to try; None: there is none."""
        if self._read_again is None:
            return None
        try:
            fresh = normal_url(self._read_again())
        except Exception:
            # Half-written files and the like: the next refused connection asks again.
            log.exception("database.address_not_read")
            return None
        return fresh if fresh and fresh != self.url else None


def normal_url(url: str) -> str:
    """Peewee hands a URL to libpq only by its long scheme; `postgres://` is the same thing."""
    return "postgresql://" + url.removeprefix("postgres://") if url.startswith("postgres://") else url


class AddressedPostgres(peewee.PostgresqlDatabase):
    """A database of Peewee's that asks its address for each new connection."""

    def __init__(self, address: Address, **kwargs: Any) -> None:
        """Unconnected until it is first used."""
        self._address = address
        super().__init__(address.url, **kwargs)

    def _connect(self) -> Any:
        """Peewee's own hook, under its lock: one at a time."""

        def connect(url: str) -> Any:
            self.database = url
            return super(AddressedPostgres, self)._connect()  # type: ignore[misc] # its stubs leave the hook out

        return self._address.reach(connect)


class AddressedPool(PooledPostgresqlDatabase, AddressedPostgres):  # type: ignore[misc] # their stubs differ in `init`
    """The same, pooled."""

    def __init__(self, address: Address, **kwargs: Any) -> None:
        """An empty pool."""
        super().__init__(address, **kwargs)  # type: ignore[no-untyped-call]

    def _is_closed(self, conn: Any) -> bool:
        """Whether the driver knows that it is. Peewee's own look is a round trip before each read, under its lock.

        A connection that died in the pool is found by its first statement, which `Reader` repeats on another one.
        """
        return bool(conn.closed) or conn.info.transaction_status != TRANSACTION_STATUS_IDLE

    def close_all(self) -> None:
        """Close every connection, those in use, too."""
        super().close_all()  # type: ignore[no-untyped-call]
