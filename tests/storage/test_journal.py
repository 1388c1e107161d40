"""The journal's statements on a real PostgreSQL: what lands, what does not, and what each write is answered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import peewee
import pytest

from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.payout import Payout, ProviderRef, Status, SubmissionRef, TransactionId, shard_of
from nepxy.errors import NepXyError
from nepxy.storage import controls, leases
from nepxy.storage.database import Fault, connect_writer, fault_of
from nepxy.storage.journal import conflict_keys, find_landed, write_batch
from nepxy.storage.payouts import load_payout
from nepxy.storage.webhooks import joinable_webhooks, parked_webhooks
from nepxy.storage.writes import (
    Answer,
    AuditRow,
    Created,
    CreatePayout,
    ExternalRefKnown,
    Intent,
    IntentDenied,
    KeepWebhook,
    KeyKnown,
    Lease,
    LookAgain,
    MeetWebhook,
    Met,
    Moved,
    MovePayout,
    Noted,
    NoteOnPayout,
    Parked,
    PostponePayout,
    Stale,
    Step,
    WebhookRow,
    Write,
    WriteFailed,
)

NOW = datetime.now(UTC).replace(microsecond=0)
EVIDENCE = Evidence(source="submit", call="POST /transfers", answer="202", rule="ACCEPTED")
NODE = "node-a"
ENDED: dict[str, Any] = {"settled_at": NOW, "next_retry_at": None}
_numbers = itertools.count(1)


def a_payout(**changes: Any) -> Payout:
    number = next(_numbers)
    base = Payout(
        transaction_id=TransactionId(f"01936000-0000-7000-8000-{number:012x}"),
        client_id="acme",
        idempotency_key=f"key-{number}",
        provider="TMONEY",
        amount=1000,
        currency="XOF",
        phone_e164="+22890123456",
        country="TG",
        external_ref=f"order-{number}",
        submission_ref=SubmissionRef(str(uuid4())),
        next_retry_at=NOW + timedelta(minutes=4),
        expires_at=NOW + timedelta(hours=72),
        created_at=NOW,
    )
    return replace(base, **changes)


def a_create(payout: Payout | None = None, **changes: Any) -> CreatePayout:
    base = CreatePayout(
        payout=payout or a_payout(),
        write_id=str(uuid4()),
        request_id="req-1",
        request_hash="hash-1",
        request_body='{"amount":"1000"}',
        response_status=202,
        response_body='{"status": "PENDING",  "note": "thé"}',
    )
    return replace(base, **changes)


def a_move(before: Payout, after: Payout, **changes: Any) -> MovePayout:
    base = MovePayout(
        before=before, after=after, evidence=EVIDENCE, write_id=str(uuid4()), request_id=None, who="engine"
    )
    return replace(base, **changes)


def an_intent(before: Payout, epoch: int, *, owner: str = NODE, **changes: Any) -> MovePayout:
    begun: dict[str, Any] = {
        "attempt_count": before.attempt_count + 1,
        "account": "sandbox",
        "last_attempt_at": NOW,
        "in_doubt_since": None,
    }
    intent = Intent(lease=Lease(owner=owner, epoch=epoch), send_window_s=5, answer_window_s=60)
    return a_move(before, before.moved(Status.SENT, "SUBMITTING", **(begun | changes)), intent=intent)


def a_webhook(**changes: Any) -> WebhookRow:
    base = WebhookRow(
        webhook_id=f"01936000-0000-7000-9000-{next(_numbers):012x}",
        provider="TMONEY",
        signature_valid=True,
        signed_with="current",
        provider_ref=None,
        our_ref=None,
        external_ref=None,
        status_word="SUCCESS",
        headers='{"x-signature": "***"}',
        body='{"status":"SUCCESS"}',
        body_sha256="00" * 32,
        request_id="req-2",
    )
    return replace(base, **changes)


class Journal:
    """One connection, with shortcuts for what the tests set up and look at."""

    def __init__(self, url: str) -> None:
        self.database = connect_writer(url, statement_timeout_s=10, connect_timeout_s=10)
        # So that tests can tell it from the writer that they watch.
        self.database.execute_sql("SET application_name = 'test'")

    def write(self, *batch: Write) -> list[Answer]:
        return write_batch(self.database, batch)

    def one(self, write: Write) -> Answer:
        (answer,) = self.write(write)
        return answer

    def rows(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        cursor = self.database.execute_sql(sql, params or None)
        return list(cursor.fetchall()) if cursor.description else []

    def count(self, table: str) -> int:
        count: int = self.rows(f"SELECT count(*) FROM app.{table}")[0][0]
        return count

    def leased(self) -> int:
        held = leases.acquire_or_renew(
            self.database, node_id=NODE, host="here", app_version="0", ttl_s=600
        ).epochs
        (epoch,) = set(held.values())
        return epoch

    def created(self, **changes: Any) -> Payout:
        payout = a_payout(**changes)
        assert isinstance(self.one(a_create(payout)), Created)
        return payout

    def moved(self, write: MovePayout) -> Payout:
        answer = self.one(write)
        assert isinstance(answer, Moved)
        return answer.payout

    def sent(self, **changes: Any) -> Payout:
        """A payout whose first attempt's answer may no longer come: it may be sent again."""
        payout = self.moved(an_intent(self.created(**changes), self.leased()))
        self.answer_time_passes(payout)
        return replace(payout, answer_by=NOW - timedelta(minutes=1))

    def answer_time_passes(self, payout: Payout) -> None:
        self.rows(
            "UPDATE app.mobile_money_payouts SET answer_by = %s WHERE transaction_id = %s",
            NOW - timedelta(minutes=1),
            payout.transaction_id,
        )

    def accepted(self, provider_ref: str, **changes: Any) -> Payout:
        sent = self.sent(**changes)
        return self.moved(
            a_move(sent, sent.moved(Status.SENT, "ACCEPTED", provider_ref=ProviderRef(provider_ref)))
        )


