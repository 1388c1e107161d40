"""What holds for a wallet's adapter whatever its profile: lost answers are unknown, money moves as often as said."""

from __future__ import annotations

from typing import Any

import pytest

from nepxy.config.groups import Mode
from nepxy.config.providers import ProviderSettings, TmoneySettings
from nepxy.config.secret import Secret
from nepxy.engine.capabilities import RepeatedReference, WebhookTrust
from nepxy.engine.outcomes import Finding, OutcomeClass
from nepxy.providers.contract import Adapter
from nepxy.providers.wallets import build_wallet
from tests.contract.profiles import SECRET, SETTINGS, a_sent_payout, played, taken
from tests.contract.support import Guard

PROFILES = sorted(SETTINGS)
LOST_AFTER_ACTING = ("0202", "0204", "0205", "0206", "0207")
LOST_BEFORE_ACTING = ("0301", "0302", "0303", "0304")


@pytest.mark.parametrize("profile", PROFILES)
async def test_an_accepted_payout_is_followed_to_paid_and_moves_once(profile: str) -> None:
    async with played(profile) as town:
        payout = a_sent_payout(profile)

        outcome = await town.adapter.submit(payout, Guard())

        assert outcome.kind is (OutcomeClass.CONFIRMED if profile == "moov-soap" else OutcomeClass.ACCEPTED)
        assert outcome.provider_ref
        report = await town.settled(lambda: town.adapter.poll(taken(payout, outcome.provider_ref)))
        assert (report.finding, report.provider_ref) in (
            (Finding.PAID, outcome.provider_ref),
            (Finding.PAID, None),
        )
        assert await town.moved(payout) == 1


@pytest.mark.parametrize("suffix", LOST_AFTER_ACTING)
@pytest.mark.parametrize("profile", PROFILES)
async def test_an_answer_lost_after_acting_is_unknown(profile: str, suffix: str) -> None:
    async with played(profile) as town:
        payout = a_sent_payout(profile, suffix)

        outcome = await town.adapter.submit(payout, Guard())

        assert (outcome.kind, outcome.reference_was_used) == (OutcomeClass.UNKNOWN, False)
        assert await town.moved(payout) == 1


@pytest.mark.parametrize("suffix", LOST_BEFORE_ACTING)
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_request_lost_before_acting_looks_the_same(profile: str, suffix: str) -> None:
    async with played(profile) as town:
        payout = a_sent_payout(profile, suffix)

        outcome = await town.adapter.submit(payout, Guard())

        assert outcome.kind is OutcomeClass.UNKNOWN
        report = await town.adapter.look_up(payout)
        assert report.finding in (Finding.ABSENT, Finding.NO_ANSWER)
        assert await town.moved(payout) == 0


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_lost_answer_is_looked_up_by_our_reference_where_the_provider_takes_it(profile: str) -> None:
    account = {} if profile in ("paygate", "qosic") else {"status_lookup_by_our_reference": True}
    async with played(profile, account=account) as town:
        payout = a_sent_payout(profile, "0204")
        await town.adapter.submit(payout, Guard())

        report = await town.settled(lambda: town.adapter.look_up(payout))

        assert report.finding is Finding.PAID
        assert await town.moved(payout) == 1


@pytest.mark.parametrize("profile", ["tmoney", "flooz", "moov-soap"])
async def test_our_reference_in_the_place_of_theirs_finds_nothing_by_default_and_proves_nothing(
    profile: str,
) -> None:
    async with played(profile) as town:
        payout = a_sent_payout(profile, "0204")
        await town.adapter.submit(payout, Guard())

        assert (await town.adapter.look_up(payout)).finding is Finding.ABSENT
        assert not town.adapter.capabilities.resend_allowed
        assert await town.moved(payout) == 1


@pytest.mark.parametrize("profile", PROFILES)
async def test_what_is_late_is_not_sent(profile: str) -> None:
    async with played(profile) as town:
        payout = a_sent_payout(profile)

        outcome = await town.adapter.submit(payout, Guard(late=True))

        assert (outcome.kind, outcome.reason) == (OutcomeClass.NOT_SENT, "SEND_WINDOW_PASSED")
        assert await town.moved(payout) == 0


