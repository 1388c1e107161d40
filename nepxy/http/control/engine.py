"""Commands to providers and to the supervisor, from every doorway: read, given to the actor, answered, and audited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import orjson
from pydantic import Field, StrictInt

from nepxy.actors.commands import (
    APPLIED,
    COMMAND_NOT_VALID,
    COMMAND_REPEATED,
    VALUE_NOT_VALID,
    CommandEngine,
    CommandProvider,
    EngineAnswer,
    EngineCommand,
    ProviderAnswer,
    ProviderCommand,
)
from nepxy.actors.messages import DescribeEngine, EngineView
from nepxy.config.masking import mask_text
from nepxy.errors import CommandRefused, ConfigError, FieldProblem, InvariantViolation, ValidationFailed
from nepxy.http.control.bulk import retry_failed
from nepxy.http.control.engine_words import (
    engine_what,
    engine_what_next,
    provider_what,
    provider_what_next,
)
from nepxy.http.control.given import Answered, Given
from nepxy.http.control.orders import Order, Target, unknown_command
from nepxy.http.engine_views import engine_view, provider_view
from nepxy.http.parts import Parts
from nepxy.http.validation import read_query
from nepxy.storage import audit
from nepxy.storage.controls import By

REASON_BYTES_MAX: Final = 500
RETRY_FAILED: Final = "retry_failed"
"""A lever that touches many: it is given to `/v1/admin/bulk`'s runner, not to the provider's actor."""

Number = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False, strict=False)]


class BackoffOrder(Order):
    """`set_backoff`; None: as configured."""

    base_s: Number | None = None
    cap_s: Number | None = None


class PaceOrder(Order):
    """`set_pace`; None: as configured."""

    requests_per_s: Number | None = None
    concurrency_max: StrictInt | None = None


class BalanceOrder(Order):
    """`check_balance`; None: in the provider's first currency."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None


class LimitsOrder(Order):
    """`set_limits`; None: as configured."""

    payouts_in_memory_max: StrictInt | None = None


class ReleaseOrder(Order):
    """`release_restored`; None: 72 hours."""

    reposts_for_h: Number | None = None


_PROVIDER_ORDERS: Final[Mapping[ProviderCommand, type[Order]]] = {
    ProviderCommand.SET_BACKOFF: BackoffOrder,
    ProviderCommand.SET_PACE: PaceOrder,
    ProviderCommand.CHECK_BALANCE: BalanceOrder,
}
_ENGINE_ORDERS: Final[Mapping[EngineCommand, type[Order]]] = {
    EngineCommand.SET_LIMITS: LimitsOrder,
    EngineCommand.RELEASE_RESTORED: ReleaseOrder,
}


async def command_provider(
    parts: Parts, given: Given, target: Target, word: str, fields: Mapping[str, Any]
) -> Answered:
    """Give a provider a command; `fields` are its body, unread.

    Raises:
        RequestError: it was not done.
        Unavailable: nobody can say whether it was done.
    """
    if word == RETRY_FAILED:
        return await retry_failed(parts, given, target, word, fields)
    if word not in {command.value for command in ProviderCommand}:
        raise unknown_command("providers/NAME", word, [one.value for one in ProviderCommand] + [RETRY_FAILED])
    command = ProviderCommand(word)
    order = read_query(_PROVIDER_ORDERS.get(command, Order), fields)
    by = _by(given, order)
    if await _was_done(parts, given, order, str(target), word):
        view = await _engine(parts)
        shown = next((one for one in view.providers if one.name == target.name), None)
        if shown is not None:
            document = _document(target, word, provider_what(command, shown, None), "")
            document |= {"replayed": True, "provider": provider_view(shown)}
            return Answered(status=200, document=document | {"what_next": provider_what_next(command, shown)})
    message = CommandProvider(provider=target.name, command=command, by=by, **order.arguments())
    answer = await parts.engine.ask(message)
    if not isinstance(answer, ProviderAnswer):
        raise InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(answer).__name__}")
    parts.engine_view.forget()
    await _refuse(parts, given, order, target, word, answer, answer.provider.valid_commands)
    document = _document(
        target,
        word,
        provider_what(command, answer.provider, answer.balance),
        provider_what_next(command, answer.provider),
    )
    document["provider"] = provider_view(answer.provider)
    if answer.balance is not None:
        balance = answer.balance
        document["balance"] = {
            "amount": balance.amount,
            "currency": balance.currency,
            "asked_at": parts.now(),
        }
    return Answered(status=200, document=document)


