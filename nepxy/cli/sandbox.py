"""`python -m nepxy sandbox`: a stand-in for the providers, as a server of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nepxy.cli.parts import stop_with


def sandbox_command(
    host: str = "127.0.0.1",
    port: int = 8002,
    api_key: Annotated[
        str,
        typer.Option(
            envvar="SANDBOX_API_KEY",
            help="Of every account; MOMO's subscription key has -disbursement behind it, THUNES's secret -secret.",
        ),
    ] = "sandbox-key",
    webhook_url: Annotated[
        str,
        typer.Option(
            envvar="SANDBOX_WEBHOOK_URL",
            help="Where TMONEY's go, .../v1/webhooks/tmoney; FLOOZ's and THUNES's go beside it.",
        ),
    ] = "",
    webhook_secret: Annotated[str, typer.Option(envvar="SANDBOX_WEBHOOK_SECRET")] = "",
    ledger: Annotated[Path | None, typer.Option(envvar="SANDBOX_LEDGER")] = None,
    settle_delay_s: float = 1.0,
    seed: int = 0,
    ignore_sigint: bool = False,
    magic: Annotated[bool, typer.Option(help="Print the magic numbers, and end.")] = False,
) -> None:
    """Play all four providers: their protocols, webhooks, and magic numbers that force what can go wrong."""
    from nepxy.cli.dev_accounts import sandbox_accounts
    from nepxy.sandbox.config import SandboxConfig
    from nepxy.sandbox.magic_table import lines
    from nepxy.sandbox.server import run

    if magic:
        typer.echo("\n".join(lines()))
        return
    config = SandboxConfig(
        **sandbox_accounts(key=api_key, webhook_url=webhook_url, webhook_secret=webhook_secret),
        settle_delay_s=settle_delay_s,
        seed=seed,
        ledger_path=ledger,
    )

    def ready(real_port: int) -> None:
        for path in (
            "tmoney/v1/cashout",
            "flooz/v1/cashout",
            "momo/disbursement",
            "thunes/v2/money-transfer",
        ):
            typer.echo(f"sandbox: http://{host}:{real_port}/{path}")

    try:
        run(config, host=host, port=port, ready=ready, ignore_sigint=ignore_sigint)
    except (OSError, RuntimeError, ValueError) as error:
        stop_with(
            f"The sandbox cannot run: {error}", "Stop what holds the port or the ledger, or name others."
        )
