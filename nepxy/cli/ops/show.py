"""What the commands print: tables and sentences for people, plain JSON for machines, once or again and again."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nepxy.cli.ops.api import JsonObject
from nepxy.engine.money import EXPONENTS, to_major

PIPED_WIDTH: Final = 1000
"""Columns where no terminal says how many there are: a row must stay on one line for grep."""

Row = dict[str, Any]
Column = tuple[str, str | Callable[[Row], Any]]
"""A heading, and the field below it or how to make it."""
Render = Callable[[JsonObject], RenderableType]


def console() -> Console:
    """For stdout; as wide as the terminal, or wide enough for a row where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def show(
    fetch: Callable[[], JsonObject],
    render: Render,
    *,
    as_json: bool,
    watch: bool = False,
    every_s: float = 2.0,
) -> None:
    """Fetch and print, once or until Ctrl-C."""
    if not watch:
        _print(fetch(), render, as_json=as_json)
        return
    with contextlib.suppress(KeyboardInterrupt):
        if as_json or not sys.stdout.isatty():
            while True:
                _print(fetch(), render, as_json=as_json, in_one_line=True)
                time.sleep(every_s)
        with Live(render(fetch()), console=console(), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(every_s)
                live.update(render(fetch()), refresh=True)


def _print(document: JsonObject, render: Render, *, as_json: bool, in_one_line: bool = False) -> None:
    if as_json:
        print_json(document, in_one_line=in_one_line)
    else:
        console().print(render(document))
        sys.stdout.flush()


def print_json(document: JsonObject, *, in_one_line: bool = False) -> None:
    """The document and nothing else."""
    print(json.dumps(document, indent=None if in_one_line else 2, ensure_ascii=False), flush=True)


def table(rows: Iterable[Row], columns: Sequence[Column], *, nothing: str = "nothing") -> RenderableType:
    """One line a row; `nothing` is said instead where there is none."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for n, (heading, _) in enumerate(columns):
        # What a row is named by is copied into the next command: it is never broken.
        made.add_column(heading, overflow="fold", no_wrap=n == 0)
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 - the count is what is wanted
        made.add_row(*(cell(row.get(of) if isinstance(of, str) else of(row)) for _, of in columns))
    return made if count else Text(nothing, style="dim")


def fields(row: Row, names: Sequence[str] | None = None) -> RenderableType:
    """One field a line; those that are empty are left out."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name in names if names is not None else row:
        value = row.get(name)
        if value is not None and value != "" and value != []:
            made.add_row(name, cell(value))
    return made


def cell(value: Any) -> Text:
    """A value as people read it; never taken for markup, whoever wrote it."""
    match value:
        case Text():
            return value
        case None:
            return Text("-", style="dim")
        case bool():
            return Text("yes" if value else "no")
        case float():
            return Text(f"{value:.3g}")
        case dict():
            return Text(", ".join(f"{name}: {cell(inner).plain}" for name, inner in value.items()))
        case list():
            return Text(", ".join(cell(inner).plain for inner in value))
        case str():
            return Text(short_time(value))
        case _:
            return Text(str(value))


def short_time(text: str) -> str:
    """`2026-11-28 06:59:19Z` for an ISO time in UTC; anything else as it is."""
    if len(text) >= 20 and text[4] == text[7] == "-" and text[10] == "T" and text.endswith(("Z", "+00:00")):
        return f"{text[:10]} {text[11:19]}Z"
    return text


def amount(row: Row) -> str:
    """Amount and currency as people write them: 1000 minor units of GHS are `10.00 GHS`."""
    value, currency = row.get("amount"), str(row.get("currency") or "")
    if value is None:
        return "-"
    if currency not in EXPONENTS:
        return f"{value} {currency}".strip()
    return f"{to_major(int(value), currency):,} {currency}"


def duration(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h`, `2 d`."""
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


STATE_STYLES: Final = {
    "CONFIRMED": "green", "ok": "green", "closed": "green", "DONE": "green",
    "SENT": "cyan", "PENDING": "blue", "RUNNING": "cyan",
    "REVIEW": "yellow", "unknown": "yellow", "half_open": "yellow",
    "FAILED": "red", "wrong": "red", "open": "red", "EXPIRED": "red",
}  # fmt: skip


def state(name: str) -> Callable[[Row], Text]:
    """The field `name`, coloured by what it says."""

    def coloured(row: Row) -> Text:
        word = cell(row.get(name)).plain
        return Text(word, style=STATE_STYLES.get(word, ""))

    return coloured


def sections(*parts: tuple[str, RenderableType]) -> Group:
    """Parts with a heading each."""
    made: list[RenderableType] = []
    for heading, part in parts:
        made += [Text(f"\n{heading}" if made else heading, style="bold underline"), part]
    return Group(*made)
