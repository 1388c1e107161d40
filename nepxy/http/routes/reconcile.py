"""Reconciliation for operators: ask the providers, import a settlement file, read the reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import BeforeValidator, ConfigDict, Field, StrictInt

from nepxy.actors.messages import StartReconcile
from nepxy.config.masking import mask_text
from nepxy.engine.reconcile import ReportKind
from nepxy.engine.settlement_file import FIELDS, SettlementReader
from nepxy.errors import (
    BodyTooLarge,
    EngineBusy,
    FieldProblem,
    InvariantViolation,
    NepXyError,
    PayoutNotFound,
    ProviderUnknown,
    ReportNotFound,
    ValidationFailed,
)
from nepxy.http.auth import ADMIN_READ, ADMIN_WRITE
from nepxy.http.bodies import json_response, read_object
from nepxy.http.control.orders import Reason
from nepxy.http.ids import as_transaction_id
from nepxy.http.parts import Parts, note, parts_of, request_id_of
from nepxy.http.reconcile_views import REPORTS_PATH, csv_text, difference_view, report_view
from nepxy.http.schemas import Currency, Incoming, Moment, Provider, refused
from nepxy.http.settlement_import import Period, ReportGone, SettlementImport
from nepxy.http.validation import query_fields, read_query
from nepxy.storage.reconcile import (
    Report,
    add_progress,
    find_report,
    list_reports,
    payouts_by_id,
    report_differences,
    start_report,
)

REASON_BYTES_MAX: Final = 500
PAYOUTS_MAX: Final = 100
REPORTS_MAX: Final = 200
DIFFERENCES_PAGE: Final = 1_000
PIECE_S_MAX: Final = 60.0
"""A client that sends nothing for so long has gone."""
IMPORTS_MAX: Final = 2
IMPORTS: Final = web.AppKey("imports", asyncio.Semaphore)


def _id(value: object) -> object:
    found = as_transaction_id(value) if isinstance(value, str) else None
    if found is None:
        raise refused("is no transaction_id", "send our UUID of the payout")
    return found


class RunOrder(Incoming):
    """`POST /v1/admin/reconcile`."""

    reason: Reason
    provider: Provider | None = None
    since_h: Annotated[float, Field(gt=0, le=24 * 92, allow_inf_nan=False, strict=False)] = 24.0
    count_max: Annotated[StrictInt, Field(ge=1, le=50_000)] | None = None
    transaction_ids: Annotated[
        tuple[Annotated[str, BeforeValidator(_id)], ...], Field(max_length=PAYOUTS_MAX, strict=False)
    ] = ()


class FileQuery(Incoming):
    """`POST /v1/admin/reconcile/files`: the query, where everything is text."""

    model_config = ConfigDict(extra="forbid", strict=False, frozen=True, hide_input_in_errors=True)

    provider: Provider
    reason: Reason
    from_at: Annotated[Moment | None, Field(alias="from")] = None
    to_at: Annotated[Moment | None, Field(alias="to")] = None
    currency: Currency | None = None

    def period(self) -> Period | None:
        """What the file covers.

        Raises:
            ValidationFailed: it has one end, or ends before it begins.
        """
        if self.from_at is None and self.to_at is None:
            return None
        if self.from_at is None or self.to_at is None:
            name = "from" if self.from_at is None else "to"
            raise ValidationFailed(
                [FieldProblem(name, "is missing", "give both ends of the period, or none")]
            )
        if self.from_at >= self.to_at:
            raise ValidationFailed([FieldProblem("to", "is not after from")])
        return Period(from_at=self.from_at, to_at=self.to_at)


class ReportsQuery(Incoming):
    """`GET /v1/admin/reconcile/reports`, and a report's differences."""

    model_config = ConfigDict(extra="forbid", strict=False, frozen=True, hide_input_in_errors=True)

    limit: Annotated[int, Field(ge=1, le=DIFFERENCES_PAGE)] = DIFFERENCES_PAGE
    after: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


