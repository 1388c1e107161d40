"""The journal writer on a real PostgreSQL: whatever happens to a batch, each write lands once or fails alone."""

from __future__ import annotations

import os
import queue
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import peewee
import pykka
import pytest

from nepxy.actors.journal_writer import BatchWritten, JournalWriter, WriteBatch, WriterFaltered
from nepxy.config.groups import LimitSettings
from nepxy.engine.payout import ProviderRef, Status
from nepxy.storage.client_limits import begin_and_hold_back
from nepxy.storage.database import Fault, connect_writer
from nepxy.storage.embedded import EmbeddedPostgres
from nepxy.storage.journal import lock_key
from nepxy.storage.migrate import migrate_up
from nepxy.storage.writes import (
    Answer,
    Created,
    CreatePayout,
    ExternalRefKnown,
    KeyKnown,
    Moved,
    MovePayout,
    Stale,
    Write,
    WriteFailed,
)
from tests.postgres_server import PostgresServer
from tests.storage.test_journal import Journal, a_create, a_move, a_payout, an_intent

LIMIT_S = 60


class LosesAnswers(peewee.PostgresqlDatabase):
    """A commit's answer gets lost, once; and the connections can be got at."""

    lose = False
    descriptors: list[int]

    def _connect(self) -> Any:
        connection = super()._connect()  # type: ignore[misc]
        self.descriptors.append(connection.fileno())
        return connection

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        cursor = super().execute_sql(sql, params)  # type: ignore[no-untyped-call]
        if self.lose:
            self.lose = False
            raise peewee.OperationalError("server closed the connection unexpectedly")
        return cursor


class Lane:
    """A started writer, and what it has told the journal."""

    def __init__(self, url: str, *, statement_timeout_s: float = 10) -> None:
        database = connect_writer(url, statement_timeout_s=statement_timeout_s, connect_timeout_s=10)
        database.__class__ = LosesAnswers
        self.database = cast(LosesAnswers, database)
        self.database.descriptors = []
        self.giving_up = threading.Event()
        self.told: queue.Queue[Any] = queue.Queue()
        self.faults: list[Fault] = []
        self._actor = JournalWriter.start(
            database=self.database, tell_journal=self.told.put, giving_up=self.giving_up
        )

    def take(self, *writes: Write) -> None:
        self._actor.tell(WriteBatch(lane=0, writes=writes))

    def faltered(self) -> Fault:
        told = self.told.get(timeout=LIMIT_S)
        assert isinstance(told, WriterFaltered)
        self.faults.append(told.fault)
        return told.fault

    def answers(self) -> Sequence[Answer | None]:
        while True:
            told = self.told.get(timeout=LIMIT_S)
            if isinstance(told, BatchWritten):
                return told.answers
            assert isinstance(told, WriterFaltered)
            self.faults.append(told.fault)

    def written(self, *writes: Write) -> Sequence[Answer | None]:
        self.take(*writes)
        return self.answers()

    def descriptor(self) -> int:
        """A copy of the writer's end of its connection: to break it unheard by a server that waits for a lock."""
        return os.dup(self.database.descriptors[-1])

    def stop(self) -> None:
        self.giving_up.set()
        with suppress(pykka.ActorDeadError):
            self._actor.stop()


@pytest.fixture
def journal(database_url_both: str) -> Iterator[Journal]:
    journal = Journal(database_url_both)
    yield journal
    journal.database.close()


@pytest.fixture
def lane(database_url_both: str) -> Iterator[Lane]:
    lane = Lane(database_url_both)
    yield lane
    lane.stop()


def until(journal: Journal, sql: str) -> None:
    """Wait until a query finds a row."""
    deadline_s = time.monotonic() + LIMIT_S
    while not journal.rows(sql):
        assert time.monotonic() < deadline_s, f"never true: {sql}"


def blocked(journal: Journal, count: int = 1) -> None:
    """Wait until this many of the writer's sessions wait for a lock."""
    until(
        journal,
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        f" AND application_name = 'nepxy-journal' HAVING count(*) >= {count}",
    )


