import asyncio

import pytest

from nepxy.sandbox.config import DuplicateBehaviour
from tests.sandbox.support import CONNECTION_LOST, Play, Sandbox, number


async def test_a_repeated_reference_pays_again_and_the_ledger_tells(sandbox: Sandbox) -> None:
    _, first = await sandbox.submit()
    _, second = await sandbox.submit()
    assert first["provider_ref"] != second["provider_ref"]

    summary = await sandbox.at_rest()

    assert summary["references_paid_more_than_once"] == 1
    assert summary["paid_more_than_once_examples"] == ["ref-1"]
    account = await sandbox.control("ledger/ref-1")
    assert (account["submit_count"], account["accepted_count"], account["moved_count"]) == (2, 2, 2)
    assert account["amount"] == 2000
    assert sorted(account["provider_refs"]) == sorted([first["provider_ref"], second["provider_ref"]])


async def test_a_repeated_reference_is_rejected(play: Play) -> None:
    sandbox = await play(provider={"duplicate_behaviour": DuplicateBehaviour.REJECTS})
    await sandbox.submit()
    status, body = await sandbox.submit()
    assert (status, body["error"]) == (409, "DUPLICATE_EXTERNAL_ID")
    await sandbox.at_rest()
    assert await sandbox.moved() == 1


async def test_a_repeated_reference_is_replayed(play: Play) -> None:
    sandbox = await play(provider={"duplicate_behaviour": DuplicateBehaviour.REPLAYS})
    first = await sandbox.submit()
    assert await sandbox.submit() == first
    status, body = await sandbox.submit(amount_cents=999)
    assert (status, body["error"]) == (409, "EXTERNAL_ID_REUSED")
    await sandbox.at_rest()
    assert await sandbox.moved() == 1


@pytest.mark.parametrize("behaviour", [DuplicateBehaviour.REJECTS, DuplicateBehaviour.REPLAYS])
async def test_two_submits_at_once_are_not_both_the_first(play: Play, behaviour: DuplicateBehaviour) -> None:
    sandbox = await play(provider={"duplicate_behaviour": behaviour})
    await sandbox.set_faults(delay_s_min=0.0, delay_s_max=0.05)
    await asyncio.gather(*(sandbox.submit() for _ in range(20)))
    await sandbox.at_rest()
    assert await sandbox.moved() == 1


async def test_a_resend_learns_what_the_first_answer_hid(play: Play) -> None:
    sandbox = await play(provider={"duplicate_behaviour": DuplicateBehaviour.REPLAYS})
    with pytest.raises(CONNECTION_LOST):
        await sandbox.submit(msisdn=number("0204"))
    status, _ = await sandbox.submit(msisdn=number("0204"))
    assert status == 202
    await sandbox.at_rest()
    assert await sandbox.moved() == 1


async def test_a_refused_reference_is_not_used_up(play: Play) -> None:
    sandbox = await play(provider={"duplicate_behaviour": DuplicateBehaviour.REJECTS})
    status, _ = await sandbox.submit(msisdn=number("0101"))
    assert status == 422
    status, _ = await sandbox.submit()
    assert status == 202


async def test_the_behaviour_can_be_changed_at_run_time(sandbox: Sandbox) -> None:
    await sandbox.submit()
    await sandbox.set_faults(duplicate_behaviour="rejects")
    status, _ = await sandbox.submit()
    assert status == 409
    await sandbox.set_faults(duplicate_behaviour=None)
    status, _ = await sandbox.submit()
    assert status == 202
