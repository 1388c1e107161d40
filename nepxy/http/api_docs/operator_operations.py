"""The document's words on what operators use. Longer ones: docs/operators-api.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from nepxy.engine.settlement_file import FIELDS
from nepxy.http.api_docs.client_operations import ENGINE_AWAY
from nepxy.http.api_docs.operation import ANY_OBJECT, Caller, Operation, Parameter, Schema, Success
from nepxy.http.auth import ADMIN_READ, ADMIN_WRITE
from nepxy.http.control.orders import Order, PayoutOrder
from nepxy.http.operator_views import PAYOUTS_PATH, PROPOSALS_PATH
from nepxy.http.reconcile_views import REPORTS_PATH
from nepxy.http.routes.reconcile import FileQuery, ReportsQuery, RunOrder
from nepxy.http.searches import PayoutListQuery

_PAYOUT: Final = f"{PAYOUTS_PATH}/{{transaction_id}}"
_ID_WRONG: Final = ("PAYOUT_NOT_FOUND",)
REFUSED: Final = (
    "TARGET_UNKNOWN",
    "COMMAND_UNKNOWN",
    "COMMAND_NOT_VALID",
    "VERSION_CONFLICT",
    "FORCE_NEEDED",
    "ANSWER_AWAITED",
    "ATTEMPT_UNRESOLVED",
    "DISCREPANCY_OPEN",
    "PROVIDER_REF_TAKEN",
    "COMMAND_ID_CONFLICT",
    "PAYOUT_NOT_FOUND",
    "PROVIDER_UNKNOWN",
    "BALANCE_UNKNOWN",
    *ENGINE_AWAY,
)
_DONE: Final = Success(
    description="Done, or done before under this `command_id`: `what` and `what_next` say it."
)
_WAITS: Final = Success(description="It waits for a second person: `proposal` says until when.")


def items(name: str) -> Mapping[str, Any]:
    """An object that holds a list of objects under this name, and perhaps more."""
    return {
        "type": "object",
        "required": [name],
        "properties": {name: {"type": "array", "items": ANY_OBJECT}},
        "additionalProperties": True,
    }


def reading(
    summary: str,
    *,
    group: str,
    schema: Schema = ANY_OBJECT,
    query: type[BaseModel] | None = None,
    errors: tuple[str, ...] = (),
) -> Operation:
    """What an operator may look at."""
    return Operation(
        summary=summary,
        group=group,
        caller=Caller.OPERATOR,
        scope=ADMIN_READ,
        query=query,
        answers={200: Success(description="As it is now.", schema=schema)},
        errors=errors,
    )


def commanding(
    summary: str,
    *,
    group: str,
    body: Schema,
    details: str = "",
    errors: tuple[str, ...] = REFUSED,
    answers: Mapping[int, Success] | None = None,
) -> Operation:
    """What an operator may do. Every one leaves a row in the audit log."""
    return Operation(
        summary=summary,
        details=details,
        group=group,
        caller=Caller.OPERATOR,
        scope=ADMIN_WRITE,
        body=body,
        answers=answers or {200: _DONE, 202: _WAITS},
        errors=errors,
    )


_ANY_COMMAND: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["target", "command", "reason"],
    "properties": {
        "target": {"type": "string", "examples": ["payouts/0190a5f2-0000-7000-8000-000000000000"]},
        "command": {"type": "string", "examples": ["retry"]},
        "reason": {"type": "string", "minLength": 3, "maxLength": 500},
        "command_id": {"type": ["string", "null"]},
    },
    "additionalProperties": True,
}
_WITH_REASON: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["reason"],
    "properties": {"reason": {"type": "string", "minLength": 3, "maxLength": 500}},
    "additionalProperties": True,
}

OPERATOR_OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/v1/admin/control"): commanding(
        "Give a command to a payout, a provider or the supervisor",
        group="Commands",
        body=_ANY_COMMAND,
        details="Idempotent by `command_id`; guarded by `expected_version` where one is given.",
    ),
    ("POST", f"{_PAYOUT}/{{command}}"): commanding(
        "Give a payout a command", group="Commands", body=PayoutOrder
    ),
    ("POST", "/v1/admin/providers/{name}/{command}"): commanding(
        "Give a provider a command", group="Commands", body=_WITH_REASON
    ),
    ("POST", "/v1/admin/supervisor/{command}"): commanding(
        "Give the engine a command", group="Commands", body=_WITH_REASON
    ),
    ("GET", PROPOSALS_PATH): reading(
        "List the commands that wait for a second person", group="Second person", schema=items("proposals")
    ),
    ("POST", f"{PROPOSALS_PATH}/{{proposal_id}}/approve"): commanding(
        "Approve a command that another operator gave: it is done",
        group="Second person",
        body=Order,
        errors=("PROPOSAL_NOT_FOUND", "PROPOSAL_CLOSED", "SECOND_PERSON_IS_THE_FIRST", *REFUSED),
    ),
    ("POST", f"{PROPOSALS_PATH}/{{proposal_id}}/reject"): commanding(
        "Reject a command that waits",
        group="Second person",
        body=Order,
        errors=("PROPOSAL_NOT_FOUND", "PROPOSAL_CLOSED", "COMMAND_ID_CONFLICT", *ENGINE_AWAY),
    ),
    ("GET", PAYOUTS_PATH): reading(
        "Find payouts, newest first",
        group="Payouts, for operators",
        schema=items("payouts"),
        query=PayoutListQuery,
        errors=("CURSOR_INVALID", "PROVIDER_UNKNOWN"),
    ),
    ("GET", _PAYOUT): reading("Read a payout", group="Payouts, for operators", errors=_ID_WRONG),
    ("GET", f"{_PAYOUT}/events"): reading(
        "Read a payout's history", group="Payouts, for operators", schema=items("events"), errors=_ID_WRONG
    ),
    ("GET", f"{_PAYOUT}/attempts"): reading(
        "Read under which references a payout was sent",
        group="Payouts, for operators",
        schema=items("attempts"),
        errors=_ID_WRONG,
    ),
    ("POST", "/v1/admin/reconcile"): commanding(
        "Ask the providers about what is in doubt, in review or recently settled",
        group="Reconciliation",
        body=RunOrder,
        details="The report fills while they are asked. What is found about an unsettled payout is decided as ever; "
        "a settled one that its provider contradicts gets a discrepancy, and stays as it is.",
        answers={202: Success(description="It began: `report` says where to read it.")},
        errors=("RECONCILE_RUNNING", "PAYOUT_NOT_FOUND", "PROVIDER_UNKNOWN", *ENGINE_AWAY),
    ),
    ("POST", "/v1/admin/reconcile/files"): Operation(
        summary="Match a provider's settlement file line by line",
        details="CSV in UTF-8, its header line first; `,`, `;`, tab or `|` between columns; amounts are decimals in "
        "major units. It moves no payout. Lines that cannot be read are named in `figures.bad`.",
        group="Reconciliation",
        caller=Caller.OPERATOR,
        scope=ADMIN_WRITE,
        query=FileQuery,
        parameters=tuple(
            Parameter(name=f"column.{name}", description=f"The header of the column with the {name}.")
            for name in FIELDS
        ),
        body={"type": "string"},
        body_types=("text/csv",),
        answers={200: Success(description="Done: `report` has the figures.")},
        errors=(
            "PROVIDER_UNKNOWN",
            "VALIDATION_FAILED",
            "BODY_TOO_LARGE",
            "ENGINE_BUSY",
            "DATABASE_UNAVAILABLE",
        ),
    ),
    ("GET", REPORTS_PATH): reading(
        "List the reports of reconciliation, newest first",
        group="Reconciliation",
        schema=items("reports"),
        query=ReportsQuery,
    ),
    ("GET", f"{REPORTS_PATH}/{{report_id}}"): reading(
        "Read a report with its differences and their commands; with `.csv` at its end, as a file",
        group="Reconciliation",
        schema=items("differences"),
        query=ReportsQuery,
        errors=("REPORT_NOT_FOUND",),
    ),
    ("GET", f"{_PAYOUT}/explain"): reading(
        "Explain why a payout is where it is, what comes next, and what may be done",
        group="Payouts, for operators",
        errors=_ID_WRONG,
    ),
}
