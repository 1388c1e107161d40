"""Which payouts: the filters of the list, which are the selectors of the levers that touch many."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nepxy.cli.ops.options import seconds_of, time_of

StatusOption = Annotated[str, typer.Option(help="One or more, comma-separated: PENDING, SENT, REVIEW, …")]
ProviderOption = Annotated[str, typer.Option(help="TMONEY, FLOOZ, MOMO or THUNES.")]
ClientOption = Annotated[str, typer.Option(help="The client that made it.")]
StuckForOption = Annotated[str, typer.Option(help="In flight and unchanged for so long: 90s, 15m, 2h, 3d.")]
OlderThanOption = Annotated[str, typer.Option(help="Created at least so long ago.")]
InDoubtOption = Annotated[bool, typer.Option("--in-doubt", help="Nobody knows whether the provider took it.")]
RetryableOption = Annotated[
    bool | None, typer.Option("--retryable/--not-retryable", help="May it be tried again?")
]
ErrorOption = Annotated[str, typer.Option(help="Text in its last error or its reason.")]
AmountMinOption = Annotated[int | None, typer.Option(min=0, help="At least so much, in minor units.")]
AmountMaxOption = Annotated[int | None, typer.Option(min=0, help="At most so much, in minor units.")]
PhoneOption = Annotated[str, typer.Option(help="The whole number (+228…), or its last 4 or more digits.")]
ReferenceOption = Annotated[
    str, typer.Option(help="A transaction_id, external_ref, submission_ref or provider_ref.")
]


def selector_of(
    *,
    status: str,
    provider: str,
    client: str,
    stuck_for: str,
    older_than: str,
    in_doubt: bool,
    retryable: bool | None,
    error: str,
    amount_min: int | None,
    amount_max: int | None,
    phone: str = "",
    reference: str = "",
    created_from: str = "",
    created_to: str = "",
) -> dict[str, Any]:
    """The filters that were given, as the API calls them.

    Raises:
        Refused: a duration or a time is none.
    """
    every = {
        "status": status.upper(),
        "provider": provider.upper(),
        "client_id": client,
        "stuck_s": seconds_of(stuck_for, "--stuck-for"),
        "age_s": seconds_of(older_than, "--older-than"),
        "in_doubt": True if in_doubt else None,
        "retryable": retryable,
        "error": error,
        "amount_min": amount_min,
        "amount_max": amount_max,
        "phone": phone,
        "reference": reference,
        "created_from": time_of(created_from, "--created-from"),
        "created_to": time_of(created_to, "--created-to"),
    }
    return {name: value for name, value in every.items() if value is not None and value != ""}
