"""Runs the sandbox as a process: `python -m nepxy sandbox`, or `python -m nepxy.sandbox.server`."""

import argparse
import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from nepxy.sandbox.app import create_app
from nepxy.sandbox.config import AuthMode, DuplicateBehaviour, ProviderConfig, SandboxConfig
from nepxy.sandbox.magic_table import lines

HOST = "127.0.0.1"
PORT = 8002
BACKLOG = 1024
SHUTDOWN_S_MAX = 5.0
"""How long a stop waits for answers that are being written; waiting magic numbers are cut short at once."""


async def serve(
    config: SandboxConfig,
    *,
    host: str = HOST,
    port: int = PORT,
    ready: Callable[[int], None] | None = None,
    ignore_sigint: bool = False,
) -> None:
    """Serves until SIGTERM, SIGINT or cancellation, then stops cleanly.

    Args:
        config: what to play.
        host: address to bind.
        port: 0 picks a free one.
        ready: called once, on the event loop, with the real port when connections are taken.
        ignore_sigint: a Ctrl-C in the terminal reaches the whole process group; a dev runner that stops the sandbox
            last, by SIGTERM, sets this.

    Raises:
        OSError: the port is taken.
        RuntimeError: `ledger_path` cannot be read or is held by another sandbox.
    """
    stop = asyncio.Event()
    runner = web.AppRunner(create_app(config), access_log=None, shutdown_timeout=SHUTDOWN_S_MAX)
    with _stop_signals(stop, ignore_sigint=ignore_sigint):
        try:
            await runner.setup()
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
            if ready is not None:
                ready(runner.addresses[0][1])
            await stop.wait()
        finally:
            await runner.cleanup()


def run(
    config: SandboxConfig,
    *,
    host: str = HOST,
    port: int = PORT,
    ready: Callable[[int], None] | None = None,
    ignore_sigint: bool = False,
) -> None:
    """`serve` for a caller without an event loop; arguments and errors as there."""
    asyncio.run(serve(config, host=host, port=port, ready=ready, ignore_sigint=ignore_sigint))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line.

    Returns:
        The exit status: 0 after a clean stop, 1 when it could not start.
    """
    args = _parser().parse_args(argv)
    if args.magic:
        sys.stdout.write("\n".join(lines()) + "\n")
        return 0

    def ready(port: int) -> None:
        sys.stdout.write(f"sandbox: http://{args.host}:{port}/tmoney/v1/cashout\n")
        sys.stdout.flush()

    try:
        run(_config(args), host=args.host, port=args.port, ready=ready, ignore_sigint=args.ignore_sigint)
    except (OSError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"sandbox: cannot run: {error}\n")
        return 1
    return 0


@contextmanager
def _stop_signals(stop: asyncio.Event, *, ignore_sigint: bool) -> Iterator[None]:
    # Signals reach the main thread only; in another one (tests) cancellation is the way to stop.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if ignore_sigint:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _config(args: argparse.Namespace) -> SandboxConfig:
    if args.config is not None:
        try:
            return TypeAdapter(SandboxConfig).validate_json(args.config.read_bytes())
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ValueError(f"{args.config}: {'; '.join(problems)}") from None
    return SandboxConfig(
        tmoney=ProviderConfig(
            api_key=args.tmoney_api_key,
            auth_mode=args.tmoney_auth_mode,
            webhook_url=args.tmoney_webhook_url,
            webhook_secret=args.tmoney_webhook_secret,
            duplicate_behaviour=args.duplicate_behaviour,
            status_lookup_by_our_reference=args.status_lookup_by_our_reference,
        ),
        settle_delay_s=args.settle_delay_s,
        seed=args.seed,
        ledger_path=args.ledger_path,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox", description="A stand-in for mobile-money providers.")
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=int, default=PORT, help="0 picks a free one")
    parser.add_argument("--tmoney-api-key", default="sandbox-key")
    parser.add_argument("--tmoney-auth-mode", type=AuthMode, choices=list(AuthMode), default=AuthMode.BEARER)
    parser.add_argument("--tmoney-webhook-url", help="none: no webhooks, polling only")
    parser.add_argument("--tmoney-webhook-secret", default="")
    parser.add_argument("--duplicate-behaviour", type=DuplicateBehaviour, choices=list(DuplicateBehaviour))
    parser.set_defaults(duplicate_behaviour=DuplicateBehaviour.PAYS_AGAIN)
    parser.add_argument("--status-lookup-by-our-reference", action="store_true")
    parser.add_argument(
        "--settle-delay-s", type=float, default=1.0, help="from acceptance to the final state"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides every probabilistic fault")
    parser.add_argument("--ledger-path", type=Path, help="file that survives a restart; default: memory only")
    parser.add_argument(
        "--config",
        type=Path,
        help="JSON with the fields of SandboxConfig, every account's included; all options but host and port give way",
    )
    parser.add_argument("--ignore-sigint", action="store_true", help="stop by SIGTERM only")
    parser.add_argument("--magic", action="store_true", help="print the magic numbers and exit")
    return parser


if __name__ == "__main__":
    sys.exit(main())
