"""A batch on its way into a database that fails in every way: each write lands once, and each answer is true."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from nepxy.actors.batch_commit import BACKOFF_S_MAX, HALVED_AFTER, LOOKS_MAX, commit_batch
from nepxy.config.groups import LimitSettings
from nepxy.engine.payout import ProviderRef, Status
from nepxy.errors import NepXyError
from nepxy.storage.database import Fault, NotConnected
from nepxy.storage.writes import (
    Answer,
    Created,
    CreatePayout,
    IntentDenied,
    KeyKnown,
    Moved,
    MovePayout,
    Stale,
    Write,
    WriteFailed,
)
from tests.simulation.database import DatabaseError, ModelDatabase
from tests.storage.test_journal import NODE, NOW, a_create, a_move, a_payout, an_intent

Step = Callable[["Unsteady", Sequence[Write]], Sequence[Answer]]


class Unsteady:
    """The model, and what happens at each call before it goes on as it should."""

    def __init__(self) -> None:
        self.model = ModelDatabase(now=lambda: NOW)
        self.writing: list[Step] = []
        self.looking: list[Step] = []
        self.faults: list[Fault] = []
        self.said: list[str] = []
        self.waits: list[float] = []
        self.sizes: list[int] = []
        self.is_given_up = False

    def write(self, writes: Sequence[Write]) -> Sequence[Answer]:
        self.sizes.append(len(writes))
        return self.writing.pop(0)(self, writes) if self.writing else self.model.write(writes)

    def find_landed(self, writes: Sequence[Write]) -> Mapping[int, Answer]:
        if self.looking:
            self.looking.pop(0)(self, writes)
        return self.model.find_landed(writes)

    def disconnect(self) -> None:
        self.model.disconnect()

    def commit(self, *writes: Write) -> tuple[Answer | None, ...]:
        def faltered(fault: Fault, error: NepXyError) -> None:
            assert error.code == "DATABASE_UNAVAILABLE"
            self.said.append(error.message)
            self.faults.append(fault)

        steps = commit_batch(
            self, writes, faltered=faltered, given_up=lambda: self.is_given_up, jitter=lambda: 0.5
        )
        while True:
            try:
                self.waits.append(next(steps))
            except StopIteration as done:
                answers: tuple[Answer | None, ...] = done.value
                return answers

    def born(self) -> CreatePayout:
        create = a_create()
        self.model.write([create])
        return create

    def asked(self) -> MovePayout:
        payout = self.born().payout
        return a_move(payout, payout.moved(Status.REVIEW, "ASKED"))

    def landed_count(self, write: CreatePayout | MovePayout) -> int:
        return sum(
            event.write_id == write.write_id
            for events in self.model.tables.events.values()
            for event in events
        )


def fails(pgcode: str | None = None) -> Step:
    """Nothing is done; without a code, the connection is what broke."""

    def step(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        raise DatabaseError("not now", pgcode)

    return step


def lands_unheard(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
    database.model.write(writes)
    raise DatabaseError("server closed the connection unexpectedly")


def goes_on(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
    return database.model.write(writes)


def gives_up(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
    database.is_given_up = True
    raise DatabaseError("server closed the connection unexpectedly")


@pytest.fixture
def database() -> Unsteady:
    return Unsteady()


# ---- what passes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "fault", "reconnects"),
    [
        ("40001", Fault.TRY_AGAIN, False),
        ("40P01", Fault.TRY_AGAIN, False),
        ("53100", Fault.TRY_AGAIN, False),
        ("57014", Fault.TRY_AGAIN, False),
        ("25006", Fault.TRY_AGAIN, True),
        ("28P01", Fault.TRY_AGAIN, True),
        ("53300", Fault.TRY_AGAIN, True),
        ("57P01", Fault.OUTCOME_UNKNOWN, True),
        (None, Fault.OUTCOME_UNKNOWN, True),
    ],
)
def test_what_passes_is_waited_out_and_written_once(
    database: Unsteady, code: str | None, fault: Fault, reconnects: bool
) -> None:
    writes = (a_create(), database.asked())
    database.writing = [fails(code)]

    assert database.commit(*writes) == (Created(payout=writes[0].payout), Moved(payout=writes[1].after))

    assert [database.landed_count(write) for write in writes] == [1, 1]
    assert database.faults == [fault]
    assert bool(database.model.disconnects_count) is reconnects
    assert len(database.waits) == 1


def test_waits_grow_up_to_their_limit(database: Unsteady) -> None:
    database.writing = [fails("53100")] * 12

    database.commit(a_create())

    assert database.waits == sorted(database.waits)
    assert database.waits[-1] == BACKOFF_S_MAX * 0.75
    assert database.waits[0] < 0.1


def test_a_batch_that_only_fails_as_a_whole_passes_in_parts(database: Unsteady) -> None:
    def too_slow(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        if len(writes) > 2:
            database.writing.insert(0, too_slow)
            raise DatabaseError("canceling statement due to statement timeout", "57014")
        database.writing.insert(0, too_slow)
        return database.model.write(writes)

    writes = [a_create() for _ in range(8)]
    database.writing = [too_slow]

    assert database.commit(*writes) == tuple(Created(payout=write.payout) for write in writes)
    assert database.sizes[:HALVED_AFTER] == [8] * HALVED_AFTER


def test_a_client_whose_use_takes_too_long_to_count_holds_up_nobody_else(database: Unsteady) -> None:
    limits = LimitSettings(payouts_per_month_max=10**6)
    slow = [a_create(a_payout(client_id="slow"), limits=limits) for _ in range(2)]
    quick, free, moved = a_create(a_payout(client_id="quick"), limits=limits), a_create(), database.asked()

    def counts(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        database.writing.insert(0, counts)
        database.is_given_up = len(database.sizes) > 20
        if any(write in slow for write in writes):
            raise DatabaseError("canceling statement due to statement timeout", "57014")
        return database.model.write(writes)

    database.writing = [counts]

    answers = database.commit(slow[0], quick, free, moved, slow[1])

    assert answers[1:4] == (
        Created(payout=quick.payout),
        Created(payout=free.payout),
        Moved(payout=moved.after),
    )
    assert [isinstance(answer, WriteFailed) and answer.error.code for answer in (answers[0], answers[4])] == [
        "ENGINE_BUSY",
        "ENGINE_BUSY",
    ]
    assert database.sizes == [5, 2, 2, 1]


def test_clients_are_not_told_where_the_database_is(database: Unsteady) -> None:
    def away(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        raise NotConnected('connection to server at "db.internal" failed: no password for user "nepxy"')

    database.writing = [away, fails("53100")]

    database.commit(a_create())

    assert database.said == [
        "the journal cannot commit now (no connection)",
        "the journal cannot commit now (SQLSTATE 53100)",
    ]
    assert database.model.disconnects_count == 1


# ---- what nobody knows -------------------------------------------------------------------------


def test_a_commit_whose_answer_was_lost_is_found(database: Unsteady) -> None:
    writes = (a_create(), database.asked())
    database.writing = [lands_unheard]

    assert database.commit(*writes) == (
        Created(payout=writes[0].payout, earlier=True),
        Moved(payout=writes[1].after),
    )
    assert [database.landed_count(write) for write in writes] == [1, 1]


def test_faults_while_looking_leave_it_unknown_until_the_database_can_tell(database: Unsteady) -> None:
    move = database.asked()
    database.writing = [lands_unheard]
    database.looking = [fails(), fails("55P03"), fails("57P03")]

    assert database.commit(move) == (Moved(payout=move.after),)
    assert database.sizes == [1]
    assert len(database.faults) == 4


def test_a_landed_move_stays_ours_when_the_row_has_moved_on(database: Unsteady) -> None:
    move = database.asked()

    def lands_and_is_overtaken(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        database.model.write(writes)
        later = a_move(move.after, move.after.moved(Status.REVIEW, "ASKED_AGAIN"))
        database.model.write([later])
        raise DatabaseError("server closed the connection unexpectedly")

    database.writing = [lands_and_is_overtaken]

    assert database.commit(move) == (Moved(payout=move.after),)
    assert database.sizes == [1]


def test_a_lost_try_that_lands_after_the_look_is_still_ours(database: Unsteady) -> None:
    move, bystander = database.asked(), a_create()

    def late(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        database.model.write([move])
        return database.model.write(writes)

    database.writing = [fails(), late]

    assert database.commit(move, bystander) == (Moved(payout=move.after), Created(payout=bystander.payout))
    assert database.landed_count(move) == 1


def test_an_intent_denied_after_its_own_late_commit_has_landed(database: Unsteady) -> None:
    epoch = database.model.acquire_or_renew(node_id=NODE, ttl_s=600).epochs[0]
    intent = an_intent(database.born().payout, epoch)

    def late(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        # PostgreSQL answers so where the statement's snapshot is older than the late commit.
        database.model.write([intent])
        return [IntentDenied(reason="PAUSED")]

    database.writing = [fails(), late]

    (answer,) = database.commit(intent)

    assert answer == Moved(payout=replace(intent.after, answer_by=NOW + timedelta(seconds=60)))


def test_what_somebody_else_wrote_stays_stale(database: Unsteady) -> None:
    theirs = database.asked()
    ours = replace(theirs, write_id=a_create().write_id)
    database.model.write([theirs])
    database.writing = [fails()]

    assert database.commit(ours) == (Stale(),)


def test_a_write_that_cannot_even_be_looked_for_does_not_hold_up_the_others(database: Unsteady) -> None:
    poisoned, fine = database.asked(), database.asked()

    def poison(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        if poisoned in writes:
            raise DatabaseError("invalid input syntax for type uuid", "22P02")
        return []

    def poisoned_write(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        poison(database, writes)
        return database.model.write(writes)

    database.writing = [fails(), *[poisoned_write] * 3]
    database.looking = [poison] * 3

    first, second = database.commit(poisoned, fine)

    assert isinstance(first, WriteFailed)
    assert second == Moved(payout=fine.after)


# ---- what the database refuses -----------------------------------------------------------------


def test_every_loser_of_a_race_hears_of_its_winner(database: Unsteady) -> None:
    winners = [database.born() for _ in range(LOOKS_MAX + 3)]
    losers = [a_create(a_payout(idempotency_key=each.payout.idempotency_key)) for each in winners]

    def lost(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        seen = {write.write_id for write in writes if isinstance(write, CreatePayout)}
        if len(writes) > 1 or not seen <= told:
            told.update(seen if len(writes) == 1 else ())
            database.writing.insert(0, lost)
            raise DatabaseError("duplicate key value violates unique constraint", "23505")
        database.writing.insert(0, lost)
        return database.model.write(writes)

    told: set[str] = set()
    database.writing = [lost]

    answers = database.commit(*losers)

    assert [answer.transaction_id for answer in answers if isinstance(answer, KeyKnown)] == [
        winner.payout.transaction_id for winner in winners
    ]


def test_a_race_that_never_ends_is_not_our_defect(database: Unsteady) -> None:
    database.writing = [fails("23505")] * (LOOKS_MAX + 1)

    (answer,) = database.commit(a_create())

    assert isinstance(answer, WriteFailed)
    assert answer.error.code == "ENGINE_BUSY"
    assert database.sizes == [1] * (LOOKS_MAX + 1)


def test_a_birth_that_breaks_a_rule_fails_at_once(database: Unsteady) -> None:
    (answer,) = database.commit(a_create(a_payout(amount=0)))

    assert isinstance(answer, WriteFailed)
    assert answer.error.code == "INTERNAL_ERROR"
    assert database.sizes == [1]


def test_a_taken_provider_reference_is_refused_by_its_name(database: Unsteady) -> None:
    first, second = database.asked(), database.asked()
    database.model.write([first, second])
    gains = [
        a_move(each.after, each.after.moved(Status.REVIEW, "FOUND", provider_ref=ProviderRef("P-1")))
        for each in (first, second)
    ]

    answers = database.commit(gains[0]) + database.commit(gains[1])

    assert answers[0] == Moved(payout=gains[0].after)
    assert isinstance(answers[1], WriteFailed)
    assert answers[1].another_has_the_provider_ref


# ---- giving up ---------------------------------------------------------------------------------


def test_giving_up_leaves_only_what_is_unrecorded_unanswered(database: Unsteady) -> None:
    poisoned, fine, lost = a_create(a_payout(amount=0)), a_create(), a_create()
    # Halved: the poisoned one alone, then the others, of which one is written before the database goes.
    database.writing = [goes_on, goes_on, fails("22000"), goes_on, gives_up]

    answers = database.commit(poisoned, fine, lost)

    assert isinstance(answers[0], WriteFailed)
    assert answers[1:] == (Created(payout=fine.payout), None)
    assert database.landed_count(lost) == 0


def test_giving_up_while_telling_apart_keeps_the_other_answers(database: Unsteady) -> None:
    stale = replace(database.asked(), before=a_payout())
    stale = replace(stale, before=replace(stale.before, version=7))
    fine = a_create()
    database.writing = [fails("40001")]
    database.looking = [gives_up]

    assert database.commit(stale, fine) == (None, Created(payout=fine.payout))


def test_giving_up_is_no_reason_to_drop_what_the_database_takes(database: Unsteady) -> None:
    writes = (a_create(), database.asked())
    database.is_given_up = True

    assert database.commit(*writes) == (Created(payout=writes[0].payout), Moved(payout=writes[1].after))


def test_a_part_that_was_found_before_giving_up_is_answered(database: Unsteady) -> None:
    poisoned, landed, unknown = (database.asked() for _ in range(3))

    def refuses(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        raise DatabaseError("invalid input syntax for type uuid", "22P02")

    database.writing = [lands_unheard]
    # Halves: one alone, then the two others; each of those alone.
    database.looking = [refuses, goes_nowhere, refuses, goes_nowhere, gives_up]

    answers = database.commit(landed, poisoned, unknown)

    assert answers == (Moved(payout=landed.after), Moved(payout=poisoned.after), None)


def goes_nowhere(database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
    return []


# ---- anything ----------------------------------------------------------------------------------


class Weather:
    """Faults at random; what is poisoned is refused at every try, and never lands."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.poisoned: set[str] = set()
        self.late: list[Sequence[Write]] = []

    def lands(self, database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        if any(isinstance(write, CreatePayout) and write.write_id in self.poisoned for write in writes):
            raise DatabaseError("invalid byte sequence", "22021")
        return database.model.write(writes)

    def late_ones_land(self, database: Unsteady) -> None:
        writes = self.late.pop()
        with suppress(DatabaseError):
            self.lands(database, writes)

    def writing(self, database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        if self.late and self.rng.random() < 0.5:
            self.late_ones_land(database)
        match self.rng.randrange(5):
            case 0:
                self.lands(database, writes)
                raise DatabaseError("server closed the connection unexpectedly")
            case 1:
                self.late.append(tuple(writes))
                raise DatabaseError("server closed the connection unexpectedly")
            case 2:
                code = self.rng.choice((None, "40001", "57P01", "25006", "55P03"))
                raise DatabaseError("not now", code)
            case _:
                return self.lands(database, writes)

    def looking(self, database: Unsteady, writes: Sequence[Write]) -> Sequence[Answer]:
        if self.late and self.rng.random() < 0.3:
            self.late_ones_land(database)
        if self.rng.random() < 0.4:
            raise DatabaseError("not now", self.rng.choice((None, "55P03")))
        return []

    def write_of(self, database: Unsteady, epoch: int) -> CreatePayout | MovePayout:
        match self.rng.randrange(7):
            case 0:
                return a_create()
            case 1:
                create = a_create()
                self.poisoned.add(create.write_id)
                return create
            case 2:
                return an_intent(database.born().payout, epoch)
            case 3:
                return an_intent(database.born().payout, epoch + 1)
            case 4:
                move = database.asked()
                return replace(move, before=replace(move.before, version=5))
            case _:
                return database.asked()


@pytest.mark.parametrize("seed", range(200))
def test_whatever_happens_each_write_lands_once_and_each_answer_is_true(seed: int) -> None:
    weather = Weather(seed)
    database = Unsteady()
    epoch = database.model.acquire_or_renew(node_id=NODE, ttl_s=600).epochs[0]
    writes = [weather.write_of(database, epoch) for _ in range(weather.rng.randrange(1, 8))]
    database.looking.extend([weather.looking] * weather.rng.randrange(6))
    database.writing.extend([weather.writing] * weather.rng.randrange(12))
    database.writing.extend([weather.lands] * 30)

    answers = database.commit(*writes)

    for write, answer in zip(writes, answers, strict=True):
        assert answer is not None
        assert database.landed_count(write) == isinstance(answer, Created | Moved), (write, answer)
        assert isinstance(answer, WriteFailed) == (write.write_id in weather.poisoned)
    while weather.late:
        weather.late_ones_land(database)
    assert all(database.landed_count(write) <= 1 for write in writes)
