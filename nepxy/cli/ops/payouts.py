"""`nepxy payouts …`: find a payout, understand it, and do to it what its state allows."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from nepxy.cli.ops.api import Api, JsonObject, segment
from nepxy.cli.ops.giving import control, sure
from nepxy.cli.ops.options import (
    CommandIdOption,
    EveryOption,
    JsonOption,
    LimitOption,
    ReasonOption,
    WatchOption,
    YesOption,
)
from nepxy.cli.ops.person import engine
from nepxy.cli.ops.selecting import (
    AmountMaxOption,
    AmountMinOption,
    ClientOption,
    ErrorOption,
    InDoubtOption,
    OlderThanOption,
    PhoneOption,
    ProviderOption,
    ReferenceOption,
    RetryableOption,
    StatusOption,
    StuckForOption,
    selector_of,
)
from nepxy.cli.ops.show import Column, Row, amount, duration, fields, sections, show, state, table
from nepxy.cli.ops.webhooks import WEBHOOK_COLUMNS

PATH: Final = "/mobile-money/payouts"

payouts = typer.Typer(no_args_is_help=True, help="Payouts: find, understand, and steer one.")

PayoutId = Annotated[str, typer.Argument(metavar="ID", help="The payout's transaction_id.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Needed to move a payout that is in a final state.")
]
VersionOption = Annotated[
    int | None,
    typer.Option("--expected-version", help="Refuse if the payout has moved on since this version."),
]
ProviderRefOption = Annotated[str, typer.Option("--provider-ref", help="What the provider calls the payout.")]

COLUMNS: Final[tuple[Column, ...]] = (
    ("transaction_id", "transaction_id"),
    ("status", state("status")),
    ("reason", "status_reason"),
    ("provider", "provider"),
    ("amount", amount),
    ("phone", "phone_masked"),
    ("attempts", "attempt_count"),
    ("next", "next_retry_at"),
    ("updated", "updated_at"),
)


@payouts.command("list")
def list_payouts(
    status: StatusOption = "",
    provider: ProviderOption = "",
    client: ClientOption = "",
    stuck_for: StuckForOption = "",
    older_than: OlderThanOption = "",
    in_doubt: InDoubtOption = False,
    retryable: RetryableOption = None,
    error: ErrorOption = "",
    amount_min: AmountMinOption = None,
    amount_max: AmountMaxOption = None,
    phone: PhoneOption = "",
    reference: ReferenceOption = "",
    created_from: Annotated[str, typer.Option(help="Created at or after this time.")] = "",
    created_to: Annotated[str, typer.Option(help="Created before this time.")] = "",
    limit: LimitOption = 50,
    cursor: Annotated[str, typer.Option(help="Go on where the page before ended.")] = "",
    as_json: JsonOption = False,
    watch: WatchOption = False,
    every: EveryOption = 2.0,
) -> None:
    """List payouts, newest first; all filters given must hold."""
    with engine() as api:
        wanted = selector_of(
            status=status, provider=provider, client=client, stuck_for=stuck_for, older_than=older_than,
            in_doubt=in_doubt, retryable=retryable, error=error, amount_min=amount_min, amount_max=amount_max,
            phone=phone, reference=reference, created_from=created_from, created_to=created_to,
        )  # fmt: skip
        show(
            lambda: api.get(PATH, **wanted, limit=limit, cursor=cursor),
            _page,
            as_json=as_json,
            watch=watch,
            every_s=every,
        )


def _page(document: JsonObject) -> RenderableType:
    listed = table(document["payouts"], COLUMNS, nothing="no payout is like that")
    following = document.get("next_cursor")
    return sections(("payouts", listed), ("more", Text(f"--cursor {following}"))) if following else listed


@payouts.command("show")
def show_payout(
    payout_id: PayoutId, as_json: JsonOption = False, watch: WatchOption = False, every: EveryOption = 2.0
) -> None:
    """Show one payout, with the commands that are valid now."""
    with engine() as api:
        show(lambda: api.get(_of(payout_id)), _payout, as_json=as_json, watch=watch, every_s=every)


def _payout(document: JsonObject) -> RenderableType:
    shown = {name: value for name, value in document.items() if name not in ("links", "currency")}
    return fields({**shown, "amount": amount(document)})


@payouts.command("explain")
def explain(
    payout_id: PayoutId, as_json: JsonOption = False, watch: WatchOption = False, every: EveryOption = 2.0
) -> None:
    """Say why a payout is where it is, what happens next, what blocks it, and what is safe to do."""
    with engine() as api:
        show(
            lambda: api.get(f"{_of(payout_id)}/explain"),
            explanation,
            as_json=as_json,
            watch=watch,
            every_s=every,
        )


def explanation(document: JsonObject) -> RenderableType:
    """`explain` for people: sentences first, evidence below."""
    following = document.get("next") or {}
    blockers = document.get("blockers") or []
    return sections(
        (f"{document['transaction_id']}  {document['status']}", Text(str(document["why"]))),
        ("next", fields({"what": following.get("what"), "at": following.get("at")})),
        ("blocked by", Text("\n".join(map(str, blockers)) or "nothing")),
        ("evidence", table(document.get("evidence", ()), EVIDENCE, nothing="none yet")),
        ("commands that are safe now", Group(*(_as_typed(document, row) for row in document["commands"]))),
    )


EVIDENCE: Final[tuple[Column, ...]] = (
    ("at", "at"), ("source", "source"), ("says", "says"), ("reference", "reference"), ("attempt", "attempt"),
)  # fmt: skip


def _as_typed(document: JsonObject, row: Row) -> RenderableType:
    """A command as it is typed, and below it what it does."""
    needs = row.get("needs") or []
    options = [
        f"--{need} WHY" if need == "reason" else f"--{need}" for need in needs if need != "second_person"
    ]
    line = " ".join(("nepxy payouts", row["command"], document["transaction_id"], *options))
    second = " A second person has to approve it." if "second_person" in needs else ""
    return Group(Text(f"$ {line}", style="bold"), Padding(Text(f"{row['does']}{second}"), (0, 0, 0, 4)))


@payouts.command("events")
def events(payout_id: PayoutId, as_json: JsonOption = False) -> None:
    """Show a payout's history: every transition with who, why and the evidence."""
    columns: tuple[Column, ...] = (
        ("version", "version"), ("at", "at"), ("from", "from_status"), ("to", state("to_status")), ("why", "why"),
        ("who", "who"), ("attempt", "attempt"), ("evidence", "evidence"),
    )  # fmt: skip
    with engine() as api:
        show(
            lambda: api.get(f"{_of(payout_id)}/events"),
            lambda it: table(it["events"], columns),
            as_json=as_json,
        )


