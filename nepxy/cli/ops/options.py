"""The options that mean the same everywhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from nepxy.cli.ops.api import Refused

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the engine's own JSON on stdout, and nothing else.")
]
WatchOption = Annotated[
    bool,
    typer.Option("--watch", help="Show it again and again until Ctrl-C; with --json, one line each time."),
]
EveryOption = Annotated[
    float, typer.Option("--every", min=0.2, max=3600, help="Seconds between two looks of --watch.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, in words; kept in the audit log.")]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=200, help="At most so many rows.")]
CommandIdOption = Annotated[
    str,
    typer.Option(
        "--command-id", help="A key of your own: the same command again is answered, not done again."
    ),
]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str, option: str) -> int | None:
    """`90`, `90s`, `15m`, `2h` or `3d` as seconds; None for nothing.

    Raises:
        Refused: it is none of them; names the option.
    """
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip())
    if found is None:
        raise Refused(
            "VALIDATION_FAILED", f"{option} {text!r} is not a duration", "Write 90s, 15m, 2h or 3d."
        )
    return int(found[1]) * _UNITS[found[2] or "s"]


def time_of(text: str, option: str) -> str | None:
    """A time, or how long ago it was (`2h`), as ISO 8601 in UTC; None for nothing.

    Raises:
        Refused: it is neither.
    """
    if not text:
        return None
    if re.fullmatch(r"\d{1,9}[smhd]", text.strip()):
        at = datetime.now(UTC) - timedelta(seconds=seconds_of(text, option) or 0)
        return at.isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(
            "VALIDATION_FAILED",
            f"{option} {text!r} is neither a time nor a duration",
            "Write 2026-11-28T06:00:00Z, or how long ago: 90s, 15m, 2h, 3d.",
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
