"""The supervisor's own commands: intake, limits, sweeps, secrets. What is set is in the database before it holds.

Intake and limits hold for all nodes; a drain is this node's alone, and ends with it or with `resume_intake`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nepxy.actors.commands import (
    COMMAND_NOT_VALID,
    VALUE_NOT_VALID,
    CommandEngine,
    EngineCommand,
)
from nepxy.engine.controls import IN_MEMORY_MAX, EngineControls
from nepxy.engine.restored import REPOSTS_FOR_H, REPOSTS_FOR_H_MAX, Restored

SETS = frozenset({EngineCommand.PAUSE_INTAKE, EngineCommand.RESUME_INTAKE, EngineCommand.SET_LIMITS})
"""Commands that are kept; the others are only noted in the audit log."""


@dataclass(slots=True)
class Hooks:
    """What the composition root adds once it has it."""

    reload_secrets: Callable[[], tuple[str, ...]] | None = None
    """Takes the files' secrets; the variables that changed. Raises `ConfigError` where they cannot be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRefused:
    """Nothing is done, because."""

    answer: str
    field: str = ""
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSet:
    """A command is in the database: what holds now; None: it set nothing."""

    message: CommandEngine
    controls: EngineControls | None
    is_new: bool = True
    restored: Restored | None = None
    """Of `release_restored`: how the last restore stands now."""
    changed: tuple[str, ...] = ()
    """Of `reload_secrets`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineNotSet:
    """It is not."""

    message: CommandEngine
    error: BaseException


@dataclass(slots=True, kw_only=True)
class EngineSteering:
    """What operators have set for this engine, as its supervisor knows it."""

    configured_max: int
    controls: EngineControls = field(default_factory=EngineControls)
    drains_here: str | None = None
    """Why this node alone takes no payouts; None: it does."""
    writing: int = 0
    load_may_be_old: bool = False

    @property
    def payouts_in_memory_max(self) -> int:
        """What holds now."""
        return self.controls.payouts_in_memory_max or self.configured_max

    @property
    def closed_reason(self) -> str | None:
        """Why no new payouts are taken here; None: they are."""
        if self.drains_here is not None:
            return self.drains_here
        return None if self.controls.intake_open else self.controls.intake_reason

    def loaded(self, controls: EngineControls) -> None:
        """What the database says; but for what was read before the last command was in it."""
        old, self.load_may_be_old = self.load_may_be_old, False
        if not old and not self.writing:
            self.controls = controls

    def valid_commands(self, *, runs: bool, may_reload: bool, held: bool) -> tuple[EngineCommand, ...]:
        """What means anything now.

        Args:
            runs: whether this node holds shards, and does not stop.
            may_reload: whether there are secrets to take.
            held: whether the database was restored, and nobody has released the engine since.
        """
        commands = EngineCommand
        closed = not self.controls.intake_open or self.drains_here is not None
        return (
            *((commands.PAUSE_INTAKE,) if self.controls.intake_open else ()),
            *((commands.RESUME_INTAKE,) if closed else ()),
            *((commands.DRAIN,) if self.drains_here is None else ()),
            *((commands.RECOVER,) if runs else ()),
            *((commands.RELOAD_SECRETS,) if may_reload else ()),
            *((commands.RELEASE_RESTORED,) if held else ()),
            commands.SET_LIMITS,
        )


def engine_refusal(message: CommandEngine, valid: tuple[EngineCommand, ...]) -> EngineRefused | None:
    """Why this command means nothing now; None: it does."""
    if message.command not in valid:
        return EngineRefused(answer=COMMAND_NOT_VALID, problem=_NOT_VALID[message.command])
    limit = message.payouts_in_memory_max
    if message.command is EngineCommand.SET_LIMITS and limit is not None and not 1 <= limit <= IN_MEMORY_MAX:
        return EngineRefused(
            answer=VALUE_NOT_VALID,
            field="payouts_in_memory_max",
            problem=f"is not between 1 and {IN_MEMORY_MAX}",
        )
    hours = message.reposts_for_h
    if (
        message.command is EngineCommand.RELEASE_RESTORED
        and not 0 <= reposts_for_h(hours) <= REPOSTS_FOR_H_MAX
    ):
        return EngineRefused(
            answer=VALUE_NOT_VALID,
            field="reposts_for_h",
            problem=f"is not between 0 and {REPOSTS_FOR_H_MAX:g} hours",
        )
    return None


def reposts_for_h(hours: float | None) -> float:
    """As given, or the default."""
    return REPOSTS_FOR_H if hours is None else hours


def engine_values(message: CommandEngine) -> Mapping[str, Any]:
    """What a command that is kept sets, by column."""
    match message.command:
        case EngineCommand.PAUSE_INTAKE:
            return {"intake_open": False, "intake_reason": message.by.reason, "intake_by": message.by.who}
        case EngineCommand.RESUME_INTAKE:
            return {"intake_open": True, "intake_reason": "", "intake_by": ""}
        case _:
            return {"payouts_in_memory_max": message.payouts_in_memory_max}


_NOT_VALID: Mapping[EngineCommand, str] = {
    EngineCommand.PAUSE_INTAKE: "the intake is paused already",
    EngineCommand.RESUME_INTAKE: "the intake is open",
    EngineCommand.DRAIN: "this node drains already",
    EngineCommand.RECOVER: "this node holds no shards, or stops: there is nothing for it to take up",
    EngineCommand.RELOAD_SECRETS: "this process has no secrets to take",
    EngineCommand.SET_LIMITS: "limits can always be set",
    EngineCommand.RELEASE_RESTORED: "the engine is not held: the database was not restored, or it is released already",
}
