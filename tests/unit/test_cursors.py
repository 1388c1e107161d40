"""A cursor is ours, whole, and for the same client and filters; or it is refused."""

from __future__ import annotations

import pytest

from nepxy.config.secret import Secret
from nepxy.engine.payout import Status, TransactionId
from nepxy.errors import CursorInvalid
from nepxy.http.cursors import Cursors
from nepxy.storage.payouts import PayoutFilter

BEFORE = TransactionId("01936000-0000-7000-8000-0000000000ff")
CURRENT = Secret("current-secret-of-thirty-two-bytes!")
CURSORS = Cursors(lambda: (CURRENT, Secret("")))
EVERYTHING = PayoutFilter()


def test_a_cursor_says_where_its_page_begins() -> None:
    cursor = CURSORS.sign(BEFORE, client_id="acme", narrowed=EVERYTHING)
    assert CURSORS.read(cursor, client_id="acme", narrowed=EVERYTHING) == BEFORE
    assert "acme" not in cursor


def test_a_cursor_survives_a_rotation_of_the_secret() -> None:
    cursor = CURSORS.sign(BEFORE, client_id="acme", narrowed=EVERYTHING)
    rotated = Cursors(lambda: (Secret("next-secret-of-thirty-two-bytes!!!!"), CURRENT))
    assert rotated.read(cursor, client_id="acme", narrowed=EVERYTHING) == BEFORE


@pytest.mark.parametrize(
    ("client_id", "narrowed"),
    [
        ("other", EVERYTHING),
        ("acme", PayoutFilter(status=Status.SENT)),
        ("acme", PayoutFilter(provider="TMONEY")),
    ],
)
def test_a_cursor_is_bound_to_client_and_filters(client_id: str, narrowed: PayoutFilter) -> None:
    cursor = CURSORS.sign(BEFORE, client_id="acme", narrowed=EVERYTHING)
    with pytest.raises(CursorInvalid):
        CURSORS.read(cursor, client_id=client_id, narrowed=narrowed)


@pytest.mark.parametrize("text", ["", "x", "W10.x", "é", "a" * 10_000])
def test_garbage_is_no_cursor(text: str) -> None:
    with pytest.raises(CursorInvalid):
        CURSORS.read(text, client_id="acme", narrowed=EVERYTHING)


def test_every_changed_character_is_noticed() -> None:
    cursor = CURSORS.sign(BEFORE, client_id="acme", narrowed=EVERYTHING)
    for place in range(len(cursor) - 1):  # the last one has bits that base64 ignores
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        with pytest.raises(CursorInvalid):
            CURSORS.read(changed, client_id="acme", narrowed=EVERYTHING)
