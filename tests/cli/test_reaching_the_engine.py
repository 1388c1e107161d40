"""Which engine and who asks; and what a command says when it gets no sensible answer. Exit status 2 or 3."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.support import nepxy

SOMEWHERE = {"NEPXY_URL": "http://127.0.0.1:9", "NEPXY_TOKEN": "a-token"}


@contextmanager
def a_server(
    status: int, content: bytes, headers: tuple[tuple[str, str], ...] = ()
) -> Iterator[tuple[str, list[str]]]:
    """Answers every request alike; yields its address, and the list of what it was asked, with each token."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            heard.append(f"{self.command} {self.path} {self.headers.get('Authorization')} {body}")
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", heard
        finally:
            server.shutdown()
            thread.join()


def test_without_an_address_it_says_which_variable_to_set() -> None:
    ended = nepxy("providers", "list")
    assert (ended.status, ended.out) == (2, "")
    assert "NEPXY_URL is not set" in ended.err
    assert "make run" in ended.err


def test_without_a_token_it_says_which_variables_to_set() -> None:
    ended = nepxy("providers", "list", environ={"NEPXY_URL": "http://127.0.0.1:9"})
    assert ended.status == 2
    for name in ("NEPXY_TOKEN", "NEPXY_OPERATOR_ID", "NEPXY_OPERATOR_SECRET"):
        assert name in ended.err


@pytest.mark.parametrize("url", ["payouts.example.com", "ftp://x", "http://", "http://x?y=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    ended = nepxy("providers", "list", environ=SOMEWHERE | {"NEPXY_URL": url})
    assert ended.status == 2
    assert "NEPXY_URL is not a base URL" in ended.err


def test_what_make_run_left_is_used_and_said_on_stderr(tmp_path: Path) -> None:
    with a_server(200, b'{"access_token": "made", "proposals": []}') as (base, heard):
        kept = {"url": base, "operator_id": "ama", "operator_secret": "s3cret-of-ama"}
        (tmp_path / "dev-client.json").write_text(json.dumps(kept))
        ended = nepxy("proposals", "list", "--json", environ={"NEPXY_DATA_DIR": str(tmp_path)})
    assert ended.status == 0
    assert ended.json()["proposals"] == []
    assert base in ended.err
    assert heard[0].startswith(
        "POST /v1/auth/token None grant_type=client_credentials&client_id=ama&client_secret="
    )
    assert heard[1] == "GET /v1/admin/proposals Bearer made "


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        ended = nepxy(
            "engine", "show", environ=SOMEWHERE | {"NEPXY_URL": f"http://127.0.0.1:{taken.getsockname()[1]}"}
        )
    assert (ended.status, ended.out) == (3, "")
    assert "cannot be reached" in ended.err


def test_something_else_answers() -> None:
    with a_server(200, b"<html>It works!</html>") as (base, _):
        ended = nepxy("engine", "show", environ=SOMEWHERE | {"NEPXY_URL": base})
    assert ended.status == 3
    assert "not as NepXy does" in ended.err


def test_a_redirect_is_not_followed_because_the_token_would_go_along() -> None:
    with (
        a_server(200, b"{}") as (elsewhere, heard),
        a_server(302, b"", (("Location", f"{elsewhere}/v1/admin/engine"),)) as (base, _),
    ):
        ended = nepxy("engine", "show", environ=SOMEWHERE | {"NEPXY_URL": base})
    assert ended.status == 3
    assert heard == []


def test_a_command_without_an_answer_is_sent_once_more_under_the_same_id_and_says_how_to_go_on() -> None:
    problem = b'{"code": "DATABASE_UNAVAILABLE", "detail": "the database is away", "request_id": "r-1"}'
    with a_server(503, problem) as (base, heard):
        ended = nepxy(
            "providers", "pause", "tmoney", "--reason", "audit", environ=SOMEWHERE | {"NEPXY_URL": base}
        )
    bodies = [json.loads(line.split(" ", 4)[4]) for line in heard]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    assert (bodies[0]["target"], bodies[0]["command"]) == ("providers/TMONEY", "pause")
    assert ended.status == 3
    assert f"--command-id {bodies[0]['command_id']}" in ended.err
    assert "DATABASE_UNAVAILABLE: the database is away (request r-1)" in ended.err


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("payouts", "list", "--stuck-for", "soon"), "--stuck-for"),
        (("webhooks", "list", "--since", "yesterday"), "--since"),
        (("payouts", "retry", "7", "--reason", "  "), "--reason"),
        (("payouts", "retry", "7"), "--reason"),
        (("payouts", "show", ""), "payout id"),
        (("bulk", "poll", "--reason", "x"), "filter"),
        (("payouts", "confirm", "7", "--reason", "x"), "--yes"),
        (("engine", "pause-intake", "--reason", "x"), "--yes"),
        (("idempotency", "compare", "k", "--client", "acme", "--body", "[1]"), "--body"),
        (("idempotency", "compare", "k", "--client", "acme", "--body", "@/nonexistent/x"), "--body"),
        (
            ("reconcile", "import", "/nonexistent/x.csv", "--provider", "MOMO", "--reason", "x"),
            "/nonexistent/x.csv",
        ),
    ],
)
def test_what_is_wrong_with_the_input_is_named_and_nobody_is_asked(
    arguments: tuple[str, ...], names: str
) -> None:
    with a_server(200, b"{}") as (base, heard):
        ended = nepxy(*arguments, environ=SOMEWHERE | {"NEPXY_URL": base})
    assert (ended.status, ended.out) == (2, "")
    assert names in ended.err
    assert heard == []
