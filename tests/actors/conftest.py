"""What actors log goes into a list: formatting a stack trace takes longer than an hour of virtual time."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import LogCapture

from tests.actors.support import OPEN_WORLDS


@pytest.fixture(autouse=True)
def _worlds() -> Iterator[None]:
    yield
    while OPEN_WORLDS:
        OPEN_WORLDS.pop().close()


@pytest.fixture(autouse=True)
def logged() -> Iterator[LogCapture]:
    """Every log line of one test."""
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[capture])
    runtime_log = logging.getLogger("nepxy.engine.runtime")
    runtime_log.disabled = True
    yield capture
    runtime_log.disabled = False
    structlog.configure(**before)
