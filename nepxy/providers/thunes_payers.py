"""What Thunes' payers say of themselves, asked for once in a while (provider page, 4.2, step 0)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from nepxy.providers.thunes_requests import PayerRules, payer_rules
from nepxy.providers.thunes_wire import Reply, ThunesApi

FRESH_S: Final = 3600.0


@dataclass(slots=True)
class Payers:
    """The rules of each payer that was needed so far; as many as the configuration names at most."""

    api: ThunesApi
    clock: Callable[[], float] = monotonic
    _known: dict[int, tuple[float, PayerRules]] = field(default_factory=dict)
    _asking: dict[int, asyncio.Lock] = field(default_factory=dict)

    async def rules(self, payer_id: int) -> PayerRules | Reply:
        """A payer's rules, at most an hour old or the last ones that could be had; else the answer that was none.

        However many payouts wait for the same payer, it is asked for once.
        """
        async with self._asking.setdefault(payer_id, asyncio.Lock()):
            known = self._known.get(payer_id)
            if known is not None and self.clock() - known[0] < FRESH_S:
                return known[1]
            reply = await self.api.get("/payers/{}", str(payer_id))
            if reply.found is not None:
                rules = payer_rules(reply.found)
                self._known[payer_id] = (self.clock(), rules)
                return rules
            return reply if known is None else known[1]
