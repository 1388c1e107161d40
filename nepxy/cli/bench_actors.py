"""How many actors one event loop carries, and what they cost: the figures behind "one actor a payout".

Each actor is told one message a round, so that every message pays for a turn of its own: the dearest
case, and the usual one for payouts. A round goes out in waves, as traffic does: a loop on which 100,000
messages wait at once mostly measures Python's garbage collector.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nepxy.engine.runtime import LoopActor, LoopActorRef, LoopScheduler, Runtime

__all__ = ["main", "run"]

WAVE_MESSAGES_MAX = 1_000


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has happened so far, and a bell for when enough has."""

    started_count: int = 0
    handled_count: int = 0
    stopped_count: int = 0
    awaited_count: int = 0
    """At which count, of whatever is being counted, the bell rings."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def ring_at(self, count: int) -> None:
        """A count has grown; ring if it is the awaited one."""
        if count == self.awaited_count:
            self.reached.set()

    def expect(self, count: int) -> None:
        """Ring at this count; say so before it can be reached."""
        self.awaited_count = count
        self.reached.clear()


class BenchActor(LoopActor):
    """Counts what happens to it."""

    kind: ClassVar[str] = "bench"

    def __init__(self, *, tally: Tally, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tally = tally

    def on_start(self) -> None:
        """Ring when all have started."""
        self.tally.started_count += 1
        self.tally.ring_at(self.tally.started_count)

    def on_receive(self, message: object) -> None:
        """Ring at the end of each wave."""
        self.tally.handled_count += 1
        self.tally.ring_at(self.tally.handled_count)

    def on_stop(self) -> None:
        """Ring when all have stopped."""
        self.tally.stopped_count += 1
        self.tally.ring_at(self.tally.stopped_count)


def run(actors: int = 100_000, messages: int = 10) -> dict[str, Any]:
    """Start actors, send each of them messages, stop them; blocks until done.

    Args:
        actors: alive at once; 1 or more.
        messages: told to each; 0 or more.

    Returns:
        `start_s`, `messages_s` and `stop_s` (seconds a phase), `messages_per_s`, `bytes_per_actor` (growth of
        resident memory while all are alive and idle), `loop` (which event loop), and the counts that must
        agree: `started_count`, `alive_count` (all at once), `handled_count`, `stopped_count`, `dead_letter_count`.
    """
    factory = _uvloop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        figures = runner.run(_bench(actors, messages))
    return {"loop": "asyncio" if factory is None else "uvloop", **figures}


def main() -> None:
    """Run with the figures of the design page, and print what came out."""
    figures = run()
    for name, figure in figures.items():
        print(f"{name:>18}  {figure:,.3f}" if isinstance(figure, float) else f"{name:>18}  {figure}")


async def _bench(actors: int, messages: int) -> dict[str, Any]:
    runtime = Runtime(scheduler=LoopScheduler())
    tally = Tally()
    gc.collect()
    resident_before = _resident_bytes()

    began_at = time.perf_counter()
    tally.expect(actors)
    refs = [BenchActor.start(runtime=runtime, tally=tally) for _ in range(actors)]
    await tally.reached.wait()
    start_s = time.perf_counter() - began_at

    gc.collect()
    resident_after = _resident_bytes()
    alive_count = sum(ref.is_alive() for ref in refs)

    began_at = time.perf_counter()
    for _ in range(messages):
        await _tell_round(refs, tally)
    messages_s = time.perf_counter() - began_at

    began_at = time.perf_counter()
    tally.expect(actors)
    for ref in refs:
        ref.stop(block=False)
    await tally.reached.wait()
    stop_s = time.perf_counter() - began_at

    return {
        "actors": actors,
        "messages": messages,
        "start_s": start_s,
        "messages_s": messages_s,
        "stop_s": stop_s,
        "messages_per_s": actors * messages / messages_s if messages else 0.0,
        "bytes_per_actor": (resident_after - resident_before) // actors,
        "started_count": tally.started_count,
        "alive_count": alive_count,
        "handled_count": tally.handled_count,
        "stopped_count": tally.stopped_count,
        "dead_letter_count": runtime.dead_letters.total,
    }


async def _tell_round(refs: list[LoopActorRef[BenchActor]], tally: Tally) -> None:
    for first in range(0, len(refs), WAVE_MESSAGES_MAX):
        wave = refs[first : first + WAVE_MESSAGES_MAX]
        tally.expect(tally.handled_count + len(wave))
        for ref in wave:
            ref.tell("a message")
        await tally.reached.wait()


def _uvloop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _resident_bytes() -> int:
    """Resident memory now; where /proc is missing, the most that there ever was."""
    try:
        statm = Path("/proc/self/statm").read_text()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
