"""What pykka promises of every actor, held against pykka's own and ours."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pykka
import pytest

from nepxy.engine.runtime import ActorDeadError, ask, stop_and_wait
from tests.runtime.support import PATIENCE_S, Do, Performer, SpawnAny, Witness, explode, in_thread


async def test_start_hook_runs_before_the_first_message(spawn_any: SpawnAny, witness: Witness) -> None:
    spawn_any().tell("first message")

    assert await witness.until_seen("first message") == ["started", "first message"]


async def test_messages_of_one_sender_are_handled_in_order(spawn_any: SpawnAny, witness: Witness) -> None:
    ref = spawn_any()

    for number in range(200):
        ref.tell(number)
    await stop_and_wait(ref, timeout_s=PATIENCE_S)

    assert witness.seen == ["started", *range(200), "stopped"]


async def test_each_thread_keeps_its_order_and_messages_are_handled_one_at_a_time(
    spawn_any: SpawnAny,
) -> None:
    ref = spawn_any()
    entered: list[int] = []
    handled: dict[int, list[int]] = {sender: [] for sender in range(4)}

    def work(sender: int, number: int) -> Do:
        def handle(_: Performer) -> None:
            entered.append(sender)
            handled[sender].append(number)
            assert len(entered) == 1
            entered.pop()

        return Do(handle)

    def send(sender: int) -> None:
        for number in range(500):
            ref.tell(work(sender, number))

    await asyncio.gather(*(in_thread(lambda sender=sender: send(sender)) for sender in handled))  # type: ignore[misc]
    assert await stop_and_wait(ref, timeout_s=PATIENCE_S)

    assert handled == {sender: list(range(500)) for sender in range(4)}


async def test_a_message_that_a_handler_sends_to_itself_waits_for_the_handler_to_return(
    spawn_any: SpawnAny, witness: Witness
) -> None:
    def send_and_note(actor: Performer) -> None:
        actor.actor_ref.tell("second")
        actor.witness.note("first")

    spawn_any().tell(Do(send_and_note))

    assert await witness.until_seen("second") == ["started", "first", "second"]


async def test_asking_answers_what_the_handler_returns(spawn_any: SpawnAny) -> None:
    assert await ask(spawn_any(), Do(lambda _: 42), timeout_s=PATIENCE_S) == 42


async def test_a_thread_may_block_for_the_answer(spawn_any: SpawnAny) -> None:
    ref = spawn_any()

    assert await in_thread(lambda: ref.ask(Do(lambda _: 42), timeout=PATIENCE_S)) == 42


async def test_an_exception_in_an_asked_message_goes_to_the_asker_and_the_actor_lives_on(
    spawn_any: SpawnAny, witness: Witness
) -> None:
    ref = spawn_any()

    with pytest.raises(ZeroDivisionError):
        await ask(ref, Do(lambda _: 1 // 0), timeout_s=PATIENCE_S)

    assert ref.is_alive()
    assert await ask(ref, Do(lambda _: "still here"), timeout_s=PATIENCE_S) == "still here"
    assert witness.seen == ["started"]


async def test_an_exception_in_a_told_message_ends_the_actor(spawn_any: SpawnAny, witness: Witness) -> None:
    ref = spawn_any()
    error = ValueError("poison")

    ref.tell(Do(explode(error)))

    assert await witness.until_seen(("failed", error)) == ["started", ("failed", error)]
    assert not ref.is_alive()
    with pytest.raises(ActorDeadError):
        ref.tell("too late")


async def test_stop_comes_after_earlier_messages_and_is_final(spawn_any: SpawnAny, witness: Witness) -> None:
    ref = spawn_any()
    ref.tell("before")

    assert await in_thread(lambda: ref.stop(timeout=PATIENCE_S)) is True

    assert witness.seen == ["started", "before", "stopped"]
    assert not ref.is_alive()
    assert await in_thread(lambda: ref.stop(timeout=PATIENCE_S)) is False
    assert await stop_and_wait(ref, timeout_s=PATIENCE_S) is False
    with pytest.raises(ActorDeadError):
        ref.tell("after")
    with pytest.raises(ActorDeadError):
        await ask(ref, "after", timeout_s=PATIENCE_S)
    with pytest.raises(ActorDeadError):
        ref.ask("after", block=False).get()


async def test_an_actor_may_stop_itself(spawn_any: SpawnAny, witness: Witness) -> None:
    spawn_any().tell(Do(lambda actor: actor.stop()))

    await witness.until_seen("stopped")


async def test_what_was_asked_behind_a_stop_gets_an_error(spawn_any: SpawnAny, witness: Witness) -> None:
    def stop_then_ask(actor: Performer) -> list[Any]:
        stops = [actor.actor_ref.stop(block=False)]
        asked = actor.actor_ref.ask("behind the stop", block=False)
        stops.append(actor.actor_ref.stop(block=False))
        return [asked, *stops]

    futures = await ask(spawn_any(), Do(stop_then_ask), timeout_s=PATIENCE_S)
    await witness.until_seen("stopped")

    with pytest.raises(ActorDeadError):
        await in_thread(lambda: futures[0].get(timeout=PATIENCE_S))
    for stop in futures[1:]:
        assert await in_thread(lambda stop=stop: stop.get(timeout=PATIENCE_S)) is True  # type: ignore[misc]
    assert "behind the stop" not in witness.seen


async def test_start_hook_that_fails_ends_the_actor_without_other_hooks(
    spawn_any: SpawnAny, witness: Witness
) -> None:
    may_fail = threading.Event()

    def fail() -> None:
        may_fail.wait(PATIENCE_S)
        raise ValueError("stillborn")

    ref = spawn_any(on_start=fail)
    asked = ref.ask("never handled", block=False)
    may_fail.set()

    # pykka's own thread still handles one message after that; in both the actor is dead afterwards.
    await in_thread(lambda: _outcome_of(asked))
    assert not ref.is_alive()
    assert "stopped" not in witness.seen
    assert not [seen for seen in witness.seen if isinstance(seen, tuple)]


async def test_a_proxy_reads_writes_and_calls(spawn_any: SpawnAny, witness: Witness) -> None:
    proxy = spawn_any().proxy()

    def use() -> list[Any]:
        proxy.questions = ["asked"]
        proxy.on_receive("called").get(timeout=PATIENCE_S)
        return list(proxy.questions.get(timeout=PATIENCE_S))

    assert await in_thread(use) == ["asked"]
    assert "called" in witness.seen


async def test_a_proxy_of_a_dead_actor_is_refused(spawn_any: SpawnAny) -> None:
    ref = spawn_any()
    await stop_and_wait(ref, timeout_s=PATIENCE_S)

    with pytest.raises(ActorDeadError):
        ref.proxy()


async def test_urns_tell_actors_apart(spawn_any: SpawnAny) -> None:
    one, other = spawn_any(), spawn_any()

    assert one.actor_urn == one.actor_urn
    assert one.actor_urn != other.actor_urn
    assert one.actor_urn in str(one)


def _outcome_of(future: pykka.Future[Any]) -> Any:
    try:
        return future.get(timeout=PATIENCE_S)
    except ActorDeadError as error:
        return error
