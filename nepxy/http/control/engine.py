"""Commands to providers and to the supervisor, from every doorway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nepxy.http.control.given import Answered, Given
from nepxy.http.control.orders import Target, unknown_command
from nepxy.http.parts import Parts


async def command_provider(
    parts: Parts, given: Given, target: Target, word: str, fields: Mapping[str, Any]
) -> Answered:
    """Give a provider a command; `fields` are its body, unread.

    Raises:
        RequestError: it was not done.
        Unavailable: nobody can say whether it was done.
    """
    raise unknown_command(str(target), word, [])


async def command_supervisor(
    parts: Parts, given: Given, target: Target, word: str, fields: Mapping[str, Any]
) -> Answered:
    """Give the supervisor a command; the rest as for a provider."""
    raise unknown_command(str(target), word, [])
