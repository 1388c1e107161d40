"""Payouts, for the clients that make them. A client sees only its own; another's is not there at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from nepxy.actors.messages import AcceptPayout, CancelPayout, PayoutAnswer
from nepxy.engine.explain import explain
from nepxy.engine.failures import FailureCode
from nepxy.engine.limits import Limit, corridor_refusal, counted_limits
from nepxy.engine.payout import Payout, TransactionId
from nepxy.engine.routing import Choice, Wanted, choose_provider, ticket_of, with_pauses
from nepxy.errors import (
    CorridorNotServed,
    Draining,
    DuplicateExternalRef,
    EngineBusy,
    FieldProblem,
    IdempotencyConflict,
    IntakePaused,
    InvariantViolation,
    LimitExceeded,
    PayoutNotCancellable,
    PayoutNotFound,
    RequestError,
    ValidationFailed,
)
from nepxy.http.auth import PAYOUTS_READ, PAYOUTS_WRITE, Caller
from nepxy.http.bodies import JSON, read_object
from nepxy.http.ids import as_transaction_id, idempotency_key_from
from nepxy.http.metrics import PAYOUTS_ROUTE
from nepxy.http.new_payout import check_same_request, creation, find_key, new_payout
from nepxy.http.parts import Parts, note, parts_of, request_id_of
from nepxy.http.schemas import Circumstances, EventPage, ListQuery, PayoutPage, PayoutRequest
from nepxy.http.standing import provider_now
from nepxy.http.validation import query_fields, read_payout_request, read_query, required_problems
from nepxy.http.views import NO_FAILURES, event_view, location_of, payout_view
from nepxy.storage.payouts import PayoutFilter, client_payout, client_payouts, payout_events
from nepxy.storage.writes import (
    Created,
    CreatePayout,
    ExternalRefKnown,
    KeyKnown,
    LookAgain,
    OverLimit,
    WriteFailed,
)


async def create(request: web.Request) -> web.Response:
    """Take a payout: 202 once it is committed; the same key and body give the same answer again."""
    parts = parts_of(request)
    parts.intake.check()
    caller = await parts.gatekeeper.client(request, PAYOUTS_WRITE)
    key = idempotency_key_from(request.headers.getall("Idempotency-Key", []))
    document = await read_object(request)
    circumstances = _circumstances(parts)
    wanted, refusal = read_payout_request(document, circumstances)
    choice = refusal or await _choice(parts, wanted, circumstances, ticket_of(caller.client_id, key))
    if isinstance(choice, RequestError):
        # What may not be taken now may have been taken before: a replay does not depend on the moment.
        known = await parts.front.reader.run(find_key, caller.client_id, key)
        if known is None:
            if isinstance(choice, CorridorNotServed):
                parts.metrics.over_limit.labels(Limit.CORRIDOR).inc()
            raise choice
        return _replayed(parts, known, wanted)
    payout = new_payout(
        wanted,
        client_id=caller.client_id,
        idempotency_key=key,
        choice=choice,
        transaction_id=TransactionId(parts.front.new_id()),
        installation_id=parts.front.installation_id,
        now=circumstances.now,
        expires_after_h=parts.front.settings.engine.expires_after_h,
    )
    create = creation(
        payout,
        wanted,
        route_reason=choice.reason,
        write_id=parts.front.new_id(),
        request_id=request_id_of(request),
        external_ref_unique=caller.external_ref_unique,
        limits=counted_limits(parts.front.settings.limits),
    )
    try:
        # Only now: a place is not for whoever has no right, or is slow to say what is wanted.
        with parts.intake.place():
            answer = await parts.engine.ask(AcceptPayout(create=create))
    except (IntakePaused, Draining):
        known = await parts.front.reader.run(find_key, caller.client_id, key)
        if known is None:
            raise
        answer = known
    return _created(parts, create, wanted, answer)


async def read(request: web.Request) -> web.Response:
    """One payout, with why it is where it is."""
    parts = parts_of(request)
    caller = await parts.gatekeeper.client(request, PAYOUTS_READ)
    payout = await _own_payout(parts, caller, request)
    return await _shown(parts, payout)


async def events(request: web.Request) -> web.Response:
    """A payout's history."""
    parts = parts_of(request)
    caller = await parts.gatekeeper.client(request, PAYOUTS_READ)
    payout = await _own_payout(parts, caller, request)
    records = await parts.front.reader.run(payout_events, payout.transaction_id)
    page = EventPage(transaction_id=payout.transaction_id, items=[event_view(record) for record in records])
    return _json(page.model_dump_json())


async def browse(request: web.Request) -> web.Response:
    """A page of the client's payouts, newest first."""
    parts = parts_of(request)
    caller = await parts.gatekeeper.client(request, PAYOUTS_READ)
    query = read_query(ListQuery, query_fields(request))
    if query.created_from and query.created_to and query.created_from >= query.created_to:
        raise ValidationFailed([FieldProblem("created_to", "is not after created_from")])
    narrowed = PayoutFilter(
        status=query.status,
        provider=query.provider,
        external_ref=query.external_ref,
        created_from=query.created_from,
        created_to=query.created_to,
    )
    before = None
    if query.cursor is not None:
        before = parts.cursors.read(query.cursor, client_id=caller.client_id, narrowed=narrowed)
    # One more than asked for tells whether there is another page.
    found = await parts.front.reader.run(
        client_payouts, caller.client_id, narrowed, before=before, limit=query.limit + 1
    )
    shown, more = found[: query.limit], len(found) > query.limit
    cursor = None
    if more:
        cursor = parts.cursors.sign(shown[-1].transaction_id, client_id=caller.client_id, narrowed=narrowed)
    page = PayoutPage(
        items=[payout_view(payout, failures=_failures(parts, payout)) for payout in shown], next_cursor=cursor
    )
    return _json(page.model_dump_json())


