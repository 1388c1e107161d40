"""The provider's memory on disk: an append-only file of JSON lines.

A line is handed to the operating system before anybody is answered, so it survives a killed process; it is not synced,
so it may not survive a lost machine. One process holds the file at a time.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson


class History:
    """An open history file, or nothing at all when no path was given."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: int | None = None

    def open(self) -> Iterator[dict[str, Any]]:
        """Takes hold of the file and yields what it remembers, oldest first.

        A half-written last line, which a kill in the middle of a write leaves, is cut off.

        Raises:
            RuntimeError: another sandbox holds the file, or a line in its middle cannot be read.
        """
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise RuntimeError(
                f"{self._path} is held by another sandbox: stop it, or use another file"
            ) from None
        whole = 0
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                try:
                    record: dict[str, Any] = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise RuntimeError(
                        f"{self._path} line {number} is not JSON: move the file away"
                    ) from error
                yield record
        os.ftruncate(self._file, whole)

    def append(self, record: dict[str, object]) -> None:
        """Writes one line; when this returns, a kill of this process no longer loses it.

        Raises:
            OSError: the line was not written whole; nobody may be told what it says.
        """
        if self._file is None:
            return
        line = orjson.dumps(record) + b"\n"
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
        except OSError:
            os.ftruncate(self._file, size)
            raise
        if written != len(line):
            # A full disk takes part of a line; the rest of the file must stay readable.
            os.ftruncate(self._file, size)
            raise OSError(f"{self._path} took {written} of {len(line)} bytes: is the disk full?")

    def close(self) -> None:
        """Lets go of the file; closing twice is harmless."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
