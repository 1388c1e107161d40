import asyncio
import json
from pathlib import Path

import pytest

from nepxy.sandbox.config import DuplicateBehaviour
from nepxy.sandbox.history import History
from nepxy.sandbox.server import serve
from tests.sandbox.support import CONNECTION_LOST, Inbox, Sandbox, a_config, number


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.jsonl"


async def test_movements_and_statuses_survive_a_restart(path: Path) -> None:
    async with Sandbox(a_config(None, ledger_path=path)) as sandbox:
        _, accepted = await sandbox.submit()
        _, failed = await sandbox.submit("ref-2", msisdn=number("0401"))
        await sandbox.at_rest()
        before = await sandbox.control("ledger")
    async with Sandbox(a_config(None, ledger_path=path)) as sandbox:
        after = await sandbox.control("ledger")
        assert after["entries"] == before["entries"]
        assert after["totals"]["ref-1"]["moved_count"] == 1
        _, body = await sandbox.status(accepted["provider_ref"])
        assert body["status"] == "SUCCESS"
        _, body = await sandbox.status(failed["provider_ref"])
        assert body["status"] == "FAILED"


async def test_what_was_pending_settles_after_the_restart(path: Path, inbox: Inbox) -> None:
    async with Sandbox(a_config(inbox.url, ledger_path=path, settle_delay_s=3600.0)) as sandbox:
        _, accepted = await sandbox.submit()
        assert await sandbox.moved() == 0
    async with Sandbox(a_config(inbox.url, ledger_path=path)) as sandbox:
        [webhook] = await inbox.wait_for(1)
        assert webhook.body["provider_ref"] == accepted["provider_ref"]
        assert await sandbox.moved() == 1
    async with Sandbox(a_config(inbox.url, ledger_path=path)) as sandbox:
        summary = await sandbox.at_rest()
        assert (summary["movements"], summary["webhooks"]["sent"]) == (1, 0)


async def test_a_late_webhook_is_not_forgotten(path: Path, inbox: Inbox) -> None:
    async with Sandbox(a_config(inbox.url, ledger_path=path, settle_delay_s=0.2)) as sandbox:
        await sandbox.submit(msisdn=number("0502"))
        while not await sandbox.moved():
            await asyncio.sleep(0.005)
    assert inbox.received == []
    async with Sandbox(a_config(inbox.url, ledger_path=path, settle_delay_s=0.2)) as sandbox:
        await inbox.wait_for(1)
        assert await sandbox.moved() == 1


@pytest.mark.parametrize(
    ("behaviour", "status", "moved"),
    [(DuplicateBehaviour.PAYS_AGAIN, 202, 2), (DuplicateBehaviour.REJECTS, 409, 1)],
)
async def test_a_repeated_reference_is_known_after_the_restart(
    path: Path, behaviour: DuplicateBehaviour, status: int, moved: int
) -> None:
    provider = {"duplicate_behaviour": behaviour}
    async with Sandbox(a_config(None, provider, ledger_path=path)) as sandbox:
        await sandbox.submit()
        await sandbox.at_rest()
    async with Sandbox(a_config(None, provider, ledger_path=path)) as sandbox:
        answer, _ = await sandbox.submit()
        assert answer == status
        summary = await sandbox.at_rest()
        assert await sandbox.moved() == moved
        assert summary["references_paid_more_than_once"] == moved - 1


async def test_a_reset_is_remembered_too(path: Path) -> None:
    async with Sandbox(a_config(None, ledger_path=path)) as sandbox:
        await sandbox.submit()
        await sandbox.at_rest()
        async with sandbox.client.delete("/_sandbox/ledger"):
            pass
    async with Sandbox(a_config(None, ledger_path=path)) as sandbox:
        assert (await sandbox.control("ledger"))["entries"] == []


async def test_a_torn_last_line_is_cut_off(path: Path) -> None:
    async with Sandbox(a_config(None, ledger_path=path)) as sandbox:
        await sandbox.submit()
        await sandbox.at_rest()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind":"moved","prov')
    async with Sandbox(a_config(None, ledger_path=path)) as sandbox:
        assert await sandbox.moved() == 1
        await sandbox.submit("ref-2")
        await sandbox.at_rest()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["kind"] for line in lines] == ["accepted", "moved"] * 2


async def test_a_spoilt_file_refuses_the_start(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not json\n{}\n")
    with pytest.raises(RuntimeError, match="line 1"):
        await serve(a_config(None, ledger_path=path), port=0)


async def test_two_sandboxes_cannot_share_a_file(path: Path) -> None:
    async with Sandbox(a_config(None, ledger_path=path)):
        with pytest.raises(RuntimeError, match="another sandbox"):
            await serve(a_config(None, ledger_path=path), port=0)


async def test_a_write_that_fails_leaves_a_readable_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(path)
    assert list(history.open()) == []
    history.append({"kind": "one"})
    with monkeypatch.context() as disk_full:
        disk_full.setattr("nepxy.sandbox.history.os.write", _half_written)
        with pytest.raises(OSError, match="disk full"):
            history.append({"kind": "two"})
    history.append({"kind": "three"})
    history.close()
    assert list(History(path).open()) == [{"kind": "one"}, {"kind": "three"}]


def _half_written(file: int, line: bytes) -> int:
    with open(file, "ab", buffering=0, closefd=False) as raw:
        return raw.write(line[: len(line) // 2]) or 0


async def test_a_request_that_is_kept_waiting_is_not_acted_on_by_the_stop(path: Path) -> None:
    async with Sandbox(a_config(None, ledger_path=path, late_reply_s=3600.0)) as sandbox:
        submit = asyncio.create_task(sandbox.submit(msisdn=number("0208")))
        while not (await sandbox.control("summary"))["submits_received"]:
            await asyncio.sleep(0.005)
    with pytest.raises(CONNECTION_LOST):
        await submit
    assert path.read_bytes() == b""
