"""What nobody can tell waits for a person: the runbook's other section that moves money, followed with two people."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.runbook.book import commands_in, text_of
from tests.runbook.conftest import Stage
from tests.runbook.on_call import OnCall, ids_in

pytestmark = pytest.mark.timeout(180)
ANCHOR = "payouts-stuck-in-sent"
"""The section from which the queue is reached."""


def command(starting: str) -> str:
    """The queue's line that begins so."""
    (found,) = [line for line in commands_in(text_of("the-review-queue")) if line.startswith(starting)]
    return found


def as_somebody_else(on_call: OnCall, line: str, environ: Mapping[str, str]) -> None:
    """The second person types a line."""
    mine, on_call.environ = on_call.environ, environ
    try:
        on_call.run(line)
    finally:
        on_call.environ = mine


async def test_what_nobody_knows_is_decided_by_two_people_and_paid_at_most_once(stage: Stage) -> None:
    async with stage(
        ANCHOR, NEPXY_SETTLE_S="1", NEPXY_POLL_BASE_S="0.5", NEPXY_SECOND_PERSON="true"
    ) as on_call:
        # The connection breaks before the provider acts, and it does not know our reference afterwards.
        (unpaid,) = await on_call.pay(1, suffix="0302")
        await on_call.until_all([unpaid], "REVIEW")
        listed = on_call.run("nepxy payouts review")
        assert unpaid in ids_in(listed.out)
        on_call.given |= {"ID": unpaid}
        explained = on_call.run(command("nepxy explain"))
        assert "nepxy payouts fail" in explained.out
        assert "--force" not in explained.out
        on_call.run(command("nepxy payouts attempts"))

        # The provider's own records: no money moved. The engine waits for the answer's time to be over.
        asked = on_call.run(command("nepxy payouts fail"), None)
        assert asked.status == 4, asked.err
        number = on_call.run("nepxy proposals list --json").json()["proposals"][0]["proposal_id"]
        on_call.given |= {"NUMBER": number}
        as_somebody_else(on_call, command("nepxy proposals approve"), on_call.second)
        await on_call.until_all([unpaid], "FAILED")

        before = on_call.run(f"nepxy payouts show {unpaid} --json").json()
        # Only now may it be paid anew: under another reference, and with the second person again.
        again = on_call.run(
            f"nepxy payouts retry {unpaid} --force --reason 'not paid, in writing' --yes", None
        )
        assert again.status == 4, again.err
        on_call.given |= {
            "NUMBER": on_call.run("nepxy proposals list --json").json()["proposals"][0]["proposal_id"]
        }
        as_somebody_else(on_call, command("nepxy proposals approve"), on_call.second)
        shown = on_call.run(f"nepxy payouts show {unpaid} --json").json()
        assert shown["status"] in ("PENDING", "SENT", "REVIEW")
        assert shown["generation"] == before["generation"] + 1
        assert shown["submission_ref"] != before["submission_ref"]
        summary = await on_call.sandbox("summary")
        assert summary["references_paid_more_than_once"] == 0
        approvals = [(who, name) for who, _, name in on_call.audited() if name == "approve"]
        assert approvals == [("operator:kofi", "approve")] * 2


async def test_a_payout_that_was_paid_in_the_dark_is_confirmed_by_two_people(stage: Stage) -> None:
    async with stage(
        ANCHOR,
        NEPXY_SETTLE_S="1",
        NEPXY_POLL_BASE_S="3600",
        NEPXY_SECOND_PERSON="true",
        SANDBOX_WEBHOOK_SECRET="a secret that we do not know",
    ) as on_call:
        (paid,) = await on_call.pay(1)  # its webhook is refused, and the poll is an hour away
        await on_call.until_all([paid], "SENT")
        on_call.given |= {"ID": paid, "REF": "seen-in-the-portal"}
        asked = on_call.run(command("nepxy payouts confirm"), None)
        assert asked.status == 4, asked.err
        on_call.given |= {
            "NUMBER": on_call.run("nepxy proposals list --json").json()["proposals"][0]["proposal_id"]
        }
        as_somebody_else(on_call, command("nepxy proposals approve"), on_call.second)
        await on_call.until_all([paid], "CONFIRMED")
        assert (await on_call.sandbox("summary"))["references_paid_more_than_once"] == 0


async def test_where_the_provider_reference_is_missing_the_runbooks_retry_asks_by_ours(stage: Stage) -> None:
    async with stage(ANCHOR, NEPXY_POLL_BASE_S="3600", NEPXY_STUCK_AFTER_S="2") as on_call:
        # It pays, and hangs up before it answers; and its webhook is lost.
        await on_call.turn(lost_webhook_rate=1.0)
        (paid,) = await on_call.pay(1, suffix="0204")
        await on_call.until_it_fires("PayoutsStuckInSent")
        on_call.given |= {"ID": paid, "AGE": "2s"}
        shown = on_call.run("nepxy payouts show ID --json").json()
        assert shown["status"] == "SENT"
        assert shown["provider_ref"] is None
        on_call.follow(5)
        await on_call.until_all([paid], "CONFIRMED")
        summary = await on_call.sandbox("summary")
        assert (summary["movements"], summary["references_paid_more_than_once"]) == (1, 0)