async def run(request: web.Request) -> web.Response:
    """Ask the providers: 202 with the report, which fills while they are asked."""
    parts = parts_of(request)
    operator = await parts.gatekeeper.operator(request, ADMIN_WRITE)
    order = read_query(RunOrder, await read_object(request))
    _check_provider(parts, order.provider)
    if order.transaction_ids:
        found = await parts.front.reader.run(payouts_by_id, order.transaction_ids)
        if missing := sorted(set(order.transaction_ids) - set(found)):
            raise PayoutNotFound(missing[0])
    report = await parts.engine.ask(
        StartReconcile(
            report_id=parts.front.new_id(),
            who=f"operator:{operator.operator_id}",
            reason=mask_text(order.reason, REASON_BYTES_MAX),
            provider=order.provider,
            since_h=order.since_h,
            count_max=order.count_max or parts.front.settings.reconcile.count_max,
            transaction_ids=order.transaction_ids,
            request_id=request_id_of(request),
        )
    )
    if not isinstance(report, Report):
        raise InvariantViolation("INVARIANT_VIOLATED", f"the engine answered {type(report).__name__}")
    note(report_id=report.report_id)
    view = report_view(report)
    return json_response({"report": view}, status=202, headers={"Location": view["links"]["self"]})


async def import_file(request: web.Request) -> web.Response:
    """Match a settlement file as it comes in; answered when it is done."""
    parts = parts_of(request)
    operator = await parts.gatekeeper.operator(request, ADMIN_WRITE)
    fields = dict(query_fields(request))
    headers = {name: (str(fields.pop(f"column.{name}")),) for name in FIELDS if f"column.{name}" in fields}
    query = read_query(FileQuery, fields)
    period = query.period()
    _check_provider(parts, query.provider)
    if request.content_type.startswith("multipart/"):
        raise ValidationFailed([FieldProblem("body", "is a form", "send the file itself as the body")])
    imports = request.app[IMPORTS]
    if imports.locked():
        raise EngineBusy(f"{IMPORTS_MAX} settlement files are being imported already", retry_after_s=10)
    async with imports:
        pieces = _pieces(request, parts.front.settings.reconcile.file_bytes_max)
        settlement = SettlementReader(currency=query.currency, headers=headers)
        first = await _first_lines(pieces, settlement)
        report = await _begin_import(request, query, operator.operator_id)
        note(report_id=report.report_id)
        importing = SettlementImport(
            reader=parts.front.reader, report_id=report.report_id, provider=query.provider, period=period
        )
        try:
            await importing.take(first)
            await _rest(pieces, settlement, importing, parts.front.settings.reconcile.file_lines_max)
        except BaseException as error:
            await _failed(parts, report, importing, error)
            raise
    done = await parts.front.reader.run(find_report, report.report_id)
    return json_response({"report": report_view(done or report)})


