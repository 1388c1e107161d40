"""`/v1/admin/bulk`: levers that touch many payouts, their progress, and their stop."""

from __future__ import annotations

from typing import Final

import orjson
from aiohttp import web

from nepxy.actors.bulk import LookForRuns
from nepxy.config.masking import mask_text
from nepxy.errors import CommandRefused, FieldProblem, ValidationFailed
from nepxy.http.auth import ADMIN_READ, ADMIN_WRITE
from nepxy.http.bodies import json_response, read_object
from nepxy.http.control.bulk import REASON_BYTES_MAX, item_view, run_view
from nepxy.http.control.dispatch import give
from nepxy.http.control.given import Given, who
from nepxy.http.control.orders import BULK, Order, Target
from nepxy.http.ids import as_transaction_id
from nepxy.http.parts import Parts, note, parts_of, request_id_of
from nepxy.http.validation import read_query
from nepxy.storage.bulk import BulkRun, bulk_runs, run_items, stop_run
from nepxy.storage.controls import By

PATH: Final = "/v1/admin/bulk"


async def start(request: web.Request) -> web.Response:
    """Select, count, and pull; or only say what would be."""
    parts = parts_of(request)
    operator = await parts.gatekeeper.operator(request, ADMIN_WRITE)
    document = await read_object(request)
    command = document.pop("command", None)
    if not isinstance(command, str):
        raise ValidationFailed(
            [FieldProblem("command", "is required", "send retry, poll, release or cancel")]
        )
    note(operator_id=operator.operator_id, target=BULK, command=command[:40])
    given = Given(operator_id=operator.operator_id, request_id=request_id_of(request))
    answered = await give(parts, given, Target(BULK), command, document)
    return json_response(answered.document, status=answered.status)


async def browse(request: web.Request) -> web.Response:
    """The last runs, newest first."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    runs = await parts.front.reader.run(bulk_runs)
    return json_response({"runs": [run_view(run, parts.now()) for run in runs]})


async def read(request: web.Request) -> web.Response:
    """One run with its items."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    run = await _found(parts, request)
    items = await parts.front.reader.run(run_items, run.run_id)
    return json_response(run_view(run, parts.now()) | {"items": [item_view(item) for item in items]})


async def stop(request: web.Request) -> web.Response:
    """Leave alone what was not done yet."""
    parts = parts_of(request)
    operator = await parts.gatekeeper.operator(request, ADMIN_WRITE)
    order = read_query(Order, await read_object(request))
    run = await _found(parts, request)
    by = By(
        who=who(operator.operator_id),
        reason=mask_text(order.reason, REASON_BYTES_MAX),
        request_id=request_id_of(request),
        arguments=orjson.dumps(order.arguments()).decode(),
    )
    stopped = await parts.front.reader.run(stop_run, run.run_id, by)
    run = await _found(parts, request)
    if not stopped and run.state != "STOPPED":
        raise CommandRefused("COMMAND_NOT_VALID", f"the run is {run.state}: there is nothing left to stop")
    parts.front.supervisor.tell(LookForRuns())
    left = run.count - run.done
    return json_response(
        {
            "outcome": "APPLIED",
            "target": f"bulk/{run.run_id}",
            "command": "stop",
            "what": f"The run is stopped: {run.done} of {run.count} payouts were done, {left} are left alone.",
            "what_next": "Items that were on their way may still end within 2 s. What was done stays done.",
            "run": run_view(run, parts.now()),
        }
    )


async def _found(parts: Parts, request: web.Request) -> BulkRun:
    given = request.match_info["run_id"]
    run_id = as_transaction_id(given)
    runs = await parts.front.reader.run(bulk_runs, run_id=run_id) if run_id is not None else []
    if not runs:
        raise CommandRefused("BULK_RUN_NOT_FOUND", f"there is no run {given[:80]}")
    return runs[0]


ROUTES: Final = (
    ("POST", PATH, start),
    ("GET", PATH, browse),
    ("GET", f"{PATH}/{{run_id}}", read),
    ("POST", f"{PATH}/{{run_id}}/stop", stop),
)
