"""What production refuses, in the very words that a person reads."""

import re
from pathlib import Path

import pytest

from nepxy.config.production import is_guessable
from nepxy.config.secret import Secret
from nepxy.config.settings import Settings
from nepxy.errors import ConfigError

ROOT = Path(__file__).parents[2]
SOUND = {
    "ENV": "prod",
    "DATABASE_URL": "postgresql://nepxy:hunter2@db.example/nepxy?sslmode=verify-full",
    "JWT_SECRET": "k3Jx9-vQ2m_Zr8Lw4Tn6Yb1Hd7Sg5Fp0",
    "MM_MODE": "real",
    "MM_ENABLED_PROVIDERS": "TMONEY",
    "TMONEY_REAL_API_KEY": "key",
    "TMONEY_REAL_CASHOUT_URL": "https://tmoney.example/cashout",
    "TMONEY_REAL_STATUS_URL_TEMPLATE": "https://tmoney.example/status/{provider_ref}",
    "TMONEY_WEBHOOK_SECRET": "Qw8-zK2v_Nn5Rt7Lx",
}
RANDOM = "set 32 random characters (openssl rand -base64 32)"
NO_TLS = (
    "DATABASE_URL: goes to another machine without TLS; add ?sslmode=verify-full (or require), or set "
    "NEPXY_DATABASE_PLAINTEXT_ALLOWED=true where the network between them is private"
)


def problems(**change: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        Settings.from_environ(SOUND | change)
    return refused.value.problems


def test_a_sound_production_starts() -> None:
    assert Settings.from_environ(SOUND).warnings == ()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"JWT_SECRET": "short"},
            "JWT_SECRET: is shorter than 16 characters; set 32 random ones (openssl rand -base64 32)",
        ),
        ({"JWT_SECRET": "changeme-changeme-changeme-changeme"}, f"JWT_SECRET: is one that anybody would try; {RANDOM}"),
        ({"JWT_SECRET_PREVIOUS": "a" * 40}, f"JWT_SECRET_PREVIOUS: is one that anybody would try; {RANDOM}"),
        ({"TMONEY_WEBHOOK_SECRET": "hook"}, f"TMONEY_WEBHOOK_SECRET: is shorter than 16 characters; {RANDOM}"),
        (
            {"TMONEY_WEBHOOK_SECRET": "your-secret-goes-here"},
            f"TMONEY_WEBHOOK_SECRET: is one that anybody would try; {RANDOM}",
        ),
        (
            {"CORS_ALLOW_ORIGINS": "*"},
            "CORS_ALLOW_ORIGINS: * lets every page call the API; name the origins, such as https://app.example.com",
        ),
        (
            {"THUNES_ALLOW_UNSIGNED_WEBHOOKS": "true"},
            "THUNES_ALLOW_UNSIGNED_WEBHOOKS: anybody could then send webhooks; unset it",
        ),
        (
            {"NEPXY_LOG_LEVEL": "debug"},
            "NEPXY_LOG_LEVEL: debug writes more than a log should keep of people's money; set info",
        ),
        ({"DATABASE_URL": "postgresql://nepxy:hunter2@db.example/nepxy"}, NO_TLS),
        ({"DATABASE_URL": "postgresql://nepxy:hunter2@10.0.0.5/nepxy?sslmode=prefer"}, NO_TLS),
        (
            {"DATABASE_URL": "postgresql://nepxy:postgres@db.example/nepxy?sslmode=require"},
            "DATABASE_URL: its password is missing, or one that anybody would try; give the role a random one",
        ),
    ],
)  # fmt: skip
def test_production_refuses_and_says_what_to_do(change: dict[str, str], line: str) -> None:
    assert problems(**change) == (line,)


def test_production_refuses_what_this_repository_shows_to_everybody() -> None:
    shown = re.findall(r"^\w+_(?:KEY|SECRET)=(\S+)$", (ROOT / "deploy/sandbox.env").read_text(), re.MULTILINE)
    assert len(shown) == 4
    for secret in shown:
        for name in ("JWT_SECRET", "JWT_SECRET_PREVIOUS", "TMONEY_WEBHOOK_SECRET"):
            assert problems(**{name: secret}) == (f"{name}: is one that anybody would try; {RANDOM}",)


def test_production_refuses_the_sandbox() -> None:
    assert (
        "MM_MODE: is sandbox: no real money would move; set real, or ENV=staging to try things out"
        in problems(MM_MODE="sandbox")
    )


def test_everything_that_is_wrong_is_in_one_message() -> None:
    with pytest.raises(ConfigError) as refused:
        Settings.from_environ(
            {"ENV": "prod", "JWT_SECRET": "short", "CORS_ALLOW_ORIGINS": "*", "THUNES_ALLOW_UNSIGNED_WEBHOOKS": "true"}
        )  # fmt: skip
    for name in ("DATABASE_URL", "JWT_SECRET", "CORS_ALLOW_ORIGINS", "THUNES_ALLOW", "MM_MODE", "MM_ENABLED"):
        assert name in refused.value.message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nepxy@/nepxy?host=/run/postgresql",
        "postgresql://nepxy:postgres@localhost/nepxy",
        "postgresql://nepxy:x@127.0.0.1:5432/nepxy",
        "postgresql://nepxy:x@[::1]/nepxy",
    ],
)
def test_a_database_on_this_machine_needs_no_tls(url: str) -> None:
    assert Settings.from_environ(SOUND | {"DATABASE_URL": url}).database.url


def test_a_private_network_is_said_to_be_one() -> None:
    url = "postgresql://nepxy:hunter2@postgres/nepxy"
    assert Settings.from_environ(
        SOUND | {"DATABASE_URL": url, "NEPXY_DATABASE_PLAINTEXT_ALLOWED": "true"}
    ).database.plaintext_allowed


def test_a_disabled_providers_secret_stops_nothing() -> None:
    assert Settings.from_environ(SOUND | {"FLOOZ_WEBHOOK_SECRET": "hook"}).warnings == ()


def test_staging_may_try_what_production_may_not() -> None:
    staging = Settings.from_environ(
        SOUND | {"ENV": "staging", "CORS_ALLOW_ORIGINS": "*", "NEPXY_LOG_LEVEL": "debug"}
    )
    assert staging.http.cors_allow_origins == ("*",)


def test_no_refusal_quotes_a_secret() -> None:
    (line,) = problems(TMONEY_WEBHOOK_SECRET="placeholder-hunter2")
    assert "hunter2" not in line
    assert is_guessable(Secret("placeholder-hunter2"))