def asked(journal: Journal) -> MovePayout:
    payout = journal.created()
    return a_move(payout, payout.moved(Status.REVIEW, "ASKED"))


def terminate_writers(journal: Journal) -> None:
    journal.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nepxy-journal'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )


def assert_landed_once(journal: Journal, write: CreatePayout | MovePayout) -> None:
    assert journal.rows("SELECT count(*) FROM app.payout_events WHERE write_id = %s", write.write_id) == [
        (1,)
    ]


# ---- writes that the database refuses ----------------------------------------------------------


@pytest.mark.parametrize(
    "poisoned",
    [
        a_create(a_payout(details="\x00")),
        a_create(a_payout(currency="xof")),
        a_create(a_payout(amount=2**63)),
        a_create(a_payout(details="\ud800")),
        a_create(a_payout(), write_id="not-a-uuid"),
    ],
    ids=["NUL", "CHECK", "out-of-range", "lone-surrogate", "not-a-uuid"],
)
@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_poisoned_write_fails_alone(
    journal: Journal, lane: Lane, poisoned: CreatePayout, place: int
) -> None:
    writes: list[CreatePayout | MovePayout] = [*(a_create() for _ in range(5)), asked(journal)]
    writes.insert(place, poisoned)

    answers = lane.written(*writes)

    assert [n for n, answer in enumerate(answers) if isinstance(answer, WriteFailed)] == [place]
    for write, answer in zip(writes, answers, strict=True):
        if write is not poisoned:
            assert isinstance(answer, Created | Moved)
            assert_landed_once(journal, write)
    assert lane.faults == []


@pytest.mark.parametrize(
    ("same", "answer"), [("idempotency_key", KeyKnown), ("external_ref", ExternalRefKnown)]
)
def test_who_loses_a_race_for_a_key_or_reference_hears_of_the_winner(
    database_url_both: str, journal: Journal, lane: Lane, same: str, answer: type[Answer]
) -> None:
    winner, bystander = a_create(), a_create()
    loser = a_create(a_payout(**{same: getattr(winner.payout, same)}))
    observer = Journal(database_url_both)
    with journal.database.atomic():
        journal.one(winner)
        lane.take(bystander, loser)
        blocked(observer)
    observer.database.close()

    first, second = lane.answers()

    assert first == Created(payout=bystander.payout)
    assert isinstance(second, answer)
    assert isinstance(second, KeyKnown | ExternalRefKnown)
    assert second.transaction_id == winner.payout.transaction_id


# ---- commits of unknown outcome ----------------------------------------------------------------


def test_a_batch_lands_once_after_its_connection_was_killed_before_it(journal: Journal, lane: Lane) -> None:
    lane.written(a_create())
    terminate_writers(journal)
    writes = (a_create(), asked(journal))

    answers = lane.written(*writes)

    assert answers == (Created(payout=writes[0].payout), Moved(payout=writes[1].after))
    assert lane.faults == [Fault.OUTCOME_UNKNOWN]
    for write in writes:
        assert_landed_once(journal, write)


def test_a_batch_lands_once_after_its_connection_was_killed_during_it(
    database_url_both: str, journal: Journal, lane: Lane
) -> None:
    writes = (a_create(), asked(journal))
    observer = Journal(database_url_both)
    with journal.database.atomic():
        journal.rows("SELECT FROM app.mobile_money_payouts FOR UPDATE")
        lane.take(*writes)
        blocked(observer)
        terminate_writers(observer)
        assert lane.faltered() is Fault.OUTCOME_UNKNOWN
    observer.database.close()

    assert lane.answers() == (Created(payout=writes[0].payout), Moved(payout=writes[1].after))
    for write in writes:
        assert_landed_once(journal, write)


def test_a_commit_whose_answer_was_lost_is_found_and_not_repeated(journal: Journal, lane: Lane) -> None:
    intent = an_intent(journal.created(), journal.leased())
    writes = (a_create(), asked(journal), intent)
    lane.database.lose = True

    answers = lane.written(*writes)

    assert lane.faults == [Fault.OUTCOME_UNKNOWN]
    assert [type(answer) for answer in answers] == [Created, Moved, Moved]
    assert isinstance(answers[2], Moved)
    assert journal.rows("SELECT submit_count, answer_by FROM app.payout_attempts") == [
        (1, answers[2].payout.answer_by)
    ]
    for write in writes:
        assert_landed_once(journal, write)


