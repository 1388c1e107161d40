"""Settlement files as providers write them, and as they should not: each line is read exactly, or named as bad."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepxy.engine.money import EXPONENTS, to_major
from nepxy.engine.outcomes import Finding
from nepxy.engine.settlement_file import (
    RECORD_CHARACTERS_MAX,
    BadLine,
    FileLine,
    SettlementReader,
    read_amount,
    read_status,
)
from nepxy.errors import ValidationFailed

HEAD = "reference,amount,currency,status,date\n"


def read(text: str | bytes, *, piece: int = 7, **options: object) -> list[FileLine | BadLine]:
    """All lines, however the file is cut into pieces."""
    content = text.encode() if isinstance(text, str) else text
    reader = SettlementReader(**options)  # type: ignore[arg-type]  # each test knows what it gives
    lines = []
    for start in range(0, len(content), piece):
        lines += reader.feed(content[start : start + piece])
    return lines + reader.close()


def good(line: FileLine | BadLine) -> FileLine:
    assert isinstance(line, FileLine), line
    return line


def test_a_plain_file_is_read() -> None:
    first, second = map(good, read(HEAD + "R-1,1000,XOF,SUCCESS,2026-11-24\nR-2,10.50,GHS,Failed,x"))
    assert (first.number, first.references, first.amount, first.currency) == (2, ("R-1",), 1000, "XOF")
    assert (first.finding, first.date) == (Finding.PAID, "2026-11-24")
    assert (second.number, second.amount, second.finding) == (3, 1050, Finding.UNPAID)


def test_a_byte_order_mark_semicolons_and_decimal_commas_are_read() -> None:
    text = "﻿Référence;Montant;Devise;Statut\r\nR-1;10,50;GHS;Réussi\r\n"
    (line,) = map(good, read(text))
    assert (line.references, line.amount, line.finding) == (("R-1",), 1050, Finding.PAID)


def test_quoted_fields_may_hold_delimiters_quotes_and_line_ends() -> None:
    text = 'note,reference,amount,currency\n"a, ""b""\nand c",R-1,5,XOF\n,R-2,6,XOF\n'
    first, second = map(good, read(text))
    assert (first.number, first.references, first.amount) == (2, ("R-1",), 5)
    assert (second.number, second.references) == (4, ("R-2",))


def test_all_reference_columns_count_and_an_empty_one_does_not() -> None:
    text = "External Id,Transaction-ID,amount,currency\nours,theirs,5,XOF\n,theirs-2,5,XOF\nsame,same,5,XOF\n"
    assert [good(line).references for line in read(text)] == [("ours", "theirs"), ("theirs-2",), ("same",)]


def test_without_a_status_a_line_was_paid_and_without_an_amount_none_is_compared() -> None:
    (line,) = map(good, read("reference\nR-1\n"))
    assert (line.finding, line.amount, line.currency) == (Finding.PAID, None, None)


def test_a_currency_may_come_with_the_request() -> None:
    (line,) = map(good, read("reference,amount\nR-1,1000.00\n", currency="XOF"))
    assert (line.amount, line.currency) == (1000, "XOF")
    with pytest.raises(ValidationFailed, match="currency"):
        read("reference,amount\nR-1,1000\n")


def test_headers_may_be_named_with_the_request() -> None:
    headers = {"reference": ["Client Key"], "amount": ["Paid Out"]}
    (line,) = map(good, read("Client Key,Paid Out,amount,currency\nR-1,7,999,XOF\n", headers=headers))
    assert (line.references, line.amount) == (("R-1",), 7)
    with pytest.raises(ValidationFailed, match=r"column\.amount"):
        read(HEAD, headers={"amount": ["Nowhere"]})


@pytest.mark.parametrize(
    ("text", "field"),
    [("", "body"), ("\n\n", "body"), ("a,b\n1,2\n", "reference"), ("\x00\x01", "reference")],
)
def test_a_file_that_cannot_be_one_says_what_is_missing(text: str, field: str) -> None:
    with pytest.raises(ValidationFailed, match=field):
        read(text)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("R-1,1000,XOF", "columns"),
        (",1000,XOF,SUCCESS,", "names no payout"),
        ("R-1,,XOF,SUCCESS,", "no plain decimal"),
        ("R-1,ten,XOF,SUCCESS,", "no plain decimal"),
        ("R-1,-5,XOF,SUCCESS,", "no plain decimal"),
        ("R-1,0,XOF,SUCCESS,", "not above zero"),
        ("R-1,0.5,XOF,SUCCESS,", "does not exist"),
        ("R-1,1.000,XOF,SUCCESS,", "thousands"),
        ('R-1,"1,000",XOF,SUCCESS,', "no plain decimal"),
        ("R-1,NaN,XOF,SUCCESS,", "no plain decimal"),
        ("R-1,1e3,XOF,SUCCESS,", "no plain decimal"),
        ("R-1,5,XXX,SUCCESS,", "currency"),
        ("R-1,5,XOF,WHATEVER,", "'whatever'"),
        ("R-1,5,XOF,,", "'nothing'"),
        (f"{'R' * 129},5,XOF,SUCCESS,", "reference"),
        ('"R-1"x,5,XOF,SUCCESS,', "quote"),
    ],
)
def test_a_bad_line_is_named_and_the_next_one_is_read(row: str, problem: str) -> None:
    bad, after = read(f"{HEAD}{row}\nR-9,5,XOF,OK,\n")
    assert isinstance(bad, BadLine)
    assert (bad.number, problem in bad.problem) == (2, True), bad.problem
    assert good(after).references == ("R-9",)


def test_a_quote_that_nobody_closes_spoils_its_own_line_only() -> None:
    many = "".join(f"R-{n},5,XOF,OK,\n" for n in range(3, 3003))
    lines = read(f'{HEAD}"R-2,5,XOF,OK,\n{many}', piece=4096)
    bad = [line for line in lines if isinstance(line, BadLine)]
    assert [line.number for line in bad] == [2]
    assert len(lines) == 3001
    assert good(lines[1]).number == 3


def test_a_line_without_an_end_is_bounded() -> None:
    lines = read(HEAD + "x" * (5 * RECORD_CHARACTERS_MAX), piece=RECORD_CHARACTERS_MAX)
    assert lines
    assert all(isinstance(line, BadLine) for line in lines)


def test_bytes_that_are_no_utf8_spoil_only_what_they_stand_in() -> None:
    lines = read(b"reference,name,amount,currency\nR-1,Ren\xe9,5,XOF\nR\xe9,x,5,XOF\n")
    assert good(lines[0]).references == ("R-1",)
    assert isinstance(lines[1], BadLine)


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("1000", "XOF", 1000),
        ("1000.00", "XOF", 1000),
        ("1 000", "XOF", 1000),
        ("1 234 567,00", "XOF", 1_234_567),
        ("1,234.50", "GHS", 123_450),
        ("1234,50", "GHS", 123_450),
        ("0.01", "GHS", 1),
        ("1.000", "TND", 1000),
    ],
)
def test_amounts_are_exact(text: str, currency: str, amount: int) -> None:
    assert read_amount(text, currency) == amount


@given(amount=st.integers(1, 10**12), currency=st.sampled_from(sorted(EXPONENTS)))
def test_whatever_we_would_write_is_read_back(amount: int, currency: str) -> None:
    assert read_amount(str(to_major(amount, currency)), currency) == amount


@given(st.text(max_size=40))
def test_no_amount_is_a_crash(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert read_amount(text, "XOF") > 0


@given(content=st.binary(max_size=400), piece=st.integers(1, 50))
def test_no_file_is_a_crash_and_its_pieces_do_not_matter(content: bytes, piece: int) -> None:
    whole = b"reference,amount,currency\n" + content
    assert read(whole, piece=piece) == read(whole, piece=len(whole))


def test_a_status_is_known_in_any_case_and_spelling() -> None:
    assert read_status(" in progress ") is Finding.IN_FLIGHT
    assert read_status("Reversed") is Finding.REVERSED
