"""`make release-check` finds what it looks for: each of its checks, on a tree where that is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.ship.database_home import ROOT

LOOKED_AT = (
    "setup.cfg",
    "CHANGELOG.md",
    "docker-compose.yml",
    "requirements.lock",
    "requirements-runtime.lock",
    ".env.example",
    "docs/configuration.md",
    "scripts/audit_dependencies.py",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What the quick checks look at, to be spoilt."""
    for name in LOOKED_AT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "nepxy").symlink_to(ROOT / "nepxy")
    return tmp_path


def checked(tree: Path, *names: str, seeds: int = 1) -> tuple[int, str]:
    command = [
        sys.executable,
        str(ROOT / "scripts/release_check.py"),
        "--root",
        str(tree),
        "--only",
        ",".join(names),
        "--seeds",
        str(seeds),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tree)
    return done.returncode, done.stdout + done.stderr


def spoil(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_this_tree_is_sound() -> None:
    status, said = checked(ROOT, "version", "locks", "migrations", "configuration")

    assert status == 0, said
    assert said.count("ok  ") == 4


@pytest.mark.slow
def test_what_make_run_starts_is_smoked_and_storms_are_raised() -> None:
    status, said = checked(ROOT, "smoke", "simulation", seeds=2)

    assert status == 0, said
    assert "ok         smoke: All 13 steps passed." in said
    assert "ok         simulation: " in said
    assert said.splitlines()[-1].startswith("All checks passed.")


@pytest.mark.slow
def test_a_smoke_that_fails_is_told_with_what_it_said_and_whatever_else_is_looked_at(tree: Path) -> None:
    (tree / "scripts/smoke_dev.py").write_text("import sys\n\nsys.exit('the payout was not settled')\n")
    spoil(tree / "setup.cfg", "version = 0.1.0", "version = 0.2.0")

    status, said = checked(tree, "version", "migrations", "smoke")

    assert status == 1
    assert "FAILED     smoke: " in said
    assert "the payout was not settled" in said
    assert "ok         migrations: " in said
    assert said.splitlines()[-1] == "Not to be released: version, smoke failed."


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("setup.cfg", "version = 0.1.0", "version = 0.2.0"),
        ("CHANGELOG.md", "## 0.1.0", "## 0.0.9"),
        ("docker-compose.yml", "NEPXY_IMAGE:-nepxy:0.1.0", "NEPXY_IMAGE:-nepxy:0.3.0"),
    ],
)
def test_versions_that_differ_are_named(tree: Path, file: str, old: str, new: str) -> None:
    spoil(tree / file, old, new)

    status, said = checked(tree, "version")

    assert status == 1
    assert f"{file} says {new.rpartition(' ')[2].rpartition(':')[2]}" in said


def test_a_package_without_hashes_is_named(tree: Path) -> None:
    lock = tree / "requirements-runtime.lock"
    lock.write_text("unheard-of==1.0\n" + lock.read_text())

    status, said = checked(tree, "locks")

    assert (status, "no hash is locked for unheard-of" in said) == (1, True)


def test_a_package_that_is_shipped_as_it_was_not_tested_is_named(tree: Path) -> None:
    spoil(tree / "requirements-runtime.lock", "peewee==4.5.3", "peewee==4.5.2")

    status, said = checked(tree, "locks")

    assert (status, "shipped at another version than tested: peewee" in said) == (1, True)


def test_documentation_that_is_not_the_model_is_named(tree: Path) -> None:
    spoil(tree / ".env.example", "# PORT=8001", "# PORT=8000")

    status, said = checked(tree, "configuration")

    assert (status, ".env.example is not what the settings are" in said) == (1, True)


def test_a_check_that_does_not_exist_is_refused() -> None:
    status, said = checked(ROOT, "versions")

    assert (status, "there is no check versions" in said) == (2, True)


# ---- the audit -----------------------------------------------------------------------------------------

LOCK = (
    "aiohttp==3.14.5 \\\n    --hash=sha256:00\npykka==4.5.0 ; python_version > '3'\nruamel.yaml[x]==1.0 \\\n"
)


class OsvLike(BaseHTTPRequestHandler):
    """Speaks osv.dev's `querybatch`: knows one vulnerability of aiohttp 3.14.5."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        results = [
            {"vulns": [{"id": "GHSA-test", "modified": "2026-01-01T00:00:00Z"}]}
            if (one["package"], one["version"]) == ({"name": "aiohttp", "ecosystem": "PyPI"}, "3.14.5")
            else {}
            for one in asked
        ]
        body = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), OsvLike)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def audited(tmp_path: Path, *arguments: str, lock: str = LOCK) -> tuple[int, str]:
    (tmp_path / "lock").write_text(lock)
    command = [sys.executable, str(ROOT / "scripts/audit_dependencies.py"), "--lock", str(tmp_path / "lock")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_a_vulnerable_package_is_named_with_its_advisory(tmp_path: Path, osv: str) -> None:
    status, said = audited(tmp_path, "--url", osv)

    assert (status, said.splitlines()) == (
        1,
        ["aiohttp==3.14.5: GHSA-test", "3 packages, 1 with known vulnerabilities"],
    )


def test_packages_without_advisories_pass(tmp_path: Path, osv: str) -> None:
    status, said = audited(tmp_path, "--url", osv, lock=LOCK.replace("3.14.5", "3.14.6"))

    assert (status, said.strip()) == (0, "3 packages, 0 with known vulnerabilities")


def test_where_nobody_can_be_asked_it_says_so_and_passes_for_nothing(tmp_path: Path) -> None:
    status, said = audited(tmp_path, "--url", "http://127.0.0.1:1")

    assert (status, said.startswith("NOT AUDITED")) == (3, True)
    assert audited(tmp_path, "--database", str(tmp_path / "nowhere"))[0] == 3


@pytest.mark.parametrize(
    ("affected", "hit"),
    [
        ({"versions": ["3.14.5"]}, True),
        ({"versions": ["3.14.4"]}, False),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.14.6"}]}]}, True),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.14.5"}]}]}, False),
        (
            {
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "3.9"}, {"last_affected": "3.14.5"}]}
                ]
            },
            True,
        ),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "3.15"}]}]}, False),
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, False),
    ],
)
def test_a_copy_of_the_advisories_is_read_as_osv_describes_it(
    tmp_path: Path, affected: dict[str, object], hit: bool
) -> None:
    advisory = {
        "id": "PYSEC-1",
        "affected": [{"package": {"name": "AioHTTP", "ecosystem": "PyPI"}, **affected}],
    }
    (tmp_path / "PYSEC-1.json").write_text(json.dumps(advisory))
    withdrawn = advisory | {"id": "PYSEC-2", "withdrawn": "2026-01-01T00:00:00Z"}
    (tmp_path / "PYSEC-2.json").write_text(json.dumps(withdrawn))

    status, said = audited(tmp_path, "--database", str(tmp_path))

    assert status == int(hit)
    assert ("PYSEC-1" in said) is hit
    assert "PYSEC-2" not in said
