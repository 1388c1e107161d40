"""Levers that touch many payouts: selected, counted, capped, and only then handed to the runner.

What is selected is what the command means something for now; each item keeps the version that it was selected at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import orjson
import peewee
from pydantic import Field, StrictBool, StrictInt

from nepxy.actors.bulk import LookForRuns
from nepxy.config.masking import mask_text
from nepxy.engine.decide import Policy, commands_for, second_person_needed
from nepxy.engine.events import Command
from nepxy.engine.payout import TransactionId
from nepxy.errors import CommandRefused, FieldProblem, ProviderUnknown, ValidationFailed
from nepxy.http.control.given import Answered, Given
from nepxy.http.control.orders import Order, Target, unknown_command
from nepxy.http.operator_views import operator_payout_view, proposal_view
from nepxy.http.parts import Parts
from nepxy.http.searches import PayoutFilters
from nepxy.http.standing import policy_of, valid_commands
from nepxy.http.validation import read_query
from nepxy.storage import audit
from nepxy.storage.bulk import BulkItem, BulkRun, NewItem, NewRun, bulk_runs, start_run
from nepxy.storage.controls import By
from nepxy.storage.database import is_race
from nepxy.storage.payout_search import FoundPayout, PayoutSearch, search_payouts
from nepxy.storage.proposals import NewProposal, propose

REASON_BYTES_MAX: Final = 500
PROPOSAL_HOLDS_S: Final = 3600.0
COUNT_MAX: Final = 10_000
PER_MINUTE_MAX: Final = 6_000
PAGE: Final = 500
LOOKED_AT_MAX: Final = 50_000
"""Payouts that a selection looks through; one that finds more is too wide."""
SAMPLE: Final = 10

Ramp = Annotated[StrictInt, Field(ge=1, le=PER_MINUTE_MAX)]


class _Lever(Order):
    """What bounds every lever."""

    dry_run: StrictBool
    count_max: Annotated[StrictInt, Field(ge=1, le=COUNT_MAX)] = 1_000
    amount_max: Annotated[StrictInt, Field(ge=1, le=2**53)] | None = None
    per_minute: Ramp = 60
    expires_in_s: Annotated[float, Field(ge=1, le=7 * 86_400, allow_inf_nan=False, strict=False)] = 3_600.0


class BulkOrder(_Lever):
    """`POST /v1/admin/bulk`."""

    command: Literal["retry", "poll", "release", "cancel"]
    selector: dict[str, Any]
    force: StrictBool = False


class RetryFailedOrder(_Lever):
    """`retry_failed` of a provider: FAILED payouts that may be retried, reopened under the rules."""

    since: str
    """Of payouts made since then."""
    until: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selection:
    """What a lever would touch."""

    found: tuple[FoundPayout, ...]

    @property
    def amounts(self) -> list[dict[str, Any]]:
        sums: dict[str, list[int]] = {}
        for one in self.found:
            known = sums.setdefault(one.payout.currency, [0, 0])
            known[0] += one.payout.amount
            known[1] += 1
        return [
            {"currency": currency, "amount": amount, "count": count}
            for currency, (amount, count) in sorted(sums.items())
        ]


async def command_bulk(
    parts: Parts, given: Given, target: Target, word: str, fields: Mapping[str, Any]
) -> Answered:
    """Pull a lever over what a selector finds; arguments, answers and errors as for `dispatch.give`."""
    if word not in ("retry", "poll", "release", "cancel"):
        raise unknown_command(str(target), word, ["retry", "poll", "release", "cancel"])
    order = read_query(BulkOrder, {"command": word, **fields})
    return await _pull(
        parts, given, target, word, order, Command(order.command), order.selector, force=order.force
    )


async def retry_failed(
    parts: Parts, given: Given, target: Target, word: str, fields: Mapping[str, Any]
) -> Answered:
    """Reopen what failed at one provider; the rest as for `command_bulk`."""
    if target.name not in parts.front.settings.providers:
        raise ProviderUnknown(target.name, parts.front.settings.providers)
    order = read_query(RetryFailedOrder, fields)
    selector: dict[str, Any] = {
        "status": "FAILED",
        "provider": target.name,
        "retryable": True,
        "created_from": order.since,
    }
    if order.until is not None:
        selector["created_to"] = order.until
    if order.error is not None:
        selector["error"] = order.error
    return await _pull(parts, given, target, word, order, Command.RETRY, selector, force=True)


async def _pull(
    parts: Parts,
    given: Given,
    target: Target,
    word: str,
    order: _Lever,
    command: Command,
    selector: dict[str, Any],
    *,
    force: bool,
) -> Answered:
    if (replayed := await _replayed(parts, given, target, word, order)) is not None:
        return replayed
    search = _search(parts, selector)
    policies = {name: policy_of(parts, name) for name in parts.front.settings.providers}
    selection = await parts.watching.run(
        _select,
        search,
        command=command,
        force=force,
        policies=policies,
        now=parts.now(),
        count_max=order.count_max,
    )
    if order.dry_run:
        return Answered(status=200, document=_dry_run(parts, target, word, order, selection))
    _check_caps(order, selection)
    if given.second_person is None and _wants_second_person(parts, selection, command):
        return await _proposed(parts, given, target, word, order, selection)
    by = _by(given, order)
    run = NewRun(
        run_id=parts.front.new_id(),
        command=command.value,
        arguments={"force": force},
        selector=selector,
        per_minute=order.per_minute,
        expires_in_s=order.expires_in_s,
        items=tuple(
            NewItem(
                transaction_id=one.payout.transaction_id,
                version=one.payout.version,
                amount=one.payout.amount,
                currency=one.payout.currency,
            )
            for one in selection.found
        ),
        target=str(target),
        word=word,
    )
    try:
        await parts.front.reader.run(start_run, run, by)
    except peewee.IntegrityError as error:
        if not is_race(error) or (replayed := await _replayed(parts, given, target, word, order)) is None:
            raise
        return replayed
    parts.front.supervisor.tell(LookForRuns())
    return await _started(parts, target, word, run.run_id)


def _search(parts: Parts, selector: dict[str, Any]) -> PayoutSearch:
    """Raises `ValidationFailed`: the selector selects nothing in particular, or could read all of history."""
    try:
        filters = read_query(PayoutFilters, selector)
        if filters.phone is not None:
            # A lever's selector is kept: with its run, in the audit log, in a proposal. Numbers are not.
            hint = "find them in the list, and name them by reference or client_id"
            raise ValidationFailed([FieldProblem("phone", "selects no payouts for a lever", hint)])
        if not filters.model_dump(exclude_defaults=True):
            raise ValidationFailed([FieldProblem("selector", "is empty", "name at least one filter")])
        return filters.search(parts.now())
    except ValidationFailed as wrong:
        raise ValidationFailed(
            FieldProblem(
                one.name if one.name.startswith("selector") else f"selector.{one.name}", one.problem, one.hint
            )
            for one in wrong.fields
        ) from None


def _select(
    database: peewee.Database,
    search: PayoutSearch,
    *,
    command: Command,
    force: bool,
    policies: Mapping[str, Policy],
    now: datetime,
    count_max: int,
) -> _Selection:
    """All that the search finds and the command means something for; a little more than the cap is enough to refuse."""
    found: list[FoundPayout] = []
    before: TransactionId | None = None
    looked_at = 0
    while len(found) <= count_max:
        page = search_payouts(database, search, providers=tuple(policies), before=before, limit=PAGE)
        for one in page.found:
            policy = policies.get(one.payout.provider)
            if policy is None or (one.payout.status.is_final and not force):
                continue
            if command in commands_for(one.payout, now=now, policy=policy):
                found.append(one)
        looked_at += PAGE
        if page.next_before is None:
            break
        if looked_at >= LOOKED_AT_MAX:
            raise CommandRefused(
                "BULK_OVER_THE_CAP",
                f"the selector leads through more than {LOOKED_AT_MAX} payouts: narrow it",
            )
        before = page.next_before
    return _Selection(found=tuple(found))


def _check_caps(order: _Lever, selection: _Selection) -> None:
    count = len(selection.found)
    if count > order.count_max:
        raise CommandRefused(
            "BULK_OVER_THE_CAP",
            f"more than count_max ({order.count_max}) payouts are selected: narrow the selector, or raise it",
            facts={"count_max": order.count_max},
        )
    for one in selection.amounts:
        if order.amount_max is not None and one["amount"] > order.amount_max:
            raise CommandRefused(
                "BULK_OVER_THE_CAP",
                f"{one['amount']} {one['currency']} are selected, more than amount_max ({order.amount_max})",
                facts={"amount_max": order.amount_max, "amount": one["amount"]},
            )
    if not count:
        raise CommandRefused(
            "BULK_SELECTS_NOTHING", "no payout is selected that this command means anything for"
        )


def _wants_second_person(parts: Parts, selection: _Selection, command: Command) -> bool:
    now = parts.now()
    return any(
        second_person_needed(one.payout, command, now=now, policy=policy_of(parts, one.payout.provider))
        for one in selection.found
    )


def _dry_run(parts: Parts, target: Target, word: str, order: _Lever, selection: _Selection) -> dict[str, Any]:
    count = len(selection.found)
    over = count > order.count_max
    return {
        "outcome": "DRY_RUN",
        "target": str(target),
        "command": word,
        "count": min(count, order.count_max) if over else count,
        "over_the_cap": over,
        "amounts": selection.amounts,
        "sample": [
            operator_payout_view(one, valid=valid_commands(parts, one.payout))
            for one in selection.found[:SAMPLE]
        ],
        "per_minute": order.per_minute,
        "would_take_s": round(count * 60 / order.per_minute, 1),
        "what": f"Nothing is done: {'more than ' if over else ''}{min(count, order.count_max)} payouts would be.",
        "what_next": "Give it again with dry_run: false.",
    }


async def _proposed(
    parts: Parts, given: Given, target: Target, word: str, order: _Lever, selection: _Selection
) -> Answered:
    """Keep it for a second person, who approves no more payouts and no more money than were selected now."""
    most = max((one["amount"] for one in selection.amounts), default=0)
    arguments = order.model_dump(mode="json", exclude={"reason", "command"}, exclude_none=True)
    new = NewProposal(
        proposal_id=parts.front.new_id(),
        proposed_by=given.who,
        target=str(target),
        command=word,
        arguments=arguments | {"dry_run": False, "count_max": len(selection.found), "amount_max": most},
        reason=mask_text(order.reason, REASON_BYTES_MAX),
        holds_s=PROPOSAL_HOLDS_S,
    )
    await _keep(parts, given, target, word, order, "SECOND_PERSON_NEEDED")
    shown = proposal_view(await parts.front.reader.run(propose, new))
    return Answered(
        status=202,
        document={
            "outcome": "SECOND_PERSON_NEEDED",
            "target": str(target),
            "command": word,
            "what": f"Nothing is done yet: {len(selection.found)} payouts wait for another operator's approval.",
            "what_next": (
                f"Another operator approves it at {shown['links']['approve']} until "
                f"{shown['expires_at']:%Y-%m-%d %H:%M:%S} UTC, or it lapses."
            ),
            "proposal": shown,
            "count": len(selection.found),
            "amounts": selection.amounts,
        },
    )


async def _keep(parts: Parts, given: Given, target: Target, word: str, order: _Lever, outcome: str) -> None:
    kept = audit.KeptCommand(
        who=given.who,
        command=word,
        target=str(target),
        reason=mask_text(order.reason, REASON_BYTES_MAX),
        outcome=outcome,
        arguments=order.arguments(),
        approved_by=given.second_person,
        request_id=given.request_id,
    )
    await parts.front.reader.run(audit.keep_command, kept)


async def _replayed(parts: Parts, given: Given, target: Target, word: str, order: _Lever) -> Answered | None:
    """The run that this very command started before."""
    if order.command_id is None or order.dry_run:
        return None
    known = await parts.front.reader.run(audit.find_command, order.command_id)
    if known is None:
        return None
    if (known.target, known.command, known.who) != (str(target), word, given.who):
        raise CommandRefused(
            "COMMAND_ID_CONFLICT", f"this command_id names {known.command} of {known.target}, by {known.who}"
        )
    answered = await _started(parts, target, word, str(known.after.get("run_id")))
    return Answered(status=200, document=answered.document | {"replayed": True})


async def _started(parts: Parts, target: Target, word: str, run_id: str) -> Answered:
    (run,) = await parts.front.reader.run(bulk_runs, run_id=run_id)
    shown = run_view(run, parts.now())
    return Answered(
        status=200,
        document={
            "outcome": "APPLIED",
            "target": str(target),
            "command": word,
            "what": f"{run.command} is given to {run.count} payouts, {run.per_minute} a minute.",
            "what_next": (
                f"It takes about {run.count * 60 / run.per_minute:.0f} s, at /v1/admin/bulk/{run_id}; it goes on "
                f"after a restart, and ends at {run.expires_at:%Y-%m-%d %H:%M:%S} UTC at the latest. "
                "What has moved on since it was selected is left alone."
            ),
            "run": shown,
        },
    )


def run_view(run: BulkRun, now: datetime) -> dict[str, Any]:
    """A run as operators see it."""
    left = run.count - run.done
    return {
        "run_id": run.run_id,
        "started_at": run.started_at,
        "who": run.who,
        "approved_by": run.approved_by,
        "command": run.command,
        "selector": run.selector,
        "reason": run.reason,
        "per_minute": run.per_minute,
        "expires_at": run.expires_at,
        "state": run.state,
        "ended_at": run.ended_at,
        "ended_by": run.ended_by,
        "count": run.count,
        "done": run.done,
        "outcomes": run.outcomes,
        "amounts": run.amounts,
        "eta_s": round(left * 60 / run.per_minute, 1) if run.state == "RUNNING" else None,
        "links": {"self": f"/v1/admin/bulk/{run.run_id}", "stop": f"/v1/admin/bulk/{run.run_id}/stop"},
    }


def item_view(item: BulkItem) -> dict[str, Any]:
    """One payout of a run."""
    return {
        "n": item.n,
        "transaction_id": item.transaction_id,
        "seen_version": item.seen_version,
        "amount": item.amount,
        "currency": item.currency,
        "done_at": item.done_at,
        "outcome": item.outcome,
    }


def _by(given: Given, order: _Lever) -> By:
    return By(
        who=given.who,
        reason=mask_text(order.reason, REASON_BYTES_MAX),
        request_id=given.request_id,
        command_id=order.command_id,
        arguments=orjson.dumps(order.arguments()).decode(),
        approved_by=given.second_person,
    )
