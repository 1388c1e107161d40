import asyncio
from typing import Any

import pytest

from nepxy.sandbox.magic import MAGIC, describe_magic, script_for
from nepxy.sandbox.script import Acts, Script, Status
from tests.sandbox.support import CONNECTION_LOST, PATH, Inbox, Play, Sandbox, a_submit, number

BY_NAME = {script.name: script for script in MAGIC}


def payee(name: str) -> str:
    return number(BY_NAME[name].suffix)


async def test_the_table_has_no_twins_and_keeps_its_promise() -> None:
    assert len(BY_NAME) == len(MAGIC)
    suffixes = [script.suffix for script in MAGIC if script.suffix]
    assert len(set(suffixes)) == len(suffixes)
    assert all(len(suffix) == 4 and "0000" < suffix < "1000" for suffix in suffixes)
    assert all(script.what for script in MAGIC)


async def test_the_table_prints_one_row_a_number() -> None:
    rows = describe_magic()
    assert rows[0] == ("", "success", "202; settles SUCCESS, one webhook")
    assert len(rows) == len(MAGIC)


@pytest.mark.parametrize("prefix", ["+2287000", "+2289399", "+2289112"])
async def test_only_the_last_four_digits_count(prefix: str) -> None:
    assert script_for(prefix + "0101").name == "rejected"
    assert script_for(prefix + "1010").name == "success"


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("rejected", 422, "PAYEE_NOT_ELIGIBLE"),
        ("insufficient_float", 402, "INSUFFICIENT_FLOAT"),
        ("insufficient_float_403", 403, "INSUFFICIENT_FLOAT"),
        ("ip_not_allowed", 403, "IP_NOT_ALLOWED"),
        ("bad_credentials", 401, "UNAUTHORIZED"),
        ("throttled", 429, "TOO_MANY_REQUESTS"),
        ("maintenance", 503, "MAINTENANCE"),
        ("error_500_before_acting", 500, "INTERNAL_ERROR"),
        ("error_500_after_acting", 500, "INTERNAL_ERROR"),
    ],
)
async def test_error_numbers_answer_in_json(sandbox: Sandbox, name: str, status: int, code: str) -> None:
    async with sandbox.client.post(PATH, json=a_submit(msisdn=payee(name)), headers=sandbox.auth) as response:
        assert response.status == status
        assert (await response.json())["error"] == code
        assert ("Retry-After" in response.headers) == (status in (429, 503))


async def outcome(sandbox: Sandbox, script: Script) -> Any:
    """Submits to a script's number, whatever the answer, and returns the reference's account when all is quiet."""
    async with asyncio.TaskGroup() as group:

        async def submit() -> None:
            async with sandbox.client.post(
                PATH, json=a_submit(msisdn=number(script.suffix or "1234")), headers=sandbox.auth
            ) as response:
                await response.read()

        async def swallow_losses() -> None:
            try:
                await submit()
            except CONNECTION_LOST:
                return

        group.create_task(swallow_losses())
    await sandbox.at_rest()
    return await sandbox.control("ledger/ref-1")


@pytest.mark.parametrize("script", MAGIC, ids=[script.name for script in MAGIC])
async def test_money_moves_once_where_the_table_says_so_and_never_elsewhere(
    play: Play, script: Script
) -> None:
    sandbox = await play(hang_s=0.05, late_reply_s=0.05)
    account = await outcome(sandbox, script)
    succeeds = any(step.becomes is Status.SUCCESS for step in script.course)
    assert account["accepted_count"] == (0 if script.acts is Acts.NEVER else 1)
    assert account["moved_count"] == (1 if succeeds and script.acts is not Acts.NEVER else 0)


