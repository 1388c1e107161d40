"""What an operator's command to a provider would set, or why it is refused: values, for its actor to act on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from nepxy.actors.commands import COMMAND_NOT_VALID, VALUE_NOT_VALID, CommandProvider, ProviderCommand
from nepxy.actors.provider_state import ProviderState
from nepxy.engine.breaker import Forced
from nepxy.engine.controls import BACKOFF_S_MAX, PACE_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing is set, because."""

    answer: str
    field: str = ""
    problem: str


def refusal(state: ProviderState, message: CommandProvider) -> Refused | None:
    """Why this command means nothing now; None: it does."""
    if message.command not in state.valid_commands():
        return Refused(answer=COMMAND_NOT_VALID, problem=_why_not_valid(state, message.command))
    match message.command:
        case ProviderCommand.SET_BACKOFF:
            return _backoff_problem(state, message)
        case ProviderCommand.SET_PACE:
            return _pace_problem(state, message)
        case ProviderCommand.CHECK_BALANCE if message.currency not in (None, *state.currencies):
            known = ", ".join(state.currencies) or "none"
            return _wrong("currency", f"is none that {state.name} pays: {known}")
        case ProviderCommand.CHECK_BALANCE if currency_of(state, message) is None:
            return _wrong("currency", f"is needed: nobody knows in which currencies {state.name} pays")
        case _:
            return None


def currency_of(state: ProviderState, message: CommandProvider) -> str | None:
    """In which currency to ask for our balance; None: nobody knows."""
    short = state.shortfall.currency if state.shortfall is not None else None
    return message.currency or short or next(iter(state.currencies), None)


def values(message: CommandProvider) -> Mapping[str, Any]:
    """What a command that sets something sets, by column; empty: it sets nothing of that kind."""
    match message.command:
        case ProviderCommand.PAUSE_RETRIES:
            return {"retries_paused": True, "retries_paused_reason": message.by.reason}
        case ProviderCommand.RESUME_RETRIES:
            return {"retries_paused": False, "retries_paused_reason": ""}
        case ProviderCommand.SET_BACKOFF:
            return {"backoff_base_s": message.base_s, "backoff_cap_s": message.cap_s}
        case ProviderCommand.SET_PACE:
            return {"requests_per_s": message.requests_per_s, "concurrency_max": message.concurrency_max}
        case ProviderCommand.OPEN_BREAKER:
            return {"breaker_forced": Forced.OPEN.value}
        case ProviderCommand.CLOSE_BREAKER:
            return {"breaker_forced": Forced.CLOSED.value}
        case ProviderCommand.RELEASE_BREAKER:
            return {"breaker_forced": Forced.NOT.value}
        case ProviderCommand.PAUSE | ProviderCommand.RESUME | ProviderCommand.CHECK_BALANCE:
            return {}
        case _:
            assert_never(message.command)


def _why_not_valid(state: ProviderState, command: ProviderCommand) -> str:
    match command:
        case ProviderCommand.PAUSE:
            return f"{state.name} is paused already, by {state.overrides.paused_by}"
        case ProviderCommand.RESUME:
            return f"{state.name} is not paused"
        case ProviderCommand.PAUSE_RETRIES:
            return f"retries to {state.name} are paused already"
        case ProviderCommand.RESUME_RETRIES:
            return f"retries to {state.name} are not paused"
        case ProviderCommand.CHECK_BALANCE:
            return f"{state.name} cannot be asked for our balance"
        case _:
            return f"{state.name}'s breaker is {state.overrides.breaker_forced.value or 'automatic'} already"


def _backoff_problem(state: ProviderState, message: CommandProvider) -> Refused | None:
    for field, value_s in (("base_s", message.base_s), ("cap_s", message.cap_s)):
        if value_s is not None and not (math.isfinite(value_s) and 0.1 <= value_s <= BACKOFF_S_MAX):
            return _wrong(field, f"is not between 0.1 and {BACKOFF_S_MAX:.0f} seconds")
    if state.configured is None:
        return None
    retry = state.configured.retry
    base_s = retry.base_s if message.base_s is None else message.base_s
    cap_s = retry.cap_s if message.cap_s is None else message.cap_s
    if base_s > cap_s:
        return _wrong("cap_s", f"is {cap_s:g} s, less than base_s, which is {base_s:g} s: set both")
    return None


def _pace_problem(state: ProviderState, message: CommandProvider) -> Refused | None:
    pace, places = message.requests_per_s, message.concurrency_max
    if pace is not None and not (math.isfinite(pace) and 0 <= pace <= PACE_MAX):
        return _wrong("requests_per_s", f"is not between 0 (unlimited) and {PACE_MAX:.0f}")
    if places is not None and not 1 <= places <= state.concurrency_configured:
        return _wrong(
            "concurrency_max",
            f"is not between 1 and {state.concurrency_configured}, the connections that this node keeps to "
            f"{state.name}: for more, set {state.name}_CONCURRENCY_MAX and restart",
        )
    return None


def _wrong(field: str, problem: str) -> Refused:
    return Refused(answer=VALUE_NOT_VALID, field=field, problem=problem)
