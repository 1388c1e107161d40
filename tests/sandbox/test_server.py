import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from nepxy.sandbox.config import ProviderConfig, SandboxConfig
from nepxy.sandbox.server import main, serve
from tests.sandbox.support import API_KEY, CONNECTION_LOST, PATH, PATIENCE_S, a_config, a_submit, number


async def a_port(ready: "asyncio.Queue[int]") -> int:
    return await asyncio.wait_for(ready.get(), PATIENCE_S)


async def test_port_0_picks_a_free_one_and_cancellation_stops() -> None:
    ready: asyncio.Queue[int] = asyncio.Queue()
    server = asyncio.create_task(serve(a_config(None), host="127.0.0.1", port=0, ready=ready.put_nowait))
    port = await a_port(ready)
    assert port > 0
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/_sandbox/summary") as answer,
    ):
        assert answer.status == 200
    server.cancel()
    with pytest.raises(asyncio.CancelledError):
        await server
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_stop_does_not_wait_for_an_answer_that_never_comes() -> None:
    ready: asyncio.Queue[int] = asyncio.Queue()
    server = asyncio.create_task(
        serve(a_config(None, hang_s=3600.0), host="127.0.0.1", port=0, ready=ready.put_nowait)
    )
    url = f"http://127.0.0.1:{await a_port(ready)}"
    async with aiohttp.ClientSession() as session:

        async def submit() -> None:
            headers = {"Authorization": f"Bearer {API_KEY}"}
            async with session.post(url + PATH, json=a_submit(msisdn=number("0202")), headers=headers):
                pytest.fail("the number never answers")

        hanging = asyncio.create_task(submit())
        accepted = 0
        while not accepted:
            async with session.get(url + "/_sandbox/summary") as answer:
                accepted = (await answer.json())["orders_accepted"]
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(server, 3.0)
        with pytest.raises(CONNECTION_LOST):
            await hanging


async def test_handlers_of_signals_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    ready: asyncio.Queue[int] = asyncio.Queue()
    server = asyncio.create_task(serve(a_config(None), port=0, ready=ready.put_nowait, ignore_sigint=True))
    await a_port(ready)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(server, PATIENCE_S)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def a_process(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "nepxy.sandbox.server",
        "--port",
        "0",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
    return process, line.removeprefix("sandbox: ").strip()


@pytest.mark.parametrize("number_", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_stops_cleanly(number_: signal.Signals) -> None:
    process, _ = await a_process()
    process.send_signal(number_)
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0


async def test_an_accepted_order_outlives_a_killed_process(tmp_path: Path) -> None:
    arguments = ("--ledger-path", str(tmp_path / "ledger.jsonl"), "--tmoney-api-key", API_KEY)
    headers = {"Authorization": f"Bearer {API_KEY}"}
    process, url = await a_process(*arguments, "--settle-delay-s", "3600")
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(url, json=a_submit()) as answer:
            provider_ref = (await answer.json())["provider_ref"]
        process.kill()
        await process.wait()
        process, url = await a_process(*arguments, "--settle-delay-s", "0")
        status = ""
        while status != "SUCCESS":
            async with session.get(f"{url}/{provider_ref}") as answer:
                assert answer.status == 200
                status = (await answer.json())["status"]
    process.terminate()
    assert await process.wait() == 0


async def test_a_config_file_has_every_accounts_fields(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sandbox.json"
    file.write_text(json.dumps({"momo": {"currency": "XOF", "token_life_s": 2}, "settle_delay_s": 0.1}))
    process, url = await a_process("--config", str(file))
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/nowhere") as answer:
            assert answer.status == 401  # TMONEY's, whose account is as by default
    finally:
        process.terminate()
        await process.wait()
    for wrong in ({"momo": {"currency": ""}}, {"momo": {"balanse": 1}}, {"settle_delay_s": "soon"}):
        file.write_text(json.dumps(wrong))
        assert main(["--config", str(file)]) == 1
        assert "cannot run" in capsys.readouterr().err


async def test_the_magic_table_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--magic"]) == 0
    assert "0402   stuck_pending" in capsys.readouterr().out


@pytest.mark.parametrize(
    "bad",
    [
        {"api_key": ""},
        {"webhook_url": "http://x/y"},
        {"webhook_url": "ftp://x", "webhook_secret": "s"},
        {"webhook_url": "/v1/webhooks/tmoney", "webhook_secret": "s"},
        {"auth_mode": "basic"},
        {"duplicate_behaviour": "pays_twice"},
    ],
)
def test_a_bad_account_is_refused(bad: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ProviderConfig(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad", [{"settle_delay_s": -1.0}, {"webhook_concurrency_max": 0}, {"webhook_tries_max": 0}]
)
def test_a_bad_config_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must"):
        SandboxConfig(**bad)  # type: ignore[arg-type]


def test_a_taken_port_is_an_error_that_one_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    async def on_a_taken_port() -> int:
        listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            return await asyncio.to_thread(main, ["--port", str(port)])

    assert asyncio.run(on_a_taken_port()) == 1
    assert "cannot run" in capsys.readouterr().err
