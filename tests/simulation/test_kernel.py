"""The simulated world itself: time, turns, crashes and freezes."""

from __future__ import annotations

from typing import Any

from nepxy.engine.runtime import LoopActor, Runtime
from tests.simulation.kernel import BEGIN, Node, World


class Echo(LoopActor):
    kind = "echo"

    def __init__(self, *, heard: list[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._heard = heard

    def on_receive(self, message: Any) -> None:
        if isinstance(message, float):
            self.tell_later(message, "later")
        elif message == "sleep":
            self.pipe_to_self(
                _slept(self._node()), on_result=lambda text: text, on_error=lambda error: error, name="sleep"
            )
        else:
            self._heard.append((self.runtime.scheduler.monotonic(), message))

    def _node(self) -> Node:
        scheduler: Any = self.runtime.scheduler
        node: Node = scheduler.node
        return node


async def _slept(node: Node) -> str:
    await node.sleep(7.0)
    return "slept"


def an_echo(node: Node) -> tuple[Any, list[Any]]:
    heard: list[Any] = []
    return Echo.start(heard=heard, runtime=Runtime(scheduler=node.scheduler)), heard


def test_an_hour_passes_at_once_and_timers_fire_at_their_time() -> None:
    world = World(1)
    ref, heard = an_echo(world.node("a"))
    ref.tell(3600.0)
    world.run_for(3599)
    assert heard == []
    world.run_for(2)
    assert heard == [(3600.0, "later")]
    assert (world.now() - BEGIN).total_seconds() == 3601


def test_a_mailbox_keeps_its_order_whatever_the_seed() -> None:
    for seed in range(20):
        world = World(seed)
        ref, heard = an_echo(world.node("a"))
        for number in range(10):
            ref.tell(number)
        world.run_for(1)
        assert [message for _, message in heard] == list(range(10))


def test_actors_take_turns_in_another_order_under_another_seed_and_in_the_same_under_the_same() -> None:
    def order(seed: int) -> list[str]:
        world = World(seed)
        heard: list[Any] = []
        runtime = Runtime(scheduler=world.node("a").scheduler)
        refs = [Echo.start(heard=heard, runtime=runtime) for _ in range(6)]
        for number, ref in enumerate(refs):
            ref.tell(str(number))
        world.run_for(1)
        return [message for _, message in heard]

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(10)}) > 1


def test_a_task_of_an_actor_comes_back_as_its_message() -> None:
    world = World(1)
    ref, heard = an_echo(world.node("a"))
    ref.tell("sleep")
    world.run_for(10)
    assert heard == [(7.0, "slept")]
    assert world.errors == []


def test_nothing_of_a_killed_process_runs_and_others_go_on() -> None:
    world = World(1)
    doomed, other = world.node("doomed"), world.node("other")
    (ref, heard), (other_ref, other_heard) = an_echo(doomed), an_echo(other)
    for each in (ref, other_ref):
        each.tell("sleep")
        each.tell(5.0)
    world.run_for(1)
    doomed.crash()
    ref.tell("too late")
    world.run_for(20)
    assert heard == []
    assert [message for _, message in other_heard] == ["later", "slept"]


def test_a_frozen_process_finds_everything_due_when_it_thaws() -> None:
    world = World(1)
    node = world.node("a")
    ref, heard = an_echo(node)
    ref.tell(5.0)
    ref.tell("sleep")
    world.run_for(1)
    node.freeze(100)
    ref.tell("meanwhile")
    world.run_for(90)
    assert heard == []
    world.run_for(20)
    assert sorted(message for _, message in heard) == ["later", "meanwhile", "slept"]
    assert {at for at, _ in heard} == {101.0}


def test_a_wrong_clock_is_wrong_for_its_process_only() -> None:
    world = World(1)
    node = world.node("a", clock_offset_s=-30)
    assert (world.now() - node.scheduler.now()).total_seconds() == 30


def test_a_fault_injector_may_kill_between_any_two_steps() -> None:
    world = World(1)
    node = world.node("a")
    ref, heard = an_echo(node)

    def kill(candidate: Node) -> None:
        if world.steps == 1:
            candidate.crash()

    world.before_step = kill
    ref.tell("first")
    ref.tell(1.0)
    world.run_for(10)
    assert [message for _, message in heard] == ["first"]


def test_what_nobody_handles_fails_the_run() -> None:
    world = World(1)

    async def breaks() -> None:
        raise ValueError("boom")

    task = world.spawn(breaks())
    world.run_for(1)
    assert isinstance(task.exception(), ValueError)
    assert world.run_until(lambda: True, within_s=1)
    assert not world.run_until(lambda: False, within_s=1)
