"""Every answer has an id, a count and a form, also those that no handler gave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import LogCapture

from tests.http.conftest import Paper, StartPaper
from tests.http.support import SILENCE, a_request, bearer, code_of, keyed


@pytest.fixture
def lines() -> Iterator[LogCapture]:
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture
    structlog.reset_defaults()


async def test_an_unknown_path_is_a_problem_and_counted_without_its_text(paper: Paper) -> None:
    response = await paper.client.get("/v1/nothing/+22890123456")
    assert response.status == 404
    assert await code_of(response) == "ROUTE_NOT_FOUND"
    assert paper.metric("http_requests_total", route="unmatched", status="404") == 1


async def test_a_wrong_method_names_those_that_work(paper: Paper) -> None:
    response = await paper.client.delete("/v1/payouts")
    assert response.status == 405
    assert await code_of(response) == "METHOD_NOT_ALLOWED"
    assert set(response.headers["Allow"].split(", ")) >= {"GET", "POST"}


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(start_paper: StartPaper, chunked: bool) -> None:
    paper = await start_paper({"NEPXY_BODY_BYTES_MAX": "1024"})

    async def chunks() -> object:
        for _ in range(100):
            yield b"x" * 100

    response = await paper.client.post(
        "/v1/payouts",
        data=chunks() if chunked else b"x" * 1025,
        headers={**keyed(), "Content-Type": "application/json"},
    )
    assert response.status == 413
    assert await code_of(response) == "BODY_TOO_LARGE"


async def test_a_sane_request_id_is_taken_and_a_strange_one_replaced(paper: Paper) -> None:
    for given, kept in (
        ("abc-123", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ("é", False),
    ):
        response = await paper.client.get("/healthz", headers={"X-Request-ID": given})
        assert (response.headers["X-Request-ID"] == given) is kept
        assert response.headers["X-Request-ID"]


async def test_the_request_id_reaches_the_engine(paper: Paper) -> None:
    await paper.client.post(
        "/v1/payouts", json=a_request(), headers={**keyed(), "X-Request-ID": "from-outside"}
    )
    assert paper.engine.seen[0].create.request_id == "from-outside"


async def test_a_defect_of_ours_is_a_500_that_tells_nothing(paper: Paper, lines: LogCapture) -> None:
    paper.engine.answer = lambda message: ValueError("secret detail about +22890123456")
    response = await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert response.status == 500
    assert await code_of(response) == "INTERNAL_ERROR"
    assert "secret detail" not in await response.text()
    (failed,) = [line for line in lines.entries if line["event"] == "request.failed"]
    assert failed["exc_info"]
    assert failed["request_id"] == response.headers["X-Request-ID"]


async def test_one_line_a_request_with_the_template_and_no_body(paper: Paper, lines: LogCapture) -> None:
    await paper.client.post("/v1/payouts", json=a_request(note="a private note"), headers=keyed())
    (line,) = [line for line in lines.entries if line["event"] == "request.handled"]
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/payouts", 202)
    assert line["client_id"] == "acme"
    assert "private" not in str(lines.entries)
    assert "22890123456" not in str(lines.entries)


async def test_requests_on_one_connection_do_not_share_log_fields(paper: Paper, lines: LogCapture) -> None:
    await paper.client.post("/v1/payouts", json=a_request(), headers=keyed())
    await paper.client.get("/v1/payouts")
    last = [line for line in lines.entries if line["event"] == "request.handled"][-1]
    assert "client_id" not in last


async def test_every_answer_forbids_sniffing_and_storing(paper: Paper) -> None:
    for response in (await paper.client.get("/healthz"), await paper.client.get("/nothing")):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Server"] == "nepxy"


async def test_a_client_that_leaves_meanwhile_does_not_stop_its_payout(
    paper: Paper, lines: LogCapture
) -> None:
    told = asyncio.Event()

    def later(message: object) -> object:
        told.set()
        return SILENCE

    paper.engine.answer = later
    post = asyncio.create_task(
        paper.client.session.post(paper.client.make_url("/v1/payouts"), json=a_request(), headers=keyed())
    )
    await told.wait()
    post.cancel()
    (accept,) = paper.engine.seen
    accept.reply_to.tell(ValueError("too late to matter"))
    assert (await paper.client.get("/healthz")).status == 200
    assert len(paper.engine.seen) == 1


async def test_a_client_gone_in_the_middle_of_its_body_is_no_error(paper: Paper, lines: LogCapture) -> None:
    url = paper.client.make_url("/")
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"POST /v1/payouts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n"
        f"Authorization: {bearer()['Authorization']}\r\nIdempotency-Key: k\r\n\r\n"
    )
    writer.write(head.encode() + b'{"amount":')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(10):
        while not any(line["event"] == "request.handled" for line in lines.entries):
            await asyncio.sleep(0.01)
    assert paper.metric("http_requests_total", route="/v1/payouts", status="499") == 1
    assert not any(line["log_level"] == "error" for line in lines.entries)
    assert paper.engine.seen == []


async def test_known_series_exist_before_the_first_request(paper: Paper) -> None:
    registry = paper.front.registry
    assert registry.get_sample_value("http_requests_total", {"route": "/v1/payouts", "status": "202"}) == 0
    assert registry.get_sample_value("idempotency_replays_total", {"route": "/v1/payouts"}) == 0
    labels = {"provider": "MOMO", "signature_valid": "true", "applied": "false"}
    assert registry.get_sample_value("webhook_events_total", labels) == 0


async def test_pages_of_named_origins_may_call_and_read_problems_too(start_paper: StartPaper) -> None:
    paper = await start_paper({"CORS_ALLOW_ORIGINS": "https://app.example.com"})
    ask = {"Access-Control-Request-Method": "POST"}
    good = await paper.client.options("/v1/payouts", headers={"Origin": "https://app.example.com", **ask})
    assert good.status == 204
    assert "Idempotency-Key" in good.headers["Access-Control-Allow-Headers"]
    bad = await paper.client.options("/v1/payouts", headers={"Origin": "https://evil.example.com", **ask})
    assert bad.status == 405
    assert "Access-Control-Allow-Origin" not in bad.headers
    refused = await paper.client.get("/v1/payouts", headers={"Origin": "https://app.example.com"})
    assert refused.status == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://app.example.com"


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com.evil.org",
        "https://evil.org/https://app.example.com",
        "https://sub.app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://APP.example.com",
        "null",
        "*",
        "",
    ],
)
async def test_an_origin_that_only_looks_like_a_named_one_is_not_it(
    start_paper: StartPaper, origin: str
) -> None:
    paper = await start_paper({"CORS_ALLOW_ORIGINS": "https://app.example.com,https://other.example.com"})
    answer = await paper.client.get("/healthz", headers={"Origin": origin})
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Access-Control-Allow-Credentials" not in answer.headers
    # So that no cache gives one origin's answer to another.
    assert answer.headers["Vary"] == "Origin"


async def test_where_no_origin_is_named_no_page_may_call(paper: Paper) -> None:
    answer = await paper.client.get("/healthz", headers={"Origin": "https://app.example.com"})
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]