@pytest.fixture
def journal(database_url_both: str) -> Iterator[Journal]:
    journal = Journal(database_url_both)
    yield journal
    journal.database.close()


# ---- births ------------------------------------------------------------------------------------


def test_a_payout_is_born_with_its_key_and_its_first_event(journal: Journal) -> None:
    write = a_create()

    assert journal.one(write) == Created(payout=write.payout)

    payout = write.payout
    assert load_payout(journal.database, payout.transaction_id) == payout
    assert journal.rows("SELECT transaction_id::text, response_body FROM app.idempotency_keys") == [
        (payout.transaction_id, write.response_body)
    ]
    assert journal.rows(
        "SELECT version, from_status, to_status, why, who, reference::text, write_id::text, request_id"
        " FROM app.payout_events"
    ) == [(1, None, "PENDING", "ACCEPTED", "client:acme", payout.submission_ref, write.write_id, "req-1")]
    assert journal.rows("SELECT shard FROM app.mobile_money_payouts") == [(shard_of(payout.transaction_id),)]
    # One statement, one transaction: the three rows name the same one.
    tables = ("mobile_money_payouts", "idempotency_keys", "payout_events")
    union = " UNION ".join(f"SELECT xmin::text FROM app.{table}" for table in tables)
    assert len(journal.rows(union)) == 1


def test_a_birth_repeated_after_a_lost_answer_is_the_same_birth(journal: Journal) -> None:
    write = a_create()
    journal.one(write)

    assert journal.one(write) == Created(payout=write.payout, earlier=True)
    assert journal.count("payout_events") == 1


def test_a_known_key_answers_with_the_stored_bytes_and_writes_nothing(journal: Journal) -> None:
    first = a_create()
    journal.one(first)
    again = a_create(
        a_payout(idempotency_key=first.payout.idempotency_key), request_hash="hash-2", response_body="{}"
    )

    assert journal.one(again) == KeyKnown(
        transaction_id=first.payout.transaction_id,
        request_hash="hash-1",
        request_body=first.request_body,
        response_status=202,
        response_body=first.response_body,
    )
    assert journal.count("mobile_money_payouts") == journal.count("payout_events") == 1


def test_the_same_key_of_another_client_is_another_key(journal: Journal) -> None:
    journal.created(idempotency_key="key", external_ref="order")
    journal.created(idempotency_key="key", external_ref="order", client_id="other")


def test_a_known_external_reference_under_another_key_is_refused(journal: Journal) -> None:
    first = journal.created()

    answer = journal.one(a_create(a_payout(external_ref=first.external_ref)))

    assert answer == ExternalRefKnown(transaction_id=first.transaction_id)
    assert journal.count("mobile_money_payouts") == journal.count("idempotency_keys") == 1


def test_external_references_may_repeat_where_the_client_wants_that(journal: Journal) -> None:
    writes = [a_create(a_payout(external_ref="rent"), external_ref_unique=False) for _ in range(2)]

    answers = [*journal.write(*writes), journal.one(a_create(a_payout(external_ref="rent")))]

    assert [type(answer) for answer in answers] == [Created] * 3


def test_of_two_births_with_one_external_reference_in_a_batch_the_second_looks_again(
    journal: Journal,
) -> None:
    first, second = (a_create(a_payout(external_ref="rent")) for _ in range(2))

    answers = journal.write(first, second)

    assert answers == [Created(payout=first.payout), LookAgain()]
    assert journal.one(second) == ExternalRefKnown(transaction_id=first.payout.transaction_id)
    assert journal.count("idempotency_keys") == 1


def test_two_births_with_one_key_never_both_live(journal: Journal) -> None:
    with pytest.raises(peewee.IntegrityError) as caught:
        journal.write(*(a_create(a_payout(idempotency_key="key")) for _ in range(2)))

    assert fault_of(caught.value) is Fault.REFUSED
    assert journal.count("mobile_money_payouts") == 0


# ---- moves -------------------------------------------------------------------------------------


def test_a_move_lands_with_its_event_and_evidence(journal: Journal) -> None:
    payout = journal.created()
    after = payout.moved(
        Status.CANCELLED, "CLIENT_CANCELLED", settled_at=NOW, next_retry_at=None, retryable=False
    )
    write = a_move(payout, after, who="client:acme", request_id="req-9")

    assert journal.one(write) == Moved(payout=after)

    assert load_payout(journal.database, payout.transaction_id) == after
    assert journal.rows(
        "SELECT from_status, to_status, why, who, write_id::text, request_id, evidence->>'answer'"
        " FROM app.payout_events WHERE version = 2"
    ) == [("PENDING", "CANCELLED", "CLIENT_CANCELLED", "client:acme", write.write_id, "req-9", "202")]


