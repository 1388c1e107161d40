"""Checks that many ask for at once and that must answer quickly, even while what they check hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")
log = structlog.get_logger()


class SharedCheck(Generic[T]):
    """One running check at a time, shared by all who ask meanwhile; its answer is good for `fresh_s`."""

    def __init__(
        self, name: str, check: Callable[[], Awaitable[T]], *, wait_s: float, fresh_s: float
    ) -> None:
        """Prepare the check; nothing runs yet.

        Args:
            name: for the log.
            check: what to run.
            wait_s: how long one caller waits; the check itself goes on, so that a hanging one is never started twice.
            fresh_s: for how long an answer is given again.
        """
        self._name = name
        self._check = check
        self._wait_s = wait_s
        self._fresh_s = fresh_s
        self._task: asyncio.Task[T | None] | None = None
        self._fresh_until_s = 0.0

    async def answer(self) -> T | None:
        """What the check says; None: it failed, or is not done in time."""
        loop = asyncio.get_running_loop()
        task = self._task
        if task is None or (task.done() and loop.time() >= self._fresh_until_s):
            # An empty context: the check is nobody's request in particular.
            task = self._task = loop.create_task(self._run(), context=Context())
        done, _ = await asyncio.wait({task}, timeout=self._wait_s)
        return task.result() if done and not task.cancelled() else None

    def forget(self) -> None:
        """The world has changed: whoever asks from now on gets an answer of its own time."""
        self._task = None

    def stop(self) -> None:
        """Forget a check that is still running."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> T | None:
        try:
            return await self._check()
        except Exception as error:
            log.warning("check.failed", check=self._name, error=str(error))
            return None
        finally:
            self._fresh_until_s = asyncio.get_running_loop().time() + self._fresh_s