@payouts.command("attempts")
def attempts(payout_id: PayoutId, as_json: JsonOption = False) -> None:
    """Show a payout's attempts: each reference that a provider was sent, and what became of it."""
    columns: tuple[Column, ...] = (
        ("submission_ref", "submission_ref"), ("generation", "generation"), ("submits", "submit_count"),
        ("phase", "phase"), ("in doubt since", "in_doubt_since"), ("provider_ref", "provider_ref"),
        ("closed", "closed_reason"), ("created", "created_at"),
    )  # fmt: skip
    with engine() as api:
        show(
            lambda: api.get(f"{_of(payout_id)}/attempts"),
            lambda it: table(it["attempts"], columns, nothing="nothing was sent yet"),
            as_json=as_json,
        )


@payouts.command("webhooks")
def webhooks_of(payout_id: PayoutId, as_json: JsonOption = False) -> None:
    """Show the webhooks that came for a payout."""
    with engine() as api:
        show(
            lambda: api.get(f"{_of(payout_id)}/webhooks"),
            lambda it: table(it["webhooks"], WEBHOOK_COLUMNS, nothing="no webhook came for it"),
            as_json=as_json,
        )


@payouts.command("review")
def review(
    limit: LimitOption = 50,
    cursor: Annotated[str, typer.Option(help="Go on where the page before ended.")] = "",
    as_json: JsonOption = False,
    watch: WatchOption = False,
    every: EveryOption = 2.0,
) -> None:
    """List what waits for a person: payouts in REVIEW or in doubt, oldest first, with the safe commands."""
    with engine() as api:
        show(
            lambda: api.get(f"{PATH}/review", limit=limit, cursor=cursor),
            _queue,
            as_json=as_json,
            watch=watch,
            every_s=every,
        )


def _queue(document: JsonObject) -> RenderableType:
    rows: tuple[Column, ...] = (
        ("transaction_id", "transaction_id"), ("status", state("status")), ("waits", _waits),
        ("provider", "provider"), ("amount", amount), ("why", "why"), ("commands", _command_names),
    )  # fmt: skip
    figures: tuple[Column, ...] = (
        ("provider", "provider"), ("count", "count"), ("amount", amount), ("oldest", "oldest_at"),
    )  # fmt: skip
    return sections(
        ("figures", table(document.get("figures", ()), figures, nothing="nothing waits for a person")),
        ("payouts", table(document["payouts"], rows, nothing="none")),
    )


def _waits(row: Row) -> str:
    return duration(row.get("waiting_s"))


