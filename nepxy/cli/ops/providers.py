"""`nepxy providers …`: how each provider is doing, and the levers of its actor."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from rich.console import RenderableType

from nepxy.cli.ops.api import JsonObject, segment
from nepxy.cli.ops.bulk import (
    AmountCapOption,
    CountMaxOption,
    DryRunOption,
    ExpiresInOption,
    PerMinuteOption,
    pull,
)
from nepxy.cli.ops.giving import checked_reason, control
from nepxy.cli.ops.options import (
    CommandIdOption,
    EveryOption,
    JsonOption,
    ReasonOption,
    WatchOption,
    YesOption,
    seconds_of,
    time_of,
)
from nepxy.cli.ops.person import engine
from nepxy.cli.ops.show import Column, Row, amount, cell, fields, show, state, table

providers = typer.Typer(no_args_is_help=True, help="Mobile-money providers: how they do, and their levers.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="TMONEY, FLOOZ, MOMO or THUNES.")]


def _calls(row: Row) -> str:
    calls = row.get("calls") or {}
    rate = calls.get("success_rate")
    return "-" if rate is None else f"{rate:.0%} of {calls.get('answered', 0) + calls.get('failed', 0)}"


def _paused(row: Row) -> str:
    whole = f"yes: {row.get('paused_reason')} (by {row.get('paused_by')})" if row.get("paused") else ""
    retries = f"retries: {row.get('retries_paused_reason')}" if row.get("retries_paused") else ""
    return "; ".join(filter(None, (whole, retries))) or "no"


def _p95(row: Row) -> str:
    value = (row.get("calls") or {}).get("p95_s")
    return "-" if value is None else f"{value:.2f} s"


COLUMNS: Final[tuple[Column, ...]] = (
    ("provider", "name"),
    ("enabled", "enabled"),
    ("ready", lambda it: "yes" if it.get("ready") else f"no, lacks {cell(it.get('missing')).plain}"),
    ("paused", _paused),
    ("breaker", state("breaker")),
    ("in flight", "in_flight"),
    ("waiting", "waiting"),
    ("succeeded (5 min)", _calls),
    ("p95", _p95),
    ("overridden", lambda it: cell(it.get("overridden")).plain or "-"),
)


@providers.command("list")
def list_providers(as_json: JsonOption = False, watch: WatchOption = False, every: EveryOption = 2.0) -> None:
    """Show each provider: ready, paused and why, breaker, work, success."""
    with engine() as api:
        show(
            lambda: api.get("/providers"),
            lambda it: table(it["providers"], COLUMNS),
            as_json=as_json,
            watch=watch,
            every_s=every,
        )


@providers.command("show")
def show_provider(
    name: Name, as_json: JsonOption = False, watch: WatchOption = False, every: EveryOption = 2.0
) -> None:
    """Show one provider, all of it."""
    with engine() as api:
        show(
            lambda: api.get(f"/providers/{_known(name)}"), fields, as_json=as_json, watch=watch, every_s=every
        )


@providers.command("pause")
def pause(
    name: Name, reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False
) -> None:
    """Stop new submits to a provider, on every node; polls, webhooks and settlement go on."""
    _give(name, "pause", reason, command_id, as_json)


@providers.command("resume")
def resume(
    name: Name, reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False
) -> None:
    """Let submits to a provider go again."""
    _give(name, "resume", reason, command_id, as_json)


@providers.command("pause-retries")
def pause_retries(
    name: Name, reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False
) -> None:
    """Stop only what was tried before; new payouts go on."""
    _give(name, "pause_retries", reason, command_id, as_json)


@providers.command("resume-retries")
def resume_retries(
    name: Name, reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False
) -> None:
    """Let retries go again."""
    _give(name, "resume_retries", reason, command_id, as_json)


@providers.command("set-backoff")
def set_backoff(
    name: Name,
    reason: ReasonOption,
    base: Annotated[
        str, typer.Option(help="The longest wait before the first retry: 30s, 5m. Left out: as configured.")
    ] = "",
    cap: Annotated[
        str, typer.Option(help="The longest wait between two retries: 1h. Left out: as configured.")
    ] = "",
    command_id: CommandIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Set how long retries wait; without --base and --cap, as configured again."""
    with engine() as api:
        own: dict[str, Any] = {"base_s": seconds_of(base, "--base"), "cap_s": seconds_of(cap, "--cap")}
        _send(api, name, "set_backoff", reason, command_id, as_json, **own)


