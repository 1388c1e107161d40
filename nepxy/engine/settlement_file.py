"""A provider's settlement file: CSV in pieces of bytes in, lines out. Pure, bounded, and exact about money.

A line that cannot be read is reported by its number and never ends the import. Amounts are decimals in major units, and
one that could be read in two ways (`1,000`, `1.000` XOF) is not guessed at.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nepxy.engine.money import AMOUNT_MAX, EXPONENTS, from_major
from nepxy.engine.outcomes import Finding
from nepxy.errors import FieldProblem, ValidationFailed

RECORD_CHARACTERS_MAX: Final = 16_384
"""A record that is longer has a quote that nobody closed."""
COLUMNS_MAX: Final = 200
TEXT_MAX: Final = 128
REFERENCES_MAX: Final = 4
DELIMITERS: Final = ",;\t|"

REFERENCE, AMOUNT, CURRENCY, STATUS, DATE = "reference", "amount", "currency", "status", "date"
FIELDS: Final = (REFERENCE, AMOUNT, CURRENCY, STATUS, DATE)

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    REFERENCE: (
        "reference", "ref", "external_id", "externalid", "external_reference", "external_ref", "transaction_id",
        "transactionid", "transaction_reference", "transaction_ref", "txn_id", "tx_id", "txid", "tx_reference",
        "payment_reference", "provider_ref", "provider_reference", "merchant_reference", "partner_reference",
        "request_id", "submission_ref", "our_reference", "financial_transaction_id", "receipt", "receipt_number",
    ),
    AMOUNT: ("amount", "amount_paid", "transaction_amount", "montant", "value", "sum", "destination_amount"),
    CURRENCY: ("currency", "ccy", "currency_code", "devise", "destination_currency"),
    STATUS: ("status", "state", "transaction_status", "statut", "etat", "result"),
    DATE: ("date", "datetime", "transaction_date", "completed_at", "settled_at", "timestamp", "time", "created_at"),
}  # fmt: skip
"""Headers by what they mean, in lower case with underscores; every reference column of a file is taken."""

STATUS_WORDS: Final[Mapping[str, Finding]] = {
    **dict.fromkeys(
        ("SUCCESS", "SUCCESSFUL", "SUCCEEDED", "COMPLETED", "COMPLETE", "PAID", "CONFIRMED", "SETTLED", "OK",
         "PROCESSED", "TS", "REUSSI", "SUCCES"), Finding.PAID),
    **dict.fromkeys(
        ("FAILED", "FAILURE", "FAIL", "REJECTED", "DECLINED", "CANCELLED", "CANCELED", "EXPIRED", "ERROR", "TF",
         "ECHEC", "ECHOUE"), Finding.UNPAID),
    **dict.fromkeys(
        ("PENDING", "PROCESSING", "IN_PROGRESS", "INITIATED", "CREATED", "SUBMITTED", "ACCEPTED", "EN_COURS"),
        Finding.IN_FLIGHT),
    **dict.fromkeys(("REVERSED", "REVERSAL", "REFUNDED", "REFUND", "CHARGEBACK", "RETURNED"), Finding.REVERSED),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLine:
    """One line that could be read."""

    number: int
    """Of its first physical line in the file; the header's is 1."""
    references: tuple[str, ...]
    """All that it calls the payout by, in the order of its columns; at least one."""
    amount: int | None
    """Minor units; None: the file has no such column."""
    currency: str | None
    finding: Finding
    status_word: str
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """One that could not."""

    number: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a file has what."""

    delimiter: str
    columns: Mapping[str, tuple[int, ...]]
    width: int

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return bool(self.columns.get(name))


class SettlementReader:
    """Takes a file's bytes as they come; gives its lines."""

    def __init__(
        self, *, currency: str | None = None, headers: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Begin.

        Args:
            currency: for files without such a column.
            headers: further names of columns, by field.
        """
        self._currency = currency
        self._headers = headers or {}
        # BOM or none; what is no UTF-8 is in a column that we do not read, or its line is bad.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._rest = ""
        self._line_number = 1
        self.layout: Layout | None = None
        """Known once the header was read."""
        self.lines_count = 0
        """Records so far, bad ones included, the header and empty ones not."""

    def feed(self, piece: bytes) -> list[FileLine | BadLine]:
        """The lines that end in this piece.

        Raises:
            ValidationFailed: the header lacks a column that is needed.
        """
        self._rest += self._decoder.decode(piece)
        return list(self._read(final=False))

    def close(self) -> list[FileLine | BadLine]:
        """The last line, if it has no end.

        Raises:
            ValidationFailed: as `feed`; also where the file is empty.
        """
        self._rest += self._decoder.decode(b"", final=True)
        lines = list(self._read(final=True))
        if self.layout is None:
            raise ValidationFailed([FieldProblem("body", "is empty", "send the file, its header line first")])
        return lines

    def _read(self, *, final: bool) -> Iterator[FileLine | BadLine]:
        for number, record in self._records(final=final):
            if not record.strip():
                continue
            if self.layout is None:
                self.layout = read_header(record, self._headers)
                if not self.layout.has(CURRENCY) and self._currency is None and self.layout.has(AMOUNT):
                    hint = "give currency=XOF (or whichever it is) with the request"
                    raise ValidationFailed([FieldProblem("currency", "is no column of the file", hint)])
                continue
            self.lines_count += 1
            yield self._line(number, record)

    def _records(self, *, final: bool) -> Iterator[tuple[int, str]]:
        """Whole records with the number of their first line; a quoted field may hold line ends."""
        start = 0
        while True:
            end = self._end_of_record(start, final=final)
            if end is None:
                break
            record = self._rest[start:end]
            number = self._line_number
            self._line_number += record.count("\n")
            start = end
            yield number, record.rstrip("\r\n")
        self._rest = self._rest[start:]

    def _end_of_record(self, start: int, *, final: bool) -> int | None:
        text, at, quotes = self._rest, start, 0
        while (newline := text.find("\n", at)) >= 0:
            quotes += text.count('"', at, newline)
            if quotes % 2 == 0:
                return newline + 1
            if newline - start > RECORD_CHARACTERS_MAX:
                break
            at = newline + 1
        first = text.find("\n", start)
        if len(text) - start > RECORD_CHARACTERS_MAX or (final and start < len(text)):
            # A quote that nobody closes must not swallow the rest of the file: this line is bad, the next is read.
            return first + 1 if first >= 0 else len(text)
        return None

    def _line(self, number: int, record: str) -> FileLine | BadLine:
        layout = self.layout
        if layout is None or len(record) > RECORD_CHARACTERS_MAX:
            return BadLine(number=number, problem=f"is longer than {RECORD_CHARACTERS_MAX} characters")
        try:
            (cells,) = csv.reader([record], delimiter=layout.delimiter, strict=True)
        except (csv.Error, ValueError):
            return BadLine(number=number, problem="has a quote that is not closed, or text after one")
        if len(cells) < layout.width:
            return BadLine(number=number, problem=f"has {len(cells)} columns, the header has {layout.width}")
        try:
            return self._read_cells(number, layout, [cell.strip() for cell in cells])
        except ValueError as problem:
            return BadLine(number=number, problem=str(problem))

    def _read_cells(self, number: int, layout: Layout, cells: list[str]) -> FileLine:
        def cell(name: str) -> str:
            places = layout.columns.get(name)
            return cells[places[0]] if places else ""

        named = (cells[place] for place in layout.columns[REFERENCE])
        references = tuple(dict.fromkeys(name for name in named if name))[:REFERENCES_MAX]
        if not references:
            raise ValueError("names no payout: its reference is empty")
        if any(len(name) > TEXT_MAX or "\0" in name or "�" in name for name in references):
            raise ValueError("has a reference that cannot be one")
        currency = cell(CURRENCY).upper() if layout.has(CURRENCY) else self._currency
        if layout.has(CURRENCY) and currency not in EXPONENTS:
            raise ValueError("has a currency that we do not pay")
        amount = None
        if layout.has(AMOUNT) and currency is not None:
            amount = read_amount(cell(AMOUNT), currency)
        word = cell(STATUS)
        return FileLine(
            number=number,
            references=references,
            amount=amount,
            currency=currency,
            # A file without a status lists what was paid.
            finding=read_status(word) if layout.has(STATUS) else Finding.PAID,
            status_word=word[:TEXT_MAX],
            date=cell(DATE)[:TEXT_MAX],
        )


def read_header(record: str, headers: Mapping[str, Sequence[str]]) -> Layout:
    """Where the columns are.

    Raises:
        ValidationFailed: there is no reference, or too many columns.
    """
    bare = re.sub(r'"[^"]*"', "", record)
    delimiter = max(DELIMITERS, key=bare.count)
    try:
        (cells,) = csv.reader([record], delimiter=delimiter)
    except (csv.Error, ValueError):
        cells = []
    if not 0 < len(cells) <= COLUMNS_MAX:
        problem = FieldProblem("body", "has no header line that can be read", "send CSV in UTF-8")
        raise ValidationFailed([problem])
    names = [_plain(cell) for cell in cells]
    columns: dict[str, tuple[int, ...]] = {}
    for name in FIELDS:
        given = [_plain(alias) for alias in headers.get(name, ())]
        # What the request names wins; else the aliases in their order, of which references take all.
        wanted = given or list(ALIASES[name])
        found = [place for alias in wanted for place, header in enumerate(names) if header == alias]
        columns[name] = tuple(found if name == REFERENCE else found[:1])
        if given and not found:
            hint = f"the header has: {', '.join(cells)[:200]}"
            raise ValidationFailed([FieldProblem(f"column.{name}", "is not in the file's header", hint)])
    if not columns[REFERENCE]:
        hint = (
            "the header needs one of reference, external_id, transaction_id, ...; or give column.reference=NAME. "
            f"It has: {', '.join(cells)[:200]}"
        )
        raise ValidationFailed([FieldProblem("reference", "is no column of the file", hint)])
    return Layout(
        delimiter=delimiter, columns=columns, width=1 + max(max(at, default=0) for at in columns.values())
    )


_AMOUNT: Final = re.compile(r"\d+(?:\.\d+)?")
_GROUPED: Final = re.compile(r"\d{1,3}(?:[ '\u00a0\u202f\u2009]\d{3})+(?:[.,]\d+)?|\d{1,3}(?:,\d{3})+\.\d+")


def read_amount(text: str, currency: str) -> int:
    """A decimal in major units as minor units.

    Raises:
        ValueError: it is none, is not above zero, has parts of a minor unit, or could be read in two ways.
    """
    bare = text.strip()
    if _GROUPED.fullmatch(bare):
        last = max(bare.rfind("."), bare.rfind(",")) if "." in bare or re.search(r",\d+$", bare) else -1
        whole, fraction = (bare[:last], bare[last + 1 :]) if last >= 0 else (bare, "")
        bare = re.sub(r"\D", "", whole) + (f".{fraction}" if fraction else "")
    places = EXPONENTS[currency]
    comma = re.fullmatch(r"(\d+),(\d+)", bare)
    if comma is not None and places and len(comma[2]) == places != 3:
        bare = f"{comma[1]}.{comma[2]}"
    if not _AMOUNT.fullmatch(bare) or len(bare) > 32:
        raise ValueError("has an amount that is no plain decimal, such as 1000 or 1000.00")
    fraction = bare.partition(".")[2]
    if len(fraction) == 3 and places != 3:
        raise ValueError("has an amount whose point may separate thousands: write it without")
    try:
        amount = from_major(bare, currency)
    except ValueError:
        raise ValueError(f"has an amount that does not exist in {currency}") from None
    if not 0 < amount <= AMOUNT_MAX:
        raise ValueError("has an amount that is not above zero")
    return amount


def read_status(word: str) -> Finding:
    """What a status word says.

    Raises:
        ValueError: nobody knows it.
    """
    finding = STATUS_WORDS.get(_plain(word).upper())
    if finding is None:
        shown = _plain(word)[:30] or "nothing"
        raise ValueError(f"has the status {shown!r}, which is not known")
    return finding


def _plain(header: str) -> str:
    """Lower case, no accents, underscores between words."""
    bare = unicodedata.normalize("NFKD", header).encode("ascii", errors="ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", bare.strip().lower()).strip("_")
