"""Answering whoever waits, if anybody does."""

from __future__ import annotations

from typing import Any

from nepxy.engine.runtime import ReplyTo


def reply(reply_to: ReplyTo | None, answer: Any) -> None:
    """Tell the answer."""
    if reply_to is not None:
        reply_to.tell(answer)


def fail_reply(reply_to: ReplyTo | None, error: BaseException) -> None:
    """Tell that there is none, and why; somebody who can only be told answers stays without."""
    fail = getattr(reply_to, "fail", None)
    if fail is not None:
        fail(error)
