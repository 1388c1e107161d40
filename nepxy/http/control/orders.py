"""Operators' commands as they come in: `POST /v1/admin/control`, and the bodies of the runbook's own paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, StrictBool, StrictInt

from nepxy.engine.events import Command, OperatorAsked
from nepxy.engine.payout import ProviderRef, TransactionId
from nepxy.errors import CommandRefused, RequestError
from nepxy.http.ids import as_transaction_id
from nepxy.http.schemas import Incoming

Reason = Annotated[str, Field(min_length=3, max_length=500, pattern=r"^[^\x00]*\S[^\x00]*$")]
"""Why, in the operator's own words: somebody will read it after an incident."""
CommandId = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
PAYOUTS: Final = "payouts/"
PROVIDERS: Final = "providers/"
SUPERVISOR: Final = "supervisor"
BULK: Final = "bulk"
"""All payouts that a selector finds."""


class Order(Incoming):
    """What every command comes with, whomever it is for."""

    reason: Reason
    command_id: CommandId | None = None

    def arguments(self) -> dict[str, Any]:
        """What the audit log and a proposal keep besides the reason."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"reason", "command_id"})


class PayoutOrder(Order):
    """A command to one payout, without its target: the body of the runbook's paths."""

    expected_version: Annotated[StrictInt, Field(ge=1)] | None = None
    force: StrictBool = False
    client_consents: StrictBool = False
    provider_ref: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")] | None = None

    def asked(self, command: Command, *, reason: str, second_person: str | None = None) -> OperatorAsked:
        """The event that the payout's actor decides on; `reason` as it may be stored."""
        return OperatorAsked(
            command=command,
            reason=reason,
            expected_version=self.expected_version,
            force=self.force,
            second_person=second_person,
            client_consents=self.client_consents,
            provider_ref=ProviderRef(self.provider_ref) if self.provider_ref is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a command is for."""

    kind: str
    """`supervisor`, `providers/` or `payouts/`."""
    name: str = ""

    def __str__(self) -> str:
        """As it is written, stored and shown."""
        return f"{self.kind}{self.name}"


def target_of(text: str) -> Target:
    """Read `supervisor`, `providers/NAME` or `payouts/ID`.

    Raises:
        CommandRefused: `TARGET_UNKNOWN`.
        RequestError: `PAYOUT_NOT_FOUND`: the id can be none's.
    """
    if text in (SUPERVISOR, BULK):
        return Target(text)
    if text.startswith(PAYOUTS):
        return payout_target(text.removeprefix(PAYOUTS))
    name = text.removeprefix(PROVIDERS)
    if name != text and re.fullmatch(r"[0-9A-Za-z_-]{1,40}", name):
        return Target(PROVIDERS, name.upper())
    raise CommandRefused(
        "TARGET_UNKNOWN", f"{text[:80]!r} is no target; there are supervisor, providers/NAME and payouts/ID"
    )


def payout_target(text: str) -> Target:
    """The target that is this payout, its id in canonical form.

    Raises:
        RequestError: `PAYOUT_NOT_FOUND`: the id can be none's.
    """
    return Target(PAYOUTS, payout_id(text))


def payout_id(text: str) -> TransactionId:
    """An id as it stands in a path.

    Raises:
        RequestError: `PAYOUT_NOT_FOUND`: it can be none's.
    """
    transaction_id = as_transaction_id(text)
    if transaction_id is None:
        raise RequestError(
            "PAYOUT_NOT_FOUND",
            f"{text[:80]!r} is no transaction_id",
            "A transaction_id is a UUID, as POST /v1/payouts answered it; other references find it in the list: "
            "?reference=",
        )
    return transaction_id


def payout_command(word: str) -> Command:
    """A payout's command by its name.

    Raises:
        CommandRefused: `COMMAND_UNKNOWN`.
    """
    try:
        return Command(word)
    except ValueError:
        raise unknown_command(f"{PAYOUTS}ID", word, [command.value for command in Command]) from None


def unknown_command(target: str, word: str, known: list[str]) -> CommandRefused:
    """What is answered to a command that this target does not know."""
    message = f"{target} takes no command {word[:40]!r}; it takes {', '.join(known) or 'none'}"
    return CommandRefused("COMMAND_UNKNOWN", message, valid=known)
