"""A request of which nothing left this machine: NOT_SENT, so that the payout may be sent again without a doubt."""

from __future__ import annotations

import asyncio
import base64
import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nepxy.engine.outcomes import Finding, OutcomeClass
from nepxy.providers.wire import Answered, NotSent
from tests.contract.awkward_server import Peer, an_answer, answers, keeps_answering
from tests.contract.support import API_KEY, Account, Guard, NewAccount, Serve

TLS = Path(__file__).parent / "tls"
"""Made by `make.sh` there."""

BASIC = "Basic " + base64.b64encode(b"user:pass").decode()

SHORT_S = 2.0
"""For calls that end by their time-out; connecting has a quarter of it."""


async def assert_not_sent(ours: Account, reason: str) -> None:
    result = await ours.call()
    outcome = await ours.submit()
    found = await ours.look_up()

    assert isinstance(result, NotSent)
    assert (result.reason, outcome.reason, found.reason) == (reason, reason, reason)
    assert (outcome.kind, found.finding) == (OutcomeClass.NOT_SENT, Finding.NO_ANSWER)
    assert (outcome.call, outcome.answer) == ("POST /cashouts", "nothing was sent")
    assert outcome.rule


# ---- no address, no connection -------------------------------------------------------------------------


async def test_a_name_without_an_address_is_not_sent(account: NewAccount) -> None:
    await assert_not_sent(account("http://provider.invalid"), "DNS_FAILED")


async def test_a_name_that_cannot_be_one_is_not_sent(account: NewAccount) -> None:
    await assert_not_sent(account(f"http://{'a' * 64}.invalid"), "REQUEST_UNBUILDABLE")


async def test_a_refused_connection_is_not_sent(account: NewAccount) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    await assert_not_sent(account(f"http://127.0.0.1:{port}"), "CONNECT_REFUSED")


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port at which nothing is accepted, and whose queue of connections is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            assert client.connect_ex(server.getsockname()) in (0, errno.EINPROGRESS)
        with socket.socket() as probe:
            probe.settimeout(0.2)
            try:
                probe.connect(server.getsockname())
            except TimeoutError:
                pass
            else:
                pytest.skip("this system takes more connections than were asked for")
        yield server.getsockname()[1]


async def test_a_connection_that_does_not_come_about_is_not_sent(account: NewAccount, deaf_port: int) -> None:
    await assert_not_sent(
        account(f"http://127.0.0.1:{deaf_port}", timeout_s=SHORT_S, connections_max=1), "CONNECT_TIMED_OUT"
    )


async def test_a_key_that_cannot_be_a_header_is_not_sent(serve: Serve, account: NewAccount) -> None:
    server = await serve(keeps_answering(an_answer()))
    outcome = await account(server.url, api_key="key\r\nX-Other: 1").submit()

    assert (outcome.kind, outcome.reason) == (OutcomeClass.NOT_SENT, "REQUEST_UNBUILDABLE")
    assert server.connections == 0


async def test_a_call_after_the_end_is_not_sent(serve: Serve, account: NewAccount) -> None:
    server = await serve(keeps_answering(an_answer()))
    ours = account(server.url)
    await ours.submit()
    await ours.wallet.close()

    await assert_not_sent(ours, "SHUT_DOWN")
    assert len(server.requests) == 1


# ---- TLS -----------------------------------------------------------------------------------------------


def server_side(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / certificate)
    return context


def client_side() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(TLS / "authority.pem"))


async def test_a_server_that_proves_its_name_is_asked(serve: Serve, account: NewAccount) -> None:
    server = await serve(keeps_answering(an_answer()), server_side("good.pem"))

    outcome = await account(server.url, ssl_context=client_side()).submit()

    assert outcome.kind is OutcomeClass.ACCEPTED


@pytest.mark.parametrize("certificate", ["other_name.pem", "expired.pem", "self_signed.pem"])
async def test_a_server_that_does_not_prove_its_name_is_sent_nothing(
    serve: Serve, account: NewAccount, certificate: str
) -> None:
    server = await serve(keeps_answering(an_answer()), server_side(certificate))

    await assert_not_sent(account(server.url, ssl_context=client_side()), "TLS_FAILED")
    assert server.requests == []


async def test_the_systems_authorities_are_asked_by_default(serve: Serve, account: NewAccount) -> None:
    server = await serve(keeps_answering(an_answer()), server_side("good.pem"))

    await assert_not_sent(account(server.url), "TLS_FAILED")
    assert server.requests == []


async def test_a_server_that_speaks_no_tls_is_sent_nothing(serve: Serve, account: NewAccount) -> None:
    async def speaks_plainly(peer: Peer) -> None:
        await peer.send(an_answer())
        await peer.gone()

    server = await serve(speaks_plainly)

    await assert_not_sent(account(server.url.replace("http:", "https:")), "TLS_FAILED")