def test_a_note_has_a_why_of_its_own_and_leaves_state_and_reason(journal: Journal) -> None:
    payout = journal.created()
    noted = payout.moved(payout.status, payout.status_reason)

    assert journal.moved(a_move(payout, noted, noted_as="LATE_ANSWER")) == noted

    assert load_payout(journal.database, payout.transaction_id) == noted
    assert journal.rows(
        "SELECT from_status, to_status, why, evidence->>'answer' FROM app.payout_events WHERE version = 2"
    ) == [("PENDING", "PENDING", "LATE_ANSWER", "202")]


def test_a_stale_move_writes_nothing_at_all(journal: Journal) -> None:
    epoch = journal.leased()
    payout = journal.created()
    seen = replace(payout, version=7)
    stale = replace(
        an_intent(seen, epoch),
        webhook=a_webhook(),
        discrepancy=Discrepancy(kind="PAID_AFTER_FAILED", detail="Paid after all."),
    )
    tables = ("payout_events", "payout_attempts", "webhook_events", "discrepancies")
    before = [journal.count(table) for table in tables]

    assert journal.one(stale) == Stale()

    assert [journal.count(table) for table in tables] == before
    assert load_payout(journal.database, payout.transaction_id) == payout


def test_a_stale_move_does_not_hold_up_the_rest_of_its_batch(journal: Journal) -> None:
    payout, other = journal.created(), journal.created()
    fine = a_move(other, other.moved(Status.REVIEW, "ASKED"))
    seen = replace(payout, version=7)

    answers = journal.write(a_move(seen, seen.moved(Status.REVIEW, "ASKED")), fine)

    assert answers == [Stale(), Moved(payout=fine.after)]


def test_a_move_of_an_unknown_payout_is_stale(journal: Journal) -> None:
    payout = a_payout()
    assert journal.one(a_move(payout, payout.moved(Status.REVIEW, "ASKED"))) == Stale()


# ---- intents -----------------------------------------------------------------------------------


def test_an_intent_leaves_an_attempt_with_times_by_the_databases_clock(journal: Journal) -> None:
    write = an_intent(journal.created(), journal.leased())

    answer = journal.one(write)

    assert isinstance(answer, Moved)
    assert load_payout(journal.database, write.after.transaction_id) == answer.payout
    ((submit_count, provider, account, generation, send_in, answer_in, answer_by),) = journal.rows(
        "SELECT submit_count, provider, account, generation, send_by - created_at, answer_by - created_at, answer_by"
        " FROM app.payout_attempts WHERE submission_ref = %s",
        write.after.submission_ref,
    )
    assert (submit_count, provider, account, generation) == (1, "TMONEY", "sandbox", 0)
    assert answer.payout.answer_by == answer_by
    assert abs(send_in - timedelta(seconds=5)) < timedelta(seconds=2)
    assert abs(answer_in - timedelta(seconds=60)) < timedelta(seconds=2)


def test_an_intent_is_denied_while_its_provider_is_paused(journal: Journal) -> None:
    epoch = journal.leased()
    payout = journal.created()
    controls.set_paused(journal.database, "TMONEY", paused=True, reason="float", who="operator:ada")

    assert journal.one(an_intent(payout, epoch)) == IntentDenied(reason="PAUSED")
    assert journal.count("payout_attempts") == 0
    assert journal.count("payout_events") == 1

    controls.set_paused(journal.database, "TMONEY", paused=False, reason="paid in", who="operator:ada")
    journal.moved(an_intent(payout, epoch))


def test_only_a_further_attempt_is_denied_while_retries_are_paused(journal: Journal) -> None:
    epoch = journal.leased()
    by = controls.By(who="operator:ada", reason="it is down")
    paused = {"retries_paused": True, "retries_paused_reason": "it is down"}
    controls.set_overrides(journal.database, "TMONEY", "pause_retries", paused, by)
    payout = journal.moved(an_intent(journal.created(), epoch))
    journal.rows("UPDATE app.mobile_money_payouts SET answer_by = clock_timestamp() - interval '1 second'")
    again = an_intent(payout, epoch)

    assert again.after.attempt_count == 2
    assert journal.one(again) == IntentDenied(reason="RETRIES_PAUSED")

    resumed = {"retries_paused": False, "retries_paused_reason": ""}
    controls.set_overrides(journal.database, "TMONEY", "resume_retries", resumed, by)
    journal.moved(again)


def test_the_pause_of_another_provider_denies_nothing(journal: Journal) -> None:
    controls.set_paused(journal.database, "MTN_BJ", paused=True, reason="float", who="operator:ada")
    journal.moved(an_intent(journal.created(), journal.leased()))


@pytest.mark.parametrize(("epoch_off", "owner"), [(1, NODE), (-1, NODE), (0, "node-b")])
def test_an_intent_is_denied_to_who_does_not_hold_the_shard(
    journal: Journal, epoch_off: int, owner: str
) -> None:
    epoch = journal.leased()
    write = an_intent(journal.created(), epoch + epoch_off, owner=owner)
    assert journal.one(write) == IntentDenied(reason="LEASE_LOST")
    assert journal.count("payout_attempts") == 0