async def command_supervisor(
    parts: Parts, given: Given, target: Target, word: str, fields: Mapping[str, Any]
) -> Answered:
    """Give the supervisor a command; the rest as for a provider."""
    if word not in {command.value for command in EngineCommand}:
        raise unknown_command(str(target), word, [one.value for one in EngineCommand])
    command = EngineCommand(word)
    order = read_query(_ENGINE_ORDERS.get(command, Order), fields)
    settings = parts.front.settings
    if await _was_done(parts, given, order, str(target), word):
        view = await _engine(parts)
        document = _document(target, word, engine_what(command, view, ()), engine_what_next(command, view))
        shown = engine_view(view, version=settings.app_version)
        return Answered(status=200, document=document | {"replayed": True, "engine": shown})
    message = CommandEngine(command=command, by=_by(given, order), **order.arguments())
    try:
        answer = await parts.engine.ask(message)
    except ConfigError as refused:
        await parts.apart.run(audit.keep_command, _kept(given, order, target, word, refused.code))
        raise
    if not isinstance(answer, EngineAnswer):
        raise InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(answer).__name__}")
    parts.engine_view.forget()
    await _refuse(parts, given, order, target, word, answer, answer.engine.valid_commands)
    document = _document(
        target,
        word,
        engine_what(command, answer.engine, answer.changed),
        engine_what_next(command, answer.engine),
    )
    if command is EngineCommand.RELOAD_SECRETS:
        document["changed"] = list(answer.changed)
    document["engine"] = engine_view(answer.engine, version=settings.app_version)
    return Answered(status=200, document=document)


def _by(given: Given, order: Order) -> By:
    return By(
        who=given.who,
        reason=mask_text(order.reason, REASON_BYTES_MAX),
        request_id=given.request_id,
        command_id=order.command_id,
        arguments=orjson.dumps(order.arguments()).decode(),
        approved_by=given.second_person,
    )


async def _was_done(parts: Parts, given: Given, order: Order, target: str, word: str) -> bool:
    """Whether this very command was done before under its key.

    Raises:
        CommandRefused: the key names another command.
    """
    if order.command_id is None:
        return False
    known = await parts.apart.run(audit.find_command, order.command_id)
    if known is None:
        return False
    if (known.target, known.command, known.who) != (target, word, given.who):
        raise CommandRefused(
            "COMMAND_ID_CONFLICT", f"this command_id names {known.command} of {known.target}, by {known.who}"
        )
    return True


async def _engine(parts: Parts) -> EngineView:
    """The engine as it is at this moment."""
    view = await parts.engine.ask(DescribeEngine())
    if not isinstance(view, EngineView):
        raise InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(view).__name__}")
    return view


async def _refuse(
    parts: Parts,
    given: Given,
    order: Order,
    target: Target,
    word: str,
    answer: ProviderAnswer | EngineAnswer,
    valid: tuple[str, ...],
) -> None:
    """Turn an answer that says no into an error, and keep that it was asked for."""
    if answer.answer in (APPLIED, COMMAND_REPEATED):
        return
    if answer.answer == VALUE_NOT_VALID:
        raise ValidationFailed([FieldProblem(answer.field, answer.problem)])
    if answer.answer == COMMAND_NOT_VALID:
        kept = _kept(given, order, target, word, answer.answer)
        await parts.apart.run(audit.keep_command, kept)
        shown = ", ".join(valid)
        raise CommandRefused(answer.answer, f"{answer.problem}; valid now: {shown}", valid=valid)
    # What was asked of a provider is in the log already, with its answer.
    raise CommandRefused(answer.answer, answer.problem, valid=valid)


def _kept(given: Given, order: Order, target: Target, word: str, outcome: str) -> audit.KeptCommand:
    """A command that was refused, for the audit log; its key is not used up."""
    return audit.KeptCommand(
        who=given.who,
        command=word,
        target=str(target),
        reason=mask_text(order.reason, REASON_BYTES_MAX),
        outcome=outcome,
        arguments=order.arguments(),
        approved_by=given.second_person,
        request_id=given.request_id,
    )


def _document(target: Target, word: str, what: str, what_next: str) -> dict[str, Any]:
    return {
        "outcome": APPLIED,
        "target": str(target),
        "command": word,
        "what": what,
        "what_next": what_next,
    }
