# ruff: noqa: S101 - part of a test suite
"""The stage with everything on it: adapter, proxy and stand-in, and a loop on which the tests run them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from nepxy.engine.outcomes import Outcome, OutcomeClass, StatusReport
from nepxy.engine.payout import Payout, ProviderRef
from nepxy.providers.conformance.meddler import Meddle, Meddler
from nepxy.providers.conformance.stage import Stage
from nepxy.providers.contract import Adapter

TAKEN: Final = frozenset((OutcomeClass.ACCEPTED, OutcomeClass.CONFIRMED))
STEPS_MAX: Final = 12

T = TypeVar("T")
Ask = Callable[[Mapping[int, Meddle]], StatusReport]


class Guard:
    """A send guard that can be late from its n-th question on, or refuse to commit from the n-th step on."""

    def __init__(
        self, meddler: Meddler | None = None, *, late_from: int = 10_000, refuse_from: int = 10_000
    ) -> None:
        """Draw the meddler's stop line where something is denied."""
        self._meddler, self._late_from, self._refuse_from = meddler, late_from, refuse_from
        self.asked = 0
        self.steps: list[str] = []
        self.provider_ref: ProviderRef | None = None

    def is_late(self) -> bool:
        """As `SendGuard` says."""
        self.asked += 1
        return self._denied(self.asked > self._late_from)

    async def reached(self, step: str, *, provider_ref: ProviderRef | None = None) -> bool:
        """As `SendGuard` says."""
        assert step == step.upper(), f"a step is an upper-case code, not {step}"
        assert 0 < len(step) <= 40, f"a step has 40 characters at most: {step}"
        self.steps.append(step)
        if self._denied(len(self.steps) > self._refuse_from):
            return False
        self.provider_ref = provider_ref or self.provider_ref
        return True

    def _denied(self, denied: bool) -> bool:
        if denied and self._meddler is not None:
            self._meddler.stop_line = True
        return denied


@dataclass(frozen=True, slots=True)
class Theatre:
    """Everything on its place, and a loop that runs what a test wants."""

    runner: asyncio.Runner
    stage: Stage
    meddler: Meddler
    adapter: Adapter

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to its end."""
        return self.runner.run(work)

    def submit(
        self, payout: Payout, plan: Mapping[int, Meddle] | None = None, guard: Guard | None = None
    ) -> Outcome:
        """Submit, with these requests spoilt."""
        self.meddler.begin(plan)
        return self.run(self.adapter.submit(payout, guard or Guard()))

    def look_up(self, payout: Payout, plan: Mapping[int, Meddle] | None = None) -> StatusReport:
        """Look our reference up."""
        self.meddler.begin(plan)
        return self.run(self.adapter.look_up(payout))

    def poll(self, payout: Payout, plan: Mapping[int, Meddle] | None = None) -> StatusReport:
        """Ask for the provider's reference."""
        self.meddler.begin(plan)
        return self.run(self.adapter.poll(payout))

    def moved(self, payout: Payout) -> int:
        """How often its money moved, when all is quiet."""
        self.run(self.stage.settle())
        return self.run(self.stage.moved(payout))

    def accepted(self, payout: Payout) -> Payout:
        """The payout, submitted and taken."""
        outcome = self.submit(payout)
        assert outcome.kind in TAKEN, f"the stand-in should take it: {outcome}"
        return replace(payout, provider_ref=outcome.provider_ref, taken_at=datetime.now(UTC))

    def writes_of_a_submit(self, number: int) -> int:
        """How many requests a submit makes when all goes well."""
        self.accepted(self.stage.payout(number))
        return min(len(self.meddler.seen), STEPS_MAX)

    def questions(self, payout: Payout) -> list[Ask]:
        """Every way in which the adapter can be asked what became of it."""
        ways: list[Ask] = []
        if self.adapter.capabilities.lookup_by_reference:
            ways.append(lambda plan: self.look_up(payout, plan))
        if self.adapter.capabilities.status_by_provider_ref and payout.provider_ref is not None:
            ways.append(lambda plan: self.poll(payout, plan))
        return ways
