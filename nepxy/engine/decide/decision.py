"""What a decision is made by, and what it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from nepxy.engine.capabilities import Capabilities
from nepxy.engine.effects import Effect
from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.payout import Payout
from nepxy.engine.restored import Restored
from nepxy.engine.retry import RetryPolicy

NOT_UPDATED: Final = "NOT_UPDATED"
STEP_COMMITTED: Final = "STEP_COMMITTED"
STEP_REFUSED: Final = "STEP_REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for one provider now: its contract, its numbers, and the account that is configured."""

    capabilities: Capabilities
    retry: RetryPolicy
    account: str | None
    """The configured account's fingerprint; None: no account is configured here."""
    installation_id: str
    second_person: bool = True
    """Whether an operator's `confirm` and `fail` want another operator's approval."""
    restored: Restored | None = None
    """The last restore of the database; None: there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from one event.

    `payout` differs from the one decided on if and only if a transition is to be committed; then
    `evidence` says why. `answer` is for whoever caused the event.
    """

    payout: Payout
    evidence: Evidence | None = None
    effects: tuple[Effect, ...] = ()
    discrepancy: Discrepancy | None = None
    answer: str = "APPLIED"
    """`APPLIED`, or the code of why nothing changed: `ALREADY_CONFIRMED`, `NOT_UPDATED`, ..."""
    is_intent: bool = field(default=False)
    """An attempt begins: the database checks pause, expiry, epoch and `answer_by` once more."""
    step: str | None = None
    """A submit goes on to its next write: the database checks epoch and `answer_by` once more."""
    reopens: bool = False
    """A failed payout is tried again: the database checks that no attempt is unresolved, and nothing contradicts it."""
    presumes_attempt: bool = False
    """After a restore: an attempt that no row knows of counts as made, so that its reference finds its payout."""
    noted_as: str | None = None
    """The `why` of the history's row for a fact that changes neither state nor reason; None: the reason says it."""