def test_an_intent_is_denied_after_the_lease_has_lapsed(journal: Journal) -> None:
    epoch = journal.leased()
    payout = journal.created()
    journal.rows("UPDATE app.shard_leases SET lease_until = clock_timestamp() - interval '1 second'")
    assert journal.one(an_intent(payout, epoch)) == IntentDenied(reason="LEASE_LOST")


def test_an_intent_is_denied_for_an_expired_payout(journal: Journal) -> None:
    payout = journal.created(expires_at=NOW - timedelta(seconds=1))
    assert journal.one(an_intent(payout, journal.leased())) == IntentDenied(reason="EXPIRED")


def test_an_intent_is_denied_while_the_last_attempts_answer_may_come(journal: Journal) -> None:
    epoch = journal.leased()
    sent = journal.moved(an_intent(journal.created(), epoch))

    assert journal.one(an_intent(sent, epoch)) == IntentDenied(reason="TOO_EARLY")
    assert journal.rows("SELECT submit_count FROM app.payout_attempts") == [(1,)]


# ---- the further steps of an attempt -----------------------------------------------------------


def a_step(before: Payout, epoch: int, *, named: str | None = None, owner: str = NODE) -> MovePayout:
    changes: dict[str, Any] = {"provider_ref": ProviderRef(named)} if named is not None else {}
    step = Step(
        name="CONFIRMING", lease=Lease(owner=owner, epoch=epoch), send_window_s=5, answer_window_s=600
    )
    return a_move(before, before.moved(Status.SENT, "STEP_CONFIRMING", **changes), step=step)


def test_a_step_is_kept_with_its_attempt_and_moves_its_times_by_the_databases_clock(journal: Journal) -> None:
    epoch = journal.leased()
    sent = journal.moved(an_intent(journal.created(), epoch))

    after = journal.moved(a_step(sent, epoch, named="T-1"))

    assert load_payout(journal.database, sent.transaction_id) == after
    assert (after.provider_ref, after.taken_at, after.is_unresolved) == ("T-1", None, True)
    ((phase, provider_ref, submit_count, answer_by, late_by),) = journal.rows(
        "SELECT phase, provider_ref, submit_count, answer_by, answer_by - send_by FROM app.payout_attempts"
    )
    assert (phase, provider_ref, submit_count, answer_by) == ("CONFIRMING", "T-1", 1, after.answer_by)
    assert abs(late_by - timedelta(seconds=595)) < timedelta(seconds=2)
    assert sent.answer_by is not None
    assert after.answer_by is not None
    assert after.answer_by > sent.answer_by
    assert journal.one(an_intent(after, epoch)) == IntentDenied(reason="TOO_EARLY")


@pytest.mark.parametrize(("epoch_off", "owner"), [(1, NODE), (-1, NODE), (0, "node-b")])
def test_a_step_is_denied_to_who_does_not_hold_the_shard(
    journal: Journal, epoch_off: int, owner: str
) -> None:
    epoch = journal.leased()
    sent = journal.moved(an_intent(journal.created(), epoch))
    assert journal.one(a_step(sent, epoch + epoch_off, owner=owner)) == IntentDenied(reason="LEASE_LOST")
    assert journal.rows("SELECT phase FROM app.payout_attempts") == [("SUBMIT",)]


def test_a_step_is_denied_once_others_may_look_the_attempt_up(journal: Journal) -> None:
    epoch = journal.leased()
    sent = journal.moved(an_intent(journal.created(), epoch))
    journal.answer_time_passes(sent)
    assert journal.one(a_step(sent, epoch)) == IntentDenied(reason="TOO_LATE")
    assert journal.one(a_step(replace(sent, version=7), epoch)) == Stale()


def test_a_pause_lets_an_attempt_under_way_go_on(journal: Journal) -> None:
    epoch = journal.leased()
    sent = journal.moved(an_intent(journal.created(), epoch))
    controls.set_paused(journal.database, "TMONEY", paused=True, reason="float", who="operator:ada")
    journal.moved(a_step(sent, epoch))


def test_what_a_step_was_told_still_finds_the_payout_when_its_row_has_forgotten_it(journal: Journal) -> None:
    epoch = journal.leased()
    stepped = journal.moved(a_step(journal.moved(an_intent(journal.created(), epoch)), epoch, named="T-1"))
    back: dict[str, Any] = {"provider_ref": None, "account": None, "answer_by": None}
    waiting = journal.moved(a_move(stepped, stepped.moved(Status.PENDING, "BLOCKED", **back)))

    met = journal.one(MeetWebhook(webhook=a_webhook(provider_ref="T-1")))
    assert met == Met(transaction_id=waiting.transaction_id, reference=waiting.submission_ref)

    again = journal.moved(an_intent(waiting, epoch))
    journal.moved(a_step(again, epoch, named="T-1"))
    assert journal.rows("SELECT phase, provider_ref, submit_count FROM app.payout_attempts") == [
        ("CONFIRMING", "T-1", 2)
    ]


