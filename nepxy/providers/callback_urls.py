"""Callback URLs that nobody can guess, one a payout, for providers that do not sign what they call back with.

The last part of the path is our submission reference, the time, and an HMAC of both (itsdangerous). It proves that
whoever calls was given the URL by us, and which payout it was given for; it proves nothing of what the body says, so
a callback stays a hint. Keys rotate without a gap: both verify, the current one signs.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from itsdangerous import BadSignature, TimestampSigner

from nepxy.config.secret import Secret
from nepxy.engine.payout import SubmissionRef

HOLDS_S: Final = 30 * 86_400
"""Longer than any payout may live (its `expires_at` is at most 30 days ahead): a later call can wake nothing."""
TOKEN_CHARACTERS_MAX: Final = 128

_TOKEN: Final = re.compile(r"[0-9a-f]{32}\.[0-9A-Za-z_-]{1,16}\.[0-9A-Za-z_-]{43}")


class _Signer(TimestampSigner):
    """A signer by a given clock."""

    def __init__(self, *args: Any, clock: Callable[[], float], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())


class CallbackUrls:
    """Makes and reads the callback URLs of one provider."""

    def __init__(
        self,
        *,
        base_url: str,
        provider: str,
        current: Secret,
        previous: Secret,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare the signer.

        Args:
            base_url: scheme and host under which the front end is reached from outside; empty: none are made, and
                those that were made before are still read.
            provider: as in the path, lower case; a token of one provider is none of another's.
            current: the key that signs.
            previous: the key before, which still verifies; may be empty.
            clock: Unix time, in seconds.

        Raises:
            ValueError: `current` is empty.
        """
        keys = [key.get_secret_value() for key in (previous, current) if key]
        if not current:
            raise ValueError("the current callback key is empty")
        path = f"/v1/webhooks/{provider}"
        # Deployments may have set the whole path of the unsigned days.
        self._prefix = f"{base_url.rstrip('/').removesuffix(path)}{path}/" if base_url else ""
        self._signer = _Signer(
            keys,
            salt=f"nepxy/callback/{provider}/1",
            digest_method=hashlib.sha256,
            key_derivation="hmac",
            clock=clock,
        )

    def url_for(self, reference: SubmissionRef) -> str | None:
        """The URL for what is sent under this reference; None: callbacks are not wanted."""
        return f"{self._prefix}{self.token_for(reference)}" if self._prefix else None

    def token_for(self, reference: SubmissionRef) -> str:
        """The last part of that URL's path."""
        return self._signer.sign(UUID(reference).hex).decode()

    def reference_of(self, token: str) -> SubmissionRef | None:
        """The reference that a token was made for; None: it is not ours, is too old, or was made for another."""
        if len(token) > TOKEN_CHARACTERS_MAX or _TOKEN.fullmatch(token) is None:
            return None
        try:
            named = self._signer.unsign(token, max_age=HOLDS_S)
        except BadSignature:
            return None
        return SubmissionRef(str(UUID(named.decode())))


def derived_key(secret: Secret, *, purpose: str) -> Secret:
    """A key of its own for a purpose, from a secret that is there anyway; it cannot be had back from the key."""
    text = f"nepxy/{purpose}/1".encode()
    return Secret(hashlib.blake2b(text, key=_short(secret), digest_size=32).hexdigest())


def _short(secret: Secret) -> bytes:
    return hashlib.sha256(secret.get_secret_value().encode()).digest()
