"""How busy the readers' pool is, counted as it is: who reads, who waits, and who gave up waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import peewee
import pytest
from prometheus_client import CollectorRegistry

from nepxy.errors import Unavailable
from nepxy.http.metrics import HttpMetrics
from nepxy.storage.database import Reader


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    reader = Reader(database_url, connections_max=2, statement_timeout_s=10, connect_timeout_s=5)
    yield reader
    reader.close()


class Held:
    """A read that lasts until it is told to end."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.may_end = threading.Event()

    def __call__(self, database: peewee.Database) -> int:
        self.began.release()
        assert self.may_end.wait(30)
        return 1


async def test_reads_are_counted_while_they_run_and_while_they_wait(reader: Reader) -> None:
    registry, held = CollectorRegistry(), Held()
    HttpMetrics(registry, routes=[], providers=[]).watch_pool(reader)

    def shown(name: str) -> float | None:
        return registry.get_sample_value(f"nepxy_database_pool_{name}")

    assert (shown("size"), shown("in_use"), shown("waiting")) == (2, 0, 0)
    reads = [asyncio.create_task(reader.run(held)) for _ in range(5)]
    await asyncio.to_thread(lambda: [held.began.acquire(timeout=30) for _ in range(2)])
    assert (shown("in_use"), shown("waiting")) == (2, 3)

    reads[4].cancel()
    await asyncio.wait({reads[4]})
    assert (shown("in_use"), shown("waiting")) == (2, 2)

    held.may_end.set()
    assert await asyncio.gather(*reads[:4]) == [1] * 4
    assert (shown("in_use"), shown("waiting")) == (0, 0)


async def test_one_more_than_may_wait_is_refused_at_once_and_the_others_are_read(database_url: str) -> None:
    reader = Reader(
        database_url, connections_max=1, statement_timeout_s=10, connect_timeout_s=5, waiting_max=2
    )
    held = Held()
    try:
        reads = [asyncio.create_task(reader.run(held))]
        assert await asyncio.to_thread(held.began.acquire, timeout=30)
        reads += [asyncio.create_task(reader.run(held)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="2 reads wait") as refused:
            await reader.run(held)
        assert refused.value.code == "DATABASE_UNAVAILABLE"
        assert refused.value.headers() == {"Retry-After": "1"}

        held.may_end.set()
        assert await asyncio.gather(*reads) == [1] * 3
        assert await reader.run(held) == 1
    finally:
        held.may_end.set()
        reader.close()


async def test_a_read_that_fails_gives_its_place_back(reader: Reader) -> None:
    def broken(database: peewee.Database) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await reader.run(broken)
    assert (reader.in_use_count, reader.waiting_count) == (0, 0)
