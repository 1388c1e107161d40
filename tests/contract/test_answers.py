"""Whole answers of the generic JSON profile, on a real socket: which class each gives, and what is kept of it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import pytest

from nepxy.engine.outcomes import Finding, OutcomeClass, ReportedTerms
from nepxy.providers.wire import RETRY_AFTER_S_MAX, Answered
from tests.contract.awkward_server import Behaviour, Peer, an_answer, answers, keeps_answering
from tests.contract.support import API_KEY, Account, NewAccount, Serve, our_ref

ACCEPTED, REJECTED, BLOCKED = OutcomeClass.ACCEPTED, OutcomeClass.REJECTED, OutcomeClass.BLOCKED
THROTTLED, UNKNOWN = OutcomeClass.THROTTLED, OutcomeClass.UNKNOWN

HTML = b"<html><body>hello</body></html>"


@dataclass
class Says:
    """Keeps answering with what it is told at the time."""

    data: bytes = b""

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(self.data)


async def saying(serve: Serve, account: NewAccount, data: bytes) -> Account:
    return account((await serve(keeps_answering(data))).url)


# ---- the status line ---------------------------------------------------------------------------------------

WITH_JSON = {
    **dict.fromkeys((200, 201, 202), ACCEPTED),
    **dict.fromkeys((400, 422), REJECTED),
    **dict.fromkeys((401, 403), BLOCKED),
    429: THROTTLED,
}
"""Every other status is UNKNOWN."""
WITHOUT_JSON = {**dict.fromkeys((401, 403), BLOCKED), 429: THROTTLED}


@pytest.mark.parametrize(("body", "table"), [(b"{}", WITH_JSON), (HTML, WITHOUT_JSON)], ids=["json", "html"])
async def test_every_status_gives_one_class_and_keeps_its_reason(
    serve: Serve, account: NewAccount, body: bytes, table: dict[int, OutcomeClass]
) -> None:
    says = Says()
    ours = account((await serve(says)).url)
    wrong = {}

    for status in range(200, 600):
        says.data = an_answer(status, b"" if status in (204, 304) else body)
        outcome = await ours.submit()
        reason = {ACCEPTED: "ACCEPTED"}.get(outcome.kind, f"HTTP_{status}")
        if outcome.kind is UNKNOWN and status < 300:
            reason = "ANSWER_UNREADABLE"
        if (outcome.kind, outcome.reason) != (table.get(status, UNKNOWN), reason):
            wrong[status] = outcome
        assert outcome.answer.startswith(str(status))
        assert outcome.call
        assert outcome.rule
        assert not outcome.refused_before_processing
        assert not outcome.retry_with_new_reference

    assert wrong == {}


@pytest.mark.parametrize("body", [b'{"status": "FAILED"}', HTML], ids=["json", "html"])
async def test_only_a_200_with_json_says_something_of_a_payout(
    serve: Serve, account: NewAccount, body: bytes
) -> None:
    says = Says()
    ours = account((await serve(says)).url)
    found = {}

    for status in range(200, 600):
        says.data = an_answer(status, b"" if status in (204, 304) else body)
        report = await ours.poll()
        if report.finding is not Finding.NO_ANSWER:
            found[status] = report.finding

    assert found == {404: Finding.ABSENT} | ({200: Finding.UNPAID} if body != HTML else {})


async def test_an_interim_status_is_no_answer(serve: Serve, account: NewAccount) -> None:
    says = Says()

    async def says_it_and_closes(peer: Peer) -> None:
        await peer.request()
        await peer.send(says.data)
        await peer.closed()

    ours = account((await serve(says_it_and_closes)).url)

    for status in range(100, 200):
        says.data = f"HTTP/1.1 {status} Whatever\r\n\r\n".encode()
        assert (status, (await ours.submit()).kind) == (status, UNKNOWN)
        assert (status, (await ours.poll()).finding) == (status, Finding.NO_ANSWER)


async def test_the_answer_after_interim_ones_counts(serve: Serve, account: NewAccount) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    ours = await saying(serve, account, interim + an_answer(202, b'{"provider_ref": "theirs"}'))

    outcome = await ours.submit()

    assert (outcome.kind, outcome.provider_ref) == (ACCEPTED, "theirs")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(serve: Serve, account: NewAccount, status: int) -> None:
    target = await serve(keeps_answering(an_answer(200, b'{"status": "SUCCESS"}')))
    server = await serve(keeps_answering(an_answer(status, b"", location=target.url + "/cashouts")))
    ours = account(server.url)

    outcome, found, polled = await ours.submit(), await ours.look_up(), await ours.poll()

    assert (outcome.kind, outcome.reason) == (UNKNOWN, f"HTTP_{status}")
    assert {found.finding, polled.finding} == {Finding.NO_ANSWER}
    assert (target.connections, len(server.requests)) == (0, 3)


async def test_a_reference_is_asked_for_as_it_is(serve: Serve, account: NewAccount) -> None:
    server = await serve(keeps_answering(an_answer(200, b'{"status": "SUCCESS"}')))

    await account(server.url).poll("a/../b?c=d&e#f%2F+g h")

    assert server.requests[0].target == "/status/a%2F..%2Fb%3Fc=d&e%23f%252F%2Bg%20h"


# ---- Retry-After -------------------------------------------------------------------------------------------

DATE = "Tue, 24 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("999999999999", RETRY_AFTER_S_MAX),
        ("9" * 5_000, RETRY_AFTER_S_MAX),
        ("-5", None),
        ("1.5", None),
        ("1e9", None),
        ("soon", None),
        ("\u00b2", None),
        ("\u0665", None),
        ("Tue, 24 Nov 2026 12:01:30 GMT", 90),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("Tue, 24 Nov 2099 11:00:00 GMT", RETRY_AFTER_S_MAX),
        ("Tue, 24 Nov 2026 12:01:30 -0000", None),
        ("Tue, 99 Nov 2026 12:01:30 GMT", None),
    ],
)
async def test_retry_after_is_kept_where_it_can_be_read(
    serve: Serve, account: NewAccount, status: int, value: str | None, wait_s: float | None
) -> None:
    headers = {"date": DATE} if value is None else {"date": DATE, "retry_after": value}
    ours = await saying(serve, account, an_answer(status, b"{}", **headers))

    outcome, polled = await ours.submit(), await ours.poll()

    assert (outcome.kind, outcome.reason) == (THROTTLED if status == 429 else UNKNOWN, f"HTTP_{status}")
    assert (outcome.retry_after_s, polled.retry_after_s) == (wait_s, wait_s)


async def test_a_date_to_retry_after_counts_only_beside_their_own_date(
    serve: Serve, account: NewAccount
) -> None:
    ours = await saying(serve, account, an_answer(429, b"{}", retry_after=DATE))

    assert (await ours.submit()).retry_after_s is None


# ---- the body ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        HTML,
        b"OK",
        b"[]",
        b'[{"status": "SUCCESS"}]',
        b"1000",
        b'"SUCCESS"',
        b"true",
        b"null",
        b"NaN",
        b'{"status": "SUCCESS", "amount_cents": NaN}',
        b'{"status": "SUCCESS"',
        b'{"status": "SUCCESS"} {"status": "SUCCESS"}',
        b"{'status': 'SUCCESS'}",
        b'{"status": "SUCCESS", "note": "\xff\xfe"}',
        b'{"status": "SUCCESS", "note": "\\ud800"}',
        '{"status": "SUCCESS"}'.encode("utf-16"),
        b'{"status": "SUCCESS", "a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
        b"\0" * 1_000,
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_a_2xx_that_is_no_json_object_is_unknown(
    serve: Serve, account: NewAccount, body: bytes
) -> None:
    ours = await saying(serve, account, an_answer(200, body))

    outcome, found, polled = await ours.submit(), await ours.look_up(), await ours.poll()

    assert (outcome.kind, outcome.reason) == (UNKNOWN, "ANSWER_UNREADABLE")
    for report in (found, polled):
        assert (report.finding, report.reason) == (Finding.NO_ANSWER, "ANSWER_UNREADABLE")
    for text in (outcome.answer, found.answer, polled.answer):
        assert "\0" not in text
        assert len(text.encode()) <= 300


@pytest.mark.parametrize("status", [400, 422])
async def test_a_refusal_that_is_no_json_object_refuses_nothing(
    serve: Serve, account: NewAccount, status: int
) -> None:
    ours = await saying(serve, account, an_answer(status, HTML, content_type="text/html"))

    outcome = await ours.submit()

    assert (outcome.kind, outcome.reason) == (UNKNOWN, f"HTTP_{status}")
    assert outcome.answer == f"{status} text/html {HTML.decode()}"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/html; charset=utf-8", "application/octet-stream", "", "rubbish", "\u00e9;;="],
)
async def test_json_counts_however_it_is_labelled(
    serve: Serve, account: NewAccount, content_type: str
) -> None:
    body = b'{"status": "SUCCESS", "provider_ref": "theirs"}'
    ours = await saying(serve, account, an_answer(200, body, content_type=content_type))

    outcome, polled = await ours.submit(), await ours.poll()

    assert (outcome.kind, outcome.provider_ref) == (ACCEPTED, "theirs")
    assert (polled.finding, polled.provider_ref) == (Finding.PAID, "theirs")


@pytest.mark.parametrize(
    "data",
    [
        an_answer(202, gzip.compress(b'{"provider_ref": "theirs"}'), content_encoding="gzip"),
        b'HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n19\r\n{"provider_ref": "theirs"\r\n1\r\n}'
        b"\r\n0\r\n\r\n",
        b'HTTP/1.0 202 Accepted\r\n\r\n{"provider_ref": "theirs"}',
    ],
    ids=["compressed", "chunked", "until the end"],
)
async def test_an_answer_may_come_in_any_form_of_http(serve: Serve, account: NewAccount, data: bytes) -> None:
    outcome = await account((await serve(answers(data))).url).submit()

    assert (outcome.kind, outcome.provider_ref) == (ACCEPTED, "theirs")


async def test_an_answer_before_the_request_was_read_counts(serve: Serve, account: NewAccount) -> None:
    async def refuses_unread(peer: Peer) -> None:
        await peer.reader.readexactly(1)
        await peer.answer(401, b"{}", connection="close")
        await peer.gone()

    outcome = await account((await serve(refuses_unread)).url).submit()

    assert (outcome.kind, outcome.reason) == (BLOCKED, "HTTP_401")


async def test_the_whole_answer_is_given_to_the_adapter(serve: Serve, account: NewAccount) -> None:
    ours = await saying(serve, account, an_answer(200, b"abc", content_type="text/x", retry_after="3"))

    assert await ours.call() == Answered(status=200, body=b"abc", content_type="text/x", retry_after_s=3.0)


# ---- what it says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"code": "no such  wallet"}', "NO_SUCH_WALLET"),
        ('{"code": 17, "error": "x"}', "17"),
        ('{"code": "", "error": {"code": "x"}, "reason": "limit"}', "LIMIT"),
        ('{"data": {"code": "INNER"}}', "INNER"),
        ('{"data": {"code": "INNER"}, "error": "outer"}', "OUTER"),
        ('{"message": "words are no code"}', "HTTP_422"),
    ],
)
async def test_a_refusal_keeps_their_code(serve: Serve, account: NewAccount, body: str, reason: str) -> None:
    ours = await saying(serve, account, an_answer(422, body.encode()))

    outcome = await ours.submit()

    assert (outcome.kind, outcome.reason) == (REJECTED, reason)


@pytest.mark.parametrize(
    ("body", "kind", "provider_ref"),
    [
        ("{}", ACCEPTED, our_ref()),
        ('{"provider_tx_id": 1234, "id": "other"}', ACCEPTED, "1234"),
        ('{"data": {"reference": " theirs "}}', ACCEPTED, "theirs"),
        ('{"status": "FAILED", "id": "theirs"}', ACCEPTED, "theirs"),
        ('{"status": "FAILED"}', UNKNOWN, None),
    ],
)
async def test_an_acceptance_keeps_their_reference_or_ours(
    serve: Serve, account: NewAccount, body: str, kind: OutcomeClass, provider_ref: str | None
) -> None:
    ours = await saying(serve, account, an_answer(202, body.encode()))

    outcome = await ours.submit()

    assert (outcome.kind, outcome.provider_ref) == (kind, provider_ref)


@pytest.mark.parametrize(
    "reference",
    ["a\\u0000b", "a\\nb", "a\\u0007b", "a\\u202eb", "x" * 201, ".", "..", "..."],
    ids=lambda reference: reference[:10],
)
async def test_a_reference_that_cannot_be_kept_whole_is_not_kept(
    serve: Serve, account: NewAccount, reference: str
) -> None:
    body = f'{{"provider_ref": "{reference}", "status": "SUCCESS"}}'.encode()
    ours = await saying(serve, account, an_answer(200, body))

    outcome, polled = await ours.submit(), await ours.poll()

    assert (outcome.kind, outcome.reason) == (UNKNOWN, "REFERENCE_UNREADABLE")
    assert outcome.provider_ref is None
    assert (polled.finding, polled.provider_ref) == (Finding.PAID, None)


async def test_nothing_that_is_kept_holds_a_nul(serve: Serve, account: NewAccount) -> None:
    words = ("status", "code", "error", "currency", "msisdn")
    body = "{" + ", ".join(f'"{word}": "FAILED\\u0000"' for word in words) + ', "status": "FAILED"}'
    says = Says()
    ours = account((await serve(says)).url)

    says.data = an_answer(400, body.encode())
    refused = await ours.submit()
    says.data = an_answer(200, body.encode())
    polled = await ours.poll()
    says.data = an_answer(500, b"\0 raw \0")
    broken = await ours.submit()
    says.data = an_answer(200, b'{"status": "PEN\\u0000DING"}')
    pending = await ours.poll()

    assert (refused.kind, polled.finding) == (REJECTED, Finding.UNPAID)
    assert (broken.kind, pending.finding) == (UNKNOWN, Finding.IN_FLIGHT)
    for said in (refused, polled, broken, pending):
        for text in (said.reason, said.answer, said.rule, said.call, said.provider_ref or ""):
            assert "\0" not in text
        assert "\0" not in (said.terms.currency or "")


async def test_an_answer_without_a_word_says_nothing(serve: Serve, account: NewAccount) -> None:
    body = f'{{"external_id": "{our_ref()}", "error": "try later"}}'.encode()
    ours = await saying(serve, account, an_answer(200, body))

    found, polled = await ours.look_up(), await ours.poll()

    assert {found.finding, polled.finding} == {Finding.NO_ANSWER}


async def test_an_answer_that_names_another_reference_says_nothing_of_ours(
    serve: Serve, account: NewAccount
) -> None:
    body = b'{"external_id": "another", "status": "SUCCESS", "provider_ref": "theirs"}'
    says = Says(an_answer(200, body))
    ours = account((await serve(says)).url)

    outcome, found, polled = await ours.submit(), await ours.look_up(), await ours.poll()
    says.data = an_answer(400, body)
    refused = await ours.submit()

    assert {(outcome.kind, outcome.reason), (refused.kind, refused.reason)} == {(UNKNOWN, "OTHER_REFERENCE")}
    assert (found.finding, found.reason) == (Finding.NO_ANSWER, "REFERENCE_NOT_ECHOED")
    assert (polled.finding, polled.reason) == (Finding.NO_ANSWER, "OTHER_REFERENCE")


async def test_an_answer_that_names_our_reference_is_believed(serve: Serve, account: NewAccount) -> None:
    body = f'{{"external_id": "{our_ref()}", "status": "SUCCESS", "provider_ref": "theirs"}}'.encode()
    ours = await saying(serve, account, an_answer(200, body))

    outcome, found, polled = await ours.submit(), await ours.look_up(), await ours.poll()

    assert (outcome.kind, found.finding, polled.finding) == (ACCEPTED, Finding.PAID, Finding.PAID)


@pytest.mark.parametrize(
    ("amount", "read"),
    [
        ("1000", 1000),
        ('"1000"', 1000),
        ("1000.0", 1000),
        ('" 1000 "', 1000),
        ("null", None),
        ("1000.5", -1),
        ('"1,000"', -1),
        ("[1000]", -1),
    ],
)
async def test_an_amount_is_read_in_every_form_of_a_whole_number_and_no_other_equals_ours(
    serve: Serve, account: NewAccount, amount: str, read: int | None
) -> None:
    body = f'{{"status": "SUCCESS", "amount_cents": {amount}}}'.encode()
    ours = await saying(serve, account, an_answer(200, body))

    assert (await ours.poll()).terms == ReportedTerms(amount=read)


@pytest.mark.parametrize(
    ("msisdn", "read"),
    [
        ('"+22890123456"', "+22890123456"),
        ('"22890123456"', "+22890123456"),
        ("22890123456", "+22890123456"),
        ('"+228 90 12 34 56"', "+22890123456"),
        ('"+228*****456"', None),
        ('"\u0662\u0662\u0668"', None),
        ('""', None),
    ],
)
async def test_a_number_is_compared_where_all_of_it_is_reported(
    serve: Serve, account: NewAccount, msisdn: str, read: str | None
) -> None:
    ours = await saying(
        serve, account, an_answer(200, f'{{"status": "SUCCESS", "msisdn": {msisdn}}}'.encode())
    )

    assert (await ours.poll()).terms == ReportedTerms(phone_e164=read)


# ---- what is kept of it ------------------------------------------------------------------------------------

PHONE = "+22890123456"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
TELLTALE = (
    f'{{"status": "FAILED", "code": "no wallet {PHONE} for {API_KEY}", "reason": "{PHONE}",'
    f' "message": "bad credential {API_KEY}", "access_token": "abcdef123456",'
    f' "sent": "Bearer {TOKEN}", "msisdn": "{PHONE}", "padding": "{"x" * 400}"}}'
).encode()


def _cut(body: bytes) -> Behaviour:
    return answers(an_answer(202, body, content_length=str(len(body) + 1)))


@pytest.mark.parametrize(
    "behaviour",
    [
        keeps_answering(an_answer(200, TELLTALE)),
        keeps_answering(an_answer(400, TELLTALE)),
        keeps_answering(an_answer(403, TELLTALE)),
        keeps_answering(an_answer(404, TELLTALE)),
        keeps_answering(an_answer(500, TELLTALE)),
        keeps_answering(an_answer(200, TELLTALE[:-1])),
        _cut(TELLTALE),
    ],
    ids=["200", "400", "403", "404", "500", "no json", "cut"],
)
async def test_numbers_and_secrets_are_kept_nowhere(
    serve: Serve, account: NewAccount, behaviour: Behaviour
) -> None:
    ours = account((await serve(behaviour)).url)

    for said in (await ours.submit(), await ours.look_up(), await ours.poll()):
        kept = " ".join((said.reason, said.call, said.answer, said.rule))
        # Upper case too, because a reason becomes a code.
        for secret in (PHONE, PHONE[1:], API_KEY, TOKEN, TOKEN[:20], "abcdef123456"):
            assert secret.lower() not in kept.lower()
        assert said.answer
        assert len(said.answer.encode()) <= 300
        assert len(said.reason) <= 128
        assert "\n" not in said.reason


@pytest.mark.parametrize("until", range(4_060, 4_110, 7))
@pytest.mark.parametrize("secret", [PHONE, "+228 90 12 34 56", TOKEN, API_KEY, "Bearer abcdefghij0123456789"])
async def test_no_half_of_a_number_or_secret_is_kept_of_a_long_answer(
    serve: Serve, account: NewAccount, secret: str, until: int
) -> None:
    # A long value that is masked to nothing brings the place at which the body is cut into the evidence.
    start, end = b'{"token": "', b'", "note": "for '
    filler = b"y" * (until - len(start) - len(end) - len(secret))
    body = start + filler + end + secret.encode() + b'", "more": "' + b"z" * 5_000 + b'"}'
    ours = await saying(serve, account, an_answer(500, body))

    answer = (await ours.submit()).answer

    assert answer.startswith('500 {"token": "*****", "note": "')
    kept = answer.partition("note")[2]
    assert sum(character.isdigit() for character in kept) <= 6
    for length in range(8, len(secret) + 1):
        assert secret[:length] not in kept
