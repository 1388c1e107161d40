"""Starts that cannot work are refused with a message that says what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journey.harness import JWT_SECRET, Town
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.timeout(120)


def serve(folder: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nepxy", "serve"]
    made = {**os.environ, "JWT_SECRET": JWT_SECRET, **environ}
    return subprocess.run(
        command, cwd=folder, env=made, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_taken_port_is_named(database_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = serve(DATABASE_URL=database_url, PORT=str(port))
    assert ended.returncode == 2
    assert f"127.0.0.1:{port} cannot be listened on" in ended.stderr


def test_a_database_that_is_away_is_said_to_be() -> None:
    ended = serve(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", PORT="0")
    assert ended.returncode == 2
    assert "the database cannot be reached" in ended.stderr
    assert "DATABASE_URL" in ended.stderr


def test_missing_migrations_are_named_with_the_command(postgres: PostgresServer) -> None:
    with postgres.fresh_database(migrated=False) as url:
        ended = serve(DATABASE_URL=url, PORT="0")
    assert ended.returncode == 2
    assert "expand_initial" in ended.stderr
    assert "python -m nepxy migrate up" in ended.stderr


def test_every_wrong_setting_is_listed_at_once() -> None:
    ended = serve(DATABASE_URL="mysql://x", PORT="high", MM_ENABLED_PROVIDERS="TMONY")
    assert ended.returncode == 2
    for name in ("DATABASE_URL", "PORT", "MM_ENABLED_PROVIDERS"):
        assert name in ended.stderr
    assert "TMONEY" in ended.stderr


def test_an_unsafe_production_is_refused_in_one_message_that_shows_no_secret(tmp_path: Path) -> None:
    environ = {
        "ENV": "prod",
        "DATABASE_URL": "postgresql://nepxy:password@db.example/nepxy",
        "JWT_SECRET": "changeme-changeme-changeme",
        "MM_ENABLED_PROVIDERS": "TMONEY,FLOOZ",
        "TMONEY_WEBHOOK_SECRET": "hook-s3cret",
        "CORS_ALLOW_ORIGINS": "https://app.example.com,*",
        "THUNES_ALLOW_UNSIGNED_WEBHOOKS": "true",
        "MM_MODE": "sandbox",
        "NEPXY_LOG_LEVEL": "debug",
    }
    ended = serve(folder=tmp_path, **environ)

    assert ended.returncode == 2
    for line in (
        "DATABASE_URL: its password is missing, or one that anybody would try",
        "DATABASE_URL: goes to another machine without TLS",
        "JWT_SECRET: is one that anybody would try",
        "TMONEY_WEBHOOK_SECRET: is shorter than 16 characters",
        "MM_ENABLED_PROVIDERS: FLOOZ is enabled without",
        "CORS_ALLOW_ORIGINS: * lets every page call the API",
        "THUNES_ALLOW_UNSIGNED_WEBHOOKS: anybody could then send webhooks",
        "MM_MODE: is sandbox",
        "NEPXY_LOG_LEVEL: debug",
    ):
        assert line in ended.stderr
    assert ended.stdout == ""
    for secret in ("hook-s3cret", "changeme-"):
        assert secret not in ended.stderr


def test_a_production_without_anything_names_what_it_lacks(tmp_path: Path) -> None:
    ended = serve(folder=tmp_path, ENV="production", MM_MODE="real", JWT_SECRET="", DATABASE_URL="")

    assert ended.returncode == 2
    for line in (
        "DATABASE_URL: is missing",
        "JWT_SECRET: is missing",
        "MM_ENABLED_PROVIDERS: TMONEY is enabled",
    ):
        assert line in ended.stderr
    assert "TMONEY_WEBHOOK_SECRET" in ended.stderr


def test_a_town_is_not_left_running_by_its_harness(town: Town) -> None:
    town.start_sandbox()
    town.stop()
    assert town.sandbox is not None
    assert town.sandbox.poll() is not None
