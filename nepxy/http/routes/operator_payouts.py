"""Payouts, for operators: everybody's, found by what is known of them, and explained."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from nepxy.actors.tree import ActorRow, DescribePayoutActor
from nepxy.engine.explain import explained
from nepxy.engine.operator_words import safe_commands
from nepxy.engine.payout import FINAL, Payout, Status, TransactionId
from nepxy.errors import CursorInvalid, DatabaseUnavailable, PayoutNotFound, Unavailable
from nepxy.http.auth import ADMIN_READ
from nepxy.http.bodies import json_response
from nepxy.http.control.orders import payout_id
from nepxy.http.operator_views import (
    PAYOUTS_PATH,
    evidence_view,
    operator_event_view,
    operator_payout_view,
    webhook_view,
)
from nepxy.http.parts import ENGINE_WAIT_S, Parts, note, parts_of
from nepxy.http.searches import PageQuery, PayoutListQuery, binding
from nepxy.http.standing import policy_of, provider_now, valid_commands
from nepxy.http.validation import query_fields, read_query
from nepxy.storage.payout_beside import open_over, payout_attempts
from nepxy.storage.payout_search import FoundPayout, find_payout, search_payouts
from nepxy.storage.payouts import payout_events
from nepxy.storage.review import Waiting, review_figures, review_queue
from nepxy.storage.webhook_events import payout_webhooks


async def browse(request: web.Request) -> web.Response:
    """A page of payouts, newest first."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    query = read_query(PayoutListQuery, query_fields(request))
    search = query.search(parts.now())
    bound_to = binding("payouts", query)
    before = None
    if query.cursor is not None:
        (position,) = parts.cursors.open(query.cursor, bound_to=bound_to, length=1)
        before = TransactionId(position)
    page = await parts.front.reader.run(
        search_payouts,
        search,
        providers=tuple(parts.front.settings.providers),
        before=before,
        limit=query.limit,
    )
    cursor = None
    if page.next_before is not None:
        cursor = parts.cursors.seal([page.next_before], bound_to=bound_to)
    return json_response({"payouts": [_shown(parts, found) for found in page.found], "next_cursor": cursor})


async def read(request: web.Request) -> web.Response:
    """One payout."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    return json_response(_shown(parts, await found_payout(parts, request)))


async def events(request: web.Request) -> web.Response:
    """A payout's history, oldest first."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    found = await found_payout(parts, request)
    records = await parts.front.reader.run(payout_events, found.payout.transaction_id)
    return json_response({"events": [operator_event_view(record) for record in records]})


async def attempts(request: web.Request) -> web.Response:
    """The references under which a payout was ever sent."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    found = await found_payout(parts, request)
    records = await parts.front.reader.run(payout_attempts, found.payout.transaction_id)
    return json_response({"attempts": [asdict(record) for record in records]})


async def explain(request: web.Request) -> web.Response:
    """Why a payout is where it is, by what evidence, what comes next, and what may be done about it."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    found = await found_payout(parts, request)
    return json_response(await _explanation(parts, found.payout))


async def webhooks(request: web.Request) -> web.Response:
    """Webhooks that speak of a payout, oldest first."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    found = await found_payout(parts, request)
    records = await parts.front.reader.run(payout_webhooks, found.payout.transaction_id)
    return json_response({"webhooks": [webhook_view(record) for record in records]})


async def review(request: web.Request) -> web.Response:
    """What waits for a person, oldest first, each with what may safely be done about it."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    query = read_query(PageQuery, query_fields(request))
    bound_to = binding("review", query)
    after = None
    if query.cursor is not None:
        after = _position(*parts.cursors.open(query.cursor, bound_to=bound_to, length=2))
    queue = await parts.front.reader.run(review_queue, after=after, limit=query.limit + 1)
    figures = await parts.front.reader.run(review_figures)
    shown, more = queue[: query.limit], len(queue) > query.limit
    cursor = None
    if more:
        last = shown[-1]
        position = [last.since.isoformat(), last.found.payout.transaction_id]
        cursor = parts.cursors.seal(position, bound_to=bound_to)
    return json_response(
        {
            "payouts": [await _waiting(parts, one) for one in shown],
            "figures": [
                {name: value for name, value in asdict(one).items() if name != "status"} for one in figures
            ],
            "next_cursor": cursor,
        }
    )


