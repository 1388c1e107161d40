"""The console's own small modules, in the browser that runs them: money and times as they are written, and patches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from nepxy.engine.money import EXPONENTS
from tests.console.webdriver import Browser, Driver
from tests.http.conftest import Paper, start_paper

__all__ = ["start_paper"]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def page(start_paper: Any) -> AsyncIterator[Browser]:
    """The console before anybody has signed in."""
    paper: Paper = await start_paper()
    async with Driver() as driver, driver.window() as browser:
        await browser.go(str(paper.client.make_url("/console")))
        await browser.find("input[type=password]")
        yield browser


async def test_figures_money_and_times_are_written_for_people(page: Browser) -> None:
    async def written(call: str, *args: Any) -> str:
        script = (
            f"const m = await import('/console/files/format.js'); m.useMinorDigits(args[0]); return m.{call}"
        )
        return str(await page.run(script, dict(EXPONENTS), *args)).replace("\u00a0", " ")

    for amount, currency, text in [
        (0, "XOF", "0 XOF"),
        (1000, "XOF", "1 000 XOF"),
        (12_345_678, "XOF", "12 345 678 XOF"),
        (5, "GHS", "0.05 GHS"),
        (100, "GHS", "1.00 GHS"),
        (123_456_789, "GHS", "1 234 567.89 GHS"),
        (-50, "GHS", "−0.50 GHS"),
        (1, "KWD", "0.001 KWD"),
        (2**53 - 1, "XOF", "9 007 199 254 740 991 XOF"),
        (100, "ZZZ", "100 minor units ZZZ"),
        (None, "XOF", "–"),
    ]:
        assert await written("money(args[1], args[2])", amount, currency) == text
    for share, text in [(1, "100 %"), (0.9996, "99.9 %"), (0, "0 %"), (0.0004, "0.0 %"), (None, "–")]:
        assert await written("share(args[1])", share) == text
    for seconds, text in [
        (0.24, "240 ms"),
        (9.96, "10.0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (93, "1 min 33 s"),
        (3600, "1 h"),
        (8000, "2 h 13 min"),
        (90_000, "1 d 1 h"),
    ]:
        assert await written("duration(args[1])", seconds) == text


async def test_a_patch_keeps_what_a_person_has_in_hand(page: Browser) -> None:
    kept = await page.run(
        """
        const { h, patch } = await import('/console/files/dom.js');
        const place = document.body.appendChild(h('div', {}));
        const pressed = [];
        const button = (text) => h('button', { type: 'button', onclick: () => pressed.push(text) }, text);
        const show = (rows) => patch(place,
          h('ul', {}, rows.map((row) => h('li', { 'data-key': row.id }, button(row.text)))),
          h('details', {}, h('summary', {}, 'more')));
        show([{ id: 1, text: 'one' }, { id: 2, text: 'two' }]);
        const second = place.querySelectorAll('button')[1];
        second.focus();
        place.querySelector('details').open = true;
        show([{ id: 0, text: 'zero' }, { id: 2, text: 'changed' }, { id: 3, text: 'three' }]);
        document.activeElement.click();
        show([{ id: 3, text: 'three' }, { id: 0, text: 'zero' }, { id: 2, text: 'last' }]);
        document.activeElement.click();
        const words = place.querySelector('ul').innerText.split(/\\s+/).join(' ');
        return [words, document.activeElement === second, pressed, place.querySelector('details').open];
        """
    )
    assert kept == ["three zero last", True, ["changed", "last"], True]


async def test_text_is_never_markup(page: Browser) -> None:
    made = await page.run(
        """
        const { h } = await import('/console/files/dom.js');
        const node = h('p', { title: '"><img>' }, '<img src=x>', ['<b>', null, false, 0]);
        return [node.children.length, node.textContent, node.title];
        """
    )
    assert made == [0, "<img src=x><b>0", '"><img>']


async def test_a_phone_number_that_is_searched_for_stays_out_of_the_address(page: Browser) -> None:
    address = await page.run(
        """
        const { searchFor } = await import('/console/files/search.js');
        searchFor('+22890123456');
        return location.href;
        """
    )
    assert address.endswith("#/search")
