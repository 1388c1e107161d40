"""The pages that a person follows at night are run, word for word: every `sh` block of them, in order.

A block may say why it is not run: `needs-docker` and `needs-fly` have no such thing here, `whole-suite` would run this
test again. Each page says so to its reader, too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.cli.conftest import operator
from tests.journey.harness import Town, token
from tests.ship.database_home import ROOT, DatabaseHome, nepxy, rows
from tests.ship.pages import NOT_RUN, blocks, run_commands, text_of, to_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGES = (
    "backup-and-restore",
    "compose",
    "configuration",
    "fly_prod_setup",
    "migrations",
    "release-checklist",
    "rollback",
    "rotating-secrets",
)
COMMAND = re.compile(
    r"^((nepxy|python3?|make|docker|fly|git|psql|cp|curl|openssl) [\w\"$.-]|(scripts|\.venv/bin)/\S+ \S)"
)
RUN_ELSEWHERE = {
    "make run": "tests/journey/test_make_run.py",
    "make test": ".ci/run",
    "make release-check": "its parts by tests/ship/test_release_check.py",
    "nepxy operators add": "tests/cli/conftest.py",
    "python -m nepxy config docs": "scripts/release_check.py",
    "python -m nepxy migrate": "tests/ship/test_image.py",
}
"""What running text names beyond the blocks, and where it is run."""


@pytest.mark.parametrize("page", PAGES)
def test_what_is_not_run_is_marked_and_said(page: str) -> None:
    text = text_of(page)
    assert blocks(page)
    for said, body in blocks(page):
        assert said in ("", *NOT_RUN), said
        needs = {"needs-docker": r"^(\w+=\S+ )*docker ", "needs-fly": r"^fly "}
        for tag, pattern in needs.items():
            assert (said == tag) == bool(re.search(pattern, body, re.M)), body
        if said:
            prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
            assert said in prose or NOT_RUN[said] in prose, f"the page does not say what {said} means"
    # No command hides in a fence of another kind.
    for kind, body in re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.M | re.S):
        assert kind == "sh" or not any(COMMAND.match(line) for line in body.splitlines()), body


@pytest.mark.parametrize("page", PAGES)
def test_what_running_text_tells_to_type_is_run_too(page: str) -> None:
    prose = re.sub(r"^ *```.*?^ *```", "", text_of(page), flags=re.M | re.S)
    told = {one for one in re.findall(r"`([^`\n]+)`", prose) if COMMAND.match(one)}
    run = "\n".join(to_run(one) for one in PAGES)

    assert {one for one in told if one not in run} <= set(RUN_ELSEWHERE)
    for place in RUN_ELSEWHERE.values():
        assert (ROOT / place.rpartition(" ")[2]).exists()


@pytest.fixture
def tree() -> Iterator[Path]:
    """A clone's files, with this working copy's virtual environment: pages write into the directory they run in."""
    folder = Path(tempfile.mkdtemp(prefix="nepxy-pages-"))
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this copy of the repository is no git work tree")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    yield folder
    shutil.rmtree(folder)


def run_page(page: str, tree: Path, home: DatabaseHome, **environ: str) -> str:
    """All its commands."""
    return run_commands(to_run(page), tree, home, **environ)


def test_back_up_and_restore_as_written(
    homes: Callable[[], DatabaseHome], tree: Path, tmp_path: Path
) -> None:
    old, new = homes(), homes()
    nepxy("migrate", "up", url=old.owner_url)
    nepxy("clients", "add", "acme", url=old.owner_url)

    said = run_page(
        "backup-and-restore",
        tree,
        new,
        OWNER_DATABASE_URL=old.owner_url,
        BACKUPS=str(tmp_path / "backups"),
        NEW_OWNER_DATABASE_URL=new.owner_url,
        NEW_ADMIN_DATABASE_URL=new.server.url,
        NEW_DATABASE_URL=new.app_url,
    )

    assert "HELD: nothing is submitted" in said
    assert said.count("released: what may have been sent is looked up") == 2
    assert rows(new.app_url, "SELECT client_id FROM app.api_clients") == [("acme",)]
    commands = rows(new.app_url, "SELECT who, command FROM app.audit_log ORDER BY audit_id")
    assert commands == [
        ("operator:restore_db.sh", "mark_restored"),
        ("operator:ama", "release_restored"),
        ("operator:cli", "mark_restored"),
        ("operator:cli", "release_restored"),
    ]


@pytest.fixture
async def serving(home: DatabaseHome, tmp_path: Path) -> object:
    """An engine and a sandbox, as the pages expect one at $BASE_URL."""
    nepxy("migrate", "up", url=home.owner_url)
    home.give_roles()
    town = Town(database_url=home.app_url, folder=tmp_path)
    town.start_sandbox()
    town.start_engine()
    try:
        async with aiohttp.ClientSession() as session:
            await town.until_ready(session)
        yield town
    finally:
        town.stop()


async def test_roll_back_verify_and_the_release_checklist_as_written(
    serving: Town, home: DatabaseHome, tree: Path, tmp_path: Path
) -> None:
    advisories = tmp_path / "advisories"
    advisories.mkdir()
    (advisories / "none.json").write_text('{"id": "PYSEC-0", "affected": []}')
    secrets = tmp_path / "secrets.env"
    secrets.write_text(SECRETS)
    environ = {
        "DATABASE_URL": home.app_url,
        "ADMIN_DATABASE_URL": home.server.url,
        "BASE_URL": serving.base,
        "NEPXY_CLIENT_TOKEN": token(),
        "ADVISORIES": str(advisories),
        "SECRETS_ENV": str(secrets),
        **operator(serving, "ama", "Ama Mensah"),
    }
    git(tree, "init", "--quiet")
    git(tree, "add", "nepxy")
    git(tree, "commit", "--quiet", "--message", "what is released")

    for page, wanted in (
        ("configuration", "settings are fit to start"),
        ("migrations", "only add"),
        ("rollback", "All 3 steps passed"),
        ("release-checklist", "0 with known vulnerabilities"),
        ("fly_prod_setup", "settings are fit to start"),
    ):
        said = run_page(page, tree, home, **environ)
        assert wanted in said

    # What the checklist froze is what it tagged, and has what the release needs to be tried.
    frozen = tree / "tests/previous_release/frozen"
    assert (frozen / "REF").read_text() == git(tree, "rev-parse", "v0.1.0^{commit}")
    kept = {path.relative_to(frozen) for path in frozen.rglob("*.py")}
    assert {Path("nepxy/storage/journal.py"), Path("nepxy/migrations", NEWEST)} <= kept
    assert all((frozen / path).read_bytes() == (tree / path).read_bytes() for path in kept)


NEWEST = max(path.name for path in (ROOT / "nepxy/migrations").glob("[0-9]*.py"))


def git(tree: Path, *arguments: str) -> str:
    """As somebody who has no settings of his own."""
    who = ("-c", "user.name=A Releaser", "-c", "user.email=releaser@example.com")
    done = subprocess.run(["git", *who, *arguments], cwd=tree, capture_output=True, text=True, check=True)
    return done.stdout


def test_compose_as_written_as_far_as_it_goes_without_docker(home: DatabaseHome, tree: Path) -> None:
    run_page("compose", tree, home)

    assert (tree / ".env").read_text() == (ROOT / "deploy/sandbox.env").read_text()
    assert (tree / "deploy/secrets/database_url").exists()


SECRETS = """# As docs/fly_prod_setup.md lists them.
DATABASE_URL=postgresql://nepxy_app:k3Yx9Qe7Lm2Zt8Vb4@nepxy-prod-db.flycast:5432/nepxy
NEPXY_DATABASE_PLAINTEXT_ALLOWED=true
JWT_SECRET=k3Yx9Qe7Lm2Zt8Vb4Nc6Rw1Hd5Js0PfA
TMONEY_REAL_API_KEY=k3Yx9Qe7Lm2Zt8Vb4
TMONEY_REAL_CASHOUT_URL=https://api.example.com/cashout
TMONEY_REAL_STATUS_URL_TEMPLATE=https://api.example.com/cashout/{provider_ref}
TMONEY_WEBHOOK_SECRET=k3Yx9Qe7Lm2Zt8Vb4Nc6Rw1Hd5Js0PfT
FLOOZ_REAL_API_KEY=k3Yx9Qe7Lm2Zt8Vb4
FLOOZ_REAL_CASHOUT_URL=https://api.example.org/cashout
FLOOZ_REAL_STATUS_URL_TEMPLATE=https://api.example.org/cashout/{provider_ref}
FLOOZ_WEBHOOK_SECRET=k3Yx9Qe7Lm2Zt8Vb4Nc6Rw1Hd5Js0PfF
"""
