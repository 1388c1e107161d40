import asyncio

import pytest

from nepxy.sandbox.faults import Dice, Faults, bend, draw
from nepxy.sandbox.magic import SUCCESS
from nepxy.sandbox.script import Acts, Reply
from tests.sandbox.support import CONNECTION_LOST, PATH, Inbox, Play, Sandbox, a_submit


async def answers(sandbox: Sandbox, count: int) -> list[int]:
    """The statuses of that many submits; 0 for a lost connection."""

    async def one(n: int) -> int:
        try:
            async with sandbox.client.post(PATH, json=a_submit(f"ref-{n}"), headers=sandbox.auth) as response:
                await response.read()
                return response.status
        except CONNECTION_LOST:
            return 0

    return list(await asyncio.gather(*(one(n) for n in range(count))))


async def test_a_dropped_request_moves_nothing(sandbox: Sandbox) -> None:
    await sandbox.set_faults(drop_before_rate=1.0)
    assert await answers(sandbox, 5) == [0] * 5
    assert (await sandbox.at_rest())["movements"] == 0


async def test_a_dropped_reply_hides_a_movement(sandbox: Sandbox) -> None:
    await sandbox.set_faults(drop_after_rate=1.0)
    assert await answers(sandbox, 5) == [0] * 5
    assert (await sandbox.at_rest())["movements"] == 5


async def test_errors_come_before_or_after_acting(sandbox: Sandbox) -> None:
    await sandbox.set_faults(error_before_rate=1.0)
    assert set(await answers(sandbox, 30)) == {500, 502, 503}
    assert (await sandbox.at_rest())["movements"] == 0
    await sandbox.set_faults(error_before_rate=0.0, error_after_rate=1.0)
    assert set(await answers(sandbox, 30)) == {500, 502, 503}
    assert (await sandbox.at_rest())["movements"] == 30


async def test_the_same_seed_and_references_meet_the_same_fate(play: Play) -> None:
    fates = []
    for seed in (7, 7, 8):
        sandbox = await play(seed=seed)
        await sandbox.set_faults(drop_before_rate=0.3, error_after_rate=0.3)
        fates.append(await answers(sandbox, 60))
    assert fates[0] == fates[1]
    assert fates[0] != fates[2]
    assert {0, 202} < set(fates[0])


async def test_a_resend_gets_another_draw() -> None:
    faults = Faults(drop_before_rate=0.5)
    fates = {bend(SUCCESS, faults, Dice(0, "tmoney", "ref-1", nth)).acts for nth in range(1, 30)}
    assert fates == {Acts.NEVER, Acts.AT_ONCE}


async def test_a_rate_is_about_what_it_says() -> None:
    faults = Faults(drop_after_rate=0.2)
    hit = sum(bend(SUCCESS, faults, Dice(0, f"ref-{n}", 1)).reply is Reply.RESET for n in range(5000))
    assert 850 < hit < 1150
    assert all(0.0 <= draw(seed, "x") < 1.0 for seed in range(1000))


async def test_a_provider_that_is_down_resets_everything_but_the_control_api(sandbox: Sandbox) -> None:
    _, accepted = await sandbox.submit()
    await sandbox.set_faults(down=True)
    with pytest.raises(CONNECTION_LOST):
        await sandbox.submit("ref-2")
    with pytest.raises(CONNECTION_LOST):
        await sandbox.status(accepted["provider_ref"])
    await sandbox.set_faults(down=False)
    status, _ = await sandbox.status(accepted["provider_ref"])
    assert status == 200
    assert (await sandbox.control("summary"))["submits_received"] == 1


async def test_out_of_float_refuses_until_it_is_refilled(sandbox: Sandbox) -> None:
    await sandbox.set_faults(out_of_float=True)
    status, body = await sandbox.submit()
    assert (status, body["error"]) == (402, "INSUFFICIENT_FLOAT")
    await sandbox.set_faults(out_of_float=False)
    status, _ = await sandbox.submit()
    assert status == 202


async def test_every_answer_waits_for_the_delay(sandbox: Sandbox) -> None:
    await sandbox.set_faults(delay_s_min=0.1, delay_s_max=0.1)
    loop = asyncio.get_running_loop()
    for reference in ("ref-1", "ref-2", "ref-3"):
        began = loop.time()
        await sandbox.submit(reference)
        assert loop.time() - began >= 0.09
    began = loop.time()
    await sandbox.status("any")
    assert loop.time() - began >= 0.09


async def test_a_status_read_may_fail(sandbox: Sandbox) -> None:
    _, accepted = await sandbox.submit()
    await sandbox.set_faults(status_error_rate=1.0)
    status, _ = await sandbox.status(accepted["provider_ref"])
    assert status == 500


async def test_webhooks_get_lost_and_duplicated(sandbox: Sandbox, inbox: Inbox) -> None:
    await sandbox.set_faults(lost_webhook_rate=1.0)
    await sandbox.submit("ref-1")
    await sandbox.at_rest()
    assert inbox.received == []
    await sandbox.set_faults(lost_webhook_rate=0.0, duplicate_webhook_rate=1.0)
    await sandbox.submit("ref-2")
    await inbox.wait_for(3)
    assert (await sandbox.at_rest())["movements"] == 2


async def test_knobs_turn_one_by_one_and_reset_together(sandbox: Sandbox) -> None:
    await sandbox.set_faults(drop_after_rate=0.5)
    await sandbox.set_faults(down=True)
    knobs = (await sandbox.control("faults"))["tmoney"]
    assert (knobs["drop_after_rate"], knobs["down"]) == (0.5, True)
    await sandbox.set_faults(reset=True, down=True)
    knobs = (await sandbox.control("faults"))["tmoney"]
    assert (knobs["drop_after_rate"], knobs["down"]) == (0.0, True)


@pytest.mark.parametrize(
    ("path", "raw", "status"),
    [
        ("faults", b'{"down": "yes"}', 422),
        ("faults", b'{"drop_after_rate": 1.5}', 422),
        ("faults", b'{"drop_after_rte": 0.5}', 422),
        ("faults", b'{"delay_s_min": 2.0, "delay_s_max": 1.0}', 422),
        ("faults", b'{"duplicate_behaviour": "pays_twice"}', 422),
        ("faults", b"[]", 400),
        ("faults", b"", 400),
        ("faults?provider=nobody", b"{}", 404),
    ],
)
async def test_a_bad_knob_is_refused_and_changes_nothing(
    sandbox: Sandbox, path: str, raw: bytes, status: int
) -> None:
    before = await sandbox.control("faults")
    async with sandbox.client.post(f"/_sandbox/{path}", data=raw) as response:
        assert response.status == status
        assert "error" in await response.json()
    assert await sandbox.control("faults") == before


async def test_one_provider_can_be_chosen(sandbox: Sandbox) -> None:
    async with sandbox.client.post("/_sandbox/faults?provider=tmoney", json={"down": True}) as response:
        assert (await response.json())["tmoney"]["down"] is True