def test_a_step_whose_commit_was_lost_sight_of_is_found_with_its_times(journal: Journal) -> None:
    epoch = journal.leased()
    write = a_step(journal.moved(an_intent(journal.created(), epoch)), epoch, named="T-1")
    after = journal.moved(write)
    assert find_landed(journal.database, [write]) == {0: Moved(payout=after)}


def test_a_stale_intent_is_stale_rather_than_denied(journal: Journal) -> None:
    epoch = journal.leased()
    controls.set_paused(journal.database, "TMONEY", paused=True, reason="float", who="operator:ada")
    assert journal.one(an_intent(replace(journal.created(), version=7), epoch)) == Stale()


def test_a_resend_counts_on_the_same_attempt(journal: Journal) -> None:
    sent = journal.sent()

    again = journal.moved(an_intent(sent, journal.leased(), account="sandbox-2"))

    assert again.attempt_count == 2
    assert journal.rows("SELECT submit_count, account, answer_by FROM app.payout_attempts") == [
        (2, "sandbox-2", again.answer_by)
    ]


def test_a_reference_never_passes_to_another_payout(journal: Journal) -> None:
    sent = journal.sent()
    thief = journal.created()

    with pytest.raises(peewee.IntegrityError):
        journal.one(an_intent(thief, journal.leased(), submission_ref=sent.submission_ref))

    assert load_payout(journal.database, thief.transaction_id) == thief


def test_a_new_generation_closes_the_older_reference(journal: Journal) -> None:
    accepted = journal.accepted("P-1")
    back = accepted.moved(
        Status.PENDING,
        "REJECTED_RETRYABLE",
        generation=1,
        submission_ref=SubmissionRef(str(uuid4())),
        provider_ref=None,
        account=None,
        answer_by=None,
    )

    journal.moved(a_move(accepted, back))

    assert journal.rows(
        "SELECT submission_ref::text, closed_reason, provider_ref FROM app.payout_attempts"
    ) == [(accepted.submission_ref, "REJECTED_RETRYABLE", "P-1")]


def test_doubt_is_kept_on_the_attempt_and_taken_back(journal: Journal) -> None:
    sent = journal.sent()
    doubted = journal.moved(a_move(sent, sent.moved(Status.SENT, "UNKNOWN", in_doubt_since=NOW)))
    assert journal.rows("SELECT in_doubt_since FROM app.payout_attempts") == [(NOW,)]

    journal.moved(a_move(doubted, doubted.moved(Status.SENT, "FOUND", in_doubt_since=None)))
    assert journal.rows("SELECT in_doubt_since FROM app.payout_attempts") == [(None,)]


def test_what_is_known_of_the_reference_survives_a_reload_without_a_further_write(journal: Journal) -> None:
    sent = journal.sent()
    untouched = journal.rows("SELECT xmin::text FROM app.payout_attempts")
    known = sent.moved(Status.SENT, "TAKEN", taken_at=NOW, repeat_barred=True)

    journal.moved(a_move(sent, known))

    assert load_payout(journal.database, sent.transaction_id) == known
    # In the payout's own row, which the move writes anyway: the attempt's row is left alone.
    assert journal.rows("SELECT xmin::text FROM app.payout_attempts") == untouched


def test_two_payouts_cannot_hold_one_reference_of_a_provider(journal: Journal) -> None:
    holder, other = journal.accepted("P-1"), journal.sent()
    taken = a_move(other, other.moved(Status.SENT, "ACCEPTED", provider_ref=ProviderRef("P-1")))

    with pytest.raises(peewee.IntegrityError) as caught:
        journal.one(taken)

    assert fault_of(caught.value) is Fault.REFUSED
    refused = WriteFailed(error=NepXyError("INTERNAL_ERROR", str(caught.value)))
    assert refused.another_has_the_provider_ref
    assert load_payout(journal.database, other.transaction_id) == other
    assert load_payout(journal.database, holder.transaction_id) == holder
    # Another provider's names are its own.
    journal.accepted("P-1", provider="MTN_BJ")


def test_other_refusals_are_not_taken_for_a_reference_that_another_payout_has(journal: Journal) -> None:
    payout = journal.created()
    with pytest.raises(peewee.IntegrityError) as caught:
        journal.one(a_move(payout, replace(payout, version=2, unreached_count=5)))
    refused = WriteFailed(error=NepXyError("INTERNAL_ERROR", str(caught.value)))
    assert not refused.another_has_the_provider_ref


# ---- webhooks ----------------------------------------------------------------------------------


def test_a_webhook_meets_its_payout_by_each_of_its_references(journal: Journal) -> None:
    old = journal.accepted("P-OLD")
    back = journal.moved(
        a_move(
            old,
            old.moved(
                Status.PENDING,
                "REJECTED_RETRYABLE",
                generation=1,
                submission_ref=SubmissionRef(str(uuid4())),
                provider_ref=None,
                answer_by=None,
            ),
        )
    )
    sent = journal.moved(an_intent(back, journal.leased()))
    new = journal.moved(a_move(sent, sent.moved(Status.SENT, "ACCEPTED", provider_ref=ProviderRef("P-NEW"))))

    answers = journal.write(
        MeetWebhook(webhook=a_webhook(provider_ref="P-NEW")),
        MeetWebhook(webhook=a_webhook(provider_ref="P-OLD")),
        MeetWebhook(webhook=a_webhook(our_ref=new.submission_ref)),
        MeetWebhook(webhook=a_webhook(our_ref=old.submission_ref.upper())),
        MeetWebhook(webhook=a_webhook(our_ref=new.transaction_id)),
    )

    expected = (new, old, new, old, new)
    assert answers == [
        Met(transaction_id=new.transaction_id, reference=generation.submission_ref) for generation in expected
    ]
    assert journal.count("webhook_events") == 0


