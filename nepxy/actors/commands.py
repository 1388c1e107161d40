"""Operators' commands to providers and to the supervisor, and what they are answered. All frozen.

Those that set something are in the database, with their audit row, before they are answered, and hold on every node
within two seconds. None of them fails money in flight (money rule 10).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nepxy.actors.messages import EngineView, ProviderView
from nepxy.engine.runtime import ReplyTo
from nepxy.providers.contract import Balance
from nepxy.storage.controls import By

APPLIED: Final = "APPLIED"
COMMAND_NOT_VALID: Final = "COMMAND_NOT_VALID"
COMMAND_REPEATED: Final = "COMMAND_REPEATED"
"""A command of this id was done before: it was not done again."""
VALUE_NOT_VALID: Final = "VALIDATION_FAILED"
BALANCE_UNKNOWN: Final = "BALANCE_UNKNOWN"


class ProviderCommand(StrEnum):
    """What an operator may ask of one provider."""

    PAUSE = "pause"
    """No more submits; what is in flight goes on."""
    RESUME = "resume"
    PAUSE_RETRIES = "pause_retries"
    """First attempts go on; nothing is sent a second time."""
    RESUME_RETRIES = "resume_retries"
    SET_BACKOFF = "set_backoff"
    SET_PACE = "set_pace"
    OPEN_BREAKER = "open_breaker"
    """No call at all, questions included, until it is released or closed."""
    CLOSE_BREAKER = "close_breaker"
    """Calls go through, whatever becomes of them."""
    RELEASE_BREAKER = "release_breaker"
    CHECK_BALANCE = "check_balance"


class EngineCommand(StrEnum):
    """What an operator may ask of the supervisor."""

    PAUSE_INTAKE = "pause_intake"
    """No new payouts, on any node."""
    RESUME_INTAKE = "resume_intake"
    """New payouts again, on every node; this one no longer drains."""
    DRAIN = "drain"
    """No new payouts on this node; what it has goes on."""
    RECOVER = "recover"
    """Look for what is due now, as after a start."""
    RELOAD_SECRETS = "reload_secrets"
    SET_LIMITS = "set_limits"
    RELEASE_RESTORED = "release_restored"
    """After a restore of the database: let the engine submit again, on every node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandProvider:
    """To the supervisor, which hands it to the provider's actor. Answered with a `ProviderAnswer`.

    Fails with `ProviderUnknown`, or `Unavailable`: then nothing was set.
    """

    provider: str
    command: ProviderCommand
    by: By
    base_s: float | None = None
    """Of `set_backoff`, in seconds; None: as configured."""
    cap_s: float | None = None
    requests_per_s: float | None = None
    """Of `set_pace`; 0: unlimited; None: as configured."""
    concurrency_max: int | None = None
    currency: str | None = None
    """Of `check_balance`; None: the provider's first."""
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAnswer:
    """What became of a command to a provider."""

    provider: ProviderView
    answer: str = APPLIED
    """`APPLIED`, or the code of why nothing changed."""
    field: str = ""
    """Which value is wrong, where one is."""
    problem: str = ""
    """What is wrong, in words."""
    balance: Balance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandEngine:
    """To the supervisor. Answered with an `EngineAnswer`; fails with `Unavailable`: then nothing was set."""

    command: EngineCommand
    by: By
    payouts_in_memory_max: int | None = None
    """Of `set_limits`; None: as configured."""
    reposts_for_h: float | None = None
    """Of `release_restored`, in hours: how long what looks new may be a re-post; None: 72."""
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAnswer:
    """What became of a command to the supervisor."""

    engine: EngineView
    answer: str = APPLIED
    field: str = ""
    problem: str = ""
    changed: tuple[str, ...] = ()
    """Of `reload_secrets`: the variables that changed; never their values."""
