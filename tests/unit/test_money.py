"""Amounts are integers; what a currency cannot say is refused, never rounded."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepxy.engine.money import AMOUNT_MAX, EXPONENTS, amount_hint, check_amount, from_major, to_major


@pytest.mark.parametrize(
    ("amount", "currency", "major"),
    [
        (1000, "XOF", "1000"),
        (1000, "XAF", "1000"),
        (1005, "GHS", "10.05"),
        (1, "EUR", "0.01"),
        (1500, "TND", "1.500"),
    ],
)
def test_minor_units_become_major_ones_by_the_currencys_exponent(
    amount: int, currency: str, major: str
) -> None:
    assert str(to_major(amount, currency)) == major
    assert from_major(major, currency) == amount


@given(st.integers(min_value=-AMOUNT_MAX, max_value=AMOUNT_MAX), st.sampled_from(sorted(EXPONENTS)))
def test_every_amount_survives_the_way_out_and_back(amount: int, currency: str) -> None:
    assert from_major(to_major(amount, currency), currency) == amount


@pytest.mark.parametrize(
    ("value", "currency"),
    [
        ("999.50", "XOF"),
        ("10.005", "GHS"),
        ("1000.0000000000000000000000000000000000000000000000000000000000000000000001", "XOF"),
        ("1e999999", "XOF"),
        ("NaN", "XOF"),
        ("Infinity", "GHS"),
        ("ten", "GHS"),
        ("1", "ZZZ"),
    ],
)
def test_what_a_currency_cannot_say_is_refused_and_not_rounded(value: str, currency: str) -> None:
    with pytest.raises(ValueError, match=r"not|currency"):
        from_major(value, currency)


def test_floats_and_booleans_are_no_money() -> None:
    with pytest.raises(TypeError):
        to_major(10.0, "GHS")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        to_major(True, "GHS")
    with pytest.raises(TypeError):
        from_major(10.0, "GHS")  # type: ignore[arg-type]


def test_trailing_zeros_lose_nothing() -> None:
    assert from_major(Decimal("1000.00"), "XOF") == 1000


@pytest.mark.parametrize(
    ("amount", "currency", "named"),
    [
        (1, "XOF", []),
        (AMOUNT_MAX, "GHS", []),
        (0, "XOF", ["amount"]),
        (-5, "XOF", ["amount"]),
        (AMOUNT_MAX + 1, "XOF", ["amount"]),
        (0, "ZZZ", ["currency", "amount"]),
    ],
)
def test_an_amount_is_above_zero_and_in_a_known_currency(
    amount: int, currency: str, named: list[str]
) -> None:
    assert [problem.name for problem in check_amount(amount, currency)] == named


def test_the_hint_says_how_this_currency_is_written() -> None:
    assert "XOF has none" in amount_hint("XOF")
    assert "for 10.50 GHS send 1050" in amount_hint("GHS")
    assert "minor units" in amount_hint(None)
