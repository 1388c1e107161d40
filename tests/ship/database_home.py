"""A server of its own with a database `nepxy`, an owner who migrates, and a role for the engine; passwords over TCP."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from nepxy.storage.embedded import EmbeddedPostgres

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


@dataclass
class DatabaseHome:
    """The server and who may log in."""

    server: EmbeddedPostgres
    passwords: dict[str, str] = field(default_factory=dict)

    def url(self, role: str) -> str:
        """Over TCP, with the role's password."""
        rest = self.server.tcp_url.partition("@")[2]
        return f"postgresql://{role}:{quote(self.passwords[role], safe='')}@{rest}"

    @property
    def owner_url(self) -> str:
        return self.url("nepxy_owner")

    @property
    def app_url(self) -> str:
        return self.url("nepxy_app")

    def admin(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """One statement as the superuser."""
        return rows(self.server.url, statement, *params)

    def give_roles(self) -> None:
        """What `psql -f scripts/roles.sql` does."""
        self.admin((SCRIPTS / "roles.sql").read_text())

    def set_password(self, role: str, password: str) -> None:
        self.admin(f"ALTER ROLE {role} PASSWORD %s", password)
        self.passwords[role] = password


def rows(url: str, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def database_home(version: int = 18) -> Iterator[DatabaseHome]:
    """Until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"nepxy-test-pg{version}-ship-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres.start(
        folder, version=version, durable=False, tcp_port=0, password="the superuser's own"
    )
    try:
        made = DatabaseHome(server)
        made.give_roles()
        made.set_password("nepxy_owner", "owner: p@ss/word")
        made.set_password("nepxy_app", "engine: p@ss/word")
        yield made
    finally:
        server.destroy()


def run(*command: str, url: str, check: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command as an operator runs it from the repository, with the database's URL and nothing else of ours."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=bare_environ(DATABASE_URL=url, **environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or done.returncode == 0, f"{command} said:\n{done.stdout}\n{done.stderr}"
    return done


def bare_environ(**more: str) -> dict[str, str]:
    """What a shell has, and none of what tests or developers set for NepXy."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHON": sys.executable, "ENV": "dev", **more}


def nepxy(*arguments: str, url: str, check: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
    """`nepxy …` in a process of its own."""
    return run(sys.executable, "-m", "nepxy", *arguments, url=url, check=check, **environ)


def backed_up(url: str, folder: Path) -> Path:
    """The file that scripts/backup_db.sh makes."""
    done = run(str(SCRIPTS / "backup_db.sh"), str(folder), url=url)
    return Path(done.stdout.strip().splitlines()[-1])
