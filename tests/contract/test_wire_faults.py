"""A request that may have left, and no whole answer: UNKNOWN for a submit, nothing for a status read."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from nepxy.config.providers import TmoneySettings
from nepxy.engine.outcomes import Finding, OutcomeClass
from nepxy.providers.wire import ANSWER_BYTES_MAX, Lost, ProviderHttp
from tests.contract.awkward_server import Behaviour, Peer, an_answer, answers
from tests.contract.support import Account, NewAccount, Serve

KILOBYTE = 1024


async def _reads_and_closes(peer: Peer) -> None:
    await peer.request()
    await peer.closed()


async def _reads_and_resets(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def _resets_within_the_request(peer: Peer) -> None:
    await peer.reader.readexactly(10)
    peer.reset()


async def _resets_within_the_answer(peer: Peer) -> None:
    await peer.request()
    await peer.send(an_answer(202, b'{"status": "ACC', content_length="100"))
    peer.reset()


async def _never_answers(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


async def _stops_within_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(an_answer(202, b'{"status"', content_length="100"))
    await peer.gone()


async def _trickles(peer: Peer) -> None:
    await peer.request()
    await peer.send(an_answer(202, b"{", content_length="1000000"))
    while True:
        await peer.send(b" ")
        await asyncio.sleep(0.01)


async def _never_stops(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\n\r\n{")
    while True:
        await peer.send(b" " * 16 * KILOBYTE)


async def _says_continue_for_ever(peer: Peer) -> None:
    await peer.request()
    while True:
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.01)


BOMB = gzip.compress(b"{" + b" " * (64 * KILOBYTE * KILOBYTE))


@dataclass(frozen=True)
class Fault:
    does: str
    behaviour: Behaviour
    reason: str
    answer: str = "no answer"
    """How the evidence begins."""


FAULTS = [
    Fault(
        "sends less than the length that it promised",
        answers(an_answer(202, b'{"status"', content_length="100")),
        "ANSWER_TRUNCATED",
        "202 (cut) {",
    ),
    Fault(
        "cuts a chunk",
        answers(b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n40\r\n{"),
        "ANSWER_TRUNCATED",
        "202 (cut) {",
    ),
    Fault(
        "sends no last chunk",
        answers(b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        "ANSWER_TRUNCATED",
        "202 (cut) {}",
    ),
    Fault(
        "sends a chunk size that is none",
        answers(b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        "ANSWER_UNREADABLE",
    ),
    Fault(
        "cuts the headers",
        answers(b"HTTP/1.1 202 Accepted\r\ncontent-type: appl"),
        "CONNECTION_LOST",
    ),
    Fault("sends garbage", answers(b"\x00\x01\x02 no HTTP at all\r\n\r\n"), "ANSWER_UNREADABLE"),
    Fault("sends a status that is no number", answers(b"HTTP/1.1 OK 202\r\n\r\n"), "ANSWER_UNREADABLE"),
    Fault("closes without a word", _reads_and_closes, "CONNECTION_LOST"),
    Fault("resets after the request", _reads_and_resets, "CONNECTION_LOST"),
    Fault("resets within the request", _resets_within_the_request, "CONNECTION_LOST"),
    Fault(
        "says two lengths",
        answers(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} "),
        "ANSWER_UNREADABLE",
    ),
    Fault(
        "says a negative length",
        answers(b"HTTP/1.1 202 Accepted\r\ncontent-length: -2\r\n\r\n{}"),
        "ANSWER_UNREADABLE",
    ),
    Fault(
        "answers more than anybody needs",
        answers(an_answer(202, b'{"a": "' + b"x" * ANSWER_BYTES_MAX + b'"}')),
        "ANSWER_TOO_LARGE",
        "202 (cut) {",
    ),
    Fault("answers without an end", _never_stops, "ANSWER_TOO_LARGE", "202 (cut) {"),
    Fault(
        "answers with a compressed bomb",
        answers(an_answer(202, BOMB, content_encoding="gzip")),
        "ANSWER_TOO_LARGE",
        "202 (cut) {",
    ),
    Fault(
        "says gzip and sends none",
        answers(an_answer(202, b'{"status": "ACCEPTED"}', content_encoding="gzip")),
        "ANSWER_TRUNCATED",
        "202 (cut)",
    ),
    Fault(
        "cuts what it compressed",
        answers(an_answer(202, zlib.compress(b'{"status": "ACCEPTED"}')[:-6], content_encoding="deflate")),
        "ANSWER_UNREADABLE",
    ),
    Fault("sends a huge header", answers(an_answer(202, x_long="x" * 64 * KILOBYTE)), "ANSWER_UNREADABLE"),
    Fault(
        "sends thousands of headers",
        answers(an_answer(202, b"{}", **{f"x_{n}": "x" for n in range(5_000)})),
        "ANSWER_UNREADABLE",
    ),
    Fault("says only that it will say more", answers(b"HTTP/1.1 100 Continue\r\n\r\n"), "CONNECTION_LOST"),
]

SLOW_FAULTS = [
    Fault("never answers", _never_answers, "TIMED_OUT"),
    Fault("stops within the body", _stops_within_the_body, "TIMED_OUT", "202 (cut) {"),
    Fault("trickles for ever", _trickles, "TIMED_OUT", "202 (cut) {"),
    Fault("says continue for ever", _says_continue_for_ever, "TIMED_OUT"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.does)
async def test_a_call_without_a_whole_answer_is_unknown_and_says_why(
    serve: Serve, account: NewAccount, fault: Fault
) -> None:
    await assert_unknown(account((await serve(fault.behaviour)).url), fault)


async def test_a_call_that_runs_out_of_time_is_unknown_and_says_why(
    serve: Serve, account: NewAccount
) -> None:
    # Short, because the test waits for it; long enough to connect, in a quarter of it, on a busy machine.
    urls = [(await serve(fault.behaviour)).url for fault in SLOW_FAULTS]
    accounts = [account(url, timeout_s=4.0) for url in urls]

    await asyncio.gather(*map(assert_unknown, accounts, SLOW_FAULTS))


async def assert_unknown(ours: Account, fault: Fault) -> None:
    result, outcome, found, polled = await asyncio.gather(
        ours.call(), ours.submit(), ours.look_up(), ours.poll()
    )

    assert isinstance(result, Lost)
    assert (outcome.kind, found.finding, polled.finding) == (
        OutcomeClass.UNKNOWN,
        Finding.NO_ANSWER,
        Finding.NO_ANSWER,
    )
    assert {result.reason, outcome.reason, found.reason, polled.reason} == {fault.reason}
    for said in (outcome, found, polled):
        assert said.answer.startswith(fault.answer)
        assert len(said.answer.encode()) <= 300
        assert said.rule
    assert (outcome.call, found.call) == ("POST /cashouts", "GET /status/{provider_ref}")


@pytest.mark.parametrize(
    "behaviour", [_reads_and_closes, _reads_and_resets, answers(b"rubbish\r\n\r\n")], ids=lambda b: b.__name__
)
async def test_a_submit_that_got_no_answer_is_written_once(
    serve: Serve, account: NewAccount, behaviour: Behaviour
) -> None:
    server = await serve(behaviour)

    await account(server.url).submit()

    assert len(server.requests) == 1


async def test_a_reset_within_the_answer_is_unknown(serve: Serve, account: NewAccount) -> None:
    ours = account((await serve(_resets_within_the_answer)).url)

    outcome = await ours.submit()

    assert outcome.kind is OutcomeClass.UNKNOWN
    # A reset may overtake what was sent before it.
    assert outcome.reason in ("ANSWER_TRUNCATED", "CONNECTION_LOST")
    assert (await ours.poll()).finding is Finding.NO_ANSWER


async def test_a_connection_reset_before_anything_was_read_is_never_an_answer(
    serve: Serve, account: NewAccount
) -> None:
    async def resets_at_once(peer: Peer) -> None:
        peer.reset()

    server = await serve(resets_at_once)
    ours = account(server.url)

    for _ in range(20):
        # Whether the reset comes before or after the handshake counts as done is the kernel's race.
        assert (await ours.submit()).kind in (OutcomeClass.NOT_SENT, OutcomeClass.UNKNOWN)
        assert (await ours.poll()).finding is Finding.NO_ANSWER

    assert server.requests == []


async def test_a_lost_call_leaves_the_next_one_a_connection_that_works(
    serve: Serve, account: NewAccount
) -> None:
    async def resets_first(peer: Peer) -> None:
        await peer.request()
        if peer.nth == 1:
            peer.reset()
        else:
            await peer.answer(202)

    server = await serve(resets_first)
    ours = account(server.url, connections_max=1)

    assert (await ours.submit()).kind is OutcomeClass.UNKNOWN
    assert (await ours.submit()).kind is OutcomeClass.ACCEPTED


async def test_the_first_byte_has_a_limit_of_its_own(serve: Serve, stack: AsyncExitStack) -> None:
    """A provider that takes the request and says nothing is given up long before the whole time is over."""
    settings = TmoneySettings(http_timeout_s=60.0, connect_timeout_s=5.0, first_byte_timeout_s=0.3)
    http = ProviderHttp.of(settings)
    stack.push_async_callback(http.close)
    ours = Account((await serve(_never_answers)).url, http, auth_mode="bearer", api_key=None)
    async with asyncio.timeout(20):
        outcome = await ours.submit()
    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "TIMED_OUT")


async def test_reaching_it_has_a_limit_of_its_own(stack: AsyncExitStack) -> None:
    """A host that takes no connection: nothing was sent, and nobody waited for the whole time."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # The queue of those who wait to be accepted is full, and the kernel answers nobody else.
        waiting = [socket.create_connection(full.getsockname(), timeout=5)]
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(full.getsockname())
            waiting.append(one)
        settings = TmoneySettings(http_timeout_s=60.0, connect_timeout_s=0.3)
        http = ProviderHttp.of(settings)
        stack.push_async_callback(http.close)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with asyncio.timeout(20):
            outcome = await Account(url, http, auth_mode="bearer", api_key=None).submit()
        for one in waiting:
            one.close()
    assert (outcome.kind, outcome.reason) == (OutcomeClass.NOT_SENT, "CONNECT_TIMED_OUT")
