from datetime import datetime, timedelta

from tests.sandbox.support import ORDINARY, Sandbox, number


async def test_the_ledger_lists_every_movement_with_totals(sandbox: Sandbox) -> None:
    _, first = await sandbox.submit("ref-1")
    _, second = await sandbox.submit("ref-2", amount_cents=5)
    await sandbox.submit("ref-3", msisdn=number("0401"))
    await sandbox.at_rest()

    ledger = await sandbox.control("ledger")

    assert [entry["external_id"] for entry in ledger["entries"]] == ["ref-1", "ref-2"]
    entry = dict(ledger["entries"][1])
    assert datetime.fromisoformat(entry.pop("moved_at")).utcoffset() == timedelta(0)
    assert entry == {
        "provider": "tmoney",
        "external_id": "ref-2",
        "provider_ref": second["provider_ref"],
        "msisdn": ORDINARY,
        "amount": 5,
        "currency": "XOF",
    }
    assert set(ledger["totals"]) == {"ref-1", "ref-2"}
    assert ledger["totals"]["ref-1"] == {
        "submit_count": 1,
        "accepted_count": 1,
        "moved_count": 1,
        "amount": 1000,
        "currencies": ["XOF"],
        "msisdns": [ORDINARY],
        "provider_refs": [first["provider_ref"]],
    }


async def test_a_reference_that_never_came_moved_zero_times(sandbox: Sandbox) -> None:
    account = await sandbox.control("ledger/never")
    assert (account["moved_count"], account["entries"]) == (0, [])
    assert (await sandbox.control("summary"))["distinct_references"] == 0


async def test_the_summary_counts(sandbox: Sandbox) -> None:
    await sandbox.submit("ref-1")
    await sandbox.submit("ref-1")
    _, accepted = await sandbox.submit("ref-2")
    await sandbox.submit("ref-3", msisdn=number("0101"))
    await sandbox.status(accepted["provider_ref"])
    assert await sandbox.at_rest() == {
        "submits_received": 4,
        "distinct_references": 3,
        "orders_accepted": 3,
        "orders_pending": 0,
        "orders_settling": 0,
        "movements": 3,
        "references_paid_more_than_once": 1,
        "paid_more_than_once_examples": ["ref-1"],
        "status_reads": 1,
        "webhooks": {"sent": 3, "tries": 3, "acked": 3, "failed": 0, "outstanding": 0},
    }


async def test_a_reset_forgets_movements_but_not_orders(sandbox: Sandbox) -> None:
    _, first = await sandbox.submit()
    await sandbox.at_rest()
    async with sandbox.client.delete("/_sandbox/ledger") as response:
        assert response.status == 204
    assert (await sandbox.control("ledger")) == {"entries": [], "totals": {}}
    summary = await sandbox.control("summary")
    assert (summary["submits_received"], summary["movements"], summary["webhooks"]["sent"]) == (0, 0, 0)
    _, body = await sandbox.status(first["provider_ref"])
    assert body["status"] == "SUCCESS"
    # The page is new, the provider is not: a repeated reference still gets a reference of its own.
    _, second = await sandbox.submit()
    assert second["provider_ref"] != first["provider_ref"]
    await sandbox.at_rest()
    assert await sandbox.moved() == 1


async def test_the_magic_table_is_served(sandbox: Sandbox) -> None:
    rows = await sandbox.control("magic")
    assert {"provider": "", "suffix": "0101", "name": "rejected", "what": rows[1]["what"]} == rows[1]
    assert {row["provider"] for row in rows} == {"", "momo", "thunes"}
