"""MTN's access tokens: one for all payouts, renewed before it expires by one renewal at a time (providers.md, 3.1).

A token costs a call, lives for an hour, and MTN asks that there is never one per transfer. Whoever needs one while it
is being had waits for that same call; whoever needs one while the old one still holds goes on with the old one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from nepxy.config.secret import Secret
from nepxy.providers.wire import Answered, Lost, NotSent

RENEW_BEFORE_S_MAX: Final = 600.0
"""MTN's advice: about ten minutes before expiry [D]. Of a shorter life it is a quarter."""
LIFE_S_MAX: Final = 86_400.0
LIFE_UNREAD_S: Final = 300.0
"""For an answer that names no life; one that holds for less shows itself by a 401."""
RENEW_AGAIN_S: Final = 5.0
"""After an early renewal that failed: the old token holds, so there is no hurry."""
TOKEN_CHARACTERS_MAX: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A token and until when it holds, by the clock of `AccessTokens`."""

    value: Secret
    renew_at_s: float
    expires_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoToken:
    """There is none to be had now: what the token endpoint's answer was, or how the call ended."""

    result: Answered | NotSent | Lost


TokenResult = AccessToken | NoToken


@dataclass(slots=True)
class AccessTokens:
    """One account's tokens. Use only from the event loop's thread."""

    ask: Callable[[], Awaitable[Answered | NotSent | Lost]]
    """One call of the token endpoint."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    _held: AccessToken | None = field(default=None, repr=False)
    _renewal: asyncio.Task[TokenResult] | None = None
    _not_before_s: float = 0.0

    async def get(self) -> TokenResult:
        """A token that holds, as far as we know. May be cancelled: the renewal goes on for the others."""
        held, now_s = self._held, self.clock()
        if held is None or now_s >= held.expires_at_s:
            return await asyncio.shield(self._renewing())
        if now_s >= held.renew_at_s and now_s >= self._not_before_s:
            self._renewing()
        return held

    def drop(self, token: AccessToken) -> None:
        """Forget a token that the provider refused; a newer one stays, so that many refusals cost one renewal."""
        if self._held is token:
            self._held = None

    async def close(self) -> None:
        """End a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    def _renewing(self) -> asyncio.Task[TokenResult]:
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew(), name="momo-token")
            self._renewal.add_done_callback(self._renewed)
        return self._renewal

    def _renewed(self, renewal: asyncio.Task[TokenResult]) -> None:
        self._renewal = None
        if not renewal.cancelled():
            # Nobody may be waiting any more: then nobody else would look.
            renewal.exception()

    async def _renew(self) -> TokenResult:
        # Before the call, not after it: the life that is named began no earlier.
        asked_at_s = self.clock()
        result = await self.ask()
        token = _read(result, asked_at_s) if isinstance(result, Answered) else None
        if token is None:
            self._not_before_s = self.clock() + RENEW_AGAIN_S
            return NoToken(result=result)
        self._held = token
        return token


def _read(result: Answered, asked_at_s: float) -> AccessToken | None:
    document = result.json_object() if result.status == 200 else None
    value = (document or {}).get("access_token")
    if not isinstance(value, str) or not 0 < len(value) <= TOKEN_CHARACTERS_MAX:
        return None
    if not value.isascii() or not value.isprintable() or " " in value:
        return None
    life_s = _life_s((document or {}).get("expires_in"))
    return AccessToken(
        value=Secret(value),
        renew_at_s=asked_at_s + life_s - min(RENEW_BEFORE_S_MAX, life_s / 4),
        expires_at_s=asked_at_s + life_s,
    )


def _life_s(value: object) -> float:
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit()) or int(text[:9]) == 0:
        return LIFE_UNREAD_S
    return min(float(int(text[:9])), LIFE_S_MAX)
