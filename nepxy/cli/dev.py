"""`make run`: PostgreSQL, migrations, sandbox and engine in one process group, for a person at a terminal.

Ctrl-C reaches the whole group: the engine drains on it, the sandbox ignores it and is stopped after the
engine, and PostgreSQL is stopped last; so nothing is lost, and the next start carries on with the same data.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import typer
from rich.console import Console
from rich.panel import Panel

from nepxy.cli.dev_accounts import account_variables
from nepxy.cli.parts import database_of, reader_of, stop_with
from nepxy.cli.people import CLIENT_ID, OPERATOR_ID
from nepxy.config.environ import process_environ
from nepxy.config.settings import Settings
from nepxy.http.tokens import issue_token
from nepxy.storage.migrate import migrate_up
from nepxy.storage.online_indexes import build_indexes
from nepxy.storage.people import save_client, save_operator

START_S_MAX: Final = 60.0
DEV_TOKEN_S: Final = 12 * 3600


def run(settings: Settings, *, sandbox_port: int) -> int:
    """Start everything, say what to try, and stop everything when asked to; returns the exit status."""
    console = Console(stderr=True)
    with database_of(settings) as url:
        with console.status("Migrating the database"):
            applied = migrate_up(url)
            build_indexes(url)
        console.print(f"Database ready ({len(applied)} migrations applied).")
        people = _people(settings, url)
        environ = _environ(settings, url, people, sandbox_port)
        sandbox = _start(["sandbox", "--port", str(sandbox_port), "--ignore-sigint"], environ)
        engine = _start(["serve", "--port", str(settings.http.port)], environ)
        try:
            return _watch(console, settings, people, sandbox_port, engine, sandbox)
        finally:
            _end(engine)
            _end(sandbox)


def _people(settings: Settings, url: str) -> Mapping[str, str]:
    """The development client and operator with secrets of their own, made once and kept."""
    file = settings.data_dir / "dev-client.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    people = {
        # With it the commands for operators find this instance without being told: nepxy/cli/ops/person.py.
        "url": f"http://127.0.0.1:{settings.http.port}",
        "client_id": CLIENT_ID,
        "client_secret": known.get("client_secret") or secrets.token_urlsafe(24),
        "operator_id": OPERATOR_ID,
        "operator_secret": known.get("operator_secret") or secrets.token_urlsafe(24),
        "api_key": known.get("api_key") or secrets.token_urlsafe(24),
        "webhook_secret": known.get("webhook_secret") or secrets.token_urlsafe(24),
    }
    with reader_of(settings, url) as reader:
        reader.run_here(
            save_client, client_id=CLIENT_ID, name="Development client", secret=people["client_secret"]
        )
        reader.run_here(
            save_operator,
            operator_id=OPERATOR_ID,
            name="Development operator",
            secret=people["operator_secret"],
        )
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(people, indent=2))
    draft.replace(file)
    return people


def _environ(settings: Settings, url: str, people: Mapping[str, str], sandbox_port: int) -> dict[str, str]:
    engine = f"http://127.0.0.1:{settings.http.port}"
    ours = {
        **account_variables(
            sandbox=f"http://127.0.0.1:{sandbox_port}",
            engine=engine,
            key=people["api_key"],
            webhook_secret=people["webhook_secret"],
        ),
        "SANDBOX_API_KEY": people["api_key"],
        "SANDBOX_WEBHOOK_SECRET": people["webhook_secret"],
        "SANDBOX_WEBHOOK_URL": f"{engine}/v1/webhooks/tmoney",
        "SANDBOX_LEDGER": str((settings.data_dir / "sandbox.jsonl").absolute()),
    }
    given = process_environ()
    # What a person set wins, so that a third party's sandbox can be tried with the same command.
    return {**ours, **given, "DATABASE_URL": url}


def _start(arguments: list[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "nepxy", *arguments], env=dict(environ))  # noqa: S603 - ourselves


def _watch(
    console: Console,
    settings: Settings,
    people: Mapping[str, str],
    sandbox_port: int,
    engine: subprocess.Popen[bytes],
    sandbox: subprocess.Popen[bytes],
) -> int:
    asked_to_stop = False

    def ask_to_stop(number: int, frame: object) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True
        if number == signal.SIGTERM and engine.poll() is None:
            engine.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    base = f"http://127.0.0.1:{settings.http.port}"
    with console.status("Starting the engine"):
        deadline_s = time.monotonic() + START_S_MAX
        while not asked_to_stop and engine.poll() is None and not _are_ready(base, sandbox_port):
            if sandbox.poll() is not None:
                stop_with(
                    f"The sandbox did not start; is port {sandbox_port} taken?", "Try: --sandbox-port 8012"
                )
            if time.monotonic() > deadline_s:
                console.print("[yellow]The engine is up, but not ready yet: see /readyz.[/yellow]")
                break
            time.sleep(0.1)
    if engine.poll() is None and not asked_to_stop:
        _greet(console, settings, people, base, sandbox_port)
    while engine.poll() is None:
        if sandbox.poll() is not None and not asked_to_stop:
            console.print("[red]The sandbox ended; payouts wait until it is back.[/red]")
            asked_to_stop = True
            engine.terminate()
        time.sleep(0.2)
    return engine.returncode


def _are_ready(base: str, sandbox_port: int) -> bool:
    """Both: a payout sent before the sandbox listens would wait out its first backoff."""
    try:
        for url in (f"{base}/readyz", f"http://127.0.0.1:{sandbox_port}/_sandbox/faults"):
            with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own processes
                if answer.status != 200:
                    return False
    except OSError:
        return False
    return True


def _greet(
    console: Console, settings: Settings, people: Mapping[str, str], base: str, sandbox_port: int
) -> None:
    def token(subject: str, scopes: tuple[str, ...]) -> str:
        return issue_token(
            subject=subject,
            scopes=scopes,
            secret=settings.auth.jwt_secret,
            now=datetime.now(UTC),
            expires_in_s=DEV_TOKEN_S,
        )

    client = token(people["client_id"], ("payouts:write", "payouts:read"))
    console.print(
        Panel.fit(
            f"Engine   {base}   (health: /healthz, readiness: /readyz, metrics: /metrics)\n"
            f"Console  {base}/console   (what operators see and do)\n"
            f"Sandbox  http://127.0.0.1:{sandbox_port}   (what moved money: /_sandbox/ledger)\n"
            f"Data     {settings.data_dir}   Ctrl-C stops everything; the next run carries on.",
            title="NepXy is ready to take a payout",
            border_style="green",
        )
    )
    # Plain lines, so that they can be copied whole.
    typer.echo(f"\nexport TOKEN={client}")
    typer.echo(f"export OPERATOR_TOKEN={token(people['operator_id'], ('admin',))}\n")
    typer.echo(
        "The console's sign-in, for development alone:\n"
        f"operator id {people['operator_id']}\nsecret      {people['operator_secret']}\n"
    )
    typer.echo(
        "Operators' commands, here without any setting (elsewhere with NEPXY_URL and NEPXY_TOKEN):\n"
        ".venv/bin/nepxy doctor\n.venv/bin/nepxy payouts list --watch\n"
    )
    typer.echo(
        f"curl -s {base}/v1/payouts -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\\n"
        '  -H "Idempotency-Key: first-$(date +%s)" \\\n'
        '  -d \'{"amount": 1000, "currency": "XOF", "phone_e164": "+22890001234", "country": "TG",'
        ' "external_ref": "salary-\'$(date +%s)\'"}\'\n'
        f'curl -s {base}/v1/payouts -H "Authorization: Bearer $TOKEN"\n'
        f'curl -s {base}/v1/payouts/TRANSACTION_ID/events -H "Authorization: Bearer $TOKEN"\n'
    )
    typer.echo(
        "That one goes by TMONEY. +22896001234 goes by FLOOZ, +2290151001234 (country BJ) by MOMO; README.md has\n"
        "a line for each, THUNES too. What a number's last digits force: python -m nepxy sandbox --magic\n"
    )
    sys.stdout.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
