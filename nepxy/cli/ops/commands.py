"""All commands of the operators, by their names."""

from __future__ import annotations

import typer

from nepxy.cli.ops import machine
from nepxy.cli.ops.bulk import bulk
from nepxy.cli.ops.doctor import doctor
from nepxy.cli.ops.idempotency import idempotency
from nepxy.cli.ops.payouts import explain, payouts
from nepxy.cli.ops.providers import providers
from nepxy.cli.ops.reconcile import reconcile
from nepxy.cli.ops.records import audit, discrepancies, proposals
from nepxy.cli.ops.webhooks import webhooks


def add_to(app: typer.Typer) -> None:
    """Put them into the command line."""
    for group, name in (
        (payouts, "payouts"),
        (providers, "providers"),
        (machine.engine, "engine"),
        (webhooks, "webhooks"),
        (idempotency, "idempotency"),
        (proposals, "proposals"),
        (discrepancies, "discrepancies"),
        (bulk, "bulk"),
        (reconcile, "reconcile"),
    ):
        app.add_typer(group, name=name)
    app.command("doctor")(doctor)
    app.command("explain")(explain)
    app.command("audit")(audit)
    app.command("actors")(machine.actors)
    app.command("database")(machine.database)