async def cancel(request: web.Request) -> web.Response:
    """Stop a payout that was not sent yet. Doing it again changes nothing."""
    parts = parts_of(request)
    caller = await parts.gatekeeper.client(request, PAYOUTS_WRITE)
    payout = await _own_payout(parts, caller, request)
    answer = await parts.engine.ask(
        CancelPayout(
            transaction_id=payout.transaction_id,
            client_id=caller.client_id,
            request_id=request_id_of(request),
        )
    )
    if not isinstance(answer, PayoutAnswer):
        raise _unforeseen(answer)
    if answer.answer not in ("APPLIED", "ALREADY_CANCELLED"):
        raise PayoutNotCancellable(payout.transaction_id, answer.payout.status.value)
    return await _shown(parts, answer.payout)


def _circumstances(parts: Parts) -> Circumstances:
    return Circumstances(
        now=parts.now(),
        known=parts.known,
        enabled=parts.enabled,
        requires={name: one.capabilities.requires for name, one in parts.front.adapters.items()},
    )


async def _choice(
    parts: Parts, wanted: PayoutRequest, circumstances: Circumstances, ticket: int
) -> Choice | RequestError:
    """The provider, or why there is none: a value, because a replay may still be due."""
    send = wanted.sender.country if wanted.sender is not None else None
    refusal = corridor_refusal(parts.front.settings.limits, send=send, receive=wanted.country)
    if refusal is not None:
        return refusal
    rules = parts.front.settings.routing
    providers = parts.candidates
    if rules.ask_for_pauses:
        providers = with_pauses(providers, await _paused(parts))
    asked = Wanted(
        number=wanted.number,
        amount=wanted.amount,
        currency=wanted.currency,
        provider=wanted.provider,
        ticket=ticket,
    )
    try:
        choice = choose_provider(asked, providers=providers, rules=rules)
    except RequestError as error:
        return error
    if not circumstances.requires.get(choice.provider):
        return choice
    problems = required_problems(wanted.normalised(), choice.provider, circumstances)
    return ValidationFailed(problems) if problems else choice


async def _paused(parts: Parts) -> frozenset[str]:
    """Who is paused; if the engine does not say in time, nobody is: the payout then waits, and is none the worse."""
    view = await parts.engine_view.answer()
    return frozenset(one.name for one in view.providers if one.paused) if view is not None else frozenset()


def _created(parts: Parts, create: CreatePayout, wanted: PayoutRequest, answer: object) -> web.Response:
    match answer:
        case Created(payout=payout):
            note(transaction_id=payout.transaction_id)
            return _stored(payout.transaction_id, create.response_status, create.response_body)
        case KeyKnown():
            return _replayed(parts, answer, wanted)
        case ExternalRefKnown(transaction_id=transaction_id):
            raise DuplicateExternalRef(transaction_id)
        case OverLimit(reached=reached):
            parts.metrics.over_limit.labels(reached.limit).inc()
            raise LimitExceeded(
                reached.limit,
                allowed=reached.allowed,
                used=reached.used,
                asked=reached.asked,
                currency=reached.currency,
                frees_at=reached.frees_at,
            )
        case WriteFailed(error=error):
            raise error
        case LookAgain():
            raise EngineBusy
        case _:
            raise _unforeseen(answer)


def _replayed(parts: Parts, known: KeyKnown, wanted: PayoutRequest) -> web.Response:
    try:
        check_same_request(known, wanted)
    except IdempotencyConflict:
        parts.metrics.conflicts.labels(PAYOUTS_ROUTE).inc()
        raise
    note(transaction_id=known.transaction_id, replayed=True)
    parts.metrics.replays.labels(PAYOUTS_ROUTE).inc()
    response = _stored(known.transaction_id, known.response_status, known.response_body)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _stored(transaction_id: TransactionId, status: int, body: str) -> web.Response:
    return _json(body, status=status, headers={"Location": location_of(transaction_id)})


async def _own_payout(parts: Parts, caller: Caller, request: web.Request) -> Payout:
    given = request.match_info["transaction_id"]
    transaction_id = as_transaction_id(given)
    payout = None
    if transaction_id is not None:
        note(transaction_id=transaction_id)
        payout = await parts.front.reader.run(client_payout, caller.client_id, transaction_id)
    if payout is None:
        raise PayoutNotFound(given)
    return payout


async def _shown(parts: Parts, payout: Payout) -> web.Response:
    explanation = explain(payout, now=parts.now(), provider=await provider_now(parts, payout.provider))
    view = payout_view(payout, explanation=explanation, failures=_failures(parts, payout))
    return _json(view.model_dump_json())


def _failures(parts: Parts, payout: Payout) -> Mapping[str, FailureCode]:
    adapter = parts.front.adapters.get(payout.provider)
    return adapter.capabilities.failures if adapter is not None else NO_FAILURES


def _json(body: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=body.encode(), status=status, headers=headers, content_type=JSON)


def _unforeseen(answer: object) -> InvariantViolation:
    return InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(answer).__name__}")


_ONE: Final = "/v1/payouts/{transaction_id}"

ROUTES: Final = (
    ("POST", PAYOUTS_ROUTE, create),
    ("GET", PAYOUTS_ROUTE, browse),
    ("GET", _ONE, read),
    ("GET", f"{_ONE}/events", events),
    ("POST", f"{_ONE}/cancel", cancel),
)