@providers.command("set-pace")
def set_pace(
    name: Name,
    reason: ReasonOption,
    requests_per_s: Annotated[
        float | None, typer.Option(help="Submits a second. Left out: as configured.")
    ] = None,
    concurrency_max: Annotated[
        int | None, typer.Option(help="Calls at once. Left out: as configured.")
    ] = None,
    command_id: CommandIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Set how fast and how many at once a provider is called; without both, as configured again."""
    _give(
        name, "set_pace", reason, command_id, as_json,
        requests_per_s=requests_per_s, concurrency_max=concurrency_max,
    )  # fmt: skip


@providers.command("open-breaker")
def open_breaker(
    name: Name, reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False
) -> None:
    """Hold the circuit breaker open until it is released."""
    _give(name, "open_breaker", reason, command_id, as_json)


@providers.command("close-breaker")
def close_breaker(
    name: Name, reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False
) -> None:
    """Hold the circuit breaker closed, whatever the provider answers, until it is released."""
    _give(name, "close_breaker", reason, command_id, as_json)


@providers.command("release-breaker")
def release_breaker(
    name: Name, reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False
) -> None:
    """Let the circuit breaker decide by itself again."""
    _give(name, "release_breaker", reason, command_id, as_json)


@providers.command("check-balance")
def check_balance(
    name: Name,
    reason: ReasonOption,
    currency: Annotated[str, typer.Option(help="Such as XOF; the provider's first one otherwise.")] = "",
    command_id: CommandIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask the provider what we hold there."""
    _give(name, "check_balance", reason, command_id, as_json, currency=currency.upper() or None)


@providers.command("retry-failed")
def retry_failed(
    name: Name,
    reason: ReasonOption,
    since: Annotated[str, typer.Option(help="Failed since then: a time, or how long ago (2h).")],
    until: Annotated[str, typer.Option(help="Failed until then.")] = "",
    error: Annotated[str, typer.Option(help="Only with this text in the last error or the reason.")] = "",
    dry_run: DryRunOption = False,
    count_max: CountMaxOption = 1000,
    amount_cap: AmountCapOption = None,
    per_minute: PerMinuteOption = 60,
    expires_in: ExpiresInOption = "1h",
    watch: WatchOption = False,
    yes: YesOption = False,
    command_id: CommandIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Try a provider's failed payouts again, so many a minute: shows count and amount first, then asks."""
    with engine() as api:
        body = {
            "target": f"providers/{_known(name)}", "command": "retry_failed", "reason": checked_reason(reason),
            "since": time_of(since, "--since"), "until": time_of(until, "--until"), "error": error or None,
            "count_max": count_max, "amount_max": amount_cap, "per_minute": per_minute,
            "expires_in_s": seconds_of(expires_in, "--expires-in"),
        }  # fmt: skip
        pull(
            api,
            "/control",
            body,
            dry_run=dry_run,
            watch=watch,
            yes=yes,
            command_id=command_id,
            as_json=as_json,
        )


def _give(name: str, command: str, reason: str, command_id: str, as_json: bool, **own: Any) -> None:
    with engine() as api:
        _send(api, name, command, reason, command_id, as_json, **own)


def _send(api: Any, name: str, command: str, reason: str, command_id: str, as_json: bool, **own: Any) -> None:
    control(
        api, f"providers/{_known(name)}", command, reason=reason, as_json=as_json, command_id=command_id,
        extra=_now, **own,
    )  # fmt: skip


def _now(body: JsonObject) -> RenderableType | None:
    if balance := body.get("balance"):
        return fields({"balance": amount(balance), "asked at": balance.get("asked_at")})
    provider = body.get("provider")
    return None if provider is None else table([provider], COLUMNS)


def _known(name: str) -> str:
    """As the engine writes it; which there are, the engine says."""
    return segment(name.upper(), "provider's name")
