"""An operator at work: a stuck payout is seen and retried, a provider paused, and all of it is watched live."""

from __future__ import annotations

import signal

import pytest

from tests.console.conftest import Console
from tests.journey.harness import a_body

pytestmark = pytest.mark.timeout(240)

NO_WEBHOOK = "0503"
"""Paid by the sandbox, which sends no webhook: the payout stays SENT until somebody asks."""


async def posted(console: Console, number: int, suffix: str = "1234") -> str:
    status, body, headers = await console.client.post(f"key-{number}", a_body(number, suffix=suffix))
    assert status == 202, body
    return headers["Location"].rsplit("/", 1)[1]


async def test_a_stuck_payout_is_seen_explained_and_retried(console: Console) -> None:
    browser = console.browser
    stuck = await posted(console, 1, NO_WEBHOOK)
    await console.client.until(stuck, "SENT")
    await console.signed_in()

    await browser.run("location.hash = '#/review?stuck_s=1'")
    await browser.until("return document.querySelector(`a[title='${args[0]}']`)", stuck, what="it is stuck")
    await console.keep("stuck")
    await (await browser.find(f"a[title='{stuck}']")).click()
    await browser.until_text("SENT", ".payout-head")
    await browser.until_text("Next:", "main")
    await console.keep("payout")

    await (await browser.find(".offers button", "Retry")).click()
    await (await browser.find("dialog button.primary", "Retry")).click()
    assert await browser.run("return document.querySelector('dialog textarea').validity.valueMissing")
    await console.confirm("Retry", "no webhook came")
    told = await console.done()
    assert "Next:" in told
    await browser.until_text("CONFIRMED", ".payout-head")
    await browser.until_text("RETRY_ASKED", ".timeline")
    await console.keep("payout-retried")

    await browser.run("location.hash = '#/audit'")
    await browser.until_text("no webhook came", "main")
    await browser.until_text("awa", "main")
    assert await browser.complaints() == []


async def test_a_provider_is_paused_and_resumed_and_the_page_follows_by_itself(console: Console) -> None:
    browser = console.browser
    await console.signed_in()
    await browser.run("location.hash = '#/providers'")
    await (await browser.find("section[aria-label=TMONEY] button", "Pause: ")).click()
    await console.confirm("Pause", "maintenance of theirs")
    await console.done()
    await browser.until_text("paused", "section[aria-label=TMONEY] .badges")
    await browser.until_text("maintenance of theirs", "section[aria-label=TMONEY]")
    await console.keep("provider-paused")
    waiting = await posted(console, 2)
    await console.client.until(waiting, "PENDING")

    await browser.run("location.hash = '#/overview'")
    await browser.until_text("pending", "main table")
    await (await browser.find("nav a", "Providers")).click()
    await (await browser.find("section[aria-label=TMONEY] button", "Resume: ")).click()
    await console.confirm("Resume", "they are back")
    await console.done()
    await browser.until_text("open for payouts", "section[aria-label=TMONEY] .badges")
    await console.client.until(waiting, "CONFIRMED")
    await browser.run("location.hash = '#/overview'")
    moved = await posted(console, 3)
    await browser.until(
        "return document.querySelector(`.moves a[title='${args[0]}']`)", moved, what="it moved"
    )
    # The engine counts every half minute.
    await browser.until("return document.querySelector('svg.plot .series')", what="a plot", wait_s=60)
    await console.keep("overview-live")
    assert await browser.complaints() == []


async def test_the_page_says_when_what_it_shows_is_old_and_goes_on_by_itself(console: Console) -> None:
    browser = console.browser
    await console.signed_in()
    console.town.signal_engine(signal.SIGSTOP)
    await browser.until_text("Stale", ".sign", wait_s=30)
    await browser.until_text("figures may be old", ".banner")
    console.town.signal_engine(signal.SIGCONT)
    await browser.until_text("Live", ".sign", wait_s=30)
    await browser.until("return document.querySelector('.banner').hidden", what="no banner")


async def test_a_payout_is_found_by_number_reference_and_id(console: Console) -> None:
    browser = console.browser
    made = await posted(console, 7)
    await console.signed_in()
    for text in ("+22890071234", "1234", "salary-7"):
        box = await browser.find("#search")
        await box.click()
        await box.type(text + "\ue007")
        await browser.until("return document.querySelector(`main a[title='${args[0]}']`)", made, what=text)
        assert "90071234" not in await browser.run(
            "return document.querySelector('main').innerText + location.href"
        )
        await browser.run("document.getElementById('search').value = ''; location.hash = '#/engine'")
        await browser.until_text("This node", "main")
    await (await browser.find("#search")).type(made + "\ue007")
    await browser.until_text(made, ".payout-head")


async def test_who_may_only_look_has_no_buttons_that_work(console: Console) -> None:
    browser = console.browser
    await console.sign_in("kofi", "kofi's long secret")
    await browser.until_text("Live", ".sign")
    await browser.run("location.hash = '#/providers'")
    await browser.find("section[aria-label=TMONEY] button", "Pause: ")
    enabled = (
        "return [...document.querySelectorAll('.controls button')].filter((one) => !one.disabled).length"
    )
    assert await browser.run(enabled) == 0


async def test_many_are_asked_about_at_once_after_a_dry_run(console: Console) -> None:
    browser = console.browser
    stuck = [await posted(console, number, NO_WEBHOOK) for number in range(1, 4)]
    for one in stuck:
        await console.client.until(one, "SENT")
    await console.signed_in()
    await browser.run("location.hash = '#/bulk?status=SENT'")
    await (await browser.find("select")).type("Ask now")
    await (await browser.find("button", "Dry run")).click()
    await browser.until_text("3 payouts, 3\u00a0006\u00a0XOF", "section[aria-labelledby=card-dry-run]")
    for one in stuck:
        await console.client.until(one, "SENT")  # as it says: nothing has been done
    await console.keep("bulk-dry-run")
    await (await browser.find("button", "Ask now: many")).click()
    await console.confirm("Do it to 3", "their webhooks were lost")
    await console.done()
    for one in stuck:
        await console.client.until(one, "CONFIRMED")
    await browser.until_text("3 of 3", "main")
    await browser.until_text("done", "main .badge")
    await console.keep("bulk-run")
    assert await browser.complaints() == []


async def test_a_final_word_needs_a_second_person_who_is_another_one(console: Console) -> None:
    browser = console.browser
    paid = await posted(console, 1)
    await console.client.until(paid, "CONFIRMED")
    await console.signed_in()
    await browser.run("location.hash = args[0]", f"#/payout/{paid}")
    await (await browser.find(".offers button", "Fail")).click()
    await (await browser.find("dialog input[type=checkbox]")).click()
    await console.confirm("Fail", "their statement has it reversed")
    await browser.until_text("See the proposals", "dialog .told")
    await console.done()

    await browser.run("location.hash = '#/proposals'")
    await browser.until_text("their statement has it reversed", "blockquote")
    await browser.until_text("somebody else must approve", "main")
    await console.keep("proposal-of-mine")
    await (await browser.find("nav ~ .who button", "Sign out")).click()
    await console.sign_in("esi", "esi's long secret")
    await browser.until_text("Live", ".sign")
    await browser.run("location.hash = '#/proposals'")
    await (await browser.find("button", "Approve")).click()
    await console.confirm("Approve", "I see the same in their portal")
    await console.done()
    await console.client.until(paid, "FAILED")
    await browser.until_text("No command waits", "main")
    await browser.run("location.hash = '#/audit'")
    await browser.until_text("awa with esi", "main")
    assert await browser.complaints() == []
