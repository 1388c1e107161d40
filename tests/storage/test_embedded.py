"""The embedded server keeps data and finds its way back from every kind of end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from playhouse.db_url import connect

from nepxy.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError

# Starts the server, says where it is, and waits to be killed.
OWNER = """
import sys
from pathlib import Path
from nepxy.storage.embedded import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]), durable=False)
print(server.pid, server.url, flush=True)
sys.stdin.read()
print(server.stop(), flush=True)
"""


@pytest.fixture(scope="module")
def new_clusters() -> Iterator[dict[int, Path]]:
    """A cluster of each version, just made and stopped: copying one is quicker than initdb."""
    folders = {version: temporary_folder() for version in (16, 18)}
    for version, folder in folders.items():
        EmbeddedPostgres.start(folder, version=version, durable=False).stop()
    yield folders
    for folder in folders.values():
        shutil.rmtree(folder)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = temporary_folder()
    yield folder
    for version_file in folder.glob("cluster/PG_VERSION"):
        EmbeddedPostgres.start(folder, version=int(version_file.read_text()), durable=False).destroy()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def used_dir(data_dir: Path, new_clusters: dict[int, Path]) -> Path:
    """A data folder that version 18 made, not running."""
    copy_cluster(new_clusters[18], data_dir)
    return data_dir


def temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="nepxy-test-embedded-"))
    folder.chmod(0o711)
    return folder


def copy_cluster(source: Path, target: Path) -> None:
    # Not shutil: the cluster belongs to another account when the tests run as root.
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)


def owner_process(data_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def said_by(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("version", [18, 16])
def test_data_persists_over_a_stop_and_a_start(
    data_dir: Path, new_clusters: dict[int, Path], version: int
) -> None:
    copy_cluster(new_clusters[version], data_dir)
    first = EmbeddedPostgres.start(data_dir, version=version, durable=False)
    execute(first.url, "CREATE TABLE kept AS SELECT 1 AS n")
    assert first.stop() is True
    assert first.pid is None

    second = EmbeddedPostgres.start(data_dir, version=version, durable=False)

    assert second.url == first.url
    assert execute(second.url, "SELECT n, current_setting('server_version_num')::int / 10000 FROM kept") == [
        (1, version)
    ]


def test_commits_survive_a_crash_under_the_same_url(used_dir: Path) -> None:
    server = EmbeddedPostgres.start(used_dir, durable=False)
    url = server.url
    execute(url, "CREATE TABLE kept AS SELECT 1 AS n")

    server.crash()

    assert server.pid is None
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(url)
    server.restart()
    assert server.url == url
    assert execute(url, "SELECT n FROM kept") == [(1,)]


def test_a_new_process_recovers_what_a_crash_left(used_dir: Path) -> None:
    EmbeddedPostgres.start(used_dir, durable=False).crash()

    assert execute(EmbeddedPostgres.start(used_dir, durable=False).url, "SELECT 1") == [(1,)]


def test_a_start_adopts_the_server_of_a_killed_owner(used_dir: Path) -> None:
    owner = owner_process(used_dir)
    pid, url = said_by(owner)
    execute(url, "CREATE TABLE kept AS SELECT 1 AS n")
    owner.kill()
    owner.communicate()

    server = EmbeddedPostgres.start(used_dir, durable=False)

    assert (server.pid, server.url) == (int(pid), url)
    assert execute(url, "SELECT n FROM kept") == [(1,)]
    assert server.stop() is True


def test_a_reused_process_id_is_not_taken_for_the_server(used_dir: Path) -> None:
    server = EmbeddedPostgres.start(used_dir, durable=False)
    server.crash()
    (pid_file,) = used_dir.rglob("postmaster.pid")
    pid_file.write_text(re.sub(r"^\d+", str(os.getpid()), pid_file.read_text()))

    assert execute(EmbeddedPostgres.start(used_dir, durable=False).url, "SELECT 1") == [(1,)]


def test_two_starts_at_once_share_one_server_until_the_last_stops(data_dir: Path) -> None:
    owners = [owner_process(data_dir), owner_process(data_dir)]
    pids_and_urls = [said_by(owner) for owner in owners]
    assert pids_and_urls[0] == pids_and_urls[1]

    stopped_by_first, _ = owners[0].communicate()
    assert stopped_by_first.strip() == "False"
    assert execute(pids_and_urls[0][1], "SELECT 1") == [(1,)]

    stopped_by_second, _ = owners[1].communicate()
    assert stopped_by_second.strip() == "True"
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(pids_and_urls[0][1])


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(used_dir: Path) -> None:
    owner = owner_process(used_dir)
    pid, url = said_by(owner)

    os.killpg(owner.pid, signal.SIGINT)
    owner.communicate()

    assert execute(url, "SELECT 1") == [(1,)]
    assert EmbeddedPostgres.start(used_dir, durable=False).pid == int(pid)


def test_the_url_suits_peewee_even_with_odd_characters_in_the_path(used_dir: Path) -> None:
    odd_dir = used_dir.with_name(f"{used_dir.name} & 100%+")
    used_dir.rename(odd_dir)
    server = EmbeddedPostgres.start(odd_dir, durable=False)
    try:
        database = connect(server.url)
        assert database.execute_sql("SELECT current_database()").fetchall() == [("nepxy",)]
        database.close()
    finally:
        server.destroy()


def test_a_path_too_long_for_a_socket_is_no_obstacle(data_dir: Path) -> None:
    server = EmbeddedPostgres.start(data_dir / ("long" * 30), durable=False)
    try:
        url = server.url
        server.restart()
        assert server.url == url
        assert execute(url, "SELECT 1") == [(1,)]
    finally:
        server.destroy()


def test_tcp_wants_the_right_password(used_dir: Path) -> None:
    server = EmbeddedPostgres.start(used_dir, durable=False, tcp_port=0, password="s3cret @/")

    assert execute(server.tcp_url, "SELECT 1") == [(1,)]
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(server.tcp_url.replace("s3cret", "guess"))
    assert "s3cret" not in repr(server.options)


def test_tcp_without_a_password_is_refused(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="password"):
        EmbeddedPostgres.start(data_dir, tcp_port=0)


def test_data_of_another_version_is_refused_with_the_way_out(
    data_dir: Path, new_clusters: dict[int, Path]
) -> None:
    copy_cluster(new_clusters[16], data_dir)

    with pytest.raises(EmbeddedPostgresError, match="version=16"):
        EmbeddedPostgres.start(data_dir, version=18, durable=False)


def test_an_unknown_version_is_refused_with_the_known_ones(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"16, 18"):
        EmbeddedPostgres.start(data_dir, version=9)


def test_a_server_that_cannot_start_shows_its_last_log_lines(used_dir: Path) -> None:
    server = EmbeddedPostgres.start(used_dir, durable=False)
    server.stop()
    (control_file,) = used_dir.rglob("pg_control")
    control_file.rename(control_file.with_suffix(".gone"))

    with pytest.raises(EmbeddedPostgresError, match="could not find the database system"):
        EmbeddedPostgres.start(used_dir, durable=False)

    control_file.with_suffix(".gone").rename(control_file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account for the server")
def test_root_is_served_from_a_folder_that_is_closed_to_others(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)

    server = EmbeddedPostgres.start(closed / "postgres", durable=False)
    execute(server.url, "CREATE TABLE kept AS SELECT 1 AS n")
    server.stop()
    again = EmbeddedPostgres.start(closed / "postgres", durable=False)

    assert execute(again.url, "SELECT n FROM kept") == [(1,)]
    assert closed.stat().st_mode & 0o777 == 0o700
    elsewhere = Path((closed / "postgres" / "elsewhere").read_text().strip())
    again.destroy()
    assert not elsewhere.exists()
    shutil.rmtree(closed)