def test_a_webhook_never_meets_a_payout_of_another_provider(journal: Journal) -> None:
    payout = journal.accepted("P-1")
    strangers = [
        a_webhook(provider="MTN_BJ", provider_ref="P-1"),
        a_webhook(provider="MTN_BJ", our_ref=payout.submission_ref),
        a_webhook(provider="MTN_BJ", our_ref=payout.transaction_id),
    ]

    answers = journal.write(*(MeetWebhook(webhook=webhook) for webhook in strangers))

    assert answers == [Parked()] * 3
    assert joinable_webhooks(journal.database, limit=10) == []


def test_a_webhook_never_meets_by_the_clients_reference(journal: Journal) -> None:
    payout = journal.accepted("P-1")
    webhook = a_webhook(external_ref=payout.external_ref, our_ref=payout.external_ref, provider_ref="P-2")
    assert journal.one(MeetWebhook(webhook=webhook)) == Parked()
    assert journal.rows("SELECT state, reason, transaction_id FROM app.webhook_events") == [
        ("PARKED", "PAYOUT_NOT_FOUND", None)
    ]


def test_a_webhook_that_gives_our_reference_back_as_the_providers_meets_its_payout(journal: Journal) -> None:
    # Found by the simulation: in memory it was found, in the database it was parked for good.
    payout = journal.sent()
    webhook = a_webhook(provider_ref=payout.submission_ref)
    met = Met(transaction_id=payout.transaction_id, reference=payout.submission_ref)
    assert journal.one(MeetWebhook(webhook=webhook)) == met


def test_that_a_webhook_changes_nothing_holds_for_the_version_that_it_was_decided_on(
    journal: Journal,
) -> None:
    webhook, created = a_webhook(), journal.created()
    journal.moved(an_intent(created, journal.leased()))
    write = NoteOnPayout(payout=created, evidence=None, webhook=webhook, webhook_reason="NOT_UPDATED")
    assert journal.one(write) == Stale()
    assert journal.count("webhook_events") == 0


def test_what_is_merely_noted_leaves_its_webhook_ignored(journal: Journal) -> None:
    webhook, sent = a_webhook(), journal.sent()
    noted = replace(
        a_move(sent, sent.moved(Status.SENT, sent.status_reason), webhook=webhook), noted_as="A_NOTE"
    )
    journal.moved(noted)
    assert journal.rows("SELECT state, reason FROM app.webhook_events") == [("IGNORED", "A_NOTE")]


def test_a_parked_webhook_is_reported_when_its_payout_gains_the_reference(journal: Journal) -> None:
    parked, other = a_webhook(provider_ref="P-1"), a_webhook(provider="MTN_BJ", provider_ref="P-1")
    journal.write(MeetWebhook(webhook=parked), MeetWebhook(webhook=other))
    sent = journal.sent()
    after = sent.moved(Status.SENT, "ACCEPTED", provider_ref=ProviderRef("P-1"))

    assert journal.one(a_move(sent, after)) == Moved(payout=after, parked_webhooks=(parked.webhook_id,))

    ids = [parked.webhook_id, other.webhook_id]
    for stored in (parked_webhooks(journal.database, ids), joinable_webhooks(journal.database, limit=10)):
        assert [(row.webhook.webhook_id, row.transaction_id, row.reference) for row in stored] == [
            (parked.webhook_id, sent.transaction_id, sent.submission_ref)
        ]


def test_a_parked_webhook_becomes_applied_with_the_move_that_it_causes(journal: Journal) -> None:
    webhook = a_webhook(provider_ref="P-1")
    journal.one(MeetWebhook(webhook=webhook))
    payout = journal.accepted("P-1")
    after = payout.moved(Status.CONFIRMED, "WEBHOOK_PAID", settled_at=NOW, next_retry_at=None)

    journal.moved(a_move(payout, after, webhook=webhook))

    assert journal.rows(
        "SELECT state, reason, transaction_id::text, applied_at IS NOT NULL FROM app.webhook_events"
    ) == [("APPLIED", "", payout.transaction_id, True)]
    assert parked_webhooks(journal.database, [webhook.webhook_id]) == []


def test_an_applied_webhook_stays_applied_whatever_is_written_once_more(journal: Journal) -> None:
    webhook = a_webhook(provider_ref="P-1")
    payout = journal.accepted("P-1")
    after = payout.moved(Status.CONFIRMED, "WEBHOOK_PAID", settled_at=NOW, next_retry_at=None)
    journal.moved(a_move(payout, after, webhook=webhook))

    journal.one(
        NoteOnPayout(payout=after, evidence=None, webhook=webhook, webhook_reason="ALREADY_CONFIRMED")
    )
    journal.one(KeepWebhook(webhook=webhook, reason="UNREADABLE"))

    assert journal.rows("SELECT state, reason FROM app.webhook_events") == [("APPLIED", "")]


