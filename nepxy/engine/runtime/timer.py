"""A message that an actor sends to itself, later."""

from __future__ import annotations

from typing import Any

from pykka._envelope import Envelope

from nepxy.engine.runtime.mailbox import Mailbox

__all__ = ["MailboxTimer"]


class MailboxTimer:
    """One pending message of one actor; forgets itself when it fires or is cancelled."""

    __slots__ = ("_handle", "_mailbox", "_message", "_pending")

    def __init__(self, mailbox: Mailbox, *, delay_s: float, message: Any, pending: set[MailboxTimer]) -> None:
        """Put `message` into `mailbox` after `delay_s` seconds; be in `pending` until then."""
        self._mailbox = mailbox
        self._message = message
        self._pending = pending
        pending.add(self)
        self._handle = mailbox.runtime.scheduler.call_later(delay_s, self._fire)

    def cancel(self) -> None:
        """Keep the message from being sent; harmless when it already was. Only in the loop's thread."""
        self._pending.discard(self)
        self._handle.cancel()

    def _fire(self) -> None:
        self._pending.discard(self)
        self._mailbox.put_own(Envelope(self._message))
