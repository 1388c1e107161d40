"""All that must hold before a release: a line a check, and at its end what did not hold or could not be asked.

    scripts/release_check.py [--only NAME,NAME] [--seeds N]

Exit status 0: it may be released. What could not be asked (an advisory database without a network) is said, and does
not fail; docs/release-checklist.md says who looks at it then.
"""

from __future__ import annotations

import argparse
import configparser
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
AUDIT_NOT_ASKED: Final = 3
START_S_MAX: Final = 120.0


class CheckFailed(Exception):
    """It does not hold; the message says what, and what to do."""


class NotAsked(Exception):
    """Nobody could be asked: it neither holds nor fails."""


@dataclass(frozen=True, slots=True)
class Release:
    """The tree that shall be released, and how long to look at it."""

    root: Path = ROOT
    seeds: int = 300

    def run(self, *command: str, **environ: str) -> str:
        """A command's output; CheckFailed with its last lines where it fails."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CheckFailed(f"{' '.join(command)} → {done.returncode}\n{_last(done.stdout, 30)}")
        return done.stdout

    def python(self, *arguments: str, **environ: str) -> str:
        """The same, by this Python."""
        return self.run(sys.executable, *arguments, **environ)


def version(release: Release) -> str:
    """setup.cfg, the changelog's newest entry and the image's name say the same version."""
    package = configparser.ConfigParser()
    package.read(release.root / "setup.cfg")
    ours = package["metadata"]["version"]
    newest = re.search(r"^## (\d+\.\d+\.\d+)\b", (release.root / "CHANGELOG.md").read_text(), re.MULTILINE)
    image = re.search(r"NEPXY_IMAGE:-nepxy:([\w.-]+)\}", (release.root / "docker-compose.yml").read_text())
    said = {
        "setup.cfg": ours,
        "CHANGELOG.md": newest[1] if newest else "nothing",
        "docker-compose.yml": image[1] if image else "nothing",
    }
    if len(set(said.values())) != 1:
        told = ", ".join(f"{file} says {one}" for file, one in said.items())
        raise CheckFailed(f"{told}: make them one")
    return ours


def locks(release: Release) -> str:
    """Every locked package has its hashes, and what is shipped is locked at the version that was tested."""
    tested, shipped = (
        _locked(release.root / name) for name in ("requirements.lock", "requirements-runtime.lock")
    )
    without = sorted(name for name, entry in (tested | shipped).items() if "--hash=sha256:" not in entry[1])
    if without:
        raise CheckFailed(f"no hash is locked for {', '.join(without)}: make lock")
    other = sorted(name for name, entry in shipped.items() if tested.get(name, ("",))[0] != entry[0])
    if other:
        raise CheckFailed(f"shipped at another version than tested: {', '.join(other)}: make lock")
    return f"{len(tested)} tested, {len(shipped)} of them shipped"


def _locked(file: Path) -> dict[str, tuple[str, str]]:
    entries = re.split(r"\n(?=\S)", file.read_text())
    found = (re.match(r"([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", entry) for entry in entries)
    return {match[1]: (match[2], match.string) for match in found if match}


def lint(release: Release) -> str:
    """Style, format, types, import arrows."""
    bin_ = Path(sys.executable).parent
    release.run(str(bin_ / "ruff"), "check", "--quiet", ".")
    release.run(str(bin_ / "ruff"), "format", "--check", "--quiet", ".")
    release.run(str(bin_ / "mypy"))
    release.run(str(bin_ / "lint-imports"), "--no-logo")
    return "style, format, types, import arrows"


def migrations(release: Release) -> str:
    """The migrations only add, or say why they may take away."""
    return _last(release.python("-m", "nepxy", "migrate", "check"), 1)


def configuration(release: Release) -> str:
    """What is documented is what is read, and a start in production without secrets is refused with all of it."""
    for file, command in ((".env.example", "example"), ("docs/configuration.md", "docs")):
        if release.python("-m", "nepxy", "config", command) != (release.root / file).read_text():
            raise CheckFailed(
                f"{file} is not what the settings are: python -m nepxy config {command} >{file}"
            )
    with tempfile.TemporaryDirectory() as elsewhere:
        bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        refused = subprocess.run(
            [sys.executable, "-m", "nepxy", "config", "check"],
            cwd=elsewhere,
            env={**bare, "ENV": "prod", "MM_MODE": "real", "PYTHONPATH": str(release.root)},
            capture_output=True,
            text=True,
            check=False,
        )
    missing = [
        name for name in ("DATABASE_URL", "JWT_SECRET", "MM_ENABLED_PROVIDERS") if name not in refused.stderr
    ]
    if refused.returncode != 2 or missing:
        raise CheckFailed(f"a bare production start is not refused for {', '.join(missing) or 'anything'}")
    return "documented from the model; a bare production start is refused"


def tests(release: Release) -> str:
    """All of them."""
    said = release.python(
        "-m", "pytest", "--quiet", "--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder"
    )
    return _last(said, 1)


def simulation(release: Release) -> str:
    """Storms on virtual time, more of them than the tests make."""
    return _last(release.python("-m", "tests.simulation", "--seeds", str(release.seeds)), 1)


def smoke(release: Release) -> str:
    """What `make run` starts takes a payout and settles it."""
    port, sandbox_port = _free_ports(2)
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="nepxy-release-") as folder, tempfile.TemporaryFile("w+") as log:
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("NEPXY_", "DATABASE_"))
        }
        environ |= {"ENV": "dev", "NEPXY_DATA_DIR": folder}
        running = subprocess.Popen(
            [sys.executable, "-m", "nepxy", "run", "--port", str(port), "--sandbox-port", str(sandbox_port)],
            cwd=release.root, env=environ, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            _until_ready(base, running)
            said = release.python("scripts/smoke_dev.py", "--base-url", base, NEPXY_DATA_DIR=folder)
        except CheckFailed as failed:
            log.seek(0)
            raise CheckFailed(f"{failed}\n{_last(log.read(), 20)}") from None
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGINT)
                running.wait(timeout=90)
    return _last(said, 1)


def audit(release: Release) -> str:
    """No locked package has a known vulnerability."""
    done = subprocess.run(
        [sys.executable, "scripts/audit_dependencies.py"],
        cwd=release.root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == AUDIT_NOT_ASKED:
        raise NotAsked(_last(done.stdout, 1))
    if done.returncode != 0:
        raise CheckFailed(done.stdout + done.stderr)
    return _last(done.stdout, 1)


CHECKS: Final[tuple[Callable[[Release], str], ...]] = (
    version, locks, migrations, configuration, lint, audit, smoke, simulation, tests,
)  # fmt: skip
"""The quick ones first."""


def main() -> int:
    """Every check, whatever the others say: one run tells all."""
    release, only = _arguments()
    failed, not_asked = [], []
    for check in CHECKS:
        name = check.__name__
        if only and name not in only:
            continue
        began = time.monotonic()
        try:
            said = check(release)
        except CheckFailed as problem:
            failed.append(name)
            print(f"FAILED     {name}: {problem}", flush=True)
        except NotAsked as problem:
            not_asked.append(name)
            print(f"NOT ASKED  {name}: {problem}", flush=True)
        else:
            print(f"ok         {name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    if failed:
        print(f"Not to be released: {', '.join(failed)} failed.")
        return 1
    but = f", but nobody could be asked for: {', '.join(not_asked)}" if not_asked else ""
    print(f"All checks passed{but}. Then: docs/release-checklist.md")
    return 0


def _arguments() -> tuple[Release, set[str]]:
    names = [check.__name__ for check in CHECKS]
    parser = argparse.ArgumentParser(description="All that must hold before a release.")
    parser.add_argument("--only", default="", help=f"some of {','.join(names)}")
    parser.add_argument("--seeds", type=int, default=300, help="storms of the simulation")
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to look at")
    given = parser.parse_args()
    only = set(filter(None, given.only.split(",")))
    if only - set(names):
        parser.error(
            f"there is no check {', '.join(sorted(only - set(names)))}; there are {', '.join(names)}"
        )
    return Release(given.root, given.seeds), only


def _until_ready(base: str, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and running.poll() is None:
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=5) as answer:
                if json.load(answer)["ready"]:
                    return
        except (OSError, urllib.error.HTTPError, ValueError):
            pass
        time.sleep(0.2)
    raise CheckFailed(f"make run was not ready within {START_S_MAX:.0f} s")


def _free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    for one in taken:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in taken]
    for one in taken:
        one.close()
    return ports


def _last(text: str, count: int) -> str:
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


if __name__ == "__main__":
    sys.exit(main())
