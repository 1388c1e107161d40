"""Where operators' commands to the engine are taken: refused, or written down, and then done. The supervisor's own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from nepxy.actors.commands import COMMAND_REPEATED, CommandEngine, EngineAnswer, EngineCommand
from nepxy.actors.context import Ownership, Store
from nepxy.actors.engine_control import (
    SETS,
    EngineNotSet,
    EngineSet,
    EngineSteering,
    Hooks,
    engine_refusal,
    engine_values,
    reposts_for_h,
)
from nepxy.actors.messages import EngineState, EngineView
from nepxy.actors.replies import fail_reply, reply
from nepxy.engine.restored import Restored

log = structlog.get_logger("nepxy.supervisor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """What the supervisor does for its desk."""

    view: Callable[[], EngineView]
    life_now: Callable[[], EngineState]
    sweep_anew: Callable[[], None]
    restored: Callable[[Restored | None], None]
    """The last restore of the database is known to be this now."""


class EngineDesk:
    """One command after another; what several change at once is settled by the database's order."""

    def __init__(
        self,
        *,
        steering: EngineSteering,
        ownership: Ownership,
        store: Store,
        hooks: Hooks,
        steered: Steered,
    ) -> None:
        """Take none yet.

        Args:
            steering: what holds; written here.
            ownership: knows of the last restore of the database.
            store: where commands are written down, with their audit rows.
            hooks: what else operators may ask for.
            steered: the engine.
        """
        self._steering = steering
        self._ownership = ownership
        self._store = store
        self._hooks = hooks
        self._steered = steered

    def valid_commands(self) -> tuple[EngineCommand, ...]:
        """What means anything now."""
        restored = self._ownership.restored
        return self._steering.valid_commands(
            runs=self._steered.life_now() is EngineState.RUNNING,
            may_reload=self._hooks.reload_secrets is not None,
            held=restored is not None and restored.held,
        )

    def take(self, message: CommandEngine) -> Coroutine[Any, Any, EngineSet] | None:
        """Refuse it with an answer, or begin to write it down: the coroutine must be run, and its end told here."""
        refused = engine_refusal(message, self.valid_commands())
        if refused is not None:
            self._answer(message, answer=refused.answer, field=refused.field, problem=refused.problem)
            return None
        self._steering.writing += message.command in SETS
        return _kept(self._store, message, self._hooks)

    def not_kept(self, failed: EngineNotSet) -> None:
        """It is not in the database, so it does not hold."""
        self._steering.writing -= failed.message.command in SETS
        fail_reply(failed.message.reply_to, failed.error)

    def kept(self, done: EngineSet) -> None:
        """It is in the database: now it holds here, and what is only done is done."""
        message, steering = done.message, self._steering
        if message.command in SETS:
            steering.writing -= 1
            steering.load_may_be_old = True
        if done.controls is not None:
            steering.controls = done.controls
        if not done.is_new:
            self._answer(message, answer=COMMAND_REPEATED)
            return
        self._do(done)
        by = message.by
        log.warning("engine.controlled", command=message.command.value, who=by.who, reason=by.reason)
        self._answer(message, changed=done.changed)

    def _do(self, done: EngineSet) -> None:
        """What is not done by being kept."""
        match done.message.command:
            case EngineCommand.RESUME_INTAKE:
                self._steering.drains_here = None
            case EngineCommand.DRAIN:
                self._steering.drains_here = done.message.by.reason
            case EngineCommand.RECOVER if self._steered.life_now() is EngineState.RUNNING:
                self._steered.sweep_anew()
            case EngineCommand.RELEASE_RESTORED:
                self._steered.restored(done.restored)
            case _:
                pass

    def _answer(self, message: CommandEngine, **what: Any) -> None:
        reply(message.reply_to, EngineAnswer(engine=self._steered.view(), **what))


async def _kept(store: Store, message: CommandEngine, hooks: Hooks) -> EngineSet:
    """Write a command down."""
    command, by = message.command, message.by
    changed: tuple[str, ...] = ()
    if command is EngineCommand.RELOAD_SECRETS and hooks.reload_secrets is not None:
        # Before its row: a reload that is refused must not use up its key, or given again it would be called done.
        changed = hooks.reload_secrets()
    if command in SETS:
        controls = await store.set_engine(command.value, engine_values(message), by)
        return EngineSet(message=message, controls=controls)
    if command is EngineCommand.RELEASE_RESTORED:
        is_new = await store.release_restored(by, reposts_for_h(message.reposts_for_h) * 3600)
        return EngineSet(message=message, controls=None, is_new=is_new, restored=await store.restored())
    is_new = await store.note_command("supervisor", command.value, by)
    return EngineSet(message=message, controls=None, is_new=is_new, changed=changed)
