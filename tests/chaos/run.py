"""One run: build the stage, let clients pay, break things round by round, then wait for peace and count."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.clients import Clients
from tests.chaos.mishaps import MISHAPS, outage, restart_the_owner, weather
from tests.chaos.stage import POLL_S, Plan, Stage
from tests.chaos.verdict import Account, Row, judge

CRIES = ("actor.failed", "engine.died", "payout.parked", "payout.not_parked", "journal.write_refused")
"""Log events that mean that our own code went wrong, whatever came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run is reported by."""

    figures: Mapping[str, int]
    answers: Mapping[str, int]
    """What clients were answered, by status and code."""
    reviews: Mapping[str, int]
    wrong: Sequence[str]
    folder: Path
    duration_s: float


async def run_chaos(plan: Plan, folder: Path, *, say: Callable[[str], None] = lambda line: None) -> Report:
    """Run `plan.rounds` rounds and judge them; logs and ledger stay in `folder` where something was wrong."""
    began_s = time.monotonic()
    stage = await Stage.build(plan, folder)
    clients = Clients(stage)
    try:
        clients.start()
        await _rounds(stage, say)
        await _make_peace(stage, clients, say)
        verdict = judge(
            rows=_rows(stage), accounts=await _accounts(stage),
            acknowledged=clients.acknowledged, look_up=plan.look_up,
        )  # fmt: skip
        reviews = Counter(row.status_reason for row in _rows(stage) if row.status == "REVIEW")
        wrong = [*stage.complaints, *clients.complaints, *verdict.wrong, *_cries(stage)]
        return Report(
            figures={"rounds": plan.rounds, **dict(sorted(stage.counts.items())), **verdict.figures},
            answers=dict(clients.answers.most_common()),
            reviews=reviews,
            wrong=wrong,
            folder=folder,
            duration_s=time.monotonic() - began_s,
        )
    finally:
        await clients.abandon()
        await stage.close()


async def _rounds(stage: Stage, say: Callable[[str], None]) -> None:
    plan = stage.plan
    dice = random.Random(plan.seed)
    for number in range(plan.rounds):
        mishap = MISHAPS[number] if number < len(MISHAPS) else dice.choice(MISHAPS)
        knobs = weather(dice)
        began_s = time.monotonic()
        await stage.set_faults(**knobs)
        stage.counts["rounds with provider faults"] += bool(knobs)
        await mishap(stage, dice)
        if dice.random() < 0.3:
            await outage(stage, dice)
            await stage.set_faults(**knobs)
        stage.check_alive()
        await stage.until_working()
        await asyncio.sleep(max(0.0, began_s + plan.round_s - time.monotonic()))
        took_s = time.monotonic() - began_s
        say(f"round {number + 1}: {mishap.__name__}; {_words(knobs)}; {took_s:.1f} s")


def _words(knobs: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in knobs.items() if value) or "fine weather"


async def _make_peace(stage: Stage, clients: Clients, say: Callable[[str], None]) -> None:
    """Faults off, one last orderly restart, and then wait until nothing is left to be decided."""
    began_s = time.monotonic()
    await stage.set_faults()
    await restart_the_owner(stage)
    restarted_s = time.monotonic()
    await clients.finish(limit_s=30.0)
    finished_s = time.monotonic()
    deadline_s = time.monotonic() + stage.plan.settle_s_max
    while time.monotonic() < deadline_s:
        summary = await stage.sandbox("summary")
        at_rest = not summary["orders_settling"] and not summary["webhooks"]["outstanding"]
        if at_rest and not await _undecided(stage):
            break
        stage.check_alive()
        await asyncio.sleep(POLL_S * 5)
    say(
        f"peace: last restart {restarted_s - began_s:.1f} s, last acknowledgement {finished_s - restarted_s:.1f} s, "
        f"last decision {time.monotonic() - finished_s:.1f} s"
    )


async def _undecided(stage: Stage) -> bool:
    verdict = judge(
        rows=_rows(stage), accounts=await _accounts(stage), acknowledged=(), look_up=stage.plan.look_up
    )
    return any("left over" in problem or "could be asked" in problem for problem in verdict.wrong)


async def _accounts(stage: Stage) -> dict[str, Account]:
    found = await stage.sandbox("accounts")
    return {reference: Account.read(account) for reference, account in found.items()}


def _rows(stage: Stage) -> list[Row]:
    found = stage.query(
        """
        SELECT p.transaction_id::text, p.idempotency_key, p.status, p.status_reason, p.amount, p.currency,
            p.phone_e164, p.provider_ref, p.version,
            (SELECT json_agg(json_build_array(e.version, e.to_status) ORDER BY e.version)
             FROM app.payout_events e WHERE e.transaction_id = p.transaction_id),
            (SELECT json_object_agg(a.submission_ref, a.submit_count)
             FROM app.payout_attempts a WHERE a.transaction_id = p.transaction_id)
        FROM app.mobile_money_payouts p
        """
    )
    return [
        Row(
            transaction_id=row[0], idempotency_key=row[1], status=row[2], status_reason=row[3], amount=row[4],
            currency=row[5], phone_e164=row[6], provider_ref=row[7], version=row[8],
            events=[(version, state) for version, state in row[9] or ()], attempts=row[10] or {},
        )
        for row in found
    ]  # fmt: skip


def _cries(stage: Stage) -> list[str]:
    cries = []
    for name, line in stage.log_lines():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            if line.startswith("Traceback"):
                cries.append(f"{name} printed a traceback")
            continue
        if event.get("event") in CRIES:
            told = {k: event[k] for k in ("event", "child", "error", "reason", "detail") if k in event}
            cries.append(f"{name}: {told}")
    return cries


def print_report(report: Report) -> None:
    """The table of figures; with what is wrong, if anything, and where the logs are."""
    width = max(map(len, report.figures))
    print(f"\n{'figure':<{width}}  count")
    for name, value in report.figures.items():
        print(f"{name:<{width}}  {value:>5}")
    print("clients were answered: " + ", ".join(f"{code} x {n}" for code, n in report.answers.items()))
    print("reasons for REVIEW: " + (", ".join(f"{r} x {n}" for r, n in report.reviews.items()) or "none"))
    print(f"took {report.duration_s:.0f} s")
    if report.wrong:
        print(f"\nWRONG ({len(report.wrong)}):")
        for problem in report.wrong[:40]:
            print(f"  {problem}")
        print(f"logs, and the provider's ledger: {report.folder}")
    else:
        print("nothing is wrong")
        shutil.rmtree(report.folder, ignore_errors=True)
