"""A parent hears how its child ended, from birth to burial; and how often is too often."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import pykka
import pytest

from nepxy.engine.runtime import (
    ActorRef,
    ChildFailed,
    ChildStopped,
    DeadLetterReason,
    RestartIntensity,
    Runtime,
    stop_and_wait,
)
from tests.runtime.support import (
    PATIENCE_S,
    Do,
    LoopPerformer,
    Recorder,
    SmallMailbox,
    SpawnAny,
    SpawnLoop,
    Witness,
    a_loop_round,
    explode,
)


async def test_a_child_that_stops_is_reported_with_its_identity(
    spawn: SpawnLoop, spawn_any: SpawnAny, witness: Witness
) -> None:
    """The parent may be an actor of either kind."""
    child = spawn(parent=spawn_any(), child_id="payout-7")

    child.stop(block=False)

    await witness.until_seen(ChildStopped(child_id="payout-7", ref=child))


async def test_a_child_that_fails_is_reported_with_its_identity_and_error(
    spawn: SpawnLoop, spawn_any: SpawnAny, witness: Witness, observer: Recorder
) -> None:
    error = ValueError("poison")
    child = spawn(parent=spawn_any(), child_id="payout-7")

    child.tell(Do(explode(error)))

    await witness.until_seen(ChildFailed(child_id="payout-7", ref=child, error=error))
    assert ("failed", error) in witness.seen
    assert "stopped" not in witness.seen
    assert observer.failed == [("performer", error)]
    assert observer.stopped == []


async def test_a_stillborn_child_is_reported_too(spawn: SpawnLoop, witness: Witness) -> None:
    error = ValueError("stillborn")
    parent = spawn()

    child = spawn(parent=parent, child_id="payout-7", on_start=explode(error))

    await witness.until_seen(ChildFailed(child_id="payout-7", ref=child, error=error))
    assert not child.is_alive()
    assert ("failed", error) not in witness.seen


async def test_a_child_that_fails_while_stopping_has_failed(spawn: SpawnLoop, witness: Witness) -> None:
    error = ValueError("could not tidy up")

    class Untidy(LoopPerformer):
        def on_stop(self) -> None:
            raise error

    child = spawn(Untidy, parent=spawn(), child_id=1)

    assert await stop_and_wait(child, timeout_s=PATIENCE_S)
    await witness.until_seen(ChildFailed(child_id=1, ref=child, error=error))


async def test_a_failure_hook_that_fails_does_not_hide_the_first_error(
    spawn: SpawnLoop, witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("poison")

    class Worse(LoopPerformer):
        def on_failure(
            self,
            exception_type: type[BaseException] | None,
            exception_value: BaseException | None,
            traceback: TracebackType | None,
        ) -> None:
            raise LookupError("and worse")

    child = spawn(Worse, parent=spawn(), child_id=1)
    child.tell(Do(explode(error)))

    await witness.until_seen(ChildFailed(child_id=1, ref=child, error=error))
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "actor.cleanup_failed",
        "actor.failed",
    ]


async def test_an_exception_in_an_asked_message_is_not_the_parents_business(
    spawn: SpawnLoop, witness: Witness
) -> None:
    child = spawn(parent=spawn(), child_id=1)

    child.ask(Do(explode(ValueError("asked"))), block=False)
    await stop_and_wait(child, timeout_s=PATIENCE_S)
    await a_loop_round()

    assert ChildStopped(child_id=1, ref=child) in witness.seen
    assert not [seen for seen in witness.seen if isinstance(seen, ChildFailed)]


async def test_one_poisoned_child_does_not_stop_another(spawn: SpawnLoop, witness: Witness) -> None:
    parent = spawn()
    poisoned, healthy = spawn(parent=parent, child_id=1), spawn(parent=parent, child_id=2)

    poisoned.tell(Do(explode(ValueError("poison"))))
    healthy.tell("healthy")

    await witness.until_seen("healthy")
    assert healthy.is_alive()
    assert parent.is_alive()
    assert not poisoned.is_alive()


async def test_news_for_a_parent_that_is_gone_is_a_dead_letter(
    spawn: SpawnLoop, runtime: Runtime, observer: Recorder
) -> None:
    parent = spawn()
    child = spawn(parent=parent, child_id=1)
    await stop_and_wait(parent, timeout_s=PATIENCE_S)

    await stop_and_wait(child, timeout_s=PATIENCE_S)

    assert observer.dead == [
        ("performer", DeadLetterReason.TOLD_AFTER_STOP, ChildStopped(child_id=1, ref=child))
    ]


async def test_a_busy_parent_hears_of_it_all_the_same(
    spawn: SpawnLoop, runtime: Runtime, witness: Witness
) -> None:
    """Its mailbox limit is for others: a death that nobody hears of is never mended."""
    parent = SmallMailbox(runtime=runtime, witness=witness)
    parent.actor_ref.tell(1)
    parent.actor_ref.tell(2)
    error = ValueError("stillborn")
    child = spawn(parent=parent.actor_ref, child_id=1, on_start=explode(error))
    await a_loop_round()

    parent.take_turn()

    assert ChildFailed(child_id=1, ref=child, error=error) in witness.seen


async def test_actors_stay_out_of_pykkas_registry(spawn: SpawnLoop) -> None:
    ref: ActorRef[LoopPerformer] = spawn()

    assert ref not in pykka.ActorRegistry.get_all()
    await stop_and_wait(ref, timeout_s=PATIENCE_S)


@pytest.mark.parametrize(
    ("restarts_max", "within_s", "at", "allowed"),
    [
        pytest.param(0, 10.0, [0], [False], id="none is allowed"),
        pytest.param(1, 10.0, [0, 1], [True, False], id="one more than allowed"),
        pytest.param(3, 10.0, [0, 1, 2, 3], [True, True, True, False], id="three, not four"),
        pytest.param(2, 10.0, [0, 1, 11.5], [True, True, True], id="old ones are forgotten"),
        pytest.param(1, 10.0, [0, 10], [True, False], id="exactly the period still counts"),
        pytest.param(1, 10.0, [0, 10.1], [True, True], id="just beyond it does not"),
        pytest.param(
            1, 10.0, [0, 1, 2, 13], [True, False, False, True], id="allowed again after a calm time"
        ),
        pytest.param(2, 10.0, [0, 9, 18, 27], [True, True, True, True], id="a slow drip is allowed for ever"),
    ],
)
def test_restart_intensity(restarts_max: int, within_s: float, at: list[float], allowed: list[bool]) -> None:
    intensity = RestartIntensity(restarts_max, within_s)

    assert [intensity.record(moment) for moment in at] == allowed


def test_restart_intensity_holds_no_more_than_it_needs() -> None:
    intensity = RestartIntensity(3, 1_000_000.0)

    for moment in range(1_000):
        intensity.record(moment)

    assert len(intensity._restarted_at) == 4


@pytest.mark.parametrize(
    "build",
    [lambda: RestartIntensity(-1, 1.0), lambda: RestartIntensity(1, 0.0)],
    ids=["restarts", "seconds"],
)
def test_restart_intensity_refuses_limits_out_of_range(build: Callable[[], RestartIntensity]) -> None:
    with pytest.raises(ValueError, match="give"):
        build()
