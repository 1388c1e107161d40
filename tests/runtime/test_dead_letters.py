"""A told message is handled or it is a dead letter; there is no third way. And the limits of a mailbox."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest

from nepxy.engine.runtime import (
    ActorDeadError,
    DeadLetterReason,
    MailboxFull,
    Runtime,
    stop_and_wait,
)
from tests.runtime.support import (
    PATIENCE_S,
    Do,
    Performer,
    Question,
    Recorder,
    SmallMailbox,
    SpawnLoop,
    ThreadPerformer,
    Witness,
    a_loop_round,
    explode,
    in_thread,
)


class Ear:
    """A `reply_to` that remembers."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def tell(self, value: Any) -> None:
        self.heard.append(value)

    def fail(self, error: BaseException) -> None:
        self.heard.append(error)


async def test_what_a_stop_overtakes_is_a_dead_letter(
    spawn: SpawnLoop, runtime: Runtime, observer: Recorder, witness: Witness
) -> None:
    ref = spawn()
    ref.tell("before")
    ref.stop(block=False)
    ref.tell("behind")
    ref.tell("behind, too")

    await witness.until_seen("stopped")

    assert "before" in witness.seen
    assert "behind" not in witness.seen
    assert observer.dead == [
        ("performer", DeadLetterReason.QUEUED_AT_STOP, "behind"),
        ("performer", DeadLetterReason.QUEUED_AT_STOP, "behind, too"),
    ]
    assert dict(runtime.dead_letters) == {("performer", DeadLetterReason.QUEUED_AT_STOP): 2}
    assert runtime.dead_letters.total == 2


async def test_what_a_failure_overtakes_is_a_dead_letter_but_not_the_poison_itself(
    spawn: SpawnLoop, runtime: Runtime, witness: Witness
) -> None:
    ref = spawn()
    error = ValueError("poison")
    ref.tell(Do(explode(error)))
    ref.tell("behind")

    await witness.until_seen(("failed", error))
    await a_loop_round()

    assert dict(runtime.dead_letters) == {("performer", DeadLetterReason.QUEUED_AT_FAILURE): 1}


async def test_what_waits_for_a_stillborn_actor_is_a_dead_letter(spawn: SpawnLoop, runtime: Runtime) -> None:
    ref = spawn(on_start=explode(ValueError("stillborn")))
    ref.tell("waiting")
    asked = ref.ask("waiting, too", block=False)

    await a_loop_round()

    assert runtime.dead_letters["performer", DeadLetterReason.QUEUED_AT_FAILURE] == 1
    with pytest.raises(ActorDeadError):
        asked.get()


async def test_what_arrives_from_a_thread_after_the_stop_is_a_dead_letter(
    spawn: SpawnLoop, runtime: Runtime, observer: Recorder, witness: Witness
) -> None:
    ref = spawn()
    asked: list[pykka.Future[Any]] = []
    has_told = threading.Event()

    def tell() -> None:
        ref.tell("in flight")
        asked.append(ref.ask("asked in flight", block=False))
        asked.append(ref.stop(block=False))
        has_told.set()

    def hold_the_loop(actor: Performer) -> None:
        # The thread tells while this turn is still running, so its messages cannot arrive before the stop.
        actor.stop()
        threading.Thread(target=tell).start()
        assert has_told.wait(PATIENCE_S)

    ref.tell(Do(hold_the_loop))
    await witness.until_seen("stopped")
    await a_loop_round()

    assert observer.dead == [("performer", DeadLetterReason.ARRIVED_AFTER_STOP, "in flight")]
    with pytest.raises(ActorDeadError):
        asked[0].get()
    assert asked[1].get() is True


async def test_the_reply_to_of_a_dead_letter_hears_of_it(spawn: SpawnLoop, runtime: Runtime) -> None:
    ref, ear = spawn(), Ear()
    ref.stop(block=False)
    ref.tell(Question(reply_to=ear))

    await a_loop_round()
    runtime.tell_or_dead_letter(ref, Question(reply_to=ear))

    assert [type(heard) for heard in ear.heard] == [ActorDeadError, ActorDeadError]


