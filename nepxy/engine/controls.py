"""What operators have set, for a provider and for the engine: values; None is "as the node is configured"."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from nepxy.engine.breaker import Forced
from nepxy.engine.retry import RetryPolicy

BACKOFF_S_MAX: Final = 7 * 86_400.0
PACE_MAX: Final = 10_000.0
"""Calls a second."""
IN_MEMORY_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOverrides:
    """One provider's, as in the database; the pause's own reason and shortfall are told apart from these."""

    paused_by: str = ""
    paused_at: datetime | None = None
    retries_paused: bool = False
    """First attempts go on; no payout is sent a second time."""
    retries_paused_reason: str = ""
    backoff_base_s: float | None = None
    backoff_cap_s: float | None = None
    requests_per_s: float | None = None
    """0: unlimited."""
    concurrency_max: int | None = None
    breaker_forced: Forced = Forced.NOT

    def names(self) -> tuple[str, ...]:
        """What differs from the node's configuration."""
        numbers = ("backoff_base_s", "backoff_cap_s", "requests_per_s", "concurrency_max")
        set_ones = [name for name in numbers if getattr(self, name) is not None]
        return (*set_ones, *(("breaker",) if self.breaker_forced is not Forced.NOT else ()))

    def retry_policy(self, configured: RetryPolicy) -> RetryPolicy:
        """The numbers by which payouts are tried again."""
        base_s, cap_s = self.backoff_base_s, self.backoff_cap_s
        if base_s is None and cap_s is None:
            return configured
        return replace(
            configured,
            base_s=configured.base_s if base_s is None else base_s,
            cap_s=configured.cap_s if cap_s is None else cap_s,
        )


NO_OVERRIDES: Final = ProviderOverrides()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineControls:
    """What holds for all nodes."""

    intake_open: bool = True
    intake_reason: str = ""
    intake_by: str = ""
    payouts_in_memory_max: int | None = None
