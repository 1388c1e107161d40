"""`python -m tests.runbook.hasty serve …`: the engine as it is, except that "lately" is ten seconds.

What the doctor says of the last five or fifteen minutes would have a test wait for as long.
"""

from __future__ import annotations

from unittest.mock import patch

from nepxy.cli.main import app

if __name__ == "__main__":
    with (
        patch("nepxy.http.facts.LATELY_S", 10.0),
        patch("nepxy.http.facts.LONG_S", 10.0),
        patch("nepxy.http.watch.STEP_S", 1.0),
        patch("nepxy.engine.call_ring.WINDOW_S", 10.0),
        patch("nepxy.engine.call_ring.BUCKET_S", 1.0),
    ):
        app()
