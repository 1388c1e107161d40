"""The directory: one name, one actor."""

from __future__ import annotations

import pytest

from nepxy.engine.runtime import Directory, LoopActorRef
from tests.runtime.support import LoopPerformer, SpawnLoop

Ref = LoopActorRef[LoopPerformer]


@pytest.fixture
async def one(spawn: SpawnLoop) -> Ref:
    return spawn()


@pytest.fixture
async def other(spawn: SpawnLoop) -> Ref:
    return spawn()


async def test_an_actor_is_found_by_its_key_and_by_each_alias(one: Ref, other: Ref) -> None:
    directory: Directory[str] = Directory()
    directory.add("tx-1", one, ("MOMO", "ref-1"))
    directory.add("tx-2", other)
    directory.alias("tx-2", ("FLOOZ", "ref-1"), ("MOMO", "ref-2"))

    assert directory.get("tx-1") is directory.get(("MOMO", "ref-1")) is one
    assert (
        directory.get("tx-2")
        is directory.get(("FLOOZ", "ref-1"))
        is directory.get(("MOMO", "ref-2"))
        is other
    )
    assert directory.get("tx-3") is None
    assert len(directory) == 2
    assert list(directory) == ["tx-1", "tx-2"]
    assert list(directory.items()) == [("tx-1", one), ("tx-2", other)]
    assert ("MOMO", "ref-2") in directory
    assert "tx-3" not in directory


async def test_removing_a_key_removes_its_aliases_and_nobody_elses(one: Ref, other: Ref) -> None:
    directory: Directory[int] = Directory()
    directory.add(1, one, "a")
    directory.alias(1, "b")
    directory.add(2, other, "c")

    assert directory.remove(1) is one

    assert [directory.get(name) for name in (1, "a", "b")] == [None, None, None]
    assert directory.get("c") is other
    assert len(directory) == 1
    directory.alias(2, "a", "b")
    assert directory.get("a") is other


async def test_removing_what_is_not_there_removes_nothing(one: Ref) -> None:
    directory: Directory[int] = Directory()
    directory.add(1, one, "a")

    assert directory.remove(2) is None
    assert len(directory) == 1


async def test_late_news_of_an_old_actor_does_not_remove_its_successor(one: Ref, other: Ref) -> None:
    directory: Directory[int] = Directory()
    directory.add(1, one, "a")
    directory.add(1, other)

    assert directory.remove(1, ref=one) is None
    assert directory.get("a") is other
    assert directory.remove(1, ref=other) is other
    assert directory.get("a") is None


async def test_a_name_never_comes_to_mean_another_actor(one: Ref, other: Ref) -> None:
    directory: Directory[str] = Directory()
    directory.add("tx-1", one, "ref-1")
    directory.add("tx-2", other)

    with pytest.raises(ValueError, match="already names 'tx-1'"):
        directory.alias("tx-2", "free", "ref-1")
    with pytest.raises(ValueError, match="already names 'tx-1'"):
        directory.alias("tx-2", "tx-1")
    with pytest.raises(ValueError, match="already an alias"):
        directory.add("ref-1", other)
    with pytest.raises(ValueError, match="already names"):
        directory.add("tx-3", other, "ref-1")

    assert directory.get("ref-1") is directory.get("tx-1") is one
    assert directory.get("free") is None
    assert directory.get("tx-3") is None


async def test_the_same_alias_again_changes_nothing(one: Ref) -> None:
    directory: Directory[str] = Directory()
    directory.add("tx-1", one, "ref-1", "ref-1", "tx-1")
    directory.alias("tx-1", "ref-1")

    assert directory.remove("tx-1") is one
    assert directory.get("ref-1") is None


async def test_only_an_actor_that_is_here_can_have_aliases() -> None:
    directory: Directory[str] = Directory()

    with pytest.raises(KeyError):
        directory.alias("tx-1", "ref-1")
