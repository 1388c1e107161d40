"""A token is believed only if one of our secrets signed it by HS256, and only in its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from nepxy.config.secret import Secret
from nepxy.errors import NepXyError
from nepxy.http.tokens import Claims, Verifier, issue_token, verify_token

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CURRENT = Secret("current-secret-of-thirty-two-bytes!")
PREVIOUS = Secret("previous-secret-of-thirty-two-bytes")
EPOCH_S = int(NOW.timestamp())
GOOD = {"sub": "acme", "scope": "payouts:read payouts:write", "iat": EPOCH_S, "exp": EPOCH_S + 60}


def signed(claims: dict[str, Any], *, secret: Secret = CURRENT, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, secret.get_secret_value(), algorithm=algorithm)


def verified(token: str, *, now: datetime = NOW, leeway_s: float = 30) -> Claims:
    return verify_token(token, secrets=(CURRENT, PREVIOUS), now=now, leeway_s=leeway_s)


def test_what_we_issue_we_believe_until_it_expires() -> None:
    token = issue_token(subject="acme", scopes=["payouts:read"], secret=CURRENT, now=NOW, expires_in_s=3600)
    assert verified(token) == Claims(subject="acme", scopes=frozenset({"payouts:read"}))
    assert verified(token, now=NOW + timedelta(seconds=3629)).subject == "acme"
    with pytest.raises(NepXyError, match="TOKEN_EXPIRED"):
        verified(token, now=NOW + timedelta(seconds=3630))


def test_another_services_token_is_as_good_also_by_the_previous_secret() -> None:
    assert verified(signed({**GOOD, "aud": "someone", "iss": "else"})).subject == "acme"
    assert verified(signed(GOOD, secret=PREVIOUS)).subject == "acme"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"exp": EPOCH_S - 31}, "TOKEN_EXPIRED"),
        ({"iat": EPOCH_S + 31}, "TOKEN_NOT_YET_VALID"),
        ({"nbf": EPOCH_S + 31}, "TOKEN_NOT_YET_VALID"),
        ({"exp": None}, "TOKEN_INVALID"),
        ({"exp": "soon"}, "TOKEN_INVALID"),
        ({"exp": True}, "TOKEN_INVALID"),
        ({"exp": float("inf")}, "TOKEN_INVALID"),
        ({"sub": None}, "TOKEN_INVALID"),
        ({"sub": ""}, "TOKEN_INVALID"),
        ({"sub": "a\0b"}, "TOKEN_INVALID"),
        ({"sub": "a" * 256}, "TOKEN_INVALID"),
        ({"scope": ["admin"]}, "TOKEN_INVALID"),
    ],
)
def test_claims_that_are_wrong_have_their_own_codes(changed: dict[str, Any], code: str) -> None:
    claims = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    with pytest.raises(NepXyError, match=code):
        verified(signed(claims))


def test_a_clock_that_is_a_little_off_is_forgiven() -> None:
    assert verified(signed({**GOOD, "iat": EPOCH_S + 29, "exp": EPOCH_S - 29})).subject == "acme"


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "eyJhbGciOiJIUzI1NiJ9..", "é.é.é", "." * 5000])
def test_garbage_is_no_token(token: str) -> None:
    with pytest.raises(NepXyError, match="TOKEN_INVALID"):
        verified(token)


def test_a_token_never_chooses_its_algorithm() -> None:
    unsigned = jwt.encode(GOOD, "", algorithm="none")
    stronger = signed(GOOD, secret=Secret("x" * 64), algorithm="HS512")
    same_secret_other_algorithm = signed(GOOD, secret=Secret("y" * 64), algorithm="HS512")
    for token in (unsigned, stronger, same_secret_other_algorithm):
        with pytest.raises(NepXyError, match="TOKEN_INVALID"):
            verify_token(token, secrets=(CURRENT, Secret("y" * 64)), now=NOW, leeway_s=30)


def test_an_empty_secret_verifies_nothing() -> None:
    token = signed(GOOD, secret=PREVIOUS)
    with pytest.raises(NepXyError, match="TOKEN_INVALID"):
        verify_token(token, secrets=(CURRENT, Secret("")), now=NOW, leeway_s=30)


def test_a_remembered_token_expires_and_loses_its_key_all_the_same() -> None:
    verifier, token = Verifier(), signed(GOOD)
    keys, others = (CURRENT, PREVIOUS), (Secret("z" * 40), Secret(""))
    for _ in range(2):
        assert verifier.verify(token, secrets=keys, now=NOW, leeway_s=0).subject == "acme"

    with pytest.raises(NepXyError, match="TOKEN_EXPIRED"):
        verifier.verify(token, secrets=keys, now=NOW + timedelta(seconds=60), leeway_s=0)
    with pytest.raises(NepXyError, match="TOKEN_NOT_YET_VALID"):
        verifier.verify(token, secrets=keys, now=NOW - timedelta(seconds=60), leeway_s=0)
    with pytest.raises(NepXyError, match="TOKEN_INVALID"):
        verifier.verify(token, secrets=others, now=NOW, leeway_s=0)
    with pytest.raises(NepXyError, match="TOKEN_INVALID"):
        verifier.verify(f"{token}x", secrets=keys, now=NOW, leeway_s=0)


def test_only_so_many_tokens_are_remembered_and_all_are_verified() -> None:
    verifier = Verifier(tokens_max=2)
    for subject in ("a", "b", "c", "a"):
        token = signed({**GOOD, "sub": subject})
        assert verifier.verify(token, secrets=(CURRENT,), now=NOW, leeway_s=0).subject == subject
