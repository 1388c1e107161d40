"""A payout request is taken whole or refused whole, with every wrong field named at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pykka import ActorDeadError

from nepxy.engine.payout import SubmissionRef, TransactionId
from nepxy.engine.references import submission_ref
from nepxy.engine.runtime import MailboxFull
from nepxy.errors import NodeStandby
from nepxy.http.new_payout import FIRST_LOOK_S
from nepxy.storage.writes import ExternalRefKnown, LookAgain
from tests.http.conftest import Paper, StartPaper
from tests.http.support import SILENCE, a_request, code_of, fields_of, keyed

JSON = {"Content-Type": "application/json"}


async def test_a_payout_is_handed_over_as_it_will_be_stored(paper: Paper) -> None:
    before = datetime.now(UTC)
    response = await paper.client.post(
        "/v1/payouts",
        json=a_request(
            external_ref="order-1",
            note="thanks",
            recipient={"first_name": "Ama"},
            sender={"date_of_birth": "1990-01-31"},
        ),
        headers=keyed("key-1"),
    )
    assert response.status == 202, await response.text()
    (accept,) = paper.engine.seen
    create, payout = accept.create, accept.create.payout
    assert response.headers["Location"] == f"/v1/payouts/{payout.transaction_id}"
    assert payout.status == "PENDING"
    assert (payout.status_reason, payout.version, payout.generation) == ("ACCEPTED", 1, 0)
    assert payout.submission_ref == submission_ref(
        installation_id=paper.front.installation_id, client_id="acme", idempotency_key="key-1", generation=0
    )
    assert payout.next_retry_at == payout.created_at + timedelta(seconds=FIRST_LOOK_S)
    assert payout.expires_at == payout.created_at + timedelta(hours=72)
    assert before <= payout.created_at <= datetime.now(UTC)
    assert json.loads(payout.details) == {
        "note": "thanks",
        "recipient": {"first_name": "Ama"},
        "sender": {"date_of_birth": "1990-01-31"},
        "route_reason": "Togocom in TG is paid through TMONEY",
    }
    assert create.external_ref_unique
    assert create.response_body.encode() == await response.read()
    payout.check()


async def test_the_answer_masks_the_number_and_says_where_to_go(paper: Paper) -> None:
    response = await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    text = await response.text()
    answer = json.loads(text)
    assert "90123456" not in text
    assert answer["phone_masked"] == "+228*****456"
    assert (answer["status"], answer["provider"], answer["amount"]) == ("PENDING", "TMONEY", 1000)
    assert answer["links"]["events"] == f"/v1/payouts/{answer['transaction_id']}/events"


async def test_every_wrong_field_is_named_at_once(paper: Paper) -> None:
    request = {
        "provider": "TMONY",
        "amount": 10.5,
        "currency": "XOF",
        "phone_e164": "+22890123456",
        "country": "BJ",
        "external_reff": "x",
        "recipient": {"first_name": "", "age": 5},
        "metadata": {"a": [1], "b": 1.5},
        "expires_at": "2020-01-01T00:00:00Z",
        "note": 5,
    }
    response = await paper.client.post("/v1/payouts", json=request, headers=keyed())
    assert response.status == 422
    assert await code_of(response) == "VALIDATION_FAILED"
    fields = await fields_of(response)
    assert set(fields) == {
        "provider",
        "amount",
        "country",
        "external_ref",
        "external_reff",
        "recipient.first_name",
        "recipient.age",
        "metadata.a",
        "metadata.b",
        "expires_at",
        "note",
    }
    assert "XOF has none" in fields["amount"]
    assert "did you mean external_ref?" in fields["external_reff"]
    assert "TG" in fields["country"]
    assert paper.engine.seen == []


@pytest.mark.parametrize("amount", [1000.0, 10.5, "1000", True, None, 0, -1, 10**16, 10**25, [1000], "10.50"])
async def test_an_amount_is_nothing_but_a_sane_integer(paper: Paper, amount: object) -> None:
    request = {**a_request(), "amount": amount}
    response = await paper.client.post("/v1/payouts", json=request, headers=keyed())
    assert response.status == 422
    assert set(await fields_of(response)) == {"amount"}
    assert paper.engine.seen == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"currency": "ZZZ"}, "currency"),
        ({"currency": "CFA francs"}, "currency"),
        ({"country": "Togo"}, "country"),
        ({"country": "GH"}, "country"),
        ({"phone_e164": "90123456"}, "phone_e164"),
        ({"phone_e164": "+22822212345"}, "phone_e164"),
        ({"phone_e164": 22890123456}, "phone_e164"),
        ({"external_ref": ""}, "external_ref"),
        ({"external_ref": " x"}, "external_ref"),
        ({"external_ref": "a\0b"}, "external_ref"),
        ({"external_ref": "x" * 129}, "external_ref"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
        ({"expires_at": 1900000000}, "expires_at"),
        ({"expires_at": (datetime.now(UTC) + timedelta(days=31)).isoformat()}, "expires_at"),
        ({"expires_at": (datetime.now(UTC) + timedelta(seconds=30)).isoformat()}, "expires_at"),
        ({"provider": "FLOOZ", "phone_e164": "+233241234567", "country": "GH", "currency": "GHS"}, "provider"),
        ({"provider": "TMONEY", "phone_e164": "+233241234567", "country": "GH", "currency": "GHS"}, "provider"),
        ({"phone_e164": "+22896123456"}, "provider"),
        ({"purpose": "line\nbreak"}, "purpose"),
        ({"sender": "Ama"}, "sender"),
        ({"sender": {"date_of_birth": "1.1.1990"}}, "sender.date_of_birth"),
        ({"metadata": {f"k{n}": n for n in range(51)}}, "metadata"),
        ({"metadata": {"k": 2**60}}, "metadata.k"),
        ({"metadata": {"k": {"deep": 1}}}, "metadata.k"),
        ({"metadata": {"\0": 1}}, "metadata.\0"),
    ],
)  # fmt: skip
async def test_a_wrong_field_is_refused_by_its_name(
    paper: Paper, changes: dict[str, Any], field: str
) -> None:
    response = await paper.client.post("/v1/payouts", json={**a_request(), **changes}, headers=keyed())
    assert response.status == 422, await response.text()
    assert set(await fields_of(response)) == {field}
    assert "90123456" not in await response.text()
    assert paper.engine.seen == []


@pytest.mark.parametrize(
    ("provider", "code"),
    [("WAVE", "PROVIDER_UNKNOWN"), ("FLOOZ", "PROVIDER_DISABLED"), (" momo ", "PROVIDER_DISABLED")],
)
async def test_a_provider_that_is_unknown_or_off_has_its_own_code(
    paper: Paper, provider: str, code: str
) -> None:
    request = a_request(provider=provider)
    response = await paper.client.post("/v1/payouts", json=request, headers=keyed())
    assert response.status == 422
    assert await code_of(response) == code
    assert set(await fields_of(response)) == {"provider"}


async def test_a_provider_that_is_taken_off_the_list_takes_nothing_new(start_paper: StartPaper) -> None:
    paper = await start_paper({"MM_ENABLED_PROVIDERS": "FLOOZ"})
    named = await paper.client.post("/v1/payouts", json=a_request(provider="TMONEY"), headers=keyed())
    assert await code_of(named) == "PROVIDER_DISABLED"
    unnamed = await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert await code_of(unnamed) == "VALIDATION_FAILED"


async def test_what_may_be_written_in_several_ways_is_stored_in_one(paper: Paper) -> None:
    request = a_request(
        currency="xof", country="tg", phone_e164="+228 90-12-34-56", provider="tmoney", expires_at=None
    )
    response = await paper.client.post("/v1/payouts", json=request, headers=keyed())
    assert response.status == 202
    payout = paper.engine.seen[0].create.payout
    assert (payout.currency, payout.country, payout.phone_e164) == ("XOF", "TG", "+22890123456")
    assert json.loads(paper.engine.seen[0].create.request_body).keys() == {
        "amount", "currency", "country", "phone_e164", "provider", "external_ref"
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"amount":NaN}', b'{"amount":1,"amount":2}',
     b'{"recipient":{"name":"a","name":"b"}}', b'{"note":"\\ud800"}', b"[" * 60_000,
     b'{"amount":' + b"9" * 5_000 + b"}"],
)  # fmt: skip
async def test_what_is_not_one_json_object_is_a_400(paper: Paper, body: bytes) -> None:
    response = await paper.client.post("/v1/payouts", data=body, headers={**keyed(), **JSON})
    assert response.status == 400
    assert await code_of(response) == "JSON_INVALID"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_a_415(paper: Paper, content_type: str) -> None:
    headers = {**keyed(), "Content-Type": content_type}
    response = await paper.client.post("/v1/payouts", data=json.dumps(a_request()).encode(), headers=headers)
    assert response.status == 415
    assert await code_of(response) == "CONTENT_TYPE_UNSUPPORTED"


async def test_a_charset_beside_the_content_type_is_fine(paper: Paper) -> None:
    headers = {**keyed(), "Content-Type": "application/json; charset=utf-8"}
    response = await paper.client.post("/v1/payouts", data=json.dumps(a_request()).encode(), headers=headers)
    assert response.status == 202


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ([], "IDEMPOTENCY_KEY_MISSING"),
        ([""], "IDEMPOTENCY_KEY_INVALID"),
        (["x" * 256], "IDEMPOTENCY_KEY_INVALID"),
        (["a b"], "IDEMPOTENCY_KEY_INVALID"),
        (["ü"], "IDEMPOTENCY_KEY_INVALID"),
        (["a", "b"], "IDEMPOTENCY_KEY_INVALID"),
    ],
)
async def test_the_idempotency_key_is_required_and_plain(paper: Paper, keys: list[str], code: str) -> None:
    headers = [("Authorization", keyed()["Authorization"]), *(("Idempotency-Key", key) for key in keys)]
    response = await paper.client.post("/v1/payouts", json=a_request(), headers=headers)
    assert response.status == 400
    assert await code_of(response) == code


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (NodeStandby(), 503, "NODE_STANDBY"),
        (LookAgain(), 503, "ENGINE_BUSY"),
        (MailboxFull("full"), 503, "ENGINE_BUSY"),
        (ActorDeadError("gone"), 503, "DRAINING"),
        (SILENCE, 503, "ENGINE_TIMEOUT"),
    ],
)
async def test_an_engine_that_cannot_is_a_503_that_says_when_to_come_back(
    start_paper: StartPaper, answer: object, status: int, code: str
) -> None:
    paper = await start_paper({"NEPXY_ASK_TIMEOUT_S": "0.05"})
    paper.engine.answer = lambda message: answer
    response = await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert response.status == status
    assert await code_of(response) == code
    assert int(response.headers["Retry-After"]) > 0


async def test_a_used_external_ref_names_its_payout(paper: Paper) -> None:
    known = TransactionId("01936000-0000-7000-8000-0000000000ff")
    paper.engine.answer = lambda message: ExternalRefKnown(transaction_id=known)
    response = await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert response.status == 409
    assert await code_of(response) == "DUPLICATE_EXTERNAL_REF"
    assert (await response.json())["transaction_id"] == known


async def test_two_clients_never_share_a_reference(paper: Paper) -> None:
    refs: set[SubmissionRef] = set()
    for subject in ("acme", "other"):
        await paper.client.post("/v1/payouts", json=a_request(), headers=keyed("same", subject=subject))
    refs = {message.create.payout.submission_ref for message in paper.engine.seen}
    assert len(refs) == 2