def test_webhooks_that_change_nothing_are_kept_with_the_reason(journal: Journal) -> None:
    payout = journal.created()
    writes: list[Write] = [
        NoteOnPayout(payout=payout, evidence=None, webhook=a_webhook(), webhook_reason="ALREADY_KNOWN"),
        KeepWebhook(webhook=a_webhook(signature_valid=False, signed_with=None), reason="SIGNATURE_INVALID"),
    ]

    assert journal.write(*writes) == [Noted(), Noted()]

    assert journal.rows("SELECT state, reason FROM app.webhook_events ORDER BY webhook_id") == [
        ("IGNORED", "ALREADY_KNOWN"),
        ("INVALID", "SIGNATURE_INVALID"),
    ]
    assert journal.count("payout_events") == 1


# ---- notes and due times -----------------------------------------------------------------------


def test_a_repeated_discrepancy_is_counted_and_a_closed_one_is_opened_anew(journal: Journal) -> None:
    payout = journal.created()
    found = Discrepancy(kind="PAID_AFTER_FAILED", detail="Paid after all.")
    note = NoteOnPayout(payout=payout, evidence=EVIDENCE, discrepancy=found)

    journal.one(note)
    journal.one(note)
    journal.one(replace(note, discrepancy=replace(found, kind="AMOUNT_DIFFERS")))
    journal.rows("UPDATE app.discrepancies SET closed_at = clock_timestamp() WHERE seen_count = 2")
    journal.one(note)

    assert journal.rows(
        "SELECT kind, seen_count, closed_at IS NULL FROM app.discrepancies ORDER BY 1, 3"
    ) == [
        ("AMOUNT_DIFFERS", 1, True),
        ("PAID_AFTER_FAILED", 2, False),
        ("PAID_AFTER_FAILED", 1, True),
    ]


def test_a_postponed_payout_is_due_later_without_an_event(journal: Journal) -> None:
    payout, moved_on = journal.created(), journal.created()
    until = NOW + timedelta(hours=1)
    journal.moved(a_move(moved_on, moved_on.moved(Status.REVIEW, "ASKED")))

    journal.write(
        *(
            PostponePayout(transaction_id=each.transaction_id, version=1, until=until)
            for each in (payout, moved_on)
        )
    )

    assert load_payout(journal.database, payout.transaction_id) == replace(payout, next_retry_at=until)
    left = load_payout(journal.database, moved_on.transaction_id)
    assert left is not None
    assert left.next_retry_at == moved_on.next_retry_at
    assert journal.count("payout_events") == 3


# ---- commits of unknown outcome ----------------------------------------------------------------


def test_landed_moves_are_found_by_their_write_ids_and_others_are_not(journal: Journal) -> None:
    epoch = journal.leased()
    intent = an_intent(journal.created(), epoch)
    intended = journal.one(intent)
    overtaken = journal.created()
    someone_elses = a_move(overtaken, overtaken.moved(Status.REVIEW, "ASKED"))
    journal.one(someone_elses)
    untouched = journal.created()
    sent = journal.sent()
    gains = a_move(sent, sent.moved(Status.SENT, "ACCEPTED", provider_ref=ProviderRef("P-1")))
    webhook = a_webhook(provider_ref="P-1")
    journal.one(MeetWebhook(webhook=webhook))
    journal.one(gains)

    landed = find_landed(
        journal.database,
        [
            a_create(),
            a_move(untouched, untouched.moved(Status.REVIEW, "ASKED")),
            intent,
            replace(someone_elses, write_id=str(uuid4())),
            gains,
        ],
    )

    assert landed == {2: intended, 4: Moved(payout=gains.after, parked_webhooks=(webhook.webhook_id,))}


def test_what_may_still_be_committing_is_waited_for(journal: Journal, database_url_both: str) -> None:
    payout = journal.created()
    move = a_move(payout, payout.moved(Status.REVIEW, "ASKED"))
    other = connect_writer(database_url_both, statement_timeout_s=0.3, connect_timeout_s=10)
    with journal.database.atomic():
        journal.one(move)
        with pytest.raises(peewee.OperationalError) as caught:
            find_landed(other, [move])
    assert fault_of(caught.value) is Fault.TRY_AGAIN

    assert find_landed(other, [move]) == {0: Moved(payout=move.after)}
    other.close()


# ---- batches -----------------------------------------------------------------------------------


