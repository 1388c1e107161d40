"""The composition root: builds the engine in order, and stops it in reverse.

Start: database, runtime, journal, supervisor, HTTP. Stop: intake (readiness turns false), provider calls in
flight, journal, HTTP, leases, connections. Webhooks are served until the journal closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import peewee
import structlog
import uuid_utils as uuids
import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry, disable_created_metrics
from pykka import ActorRef

from nepxy.actors.context import EngineParts, Ownership
from nepxy.actors.engine_control import Hooks
from nepxy.actors.journal import Journal
from nepxy.actors.journal_writer import JournalWriter
from nepxy.actors.loop_lag import watch_loop_lag
from nepxy.actors.messages import DescribeEngine, Drain, EngineView
from nepxy.actors.metrics import EngineMetrics
from nepxy.actors.moves import Moves
from nepxy.actors.reconciliation import ReconciliationSetup
from nepxy.actors.supervisor import ProviderSetup, Supervisor, SupervisorLimits
from nepxy.config.logs import configure_logging
from nepxy.config.node import is_gone, new_node_id
from nepxy.config.providers import ProviderSettings
from nepxy.config.settings import Settings
from nepxy.engine.capabilities import Capabilities
from nepxy.engine.decide import Policy
from nepxy.engine.retry import RetryPolicy
from nepxy.engine.runtime import (
    ActorDeadError,
    AskTimeout,
    LoopActorRef,
    LoopScheduler,
    Runtime,
    ask,
    stop_and_wait,
)
from nepxy.errors import NepXyError, Unavailable
from nepxy.http.app import create_app
from nepxy.http.door import Door
from nepxy.http.front import FrontEnd
from nepxy.http.parts import PARTS
from nepxy.providers.contract import Adapter
from nepxy.providers.registry import build_adapters, plugins
from nepxy.providers.signatures import signed_with
from nepxy.storage import leases
from nepxy.storage.address import Address
from nepxy.storage.database import Reader, connect_writer
from nepxy.storage.migrate import MigrationStatus, migration_status
from nepxy.storage.store import DatabaseStore

log = structlog.get_logger("nepxy.serve")

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 2
EXIT_UNRECORDED: Final = 3
EXIT_DIED: Final = 70

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread may keep the others from the interpreter: the loop must not wait 5 ms for a journal thread."""


NO_ADAPTER: Final = "an adapter in this release"
"""What a provider that only has settings lacks."""
READER_THREADS: Final = "reader"
"""How `nepxy.storage.database` calls the threads that read."""
CLOSE_S_MAX: Final = 3.0
"""How long a stop waits for each of: the HTTP server's last answers, the leases' return, the last reads."""


def serve(settings: Settings, url: str, *, ready: Callable[[int], None] | None = None) -> int:
    """Run the engine until SIGTERM or SIGINT.

    Args:
        settings: validated whole.
        url: the database's.
        ready: called with the port once it listens.

    Returns:
        The exit status: 0 clean; 2 refused to start; 3 answers unrecorded at the stop; 70 something died.
    """
    configure_logging(settings.log.format, settings.log.level, for_good=True)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # When each series began: a third of what is scraped, and nobody asks for it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    # Hundreds of thousands of long-lived actors: the default thresholds walk them all the time.
    gc.set_threshold(50_000, 20, 100)
    for warning in settings.warnings:
        log.warning("settings.doubtful", warning=warning)
    status = uvloop.run(_Process(settings, url, ready).run())
    if any(thread.name.startswith(READER_THREADS) for thread in threading.enumerate()):
        # A database that hangs keeps a read for minutes, and the interpreter would wait for that thread.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


