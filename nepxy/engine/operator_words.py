"""What an operator's commands do, in words: before, for who thinks of giving one, and after, for who gave it.

Pure. Its twin is `decide/operator_rules`, which does it: a command that does something else there needs other words
here, and a test holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nepxy.engine.decide.case import Case
from nepxy.engine.decide.decision import Policy
from nepxy.engine.decide.operator_rules import needs_second_person, valid_commands
from nepxy.engine.events import Command
from nepxy.engine.payout import Payout, Status

FORCE: Final = "force"
SECOND_PERSON: Final = "second_person"


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeCommand:
    """A command that means something now."""

    command: Command
    does: str
    needs: tuple[str, ...]
    """What it wants besides: always `reason`; `force` for what is final; `second_person`."""


def safe_commands(payout: Payout, *, now: datetime, policy: Policy) -> tuple[SafeCommand, ...]:
    """The commands that mean something for this payout now, what each does and wants; arguments as for `decide`."""
    case = Case(payout=payout, now=now, policy=policy, jitter=0.0)
    return tuple(
        SafeCommand(command=command, does=_does(case, command), needs=_needs(case, command))
        for command in valid_commands(case)
    )


def was_done(payout: Payout, command: Command, *, now: datetime, policy: Policy) -> str:
    """What a command has done; `payout` is as it left it, the rest as for `decide`."""
    case = Case(payout=payout, now=now, policy=policy, jitter=0.0)
    match command:
        case Command.RETRY if payout.status is Status.PENDING and payout.status_reason == "REOPENED":
            return (
                f"It is reopened under the new reference {payout.submission_ref}, "
                f"and may be tried until {_clock(payout.expires_at)}."
            )
        case Command.CONFIRM:
            return "It is confirmed by your word."
        case Command.FAIL:
            return "It is failed by your word; nothing is sent again by itself."
        case Command.CANCEL:
            return "It is cancelled; nothing was sent."
        case Command.RELEASE:
            return "It is out of review, and the engine follows it again."
        case Command.NOTE:
            return "The note is in its history."
        case _:
            return _does(case, command)


def _needs(case: Case, command: Command) -> tuple[str, ...]:
    force = (FORCE,) if case.payout.status.is_final and command is not Command.NOTE else ()
    second = (SECOND_PERSON,) if needs_second_person(case, command) else ()
    return ("reason", *force, *second)


def _does(case: Case, command: Command) -> str:
    provider = case.payout.provider
    match command:
        case Command.RETRY:
            return _retry(case)
        case Command.POLL:
            return f"{_asks(case)} Nothing is sent."
        case Command.CONFIRM:
            return f"It ends as CONFIRMED: you know from {provider} that it was paid."
        case Command.FAIL:
            return f"It ends as FAILED: you know from {provider} that it was not paid, and will not be."
        case Command.CANCEL:
            return "It ends as CANCELLED: nothing of it was sent."
        case Command.RELEASE if case.payout.is_at_provider:
            return "It leaves review, and the engine follows it again; the time for an answer begins anew."
        case Command.RELEASE:
            return f"It leaves review, and is sent as soon as {provider} has a place for it."
        case Command.NOTE:
            return "A note is kept in its history."


def _retry(case: Case) -> str:
    payout, provider = case.payout, case.payout.provider
    match payout.status:
        case Status.PENDING:
            return f"It is sent as soon as {provider} has a place for it, without waiting for its time."
        case Status.FAILED:
            return (
                "It is reopened under a new reference and sent again; not where an attempt of it is unresolved "
                "or a discrepancy is open over it. The client's consent on record stands in for the second person."
            )
        case _ if case.question is not None:
            return f"{_asks(case)} It is sent again only if the answer proves that this cannot pay it twice."
        case _:
            return (
                f"It is sent again under the same reference, which {provider} is known not to pay twice; "
                "it cannot be asked."
            )


def _asks(case: Case) -> str:
    payout = case.payout
    if case.answer_is_awaited and payout.answer_by is not None:
        return (
            f"The last attempt's own answer may come until {_clock(payout.answer_by)}: "
            f"{payout.provider} is asked right after that."
        )
    return f"{payout.provider} is asked now what became of it."


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
