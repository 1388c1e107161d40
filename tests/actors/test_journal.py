"""The journal's lanes on virtual time, with writers that commit when a test says so."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from nepxy.actors.journal import Journal
from nepxy.actors.journal_writer import BatchWritten, WriteBatch
from nepxy.actors.messages import Commit
from nepxy.storage.writes import Noted, PostponePayout
from tests.actors.support import Sink, a_world, new_metrics
from tests.factories import NOW, a_payout

AGE = "nepxy_journal_waiting_oldest_age_seconds"


class Lane:
    """A writer that keeps its batch until it is told that it is committed."""

    def __init__(self) -> None:
        self.batches: list[WriteBatch] = []

    def tell(self, message: WriteBatch) -> None:
        self.batches.append(message)


class Town:
    """A journal with one lane."""

    def __init__(self) -> None:
        self.world, _, self.runtime = a_world()
        metrics, self.registry = new_metrics()
        self.lane = Lane()
        self.heard: list[Any] = []
        self.ear = Sink.start(heard=self.heard, runtime=self.runtime)
        self.journal = Journal.start(
            make_writers=lambda tell: [self.lane], metrics=metrics, batch_max=2, runtime=self.runtime
        )
        self.payout = a_payout()

    def write(self) -> None:
        write = PostponePayout(
            transaction_id=self.payout.transaction_id, version=self.payout.version, until=NOW
        )
        self.journal.tell(Commit(write=write, reply_to=self.ear))

    def commit(self) -> None:
        answers = tuple(Noted() for _ in self.lane.batches[-1].writes)
        self.journal.tell(BatchWritten(lane=0, answers=answers, commit_s=0.0))
        self.world.run_for(0.001)

    def age_s(self) -> float:
        registry: CollectorRegistry = self.registry
        return registry.get_sample_value(AGE) or 0.0


def test_the_age_is_that_of_the_write_that_came_first_and_grows_while_nothing_is_committed() -> None:
    town = Town()
    assert town.age_s() == 0
    town.write()
    town.world.run_for(5)
    # Of one payout: they wait for the first one's batch, and then for each other.
    town.write()
    town.world.run_for(10)
    town.write()
    town.world.run_for(20)
    assert town.age_s() == pytest.approx(35, abs=0.1)

    town.commit()
    assert town.age_s() == pytest.approx(30, abs=0.1)
    town.world.run_for(1)
    town.commit()
    assert town.age_s() == pytest.approx(21, abs=0.1)
    town.commit()
    assert town.age_s() == 0
    assert len(town.heard) == 3
