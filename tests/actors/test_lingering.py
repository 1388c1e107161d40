"""What waits for a webhook stays in memory a while, and knows by itself that no body was applied to it before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from nepxy.actors.in_memory import PayoutsInMemory
from nepxy.actors.messages import Drain, Drained, LookForReplay, WebhookAnswer, WebhookArrived
from nepxy.actors.supervisor import SupervisorLimits
from nepxy.engine.outcomes import Finding, StatusReport
from nepxy.engine.payout import Payout, Status, TransactionId
from nepxy.engine.restored import Restored
from tests.actors.support import Reply
from tests.actors.test_supervisor import Town, a_webhook, running

LINGER_S = SupervisorLimits().linger_s


def accepted(town: Town, number: int = 1) -> Payout:
    """A payout that its provider has taken; its webhook is still to come."""
    payout = town.a_payout(number)
    town.accept(payout)
    assert town.world.run_until(
        lambda: (row := town.store.rows.get(payout.transaction_id)) is not None and bool(row.provider_ref),
        within_s=10,
    )
    town.run(0.5)
    return town.store.rows[payout.transaction_id]


def tell(town: Town, payout: Payout, *, body: str = "", finding: Finding = Finding.PAID) -> object:
    """Send it a webhook as the front end does before it has looked, and return the answer."""
    reply = Reply()
    report = StatusReport(finding=finding, reason="CODE", provider_ref=payout.provider_ref)
    webhook = a_webhook(str(payout.provider_ref), body=body)
    town.supervisor.tell(
        WebhookArrived(webhook=webhook, report=report, trusted=True, unchecked=True, reply_to=reply)
    )
    town.run(1)
    return reply.values[0]


def loads(town: Town) -> list[TransactionId]:
    """Rows read from now on."""
    read: list[TransactionId] = []
    load = town.store.load

    async def counted(transaction_id: TransactionId) -> Payout | None:
        read.append(transaction_id)
        return await load(transaction_id)

    town.store.load = counted  # type: ignore[method-assign]
    return read


def test_a_webhook_that_comes_soon_finds_its_payout_in_memory() -> None:
    town = running()
    payout, read = accepted(town), loads(town)

    assert isinstance(answer := tell(town, payout), WebhookAnswer)

    assert (answer.applied, town.status(payout), read) == (True, Status.CONFIRMED, [])
    assert town.view().payouts_in_memory == 0


def test_who_has_lingered_leaves_memory_and_is_read_again_when_the_webhook_comes() -> None:
    town = running()
    payout, read = accepted(town), loads(town)
    assert town.view().payouts_in_memory == 1
    town.run(2 * LINGER_S)
    assert town.view().payouts_in_memory == 0

    # By a payout out of the database nobody knows what was applied before.
    assert isinstance(tell(town, payout), LookForReplay)
    assert (town.status(payout), read) == (Status.SENT, [])


def test_nobody_lingers_in_the_way_of_others() -> None:
    town = running(payouts_in_memory_max=8)
    waiting = [accepted(town, number) for number in range(1, 21)]

    assert all(town.store.rows[one.transaction_id].provider_ref for one in waiting)
    assert town.view().payouts_in_memory <= 4


def test_the_second_webhook_of_a_payout_is_looked_for_first() -> None:
    town = running()
    payout = accepted(town)
    body = '{"ref":"x","status":"PENDING"}'
    assert isinstance(tell(town, payout, body=body, finding=Finding.IN_FLIGHT), WebhookAnswer)

    assert isinstance(tell(town, payout), LookForReplay)


def test_a_payout_whose_row_others_wrote_asks_for_a_look_and_changes_nothing() -> None:
    town = running()
    payout = accepted(town)
    # Another node applied a webhook, and an operator has put it back since.
    moved = replace(payout, version=payout.version + 2)
    town.store.rows[payout.transaction_id] = moved

    assert isinstance(tell(town, payout), LookForReplay)
    assert town.store.rows[payout.transaction_id] == moved


def test_who_is_woken_while_it_lingers_is_not_let_go_in_the_midst_of_its_call() -> None:
    town = Town(passivate_after_s=2.0)
    town.adapters["TMONEY"].call_s = 25.0
    now = town.world.now()
    again = town.a_payout(
        1,
        status_reason="NOT_SENT",
        attempt_count=1,
        unreached_count=1,
        last_attempt_at=now,
        next_retry_at=now + timedelta(seconds=8),
    )
    town.store.rows[again.transaction_id] = again

    town.run(8 + 25 + 1)

    assert town.adapters["TMONEY"].submitted == [again.transaction_id]
    assert town.store.rows[again.transaction_id].provider_ref is not None


def test_however_often_nobody_lingers_in_between_one_look_follows_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[float] = []
    look = PayoutsInMemory.look_who_lingers

    def counted(self: PayoutsInMemory) -> None:
        looks.append(town.world.monotonic())
        look(self)

    monkeypatch.setattr(PayoutsInMemory, "look_who_lingers", counted)
    town = running()
    for number in range(1, 6):
        tell(town, accepted(town, number))
    for number in range(6, 12):
        accepted(town, number)
        town.run(LINGER_S / 4)
    assert looks
    assert all(later - sooner >= LINGER_S / 2 for sooner, later in pairwise(looks))


def test_who_lingers_makes_room_for_a_new_payout() -> None:
    town = running(payouts_in_memory_max=40)
    for number in range(1, 41):
        town.accept(town.a_payout(number))
    town.run(5)
    town.adapters["TMONEY"].call_s = 600.0
    new = [town.a_payout(number) for number in range(101, 131)]
    for payout in new:
        town.accept(payout)
    town.run(1)

    # All but the share of the other provider, which stays free for it.
    assert town.view().payouts_in_memory == 30
    assert (view := town.provider()).waiting + view.in_flight == 30


def test_payouts_leave_memory_although_they_were_all_told_of_a_release() -> None:
    town = running()
    town.store.last_restore = Restored(at=town.world.now(), doubt_until=None)
    town.run(3)
    payout = town.a_payout(1)
    town.accept(payout)
    town.run(1)
    assert town.view().payouts_in_memory == 1
    released = replace(town.store.last_restore, doubt_until=town.world.now() + timedelta(hours=72))
    town.store.last_restore = released
    town.run(3)

    drained = Reply()
    town.supervisor.tell(Drain(reply_to=drained))
    town.run(2)

    assert drained.values == [Drained()]
    assert town.view().payouts_in_memory == 0
