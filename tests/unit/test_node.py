"""Who is gone is told only of this very machine, and only for certain."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nepxy.config import node
from nepxy.config.node import is_gone, new_node_id

WITH_PLACE = pytest.mark.skipif(node._place() == node.NOWHERE, reason="this kernel does not tell of a boot")


def named_by(pid: int, node_id: str) -> str:
    host, _, place, dice = node_id.rsplit("-", 3)
    return f"{host}-{pid}-{place}-{dice}"


def test_each_process_has_a_name_of_its_own() -> None:
    first, second = new_node_id(), new_node_id()
    assert first != second
    assert f"-{os.getpid()}-" in first


def test_who_lives_is_not_gone_nor_another_users_process() -> None:
    assert not is_gone(new_node_id())
    assert not is_gone(named_by(1, new_node_id()))


@WITH_PLACE
def test_a_process_that_was_killed_is_gone_before_its_parent_hears_of_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        name = named_by(process.pid, new_node_id())
        assert not is_gone(name)
        process.kill()
        # Its end, without taking its exit status: it stays a zombie.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(name)
    assert is_gone(name)


@pytest.mark.parametrize(
    "name",
    ["", "node-a", "host-12345-0-abcd", "host-99999999-ffffffff-abcd", "host-x-y-z", "host-4194303--abcd"],
    ids=["empty", "of old", "place unknown", "another machine", "no pid", "no place"],
)
def test_of_other_places_nothing_is_known(name: str) -> None:
    assert not is_gone(name)


def test_where_the_kernel_does_not_tell_nobody_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    name = named_by(4_194_303, new_node_id())
    monkeypatch.setattr(node, "_place", lambda: node.NOWHERE)
    assert not is_gone(name)
    assert not is_gone(named_by(4_194_303, new_node_id()))
