"""What is told to the engine stays told, whoever goes away meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from nepxy.actors.messages import DescribeEngine
from nepxy.actors.messages import WebhookRefused as KeepRefused
from nepxy.engine.runtime import stop_and_wait
from nepxy.errors import Draining, EngineTimeout
from nepxy.http.asking import Engine
from nepxy.storage.writes import WebhookRow
from tests.http.support import SILENCE, StandIn, a_runtime

ROW = WebhookRow(
    webhook_id="01936000-0000-7000-8000-0000000000ff",
    provider="TMONEY",
    signature_valid=False,
    signed_with=None,
    provider_ref=None,
    our_ref=None,
    external_ref=None,
    status_word=None,
    headers="{}",
    body="",
    body_sha256="",
    request_id=None,
)


async def test_a_cancelled_handler_leaves_its_message_on_the_way_and_the_log_says_how_it_ended() -> None:
    lines = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, lines])
    told: asyncio.Event = asyncio.Event()

    def later(message: Any) -> object:
        told.set()
        return SILENCE

    ref = StandIn.start(runtime=a_runtime(), answer=later)
    engine = Engine(ref, timeout_s=30)
    with structlog.contextvars.bound_contextvars(request_id="from-outside"):
        handler = asyncio.create_task(engine.ask(KeepRefused(webhook=ROW, reason="x")))
    await told.wait()
    handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler
    (message,) = ref._living_actor().seen
    message.reply_to.tell("stored")
    await engine.settle(5)
    (line,) = lines.entries
    assert (line["event"], line["answer"], line["request_id"]) == ("request.outlived", "str", "from-outside")
    structlog.reset_defaults()
    ref.stop(block=False)


async def test_nobody_hears_of_an_answer_that_is_too_late_but_the_log() -> None:
    lines = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, lines])
    ref = StandIn.start(runtime=a_runtime(), answer=lambda message: SILENCE)
    engine = Engine(ref, timeout_s=0.05)
    handler = asyncio.create_task(engine.ask(KeepRefused(webhook=ROW, reason="x")))
    while not ref._living_actor().seen:
        await asyncio.sleep(0)
    handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler
    await engine.settle(5)
    (line,) = lines.entries
    assert (line["event"], line["answer"], line["error"]) == (
        "request.outlived",
        None,
        str(EngineTimeout(0.05)),
    )
    structlog.reset_defaults()
    ref.stop(block=False)


async def test_who_asks_hears_of_silence_and_of_an_engine_that_has_ended() -> None:
    ref = StandIn.start(runtime=a_runtime(), answer=lambda message: SILENCE)
    engine = Engine(ref, timeout_s=0.01)
    with pytest.raises(EngineTimeout):
        await engine.ask(KeepRefused(webhook=ROW, reason="x"))
    await stop_and_wait(ref, timeout_s=5)
    for message in (KeepRefused(webhook=ROW, reason="x"), DescribeEngine()):
        with pytest.raises(Draining):
            await engine.ask(message)
    await engine.settle(0)


async def test_a_stop_does_not_wait_for_answers_for_ever() -> None:
    ref = StandIn.start(runtime=a_runtime(), answer=lambda message: SILENCE)
    engine = Engine(ref, timeout_s=3600)
    waiting = asyncio.create_task(engine.ask(KeepRefused(webhook=ROW, reason="x")))
    while not ref._living_actor().seen:
        await asyncio.sleep(0)
    await engine.settle(0.01)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await engine.ask(DescribeEngine())).shards_held == 256
    ref.stop(block=False)
