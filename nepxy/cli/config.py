"""`nepxy config …`: what is wrong with the settings, and what there is to set."""

from __future__ import annotations

import typer

from nepxy.cli.parts import read_settings
from nepxy.config.reference import configuration_page, env_example
from nepxy.config.settings import Settings

config = typer.Typer(no_args_is_help=True, help="The settings: check them, and what there is to set.")


@config.command("check")
def check() -> None:
    """Say everything that a start would refuse, without starting; exit status 2 if there is anything."""
    settings = read_settings()
    for warning in settings.warnings:
        typer.secho(f"warning: {warning}", err=True, fg=typer.colors.YELLOW)
    typer.echo(f"settings are fit to start: ENV={settings.env}, MM_MODE={settings.mode}")
    for name, provider in settings.providers.items():
        if provider.enabled:
            lacks = provider.ready_problems
            typer.echo(f"  {name}: {'ready' if not lacks else 'not ready, lacks ' + ', '.join(lacks)}")
        else:
            typer.echo(f"  {name}: takes no new payouts")


@config.command("example")
def example() -> None:
    """Print `.env.example`."""
    typer.echo(env_example(Settings), nl=False)


@config.command("docs")
def docs() -> None:
    """Print `docs/configuration.md`."""
    typer.echo(configuration_page(Settings), nl=False)
