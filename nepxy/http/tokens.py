"""Access tokens: JWTs by HS256 over the shared secret. Pure: the clock and the secrets are arguments.

Claims: `sub` (client or operator), `scope` (space-separated), `iat`, `exp`. Another service that shares the secret
makes tokens that are as good as ours.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import jwt

from nepxy.config.secret import Secret
from nepxy.errors import TokenExpired, TokenInvalid, TokenNotYetValid

ALGORITHM: Final = "HS256"
"""The only one: a token must never choose how it is verified."""

_SUBJECT: Final = re.compile(r"[\x21-\x7e]{1,255}")
# Times are checked here, against the clock that we are given; an audience is not part of the contract.
_OPTIONS: Final = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a verified token says."""

    subject: str
    scopes: frozenset[str]


def issue_token(
    *, subject: str, scopes: Iterable[str], secret: Secret, now: datetime, expires_in_s: int
) -> str:
    """Make a token.

    Args:
        subject: a client's or an operator's id, 1 to 255 visible ASCII characters.
        scopes: such as `payouts:write`.
        secret: the current one.
        now: aware.
        expires_in_s: how long it is good for.
    """
    issued_at = int(now.timestamp())
    claims = {
        "sub": subject,
        "scope": " ".join(scopes),
        "iat": issued_at,
        "exp": issued_at + expires_in_s,
    }
    key = secret.get_secret_value()
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": key_id(secret)})


def key_id(secret: Secret) -> str:
    """The key's name, for the header `kid` (RFC 7515, section 4.1.4): tells keys apart, and says nothing of the key."""
    return hmac.digest(secret.get_secret_value().encode(), b"nepxy key id", "sha256").hex()[:16]


def verify_token(token: str, *, secrets: Sequence[Secret], now: datetime, leeway_s: float) -> Claims:
    """Verify a token and read it.

    Args:
        token: as it came.
        secrets: any of them may have signed it; empty ones never did.
        now: aware.
        leeway_s: by how much the maker's clock may differ from ours.

    Raises:
        TokenInvalid: not signed by any of the secrets, or without `sub` or `exp`.
        TokenExpired: `exp` has passed.
        TokenNotYetValid: `nbf` or `iat` lies in the future: a clock is wrong.
    """
    return _read(_signed_claims(token, secrets), now=now, leeway_s=leeway_s)


class Verifier:
    """`verify_token` for tokens that come many times: a good signature is remembered, and all else looked at again."""

    def __init__(self, *, tokens_max: int = 10_000) -> None:
        """Remember at most so many."""
        self._tokens_max = tokens_max
        self._secrets: tuple[Secret, ...] = ()
        self._signed: dict[bytes, Mapping[str, Any]] = {}
        """What tokens of a good signature claim, by the token's hash: a token itself is a secret."""

    def verify(self, token: str, *, secrets: Sequence[Secret], now: datetime, leeway_s: float) -> Claims:
        """What `verify_token` says of it."""
        if self._secrets != tuple(secrets):
            # Turned: what only the old keys have signed is signed no more.
            self._secrets, self._signed = tuple(secrets), {}
        known_as = hashlib.sha256(token.encode(errors="replace")).digest()
        claims = self._signed.get(known_as)
        if claims is None:
            claims = _signed_claims(token, secrets)
            if len(self._signed) >= self._tokens_max:
                self._signed.pop(next(iter(self._signed)))
            self._signed[known_as] = claims
        return _read(claims, now=now, leeway_s=leeway_s)


def _read(claims: Mapping[str, Any], *, now: datetime, leeway_s: float) -> Claims:
    subject, scope = claims.get("sub"), claims.get("scope", "")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise TokenInvalid("the token's sub names nobody")
    if not isinstance(scope, str):
        raise TokenInvalid("the token's scope is not one text")
    clock_s = now.timestamp()
    expires_at_s = _moment(claims, "exp")
    if expires_at_s is None:
        raise TokenInvalid("the token has no exp")
    if expires_at_s <= clock_s - leeway_s:
        raise TokenExpired
    for name in ("nbf", "iat"):
        moment_s = _moment(claims, name)
        if moment_s is not None and moment_s > clock_s + leeway_s:
            raise TokenNotYetValid
    return Claims(subject=subject, scopes=frozenset(scope.split()))


def _signed_claims(token: str, secrets: Sequence[Secret]) -> Mapping[str, Any]:
    # By signature alone: a `kid` is what its sender says, and another service's tokens have none.
    for secret in secrets:
        if not secret.get_secret_value():
            continue
        try:
            return jwt.decode(
                token,
                secret.get_secret_value(),
                algorithms=[ALGORITHM],
                options=_OPTIONS,  # type: ignore[arg-type]  # a TypedDict there
            )
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            break
    raise TokenInvalid


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A claim in seconds since 1970; None: it is not there."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TokenInvalid(f"the token's {name} is not a number")
    try:
        seconds = float(value)
    except OverflowError:
        raise TokenInvalid(f"the token's {name} is no time") from None
    if not math.isfinite(seconds):
        raise TokenInvalid(f"the token's {name} is no time")
    return seconds
