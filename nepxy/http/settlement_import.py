"""One settlement file, matched line by line while it comes in: nothing of it is kept but the differences.

It moves no payout: a file is a list that a person uploaded, not the provider's word to us. Each difference has a
command that asks the provider, or that a person gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from nepxy.engine.outcomes import Finding, ReportedTerms
from nepxy.engine.payout import Payout
from nepxy.engine.reconcile import AGREES, Difference, DifferenceKind, Tally, Verdict, compare, shown
from nepxy.engine.settlement_file import BadLine, FileLine
from nepxy.storage.database import Reader
from nepxy.storage.payouts import first_id_of
from nepxy.storage.reconcile import add_progress, payouts_by_id
from nepxy.storage.settlement_match import Named, confirmed_ids, named_payouts

BATCH: Final = 500
DIFFERENCES_MAX: Final = 20_000
"""So many are kept with their rows; of a wrong file, the figures say enough."""
BAD_LINES_MAX: Final = 200
FOLLOWED: Final = timedelta(days=31)
"""What was settled in a period was made at most so long before: a payout lives for 30 days."""
LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class ReportGone(Exception):
    """The report was ended by somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What a file covers, end excluded."""

    from_at: datetime
    to_at: datetime


class SettlementImport:
    """Takes a file's lines; fills its report."""

    def __init__(self, *, reader: Reader, report_id: str, provider: str, period: Period | None) -> None:
        """Nothing is read yet.

        Args:
            reader: the database.
            report_id: begun already.
            provider: whose file it is.
            period: what it covers; None: what it lacks is not looked for.
        """
        self._reader = reader
        self._report_id = report_id
        self._provider = provider
        self._period = period
        self._tally = Tally()
        self._bad: list[dict[str, object]] = []
        self._lines: list[FileLine] = []
        self._found: list[tuple[int, Difference]] = []
        self._found_count = 0
        self._seen: dict[object, int] = {}
        """What was named so far, with the number of its line: a payout (and whether by an older reference), or
        references that name none."""
        self._seen_ids: set[bytes] = set()

    async def take(self, lines: Sequence[FileLine | BadLine]) -> None:
        """Match what came in, as soon as it is enough for a batch.

        Raises:
            ReportGone: somebody else ended the report.
            Unavailable: the database is away.
        """
        for line in lines:
            self._tally.add("lines")
            if isinstance(line, BadLine):
                self._tally.add("bad_lines")
                if len(self._bad) < BAD_LINES_MAX:
                    self._bad.append({"line": line.number, "problem": line.problem})
            else:
                self._lines.append(line)
        while len(self._lines) >= BATCH:
            await self._match(self._lines[:BATCH])
            del self._lines[:BATCH]

    async def finish(self) -> None:
        """Match what is left, look for what the file lacks, and end the report as DONE. Raises as `take`."""
        if self._lines:
            await self._match(self._lines)
            self._lines = []
        if self._period is not None:
            await self._look_for_missing(self._period)
        await self._save("DONE")

    def figures(self) -> dict[str, object]:
        """What there is to say so far."""
        figures: dict[str, object] = dict(self._tally.figures())
        figures["checked"] = self._tally.counts["lines"] - self._tally.counts["bad_lines"]
        if self._period is None:
            # Not zero: nobody looked.
            figures["missing_there"] = None
        return figures | ({"bad": self._bad} if self._bad else {})

    # ---- line by line ------------------------------------------------------------------------------

    async def _match(self, lines: Sequence[FileLine]) -> None:
        references = sorted({ref for line in lines for ref in line.references})
        named = await self._reader.run(named_payouts, self._provider, references)
        for line in lines:
            self._judge(line, named)
        await self._save()

    def _judge(self, line: FileLine, named: Mapping[str, Sequence[Named]]) -> None:
        matches = {
            one.payout.transaction_id: one
            for ref in reversed(line.references)
            for one in sorted(named.get(ref, ()), key=lambda one: not one.is_older)
        }
        if len(matches) > 1:
            ids = ", ".join(sorted(matches))
            self._differ(
                DifferenceKind.AMBIGUOUS, line, None, f"Its references are those of several payouts: {ids}."
            )
            return
        match = next(iter(matches.values()), None)
        key: object = (match.payout.transaction_id, match.is_older) if match is not None else line.references
        before = self._seen.setdefault(key, line.number)
        payout = match.payout if match is not None else None
        if before != line.number:
            self._differ(DifferenceKind.DUPLICATE, line, payout, f"Line {before} names it, too.")
        if match is None:
            if before == line.number:
                self._differ(DifferenceKind.MISSING_HERE, line, None, "No payout of ours has this reference.")
            return
        self._seen_ids.add(UUID(match.payout.transaction_id).bytes)
        verdict = _verdict(match, line)
        if verdict.kind is not None:
            self._differ(verdict.kind, line, match.payout, verdict.detail)
        elif before == line.number:
            self._tally.add(AGREES)

    def _differ(self, kind: DifferenceKind, line: FileLine, payout: Payout | None, detail: str) -> None:
        self._add(
            Difference(
                kind=kind,
                transaction_id=payout.transaction_id if payout is not None else None,
                ours=shown(payout) if payout is not None else {},
                theirs=_theirs(line),
                detail=detail,
            )
        )

    def _add(self, difference: Difference) -> None:
        self._tally.differ(difference.kind)
        self._found_count += 1
        if self._found_count <= DIFFERENCES_MAX:
            self._found.append((self._found_count, difference))
        else:
            self._tally.add("differences_not_kept")

    # ---- what the file lacks -----------------------------------------------------------------------

    async def _look_for_missing(self, period: Period) -> None:
        from_id = first_id_of(period.from_at - FOLLOWED, early_s=5)
        before: str | None = min(first_id_of(period.to_at, early_s=-60), LAST_ID)
        while before is not None:
            ids, before = await self._reader.run(
                confirmed_ids,
                provider=self._provider,
                from_at=period.from_at,
                to_at=period.to_at,
                from_id=from_id,
                before=before,
            )
            missing = [one for one in ids if UUID(one).bytes not in self._seen_ids]
            for begin in range(0, len(missing), BATCH):
                rows = await self._reader.run(payouts_by_id, missing[begin : begin + BATCH])
                for payout in rows.values():
                    self._add(
                        Difference(
                            kind=DifferenceKind.MISSING_THERE,
                            transaction_id=payout.transaction_id,
                            ours=shown(payout),
                            detail="It was CONFIRMED here in the period, and the file has no line for it; "
                            "near the period's ends it may be in the next file.",
                        )
                    )
                await self._save()

    async def _save(self, state: str = "RUNNING") -> None:
        found, self._found = self._found, []
        alive = await self._reader.run(
            add_progress, self._report_id, figures=self.figures(), differences=found, state=state
        )
        if not alive:
            raise ReportGone


def _verdict(match: Named, line: FileLine) -> Verdict:
    if match.is_older:
        if line.finding is Finding.UNPAID:
            return Verdict()
        return Verdict(
            kind=DifferenceKind.STATE_DIFFERS,
            detail="The line is about an older reference of ours, which the provider had ended unpaid: "
            "find out whether it was paid twice.",
        )
    terms = ReportedTerms(amount=line.amount, currency=line.currency if line.amount is not None else None)
    return compare(match.payout, line.finding, terms) or Verdict()


def _theirs(line: FileLine) -> dict[str, object]:
    return {
        "line": line.number,
        "references": list(line.references),
        "finding": line.finding.value,
        "status": line.status_word,
        "amount": line.amount,
        "currency": line.currency,
        "date": line.date,
    }
