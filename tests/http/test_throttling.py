"""Who asks too often is told when to come back, and nothing of it was looked at."""

from __future__ import annotations

import asyncio

from tests.http.conftest import Served, StartPaper, StartServed
from tests.http.support import a_request, bearer, keyed


async def test_a_client_that_asks_too_often_gets_429_and_others_do_not(start_served: StartServed) -> None:
    served = await start_served({"NEPXY_CLIENT_REQUESTS_PER_S": "0.5"})
    assert (await served.client.post("/v1/payouts", json=a_request(), headers=keyed())).status == 202
    response = await served.client.post("/v1/payouts", json=a_request(), headers=keyed())

    assert response.status == 429
    assert int(response.headers["Retry-After"]) >= 1
    assert (await response.json())["code"] == "RATE_LIMITED"
    assert len(served.desk.rows("SELECT 1 FROM app.mobile_money_payouts")) == 1
    other = bearer(subject="another-client")
    assert (await served.client.get("/v1/payouts", headers=other)).status == 200


async def test_wrong_secrets_are_throttled_before_they_are_hashed(served: Served) -> None:
    wrong = {"grant_type": "client_credentials", "client_id": "shop", "client_secret": "guess"}
    # A slow machine gives a guess back now and then, but never as many as are made.
    answers = [await served.client.post("/v1/auth/token", json=wrong) for _ in range(40)]
    answer = next(one for one in answers if one.status != 401)

    assert answers.index(answer) >= 10
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await answer.json())["code"] == "TOO_MANY_TRIES"


async def test_a_body_that_dawdles_is_not_waited_for(start_paper: StartPaper) -> None:
    paper = await start_paper({"NEPXY_BODY_S_MAX": "0.05"})
    host, port = paper.client.server.host, paper.client.server.port
    reader, writer = await asyncio.open_connection(host, port)
    head = "".join(f"{name}: {value}\r\n" for name, value in keyed().items())
    writer.write(
        f"POST /v1/payouts HTTP/1.1\r\nHost: x\r\n{head}Content-Type: application/json\r\n"
        'Content-Length: 100\r\n\r\n{"amount":'.encode()
    )
    answer = await reader.readuntil(b"}")
    writer.close()

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"BODY_TOO_SLOW" in answer
    assert paper.engine.seen == []
