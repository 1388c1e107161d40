"""New payouts and their clients' limits on a real PostgreSQL: what is counted, and the last place is taken once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import peewee
import pytest

from nepxy.config.groups import LimitSettings
from nepxy.engine.limits import Limit, Reached
from nepxy.engine.payout import Payout, Status, TransactionId
from nepxy.storage.client_limits import USAGE, begin_and_hold_back
from nepxy.storage.payouts import first_id_of, load_payout
from nepxy.storage.writes import (
    Answer,
    Created,
    CreatePayout,
    ExternalRefKnown,
    KeyKnown,
    Moved,
    OverLimit,
)
from tests.storage.test_journal import Journal, a_create, a_move, a_payout

NOON = datetime(2026, 2, 28, 12, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
AMA, KOFI, ESI = "+22890000001", "+22890000002", "+22890000003"
_numbers = itertools.count(1)

StartJournal = Callable[[], Journal]


@pytest.fixture
def start_journal(database_url: str) -> Iterator[StartJournal]:
    """Journals with a connection each."""
    started: list[Journal] = []

    def start() -> Journal:
        started.append(Journal(database_url))
        return started[-1]

    yield start
    for journal in started:
        journal.database.close()


@pytest.fixture
def journal(start_journal: StartJournal) -> Journal:
    return start_journal()


def wish(limits: LimitSettings | None = None, *, at: datetime = NOON, **changes: Any) -> CreatePayout:
    """A new payout of a moment, whose id tells that moment as ids do."""
    transaction_id = first_id_of(at, early_s=0)[:24] + f"{next(_numbers):012x}"
    payout = a_payout(transaction_id=TransactionId(transaction_id), created_at=at, **changes)
    return a_create(payout, limits=limits)


def over(answer: Answer) -> Reached:
    assert isinstance(answer, OverLimit), answer
    return answer.reached


def kinds(answers: list[Answer]) -> list[str]:
    return [type(answer).__name__ for answer in answers]


def ended(journal: Journal, payout: Payout, status: Status) -> None:
    """The payout has come to this end."""
    final = replace(payout, version=2, status=status, next_retry_at=None, settled_at=NOON)
    assert isinstance(journal.one(a_move(payout, final)), Moved)


def test_the_last_place_of_a_day_is_taken_and_the_next_payout_is_refused(journal: Journal) -> None:
    two = LimitSettings(payouts_per_day_max=2)
    assert isinstance(journal.one(wish(two)), Created)
    assert isinstance(journal.one(wish(two)), Created)
    refused = wish(two)
    reached = over(journal.one(refused))
    assert (reached.limit, reached.used, reached.frees_at) == (Limit.PAYOUTS_PER_DAY, 2, MARCH)
    assert load_payout(journal.database, refused.payout.transaction_id) is None
    # Nothing of it is stored: with the same key it is taken when there is room.
    later = replace(refused, limits=LimitSettings(payouts_per_day_max=3))
    assert isinstance(journal.one(later), Created)


def test_one_batch_gives_the_last_places_to_who_came_first(journal: Journal) -> None:
    three = LimitSettings(payouts_per_day_max=3)
    other = wish(three, client_id="other")
    answers = journal.write(*(wish(three) for _ in range(5)), other)
    assert kinds(answers) == ["Created"] * 3 + ["OverLimit"] * 2 + ["Created"]


def test_a_smaller_amount_may_still_fit_after_a_larger_one_was_refused(journal: Journal) -> None:
    only = LimitSettings(amount_per_day_max=1_000)
    answers = journal.write(*(wish(only, amount=amount) for amount in (600, 500, 400, 1)))
    assert kinds(answers) == ["Created", "OverLimit", "Created", "OverLimit"]
    assert (over(answers[1]).used, over(answers[1]).asked) == (600, 500)
    assert over(answers[3]).used == 1_000


def test_what_failed_or_was_cancelled_gives_its_place_back(journal: Journal) -> None:
    one = LimitSettings(payouts_per_day_max=1, amount_per_day_max=1_000, receivers_per_day_max=1)
    for status in (Status.FAILED, Status.CANCELLED):
        taken = wish(one)
        assert isinstance(journal.one(taken), Created)
        assert isinstance(journal.one(wish(one)), OverLimit)
        ended(journal, taken.payout, status)
    confirmed = wish(one)
    assert isinstance(journal.one(confirmed), Created)
    ended(journal, confirmed.payout, Status.CONFIRMED)
    assert isinstance(journal.one(wish(one)), OverLimit)


def test_days_and_months_begin_anew_at_midnight_utc(journal: Journal) -> None:
    limits = LimitSettings(payouts_per_day_max=1, payouts_per_month_max=2)
    last, first = MARCH - timedelta(microseconds=1), MARCH
    assert isinstance(journal.one(wish(limits, at=datetime(2026, 1, 31, 23, 59, tzinfo=UTC))), Created)
    assert isinstance(journal.one(wish(limits, at=NOON - timedelta(days=5))), Created)
    assert isinstance(journal.one(wish(limits, at=last)), Created)
    assert over(journal.one(wish(limits, at=last))).limit == Limit.PAYOUTS_PER_DAY
    # Both frees at once: the month's and the day's.
    assert isinstance(journal.one(wish(limits, at=first)), Created)
    assert over(journal.one(wish(limits, at=first))).frees_at == MARCH + timedelta(days=1)
    # Who was late for the old day finds it as full as it was, whatever the new one holds.
    assert over(journal.one(wish(limits, at=last))).used == 1
    assert isinstance(journal.one(wish(limits, at=first + timedelta(days=1))), Created)
    month_full = over(journal.one(wish(limits, at=first + timedelta(days=2))))
    assert (month_full.limit, month_full.frees_at) == (
        Limit.PAYOUTS_PER_MONTH,
        datetime(2026, 4, 1, tzinfo=UTC),
    )


def test_around_midnight_a_batch_counts_one_day_and_has_the_others_come_again(journal: Journal) -> None:
    one = LimitSettings(payouts_per_day_max=1)
    late, early = wish(one, at=MARCH - timedelta(seconds=1)), wish(one, at=MARCH)
    answers = journal.write(early, late)
    assert kinds(answers) == ["LookAgain", "Created"]
    assert isinstance(journal.one(early), Created)


def test_currencies_are_counted_apart(journal: Journal) -> None:
    only = LimitSettings(amount_per_day_max=1_000, amount_per_month_max=1_500)
    assert isinstance(journal.one(wish(only, amount=900)), Created)
    assert isinstance(journal.one(wish(only, amount=900, currency="GHS")), Created)
    reached = over(journal.one(wish(only, amount=200, currency="GHS")))
    assert (reached.limit, reached.currency, reached.used) == (Limit.AMOUNT_PER_DAY, "GHS", 900)


def test_receivers_are_counted_once_by_their_number(journal: Journal) -> None:
    two = LimitSettings(receivers_per_day_max=2, receivers_per_month_max=3)
    yesterday = NOON - timedelta(days=1)
    assert isinstance(journal.one(wish(two, at=yesterday, phone_e164=ESI)), Created)
    answers = journal.write(*(wish(two, phone_e164=phone) for phone in (AMA, AMA, KOFI, ESI, AMA)))
    # ESI was paid yesterday: known to the month, new to the day.
    assert kinds(answers) == ["Created", "Created", "Created", "OverLimit", "Created"]
    assert over(answers[3]).limit == Limit.RECEIVERS_PER_DAY
    assert isinstance(journal.one(wish(two, phone_e164=KOFI)), Created)
    tomorrow = NOON - timedelta(days=2)
    assert over(journal.one(wish(two, at=tomorrow, phone_e164="+22890000009"))).limit == (
        Limit.RECEIVERS_PER_MONTH
    )


def test_a_window_slides_and_says_exactly_when_there_is_room(journal: Journal) -> None:
    two = LimitSettings(payouts_per_window_max=2, window_minutes=10)
    for minutes in (0, 4):
        assert isinstance(journal.one(wish(two, at=NOON + timedelta(minutes=minutes))), Created)
    reached = over(journal.one(wish(two, at=NOON + timedelta(minutes=5))))
    room_at = NOON + timedelta(minutes=10)
    assert (reached.limit, reached.frees_at) == (Limit.PAYOUTS_PER_WINDOW, room_at)
    assert isinstance(journal.one(wish(two, at=room_at - timedelta(microseconds=1))), OverLimit)
    assert isinstance(journal.one(wish(two, at=room_at)), Created)


def test_a_window_that_was_narrowed_frees_when_enough_have_left(journal: Journal) -> None:
    wide, narrow = (LimitSettings(payouts_per_window_max=n, window_minutes=10) for n in (9, 2))
    for minutes in range(4):
        journal.one(wish(wide, at=NOON + timedelta(minutes=minutes)))
    # Of four, three must leave before a second one fits.
    reached = over(journal.one(wish(narrow, at=NOON + timedelta(minutes=5))))
    assert (reached.used, reached.frees_at) == (4, NOON + timedelta(minutes=12))


def test_a_window_that_spans_midnight_counts_the_day_before(journal: Journal) -> None:
    both = LimitSettings(payouts_per_window_max=1, window_minutes=60, payouts_per_day_max=5)
    assert isinstance(journal.one(wish(both, at=MARCH - timedelta(minutes=10))), Created)
    assert over(journal.one(wish(both, at=MARCH + timedelta(minutes=10)))).limit == Limit.PAYOUTS_PER_WINDOW


def test_what_was_taken_before_is_answered_as_before_although_the_limit_is_reached(journal: Journal) -> None:
    one = LimitSettings(payouts_per_day_max=1)
    first = wish(one)
    assert isinstance(journal.one(first), Created)
    again = wish(one, idempotency_key=first.payout.idempotency_key)
    known = journal.one(again)
    assert isinstance(known, KeyKnown)
    assert known.transaction_id == first.payout.transaction_id
    same_ref = wish(one, external_ref=first.payout.external_ref)
    assert journal.one(same_ref) == ExternalRefKnown(transaction_id=first.payout.transaction_id)
    # Our own try, whose commit we did not hear of.
    assert journal.one(first) == Created(payout=first.payout, earlier=True)


def test_another_clients_payouts_are_not_counted(journal: Journal) -> None:
    one = LimitSettings(payouts_per_month_max=1, receivers_per_month_max=1, amount_per_month_max=1_000)
    assert isinstance(journal.one(wish(one, client_id="a")), Created)
    assert isinstance(journal.one(wish(one, client_id="b", phone_e164=KOFI)), Created)


@pytest.mark.parametrize("by_default", ["read committed", "repeatable read"])
def test_twenty_connections_at_once_take_the_last_three_places_three_times(
    start_journal: StartJournal, by_default: str
) -> None:
    """Also where an operator has set the database to an isolation in which a lock is no reason to look anew."""
    (name,) = start_journal().rows("SELECT current_database()")[0]
    start_journal().rows(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{by_default}'")
    three = LimitSettings(payouts_per_day_max=3, amount_per_day_max=10_000)
    journals = [start_journal() for _ in range(20)]
    together = Barrier(20)

    def post(journal: Journal) -> Answer:
        one = wish(three)
        together.wait(timeout=20)
        return journal.one(one)

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(post, journals))
    assert sorted(kinds(answers)) == ["Created"] * 3 + ["OverLimit"] * 17
    assert {over(answer).used for answer in answers if isinstance(answer, OverLimit)} == {3}
    assert journals[0].database.execute_sql("SELECT count(*) FROM app.mobile_money_payouts").fetchone() == (
        3,
    )


def test_moves_in_the_same_batch_are_written_whatever_becomes_of_the_new_payout(journal: Journal) -> None:
    one = LimitSettings(payouts_per_day_max=1)
    first = wish(one)
    journal.one(first)
    moved = replace(first.payout, version=2, status_reason="WAITING")
    answers = journal.write(wish(one), a_move(first.payout, moved), wish(None))
    assert kinds(answers) == ["OverLimit", "Moved", "Created"]


def test_a_batch_that_the_database_refuses_leaves_no_transaction_and_no_lock_behind(
    start_journal: StartJournal,
) -> None:
    one = LimitSettings(payouts_per_day_max=1)
    journal, other = start_journal(), start_journal()
    poisoned = wish(one, currency="francs")
    with pytest.raises(peewee.PeeweeException):
        journal.one(poisoned)
    # Had the first connection kept its lock, this would run into its time-out.
    assert isinstance(other.one(wish(one)), Created)
    assert isinstance(journal.one(wish(one)), OverLimit)


def test_with_limits_off_no_statement_reads_what_was_used(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    execute: Callable[..., Any] = journal.database.execute_sql

    def listen(sql: str, params: Any = None) -> Any:
        said.append(sql)
        return execute(sql, params)

    monkeypatch.setattr(journal.database, "execute_sql", listen)
    journal.write(wish(), wish())
    assert len(said) == 1
    assert "BEGIN" not in said[0]


def test_what_was_used_is_found_by_the_clients_index_however_long_its_history_is(journal: Journal) -> None:
    """The client has most of the table, and a hundredth of that is of this month: only so much is read."""
    month_max = LimitSettings(payouts_per_month_max=10**6, receivers_per_month_max=10**6)
    journal.database.execute_sql(
        """
        INSERT INTO app.mobile_money_payouts (transaction_id, client_id, idempotency_key, provider, status,
            status_reason, amount, currency, phone_e164, country, external_ref, submission_ref, version, shard,
            created_at, expires_at, settled_at)
        SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000' || '8000'
                || lpad(to_hex(n), 12, '0'))::uuid,
            CASE WHEN n %% 10 < 9 THEN 'acme' ELSE 'other' END, 'k' || n, 'TMONEY', 'CONFIRMED', 'SUCCESS', 5, 'XOF',
            '+2289' || lpad((n %% 5000)::text, 7, '0'),
            'TG', 'r' || n, gen_random_uuid(), 1, 0, at, at, at
        FROM (SELECT n, CASE WHEN n <= 300 THEN %s::timestamptz - n * interval '1 minute'
                  ELSE %s::timestamptz - interval '40 days' - n * interval '1 minute' END AS at
              FROM generate_series(1, 30000) AS n) made""",
        (NOON, NOON),
    )
    journal.database.execute_sql("ANALYZE app.mobile_money_payouts")
    plans: list[str] = []

    class Planner:
        """Keeps the statement's plan, then runs it."""

        def execute_sql(self, sql: str, params: Any = None) -> Any:
            explained = sql.replace(USAGE, f"EXPLAIN (ANALYZE, TIMING OFF) {USAGE}")
            plans.append(
                "\n".join(row[0] for row in journal.database.execute_sql(explained, params).fetchall())
            )
            return journal.database.execute_sql(sql.removeprefix("BEGIN; "), params)

    assert begin_and_hold_back(Planner(), {0: wish(month_max)}) == {}
    journal.database.execute_sql("ROLLBACK")
    (plan,) = plans
    (line,) = [line for line in plan.splitlines() if "mobile_money_payouts_of_client" in line]
    assert "Index Scan" in line, plan
    read = re.search(r"actual rows=(\d+)", line)
    assert read is not None
    assert int(read[1]) == 270
    assert "Seq Scan on mobile_money_payouts" not in plan
    assert "JIT" not in plan
