"""Payouts, for operators: everybody's, found by what is known of them, and explained."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any, Final

from aiohttp import web

from nepxy.engine.explain import explained
from nepxy.engine.operator_words import safe_commands
from nepxy.engine.payout import Payout, TransactionId
from nepxy.errors import PayoutNotFound
from nepxy.http.auth import ADMIN_READ
from nepxy.http.bodies import canonical, json_response
from nepxy.http.control.orders import payout_id
from nepxy.http.operator_views import (
    PAYOUTS_PATH,
    evidence_view,
    operator_event_view,
    operator_payout_view,
)
from nepxy.http.parts import Parts, note, parts_of
from nepxy.http.searches import PayoutListQuery
from nepxy.http.standing import policy_of, provider_now, valid_commands
from nepxy.http.validation import query_fields, read_query
from nepxy.storage.payout_beside import open_over, payout_attempts
from nepxy.storage.payout_search import FoundPayout, find_payout, search_payouts
from nepxy.storage.payouts import payout_events


async def browse(request: web.Request) -> web.Response:
    """A page of payouts, newest first."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    query = read_query(PayoutListQuery, query_fields(request))
    search = query.search(parts.now())
    bound_to = _binding(query)
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


async def _explanation(parts: Parts, payout: Payout) -> dict[str, Any]:
    now, policy = parts.now(), policy_of(parts, payout.provider)
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
        "commands": [
            {"command": one.command.value, "does": one.does, "needs": list(one.needs)}
            for one in safe_commands(payout, now=now, policy=policy)
        ],
    }


def _shown(parts: Parts, found: FoundPayout) -> dict[str, Any]:
    return operator_payout_view(found, valid=valid_commands(parts, found.payout))


def _binding(query: PayoutListQuery) -> str:
    """What a cursor is good for: the list with these very filters."""
    filters = query.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_defaults=True)
    return hashlib.sha256(canonical(filters).encode()).hexdigest()[:16]


_ONE: Final = f"{PAYOUTS_PATH}/{{transaction_id}}"

ROUTES: Final = (
    ("GET", PAYOUTS_PATH, browse),
    ("GET", _ONE, read),
    ("GET", f"{_ONE}/events", events),
    ("GET", f"{_ONE}/attempts", attempts),
    ("GET", f"{_ONE}/explain", explain),
)
