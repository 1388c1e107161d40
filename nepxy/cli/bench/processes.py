"""The programs of a bench, each a process of its own: started, watched, and never left behind."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

import aiohttp
import psutil

from nepxy.config.environ import process_environ

START_S_MAX: Final = 60.0
STOP_S_MAX: Final = 40.0
POLL_S: Final = 0.02

INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
"""Of the environment: settings of a deployment must not reach what is measured."""


class ProgramFailed(Exception):
    """A program of the bench did not start or did not go on; the message has its last lines."""


class Program:
    """One process."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        url: str,
        folder: Path,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Say what is to run; `url` answers once it is up. Its working folder, and its log, are in `folder`."""
        self.name = name
        self.url = url
        self._arguments = tuple(arguments)
        self._folder = folder
        self._variables = dict(variables or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> psutil.Process:
        """To be measured."""
        if self._process is None:
            raise ProgramFailed(f"{self.name} does not run")
        return psutil.Process(self._process.pid)

    def cpu_s(self) -> float:
        """Seconds of processor time that it has spent, all threads."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss_bytes(self) -> int:
        """Memory that it holds."""
        return int(self.process.memory_info().rss)

    async def start(self, path: str = "/") -> float:
        """Start it; in how many seconds `path` answered with less than 500."""
        began_s = perf_counter()
        self.launch()
        await self.until_up(path)
        return perf_counter() - began_s

    def launch(self) -> None:
        """Start it, and do not wait."""
        environment = {name: value for name, value in process_environ().items() if name in INHERITED}
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program and our own arguments
                [sys.executable, *self._arguments],
                env=environment | self._variables,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the bench, which stops everything in order.
                start_new_session=True,
            )

    async def until_up(self, path: str) -> None:
        """Wait until `path` answers with less than 500."""
        deadline_s = perf_counter() + START_S_MAX
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while perf_counter() < deadline_s:
                self.check()
                try:
                    async with session.get(f"{self.url}{path}") as answer:
                        if answer.status < 500:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(POLL_S)
        raise ProgramFailed(f"{self.name} is not up after {START_S_MAX:.0f} s\n{self._last_lines()}")

    def check(self) -> None:
        """Raise where it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise ProgramFailed(
                f"{self.name} ended with status {self._process.returncode}\n{self._last_lines()}"
            )

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not help. Again is nothing."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def _log(self) -> Path:
        return self._folder / f"{self.name}.log"

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


def free_port() -> int:
    """A TCP port that nobody has at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
