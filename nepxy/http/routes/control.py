"""Operators' commands: `POST /v1/admin/control`, the runbook's plain paths, and what waits for a second person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from nepxy.errors import FieldProblem, ValidationFailed
from nepxy.http.auth import ADMIN_READ, ADMIN_WRITE
from nepxy.http.bodies import json_response, read_object
from nepxy.http.control.approvals import approve, reject
from nepxy.http.control.dispatch import give
from nepxy.http.control.given import Answered, Given
from nepxy.http.control.orders import PROVIDERS, SUPERVISOR, Order, Target, payout_target, target_of
from nepxy.http.operator_views import PAYOUTS_PATH, PROPOSALS_PATH, proposal_view
from nepxy.http.parts import note, parts_of, request_id_of
from nepxy.http.validation import read_query
from nepxy.storage.people import OperatorRecord
from nepxy.storage.proposals import open_proposals


async def control(request: web.Request) -> web.Response:
    """Give any target a command."""
    operator = await parts_of(request).gatekeeper.operator(request, ADMIN_WRITE)
    document = await read_object(request)
    wrong = [
        FieldProblem(name, "is required" if name not in document else "is not text", hint)
        for name, hint in (
            ("target", "send supervisor, providers/NAME or payouts/ID"),
            ("command", "send what shall be done, such as retry"),
        )
        if not isinstance(document.get(name), str)
    ]
    if wrong:
        raise ValidationFailed(wrong)
    fields = {name: value for name, value in document.items() if name not in ("target", "command")}
    return await _give(request, operator, target_of(document["target"]), document["command"], fields)


async def to_payout(request: web.Request) -> web.Response:
    """The same to one payout, by its path."""
    operator = await parts_of(request).gatekeeper.operator(request, ADMIN_WRITE)
    target = payout_target(request.match_info["transaction_id"])
    return await _give(request, operator, target, _command_of(request), await read_object(request))


async def to_provider(request: web.Request) -> web.Response:
    """The same to a provider, by its path."""
    operator = await parts_of(request).gatekeeper.operator(request, ADMIN_WRITE)
    target = target_of(f"{PROVIDERS}{request.match_info['name']}")
    return await _give(request, operator, target, _command_of(request), await read_object(request))


async def to_supervisor(request: web.Request) -> web.Response:
    """The same to the supervisor, by its path."""
    operator = await parts_of(request).gatekeeper.operator(request, ADMIN_WRITE)
    return await _give(
        request, operator, Target(SUPERVISOR), _command_of(request), await read_object(request)
    )


async def proposals(request: web.Request) -> web.Response:
    """What waits for a second person."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    found = await parts.front.reader.run(open_proposals)
    return json_response({"proposals": [proposal_view(one) for one in found]})


async def approving(request: web.Request) -> web.Response:
    """Another operator approves a command: it is done."""
    parts = parts_of(request)
    operator = await parts.gatekeeper.operator(request, ADMIN_WRITE)
    order = read_query(Order, await read_object(request))
    return _answer(
        await approve(parts, operator, request.match_info["proposal_id"], order, request_id_of(request))
    )


async def rejecting(request: web.Request) -> web.Response:
    """Nobody shall do it."""
    parts = parts_of(request)
    operator = await parts.gatekeeper.operator(request, ADMIN_WRITE)
    order = read_query(Order, await read_object(request))
    return _answer(
        await reject(parts, operator, request.match_info["proposal_id"], order, request_id_of(request))
    )


async def _give(
    request: web.Request, operator: OperatorRecord, target: Target, word: str, fields: Mapping[str, Any]
) -> web.Response:
    note(operator_id=operator.operator_id, target=str(target), command=word[:40])
    given = Given(operator_id=operator.operator_id, request_id=request_id_of(request))
    return _answer(await give(parts_of(request), given, target, word, fields))


def _command_of(request: web.Request) -> str:
    """The path's last part; a dash does for a blank there."""
    return request.match_info["command"].replace("-", "_")


def _answer(answered: Answered) -> web.Response:
    return json_response(answered.document, status=answered.status)


ROUTES: Final = (
    ("POST", "/v1/admin/control", control),
    ("POST", f"{PAYOUTS_PATH}/{{transaction_id}}/{{command}}", to_payout),
    ("POST", "/v1/admin/providers/{name}/{command}", to_provider),
    ("POST", "/v1/admin/supervisor/{command}", to_supervisor),
    ("GET", PROPOSALS_PATH, proposals),
    ("POST", f"{PROPOSALS_PATH}/{{proposal_id}}/approve", approving),
    ("POST", f"{PROPOSALS_PATH}/{{proposal_id}}/reject", rejecting),
)
