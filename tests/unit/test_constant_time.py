"""What somebody sends is compared with a secret in constant time, and both secrets of a rotation are always tried."""

from __future__ import annotations

import ast
import hashlib
import hmac
import re
from pathlib import Path

import pytest

from nepxy.config.secret import Secret
from nepxy.providers.signatures import signed_with

ROOT = Path(__file__).parents[2]
SECRETIVE = re.compile(r"secret|signature|signed|digest|hmac|csrf|password|token(?!s|ize)", re.IGNORECASE)
HARMLESS = {
    "'\\x00' in secret",  # what a form may not hold
    "self._jwt_previous != settings.auth.jwt_secret_previous",  # our own settings, before and after
    "self._secrets != tuple(secrets)",
    "standing.secret_mark != session.secret_mark",  # out of a cookie that we signed
    "(self.provider, self.state, self.signature_valid, self.reason) != (None,) * 4",  # which filters were given
    'token.group()[0] in "\'$"',  # of SQL
}
BODY = b'{"status": "SUCCESS"}'


def test_no_secret_is_compared_as_a_text() -> None:
    compared = set()
    for room in ("http", "providers", "storage"):
        for file in (ROOT / "nepxy" / room).rglob("*.py"):
            if "conformance" in file.parts:  # tests of adapters, which leave the repository with them
                continue
            compared |= {ast.unparse(one) for one in ast.walk(ast.parse(file.read_text())) if _is_text(one)}
    assert compared == HARMLESS


def _is_text(node: ast.AST) -> bool:
    """Whether it is an `==` or an `in` about something that is called a secret."""
    if not isinstance(node, ast.Compare) or all(isinstance(one, ast.Is | ast.IsNot) for one in node.ops):
        return False
    if any(isinstance(one, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for one in node.ops):
        return False
    within = list(ast.walk(node))
    names = [one.id for one in within if isinstance(one, ast.Name)]
    return any(
        SECRETIVE.search(one) for one in [*names, *(a.attr for a in within if isinstance(a, ast.Attribute))]
    )


@pytest.mark.parametrize(
    ("signed_by", "found"),
    [("now", "current"), ("before", "previous"), ("somebody else's", None), (None, None)],
)
def test_a_signature_costs_the_same_whichever_secret_made_it(
    monkeypatch: pytest.MonkeyPatch, signed_by: str | None, found: str | None
) -> None:
    compared = []
    compare = hmac.compare_digest

    def counted(given: bytes, wanted: bytes) -> bool:
        compared.append(len(wanted))
        return compare(given, wanted)

    monkeypatch.setattr("nepxy.providers.signatures.hmac.compare_digest", counted)
    signature = hmac.digest(signed_by.encode(), BODY, hashlib.sha256).hex() if signed_by else ""

    assert signed_with(BODY, signature, current=Secret("now"), previous=Secret("before")) == found
    assert compared == [64, 64]
