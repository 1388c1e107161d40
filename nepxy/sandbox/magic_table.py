"""All magic numbers in one table, for people: those that every provider shares, and each one's own."""

from collections.abc import Iterator
from dataclasses import dataclass

from nepxy.sandbox.magic import describe_magic
from nepxy.sandbox.momo_magic import describe_momo
from nepxy.sandbox.thunes_magic import describe_thunes


@dataclass(frozen=True, slots=True)
class Row:
    """One suffix."""

    provider: str
    """Lower case; empty: all of them, where their own rows do not say otherwise."""
    suffix: str
    """The number's last four digits; empty: every other number."""
    name: str
    what: str


def rows() -> list[Row]:
    """The shared ones first."""
    tables = {"": describe_magic(), "momo": describe_momo(), "thunes": describe_thunes()}
    return [Row(provider, *row) for provider, table in tables.items() for row in table]


def lines() -> Iterator[str]:
    """The table as text."""
    for row in rows():
        yield f"{row.provider or 'all':<7} {row.suffix or 'other':<6} {row.name:<31} {row.what}"
