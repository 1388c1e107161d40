"""What the runtime reports about itself; the room that exposes metrics implements it."""

from __future__ import annotations

from typing import Any, Protocol

from nepxy.engine.runtime.dead_letters import DeadLetterReason

__all__ = ["NullObserver", "RuntimeObserver"]


class RuntimeObserver(Protocol):
    """Hears what happens to actors. Called in the loop's thread, except for `dead_letter`: in any.

    Be quick, and do not raise: the runtime logs what you raise and goes on without you. For each
    actor that started comes exactly one of `actor_stopped` and `actor_failed`, so alive is
    started − stopped − failed.
    """

    def actor_started(self, kind: str) -> None:
        """Its first turn begins; `on_start` comes next."""

    def actor_stopped(self, kind: str) -> None:
        """It ended in order."""

    def actor_failed(self, kind: str, error: BaseException) -> None:
        """It ended by an exception, `on_start` and `on_stop` included."""

    def turn_taken(
        self, kind: str, name: str | None, messages: int, duration_s: float, mailbox_depth: int
    ) -> None:
        """A turn is over.

        Args:
            kind: the actor's metrics label.
            name: the actor's `actor_name`; None for actors that have too many siblings for a label.
            messages: how many it handled, 0 for a first turn that only ran `on_start`.
            duration_s: how long the loop was busy with it.
            mailbox_depth: messages still waiting.
        """

    def dead_letter(self, kind: str, reason: DeadLetterReason, message: Any) -> None:
        """A told message reached nobody. The message may hold personal data: log its type, not its text."""


class NullObserver:
    """Hears everything and keeps nothing."""

    __slots__ = ()

    def actor_started(self, kind: str) -> None:
        """Do nothing."""

    def actor_stopped(self, kind: str) -> None:
        """Do nothing."""

    def actor_failed(self, kind: str, error: BaseException) -> None:
        """Do nothing."""

    def turn_taken(
        self, kind: str, name: str | None, messages: int, duration_s: float, mailbox_depth: int
    ) -> None:
        """Do nothing."""

    def dead_letter(self, kind: str, reason: DeadLetterReason, message: Any) -> None:
        """Do nothing."""