def test_a_lost_try_that_waited_for_a_lock_and_landed_late_is_still_ours(
    database_url_both: str, journal: Journal, lane: Lane
) -> None:
    sent = journal.sent()
    gains = a_move(sent, sent.moved(Status.SENT, "ACCEPTED", provider_ref=ProviderRef("P-1")))
    lane.written(a_create())
    descriptor = lane.descriptor()
    observer = Journal(database_url_both)
    with journal.database.atomic():
        journal.rows("SELECT pg_advisory_xact_lock(%s)", lock_key("TMONEY", "P-1"))
        lane.take(gains)
        blocked(observer)
        with socket.socket(fileno=descriptor) as end:
            end.shutdown(socket.SHUT_RDWR)
        assert lane.faltered() is Fault.OUTCOME_UNKNOWN
        blocked(observer, count=2)
    observer.database.close()

    assert lane.answers() == (Moved(payout=gains.after),)
    assert_landed_once(journal, gains)


def test_a_move_that_somebody_else_overtook_stays_stale_after_a_lost_connection(
    journal: Journal, lane: Lane
) -> None:
    theirs = asked(journal)
    ours = replace(theirs, write_id=a_create().write_id)
    lane.written(theirs)
    terminate_writers(journal)

    assert lane.written(ours) == (Stale(),)


def test_an_intent_that_waited_for_a_writer_before_it_is_stale_not_denied(
    database_url_both: str, journal: Journal, lane: Lane
) -> None:
    epoch = journal.leased()
    payout = journal.created()
    observer = Journal(database_url_both)
    with journal.database.atomic():
        journal.one(a_move(payout, payout.moved(Status.REVIEW, "ASKED")))
        lane.take(an_intent(payout, epoch))
        blocked(observer)
    observer.database.close()

    assert lane.answers() == (Stale(),)
    assert journal.count("payout_attempts") == 0


# ---- conditions that pass ----------------------------------------------------------------------


@pytest.mark.parametrize("code", ["40001", "40P01", "57014", "55P03", "53100", "25006", "57P01"])
def test_what_passes_is_tried_again(journal: Journal, lane: Lane, code: str) -> None:
    # A sequence, because a rollback does not turn it back.
    journal.rows(f"""
        CREATE SEQUENCE app.tries;
        CREATE FUNCTION app.fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('app.tries') = 1 THEN RAISE 'not now' USING ERRCODE = '{code}'; END IF;
            RETURN NEW;
        END $$;
    """)
    move = asked(journal)
    journal.rows(
        "CREATE TRIGGER fail_once BEFORE INSERT ON app.payout_events"
        " FOR EACH STATEMENT EXECUTE FUNCTION app.fail_once()"
    )
    create = a_create()

    assert lane.written(create, move) == (Created(payout=create.payout), Moved(payout=move.after))

    assert lane.faults == [Fault.OUTCOME_UNKNOWN if code == "57P01" else Fault.TRY_AGAIN]
    for write in (create, move):
        assert_landed_once(journal, write)


def test_a_lock_held_for_longer_than_the_time_out_only_delays(
    database_url_both: str, journal: Journal
) -> None:
    lane = Lane(database_url_both, statement_timeout_s=0.2)
    move = asked(journal)
    with journal.database.atomic():
        journal.rows("SELECT FROM app.mobile_money_payouts FOR UPDATE")
        lane.take(move)
        assert lane.faltered() is Fault.TRY_AGAIN

    assert lane.answers() == (Moved(payout=move.after),)
    lane.stop()