@pytest.mark.parametrize("name", ["reset_after_acting", "reset_before_acting"])
async def test_a_reset_number_resets_the_connection(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(CONNECTION_LOST):
        await sandbox.submit(msisdn=payee(name))


@pytest.mark.parametrize("name", ["html_502_after_acting", "html_502_before_acting"])
async def test_a_502_is_html(sandbox: Sandbox, name: str) -> None:
    async with sandbox.client.post(PATH, json=a_submit(msisdn=payee(name)), headers=sandbox.auth) as response:
        assert (response.status, response.content_type) == (502, "text/html")


async def test_a_garbage_answer_is_200_and_no_json(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        await sandbox.submit(msisdn=payee("garbage_200_after_acting"))


@pytest.mark.parametrize("name", ["timeout_after_acting", "late_reply"])
async def test_money_moves_though_the_client_gave_up(sandbox: Sandbox, inbox: Inbox, name: str) -> None:
    submit = asyncio.create_task(sandbox.submit(msisdn=payee(name)))
    await inbox.wait_for(1)
    assert not submit.done()
    submit.cancel()
    assert await sandbox.moved() == 1


async def test_a_late_actor_is_unknown_to_look_ups_and_pays_after_the_client_left(
    play: Play, inbox: Inbox
) -> None:
    sandbox = await play(late_reply_s=0.2, provider={"status_lookup_by_our_reference": True})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sandbox.submit(msisdn=payee("acts_late")), 0.05)
    status, _ = await sandbox.status("ref-1")
    assert status == 404
    await inbox.wait_for(1)
    assert await sandbox.moved() == 1


async def test_a_slow_number_is_accepted_in_the_end(sandbox: Sandbox) -> None:
    status, body = await sandbox.submit(msisdn=payee("slow"))
    assert (status, body["status"]) == (202, "ACCEPTED")


async def test_a_number_that_fails_later_says_why(sandbox: Sandbox, inbox: Inbox) -> None:
    _, accepted = await sandbox.submit(msisdn=payee("fails_later"))
    [webhook] = await inbox.wait_for(1)
    _, body = await sandbox.status(accepted["provider_ref"])
    assert body["status"] == "FAILED"
    assert body["message"]
    assert webhook.body == body


async def test_a_stuck_number_stays_pending(sandbox: Sandbox, inbox: Inbox) -> None:
    _, accepted = await sandbox.submit(msisdn=payee("stuck_pending"))
    summary = await sandbox.at_rest()
    assert summary["orders_pending"] == 1
    _, body = await sandbox.status(accepted["provider_ref"])
    assert body["status"] == "PENDING"
    assert inbox.received == []


async def test_a_duplicated_webhook_comes_three_times_the_same(sandbox: Sandbox, inbox: Inbox) -> None:
    await sandbox.submit(msisdn=payee("webhook_duplicated"))
    received = await inbox.wait_for(3)
    assert len({webhook.raw for webhook in received}) == 1
    assert (await sandbox.at_rest())["webhooks"]["sent"] == 3


async def test_a_late_webhook_comes_after_the_status_is_known(play: Play, inbox: Inbox) -> None:
    sandbox = await play(settle_delay_s=0.15)
    await sandbox.submit(msisdn=payee("webhook_late"))

    async def paid() -> bool:
        while not await sandbox.moved():
            await asyncio.sleep(0.005)
        return True

    assert await asyncio.wait_for(paid(), 20)
    assert inbox.received == []
    await inbox.wait_for(1)


async def test_a_missing_webhook_leaves_polling(sandbox: Sandbox, inbox: Inbox) -> None:
    _, accepted = await sandbox.submit(msisdn=payee("webhook_missing"))
    await sandbox.at_rest()
    _, body = await sandbox.status(accepted["provider_ref"])
    assert body["status"] == "SUCCESS"
    assert inbox.received == []


async def test_a_webhook_overtakes_the_answer(sandbox: Sandbox, inbox: Inbox) -> None:
    inbox.gate.clear()
    submit = asyncio.create_task(sandbox.submit(msisdn=payee("webhook_before_reply")))
    while not await sandbox.moved():
        await asyncio.sleep(0.005)
    assert not submit.done()
    inbox.gate.set()
    _, accepted = await submit
    [webhook] = inbox.received
    assert webhook.body["provider_ref"] == accepted["provider_ref"]
    assert webhook.body["status"] == "SUCCESS"


async def test_a_contradiction_leaves_the_status_and_the_money_alone(sandbox: Sandbox, inbox: Inbox) -> None:
    _, accepted = await sandbox.submit(msisdn=payee("success_then_failed"))
    await inbox.wait_for(2)
    assert inbox.statuses == ["SUCCESS", "FAILED"]
    _, body = await sandbox.status(accepted["provider_ref"])
    assert body["status"] == "SUCCESS"
    assert await sandbox.moved() == 1


async def test_a_failure_may_turn_into_a_payment(play: Play, inbox: Inbox) -> None:
    sandbox = await play(settle_delay_s=0.4)
    _, accepted = await sandbox.submit(msisdn=payee("failed_then_success"))
    await inbox.wait_for(1)
    _, body = await sandbox.status(accepted["provider_ref"])
    assert (body["status"], await sandbox.moved()) == ("FAILED", 0)
    await inbox.wait_for(2)
    assert inbox.statuses == ["FAILED", "SUCCESS"]
    assert await sandbox.moved() == 1


async def test_a_forged_webhook_does_not_verify(sandbox: Sandbox, inbox: Inbox) -> None:
    await sandbox.submit(msisdn=payee("webhook_wrong_signature"))
    [webhook] = await inbox.wait_for(1)
    assert webhook.signature is not None
    assert webhook.signature.startswith("sha256=")
    assert not webhook.is_signed_well


async def test_an_unsigned_webhook_has_no_signature(sandbox: Sandbox, inbox: Inbox) -> None:
    await sandbox.submit(msisdn=payee("webhook_unsigned"))
    [webhook] = await inbox.wait_for(1)
    assert webhook.signature is None


async def test_a_statusless_webhook_names_its_order_only(sandbox: Sandbox, inbox: Inbox) -> None:
    _, accepted = await sandbox.submit(msisdn=payee("webhook_without_status"))
    [webhook] = await inbox.wait_for(1)
    assert "status" not in webhook.body
    assert webhook.body["provider_ref"] == accepted["provider_ref"]
    assert webhook.is_signed_well