async def test_a_reply_to_that_raises_or_cannot_fail_keeps_no_other_from_hearing(
    spawn: SpawnLoop, runtime: Runtime
) -> None:
    class Deaf(Ear):
        fail = explode(ValueError("deaf"))

    ref, ear, other = spawn(), Ear(), spawn()
    ref.stop(block=False)
    ref.tell(Question(reply_to=Deaf()))
    ref.tell(Question(reply_to=other))  # type: ignore[arg-type]  # a bare ref takes answers, but no failures
    ref.tell(Question(reply_to=ear))

    await a_loop_round()

    assert runtime.dead_letters.total == 3
    assert [type(heard) for heard in ear.heard] == [ActorDeadError]


async def test_a_sender_that_does_not_care_leaves_a_dead_letter(
    spawn: SpawnLoop, runtime: Runtime, witness: Witness, observer: Recorder
) -> None:
    ref = spawn()
    assert runtime.tell_or_dead_letter(ref, "taken") is True
    await stop_and_wait(ref, timeout_s=PATIENCE_S)

    assert runtime.tell_or_dead_letter(ref, "too late") is False

    assert "taken" in witness.seen
    assert observer.dead == [("performer", DeadLetterReason.TOLD_AFTER_STOP, "too late")]


async def test_a_dead_pykka_actor_is_counted_by_its_class(runtime: Runtime, witness: Witness) -> None:
    ref = ThreadPerformer.start(witness=witness)
    await stop_and_wait(ref, timeout_s=PATIENCE_S)

    assert runtime.tell_or_dead_letter(ref, "too late") is False

    assert dict(runtime.dead_letters) == {("ThreadPerformer", DeadLetterReason.TOLD_AFTER_STOP): 1}


async def test_a_dead_letter_is_logged_by_its_type_and_never_by_its_text(
    spawn: SpawnLoop, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.dead_letter("payout", DeadLetterReason.TOLD_AFTER_STOP, "+22890123456")

    (record,) = caplog.records
    assert record.message == "message.dead_lettered"
    assert record.__dict__["message_type"] == "str"
    assert not [value for value in record.__dict__.values() if "+228" in str(value)]


async def test_a_stop_that_overtakes_a_stop_is_no_dead_letter(spawn: SpawnLoop, runtime: Runtime) -> None:
    ref = spawn()
    stops = [ref.stop(block=False) for _ in range(3)]
    ref.tell(Do(lambda _: None))

    await a_loop_round()

    assert [stop.get() for stop in stops] == [True, True, True]
    assert runtime.dead_letters.total == 1


async def test_a_full_mailbox_refuses_and_takes_again_when_there_is_room(
    spawn: SpawnLoop, witness: Witness
) -> None:
    ref = spawn(SmallMailbox)
    ref.tell(1)
    ref.tell(2)

    with pytest.raises(MailboxFull, match="2 messages waiting"):
        ref.tell(3)
    with pytest.raises(MailboxFull):
        ref.ask("asked", block=False).get()

    await witness.until_seen(2)
    ref.tell(4)
    await witness.until_seen(4)
    assert witness.seen == ["started", 1, 2, 4]


async def test_a_full_mailbox_is_a_dead_letter_for_senders_that_do_not_care(
    spawn: SpawnLoop, runtime: Runtime, observer: Recorder
) -> None:
    ref, ear = spawn(SmallMailbox), Ear()
    ref.tell(1)
    ref.tell(2)

    assert runtime.tell_or_dead_letter(ref, Question(reply_to=ear)) is False

    assert dict(runtime.dead_letters) == {("performer", DeadLetterReason.MAILBOX_FULL): 1}
    assert [type(heard) for heard in ear.heard] == [MailboxFull]


async def test_a_full_mailbox_can_still_be_stopped(spawn: SpawnLoop) -> None:
    ref = spawn(SmallMailbox)
    ref.tell(1)
    ref.tell(2)

    assert await stop_and_wait(ref, timeout_s=PATIENCE_S)


async def test_messages_on_their_way_from_a_thread_count_against_the_limit(
    spawn: SpawnLoop, witness: Witness
) -> None:
    ref = spawn(SmallMailbox)
    told: list[bool] = []

    def tell_many() -> None:
        for number in range(10):
            try:
                ref.tell(number)
            except MailboxFull:
                told.append(False)
            else:
                told.append(True)

    thread = threading.Thread(target=tell_many)
    thread.start()
    # The loop stands still meanwhile: everything that was accepted is still on its way.
    thread.join(PATIENCE_S)

    assert told == [True, True, *[False] * 8]
    await witness.until_seen(1)
    await in_thread(lambda: ref.tell("room again"))
    await witness.until_seen("room again")
