"""The actor runtime: pykka's actors on one event loop, cheap enough to have one for each payout.

Start actors with `SomeActor.start(runtime=...)`; talk to them with `ref.tell`, from a coroutine with
`ask`. Nothing here knows what a payout is, and nothing here reads a clock except through `Scheduler`.
"""

from pykka import ActorDeadError, ActorRef

from nepxy.engine.runtime.actor import ActorDescription, ActorState, LoopActor
from nepxy.engine.runtime.ask import AskTimeout, ask, stop_and_wait
from nepxy.engine.runtime.dead_letters import DeadLetterCounts, DeadLetterReason
from nepxy.engine.runtime.mailbox import MailboxFull
from nepxy.engine.runtime.messages import ChildFailed, ChildStopped
from nepxy.engine.runtime.observer import NullObserver, RuntimeObserver
from nepxy.engine.runtime.ref import LoopActorRef
from nepxy.engine.runtime.reply import Doorway, ReplyTo
from nepxy.engine.runtime.runtime import Runtime
from nepxy.engine.runtime.scheduler import Cancellable, LoopScheduler, Scheduler, SchedulerClosed
from nepxy.engine.runtime.supervision import RestartIntensity

__all__ = [
    "ActorDeadError",
    "ActorDescription",
    "ActorRef",
    "ActorState",
    "AskTimeout",
    "Cancellable",
    "ChildFailed",
    "ChildStopped",
    "DeadLetterCounts",
    "DeadLetterReason",
    "Doorway",
    "LoopActor",
    "LoopActorRef",
    "LoopScheduler",
    "MailboxFull",
    "NullObserver",
    "ReplyTo",
    "RestartIntensity",
    "Runtime",
    "RuntimeObserver",
    "Scheduler",
    "SchedulerClosed",
    "ask",
    "stop_and_wait",
]
