from tests.sandbox.support import Sandbox, number


async def test_every_reference_that_came_has_an_account_whether_or_not_its_money_moved(
    sandbox: Sandbox,
) -> None:
    await sandbox.submit("paid")
    await sandbox.submit("refused", msisdn=number("0101"))
    await sandbox.at_rest()

    accounts = await sandbox.control("accounts")

    counts = {
        ref: (one["submit_count"], one["accepted_count"], one["moved_count"]) for ref, one in accounts.items()
    }
    assert counts == {"paid": (1, 1, 1), "refused": (1, 0, 0)}