@pytest.mark.parametrize("profile", PROFILES)
async def test_throttling_is_no_proof_and_tells_when_to_come_again(profile: str) -> None:
    async with played(profile, retry_after_s=7) as town:
        outcome = await town.adapter.submit(a_sent_payout(profile, "0106"), Guard())

        assert (outcome.kind, outcome.retry_after_s) == (OutcomeClass.THROTTLED, 7)
        assert not outcome.refused_before_processing


@pytest.mark.parametrize("profile", PROFILES)
async def test_an_address_that_is_not_allowed_waits_for_an_operator(profile: str) -> None:
    async with played(profile) as town:
        outcome = await town.adapter.submit(a_sent_payout(profile, "0104"), Guard())

        assert outcome.kind is OutcomeClass.BLOCKED


@pytest.mark.parametrize("profile", ["tmoney", "flooz", "moov-soap", "qosic"])
@pytest.mark.parametrize("suffix", ["0102", "0103"])
async def test_want_of_float_blocks_and_says_how_much_is_missing(profile: str, suffix: str) -> None:
    async with played(profile) as town:
        payout = a_sent_payout(profile, suffix)

        outcome = await town.adapter.submit(payout, Guard())

        assert (outcome.kind, outcome.reason) == (OutcomeClass.BLOCKED, "INSUFFICIENT_FLOAT")
        assert outcome.shortfall is not None
        assert (outcome.shortfall.amount, outcome.shortfall.currency) == (payout.amount, "XOF")
        assert await town.moved(payout) == 0


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_failed_status_read_says_nothing_of_the_payout(profile: str) -> None:
    async with played(profile) as town:
        payout = a_sent_payout(profile)
        outcome = await town.adapter.submit(payout, Guard())
        await town.set_faults(status_error_rate=1.0)

        for report in (
            await town.adapter.poll(taken(payout, outcome.provider_ref)),
            await town.adapter.look_up(payout),
        ):
            assert (report.finding, report.provider_failed) == (Finding.NO_ANSWER, True)

        await town.set_faults(down=True)
        report = await town.adapter.poll(taken(payout, outcome.provider_ref))
        assert (report.finding, report.provider_failed) == (Finding.NO_ANSWER, True)


@pytest.mark.parametrize("profile", PROFILES)
async def test_wrong_credentials_never_fail_a_payout(profile: str) -> None:
    fields = {
        "moov-soap": "moov_token",
        "paygate": "paygate_auth_token",
        "qosic": "qosic_password",
    }
    change = {fields.get(profile, "api_key"): Secret("wrong-credentials")}
    async with played(profile, change=change) as town:
        payout = a_sent_payout(profile)

        outcome = await town.adapter.submit(payout, Guard())

        # Moov's code for them is one whose meaning nobody agrees on.
        expected = OutcomeClass.UNKNOWN if profile == "moov-soap" else OutcomeClass.BLOCKED
        assert outcome.kind is expected
        for report in (await town.adapter.poll(taken(payout, "theirs")), await town.adapter.look_up(payout)):
            assert report.finding is Finding.NO_ANSWER
        assert await town.moved(payout) == 0


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("suffix", ["1234", "0101", "0104", "0205", "0401"])
async def test_no_number_and_no_secret_is_kept(profile: str, suffix: str) -> None:
    async with played(profile) as town:
        payout = a_sent_payout(profile, suffix)
        outcome = await town.adapter.submit(payout, Guard())
        report = await town.adapter.poll(taken(payout, outcome.provider_ref or "theirs"))

        for said in (outcome, report):
            kept = " ".join((said.reason, said.call, said.request, said.answer, said.rule))
            for hidden in (payout.phone_e164[1:], SECRET):
                assert hidden not in kept
            assert said.call.partition(" ")[0] in ("POST", "GET")
            assert len(said.answer.encode()) <= 300
            assert len(said.request.encode()) <= 300
        # What was asked is kept, too: which reference, for whom it was, and how much.
        assert payout.submission_ref in outcome.request or profile == "moov-soap"
        assert "1000" in outcome.request or profile == "moov-soap"


# ---- which profile, and what it promises -------------------------------------------------------------------


