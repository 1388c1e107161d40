"""The front end's short memory: counters and states every half minute, for plots and for what "lately" means."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry

from nepxy.engine.payout import Status
from nepxy.errors import NepXyError
from nepxy.http.metrics import PAYOUTS_ROUTE
from nepxy.storage.activity import in_flight_counts
from nepxy.storage.database import Reader

STEP_S: Final = 30.0
KEPT_S: Final = 3 * 3600.0
BUSY_SHARE: Final = 20
"""It rests so many times as long as a count took: however many are in flight, it costs the database little."""
SIGNATURE_CODES: Final = ("INVALID_SIGNATURE", "MISSING_SIGNATURE", "WEBHOOK_SECRET_NOT_CONFIGURED")
"""As the alert rule has them."""
METRICS: Final = (
    "nepxy_webhooks_refused_total",
    "webhook_events_total",
    "idempotency_conflicts_total",
    "payout_attempts_total",
    "nepxy_payouts_settled_total",
)
SETTLED: Final = (Status.CONFIRMED.value, Status.FAILED.value)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counters since this process began."""

    signatures: Mapping[str, int] = field(default_factory=dict)
    """Webhooks refused for their signature, by provider."""
    webhooks: Mapping[str, int] = field(default_factory=dict)
    """Webhooks with a valid one."""
    conflicts: int = 0
    """Requests whose Idempotency-Key named another one."""
    failed: Mapping[str, int] = field(default_factory=dict)
    """Submits that failed."""
    taken: Mapping[str, int] = field(default_factory=dict)
    settled: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By provider and final state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look."""

    at: datetime
    counts: Counts
    states: Mapping[str, Mapping[str, int]] | None
    """Payouts in flight by provider and state; None: the database did not say."""


class Watch:
    """Looks every `STEP_S` seconds, from `start` to `stop`."""

    def __init__(
        self,
        *,
        registry: CollectorRegistry,
        providers: Sequence[str],
        reader: Reader,
        clock: Callable[[], datetime],
    ) -> None:
        """Remember nothing yet.

        Args:
            registry: whose counters are read.
            providers: canonical names.
            reader: of its own, so that an exhausted pool does not blind it.
            clock: now; aware, UTC.
        """
        self._registry = registry
        self._providers = tuple(providers)
        self._reader = reader
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=int(KEPT_S / STEP_S))
        self._task: asyncio.Task[None] | None = None
        self._at_start = self.counts()

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    def counts(self) -> Counts:
        """The counters at this moment."""
        found = {
            (sample.name, frozenset(sample.labels.items())): int(sample.value)
            for family in self._registry.restricted_registry(METRICS).collect()
            for sample in family.samples
        }

        def value(metric: str, labels: Mapping[str, str]) -> int:
            return found.get((metric, frozenset(labels.items())), 0)

        def by_provider(metric: str, **labels: str) -> dict[str, int]:
            return {name: value(metric, {"provider": name, **labels}) for name in self._providers}

        refused = [by_provider("nepxy_webhooks_refused_total", code=code) for code in SIGNATURE_CODES]
        valid = [
            by_provider("webhook_events_total", signature_valid="true", applied=applied)
            for applied in ("true", "false")
        ]
        return Counts(
            signatures=_summed(refused),
            webhooks=_summed(valid),
            conflicts=value("idempotency_conflicts_total", {"route": PAYOUTS_ROUTE}),
            failed=by_provider("payout_attempts_total", result="FAILED"),
            taken=by_provider("payout_attempts_total", result="SENT"),
            settled={
                name: {
                    status: value("nepxy_payouts_settled_total", {"provider": name, "status": status})
                    for status in SETTLED
                }
                for name in self._providers
            },
        )

    def lately(self, seconds: float) -> Counts:
        """What the counters grew by in the last so many seconds; since the start, where that is later."""
        since = self._clock() - timedelta(seconds=seconds)
        before = self._at_start
        for sample in self._samples:
            if sample.at > since:
                break
            before = sample.counts
        now = self.counts()
        return Counts(
            signatures=_grown(now.signatures, before.signatures),
            webhooks=_grown(now.webhooks, before.webhooks),
            conflicts=now.conflicts - before.conflicts,
            failed=_grown(now.failed, before.failed),
            taken=_grown(now.taken, before.taken),
        )

    def points(self, minutes: float) -> list[dict[str, Any]]:
        """The last minutes, oldest first: what was in flight, and what settled since the point before."""
        since = self._clock() - timedelta(minutes=minutes)
        points: list[dict[str, Any]] = []
        before: Sample | None = None
        for sample in self._samples:
            if sample.at >= since and before is not None:
                points.append(
                    {
                        "at": sample.at,
                        "states": sample.states or {},
                        "settled": {
                            name: _grown(settled, before.counts.settled.get(name, {}))
                            for name, settled in sample.counts.settled.items()
                        },
                    }
                )
            before = sample
        return points

    async def look(self) -> None:
        """Take one sample."""
        states: Mapping[str, Mapping[str, int]] | None = None
        try:
            states = await self._reader.run(in_flight_counts)
        except NepXyError as error:
            log.debug("watch.states_not_counted", error=error.message)
        self._samples.append(Sample(at=self._clock(), counts=self.counts(), states=states))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await self.look()
            except Exception:
                # A look that fails is a gap in a plot, and nothing else.
                log.exception("watch.failed")
            took_s = loop.time() - began_s
            await asyncio.sleep(max(STEP_S - took_s, took_s * BUSY_SHARE))


def _summed(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def _grown(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in now.items()}
