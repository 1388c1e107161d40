"""Reports of reconciliation as they are shown: JSON, and CSV that a spreadsheet takes for text and nothing else."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

from nepxy.engine.reconcile import DifferenceKind, ReportKind
from nepxy.storage.reconcile import DifferenceRow, Report

ADMIN: Final = "/v1/admin"
REPORTS_PATH: Final = f"{ADMIN}/reconcile/reports"
_HIDDEN: Final = ("node",)
_WHY: Final = '--reason "..."'

CSV_HEADER: Final = (
    *("n", "kind", "transaction_id"),
    *("our_status", "our_amount", "our_currency", "our_reference", "our_provider_ref"),
    *(
        "line",
        "their_status",
        "their_finding",
        "their_amount",
        "their_currency",
        "their_references",
        "their_date",
    ),
    *("detail", "command"),
)


def report_view(report: Report) -> dict[str, Any]:
    """A report without its differences."""
    figures = dict(report.figures)
    planned = figures.pop("planned", None)
    done = figures.get("checked", 0) + figures.get("not_asked", 0)
    if report.kind is ReportKind.SETTLEMENT_FILE:
        done, planned = figures.get("lines", 0), None
    ended = report.ended_at is not None
    return {
        "report_id": report.report_id,
        "started_at": report.started_at,
        "ended_at": report.ended_at,
        "who": report.who,
        "kind": report.kind.value,
        "provider": report.provider,
        "state": report.state,
        "parameters": {name: value for name, value in report.parameters.items() if name not in _HIDDEN},
        "figures": figures,
        "progress": {"done": done, "total": done if ended and planned is None else planned},
        "links": {
            "self": f"{REPORTS_PATH}/{report.report_id}",
            "csv": f"{REPORTS_PATH}/{report.report_id}.csv",
        },
    }


def difference_view(row: DifferenceRow) -> dict[str, Any]:
    """One difference, with the commands that act on it, the first first."""
    return {
        "n": row.n,
        "kind": row.kind,
        "transaction_id": row.transaction_id,
        "ours": row.ours,
        "theirs": row.theirs,
        "detail": row.detail,
        "commands": commands_of(row),
    }


def commands_of(row: DifferenceRow) -> list[dict[str, str]]:
    """What a person may do about it. Which of them the payout takes in its state, `explain` says."""
    if row.transaction_id is None:
        return [_look_for(ref) for ref in _references(row.theirs)[:2]]
    kind, payout = row.kind, row.transaction_id
    explain = {
        "cli": f"nepxy explain {payout}",
        "http": f"GET {ADMIN}/mobile-money/payouts/{payout}/explain",
        "does": "says why it is where it is, and which commands are safe",
    }
    ask = {
        "cli": f"nepxy reconcile run --payout {payout} {_WHY}",
        "http": f'POST {ADMIN}/reconcile {{"transaction_ids": ["{payout}"], "reason": "..."}}',
        "does": "asks the provider about this payout now, settled or not, and lets the rules decide",
    }
    if kind in (DifferenceKind.DUPLICATE, DifferenceKind.AMOUNT_DIFFERS):
        return [explain, ask]
    settle = _settling(payout, row)
    return [ask, explain, *settle]


def _settling(payout: str, row: DifferenceRow) -> list[dict[str, str]]:
    """Where the provider has ended it otherwise than we have: what a person gives who has made sure of it."""
    finding, ours = row.theirs.get("finding"), row.ours.get("status")
    if finding == "PAID" and ours != "CONFIRMED":
        command, does = "confirm", "settles it as paid, once a person has made sure at the provider"
    elif finding in ("UNPAID", "REVERSED") and ours not in ("FAILED", "CANCELLED"):
        command, does = "fail", "settles it as unpaid, once a person has made sure at the provider"
    else:
        return []
    return [
        {
            "cli": f"nepxy payouts {command} {payout} {_WHY}",
            "http": f'POST {ADMIN}/mobile-money/payouts/{payout}/{command} {{"reason": "..."}}',
            "does": does,
        }
    ]


def _look_for(reference: str) -> dict[str, str]:
    plain = "".join(one for one in reference if one.isalnum() or one in "-_.:")
    return {
        "cli": f"nepxy payouts list --reference {plain}",
        "http": f"GET {ADMIN}/mobile-money/payouts?reference={plain}",
        "does": "looks for the reference among all payouts, of other providers and by the client's reference, too",
    }


def _references(theirs: Mapping[str, Any]) -> list[str]:
    found = theirs.get("references")
    return [str(one) for one in found] if isinstance(found, list) else []


def csv_text(rows: Iterable[DifferenceRow], *, header: bool) -> str:
    """Differences as CSV lines."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    if header:
        writer.writerow(CSV_HEADER)
    for row in rows:
        ours, theirs = row.ours, row.theirs
        references = _references(theirs) or [str(theirs.get("provider_ref") or "")]
        commands = commands_of(row)
        writer.writerow(
            map(
                safe_cell,
                (
                    row.n, row.kind, row.transaction_id, ours.get("status"), ours.get("amount"), ours.get("currency"),
                    ours.get("submission_ref"), ours.get("provider_ref"), theirs.get("line"), theirs.get("status"),
                    theirs.get("finding"), theirs.get("amount"), theirs.get("currency"),
                    " ".join(str(one) for one in references if one), theirs.get("date"), row.detail,
                    commands[0]["cli"] if commands else "",
                ),
            )
        )  # fmt: skip
    return out.getvalue()


def safe_cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula: what a provider wrote must not run on an operator's machine."""
    if value is None:
        return ""
    text = "".join(one if one.isprintable() else " " for one in str(value))
    return f"'{text}" if text.lstrip()[:1] in tuple("=+-@") else text
