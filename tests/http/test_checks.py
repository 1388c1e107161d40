"""A shared check's answer is shared, until the world is known to have changed."""

from __future__ import annotations

from itertools import count

from nepxy.http.checks import SharedCheck


async def test_an_answer_is_given_again_while_it_is_fresh_and_not_after_it_is_forgotten() -> None:
    answers = count(1)

    async def look() -> int:
        return next(answers)

    check = SharedCheck("test", look, wait_s=1.0, fresh_s=3600.0)
    assert [await check.answer(), await check.answer()] == [1, 1]
    check.forget()
    assert [await check.answer(), await check.answer()] == [2, 2]
