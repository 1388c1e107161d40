"""Who may call MTN: the product's subscription key, the API user's Basic, and the tokens that it gets (3.1)."""

import base64
import hmac
import secrets
import time
from collections.abc import Mapping

from nepxy.sandbox.config import MomoConfig
from nepxy.sandbox.momo_read import MomoRefused

TOKENS_MAX = 10_000
"""Kept at once; the oldest is forgotten, and so refused, beyond that."""


class Tokens:
    """Gives tokens out, and knows them again until they expire."""

    def __init__(self, config: MomoConfig) -> None:
        self._config = config
        self.api_key = config.api_key
        self._ends_at_s: dict[str, float] = {}

    @property
    def count(self) -> int:
        """How many are known, the expired ones included."""
        return len(self._ends_at_s)

    def give(self, headers: Mapping[str, str]) -> dict[str, object]:
        """The answer of the token endpoint.

        Raises:
            MomoRefused: 401.
        """
        self._subscribed(headers)
        pair = base64.b64encode(f"{self._config.api_user}:{self.api_key}".encode()).decode()
        if not _same(headers.get("Authorization", ""), f"Basic {pair}"):
            raise MomoRefused(401, "login_failed")
        token = secrets.token_urlsafe(32)
        self._ends_at_s[token] = time.monotonic() + self._config.token_life_s
        if len(self._ends_at_s) > TOKENS_MAX:
            del self._ends_at_s[next(iter(self._ends_at_s))]
        return {
            "access_token": token,
            "token_type": "access_token",
            "expires_in": self._config.token_life_s,
        }

    def check(self, headers: Mapping[str, str]) -> None:
        """Lets a call pass.

        Raises:
            MomoRefused: 401.
        """
        self._subscribed(headers)
        kind, _, token = headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or self._ends_at_s.get(token, 0.0) <= time.monotonic():
            raise MomoRefused(401, "invalid_token", "Invalid or expired token")

    def revoke(self) -> None:
        """Makes every token invalid."""
        self._ends_at_s.clear()

    def _subscribed(self, headers: Mapping[str, str]) -> None:
        if not _same(headers.get("Ocp-Apim-Subscription-Key", ""), self._config.subscription_key):
            raise MomoRefused(401, "access_denied", "Access denied due to invalid subscription key.")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