def test_what_must_not_share_a_batch_shares_a_conflict_key() -> None:
    payout = a_payout()
    sent = payout.moved(Status.SENT, "SUBMITTING", attempt_count=1, account="sandbox")
    gains = a_move(sent, sent.moved(Status.SENT, "ACCEPTED", provider_ref=ProviderRef("P-1")))
    note = NoteOnPayout(payout=payout, evidence=None)
    postpone = PostponePayout(transaction_id=payout.transaction_id, version=1, until=NOW)
    meet = MeetWebhook(webhook=a_webhook(provider_ref="P-1"))
    keep = KeepWebhook(webhook=a_webhook(), reason="UNREADABLE")
    together: list[tuple[Write, Write]] = [
        (gains, note),
        (note, postpone),
        (gains, meet),
        (keep, keep),
        (a_create(payout), a_create(a_payout(idempotency_key=payout.idempotency_key))),
        (a_create(payout), a_create(a_payout(external_ref=payout.external_ref))),
    ]
    apart: list[tuple[Write, Write]] = [
        (gains, MeetWebhook(webhook=a_webhook(provider="MTN_BJ", provider_ref="P-1"))),
        (note, NoteOnPayout(payout=a_payout(), evidence=None)),
        (a_create(payout), a_create(replace(a_payout(), client_id="other"))),
    ]

    assert all(set(conflict_keys(one)) & set(conflict_keys(two)) for one, two in together)
    assert not any(set(conflict_keys(one)) & set(conflict_keys(two)) for one, two in apart)


def test_a_mixed_batch_answers_each_write_in_order(journal: Journal) -> None:
    epoch = journal.leased()
    pending, known = journal.created(), journal.created()
    writes: list[Write] = [
        MeetWebhook(webhook=a_webhook(provider_ref="P-9")),
        a_create(a_payout(idempotency_key=known.idempotency_key)),
        an_intent(pending, epoch),
        a_create(),
        NoteOnPayout(payout=known, evidence=EVIDENCE),
    ]

    assert [type(answer) for answer in journal.write(*writes)] == [Parked, KeyKnown, Moved, Created, Noted]


def an_order(**changes: Any) -> AuditRow:
    return AuditRow(**{"command": "retry", "reason": "ticket 17", "command_id": None} | changes)


def test_an_operators_move_is_audited_in_the_same_transaction(journal: Journal) -> None:
    payout = journal.created()
    after = payout.moved(Status.CANCELLED, "CANCELLED_BY_OPERATOR", by_operator=True, **ENDED)
    order = an_order(command="cancel", approved_by="bea", arguments='{"force": true}')
    journal.moved(a_move(payout, after, who="operator:ana", audit=order, request_id="request-1"))
    assert journal.rows(
        "SELECT who, command, target, reason, approved_by, arguments->>'force', before->>'status', "
        "after->>'status', request_id, outcome FROM app.audit_log"
    ) == [
        (
            *("operator:ana", "cancel", f"payouts/{payout.transaction_id}", "ticket 17", "bea", "true"),
            *("PENDING", "CANCELLED", "request-1", "APPLIED"),
        )
    ]


def test_a_stale_operators_move_is_not_audited(journal: Journal) -> None:
    payout = journal.created()
    journal.moved(a_move(payout, payout.moved(Status.PENDING, "ACCEPTED")))
    late = a_move(payout, payout.moved(Status.CANCELLED, "CANCELLED_BY_OPERATOR", **ENDED), audit=an_order())
    assert journal.one(late) == Stale()
    assert journal.count("audit_log") == 0


def a_reopening(failed: Payout) -> MovePayout:
    reference = SubmissionRef(str(uuid4()))
    after = failed.moved(
        Status.PENDING,
        "REOPENED",
        by_operator=True,
        generation=failed.generation + 1,
        submission_ref=reference,
        provider_ref=None,
        account=None,
        settled_at=None,
        answer_by=None,
        next_retry_at=datetime.now(UTC),
        expires_at=datetime.now(UTC) + timedelta(hours=72),
    )
    return a_move(failed, after, reopens=True, audit=an_order())


def failed_payout(journal: Journal) -> Payout:
    sent = journal.sent()
    return journal.moved(a_move(sent, sent.moved(Status.FAILED, "PAYEE_NOT_FOUND", **ENDED)))


def test_a_reopened_payout_has_its_new_time_and_its_old_reference_closed(journal: Journal) -> None:
    failed = failed_payout(journal)
    reopened = journal.moved(a_reopening(failed))
    assert journal.rows("SELECT status, expires_at FROM app.mobile_money_payouts") == [
        ("PENDING", reopened.expires_at)
    ]
    assert journal.rows("SELECT closed_reason FROM app.payout_attempts") == [("REOPENED",)]
    assert journal.count("audit_log") == 1


def test_nothing_is_reopened_while_an_attempt_of_it_is_unresolved(journal: Journal) -> None:
    failed = failed_payout(journal)
    journal.rows("UPDATE app.payout_attempts SET in_doubt_since = now() RETURNING 1")
    assert journal.one(a_reopening(failed)) == IntentDenied(reason="ATTEMPT_UNRESOLVED")
    assert journal.count("audit_log") == 0


def test_nothing_is_reopened_while_a_discrepancy_is_open_over_it(journal: Journal) -> None:
    failed = failed_payout(journal)
    note = NoteOnPayout(
        payout=failed,
        evidence=None,
        discrepancy=Discrepancy(kind="PAID_AFTER_FAILED", detail="The provider says that it paid it."),
    )
    assert journal.one(note) == Noted()
    assert journal.one(a_reopening(failed)) == IntentDenied(reason="DISCREPANCY_OPEN")
    journal.rows("UPDATE app.discrepancies SET closed_at = now() RETURNING 1")
    assert isinstance(journal.one(a_reopening(failed)), Moved)