def _command_names(row: Row) -> str:
    return ", ".join(it["command"] if isinstance(it, dict) else str(it) for it in row.get("commands") or ())


# ---- commands ---------------------------------------------------------------------------------------


@payouts.command("retry")
def retry(
    payout_id: PayoutId,
    reason: ReasonOption,
    force: ForceOption = False,
    client_consents: Annotated[
        bool, typer.Option("--client-consents", help="The client's consent to reopening FAILED is on record.")
    ] = False,
    expected_version: VersionOption = None,
    command_id: CommandIdOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take a payout up now: SENT is asked about at once, PENDING is submitted, FAILED is reopened (--force)."""
    with engine() as api:
        seen = _agreed(api, payout_id, "Try it again, under a new reference", yes=yes) if force else None
        _give(
            api, payout_id, "retry", reason, as_json, command_id, expected_version or seen,
            force=force or None, client_consents=client_consents or None,
        )  # fmt: skip


@payouts.command("poll")
def poll(
    payout_id: PayoutId,
    reason: ReasonOption,
    expected_version: VersionOption = None,
    command_id: CommandIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask the provider now what became of a payout; sends nothing."""
    with engine() as api:
        _give(api, payout_id, "poll", reason, as_json, command_id, expected_version)


@payouts.command("confirm")
def confirm(
    payout_id: PayoutId,
    reason: ReasonOption,
    provider_ref: ProviderRefOption = "",
    force: ForceOption = False,
    expected_version: VersionOption = None,
    command_id: CommandIdOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Record that the provider paid it, as its own records show; a second person approves."""
    with engine() as api:
        seen = _agreed(api, payout_id, "Record it as paid", yes=yes)
        _give(
            api, payout_id, "confirm", reason, as_json, command_id, expected_version or seen,
            force=force or None, provider_ref=provider_ref or None,
        )  # fmt: skip


@payouts.command("fail")
def fail(
    payout_id: PayoutId,
    reason: ReasonOption,
    force: ForceOption = False,
    expected_version: VersionOption = None,
    command_id: CommandIdOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Record that it was not paid and will not be, as the provider's own records show; a second person approves."""
    with engine() as api:
        seen = _agreed(api, payout_id, "Record it as not paid", yes=yes)
        _give(
            api, payout_id, "fail", reason, as_json, command_id, expected_version or seen, force=force or None
        )


@payouts.command("cancel")
def cancel(
    payout_id: PayoutId,
    reason: ReasonOption,
    expected_version: VersionOption = None,
    command_id: CommandIdOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """End a payout that was never sent."""
    with engine() as api:
        seen = _agreed(api, payout_id, "Cancel it for good", yes=yes)
        _give(api, payout_id, "cancel", reason, as_json, command_id, expected_version or seen)


@payouts.command("release")
def release(
    payout_id: PayoutId,
    reason: ReasonOption,
    expected_version: VersionOption = None,
    command_id: CommandIdOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let the engine go on with a payout that is in REVIEW."""
    with engine() as api:
        seen = _agreed(api, payout_id, "Let the engine go on with it", yes=yes)
        _give(api, payout_id, "release", reason, as_json, command_id, expected_version or seen)


@payouts.command("note")
def note(
    payout_id: PayoutId, reason: ReasonOption, command_id: CommandIdOption = "", as_json: JsonOption = False
) -> None:
    """Write a note (the reason) into a payout's history; changes nothing else."""
    with engine() as api:
        _give(api, payout_id, "note", reason, as_json, command_id, None)


def _give(
    api: Api,
    payout_id: str,
    command: str,
    reason: str,
    as_json: bool,
    command_id: str,
    version: int | None,
    **own: Any,
) -> None:
    control(
        api, f"payouts/{segment(payout_id, 'payout id')}", command, reason=reason, as_json=as_json,
        command_id=command_id, extra=_where_it_is, expected_version=version, **own,
    )  # fmt: skip


def _where_it_is(body: JsonObject) -> RenderableType | None:
    payout = body.get("payout")
    return None if payout is None else table([payout], COLUMNS)


def _agreed(api: Api, payout_id: str, what: str, *, yes: bool) -> int | None:
    """The version that the person saw when agreeing: if another operator is faster, this command is refused."""
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        sure(f"{what}: {payout_id}?", yes=yes)
        return None
    payout = api.get(_of(payout_id))
    line = f"{payout['provider']} {amount(payout)} to {payout['phone_masked']}, {payout['status']}"
    sure(f"{what}: {payout_id} ({line})?", yes=False)
    return int(payout["version"])


def _of(payout_id: str) -> str:
    return f"{PATH}/{segment(payout_id, 'payout id')}"
