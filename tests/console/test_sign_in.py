"""Signing in and out in a real browser, and what the browser has to say about our pages."""

from __future__ import annotations

import pytest

from tests.console.conftest import Console

pytestmark = pytest.mark.timeout(180)


async def test_an_operator_signs_in_and_out(console: Console) -> None:
    browser = console.browser
    await console.sign_in(secret="a guess")
    await browser.until_text("operator id or secret is wrong", ".refusal")
    await browser.until_text("CLIENT_CREDENTIALS_INVALID", ".refusal")
    await console.keep("sign-in-refused")
    await browser.complaints()  # of the refusal itself, which is meant to be

    await console.signed_in()
    await browser.until_text("Awa Mensah", ".who")
    cookie = await browser.run("return document.cookie")
    assert cookie == ""  # there is one, and no script can read it
    await browser.go(f"{console.town.base}/console#/providers")
    await browser.until_text("Live", ".sign")  # a page that is loaded anew is still signed in

    await (await browser.find("button", "Sign out")).click()
    await browser.find("input[type=password]")
    await console.open("providers")
    await browser.find("input[type=password]")
    assert await browser.complaints() == []


async def test_no_view_breaks_the_policy_or_fails_in_the_browser(console: Console) -> None:
    browser = console.browser
    hostile = "<img src=x onerror=alert(1)>"
    status, _, _ = await console.client.post("hostile", a_payout(external_ref=hostile))
    assert status == 202
    await console.signed_in()
    names = await browser.run("return [...document.querySelectorAll('nav a')].map((one) => one.hash)")
    assert len(names) >= 12
    for name in names:
        await browser.run("location.hash = args[0]", name)
        await browser.until(
            "return document.querySelector('main').children.length && !document.querySelector('main .loading')",
            what=f"{name} is open",
        )
        assert await browser.run("return document.querySelector('main .refusal')?.innerText") is None, name
        await all_is_named(console, name)
    await browser.run("location.hash = '#/payouts'")
    await browser.until_text(hostile, "main")  # as text
    assert await browser.run("return document.querySelectorAll('main img').length") == 0
    assert await browser.complaints() == []


async def all_is_named(console: Console, view: str) -> None:
    """What can be used has a name that a screen reader can say."""
    tree = await console.browser.chrome("Accessibility.getFullAXTree", {})
    nameless = [
        node["role"]["value"]
        for node in tree["nodes"]
        if not node["ignored"]
        and node["role"]["value"]
        in ("button", "link", "textbox", "searchbox", "checkbox", "combobox", "image")
        and not node.get("name", {}).get("value")
    ]
    assert nameless == [], view


def a_payout(**changes: str) -> dict[str, object]:
    return {
        "amount": 1000,
        "currency": "XOF",
        "phone_e164": "+22890001234",
        "country": "TG",
        "external_ref": "salary-1",
        **changes,
    }
