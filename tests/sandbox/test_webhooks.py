import asyncio

from tests.sandbox.support import ORDINARY, Inbox, Play, Sandbox, a_config


async def test_a_webhook_is_signed_over_its_raw_bytes(sandbox: Sandbox, inbox: Inbox) -> None:
    _, accepted = await sandbox.submit()
    [webhook] = await inbox.wait_for(1)
    assert webhook.is_signed_well
    assert webhook.body == {
        "status": "SUCCESS",
        "provider_ref": accepted["provider_ref"],
        "external_id": "ref-1",
        "amount_cents": 1000,
        "currency": "XOF",
        "msisdn": ORDINARY,
    }


async def test_a_webhook_is_sent_again_until_it_is_acknowledged(sandbox: Sandbox, inbox: Inbox) -> None:
    inbox.answers = [500, 302, 401]
    await sandbox.submit()
    received = await inbox.wait_for(4)
    assert len({webhook.raw for webhook in received}) == 1
    webhooks = (await sandbox.at_rest())["webhooks"]
    assert webhooks == {"sent": 1, "tries": 4, "acked": 1, "failed": 0, "outstanding": 0}


async def test_a_webhook_is_given_up_after_its_tries(play: Play, inbox: Inbox) -> None:
    sandbox = await play(webhook_tries_max=3)
    inbox.answers = [500] * 10
    await sandbox.submit()
    await inbox.wait_for(3)
    webhooks = (await sandbox.at_rest())["webhooks"]
    assert webhooks == {"sent": 1, "tries": 3, "acked": 0, "failed": 1, "outstanding": 0}
    assert await sandbox.moved() == 1


async def test_an_endpoint_that_is_away_gets_its_webhook_later(play: Play, inbox: Inbox) -> None:
    port = inbox.server.port
    sandbox = await play()
    await inbox.server.close()
    await sandbox.submit()
    while (await sandbox.control("summary"))["webhooks"]["tries"] < 2:
        await asyncio.sleep(0.005)
    back = Inbox(port)
    await back.server.start_server()
    await back.wait_for(1)
    await back.server.close()


async def test_a_slow_endpoint_does_not_hold_up_more_than_the_bound(play: Play, inbox: Inbox) -> None:
    sandbox = await play(webhook_concurrency_max=2, settle_delay_s=0.0)
    inbox.gate.clear()
    for n in range(10):
        await sandbox.submit(f"ref-{n}")
    while (await sandbox.control("summary"))["webhooks"]["sent"] < 10:
        await asyncio.sleep(0.005)
    assert (await sandbox.control("summary"))["webhooks"]["tries"] <= 2
    inbox.gate.set()
    await inbox.wait_for(10)


async def test_a_full_backlog_drops_and_counts(play: Play, inbox: Inbox) -> None:
    sandbox = await play(webhook_backlog_max=1, settle_delay_s=0.0)
    inbox.gate.clear()
    for n in range(3):
        await sandbox.submit(f"ref-{n}")
    while (await sandbox.control("summary"))["webhooks"]["sent"] < 3:
        await asyncio.sleep(0.005)
    assert (await sandbox.control("summary"))["webhooks"]["failed"] == 2
    inbox.gate.set()
    await inbox.wait_for(1)


async def test_no_webhook_url_means_polling_only() -> None:
    async with Sandbox(a_config(None)) as sandbox:
        _, accepted = await sandbox.submit()
        summary = await sandbox.at_rest()
        assert summary["webhooks"]["sent"] == 0
        _, body = await sandbox.status(accepted["provider_ref"])
        assert body["status"] == "SUCCESS"
