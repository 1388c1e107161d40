"""Who gives a command, and what a doorway answers: shared by the commands of all targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Who gives a command, and in which request."""

    operator_id: str
    """Who gave it first, where another approved it."""
    request_id: str
    second_person: str | None = None
    """Who approved it, as `operator:ID`; None: nobody."""

    @property
    def who(self) -> str:
        """As the history and the audit log name the operator."""
        return who(self.operator_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a doorway answers: the HTTP status, and the document."""

    status: int
    document: dict[str, Any]


def who(operator_id: str) -> str:
    """An operator's name in history, audit log and proposals."""
    return f"operator:{operator_id}"