async def summary(request: web.Request) -> web.Response:
    """How much is in flight where, and what this node has settled since it started."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    return json_response(await summary_of(parts))


async def summary_of(parts: Parts) -> dict[str, Any]:
    """The summary as it is shown; two seconds old at most."""
    return {"in_flight": await _in_flight(parts), "settled": _settled(parts), "at": parts.now()}


async def found_payout(parts: Parts, request: web.Request) -> FoundPayout:
    """The payout of the path.

    Raises:
        RequestError: `PAYOUT_NOT_FOUND`.
    """
    transaction_id = payout_id(request.match_info["transaction_id"])
    note(transaction_id=transaction_id)
    found = await parts.front.reader.run(find_payout, transaction_id)
    if found is None:
        raise PayoutNotFound(transaction_id)
    return found


async def _waiting(parts: Parts, waiting: Waiting) -> dict[str, Any]:
    now, payout = parts.now(), waiting.found.payout
    told = explained(payout, now=now, provider=await provider_now(parts, payout.provider))
    shown = _shown(parts, waiting.found)
    return shown | {
        "why": told.why,
        "waiting_s": round(max(0.0, (now - waiting.since).total_seconds()), 1),
        "commands": _commands(parts, payout),
    }


def _commands(parts: Parts, payout: Payout) -> list[dict[str, Any]]:
    policy = policy_of(parts, payout.provider)
    return [
        {"command": one.command.value, "does": one.does, "needs": list(one.needs)}
        for one in safe_commands(payout, now=parts.now(), policy=policy)
    ]


async def _explanation(parts: Parts, payout: Payout) -> dict[str, Any]:
    now = parts.now()
    records = await parts.front.reader.run(payout_events, payout.transaction_id)
    beside = await parts.front.reader.run(open_over, payout.transaction_id)
    told = explained(
        payout,
        now=now,
        provider=await provider_now(parts, payout.provider),
        unresolved_count=beside.unresolved_count,
        discrepancies=beside.discrepancies,
    )
    return {
        "transaction_id": payout.transaction_id,
        "status": payout.status.value,
        "status_reason": payout.status_reason,
        "version": payout.version,
        "why": told.why,
        "next": {"what": told.what_next, "at": told.next_at},
        "blockers": list(told.blockers),
        "evidence": [evidence_view(record) for record in records if record.evidence],
        "commands": _commands(parts, payout),
        "in_memory": await _is_in_memory(parts, payout.transaction_id),
    }


async def _is_in_memory(parts: Parts, transaction_id: TransactionId) -> bool:
    """Whether this node has an actor for it; an engine that does not answer has none that could be shown."""
    try:
        async with asyncio.timeout(ENGINE_WAIT_S):
            row = await parts.engine.ask(DescribePayoutActor(transaction_id=transaction_id))
    except (Unavailable, TimeoutError):
        return False
    return isinstance(row, ActorRow)


def _shown(parts: Parts, found: FoundPayout) -> dict[str, Any]:
    return operator_payout_view(found, valid=valid_commands(parts, found.payout))


async def _in_flight(parts: Parts) -> list[dict[str, Any]]:
    figures = await parts.in_flight.answer()
    if figures is None:
        raise DatabaseUnavailable
    return [asdict(one) for one in figures]


def _settled(parts: Parts) -> list[dict[str, Any]]:
    """As this process has counted: the tables are too large to be counted by the way."""
    counted = [
        (provider, status, _counted(parts, provider, status))
        for provider in parts.front.settings.providers
        for status in FINAL
    ]
    return [
        {"provider": provider, "status": status.value, "count": count}
        for provider, status, count in sorted(counted)
    ]


def _counted(parts: Parts, provider: str, status: Status) -> int:
    labels = {"provider": provider, "status": status.value}
    return int(parts.front.registry.get_sample_value("nepxy_payouts_settled_total", labels) or 0)


def _position(since: str, transaction_id: str) -> tuple[datetime, TransactionId]:
    try:
        return datetime.fromisoformat(since), TransactionId(transaction_id)
    except ValueError:
        raise CursorInvalid from None


_ONE: Final = f"{PAYOUTS_PATH}/{{transaction_id}}"

ROUTES: Final = (
    ("GET", PAYOUTS_PATH, browse),
    # Before the one with an id in its place.
    ("GET", f"{PAYOUTS_PATH}/review", review),
    ("GET", f"{PAYOUTS_PATH}/summary", summary),
    ("GET", _ONE, read),
    ("GET", f"{_ONE}/events", events),
    ("GET", f"{_ONE}/attempts", attempts),
    ("GET", f"{_ONE}/webhooks", webhooks),
    ("GET", f"{_ONE}/explain", explain),
)
