"""`ask`: an answer, an error or a time-out, on any kind of actor, without blocking the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from nepxy.engine.runtime import (
    ActorDeadError,
    AskTimeout,
    Doorway,
    LoopScheduler,
    MailboxFull,
    ReplyTo,
    ask,
    stop_and_wait,
)
from tests.runtime.support import (
    PATIENCE_S,
    Do,
    LoopPerformer,
    Performer,
    Question,
    SmallMailbox,
    SpawnAny,
    SpawnLoop,
    Witness,
    a_loop_round,
    explode,
    in_thread,
)


def answering(value: object) -> Callable[[ReplyTo], None]:
    return lambda reply_to: reply_to.tell(value)


async def test_an_open_reply_to_takes_the_answer(spawn_any: SpawnAny) -> None:
    assert await ask(spawn_any(), Question(answer=answering("yes")), timeout_s=PATIENCE_S) == "yes"


async def test_an_open_reply_to_takes_a_failure(spawn_any: SpawnAny) -> None:
    question = Question(answer=lambda reply_to: reply_to.fail(LookupError("no such payout")))

    with pytest.raises(LookupError, match="no such payout"):
        await ask(spawn_any(), question, timeout_s=PATIENCE_S)


async def test_only_the_first_answer_counts(spawn_any: SpawnAny) -> None:
    def answer_thrice(reply_to: ReplyTo) -> None:
        reply_to.tell("first")
        reply_to.tell("second")
        reply_to.fail(ValueError("third"))

    ref = spawn_any()

    assert await ask(ref, Question(answer=answer_thrice), timeout_s=PATIENCE_S) == "first"
    assert await ask(ref, Do(lambda _: "unharmed"), timeout_s=PATIENCE_S) == "unharmed"


async def test_the_answer_may_come_later_and_from_another_thread(spawn_any: SpawnAny) -> None:
    def answer_elsewhere(reply_to: ReplyTo) -> None:
        threading.Thread(target=reply_to.tell, args=("late",)).start()

    assert await ask(spawn_any(), Question(answer=answer_elsewhere), timeout_s=PATIENCE_S) == "late"


async def test_what_the_handler_of_a_told_question_returns_is_not_the_answer(spawn: SpawnLoop) -> None:
    class Answers(LoopPerformer):
        def on_receive(self, message: object) -> str:
            assert isinstance(message, Question)
            assert message.reply_to is not None
            message.reply_to.tell("the answer")
            return "not the answer"

    assert await ask(spawn(Answers), Question(), timeout_s=PATIENCE_S) == "the answer"


async def test_a_reply_to_that_is_taken_is_left_alone(spawn_any: SpawnAny) -> None:
    waiter: asyncio.Future[str] = asyncio.Future()
    taken = Doorway(LoopScheduler(), waiter)

    answer = await ask(spawn_any(), Question(answer=answering("x"), reply_to=taken), timeout_s=PATIENCE_S)

    assert answer is None
    assert await waiter == "x"


async def test_no_answer_in_time_is_a_time_out_that_names_the_message(spawn_any: SpawnAny) -> None:
    with pytest.raises(AskTimeout, match=r"no answer to Question within 0\.01 s") as raised:
        await ask(spawn_any(), Question(), timeout_s=0.01)

    assert raised.value.timeout_s == 0.01
    assert raised.value.message_type == "Question"


async def test_a_late_answer_is_ignored_and_the_actor_lives_on(spawn_any: SpawnAny) -> None:
    ref = spawn_any()
    with pytest.raises(AskTimeout):
        await ask(ref, Question(), timeout_s=0.01)

    def answer_late(actor: Performer) -> None:
        reply_to = actor.questions.pop().reply_to
        assert reply_to is not None
        reply_to.tell("late")

    await ask(ref, Do(answer_late), timeout_s=PATIENCE_S)
    await a_loop_round()

    assert ref.is_alive()


async def test_a_cancelled_asker_leaves_without_trace(spawn_any: SpawnAny, witness: Witness) -> None:
    ref = spawn_any()
    kept: list[ReplyTo] = []

    def keep(reply_to: ReplyTo) -> None:
        kept.append(reply_to)
        witness.note("kept")

    asking = asyncio.create_task(ask(ref, Question(answer=keep), timeout_s=PATIENCE_S))
    await witness.until_seen("kept")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    kept[0].tell("late")
    await in_thread(lambda: kept[0].fail(ValueError("later")))
    await a_loop_round()
    assert await ask(ref, Do(lambda _: "alive"), timeout_s=PATIENCE_S) == "alive"


async def test_asking_never_blocks_the_loop(spawn_any: SpawnAny, witness: Witness) -> None:
    asking = asyncio.create_task(ask(spawn_any(), Question(), timeout_s=PATIENCE_S))

    asyncio.get_running_loop().call_soon(witness.note, "the loop goes on")
    await witness.until_seen("the loop goes on")

    assert not asking.done()
    asking.cancel()


async def test_a_dead_actor_is_no_time_out(spawn_any: SpawnAny) -> None:
    ref = spawn_any()
    await stop_and_wait(ref, timeout_s=PATIENCE_S)

    with pytest.raises(ActorDeadError):
        await ask(ref, Question(), timeout_s=PATIENCE_S)
    with pytest.raises(ActorDeadError):
        await ask(ref, "a question", timeout_s=PATIENCE_S)


async def test_a_question_that_a_stop_overtakes_fails_at_once(spawn: SpawnLoop) -> None:
    ref = spawn()
    ref.stop(block=False)

    with pytest.raises(ActorDeadError, match="stopped before handling"):
        await ask(ref, Question(answer=answering("never")), timeout_s=PATIENCE_S)


async def test_a_question_whose_handler_fails_fails_at_once_and_says_why(spawn: SpawnLoop) -> None:
    error = ValueError("poison")

    with pytest.raises(ActorDeadError, match="died while handling") as raised:
        await ask(spawn(), Question(answer=explode(error)), timeout_s=PATIENCE_S)

    assert raised.value.__cause__ is error


async def test_a_full_mailbox_refuses_both_kinds_of_question(spawn: SpawnLoop) -> None:
    ref = spawn(SmallMailbox)
    ref.tell(1)
    ref.tell(2)

    with pytest.raises(MailboxFull):
        await ask(ref, Question(), timeout_s=PATIENCE_S)
    with pytest.raises(MailboxFull):
        await ask(ref, "a question", timeout_s=PATIENCE_S)


@pytest.mark.parametrize("error", [StopIteration("end"), asyncio.CancelledError()], ids=repr)
async def test_an_exception_that_no_await_can_carry_arrives_wrapped(
    spawn: SpawnLoop, error: BaseException
) -> None:
    with pytest.raises(RuntimeError, match="the handler raised") as raised:
        await ask(spawn(), Do(explode(error)), timeout_s=PATIENCE_S)

    assert raised.value.__cause__ is error


async def test_an_actor_of_another_loop_can_be_asked(spawn: SpawnLoop) -> None:
    ref = spawn()

    def ask_from_another_loop() -> object:
        return asyncio.run(ask(ref, Do(lambda _: "across"), timeout_s=PATIENCE_S))

    assert await in_thread(ask_from_another_loop) == "across"


async def test_an_answer_to_a_loop_that_is_gone_harms_nobody(spawn: SpawnLoop, witness: Witness) -> None:
    ref = spawn()

    def ask_and_leave() -> None:
        with pytest.raises(AskTimeout):
            asyncio.run(ask(ref, Question(), timeout_s=0.01))

    await in_thread(ask_and_leave)

    def answer(actor: Performer) -> None:
        reply_to = actor.questions.pop().reply_to
        assert reply_to is not None
        reply_to.tell("anybody there?")

    await ask(ref, Do(answer), timeout_s=PATIENCE_S)
    assert ref.is_alive()


async def test_blocking_calls_in_the_loops_thread_are_refused_and_send_nothing(
    spawn: SpawnLoop, witness: Witness
) -> None:
    ref = spawn()

    with pytest.raises(RuntimeError, match="use `await"):
        ref.ask("refused")
    with pytest.raises(RuntimeError, match="use `await"):
        ref.stop()

    await ask(ref, Do(lambda _: None), timeout_s=PATIENCE_S)
    assert witness.seen == ["started"]


async def test_waiting_for_a_future_in_the_loops_thread_is_refused_until_it_is_there(
    spawn: SpawnLoop,
) -> None:
    ref = spawn()
    future = ref.ask(Do(lambda _: 42), block=False)
    stop = ref.stop(block=False)

    with pytest.raises(RuntimeError, match="would block the event loop"):
        future.get()
    with pytest.raises(RuntimeError, match="would block the event loop"):
        stop.get()

    await stop_and_wait(ref, timeout_s=PATIENCE_S)
    assert future.get() == 42
    assert await future == 42
    assert stop.get() is True


async def test_only_a_field_of_a_dataclass_counts_as_reply_to(spawn: SpawnLoop) -> None:
    @dataclass
    class Slip:
        reply_to = None

    assert await ask(spawn(), Slip(), timeout_s=PATIENCE_S) is None
