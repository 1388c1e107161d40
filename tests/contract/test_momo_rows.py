"""MOMO at the sandbox's MTN over real HTTP: each row of the contract page, section 3, and what it means to us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from nepxy.config.providers import MomoSettings
from nepxy.config.secret import Secret
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, StatusReport
from nepxy.engine.payout import Payout, Status
from nepxy.providers.contract import AccountState, Balance
from nepxy.providers.momo import Momo, build_momo
from nepxy.sandbox.app import create_app
from nepxy.sandbox.config import MomoConfig, SandboxConfig
from tests.contract.support import Guard
from tests.factories import a_payout

USER = "11111111-1111-4111-8111-111111111111"
KEY, SUBSCRIPTION = "api-key-nobody-may-see", "sub-key-nobody-may-see"
ACCEPTED, REJECTED, BLOCKED = OutcomeClass.ACCEPTED, OutcomeClass.REJECTED, OutcomeClass.BLOCKED
THROTTLED, UNKNOWN = OutcomeClass.THROTTLED, OutcomeClass.UNKNOWN
NOT_SENT = OutcomeClass.NOT_SENT


@dataclass
class AtMtn:
    """An account at the sandbox's MTN, and the sandbox's own controls."""

    url: str
    momo: Momo
    session: aiohttp.ClientSession = field(repr=False)

    async def submit(self, payout: Payout) -> Outcome:
        return await self.momo.submit(payout, Guard())

    async def turn(self, **knobs: object) -> None:
        async with self.session.post(f"{self.url}/_sandbox/momo", json=knobs) as answer:
            assert answer.status == 200, await answer.text()

    async def set_faults(self, **knobs: object) -> None:
        async with self.session.post(f"{self.url}/_sandbox/faults?provider=momo", json=knobs) as answer:
            assert answer.status == 200, await answer.text()

    async def moved(self, payout: Payout) -> int:
        async with asyncio.timeout(20):
            while True:
                async with self.session.get(f"{self.url}/_sandbox/summary") as answer:
                    if not (await answer.json())["orders_settling"]:
                        break
                await asyncio.sleep(0.005)
        async with self.session.get(f"{self.url}/_sandbox/ledger/{payout.submission_ref}") as answer:
            return int((await answer.json())["moved_count"])

    async def settled(self, payout: Payout) -> StatusReport:
        async with asyncio.timeout(20):
            while (report := await self.momo.look_up(payout)).finding is Finding.IN_FLIGHT:
                await asyncio.sleep(0.005)
            return report


@asynccontextmanager
async def at_mtn(theirs: dict[str, Any] | None = None, **ours: Any) -> AsyncIterator[AtMtn]:
    account: dict[str, Any] = {
        "api_user": USER,
        "api_key": KEY,
        "subscription_key": SUBSCRIPTION,
        "plain_http_callbacks": True,
        "status_reads_per_s_max": 10_000,
        **(theirs or {}),
    }
    async with AsyncExitStack() as stack:
        sandbox = SandboxConfig(momo=MomoConfig(**account), settle_delay_s=0.02, hang_s=0.05)
        server = await stack.enter_async_context(TestServer(create_app(sandbox)))
        url = str(server.make_url("")).rstrip("/")
        settings: dict[str, Any] = {
            "base_url": f"{url}/momo",
            "api_user": USER,
            "api_key": Secret(KEY),
            "subscription_key": Secret(SUBSCRIPTION),
            "http_timeout_s": 5.0,
            **ours,
        }
        momo = build_momo(MomoSettings(**settings))
        stack.push_async_callback(momo.close)
        yield AtMtn(url, momo, await stack.enter_async_context(aiohttp.ClientSession()))


@pytest.fixture
async def mtn() -> AsyncIterator[AtMtn]:
    async with at_mtn() as on:
        yield on


def a_transfer(suffix: str = "1234", **changes: Any) -> Payout:
    fields: dict[str, Any] = {
        "provider": "MOMO",
        "status": Status.SENT,
        "country": "BJ",
        "phone_e164": f"+229015100{suffix}",
    }
    return a_payout(**{**fields, **changes})


@pytest.mark.parametrize(
    ("suffix", "kind", "moved"),
    [
        ("1234", ACCEPTED, 1),
        ("0101", ACCEPTED, 0),
        ("0104", BLOCKED, 0),
        ("0105", BLOCKED, 0),
        ("0106", THROTTLED, 0),
        ("0107", UNKNOWN, 0),
        ("0202", UNKNOWN, 1),
        ("0204", UNKNOWN, 1),
        ("0205", UNKNOWN, 1),
        ("0206", UNKNOWN, 1),
        ("0207", UNKNOWN, 1),
        ("0301", UNKNOWN, 0),
        ("0302", UNKNOWN, 0),
        ("0303", UNKNOWN, 0),
        ("0304", UNKNOWN, 0),
    ],
)
async def test_each_answer_to_a_submit_has_its_class(
    mtn: AtMtn, suffix: str, kind: OutcomeClass, moved: int
) -> None:
    payout = a_transfer(suffix)
    assert (await mtn.submit(payout)).kind is kind
    assert await mtn.moved(payout) == moved
    if moved:
        assert (await mtn.momo.look_up(payout)).finding is Finding.PAID


TERMINAL = ("50", "51", "52", "57", "62", "63", "64")
OURS_TO_MEND = ("56", "58", "59", "60", "61")


@pytest.mark.parametrize("digits", TERMINAL)
async def test_a_failure_of_class_t_ends_the_payout(mtn: AtMtn, digits: str) -> None:
    payout = a_transfer(f"06{digits}")
    assert (await mtn.submit(payout)).kind is ACCEPTED
    report = await mtn.settled(payout)
    assert (report.finding, report.blocks_provider) == (Finding.UNPAID, False)
    assert not report.retry_with_new_reference


@pytest.mark.parametrize("digits", OURS_TO_MEND)
@pytest.mark.parametrize("as_object", [False, True])
async def test_a_failure_of_class_o_waits_for_an_operator(digits: str, as_object: bool) -> None:
    async with at_mtn({"reason_as_object": as_object}) as mtn:
        payout = a_transfer(f"06{digits}")
        await mtn.submit(payout)
        report = await mtn.settled(payout)
        assert report.finding is Finding.UNPAID
        assert (report.retry_with_new_reference, report.blocks_provider) == (True, True)


async def test_the_payees_limit_and_our_empty_balance_share_a_code_and_the_balance_decides() -> None:
    async with at_mtn({"balance": Decimal(1500)}) as mtn:
        payees = a_transfer("0655")
        await mtn.submit(payees)
        report = await mtn.settled(payees)
        assert (report.reason, report.retry_with_new_reference) == ("PAYEE_LIMIT_REACHED", False)
        assert await mtn.momo.balance("XOF") == Balance(amount=1500, currency="XOF")

        ours = a_transfer(amount=2000)
        await mtn.submit(ours)
        report = await mtn.settled(ours)
        assert (report.reason, report.blocks_provider) == ("NOT_ENOUGH_FUNDS", True)
        assert report.shortfall is not None
        assert await mtn.moved(ours) == 0


async def test_created_and_pending_are_in_flight_until_they_are_paid(mtn: AtMtn) -> None:
    payout = a_transfer("0654")
    await mtn.submit(payout)
    assert (await mtn.momo.look_up(payout)).finding is Finding.IN_FLIGHT
    assert (await mtn.settled(payout)).finding is Finding.PAID


async def test_a_repeat_is_in_doubt_and_the_look_up_knows(mtn: AtMtn) -> None:
    payout = a_transfer()
    await mtn.submit(payout)
    again = await mtn.submit(payout)
    assert (again.kind, again.reference_was_used) == (UNKNOWN, True)
    assert (await mtn.settled(payout)).finding is Finding.PAID
    assert await mtn.moved(payout) == 1


async def test_what_was_taken_may_be_absent_for_a_while() -> None:
    async with at_mtn({"visibility_lag_s": 0.2}) as mtn:
        payout = a_transfer()
        assert (await mtn.submit(payout)).kind is ACCEPTED
        assert (await mtn.momo.look_up(payout)).finding is Finding.ABSENT
        assert (await mtn.submit(payout)).reference_was_used
        async with asyncio.timeout(20):
            while (await mtn.momo.look_up(payout)).finding is not Finding.PAID:
                await asyncio.sleep(0.02)


async def test_tokens_that_were_revoked_cost_a_renewal_and_no_payout(mtn: AtMtn) -> None:
    payouts = [a_transfer(generation=number) for number in range(20)]
    await mtn.submit(payouts[0])
    await mtn.turn(revoke_tokens=True)
    outcomes = await asyncio.gather(*(mtn.submit(payout) for payout in payouts[1:]))
    assert {outcome.kind for outcome in outcomes} == {ACCEPTED}
    await mtn.turn(revoke_tokens=True)
    for payout in payouts:
        assert (await mtn.settled(payout)).finding is Finding.PAID
        assert await mtn.moved(payout) == 1


async def test_tokens_that_expire_are_renewed_before_a_call_needs_it() -> None:
    async with at_mtn({"token_life_s": 1}) as mtn:
        payout = a_transfer()
        assert (await mtn.submit(payout)).kind is ACCEPTED
        async with asyncio.timeout(20):
            for _ in range(25):
                assert (await mtn.momo.look_up(payout)).finding in (Finding.IN_FLIGHT, Finding.PAID)
                await asyncio.sleep(0.06)


async def test_a_rotated_api_key_blocks_and_sends_nothing(mtn: AtMtn) -> None:
    await mtn.turn(api_key="another", revoke_tokens=True)
    payout = a_transfer()
    outcome = await mtn.submit(payout)
    assert (outcome.kind, outcome.call) == (BLOCKED, "POST /disbursement/token/")
    assert await mtn.moved(payout) == 0


@pytest.mark.parametrize(
    ("ours", "kind"),
    [
        ({"subscription_key": Secret("of-collection")}, BLOCKED),
        ({"target_env": "mtnghana"}, REJECTED),  # a franc is not paid in Ghana: refused here
        ({"sandbox_currency": ""}, BLOCKED),
        # The look-up that would make the refusal believed is refused in the same way.
        ({"target_env": "mtnivorycoast"}, UNKNOWN),
    ],
)
async def test_our_own_mistakes_in_the_account_stop_payouts_and_move_nothing(
    ours: dict[str, Any], kind: OutcomeClass
) -> None:
    async with at_mtn(**ours) as mtn:
        payout = a_transfer()
        assert (await mtn.submit(payout)).kind is kind
        assert await mtn.moved(payout) == 0


async def test_a_callback_url_of_another_host_is_our_mistake() -> None:
    theirs = {"provider_callback_host": "nepxy.example.com"}
    async with at_mtn(theirs, callback_url="https://elsewhere.example.com") as mtn:
        payout = a_transfer()
        outcome = await mtn.submit(payout)
        assert (outcome.kind, outcome.reason) == (BLOCKED, "INVALID_CALLBACK_URL_HOST")
        assert await mtn.moved(payout) == 0


async def test_status_reads_beyond_the_rate_say_nothing() -> None:
    async with at_mtn({"status_reads_per_s_max": 3}) as mtn:
        payout = a_transfer()
        await mtn.submit(payout)
        reports = await asyncio.gather(*(mtn.momo.look_up(payout) for _ in range(8)))
        silent = [report for report in reports if report.finding is Finding.NO_ANSWER]
        assert len(silent) == 5
        assert {report.reason for report in silent} == {"HTTP_429"}


@pytest.mark.parametrize(
    ("suffix", "state"),
    [
        ("1234", AccountState.ACTIVE),
        ("0650", AccountState.UNKNOWN_PAYEE),
        ("0651", AccountState.UNKNOWN_PAYEE),
        ("0652", AccountState.NOT_TOLD),
        ("0654", AccountState.NOT_TOLD),
        ("0655", AccountState.NOT_TOLD),
    ],
)
async def test_account_holders(mtn: AtMtn, suffix: str, state: AccountState) -> None:
    assert await mtn.momo.check_account(a_transfer(suffix).phone_e164) is state


@pytest.mark.parametrize(
    ("environment", "currency", "payout", "moved"),
    [
        ("mtnbenin", "XOF", {"amount": 1000, "currency": "XOF"}, 1000),
        (
            "mtnghana",
            "GHS",
            {"amount": 1005, "currency": "GHS", "country": "GH", "phone_e164": "+233240001234"},
            1005,
        ),
    ],
)
async def test_a_country_is_paid_in_its_currency_and_in_its_units(
    environment: str, currency: str, payout: dict[str, Any], moved: int
) -> None:
    async with at_mtn(
        {"target_environment": environment, "currency": currency}, target_env=environment
    ) as mtn:
        sent = a_transfer(**payout)
        assert (await mtn.submit(sent)).kind is ACCEPTED
        report = await mtn.settled(sent)
        assert (
            report.terms.differ_from(amount=sent.amount, currency=sent.currency, phone_e164=sent.phone_e164)
            == ()
        )
        async with mtn.session.get(f"{mtn.url}/_sandbox/ledger/{sent.submission_ref}") as answer:
            account = await answer.json()
        assert (account["amount"], account["currencies"]) == (moved, [currency])