def test_a_client_whose_limits_somebody_else_keeps_locked_holds_up_nobody_else(
    database_url_both: str, journal: Journal
) -> None:
    lane = Lane(database_url_both, statement_timeout_s=0.2)
    limits = LimitSettings(payouts_per_day_max=10)
    held, other = a_create(limits=limits), a_create(a_payout(client_id="other"), limits=limits)
    move = asked(journal)
    # As a node does that froze in the midst of it.
    begin_and_hold_back(journal.database, {0: a_create(limits=limits)})
    busy, *done = lane.written(held, move, other)
    journal.database.execute_sql("ROLLBACK")

    assert isinstance(busy, WriteFailed)
    assert busy.error.code == "ENGINE_BUSY"
    assert done == [Moved(payout=move.after), Created(payout=other.payout)]
    assert lane.written(held) == (Created(payout=held.payout),)
    lane.stop()


def test_a_session_that_may_only_read_is_left_for_another(database_url_both: str, journal: Journal) -> None:
    """As after a failover, when the old server has become the one to read from."""
    (name,) = journal.rows("SELECT current_database()")[0]
    move, create = asked(journal), a_create()
    journal.rows(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    lane = Lane(database_url_both)

    lane.take(move, create)
    assert lane.faltered() is Fault.TRY_AGAIN
    journal.rows(f"ALTER DATABASE {name} RESET default_transaction_read_only")

    assert lane.answers() == (Moved(payout=move.after), Created(payout=create.payout))
    lane.stop()


def test_a_log_in_that_is_refused_for_now_only_delays(
    postgres_both: PostgresServer, database_url_both: str, journal: Journal
) -> None:
    (name,) = journal.rows("SELECT current_database()")[0]
    move = asked(journal)
    postgres_both.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    lane = Lane(database_url_both)

    lane.take(move)
    assert [lane.faltered() for _ in range(2)] == [Fault.TRY_AGAIN] * 2
    postgres_both.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    assert lane.answers() == (Moved(payout=move.after),)
    lane.stop()


# ---- a server that goes and comes back ---------------------------------------------------------


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """One of this test's own, to crash; migrated."""
    folder = Path(tempfile.mkdtemp(prefix="nepxy-test-embedded-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres.start(folder, durable=False)
    migrate_up(server.url)
    yield server
    server.destroy()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_batch_waits_for_a_server_that_crashed_and_lands_when_it_is_back(server: EmbeddedPostgres) -> None:
    journal, lane = Journal(server.url), Lane(server.url)
    writes = (a_create(), asked(journal))
    lane.written(a_create())
    journal.database.close()
    server.crash()

    lane.take(*writes)
    # The batch was lost with its connection; that no new one could be made leaves nothing more unknown.
    assert [lane.faltered() for _ in range(3)] == [Fault.OUTCOME_UNKNOWN, Fault.TRY_AGAIN, Fault.TRY_AGAIN]
    server.restart()

    assert lane.answers() == (Created(payout=writes[0].payout), Moved(payout=writes[1].after))
    for write in writes:
        assert_landed_once(journal, write)
    journal.database.close()
    lane.stop()


def test_a_writer_told_to_give_up_answers_nothing_for_what_is_unrecorded(server: EmbeddedPostgres) -> None:
    lane = Lane(server.url)
    lane.written(a_create())
    server.crash()

    lane.take(a_create(), a_create())
    lane.faltered()
    lane.giving_up.set()

    assert lane.answers() == (None, None)
    lane.stop()
    server.restart()


# ---- what the database's owner has set ---------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "theirs", "ours"),
    [
        ("synchronous_commit", "off", "on"),
        ("default_transaction_isolation", "serializable", "read committed"),
    ],
)
def test_what_a_commit_means_is_not_left_to_the_databases_defaults(
    database_url_both: str, journal: Journal, setting: str, theirs: str, ours: str
) -> None:
    """Where commits return before they are on disk, a crash forgets an intent, and its payout is sent again."""
    (name,) = journal.rows("SELECT current_database()")[0]
    journal.rows(f"ALTER DATABASE \"{name}\" SET {setting} = '{theirs}'")

    later = Journal(database_url_both)
    assert later.rows(f"SHOW {setting}") == [(ours,)]
    later.database.close()