async def test_a_handshake_that_is_reset_is_not_sent(serve: Serve, account: NewAccount) -> None:
    async def resets_the_handshake(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.reset()

    server = await serve(resets_the_handshake)

    await assert_not_sent(account(server.url.replace("http:", "https:")), "CONNECT_FAILED")


async def test_a_handshake_that_never_ends_is_not_sent(serve: Serve, account: NewAccount) -> None:
    async def says_nothing(peer: Peer) -> None:
        await peer.gone()

    server = await serve(says_nothing)

    await assert_not_sent(
        account(server.url.replace("http:", "https:"), timeout_s=SHORT_S), "CONNECT_TIMED_OUT"
    )


# ---- too late ------------------------------------------------------------------------------------------


async def test_a_submit_that_is_late_when_its_connection_is_there_is_not_sent(
    serve: Serve, account: NewAccount
) -> None:
    server = await serve(keeps_answering(an_answer()))
    ours = account(server.url, connections_max=1)
    guard = Guard(late=True)

    outcome = await ours.submit(guard)

    assert (outcome.kind, outcome.reason) == (OutcomeClass.NOT_SENT, "SEND_WINDOW_PASSED")
    assert (guard.asked, server.requests) == (1, [])
    # Its connection went back, or the next one would wait for ever.
    assert (await ours.submit()).kind is OutcomeClass.ACCEPTED


async def test_a_submit_that_gets_an_idle_connection_too_late_is_not_sent(
    serve: Serve, account: NewAccount
) -> None:
    server = await serve(keeps_answering(an_answer()))
    ours = account(server.url, connections_max=1)
    await ours.submit()

    outcome = await ours.submit(Guard(late=True))

    assert outcome.kind is OutcomeClass.NOT_SENT
    assert len(server.requests) == 1


async def test_a_submit_that_waited_too_long_for_a_free_connection_is_not_sent(
    serve: Serve, account: NewAccount
) -> None:
    may_answer = asyncio.Event()

    async def answers_when_told(peer: Peer) -> None:
        while True:
            await peer.request()
            await may_answer.wait()
            await peer.answer()

    server = await serve(answers_when_told)
    ours = account(server.url, connections_max=1)
    guard = Guard()
    first = asyncio.create_task(ours.submit())
    await server.received(1)
    second = asyncio.create_task(ours.submit(guard))
    waiting = asyncio.create_task(ours.poll())
    guard.late = True
    may_answer.set()

    assert (await first).kind is OutcomeClass.ACCEPTED
    assert (await second).reason == "SEND_WINDOW_PASSED"
    assert guard.asked == 1
    await waiting
    assert server.count("POST") == 1


async def test_a_submit_that_never_gets_a_free_connection_is_not_sent(
    serve: Serve, account: NewAccount
) -> None:
    async def never_answers(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    server = await serve(never_answers)
    ours = account(server.url, timeout_s=2 * SHORT_S, connections_max=1)
    first = asyncio.create_task(ours.submit())
    await server.received(1)

    second = await ours.submit()

    assert (second.kind, second.reason) == (OutcomeClass.NOT_SENT, "CONNECT_TIMED_OUT")
    assert (await first).kind is OutcomeClass.UNKNOWN
    assert server.count("POST") == 1


async def test_a_server_that_speaks_before_it_is_asked_is_sent_nothing(
    serve: Serve, account: NewAccount
) -> None:
    async def speaks_first(peer: Peer) -> None:
        await peer.answer(202, b'{"status": "ACCEPTED"}')
        await peer.request()

    # With TLS 1.2 the end of its handshake and its first words come together, before we can have asked.
    tls = server_side("good.pem")
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    server = await serve(speaks_first, tls)

    await assert_not_sent(account(server.url, ssl_context=client_side()), "SPOKE_BEFORE_ASKED")
    assert server.requests == []


# ---- by way of a proxy ---------------------------------------------------------------------------------


async def test_the_proxy_of_the_environment_is_used_and_told_its_password(
    serve: Serve, account: NewAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await serve(keeps_answering(an_answer()))
    monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{proxy.port}")

    outcome = await account("http://provider.invalid").submit()

    assert outcome.kind is OutcomeClass.ACCEPTED
    (request,) = proxy.requests
    assert request.target == "http://provider.invalid/cashouts"
    assert request.headers["proxy-authorization"] == BASIC
    assert request.headers["authorization"] == f"Bearer {API_KEY}"


async def test_hosts_that_the_environment_excepts_are_asked_directly(
    serve: Serve, account: NewAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = await serve(keeps_answering(an_answer())), await serve(keeps_answering(an_answer()))
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    await account(server.url).submit()

    assert (len(proxy.requests), len(server.requests)) == (0, 1)


async def test_a_proxy_that_does_not_connect_us_has_sent_nothing(
    serve: Serve, account: NewAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await serve(answers(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"))
    monkeypatch.setenv("https_proxy", f"http://user:pass@127.0.0.1:{proxy.port}")

    await assert_not_sent(account("https://provider.invalid"), "CONNECT_FAILED")
    assert {request.method for request in proxy.requests} == {"CONNECT"}
    for request in proxy.requests:
        assert request.headers["proxy-authorization"] == BASIC
        assert "authorization" not in request.headers


async def test_a_password_file_of_this_machine_is_not_read(
    serve: Serve, account: NewAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = await serve(keeps_answering(an_answer()))

    assert (await account(server.url).submit()).kind is OutcomeClass.ACCEPTED
    assert isinstance(await account(server.url).call(), Answered)
    assert [request.headers.get("authorization") for request in server.requests] == [
        f"Bearer {API_KEY}",
        None,
    ]
