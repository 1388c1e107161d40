"""docs/runbook.md as tests follow it: its sections, their steps, and the commands of each, word for word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "runbook.md"

PLACEHOLDERS = (
    "ID",
    "NAME",
    "AGE",
    "WEBHOOK",
    "KEY",
    "CLIENT",
    "PID",
    "NUMBER",
    "REF",
    "LAST_DIGITS",
    "REPORT",
)
_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One numbered step of "What to do"."""

    number: int
    title: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One incident."""

    anchor: str
    alerts: tuple[str, ...]
    shows: tuple[str, ...]
    """The commands of "How it shows"."""
    steps: tuple[Step, ...]
    over: tuple[str, ...]
    """The commands of "It is over when"."""


def commands_in(text: str) -> tuple[str, ...]:
    """The lines after `$` in its console blocks."""
    lines = (line.strip() for block in _BLOCK.findall(text) for line in block.splitlines())
    return tuple(line[2:] for line in lines if line.startswith("$ "))


def anchor_of(heading: str) -> str:
    """As Markdown's readers make it."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).strip().replace(" ", "-")


def text_of(anchor: str) -> str:
    """What stands below the heading with this anchor."""
    parts = re.split(r"^## (.*)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {anchor_of(heading): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}
    return found[anchor]


def section(anchor: str) -> Section:
    """An incident's section, taken apart."""
    parts = re.split(r"^### (.*)\n", text_of(anchor), flags=re.MULTILINE)
    by_name = dict(zip(parts[1::2], parts[2::2], strict=True))
    shows = by_name["How it shows"]
    return Section(
        anchor=anchor,
        alerts=tuple(re.findall(r"`([A-Z][A-Za-z]+)`", shows.split("\n- Metrics")[0])),
        shows=commands_in(shows),
        steps=tuple(_steps(by_name["What to do"])),
        over=commands_in(by_name["It is over when"]),
    )


def _steps(text: str) -> list[Step]:
    parts = re.split(r"^(\d+)\. ", text, flags=re.MULTILINE)
    return [
        Step(int(number), body.split("**")[1] if "**" in body else body.split("\n")[0], commands_in(body))
        for number, body in zip(parts[1::2], parts[2::2], strict=True)
    ]


def filled(line: str, given: dict[str, str]) -> str:
    """A command with its placeholders replaced.

    Raises:
        KeyError: it has one that was not given.
    """
    return re.sub(rf"\b({'|'.join(PLACEHOLDERS)})\b", lambda found: given[found[1]], line)
