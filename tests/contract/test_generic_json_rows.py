"""The rows of the generic JSON profile (provider page 5.1), by TMONEY's and FLOOZ's adapter at the sandbox."""

from __future__ import annotations

import pytest

from nepxy.engine.outcomes import Finding, OutcomeClass
from nepxy.sandbox.config import DuplicateBehaviour
from tests.contract.awkward_server import an_answer, keeps_answering
from tests.contract.profiles import a_sent_payout, played, taken
from tests.contract.support import Guard, NewAccount, Serve, our_ref

BOTH = pytest.mark.parametrize("profile", ["tmoney", "flooz"])


@BOTH
@pytest.mark.parametrize(
    ("suffix", "kind", "reason"),
    [
        ("1234", OutcomeClass.ACCEPTED, "ACCEPTED"),
        ("0101", OutcomeClass.REJECTED, "PAYEE_NOT_ELIGIBLE"),
        ("0102", OutcomeClass.BLOCKED, "INSUFFICIENT_FLOAT"),
        ("0103", OutcomeClass.BLOCKED, "INSUFFICIENT_FLOAT"),
        ("0104", OutcomeClass.BLOCKED, "HTTP_403"),
        ("0105", OutcomeClass.BLOCKED, "HTTP_401"),
        ("0106", OutcomeClass.THROTTLED, "HTTP_429"),
        ("0107", OutcomeClass.UNKNOWN, "HTTP_503"),
        ("0205", OutcomeClass.UNKNOWN, "HTTP_500"),
        ("0206", OutcomeClass.UNKNOWN, "HTTP_502"),
        ("0207", OutcomeClass.UNKNOWN, "ANSWER_UNREADABLE"),
    ],
)
async def test_each_answer_to_a_submit_has_its_class(
    profile: str, suffix: str, kind: OutcomeClass, reason: str
) -> None:
    async with played(profile) as town:
        outcome = await town.adapter.submit(a_sent_payout(profile, suffix), Guard())

        assert (outcome.kind, outcome.reason) == (kind, reason)


@BOTH
async def test_a_currency_that_the_wallet_does_not_hold_is_refused_with_its_code(profile: str) -> None:
    async with played(profile) as town:
        outcome = await town.adapter.submit(a_sent_payout(profile, currency="GHS"), Guard())

        assert (outcome.kind, outcome.reason) == (OutcomeClass.REJECTED, "UNSUPPORTED_CURRENCY")


@BOTH
async def test_a_failure_is_told_by_the_status(profile: str) -> None:
    async with played(profile) as town:
        payout = a_sent_payout(profile, "0401")
        outcome = await town.adapter.submit(payout, Guard())

        report = await town.settled(lambda: town.adapter.poll(taken(payout, outcome.provider_ref)))

        assert report.finding is Finding.UNPAID
        assert await town.moved(payout) == 0


@BOTH
async def test_both_of_moovs_countries_are_sent_to_flooz_alone(profile: str) -> None:
    async with played(profile) as town:
        benin = a_sent_payout(profile, phone_e164="+2290195001234")
        togo = a_sent_payout(profile, phone_e164="+22896001234")

        kinds = [(await town.adapter.submit(payout, Guard())).kind for payout in (benin, togo)]

        assert kinds == [OutcomeClass.ACCEPTED if profile == "flooz" else OutcomeClass.REJECTED] * 2


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b'{"error": "INSUFFICIENT_FLOAT"}', OutcomeClass.BLOCKED, "INSUFFICIENT_FLOAT"),
        (b'{"data": {"code": "insufficient float"}}', OutcomeClass.BLOCKED, "INSUFFICIENT_FLOAT"),
        (b'{"error": "PAYMENT_REQUIRED"}', OutcomeClass.UNKNOWN, "HTTP_402"),
        (b"INSUFFICIENT_FLOAT", OutcomeClass.UNKNOWN, "HTTP_402"),
    ],
)
async def test_402_blocks_only_with_its_own_code(
    serve: Serve, account: NewAccount, body: bytes, kind: OutcomeClass, reason: str
) -> None:
    server = await serve(keeps_answering(an_answer(402, body)))

    outcome = await account(server.url).submit()

    assert (outcome.kind, outcome.reason) == (kind, reason)


async def test_want_of_float_under_another_reference_blocks_nothing(
    serve: Serve, account: NewAccount
) -> None:
    body = b'{"external_id": "another", "error": "INSUFFICIENT_FLOAT"}'
    server = await serve(keeps_answering(an_answer(402, body)))

    outcome = await account(server.url).submit()

    assert (outcome.kind, outcome.reason) == (OutcomeClass.UNKNOWN, "OTHER_REFERENCE")


# ---- a repeated reference ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "declared", "kind", "used", "moved"),
    [
        (DuplicateBehaviour.REJECTS, "rejects", OutcomeClass.UNKNOWN, True, 1),
        (DuplicateBehaviour.REJECTS, "unknown", OutcomeClass.UNKNOWN, False, 1),
        (DuplicateBehaviour.REPLAYS, "replays", OutcomeClass.ACCEPTED, False, 1),
        (DuplicateBehaviour.PAYS_AGAIN, "unknown", OutcomeClass.ACCEPTED, False, 2),
    ],
)
async def test_a_repeated_reference_gets_what_the_contract_says(
    theirs: DuplicateBehaviour, declared: str, kind: OutcomeClass, used: bool, moved: int
) -> None:
    change, account = {"duplicate_reference": declared}, {"duplicate_behaviour": theirs}
    async with played("flooz", change=change, account=account) as town:
        payout = a_sent_payout("flooz")
        await town.adapter.submit(payout, Guard())

        again = await town.adapter.submit(payout, Guard())

        assert (again.kind, again.reference_was_used) == (kind, used)
        assert await town.moved(payout) == moved


# ---- our reference in the status template ------------------------------------------------------------------


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "PENDING"])
async def test_what_is_found_by_our_reference_counts_only_where_it_is_named(
    serve: Serve, account: NewAccount, status: str
) -> None:
    unnamed = await serve(keeps_answering(an_answer(200, f'{{"status": "{status}"}}'.encode())))
    body = f'{{"status": "{status}", "external_id": "{our_ref()}"}}'.encode()
    named = await serve(keeps_answering(an_answer(200, body)))

    without, with_it = await account(unnamed.url).look_up(), await account(named.url).look_up()

    assert (without.finding, without.reason) == (Finding.NO_ANSWER, "REFERENCE_NOT_ECHOED")
    assert with_it.finding in (Finding.PAID, Finding.UNPAID, Finding.IN_FLIGHT)


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        ("profile", b'"+2290195001234"'),
        ("e164", b'"+2290195001234"'),
        ("digits", b'"2290195001234"'),
        ("national", b'"0195001234"'),
        ("old-benin", b'"22995001234"'),
    ],
)
async def test_the_outgoing_form_of_a_number_is_a_setting_of_the_rail(
    serve: Serve, account: NewAccount, form: str, sent: bytes
) -> None:
    server = await serve(keeps_answering(an_answer(202, b"{}")))
    ours = account(server.url)
    object.__setattr__(ours.wallet, "settings", ours.wallet.settings.model_copy(update={"msisdn_form": form}))

    await ours.wallet.submit(a_sent_payout("flooz", phone_e164="+2290195001234"), Guard())

    assert b'"msisdn":' + sent in server.requests[0].body
