"""Runs seeds, many at a time, and says what they found."""

from __future__ import annotations

import logging
import os
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256

import structlog

from nepxy.engine.payout import Status
from tests.simulation import checks
from tests.simulation.database import EventRow
from tests.simulation.town import Town

CHUNK = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one seed led to."""

    seed: int
    violations: tuple[str, ...]
    injected: Counter[str]
    statuses: Counter[str]
    reviews: Counter[str]
    contracts: Counter[tuple[str, str]]
    """Payouts by contract and status."""
    discrepancies: int
    steps: int
    virtual_s: float
    payments: int
    fingerprint: str
    """Of everything that happened: the same seed gives the same one."""
    story: tuple[str, ...] = field(default=())


def run_seed(seed: int, *, real: bool = False, with_story: bool = False) -> Report:
    """One run, and what the checks say of it."""
    with quiet():
        return _run_seed(seed, real=real, with_story=with_story)


def _run_seed(seed: int, *, real: bool, with_story: bool) -> Report:
    town = Town(seed, real=real)
    broke: list[str] = []
    try:
        town.run()
    except Exception as error:
        broke.append(f"the run itself broke: {error!r}\n{traceback.format_exc()}")
    finally:
        town.world.close()
    found = (*broke, *checks.violations(town))
    payouts = tuple(town.tables.payouts.values())
    history = [
        repr((event.at, event.version, event.to_status, event.why))
        for payout in payouts
        for event in town.tables.events[payout.transaction_id]
    ]
    return Report(
        seed=seed,
        violations=found,
        injected=town.injected,
        statuses=Counter(payout.status.value for payout in payouts),
        reviews=Counter(payout.status_reason for payout in payouts if payout.status is Status.REVIEW),
        contracts=Counter((town.weather.labels[payout.provider], payout.status.value) for payout in payouts),
        discrepancies=len(town.tables.discrepancies),
        steps=town.world.steps,
        virtual_s=town.world.monotonic(),
        payments=sum(len(provider.payments) for provider in town.providers.values()),
        fingerprint=sha256("".join(history).encode()).hexdigest()[:16],
        story=tuple(_story(town)) if with_story else (),
    )


def run_seeds(seeds: Sequence[int], *, jobs: int, real: bool = False) -> Iterator[Report]:
    """Many runs, in as many processes, in the order of the seeds."""
    if jobs == 1:
        for seed in seeds:
            yield run_seed(seed, real=real)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(partial(run_seed, real=real), seeds, chunksize=CHUNK)


@contextmanager
def quiet() -> Iterator[None]:
    """The engine's own log is not what a run is read by, and costs more than all the rest."""
    before, logger = structlog.get_config(), logging.getLogger("nepxy")
    level = logger.level
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        structlog.configure(**before)
        logger.setLevel(level)


def default_jobs() -> int:
    """One a core."""
    return os.cpu_count() or 1


def _story(town: Town) -> Iterator[str]:
    """The trace and every payout's events, in the order in which they happened."""
    lines = [(at_s, text) for at_s, text in town.world.trace]
    begin = town.world.now().timestamp() - town.world.monotonic()
    for client in town.clients:
        lines.append(
            (
                0.0,
                f"{client.wish.key}: {client.wish.provider} expires after {client.wish.expires_after_s:.0f} s",
            )
        )
    for payout in town.tables.payouts.values():
        key = payout.idempotency_key
        lines += [
            (
                event.at.timestamp() - begin,
                _event_line(key, event),
            )
            for event in town.tables.events[payout.transaction_id]
        ]
    for provider in town.providers.values():
        lines.append((0.0, f"{provider.name}: {provider.capabilities}"))
        lines += [
            (
                request.sent_at.timestamp() - begin,
                f"{provider.name} is sent {request.reference} attempt {request.attempt} by {request.node}",
            )
            for request in provider.sends
        ]
        lines += [
            (payment.at.timestamp() - begin, f"{provider.name} pays {payment.reference} {payment.amount}")
            for payment in provider.payments
        ]
    for at_s, text in sorted(lines, key=lambda line: line[0]):
        yield f"{at_s:10.3f}  {text}"


def _event_line(key: str, event: EventRow) -> str:
    proof = (
        f" [{event.evidence.source}: {event.evidence.answer} {event.evidence.rule}]" if event.evidence else ""
    )
    return f"{key} {event.from_status or '-'} -> {event.to_status} {event.why}{proof} by {event.who}"
