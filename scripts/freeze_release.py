"""Keeps a copy of a release's storage code, which must go on working on every later schema: docs/rollback.md.

    .venv/bin/python scripts/freeze_release.py REF

REF is a tag or commit. What its `nepxy.storage` needs is copied to `tests/previous_release/frozen/`, byte for byte;
the smoke test beside it speaks that release's own interface, so after a new freeze see that it still does.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOME = ROOT / "tests" / "previous_release"
PARTS = ("journal", "payouts", "webhooks", "controls", "leases", "database", "migrate")
FIND = """
import importlib, sys
for part in sys.argv[1:]:
    importlib.import_module(f"nepxy.storage.{part}")
print(*sorted(m.__file__ for n, m in sys.modules.items() if n == "nepxy" or n.startswith("nepxy.")), sep="\\n")
"""


def freeze(ref: str) -> None:
    """Replace the frozen copy by that of `ref`."""
    commit = _git("rev-parse", f"{ref}^{{commit}}").decode().strip()
    frozen = HOME / "frozen"
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, "nepxy"))) as archive:
            archive.extractall(folder, filter="data")
        found = subprocess.run(
            [sys.executable, "-c", FIND, *PARTS],
            env={"PYTHONPATH": folder},
            cwd=folder,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        shutil.rmtree(frozen, ignore_errors=True)
        files = [Path(line) for line in found.stdout.split()]
        files += sorted(Path(folder, "nepxy", "migrations").glob("*.py"))
        for file in files:
            copy = frozen / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    (frozen / "REF").write_text(f"{commit}\n")
    print(f"{len(files)} files of {ref} ({commit}) are in {frozen}")


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    freeze(sys.argv[1])
