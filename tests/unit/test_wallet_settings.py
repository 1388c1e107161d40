"""TMONEY's and FLOOZ's profiles: what each needs, and the words that a person reads when it is wrong."""

from __future__ import annotations

import pytest

from nepxy.config.settings import Settings, settings_fields
from nepxy.errors import ConfigError


def settings(**environ: str) -> Settings:
    return Settings.from_environ(environ)


def problems(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        Settings.from_environ(environ)
    return refused.value.problems


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, ("FLOOZ_SANDBOX_API_KEY", "FLOOZ_SANDBOX_CASHOUT_URL")),
        ({"FLOOZ_AUTH_MODE": "none"}, ("FLOOZ_SANDBOX_CASHOUT_URL",)),
        ({"FLOOZ_PROFILE": "moov-soap"}, ("FLOOZ_SANDBOX_BASE_URL", "FLOOZ_SANDBOX_MOOV_TOKEN")),
        ({"FLOOZ_PROFILE": "paygate"}, ("FLOOZ_SANDBOX_BASE_URL", "FLOOZ_SANDBOX_PAYGATE_AUTH_TOKEN")),
        (
            {"FLOOZ_PROFILE": "Qosic"},
            (
                "FLOOZ_SANDBOX_BASE_URL",
                "FLOOZ_SANDBOX_QOSIC_USER",
                "FLOOZ_SANDBOX_QOSIC_PASSWORD",
                "FLOOZ_SANDBOX_QOSIC_CLIENT_ID_TG",
            ),
        ),
        (
            {"MM_MODE": "real", "FLOOZ_PROFILE": "paygate", "FLOOZ_SANDBOX_BASE_URL": "https://x.example"},
            ("FLOOZ_REAL_BASE_URL", "FLOOZ_REAL_PAYGATE_AUTH_TOKEN"),
        ),
    ],
)
def test_each_profile_names_what_it_lacks(environ: dict[str, str], missing: tuple[str, ...]) -> None:
    assert settings(**environ).flooz.ready_problems == missing


def test_each_profile_is_ready_with_its_own_credentials() -> None:
    for profile, credentials in {
        "moov-soap": {"FLOOZ_MOOV_TOKEN": "t"},
        "paygate": {"FLOOZ_PAYGATE_AUTH_TOKEN": "t"},
        "qosic": {"FLOOZ_QOSIC_USER": "u", "FLOOZ_QOSIC_PASSWORD": "p", "FLOOZ_QOSIC_CLIENT_ID_TG": "c"},
    }.items():
        environ = {"FLOOZ_PROFILE": profile, "FLOOZ_BASE_URL": "https://x.example", **credentials}
        assert (profile, settings(**environ).flooz.ready_problems) == (profile, ())


def test_an_account_in_benin_needs_its_operator_too() -> None:
    environ = {
        "FLOOZ_PROFILE": "qosic",
        "FLOOZ_BASE_URL": "https://x.example",
        "FLOOZ_QOSIC_USER": "u",
        "FLOOZ_QOSIC_PASSWORD": "p",
        "FLOOZ_QOSIC_CLIENT_ID_BJ": "c",
    }
    assert settings(**environ).flooz.ready_problems == ("FLOOZ_SANDBOX_QOSIC_CLIENT_ID_TG",)
    complete = settings(**environ, FLOOZ_QOSIC_OPERATOR_BJ="MV").flooz
    assert complete.ready_problems == ()
    assert complete.qosic_countries == {"229": ("mv", "c")}


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"TMONEY_PROFILE": "moov-soap"}, "TMONEY_PROFILE"),
        ({"FLOOZ_PROFILE": "soap"}, "FLOOZ_PROFILE"),
        ({"FLOOZ_DUPLICATE_REFERENCE": "maybe"}, "FLOOZ_DUPLICATE_REFERENCE"),
        ({"FLOOZ_MSISDN_FORM": "short"}, "FLOOZ_MSISDN_FORM"),
        ({"FLOOZ_MOOV_CODES": "92=paid"}, "the meanings are accepted, rejected, blocked, float, unknown"),
        ({"FLOOZ_MOOV_CODES": "0=rejected"}, "code 0 says that it is paid"),
        ({"FLOOZ_QOSIC_OPERATOR_TG": "t/g"}, "is not one word of a path"),
        ({"FLOOZ_MOOV_WALLET_ID": "x"}, "FLOOZ_MOOV_WALLET_ID"),
        ({"FLOOZ_BASE_URL": "x.example"}, "FLOOZ_BASE_URL"),
    ],
)
def test_what_is_wrong_stops_the_start_by_name(environ: dict[str, str], words: str) -> None:
    (problem,) = problems(**environ)
    assert words in problem
    assert problem.startswith(next(iter(environ)))


def test_only_signed_profiles_need_a_webhook_secret() -> None:
    signed = {
        profile: settings(FLOOZ_PROFILE=profile).flooz.signs_webhooks
        for profile in ("generic", "moov-soap", "paygate", "qosic")
    }
    assert signed == {"generic": True, "moov-soap": False, "paygate": False, "qosic": False}


def test_moovs_settings_are_not_tmoneys() -> None:
    names = {doc.name for doc in settings_fields()}
    assert "FLOOZ_MOOV_CODES" in names
    assert {"TMONEY_PROFILE", "TMONEY_SANDBOX_PAYGATE_AUTH_TOKEN", "FLOOZ_REAL_QOSIC_PASSWORD"} <= names
    assert not [name for name in names if name.startswith("TMONEY_MOOV")]