async def reports(request: web.Request) -> web.Response:
    """The newest reports."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    query = read_query(ReportsQuery, query_fields(request))
    found = await parts.front.reader.run(list_reports, limit=min(query.limit, REPORTS_MAX))
    return json_response({"reports": [report_view(one) for one in found]})


async def report(request: web.Request) -> web.StreamResponse:
    """One report with its differences: as JSON, or as CSV where the path ends so."""
    parts = parts_of(request)
    await parts.gatekeeper.operator(request, ADMIN_READ)
    name = request.match_info["report_id"]
    report_id = as_transaction_id(name.removesuffix(".csv"))
    found = await parts.front.reader.run(find_report, report_id) if report_id is not None else None
    if found is None:
        raise ReportNotFound(name)
    if name.endswith(".csv"):
        return await _as_csv(request, found)
    query = read_query(ReportsQuery, query_fields(request))
    rows = await parts.front.reader.run(
        report_differences, found.report_id, after=query.after, limit=query.limit + 1
    )
    shown = rows[: query.limit]
    following = shown[-1].n if len(rows) > query.limit else None
    differences = [difference_view(row) for row in shown]
    return json_response({**report_view(found), "differences": differences, "next_after": following})


# ---- the file -----------------------------------------------------------------------------------------


async def _pieces(request: web.Request, bytes_max: int) -> AsyncIterator[bytes]:
    """The body as it comes in, never more than the limit."""
    if request.content_length is not None and request.content_length > bytes_max:
        raise BodyTooLarge(bytes_max)
    count = 0
    while True:
        try:
            async with asyncio.timeout(PIECE_S_MAX):
                piece = await request.content.readany()
        except TimeoutError:
            raise ValidationFailed(
                [FieldProblem("body", f"stopped coming for {PIECE_S_MAX:g} s", "send the file again")]
            ) from None
        if not piece:
            return
        count += len(piece)
        if count > bytes_max:
            raise BodyTooLarge(bytes_max)
        yield piece


async def _first_lines(pieces: AsyncIterator[bytes], settlement: SettlementReader) -> list[Any]:
    """Read until the header is understood: a file that cannot be one leaves no report."""
    while settlement.layout is None:
        piece = await anext(pieces, None)
        if piece is None:
            return await asyncio.to_thread(settlement.close)
        lines = await asyncio.to_thread(settlement.feed, piece)
        if lines or settlement.layout is not None:
            return list(lines)
    return []


async def _rest(
    pieces: AsyncIterator[bytes], settlement: SettlementReader, importing: SettlementImport, lines_max: int
) -> None:
    async for piece in pieces:
        # In a thread: a file's worth of parsing must not keep the loop from anybody's payout.
        await importing.take(await asyncio.to_thread(settlement.feed, piece))
        if settlement.lines_count > lines_max:
            break
    else:
        await importing.take(await asyncio.to_thread(settlement.close))
    if settlement.lines_count > lines_max:
        hint = "split it, by days for instance"
        raise ValidationFailed([FieldProblem("body", f"has more than {lines_max} lines", hint)])
    await importing.finish()


async def _begin_import(request: web.Request, query: FileQuery, operator_id: str) -> Report:
    parts = parts_of(request)
    view = await parts.engine_view.answer()
    reason = mask_text(query.reason, REASON_BYTES_MAX)
    parameters = {
        "from": query.from_at.isoformat() if query.from_at is not None else None,
        "to": query.to_at.isoformat() if query.to_at is not None else None,
        "bytes": request.content_length,
        "reason": reason,
        # Whoever finds that this node is gone ends the report.
        "node": view.node_id if view is not None else "",
    }
    begun = await parts.front.reader.run(
        start_report,
        report_id=parts.front.new_id(),
        who=f"operator:{operator_id}",
        kind=ReportKind.SETTLEMENT_FILE,
        provider=query.provider,
        parameters=parameters,
        reason=reason,
        request_id=request_id_of(request),
    )
    if begun is None:
        raise InvariantViolation("INVARIANT_VIOLATED", "a settlement file's report was not begun")
    return begun


async def _failed(parts: Parts, report: Report, importing: SettlementImport, error: BaseException) -> None:
    """Say so in the report; if that fails too, it is ended once this node is gone."""
    why = error.code if isinstance(error, NepXyError) else type(error).__name__
    if isinstance(error, ReportGone):
        return
    try:
        await asyncio.shield(
            parts.front.reader.run(
                add_progress,
                report.report_id,
                figures={**importing.figures(), "failed_because": why},
                state="FAILED",
            )
        )
    except NepXyError:
        note(report_left_running=report.report_id)


# ---- helpers ------------------------------------------------------------------------------------------


async def _as_csv(request: web.Request, found: Report) -> web.StreamResponse:
    reader = parts_of(request).front.reader
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="reconcile-{found.report_id}.csv"',
            "X-Content-Type-Options": "nosniff",
        }
    )
    await response.prepare(request)
    after, header = 0, True
    while True:
        rows = await reader.run(report_differences, found.report_id, after=after, limit=DIFFERENCES_PAGE)
        await response.write(csv_text(rows, header=header).encode())
        header = False
        if len(rows) < DIFFERENCES_PAGE:
            break
        after = rows[-1].n
    await response.write_eof()
    return response


def _check_provider(parts: Parts, name: str | None) -> None:
    known = parts.front.settings.providers
    if name is not None and name not in known:
        raise ProviderUnknown(name, known)


def imports() -> asyncio.Semaphore:
    """How many files may be imported at once."""
    return asyncio.Semaphore(IMPORTS_MAX)


ROUTES: Final = (
    ("POST", "/v1/admin/reconcile", run),
    ("POST", "/v1/admin/reconcile/files", import_file),
    ("GET", REPORTS_PATH, reports),
    ("GET", REPORTS_PATH + "/{report_id}", report),
)
