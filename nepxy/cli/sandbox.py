"""`python -m nepxy sandbox`: a stand-in for the providers, as a server of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nepxy.cli.parts import stop_with
from nepxy.sandbox.config import ProviderConfig, SandboxConfig
from nepxy.sandbox.magic import describe_magic
from nepxy.sandbox.server import run


def sandbox_command(
    host: str = "127.0.0.1",
    port: int = 8002,
    api_key: Annotated[str, typer.Option(envvar="SANDBOX_API_KEY", show_envvar=True)] = "sandbox-key",
    webhook_url: Annotated[str, typer.Option(envvar="SANDBOX_WEBHOOK_URL")] = "",
    webhook_secret: Annotated[str, typer.Option(envvar="SANDBOX_WEBHOOK_SECRET")] = "",
    ledger: Annotated[Path | None, typer.Option(envvar="SANDBOX_LEDGER")] = None,
    settle_delay_s: float = 1.0,
    seed: int = 0,
    ignore_sigint: bool = False,
    magic: Annotated[bool, typer.Option(help="Print the magic numbers, and end.")] = False,
) -> None:
    """Play TMoney: its protocol, its signed webhooks, and magic numbers that force what can go wrong."""
    if magic:
        for suffix, name, what in describe_magic():
            typer.echo(f"{suffix or 'other':<6} {name:<26} {what}")
        return
    config = SandboxConfig(
        tmoney=ProviderConfig(
            api_key=api_key, webhook_url=webhook_url or None, webhook_secret=webhook_secret
        ),
        settle_delay_s=settle_delay_s,
        seed=seed,
        ledger_path=ledger,
    )

    def ready(real_port: int) -> None:
        typer.echo(f"sandbox: http://{host}:{real_port}/tmoney/v1/cashout")

    try:
        run(config, host=host, port=port, ready=ready, ignore_sigint=ignore_sigint)
    except (OSError, RuntimeError, ValueError) as error:
        stop_with(
            f"The sandbox cannot run: {error}", "Stop what holds the port or the ledger, or name others."
        )
