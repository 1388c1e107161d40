"""What a stranger gets from the front end: headers that protect, tokens that cannot choose how they are verified."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from nepxy.config.secret import Secret
from nepxy.http.tokens import issue_token, key_id
from tests.http.conftest import Paper, Served, StartPaper
from tests.http.support import JWT_SECRET, bearer, keyed

PATHS = ["/v1/payouts", "/healthz", "/nowhere", "/openapi.json", "/docs", "/console"]


def claims() -> dict[str, Any]:
    now = int(datetime.now(UTC).timestamp())
    return {"sub": "acme", "scope": "payouts:read payouts:write admin", "iat": now, "exp": now + 600}


def unsigned(algorithm: str, signature: str = "") -> str:
    parts = ({"alg": algorithm, "typ": "JWT"}, claims())
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return f"{coded[0]}.{coded[1]}.{signature}"


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_protects_a_browser(paper: Paper, path: str) -> None:
    answer = await paper.client.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Server"] == "nepxy"
    assert "Strict-Transport-Security" not in answer.headers


async def test_production_tells_browsers_to_stay_with_https(start_paper: StartPaper) -> None:
    paper = await start_paper(
        {
            "ENV": "prod",
            "DATABASE_URL": "postgresql://nepxy:hunter2@localhost/nepxy",
            "MM_MODE": "real",
            "MM_ENABLED_PROVIDERS": "TMONEY",
            "TMONEY_REAL_API_KEY": "key",
            "TMONEY_REAL_CASHOUT_URL": "https://t.example/cashout",
            "TMONEY_REAL_STATUS_URL_TEMPLATE": "https://t.example/{provider_ref}",
            "TMONEY_WEBHOOK_SECRET": "Qw8-zK2v_Nn5Rt7Lx",
        }
    )
    answer = await paper.client.get("/healthz")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256"])
async def test_a_token_does_not_choose_how_it_is_verified(paper: Paper, algorithm: str) -> None:
    tokens = [unsigned(algorithm), unsigned(algorithm, "c2lnbmVk")]
    if algorithm.startswith("HS"):
        tokens.append(jwt.encode(claims(), JWT_SECRET, algorithm=algorithm))
    for token in tokens:
        answer = await paper.client.get("/v1/payouts", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status, (await answer.json())["code"]) == (401, "TOKEN_INVALID")


async def test_a_key_id_points_at_no_other_key(paper: Paper) -> None:
    for kid in ("", "../../etc/passwd", key_id(Secret(JWT_SECRET))):
        token = jwt.encode(
            claims(), "another key, long enough to sign by", algorithm="HS256", headers={"kid": kid}
        )
        answer = await paper.client.get("/v1/payouts", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 401


def test_a_token_names_its_key_and_says_nothing_of_it() -> None:
    secret = Secret(JWT_SECRET)
    token = issue_token(subject="acme", scopes=(), secret=secret, now=datetime.now(UTC), expires_in_s=60)
    header = jwt.get_unverified_header(token)
    assert header["kid"] == key_id(secret) != key_id(Secret(JWT_SECRET + "x"))
    assert JWT_SECRET not in header["kid"]


async def test_a_clients_token_gives_no_commands(served: Served) -> None:
    for scope in ("payouts:write payouts:read", "admin"):  # the second is not the client's to claim
        for path in ("/v1/admin/mobile-money/payouts", "/v1/admin/proposals"):
            answer = await served.client.get(path, headers=bearer(scope=scope))
            assert (answer.status, (await answer.json())["code"]) == (403, "SCOPE_MISSING")


async def test_a_fault_of_ours_shows_no_trace_of_itself(
    paper: Paper, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("row 17 of secrets is wrong")

    monkeypatch.setattr(paper.reader, "run", broken)
    answer = await paper.client.get("/v1/payouts", headers=keyed())
    text = await answer.text()
    assert answer.status == 500
    for word in ("RuntimeError", "Traceback", "row 17", ".py"):
        assert word not in text
    assert "row 17" in capsys.readouterr().out
