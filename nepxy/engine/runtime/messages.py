"""What the runtime itself tells an actor: that a child of it has ended, and how."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from pykka import ActorRef

__all__ = ["ChildFailed", "ChildStopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStopped:
    """The runtime to a parent: your child stopped in order, as somebody asked it to. No answer."""

    child_id: Hashable | None
    """What the parent called it when it started it."""

    ref: ActorRef[Any]
    """The child that is gone: tells a late notice about an old child from one about its successor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildFailed:
    """The runtime to a parent: your child died of an exception, perhaps at birth. No answer."""

    child_id: Hashable | None
    """What the parent called it when it started it."""

    ref: ActorRef[Any]
    """The child that is gone: tells a late notice about an old child from one about its successor."""

    error: BaseException
    """What `on_start`, `on_receive` or `on_stop` raised, with its traceback."""
