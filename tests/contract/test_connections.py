"""Pooled connections: what one call leaves behind is never taken for another's, and nothing leaks."""

from __future__ import annotations

import asyncio

import pytest

from nepxy.engine.outcomes import Finding, OutcomeClass
from nepxy.providers.wire import Answered, Lost
from tests.contract.awkward_server import PATIENCE_S, Peer, an_answer, keeps_answering
from tests.contract.support import Guard, NewAccount, Serve

OURS = an_answer(202, b'{"provider_ref": "first"}')
STRAY = an_answer(202, b'{"provider_ref": "stray"}')


async def what_was_sent_has_come() -> None:
    """The loopback delivers within the call that sends; a few turns of the loop, and the client has read it."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_calls_one_after_the_other_share_a_connection(serve: Serve, account: NewAccount) -> None:
    server = await serve(keeps_answering(an_answer()))
    ours = account(server.url)

    for _ in range(3):
        await ours.submit()

    assert (server.connections, len(server.requests)) == (1, 3)


async def test_an_answer_that_comes_unasked_is_never_read_as_the_next_ones(
    serve: Serve, account: NewAccount
) -> None:
    say_it, said = asyncio.Event(), asyncio.Event()

    async def answers_twice(peer: Peer) -> None:
        await peer.request()
        await peer.send(OURS)
        if peer.nth == 1:
            await say_it.wait()
            await peer.send(STRAY)
            said.set()
        await peer.gone()

    server = await serve(answers_twice)
    ours = account(server.url)
    assert (await ours.submit()).provider_ref == "first"
    say_it.set()
    await said.wait()
    await what_was_sent_has_come()

    second = await ours.submit()

    assert (second.kind, second.provider_ref) == (OutcomeClass.ACCEPTED, "first")
    assert (server.connections, server.count("POST")) == (2, 2)


async def test_a_second_answer_in_the_same_breath_is_never_read_as_the_next_ones(
    serve: Serve, account: NewAccount
) -> None:
    async def answers_twice(peer: Peer) -> None:
        await peer.request()
        await peer.send(OURS + STRAY)
        await peer.gone()

    ours = account((await serve(answers_twice)).url)

    assert [(await ours.submit()).provider_ref for _ in range(3)] == ["first"] * 3


async def test_a_connection_that_was_closed_while_idle_is_not_used_again(
    serve: Serve, account: NewAccount
) -> None:
    async def answers_once(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.closed()

    server = await serve(answers_once)
    ours = account(server.url)

    for _ in range(3):
        assert (await ours.submit()).kind is OutcomeClass.ACCEPTED
        await what_was_sent_has_come()

    assert (server.connections, server.count("POST")) == (3, 3)


async def _dies_at_the_second_request(peer: Peer) -> None:
    await peer.request()
    await peer.answer()
    if peer.nth == 1:
        # As if it had closed the idle connection in the moment in which the next request was written.
        await peer.request()
        peer.reset()
    await peer.request()
    await peer.answer()


async def test_a_submit_on_a_connection_that_dies_is_unknown_and_never_written_again(
    serve: Serve, account: NewAccount
) -> None:
    server = await serve(_dies_at_the_second_request)
    ours = account(server.url)
    await ours.submit()

    outcome = await ours.submit()

    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "CONNECTION_LOST")
    assert server.count("POST") == 2


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_not_even_a_method_that_http_calls_idempotent_is_written_again(
    serve: Serve, account: NewAccount, method: str
) -> None:
    server = await serve(_dies_at_the_second_request)
    ours = account(server.url)
    assert isinstance(await ours.call(method, Guard()), Answered)

    result = await ours.call(method, Guard())

    assert isinstance(result, Lost)
    assert (result.reason, server.count(method)) == ("CONNECTION_LOST", 2)


async def test_a_status_read_on_a_connection_that_dies_is_asked_again(
    serve: Serve, account: NewAccount
) -> None:
    server = await serve(_dies_at_the_second_request)
    ours = account(server.url)
    await ours.call("GET")

    assert isinstance(await ours.call("GET"), Answered)
    assert (server.connections, server.count("GET")) == (2, 3)


async def test_a_call_that_is_cancelled_lets_go_of_its_connection(serve: Serve, account: NewAccount) -> None:
    closed = asyncio.Event()

    async def answers_only_the_second(peer: Peer) -> None:
        await peer.request()
        if peer.nth == 1:
            await peer.gone()
            closed.set()
        else:
            await peer.answer()

    server = await serve(answers_only_the_second)
    ours = account(server.url, connections_max=1)
    first = asyncio.create_task(ours.submit())
    await server.received(1)
    first.cancel()

    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(PATIENCE_S):
        await closed.wait()
    assert (await ours.submit()).kind is OutcomeClass.ACCEPTED


async def test_a_call_that_is_cancelled_within_the_answer_lets_go_of_its_connection(
    serve: Serve, account: NewAccount
) -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def stops_within_the_first_answer(peer: Peer) -> None:
        await peer.request()
        if peer.nth == 1:
            await peer.send(an_answer(202, b"{", content_length="100"))
            begun.set()
            await peer.gone()
            closed.set()
        else:
            await peer.answer(200, b'{"status": "SUCCESS"}')

    ours = account((await serve(stops_within_the_first_answer)).url, connections_max=1)
    first = asyncio.create_task(ours.poll())
    await begun.wait()
    await what_was_sent_has_come()
    first.cancel()

    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(PATIENCE_S):
        await closed.wait()
    assert (await ours.poll()).finding is Finding.PAID


async def test_a_call_that_is_cancelled_while_it_waits_for_a_connection_takes_none(
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
    first = asyncio.create_task(ours.submit())
    await server.received(1)
    second = asyncio.create_task(ours.submit())
    await what_was_sent_has_come()
    second.cancel()

    with pytest.raises(asyncio.CancelledError):
        await second
    may_answer.set()
    assert (await first).kind is OutcomeClass.ACCEPTED
    assert (await ours.submit()).kind is OutcomeClass.ACCEPTED
    assert server.count("POST") == 2
