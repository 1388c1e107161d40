"""What a bench leaves behind: JSON for machines, a table and a plot for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from nepxy.cli.bench.plot import bars
from nepxy.cli.bench.scenario import Result, Row


def write(
    folder: Path,
    name: str,
    *,
    machine: Mapping[str, Any],
    sizes: Mapping[str, Any],
    results: Sequence[Result],
) -> tuple[Path, ...]:
    """Write `name`.json, .md and .svg into `folder`; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": dict(machine),
        "sizes": dict(sizes),
        "scenarios": [result.document() for result in results],
    }
    files = tuple(folder / f"{name}.{ending}" for ending in ("json", "md", "svg"))
    files[0].write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
    files[1].write_text(markdown(name, machine=machine, results=results))
    ratios = [
        (f"{result.title}: {row.what}", row.ratio)
        for result in results
        for row in result.rows
        if row.ratio is not None
    ]
    files[2].write_text(bars("NepXy as a multiple of the floor program", ratios))
    return files


def markdown(name: str, *, machine: Mapping[str, Any], results: Sequence[Result]) -> str:
    """The machine, and a table a scenario."""
    lines = [f"# Figures: {name}", "", f"![Ratios to the floor program]({name}.svg)", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in machine.items()]
    for result in results:
        lines += ["", f"## {result.title}", "", "| | NepXy | floor | ratio | target |"]
        lines += ["| --- | ---: | ---: | ---: | --- |"]
        lines += [_line(row) for row in result.rows]
        held = ", ".join(f"{key.replace('_', ' ')} {count:,}" for key, count in result.checked.items())
        lines += ["", f"Checked: {held}."]
        lines += ["", *result.remarks] if result.remarks else []
    return "\n".join(lines) + "\n"


def shown(value: float | None, unit: str = "") -> str:
    """A figure for people, with three digits that matter."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


def _line(row: Row) -> str:
    verdict = {True: "met", False: "**missed**", None: ""}[row.met]
    target = " ".join(part for part in (row.target, verdict) if part)
    cells = (row.what, shown(row.nepxy, row.unit), shown(row.floor, row.unit), shown(row.ratio), target)
    return f"| {' | '.join(cells)} |"
