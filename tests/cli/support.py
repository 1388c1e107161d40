"""The command line as its users meet it: arguments and environment in; output, errors and exit status out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from nepxy.cli.main import app

OURS = ("NEPXY_URL", "NEPXY_TOKEN", "NEPXY_OPERATOR_ID", "NEPXY_OPERATOR_SECRET")


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    status: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Stdout, which must be one JSON object and nothing else."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def nepxy(*arguments: str, environ: Mapping[str, str] | None = None, stdin: str = "") -> Ended:
    """Run `nepxy ARGUMENTS` in this process; of our variables it sees only those in `environ`."""
    seen = dict.fromkeys(OURS) | {"NEPXY_DATA_DIR": "/nonexistent"} | dict(environ or {})
    ended = CliRunner().invoke(app, list(arguments), env=seen, input=stdin)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return Ended(ended.exit_code, ended.stdout, ended.stderr)
