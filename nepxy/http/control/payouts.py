"""One way for every doorway to give a payout a command: done, refused, or kept for a second person; audited always."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from nepxy.actors.messages import CommandPayout, PayoutAnswer
from nepxy.config.masking import mask_text
from nepxy.engine.events import Command
from nepxy.engine.operator_words import was_done
from nepxy.engine.payout import Payout, TransactionId
from nepxy.errors import (
    CommandRefused,
    InvariantViolation,
    NepXyError,
    PayoutNotFound,
    RequestError,
    Unavailable,
)
from nepxy.http.control.given import Answered, Given
from nepxy.http.control.orders import PayoutOrder, Target, payout_command
from nepxy.http.operator_views import audited, operator_payout_view, proposal_view
from nepxy.http.parts import Parts
from nepxy.http.standing import explanation, policy_of, valid_commands
from nepxy.http.validation import read_query
from nepxy.storage import audit
from nepxy.storage.payout_search import FoundPayout, find_payout
from nepxy.storage.proposals import NewProposal, propose
from nepxy.storage.writes import PROVIDER_REF_UNIQUE, AuditRow

REASON_BYTES_MAX: Final = 500
PROPOSAL_HOLDS_S: Final = 3600.0

_TAKEN: Final = "PROVIDER_REF_TAKEN"
_REFUSED: Final[Mapping[str, str]] = {
    "COMMAND_NOT_VALID": "{command} means nothing for a payout that is {status} ({reason}); valid now: {valid}",
    "VERSION_CONFLICT": "the payout is at version {version} by now: somebody was first, or it moved on by itself",
    "FORCE_NEEDED": "the payout is {status}, which is final",
    "ANSWER_AWAITED": "the provider's own answer to the last attempt may come until {answer_by}",
    "ATTEMPT_UNRESOLVED": "an attempt of it is unresolved: under a new reference it could be paid twice",
    "DISCREPANCY_OPEN": "a discrepancy is open over it: the provider says something else than we hold",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ordered:
    """A command to a payout, understood."""

    parts: Parts
    given: Given
    target: Target
    command: Command
    order: PayoutOrder
    reason: str
    """Masked: it is stored."""

    @property
    def transaction_id(self) -> TransactionId:
        return TransactionId(self.target.name)

    def kept(self, outcome: str, payout: Payout) -> audit.KeptCommand:
        """For the audit log, where nothing was done."""
        return audit.KeptCommand(
            who=self.given.who,
            command=self.command.value,
            target=str(self.target),
            reason=self.reason,
            outcome=outcome,
            arguments=self.order.arguments(),
            approved_by=self.given.second_person,
            before=audited(payout),
            after=audited(payout),
            request_id=self.given.request_id,
        )


async def order_payout(
    parts: Parts, given: Given, target: Target, word: str, fields: Mapping[str, Any]
) -> Answered:
    """Give a payout a command; arguments, answers and errors as for `dispatch.give`.

    Raises:
        ValidationFailed, CommandRefused: it was not done.
        PayoutNotFound, Unavailable: nothing was done.
    """
    command = payout_command(word)
    order = read_query(PayoutOrder, fields)
    ordered = _Ordered(
        parts=parts,
        given=given,
        target=target,
        command=command,
        order=order,
        reason=mask_text(order.reason, REASON_BYTES_MAX),
    )
    return await _replayed(ordered) or await _given(ordered)


async def _given(ordered: _Ordered) -> Answered:
    try:
        answer = await ordered.parts.engine.ask(_message(ordered))
    except Unavailable:
        raise
    except RequestError:
        raise
    except NepXyError as error:
        # The same command twice at once: the second finds the first one's key.
        if (replayed := await _replayed(ordered)) is not None:
            return replayed
        if PROVIDER_REF_UNIQUE not in error.message:
            raise
        found = await _row(ordered)
        await ordered.parts.front.reader.run(audit.keep_command, ordered.kept(_TAKEN, found.payout))
        raise CommandRefused(
            _TAKEN, f"another payout of {found.payout.provider} has this provider_ref"
        ) from None
    if not isinstance(answer, PayoutAnswer):
        raise InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(answer).__name__}")
    if answer.answer == "APPLIED":
        return Answered(status=200, document=await _done(ordered, answer.payout))
    if (replayed := await _replayed(ordered)) is not None:
        return replayed
    await ordered.parts.front.reader.run(audit.keep_command, ordered.kept(answer.answer, answer.payout))
    if answer.answer == "SECOND_PERSON_NEEDED":
        return await _proposed(ordered, answer.payout)
    raise _refusal(ordered, answer)


def _message(ordered: _Ordered) -> CommandPayout:
    given, order = ordered.given, ordered.order
    return CommandPayout(
        transaction_id=ordered.transaction_id,
        order=order.asked(ordered.command, reason=ordered.reason, second_person=given.second_person),
        operator_id=given.operator_id,
        audit=AuditRow(
            command=ordered.command.value,
            reason=ordered.reason,
            command_id=order.command_id,
            arguments=orjson.dumps(order.arguments()).decode(),
            approved_by=given.second_person,
        ),
        request_id=given.request_id,
    )


async def _replayed(ordered: _Ordered) -> Answered | None:
    """The answer to a command that was done before under this key.

    Raises:
        CommandRefused: the key names another command.
    """
    command_id = ordered.order.command_id
    if command_id is None:
        return None
    known = await ordered.parts.front.reader.run(audit.find_command, command_id)
    if known is None:
        return None
    ours = (str(ordered.target), ordered.command.value, ordered.given.who)
    if (known.target, known.command, known.who) != ours:
        raise CommandRefused(
            "COMMAND_ID_CONFLICT", f"this command_id names {known.command} of {known.target}, by {known.who}"
        )
    found = await _row(ordered)
    return Answered(status=200, document=await _done(ordered, found.payout) | {"replayed": True})


async def _done(ordered: _Ordered, left: Payout) -> dict[str, Any]:
    """The answer to what was done; `left` is how the command left the payout, which may have moved on since."""
    parts = ordered.parts
    found = await _row(ordered)
    policy = policy_of(parts, left.provider)
    return {
        "outcome": "APPLIED",
        "command": ordered.command.value,
        "target": str(ordered.target),
        "what": was_done(left, ordered.command, now=parts.now(), policy=policy),
        "what_next": await explanation(parts, found.payout),
        "payout": _shown(parts, found),
    }


async def _proposed(ordered: _Ordered, payout: Payout) -> Answered:
    """Keep it for a second person, who approves it for the payout as it is now and no other."""
    parts, order = ordered.parts, ordered.order
    key = {"command_id": order.command_id} if order.command_id is not None else {}
    new = NewProposal(
        proposal_id=parts.front.new_id(),
        proposed_by=ordered.given.who,
        target=str(ordered.target),
        command=ordered.command.value,
        arguments=order.arguments() | key | {"expected_version": payout.version},
        reason=ordered.reason,
        holds_s=PROPOSAL_HOLDS_S,
    )
    shown = proposal_view(await parts.front.reader.run(propose, new))
    return Answered(
        status=202,
        document={
            "outcome": "SECOND_PERSON_NEEDED",
            "command": new.command,
            "target": new.target,
            "what": "Nothing is done yet: it waits for another operator's approval.",
            "what_next": (
                f"Another operator approves it at {shown['links']['approve']} until "
                f"{shown['expires_at']:%Y-%m-%d %H:%M:%S} UTC, or it lapses; it lapses, too, if the payout moves on."
            ),
            "proposal": shown,
            "payout": _shown(parts, await _row(ordered)),
        },
    )


def _refusal(ordered: _Ordered, answer: PayoutAnswer) -> CommandRefused:
    payout = answer.payout
    text = _REFUSED.get(answer.answer)
    if text is None:
        raise InvariantViolation("INVARIANT_VIOLATED", f"an operator's command was answered {answer.answer}")
    valid = valid_commands(ordered.parts, payout)
    message = text.format(
        command=ordered.command.value,
        status=payout.status.value,
        reason=payout.status_reason,
        version=payout.version,
        valid=", ".join(valid),
        answer_by=payout.answer_by.isoformat() if payout.answer_by is not None else "an unknown time",
    )
    facts: dict[str, str | int] = {"payout_status": payout.status.value, "version": payout.version}
    return CommandRefused(answer.answer, message, valid=valid, facts=facts)


async def _row(ordered: _Ordered) -> FoundPayout:
    found = await ordered.parts.front.reader.run(find_payout, ordered.transaction_id)
    if found is None:
        raise PayoutNotFound(ordered.transaction_id)
    return found


def _shown(parts: Parts, found: FoundPayout) -> dict[str, Any]:
    return operator_payout_view(found, valid=valid_commands(parts, found.payout))
