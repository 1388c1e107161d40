"""`python -m nepxy …` and `nepxy …`: the commands, each a thin shell over a room.

What only `serve`, `run` and `sandbox` need (the web server, the actors, the numbering plans) is imported in them: a
command for operators must be there at once, above all when the machine is busy.
"""

from __future__ import annotations

from typing import Annotated

import typer

from nepxy.cli.bench.command import bench
from nepxy.cli.config import config
from nepxy.cli.ops.commands import add_to
from nepxy.cli.parts import database_of, read_settings
from nepxy.cli.people import clients, operators, token
from nepxy.cli.restored import restored
from nepxy.cli.sandbox import sandbox_command
from nepxy.cli.schema import migrate

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="NepXy pays people's mobile-money wallets."
)
app.add_typer(migrate, name="migrate")
app.add_typer(token, name="token")
app.add_typer(clients, name="clients")
app.add_typer(operators, name="operators")
app.add_typer(config, name="config")
app.add_typer(restored, name="restored")
app.command("sandbox")(sandbox_command)
app.command("bench")(bench)
add_to(app)

Port = Annotated[int | None, typer.Option(help="TCP port; PORT otherwise.")]


@app.command()
def serve(port: Port = None) -> None:
    """Run the engine until SIGTERM or SIGINT."""
    from nepxy.cli.serve import serve as serve_process

    settings = read_settings()
    if port is not None:
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})
    with database_of(settings) as url:
        status = serve_process(settings, url)
    raise typer.Exit(status)


@app.command()
def run(
    port: Port = None, sandbox_port: Annotated[int, typer.Option(help="The sandbox's TCP port.")] = 8002
) -> None:
    """Run everything that a developer needs: PostgreSQL, sandbox and engine, migrated and ready."""
    from nepxy.cli import dev

    settings = read_settings()
    if port is not None:
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})
    raise typer.Exit(dev.run(settings, sandbox_port=sandbox_port))