def adapter_of(profile: str, **change: Any) -> Adapter:
    settings = SETTINGS[profile]("https://provider.invalid")
    return build_wallet(settings.model_copy(update=change))


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_is_resent_by_itself_until_the_operators_paper_says_so(profile: str) -> None:
    assert adapter_of(profile).capabilities.repeated_reference is RepeatedReference.UNKNOWN
    for word, allowed in (("rejects", True), ("replays", True), ("pays_again", False), ("unknown", False)):
        capabilities = adapter_of(profile, duplicate_reference=word).capabilities
        assert (word, capabilities.resend_allowed) == (word, allowed)


@pytest.mark.parametrize(
    ("profile", "webhooks", "by_theirs", "balance", "account_check"),
    [
        ("tmoney", WebhookTrust.SIGNED, True, False, False),
        ("flooz", WebhookTrust.SIGNED, True, False, False),
        ("moov-soap", WebhookTrust.NONE, True, True, True),
        ("paygate", WebhookTrust.HINT, True, True, False),
        ("qosic", WebhookTrust.HINT, False, False, False),
    ],
)
def test_each_profile_has_its_own_contract(
    profile: str, webhooks: WebhookTrust, by_theirs: bool, balance: bool, account_check: bool
) -> None:
    ours = adapter_of(profile).capabilities
    assert (ours.webhooks, ours.status_by_provider_ref) == (webhooks, by_theirs)
    assert (ours.balance, ours.account_check) == (balance, account_check)
    assert ours.lookup_by_reference
    assert not ours.reverses_after_success


def test_without_a_status_template_nothing_can_be_asked() -> None:
    ours = adapter_of("tmoney", status_url_template="").capabilities
    assert (ours.lookup_by_reference, ours.status_by_provider_ref) == (False, False)


def test_moov_tells_no_balance_without_a_merchant_number() -> None:
    assert not adapter_of("moov-soap", moov_msisdn="").capabilities.balance


def test_another_profile_mode_place_or_credential_is_another_account() -> None:
    accounts = [adapter_of(profile).account for profile in PROFILES]
    accounts += [adapter_of(profile, mode=Mode.REAL).account for profile in PROFILES]
    for profile in PROFILES:
        there = f"https://elsewhere.invalid/{profile}"
        accounts.append(adapter_of(profile, base_url=there, cashout_url=there).account)
    accounts += [
        adapter_of("tmoney", api_key=Secret("another")).account,
        adapter_of("tmoney", status_url_template="https://elsewhere.invalid/{provider_ref}").account,
        adapter_of("moov-soap", moov_token=Secret("another")).account,
        adapter_of("moov-soap", moov_wallet_id="1").account,
        adapter_of("paygate", paygate_auth_token=Secret("another")).account,
        adapter_of("qosic", qosic_user="another").account,
        adapter_of("qosic", qosic_client_id_tg="another").account,
        adapter_of("qosic", qosic_operator_bj="mv", qosic_client_id_bj="x").account,
    ]
    assert len(set(accounts)) == len(accounts)
    assert not [account for account in accounts if SECRET in account or "MOOVTG" in account]


def test_another_path_for_states_on_the_same_host_is_no_new_account() -> None:
    moved = adapter_of("tmoney", status_url_template="https://provider.invalid/v2/{provider_ref}")
    assert moved.account == adapter_of("tmoney").account
    assert adapter_of("tmoney", status_url_template="").account == adapter_of("tmoney").account


def test_a_new_password_of_the_same_user_is_no_new_account() -> None:
    same = adapter_of("qosic", qosic_password=Secret("another")).account
    assert adapter_of("qosic").account == same


def test_moovs_own_protocol_is_no_profile_of_tmoney() -> None:
    with pytest.raises(ValueError, match="profile"):
        TmoneySettings(profile="moov-soap")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="FLOOZ"):
        build_wallet(TmoneySettings.model_construct(profile="moov-soap"))


def test_a_wallet_is_made_of_a_wallets_settings() -> None:
    class OtherSettings(ProviderSettings):
        name = "OTHER"

    with pytest.raises(TypeError, match="OTHER needs WalletSettings"):
        build_wallet(OtherSettings())
