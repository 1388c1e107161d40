"""Payouts read back: single rows, a client's pages, what is due; and that one bad row strands nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import structlog
from structlog.testing import LogCapture

from nepxy.engine.payout import SHARDS, Payout, ProviderRef, Status, TransactionId, shard_of
from nepxy.errors import InvariantViolation
from nepxy.storage.payouts import (
    PayoutFilter,
    client_payout,
    client_payouts,
    due_payouts,
    load_payout,
    payout_events,
)
from tests.storage.test_journal import NOW, Journal, a_move

ALL = range(SHARDS)


@pytest.fixture
def journal(database_url_both: str) -> Iterator[Journal]:
    journal = Journal(database_url_both)
    yield journal
    journal.database.close()


@pytest.fixture
def logged() -> Iterator[LogCapture]:
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[capture], cache_logger_on_first_use=False)
    yield capture
    structlog.configure(**before)


def poison(journal: Journal, payout: Payout) -> None:
    """What the constraints keep out, as an older release or a hand might have left it."""
    journal.rows(
        "ALTER TABLE app.mobile_money_payouts DROP CONSTRAINT IF EXISTS mobile_money_payouts_amount_check"
    )
    journal.rows(
        "UPDATE app.mobile_money_payouts SET amount = 0 WHERE transaction_id = %s", payout.transaction_id
    )


def due(journal: Journal, **changes: Any) -> list[TransactionId]:
    asked: dict[str, Any] = {"until": NOW + timedelta(hours=1), "shards": ALL, "after": None, "limit": 10}
    return [payout.transaction_id for payout in due_payouts(journal.database, **(asked | changes))]


def test_a_payout_is_loaded_as_committed_and_shown_only_to_its_client(journal: Journal) -> None:
    payout = journal.accepted("P-1")
    database, known = journal.database, payout.transaction_id

    assert load_payout(database, known) == payout
    assert client_payout(database, "acme", known) == payout
    assert client_payout(database, "other", known) is None
    assert load_payout(database, TransactionId(str(uuid4()))) is None


@pytest.mark.parametrize(
    ("reason", "known"),
    [
        ("ACCEPTED_BY_PROVIDER", {"taken_at": NOW, "repeat_barred": False}),
        ("DUPLICATE_REFERENCE", {"taken_at": None, "repeat_barred": True}),
        ("IN_DOUBT", {"taken_at": None, "repeat_barred": False}),
    ],
)
def test_what_the_release_before_knew_of_a_reference_is_read_from_its_reason(
    journal: Journal, reason: str, known: dict[str, Any]
) -> None:
    sent = journal.sent()
    journal.rows("UPDATE app.mobile_money_payouts SET status_reason = %s", reason)

    assert load_payout(journal.database, sent.transaction_id) == replace(sent, status_reason=reason, **known)


def test_what_was_known_of_an_older_reference_is_not_read_into_a_pending_payout(journal: Journal) -> None:
    pending = journal.created()
    # As the release before leaves it, which raises a generation without clearing what it does not know.
    journal.rows("UPDATE app.mobile_money_payouts SET taken_at = now(), repeat_barred = true")

    assert load_payout(journal.database, pending.transaction_id) == pending


def test_a_clients_pages_are_newest_first_and_do_not_overlap(journal: Journal) -> None:
    made = [journal.created() for _ in range(5)]
    journal.created(client_id="other")
    newest_first = made[::-1]

    first = client_payouts(journal.database, "acme", PayoutFilter(), before=None, limit=3)
    rest = client_payouts(journal.database, "acme", PayoutFilter(), before=first[-1].transaction_id, limit=3)

    assert (first, rest) == (newest_first[:3], newest_first[3:])


def test_each_filter_narrows_a_clients_list(journal: Journal) -> None:
    plain = journal.created(transaction_id=TransactionId(f"{_stamp(0)}-7000-8000-000000000001"))
    mtn = journal.created(
        transaction_id=TransactionId(f"{_stamp(60)}-7000-8000-000000000002"),
        created_at=NOW + timedelta(minutes=1),
        provider="MTN_BJ",
    )
    review = journal.moved(a_move(mtn, mtn.moved(Status.REVIEW, "ASKED")))

    def found(**narrowed: Any) -> list[Payout]:
        return client_payouts(journal.database, "acme", PayoutFilter(**narrowed), before=None, limit=10)

    assert found() == [review, plain]
    assert found(status=Status.PENDING) == [plain]
    assert found(status=Status.REVIEW) == found(provider="MTN_BJ") == [review]
    assert found(external_ref=plain.external_ref) == [plain]
    assert found(created_from=review.created_at) == [review]
    assert found(created_to=review.created_at) == [plain]
    assert found(created_from=NOW, created_to=NOW) == []


def _stamp(after_s: int) -> str:
    """The first 48 bits of a UUIDv7."""
    text = f"{int(NOW.timestamp() + after_s) * 1000:012x}"
    return f"{text[:8]}-{text[8:]}"


def test_due_payouts_come_longest_due_first_page_by_page(journal: Journal) -> None:
    late = [journal.created(next_retry_at=NOW + timedelta(minutes=minute)) for minute in (3, 1, 2, 2)]
    journal.created(next_retry_at=NOW + timedelta(hours=2))
    settled = journal.created()
    journal.moved(
        a_move(settled, settled.moved(Status.CANCELLED, "ASKED", settled_at=NOW, next_retry_at=None))
    )
    in_order = [late[n].transaction_id for n in (1, 2, 3, 0)]

    assert due(journal) == in_order
    assert due(journal, limit=2) == in_order[:2]
    assert due(journal, limit=2, after=(NOW + timedelta(minutes=2), in_order[1])) == in_order[2:]


def test_only_payouts_of_the_asked_shards_are_due(journal: Journal) -> None:
    made = [journal.created().transaction_id for _ in range(3)]
    assert due(journal, shards=[shard_of(made[1])]) == [made[1]]
    assert due(journal, shards=[]) == []


def test_a_row_that_contradicts_itself_is_left_out_of_what_is_due_and_logged(
    journal: Journal, logged: LogCapture
) -> None:
    made = [journal.created(next_retry_at=NOW + timedelta(minutes=minute)) for minute in range(5)]
    for bad in (made[0], made[2]):
        poison(journal, bad)

    assert due(journal) == [made[n].transaction_id for n in (1, 3, 4)]

    assert [(entry["event"], entry["log_level"], entry["transaction_id"]) for entry in logged.entries] == [
        ("payout.row_contradicts_itself", "error", made[n].transaction_id) for n in (0, 2)
    ]
    with pytest.raises(InvariantViolation):
        load_payout(journal.database, made[0].transaction_id)


@pytest.mark.parametrize("limit", [1, 2])
def test_a_page_is_short_only_at_the_end_however_many_rows_are_bad(
    journal: Journal, logged: LogCapture, limit: int
) -> None:
    made = [journal.created(next_retry_at=NOW + timedelta(minutes=minute)) for minute in range(5)]
    for bad in made[:3]:
        poison(journal, bad)

    assert due(journal, limit=limit) == [payout.transaction_id for payout in made[3 : 3 + limit]]
    assert len(logged.entries) == 3


def test_a_payouts_history_is_told_oldest_first(journal: Journal) -> None:
    payout = journal.accepted("P-1")
    sent = payout.moved(Status.REVIEW, "AMOUNT_DIFFERS", provider_ref=ProviderRef("P-1"))
    journal.moved(a_move(payout, sent, who="operator:ada", request_id="req-3"))

    events = payout_events(journal.database, payout.transaction_id)

    assert [(event.version, event.from_status, event.to_status, event.why) for event in events] == [
        (1, None, "PENDING", "ACCEPTED"),
        (2, "PENDING", "SENT", "SUBMITTING"),
        (3, "SENT", "SENT", "ACCEPTED"),
        (4, "SENT", "REVIEW", "AMOUNT_DIFFERS"),
    ]
    assert (events[3].who, events[3].request_id, events[3].evidence["source"]) == (
        "operator:ada",
        "req-3",
        "submit",
    )
    assert payout_events(journal.database, payout.transaction_id, limit=1) == events[:1]
