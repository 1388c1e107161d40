"""The pages that a person follows at night: their `sh` blocks, and a shell to run them in as their reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.ship.database_home import ROOT, DatabaseHome, bare_environ

NOT_RUN = {"needs-docker": "needs Docker", "needs-fly": "needs Fly", "whole-suite": "make release-check"}
"""What a block may say of itself, and what its page then says to the reader."""
LIMIT_S = 200


def text_of(page: str) -> str:
    """The page's Markdown."""
    return (ROOT / "docs" / f"{page}.md").read_text()


def blocks(page: str) -> list[tuple[str, str]]:
    """Each shell block of a page: what it says of itself, and its commands."""
    return [
        (said.strip(), body)
        for said, body in re.findall(r"^```sh( [\w-]+)?\n(.*?)^```", text_of(page), re.M | re.S)
    ]


def to_run(page: str) -> str:
    """All that is run, in order."""
    return "\n".join(body for said, body in blocks(page) if said not in NOT_RUN)


def run_commands(commands: str, folder: Path, home: DatabaseHome, **environ: str) -> str:
    """Run these commands in one shell, as their reader would paste them; returns what they said."""
    psql = next(
        p for p in home.server._bin.parent.parent.glob("pginstall*/bin/psql") if os.access(p, os.X_OK)
    )
    given = bare_environ(NEPXY_DATA_DIR=str(folder / "data"), **environ)
    given["PATH"] = f"{Path(sys.executable).parent}:{psql.parent}:{given['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"as written it fails:\n{commands}\n{done.stdout}"
    return done.stdout
