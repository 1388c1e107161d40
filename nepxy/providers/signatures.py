"""Webhook signatures: HMAC-SHA256 of the raw body, in `X-Signature` (provider page, section 8)."""

from __future__ import annotations

import hmac

from nepxy.config.secret import Secret


def signed_with(body: bytes, signature: str, *, current: Secret, previous: Secret) -> str | None:
    """Which of the two secrets signed these bytes: `current`, `previous`, or None.

    The prefix `sha256=` is optional, in any case; upper-case hex is refused, as deployments expect. Both
    secrets are always tried, in constant time each.
    """
    value = signature.strip()
    if value[:7].lower() == "sha256=":
        value = value[7:]
    given = value.encode("utf-8", errors="replace")
    matches = {
        name: bool(secret.get_secret_value()) and hmac.compare_digest(given, _hex(secret, body))
        for name, secret in (("previous", previous), ("current", current))
    }
    return "current" if matches["current"] else "previous" if matches["previous"] else None


def _hex(secret: Secret, body: bytes) -> bytes:
    return hmac.digest(secret.get_secret_value().encode(), body, "sha256").hex().encode()