class _Process:
    """One serving process, from its start to its exit status."""

    def __init__(self, settings: Settings, url: str, ready: Callable[[int], None] | None) -> None:
        self._settings = settings
        self._address = Address(url, _url_now)
        self._ready = ready
        self._stop = asyncio.Event()
        self._died: str | None = None
        self._giving_up = threading.Event()
        self._journal_writers: list[Any] = []
        self._registry = CollectorRegistry()
        self._hooks = Hooks()
        self._lag_watch: asyncio.Task[None] | None = None
        self._moves = Moves()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        reader = self._reader(self._settings.database.pool_connections_max)
        try:
            adapters = build_adapters(self._settings.providers)
            installation_id = await self._check_database(reader)
        except NepXyError as refused:
            reader.close()
            sys.stderr.write(f"nepxy cannot start: {refused.message}\n{refused.hint}\n")
            return EXIT_REFUSED
        listener = self._listen()
        if listener is None:
            reader.close()
            return EXIT_REFUSED
        return await self._run_engine(reader, listener, adapters, installation_id)

    async def _run_engine(
        self, reader: Reader, listener: socket.socket, adapters: dict[str, Adapter], installation_id: str
    ) -> int:
        settings = self._settings
        second_person = settings.engine.second_person
        setups = {
            name: _setup(provider, adapters.get(name), installation_id, second_person=second_person)
            for name, provider in settings.providers.items()
        }
        journal, supervisor, store = self._start_actors(reader, setups)
        runner = self._http(reader, supervisor, adapters, setups, installation_id)
        await runner.setup()
        self._hooks.reload_secrets = runner.app[PARTS].secrets.reload
        if not os.isatty(0):
            # On a terminal SIGHUP still means that it was closed.
            reread = runner.app[PARTS].secrets.reread
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reread)
        await Door(runner, listener, backlog=1024).start()
        port = listener.getsockname()[1]
        log.info("engine.started", host=settings.http.host, port=port, version=settings.app_version)
        if self._ready is not None:
            self._ready(port)
        await self._stop.wait()
        log.info("engine.stopping", reason=self._died or "asked to")
        if self._lag_watch is not None:
            self._lag_watch.cancel()
        unrecorded = await self._drain(journal, supervisor, runner.app)
        await runner.cleanup()
        await _stop(supervisor)
        await _stop(journal)
        await asyncio.gather(*map(_stop, self._journal_writers))
        with contextlib.suppress(Unavailable, peewee.PeeweeException, TimeoutError):
            await asyncio.wait_for(store.release_shards(), timeout=CLOSE_S_MAX)
        for adapter in adapters.values():
            await adapter.close()
        readers = (reader, store.lease_reader, store.command_reader)
        await asyncio.gather(*(_close(one) for one in readers if one is not None))
        return self._status(unrecorded)

    def _status(self, unrecorded: int) -> int:
        """The exit status; where it is not 0, the last line says why."""
        if self._died is not None:
            sys.stderr.write(f"nepxy died: {self._died}\n")
            return EXIT_DIED
        if unrecorded:
            sys.stderr.write(
                f"nepxy stopped with {unrecorded} answers unrecorded, because the database did not take them, or "
                "the provider did not give them, within the limit: "
                "those payouts are in doubt at the next start, and will be looked into then.\n"
            )
            return EXIT_UNRECORDED
        log.info("engine.stopped")
        return EXIT_OK

    # ---- start ------------------------------------------------------------------------------------------

    def _reader(self, connections_max: int) -> Reader:
        database = self._settings.database
        return Reader(
            self._address,
            connections_max=connections_max,
            statement_timeout_s=database.statement_timeout_s,
            connect_timeout_s=database.connect_timeout_s,
            waiting_max=database.reads_waiting_max,
        )

    async def _check_database(self, reader: Reader) -> str:
        try:
            status = await asyncio.to_thread(self._address.reach, migration_status)
        except Exception as error:
            raise Unavailable(
                "DATABASE_UNAVAILABLE",
                f"the database cannot be reached ({type(error).__name__})",
                "Check DATABASE_URL, and that the server is up.",
            ) from error
        problem = _schema_problem(status)
        if problem is not None:
            raise problem
        return self._settings.engine.installation_id or await reader.run(leases.installation_id)

    def _listen(self) -> socket.socket | None:
        """Take the port before anything starts, so that a taken one leaves nothing half-done."""
        http = self._settings.http
        family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((http.host, http.port))
        except OSError as error:
            listener.close()
            sys.stderr.write(
                f"nepxy cannot start: {http.host}:{http.port} cannot be listened on ({error.strerror}).\n"
                "Stop what holds the port, or set PORT to another one.\n"
            )
            return None
        listener.setblocking(False)
        return listener

    def _start_actors(
        self, reader: Reader, setups: Mapping[str, ProviderSetup]
    ) -> tuple[LoopActorRef[Journal], LoopActorRef[Supervisor], DatabaseStore]:
        settings = self._settings
        metrics = EngineMetrics(self._registry, settings.providers)
        self._lag_watch = asyncio.get_running_loop().create_task(watch_loop_lag(metrics.loop_lag_s))
        runtime = Runtime(scheduler=LoopScheduler(), observer=metrics)
        node_id = new_node_id()
        store = DatabaseStore(
            reader=reader,
            lease_reader=self._reader(1),
            command_reader=self._reader(1),
            node_id=node_id,
            host=socket.gethostname(),
            app_version=settings.app_version,
            lease_ttl_s=settings.engine.lease_ttl_s,
            is_gone=is_gone,
            stuck_after_s=settings.engine.stuck_after_s,
        )
        supervisor: LoopActorRef[Supervisor] | None = None

        def watch(message: Any) -> None:
            if supervisor is not None:
                runtime.tell_or_dead_letter(supervisor, message)

        journal = Journal.start(
            make_writers=self._writers,
            metrics=metrics,
            watcher=watch,
            escalate=self._escalate,
            runtime=runtime,
        )
        parts = EngineParts(
            store=store,
            journal=journal,
            ownership=Ownership(node_id=node_id),
            metrics=metrics,
            moves=self._moves,
            new_id=lambda: str(uuids.uuid4()),
            dice=random.Random(),  # noqa: S311 - jitter, not a secret
            passivate_after_s=settings.engine.passivate_after_s,
            balance_check_s=settings.engine.balance_check_s,
            payouts_in_memory_max=settings.engine.payouts_in_memory_max,
            restarts_max=settings.engine.restarts_max,
            restarts_within_s=settings.engine.restarts_within_s,
        )
        limits = SupervisorLimits(
            lease_ttl_s=settings.engine.lease_ttl_s,
            sweep_interval_s=settings.engine.sweep_interval_s,
            recovery_batch=settings.engine.recovery_batch,
        )
        supervisor = Supervisor.start(
            parts=parts,
            setups=setups,
            limits=limits,
            escalate=self._escalate,
            hooks=self._hooks,
            bulk=store,
            reconciliation=ReconciliationSetup(
                reader=reader,
                every_h=settings.reconcile.every_h,
                count_max=settings.reconcile.count_max,
            ),
            runtime=runtime,
        )
        for name, setup in setups.items():
            if setup.missing and settings.providers[name].enabled:
                log.warning("provider.not_ready", provider=name, missing=", ".join(setup.missing))
        return journal, supervisor, store

    def _writers(self, tell_journal: Callable[[Any], None]) -> Sequence[Any]:
        database = self._settings.database
        self._journal_writers = [
            JournalWriter.start(
                database=connect_writer(
                    self._address,
                    statement_timeout_s=database.statement_timeout_s,
                    connect_timeout_s=database.connect_timeout_s,
                ),
                tell_journal=tell_journal,
                giving_up=self._giving_up,
            )
            for _ in range(database.journal_writers)
        ]
        return self._journal_writers

    def _http(
        self,
        reader: Reader,
        supervisor: LoopActorRef[Supervisor],
        adapters: dict[str, Adapter],
        setups: Mapping[str, ProviderSetup],
        installation_id: str,
    ) -> web.AppRunner:
        async def migrations_pending() -> tuple[str, ...]:
            status = await asyncio.to_thread(self._address.reach, migration_status)
            return tuple(status.pending)

        front = FrontEnd(
            settings=self._settings,
            supervisor=supervisor,
            reader=reader,
            adapters=adapters,
            policies={name: setup.policy for name, setup in setups.items()},
            signed_with=signed_with,
            installation_id=installation_id,
            registry=self._registry,
            clock=lambda: datetime.now(UTC),
            new_id=lambda: str(uuids.uuid7()),
            migrations_pending=migrations_pending,
            moves=self._moves,
        )
        # Requests whose client is gone go on: what was told to the supervisor is decided all the same.
        return web.AppRunner(
            create_app(front), access_log=None, handler_cancellation=False, shutdown_timeout=CLOSE_S_MAX
        )

    # ---- stop -------------------------------------------------------------------------------------------

    def _escalate(self, reason: str) -> None:
        log.critical("engine.died", reason=reason)
        self._died = self._died or reason
        self._stop.set()

    async def _drain(
        self, journal: LoopActorRef[Journal], supervisor: LoopActorRef[Supervisor], app: web.Application
    ) -> int:
        """Let what is in flight end, within the limit; how many answers are unrecorded then."""
        unrecorded = 0
        if self._died is None and not await self._drained(supervisor, app):
            unrecorded = await self._unrecorded(supervisor)
            log.error(
                "engine.drain_limit_reached",
                limit_s=self._settings.engine.drain_limit_s,
                answers_unrecorded=unrecorded,
                writes_waiting=await _asked(journal, "depth"),
            )
        # Only now: a writer that still tries gives up, and what it held counts as unrecorded.
        self._giving_up.set()
        return unrecorded

    async def _drained(self, supervisor: LoopActorRef[Supervisor], app: web.Application) -> bool:
        draining = asyncio.create_task(
            ask(supervisor, Drain(), timeout_s=self._settings.engine.drain_limit_s)
        )
        await asyncio.sleep(0)  # now it is told, and the answer of a moment ago is no longer true
        app[PARTS].engine_view.forget()
        try:
            await draining
        except (AskTimeout, ActorDeadError):
            return False
        return True

    async def _unrecorded(self, supervisor: LoopActorRef[Supervisor]) -> int:
        """Payouts that could not leave memory: their last word, the provider's or the journal's, is still out."""
        view = await _asked(supervisor, DescribeEngine())
        return view.payouts_in_memory if isinstance(view, EngineView) else 0


