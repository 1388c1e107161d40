"""From a target to whoever takes its commands: the one table behind `/v1/admin/control`, the paths and approvals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from nepxy.http.control.bulk import command_bulk
from nepxy.http.control.engine import command_provider, command_supervisor
from nepxy.http.control.given import Answered, Given
from nepxy.http.control.orders import BULK, PAYOUTS, PROVIDERS, SUPERVISOR, Target
from nepxy.http.control.payouts import order_payout
from nepxy.http.parts import Parts

Taker = Callable[[Parts, Given, Target, str, Mapping[str, Any]], Awaitable[Answered]]

TAKERS: Final[Mapping[str, Taker]] = {
    PAYOUTS: order_payout,
    PROVIDERS: command_provider,
    SUPERVISOR: command_supervisor,
    BULK: command_bulk,
}
"""By kind of target. What a second person may have to approve must be here: approving gives the command again."""


async def give(parts: Parts, given: Given, target: Target, word: str, fields: Mapping[str, Any]) -> Answered:
    """Give a command to its target.

    Args:
        parts: the application's.
        given: who gives it.
        target: whom to.
        word: the command's name.
        fields: its body without target and command, unread; a `reason` is required by each taker.

    Returns:
        200: it is done, or was done before under this `command_id`. 202: it waits for a second person.

    Raises:
        RequestError: it was not done; where it was understood, that it was asked for is kept.
        Unavailable: nobody can say whether it was done; given again with its `command_id`, it is done once.
    """
    return await TAKERS[target.kind](parts, given, target, word, fields)
