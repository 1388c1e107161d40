"""The console without a mouse, on a phone, and in the dark."""

from __future__ import annotations

import pytest

from tests.console.conftest import OPERATOR_ID, SECRET, Console
from tests.journey.harness import a_body

pytestmark = pytest.mark.timeout(240)

VIEWS = ("overview", "review", "payouts", "providers", "actors", "engine", "bulk", "audit")


async def until_focused(console: Console, words: str, key: str = "TAB", presses_max: int = 60) -> None:
    """Press a key until what has the focus is called so, and can be seen to have it."""
    for _ in range(presses_max):
        if words in await console.browser.active():
            style = "return getComputedStyle(document.activeElement).outlineStyle"
            assert await console.browser.run(style) != "none"
            return
        await console.browser.press(key)
    raise AssertionError(f"the focus never came to {words!r}; it is at {await console.browser.active()!r}")


async def test_a_provider_is_paused_by_the_keyboard_alone(console: Console) -> None:
    browser = console.browser
    await console.open()
    await browser.find("input[type=password]")
    assert await browser.active() == "INPUT Operator id"  # nobody has to look for it
    await browser.type(OPERATOR_ID)
    await browser.press("TAB")
    await browser.type(SECRET)
    await browser.press("ENTER")
    await browser.until_text("Live", ".sign")

    await browser.press("?")
    await browser.until_text("Keyboard shortcuts", "dialog")
    await browser.press("ESCAPE")
    await browser.until("return !document.querySelector('dialog')", what="it is closed")
    await browser.press("/")
    assert "Search" in await browser.active()
    await browser.press("TAB")
    await browser.press("g", "p")
    await browser.find("section[aria-label=TMONEY]")
    await until_focused(console, "Pause: TMONEY")
    await browser.press("ENTER")
    await browser.until_text("Stops new submits", "dialog")
    assert "Reason" in await browser.active()
    await browser.type("no mouse here")
    await until_focused(console, "Pause", presses_max=4)
    await browser.press("ENTER")
    await browser.until_text("Next:", "dialog .told")
    assert await browser.active() == "BUTTON Done"
    await browser.press("ENTER")
    await browser.until_text("no mouse here", "section[aria-label=TMONEY]")


async def test_rows_are_walked_by_letters_and_the_tree_by_arrows(console: Console) -> None:
    browser = console.browser
    for number in (1, 2, 3):
        await console.client.post(f"key-{number}", a_body(number))
    await console.signed_in()
    await browser.press("g", "l")
    await browser.until("return document.querySelectorAll('tbody tr').length === 3", what="three rows")
    focused = "return document.activeElement.closest('tr')?.rowIndex"
    await browser.press("j")
    assert await browser.run(focused) == 1
    await browser.press("j", "j", "j")
    assert await browser.run(focused) == 3
    await browser.press("k")
    assert await browser.run(focused) == 2
    await browser.press("ENTER")
    await browser.until_text("What you can do", "main")
    await browser.press("g", "a")
    await browser.until("return document.querySelector('tr[aria-expanded=true]')", what="the tree")
    await browser.run("document.querySelector('tr[aria-expanded=true]').focus()")
    rows = "return document.querySelectorAll('tbody tr').length"
    all_of_them = await browser.run(rows)
    await browser.press("LEFT")
    assert await browser.run(rows) < all_of_them
    await browser.press("RIGHT")
    assert await browser.run(rows) == all_of_them


@pytest.mark.parametrize(("name", "width", "height"), [("phone", 360, 740), ("desk", 1280, 860)])
async def test_every_view_fits_a_phone_and_a_desk_in_the_light_and_in_the_dark(
    console: Console, name: str, width: int, height: int
) -> None:
    browser = console.browser
    await console.client.post("key-1", a_body(1, suffix="0503"))
    await console.signed_in()
    await browser.resize(width, height)
    papers = set()
    for scheme in ("light", "dark"):
        await browser.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        papers.add(await browser.run("return getComputedStyle(document.body).backgroundColor"))
        for view in VIEWS:
            await browser.run("location.hash = args[0]", f"#/{view}")
            await browser.until(
                "return document.querySelector('nav a[aria-current=page]')?.hash === args[0]"
                " && document.querySelector('main').children.length && !document.querySelector('main .loading')",
                f"#/{view}",
                what=f"{view} is open",
            )
            too_wide = "return document.documentElement.scrollWidth - innerWidth"
            assert await browser.run(too_wide) <= 0, (view, scheme)
            await console.keep(f"{name}-{scheme}-{view}")
    assert len(papers) == 2
    moving = "return document.getAnimations().filter((one) => one.playState === 'running').length"
    assert await browser.run(moving) == 0  # as this person asked


async def test_on_a_phone_the_menu_unfolds_and_folds(console: Console) -> None:
    browser = console.browser
    await console.signed_in()
    await browser.resize(360, 740)
    menu = await browser.find("button.menu")
    assert not await browser.run("return document.querySelector('nav').checkVisibility()")
    await menu.click()
    await console.keep("phone-menu")
    await (await browser.find("nav a", "Payouts")).click()
    await browser.until_text("Filter", "main")
    assert not await browser.run("return document.querySelector('nav').checkVisibility()")
