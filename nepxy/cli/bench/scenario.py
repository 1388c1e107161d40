"""What a scenario is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nepxy.cli.bench.postgres import Server
from nepxy.cli.bench.sizes import Sizes


@dataclass(slots=True, kw_only=True)
class Stage:
    """Shared by all scenarios of one bench."""

    server: Server
    folder: Path
    sizes: Sizes
    tell: Callable[[str], None] = lambda doing: None
    """Shows what is being done."""
    saturation: dict[str, float] = field(default_factory=dict)
    """Payouts settled a second, by program: the first scenario that needs it measures it."""
    rooms: int = 0

    def room(self) -> Path:
        """A folder for one scenario's programs."""
        self.rooms += 1
        return self.folder / str(self.rooms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    what: str
    nepxy: float | None
    unit: str
    floor: float | None = None
    target: str = ""
    """What issue and design ask for, in words."""
    met: bool | None = None
    """Whether; None: nothing is asked for, or this size does not tell."""

    @property
    def ratio(self) -> float | None:
        """NepXy's to the floor's."""
        if self.nepxy is None or not self.floor:
            return None
        return self.nepxy / self.floor


@dataclass(slots=True, kw_only=True)
class Result:
    """One scenario's."""

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    """The invariants that held, with how many payouts they held for."""
    detail: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    failed: str = ""
    """Why there are no figures."""

    def document(self) -> dict[str, Any]:
        """For JSON."""
        whole = asdict(self)
        whole["rows"] = [asdict(row) | {"ratio": row.ratio} for row in self.rows]
        return whole


def against_floor(what: str, nepxy: float, floor: float, unit: str, **limits: float) -> Row:
    """A line whose target, if any, is a ratio: `at_least` or `at_most`."""
    ratio = nepxy / floor if floor else 0.0
    if "at_least" in limits:
        least = limits["at_least"]
        return Row(
            what=what, nepxy=nepxy, floor=floor, unit=unit, target=f"ratio ≥ {least:g}", met=ratio >= least
        )
    if "at_most" in limits:
        most = limits["at_most"]
        return Row(
            what=what, nepxy=nepxy, floor=floor, unit=unit, target=f"ratio ≤ {most:g}", met=ratio <= most
        )
    return Row(what=what, nepxy=nepxy, floor=floor, unit=unit)