def _url_now() -> str:
    """What the settings say now; empty: nothing, as where the embedded PostgreSQL serves."""
    return Settings.from_environ().database.url.get_secret_value()


async def _asked(ref: LoopActorRef[Any], message: Any) -> Any:
    """The answer; None where there is none."""
    try:
        return await ask(ref, message, timeout_s=2.0)
    except (AskTimeout, ActorDeadError):
        return None


async def _stop(actor: ActorRef[Any]) -> None:
    with contextlib.suppress(AskTimeout):
        await stop_and_wait(actor, timeout_s=2.0)


async def _close(reader: Reader) -> None:
    """Let the last reads end, and close every connection; but do not wait for a database that hangs."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def close() -> None:
        reader.close()
        with contextlib.suppress(RuntimeError):  # the loop did not wait for us
            loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=close, name="close-reader", daemon=True).start()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(closed.wait(), timeout=CLOSE_S_MAX)


def _schema_problem(status: MigrationStatus) -> NepXyError | None:
    if status.is_current:
        return None
    wrong = ", ".join((*status.pending, *status.changed))
    return NepXyError(
        "CONFIG_INVALID",
        f"the database's schema is not this release's; missing or changed: {wrong}",
        "Run: python -m nepxy migrate up",
    )


def _capabilities(adapter: Adapter | None, settle_s: float) -> Capabilities:
    """The provider's contract; where that names no lag of its look-ups, the operator's `settle_s` is waited."""
    undeclared = Capabilities()
    if adapter is None:
        return undeclared
    if adapter.capabilities.absent_counts_after_s != undeclared.absent_counts_after_s:
        return adapter.capabilities
    return replace(adapter.capabilities, absent_counts_after_s=settle_s)


def _setup(
    provider: ProviderSettings, adapter: Adapter | None, installation_id: str, *, second_person: bool
) -> ProviderSetup:
    numbers, is_built = provider.retry, provider.name in plugins()
    return ProviderSetup(
        name=provider.name,
        adapter=adapter,
        policy=Policy(
            capabilities=_capabilities(adapter, numbers.settle_s),
            retry=RetryPolicy(
                base_s=numbers.base_s,
                factor=numbers.factor,
                cap_s=numbers.cap_s,
                attempts_max=numbers.attempts_max,
                poll_base_s=numbers.poll_base_s,
                poll_cap_s=numbers.poll_cap_s,
                send_window_s=numbers.send_window_s,
                answer_window_s=provider.answer_window_s,
                settle_s=numbers.settle_s,
            ),
            account=adapter.account if adapter is not None else None,
            installation_id=installation_id,
            second_person=second_person,
        ),
        enabled=provider.enabled and is_built,
        concurrency_max=provider.concurrency_max,
        requests_per_s=provider.requests_per_s,
        missing=provider.ready_problems if is_built else (NO_ADAPTER,),
        currencies=tuple(
            sorted(
                {one for country in provider.reach.countries for one in provider.reach.currencies_in(country)}
            )
        ),
    )
