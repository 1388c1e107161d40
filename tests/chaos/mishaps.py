"""What happens to the processes in a round, and what the provider's weather is like meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

from nepxy.storage.embedded import StopMode
from tests.chaos.stage import FROZEN_S, Stage
from tests.journey.harness import Town

Mishap = Callable[[Stage, random.Random], Awaitable[None]]


async def kill_again_and_again(stage: Stage, dice: random.Random) -> None:
    """SIGKILL to whoever works, again and again, at moments that nobody chose; once to both."""
    for number in range(3):
        owner = await stage.owner()
        await asyncio.sleep(dice.uniform(0.05, 0.6))
        victims = stage.towns if number == 2 else [owner]
        for town in victims:
            stage.kill(town)
        for town in victims:
            town.start_engine()
    await stage.owner()


async def kill_the_owner(stage: Stage, dice: random.Random) -> None:
    """SIGKILL to the one that holds the leases; the other takes over when they lapse."""
    owner = await stage.owner()
    await asyncio.sleep(dice.uniform(0.05, 0.6))
    stage.kill(owner)
    await stage.until_state(stage.other(owner), "running")
    stage.counts["take-overs"] += 1
    owner.start_engine()


async def freeze_the_owner(stage: Stage, dice: random.Random) -> None:
    """SIGSTOP for longer than lease and send window: the other takes over, and the sleeper wakes late."""
    owner = await stage.owner()
    await asyncio.sleep(dice.uniform(0.05, 0.4))
    owner.signal_engine(signal.SIGSTOP)
    stage.counts["engine frozen (SIGSTOP)"] += 1
    try:
        await stage.until_state(stage.other(owner), "running")
        stage.counts["take-overs"] += 1
        await asyncio.sleep(dice.uniform(0.0, FROZEN_S / 2))
    finally:
        owner.signal_engine(signal.SIGCONT)
    await stage.until_state(owner, "standby")


async def freeze_everybody(stage: Stage, dice: random.Random) -> None:
    """SIGSTOP for longer than the send window; nobody is left to take over."""
    for town in stage.towns:
        town.signal_engine(signal.SIGSTOP)
        stage.counts["engine frozen (SIGSTOP)"] += 1
    await asyncio.sleep(dice.uniform(1.0, FROZEN_S))
    for town in stage.towns:
        town.signal_engine(signal.SIGCONT)


async def rolling_restart(stage: Stage, dice: random.Random) -> None:
    """SIGTERM to one engine after the other, as a deployment does."""
    first = await restart_the_owner(stage)
    await stage.until_state(first, "running", "standby")
    await restart_the_owner(stage)


async def restart_the_owner(stage: Stage) -> Town:
    """SIGTERM to the one that works: it exits with 0, and the other goes on at once."""
    owner = await stage.owner()
    status = await stage.stop_softly(owner)
    if status != 0:
        stage.complaints.append(f"{owner.name} exited with {status} after SIGTERM, with all else well")
    owner.start_engine()
    await stage.owner()
    return owner


async def database_stops(stage: Stage, dice: random.Random) -> None:
    """`pg_ctl stop`, sometimes without asking anybody, and a start some time later."""
    mode: StopMode = dice.choice(("immediate", "fast"))
    await asyncio.to_thread(stage.server.stop, mode)
    stage.counts[f"database stopped ({mode})"] += 1
    await asyncio.sleep(dice.uniform(0.2, 2.5))
    await asyncio.to_thread(stage.server.restart)


async def database_crashes_and_the_owner_with_it(stage: Stage, dice: random.Random) -> None:
    """A whole machine that loses power: server and engine killed together."""
    owner = await stage.owner()
    stage.kill(owner)
    await asyncio.to_thread(stage.server.crash)
    stage.counts["database crashed (SIGKILL)"] += 1
    await asyncio.to_thread(stage.server.restart)
    owner.start_engine()


async def connections_cut(stage: Stage, dice: random.Random) -> None:
    """Every connection terminated, ten times, wherever in a commit it is."""
    for _ in range(10):
        await asyncio.to_thread(stage.terminate_backends)
        await asyncio.sleep(dice.uniform(0.02, 0.4))


async def sandbox_killed(stage: Stage, dice: random.Random) -> None:
    """The provider dies with requests in its hands; what it had written down it knows afterwards."""
    for _ in range(2):
        await asyncio.sleep(dice.uniform(0.05, 0.6))
        stage.kill_sandbox()
        stage.counts["sandbox killed (SIGKILL)"] += 1
        await asyncio.sleep(dice.uniform(0.05, 0.5))
        stage.start_sandbox()
        await stage.sandbox("summary")


async def stopped_while_the_database_is_away(stage: Stage, dice: random.Random) -> None:
    """SIGTERM to the owner when it cannot record anything: it may exit 3, and nothing may be lost."""
    owner = await stage.owner()
    await asyncio.to_thread(stage.server.stop, "immediate")
    stage.counts["database stopped (immediate)"] += 1
    status = await stage.stop_softly(owner)
    if status not in (0, 3):
        stage.complaints.append(f"{owner.name} exited with {status} while the database was away")
    await asyncio.to_thread(stage.server.restart)
    owner.start_engine()


MISHAPS: Final[tuple[Mishap, ...]] = (
    kill_again_and_again,
    freeze_the_owner,
    database_stops,
    sandbox_killed,
    connections_cut,
    rolling_restart,
    kill_the_owner,
    stopped_while_the_database_is_away,
    freeze_everybody,
    database_crashes_and_the_owner_with_it,
)
"""In the order of a short run: each once, before the dice choose."""


def weather(dice: random.Random) -> dict[str, Any]:
    """The sandbox's knobs for a round: now and then fine, mostly not."""
    if dice.random() < 0.2:
        return {}
    drawn: dict[str, Any] = {
        "drop_before_rate": dice.choice((0.0, 0.03)),
        "drop_after_rate": dice.choice((0.0, 0.1, 0.2)),
        "error_before_rate": dice.choice((0.0, 0.03)),
        "error_after_rate": dice.choice((0.0, 0.1, 0.2)),
        "status_error_rate": dice.choice((0.0, 0.2)),
        "delay_s_max": dice.choice((0.0, 0.3, 2.0)),
        "duplicate_webhook_rate": dice.choice((0.0, 0.5)),
        "lost_webhook_rate": dice.choice((0.0, 0.3)),
    }
    return drawn


async def outage(stage: Stage, dice: random.Random) -> None:
    """The provider answers nothing at all, for a moment."""
    await stage.set_faults(down=True)
    stage.counts["provider outages"] += 1
    await asyncio.sleep(dice.uniform(0.3, 1.0))
