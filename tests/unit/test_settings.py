"""Settings: what a person may set, and the very words that they read when it is wrong."""

import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from nepxy.config.dev_secrets import ensure_dev_secrets
from nepxy.config.groups import Environment, Mode
from nepxy.config.providers import WalletSettings
from nepxy.config.secret import Secret
from nepxy.config.settings import Settings, settings_fields
from nepxy.errors import ConfigError

ROOT = Path(__file__).parents[2]

PRODUCTION = {
    "ENV": "prod",
    "DATABASE_URL": "postgresql://nepxy:hunter2@db/nepxy?sslmode=verify-full",
    "JWT_SECRET": "k3Jx9-vQ2m_Zr8Lw4Tn6Yb1Hd7Sg5Fp0",
    "MM_MODE": "real",
    "MM_ENABLED_PROVIDERS": "TMONEY",
    "TMONEY_REAL_API_KEY": "key",
    "TMONEY_REAL_CASHOUT_URL": "https://tmoney.example/cashout",
    "TMONEY_REAL_STATUS_URL_TEMPLATE": "https://tmoney.example/status/{provider_ref}",
    "TMONEY_WEBHOOK_SECRET": "Qw8-zK2v_Nn5Rt7Lx",
}

THUNES = {
    "MM_ENABLED_PROVIDERS": "THUNES",
    "THUNES_SANDBOX_API_ENDPOINT": "https://thunes.example",
    "THUNES_SANDBOX_API_KEY": "key",
    "THUNES_SANDBOX_API_SECRET": "secret",
    "THUNES_PAYER_ID_TG": "101",
    "THUNES_PAYER_ID_GH": "102",
    "THUNES_SOURCE_CURRENCY": "eur",
    "THUNES_SOURCE_COUNTRY_ISO3": "FRA",
    "THUNES_SENDER_FIRSTNAME": "Ama",
    "THUNES_SENDER_LASTNAME": "Mensah",
    "THUNES_SENDER_DOB": "1990-01-22",
    "THUNES_SENDER_GENDER": "FEMALE",
    "THUNES_SENDER_NATIONALITY_ISO3": "TGO",
    "THUNES_SENDER_COUNTRY_OF_BIRTH_ISO3": "TGO",
    "THUNES_SENDER_ADDRESS": "1 rue du Commerce",
    "THUNES_SENDER_CITY": "Lomé",
    "THUNES_SENDER_POSTAL": "BP 1",
    "THUNES_SENDER_COUNTRY_ISO3": "TGO",
}


def settings(**environ: str) -> Settings:
    return Settings.from_environ(environ)


def problems(environ: Mapping[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        Settings.from_environ(environ)
    return refused.value.problems


def without(environ: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in names}


# What one gets


def test_nothing_set_is_a_working_development() -> None:
    s = settings()
    assert (s.env, s.mode, s.http.host, s.http.port) == (Environment.DEV, Mode.SANDBOX, "127.0.0.1", 8001)
    assert not s.database.url
    assert s.warnings == ()
    assert list(s.providers) == ["TMONEY", "FLOOZ", "MOMO", "THUNES"]
    assert all(provider.enabled for provider in s.providers.values())


def test_a_complete_production_starts_without_a_warning() -> None:
    s = settings(**PRODUCTION)
    assert s.warnings == ()
    assert s.http.host == "0.0.0.0"
    assert s.providers["TMONEY"].ready_problems == ()
    assert [name for name, provider in s.providers.items() if provider.enabled] == ["TMONEY"]


def test_production_means_prod_and_environment_is_an_alias() -> None:
    assert settings(**without(PRODUCTION, "ENV"), ENVIRONMENT="production").env is Environment.PROD


@pytest.mark.parametrize(
    ("first", "second", "read"),
    [
        ("ENV", "ENVIRONMENT", lambda s: s.env),
        ("CORS_ALLOW_ORIGINS", "CORS_ORIGINS", lambda s: s.http.cors_allow_origins[0]),
        ("TMONEY_SANDBOX_API_KEY", "TMONEY_API_KEY", lambda s: s.tmoney.api_key.get_secret_value()),
        ("FLOOZ_SANDBOX_CASHOUT_URL", "FLOOZ_CASHOUT_URL", lambda s: s.flooz.cashout_url),
        ("MOMO_SANDBOX_API_USER", "MOMO_API_USER_ID", lambda s: s.momo.api_user),
        (
            "MOMO_SANDBOX_SUBSCRIPTION_KEY_DISBURSEMENT",
            "MOMO_DISBURSE_SUB_KEY",
            lambda s: s.momo.subscription_key.get_secret_value(),
        ),
        ("MOMO_CALLBACK_URL", "MOMO_CALLBACK_HOST", lambda s: s.momo.callback_url),
        ("MOMO_TARGET_ENV", "MOMO_ENV", lambda s: s.momo.target_env),
    ],
)
def test_an_alias_works_and_the_first_name_wins(
    first: str, second: str, read: Callable[[Settings], str]
) -> None:
    one, other = {"ENV": ("dev", "dev"), "MOMO_TARGET_ENV": ("mtnbenin", "mtnghana")}.get(
        first, ("https://one.example", "https://other.example")
    )
    assert read(settings(**{second: other})) == other
    assert read(settings(**{first: one, second: other})) == one


def test_the_mode_picks_the_variables_and_an_unmarked_name_serves_both() -> None:
    both = {
        "TMONEY_SANDBOX_API_KEY": "s",
        "TMONEY_REAL_API_KEY": "r",
        "TMONEY_CASHOUT_URL": "https://t.example",
    }
    for mode, key in (("sandbox", "s"), ("real", "r")):
        tmoney = settings(MM_MODE=mode, **both).tmoney
        assert (tmoney.api_key.get_secret_value(), tmoney.cashout_url) == (key, "https://t.example")


def test_blank_is_not_set_and_spaces_around_a_value_are_not_part_of_it() -> None:
    s = settings(PORT="  ", GIT_SHA=" abc ", JWT_SECRET="")
    assert (s.http.port, s.git_sha, len(s.auth.jwt_secret)) == (8001, "abc", 0)


def test_a_line_end_after_a_secret_is_not_part_of_it_but_a_space_is() -> None:
    assert settings(TMONEY_WEBHOOK_SECRET=" s \n").tmoney.webhook_secret.get_secret_value() == " s "


def test_momo_may_be_listed_as_mtn_momo() -> None:
    s = settings(MM_ENABLED_PROVIDERS="mtn_momo, TMONEY")
    assert [name for name, provider in s.providers.items() if provider.enabled] == ["TMONEY", "MOMO"]


def test_thunes_enabled_false_outranks_the_list() -> None:
    assert not settings(THUNES_ENABLED="false").thunes.enabled


def test_a_providers_own_numbers_win_over_those_for_all() -> None:
    s = settings(
        NEPXY_RETRY_BASE_S="20", TMONEY_RETRY_BASE_S="10", MM_HTTP_TIMEOUT_S="15", MOMO_HTTP_TIMEOUT_S="25"
    )
    assert [p.retry.base_s for p in s.providers.values()] == [10, 20, 20, 20]
    assert [p.http_timeout_s for p in s.providers.values()] == [15, 15, 25, 15]
    assert s.tmoney.retry.cap_s == 3600


def test_the_answer_window_covers_sending_and_waiting() -> None:
    assert settings(TMONEY_SEND_WINDOW_S="7", TMONEY_HTTP_TIMEOUT_S="20").tmoney.answer_window_s == 32


def test_the_schemes_that_sqlalchemy_wants_are_taken() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg2"):
        url = settings(DATABASE_URL=f"{scheme}://u:p@h/d").database.url
        assert url.get_secret_value() == "postgresql://u:p@h/d"


def test_lists_are_comma_separated() -> None:
    s = settings(
        CORS_ALLOW_ORIGINS="https://a.example, http://localhost:3000", CORRIDOR_ALLOWLIST="TG:bj,TG:GH"
    )
    assert s.http.cors_allow_origins == ("https://a.example", "http://localhost:3000")
    assert s.limits.corridor_allowlist == (("TG", "BJ"), ("TG", "GH"))


def test_a_complete_thunes_is_ready_and_has_its_payers() -> None:
    thunes = settings(**THUNES).thunes
    assert thunes.ready_problems == ()
    assert dict(thunes.payer_ids) == {"TG": "101", "GH": "102"}
    assert thunes.source_currency == "EUR"
    assert thunes.use_simulation


def test_settings_are_frozen_to_the_bottom() -> None:
    s = settings(**THUNES)
    for model, field in ((s, "git_sha"), (s.http, "port"), (s.tmoney.retry, "base_s")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, field, "1")
    with pytest.raises(TypeError):
        s.thunes.payer_ids["TG"] = "1"  # type: ignore[index]
    with pytest.raises(TypeError):
        s.providers["TMONEY"] = s.tmoney  # type: ignore[index]


def test_settings_never_print_a_secret() -> None:
    s = settings(**PRODUCTION)
    shown = f"{s} {s!r} {s.model_dump()} {s.model_dump_json()}"
    assert "hunter2" not in shown
    assert "jjjj" not in shown


# What a person reads when it is wrong


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("ENV", "prodd", "ENV: 'prodd' is not one of dev, staging, prod; did you mean prod?"),
        ("PORT", "abc", "PORT: 'abc' cannot be read; set a whole number from 0 to 65_535 (default: 8001)"),
        ("PORT", "70000", "PORT: '70000' is too large; set a whole number from 0 to 65_535 (default: 8001)"),
        (
            "NEPXY_POOL_CONNECTIONS_MAX",
            "0",
            "NEPXY_POOL_CONNECTIONS_MAX: '0' is too small; set a whole number from 1 to 500 (default: 8)",
        ),
        (
            "NEPXY_LEASE_TTL_S",
            "nan",
            "NEPXY_LEASE_TTL_S: 'nan' cannot be read; set a number from 1 to 600 (default: 10)",
        ),
        (
            "TMONEY_RETRY_BASE_S",
            "-3",
            "TMONEY_RETRY_BASE_S: '-3' is too small; set a number above 0 to 86_400 (default: 30)",
        ),
        (
            "MM_STRICT_STARTUP_VALIDATION",
            "maybe",
            "MM_STRICT_STARTUP_VALIDATION: 'maybe' cannot be read; set true or false (default: false)",
        ),
        ("JWT_ALG", "RS256", "JWT_ALG: 'RS256' is not one of HS256"),
        ("MM_MODE", "live", "MM_MODE: 'live' is not one of sandbox, real"),
        (
            "MM_ENABLED_PROVIDERS",
            "TMONY,FLOOZ",
            "MM_ENABLED_PROVIDERS: names no provider: 'TMONY'; did you mean TMONEY?; "
            "set some of TMONEY,FLOOZ,MOMO,THUNES",
        ),
        (
            "TMONEY_AUTH_MODE",
            "beerer",
            "TMONEY_AUTH_MODE: 'beerer' is not one of bearer, x-api-key, none; did you mean bearer?",
        ),
        (
            "TMONEY_CASHOUT_URL",
            "tmoney.example",
            "TMONEY_CASHOUT_URL: is not a URL; set https://host/path, without a user name or a password in it",
        ),
        (
            "FLOOZ_SANDBOX_STATUS_URL_TEMPLATE",
            "https://f.example/{id}",
            "FLOOZ_SANDBOX_STATUS_URL_TEMPLATE: has no {provider_ref}; set https://host/path/{provider_ref}",
        ),
        (
            "FLOOZ_STATUS_URL_TEMPLATE",
            "https://f.example/{provider_ref}/{id}",
            "FLOOZ_STATUS_URL_TEMPLATE: holds {id}; {provider_ref} is the only placeholder",
        ),
        (
            "CORS_ORIGINS",
            "example.com",
            "CORS_ORIGINS: 'example.com' is not an origin; set scheme and host only, such as https://app.example.com",
        ),
        (
            "CORRIDOR_ALLOWLIST",
            "TG-BJ",
            "CORRIDOR_ALLOWLIST: 'TG-BJ' is not a corridor; set SEND:RECEIVE countries, such as TG:BJ,TG:GH",
        ),
        (
            "DATABASE_URL",
            "mysql://root:hunter2@h/d",
            "DATABASE_URL: is not a PostgreSQL URL; set postgresql://user:password@host:5432/database",
        ),
        (
            "JWT_SECRET",
            "hunter2",
            "JWT_SECRET: is shorter than 16 characters; set 32 random ones (openssl rand -base64 32)",
        ),
        (
            "JWT_SECRET_PREVIOUS",
            "hunter2",
            "JWT_SECRET_PREVIOUS: is shorter than 16 characters; set 32 random ones (openssl rand -base64 32)",
        ),
        (
            "NEPXY_RETRY_CAP_S",
            "1",
            "NEPXY_RETRY_BASE_S: 30 s is more than NEPXY_RETRY_CAP_S (1 s); make it smaller, or the other larger",
        ),
        (
            "MOMO_POLL_BASE_S",
            "7200",
            "MOMO_POLL_BASE_S: 7200 s is more than MOMO_POLL_CAP_S (3600 s); make it smaller, or the other larger",
        ),
        (
            "THUNES_PAYER_ID_TG",
            "abc",
            "THUNES_PAYER_ID_<ISO2>: TG is not a number; set the payer's id as Thunes gave it",
        ),
        (
            "THUNES_SENDER_DOB",
            "22/01/1990",
            "THUNES_SENDER_DOB: '22/01/1990' has the wrong form; it is this: "
            "The sender's date of birth, YYYY-MM-DD.",
        ),
    ],
)
def test_a_wrong_value_says_what_is_wrong_and_what_to_do(name: str, value: str, line: str) -> None:
    assert problems({name: value}) == (line,)


@pytest.mark.parametrize("name", ["DATABASE_URL", "JWT_SECRET"])
def test_production_and_staging_need(name: str) -> None:
    for env in ("prod", "staging"):
        (line,) = problems({**without(PRODUCTION, name), "ENV": env})
        assert line.startswith(f"{name}: is missing; ")


def test_production_needs_the_credentials_of_every_enabled_provider() -> None:
    assert problems(without(PRODUCTION, "TMONEY_REAL_API_KEY", "TMONEY_WEBHOOK_SECRET")) == (
        "MM_ENABLED_PROVIDERS: TMONEY is enabled without TMONEY_REAL_API_KEY, TMONEY_WEBHOOK_SECRET; "
        "set them, or take TMONEY off the list",
    )


def test_outside_production_missing_credentials_are_reported_and_do_not_stop_the_start() -> None:
    s = settings(MM_ENABLED_PROVIDERS="TMONEY,MOMO")
    assert s.providers["TMONEY"].ready_problems == ("TMONEY_SANDBOX_API_KEY", "TMONEY_SANDBOX_CASHOUT_URL")
    assert s.providers["MOMO"].ready_problems == (
        "MOMO_SANDBOX_SUBSCRIPTION_KEY_DISBURSEMENT",
        "MOMO_SANDBOX_API_USER",
        "MOMO_SANDBOX_API_KEY",
    )


def test_strict_start_up_refuses_missing_credentials_in_development_too() -> None:
    (line,) = problems({"MM_STRICT_STARTUP_VALIDATION": "true", "MM_ENABLED_PROVIDERS": "FLOOZ"})
    assert line.startswith("MM_ENABLED_PROVIDERS: FLOOZ is enabled without FLOOZ_SANDBOX_API_KEY, ")


def test_a_disabled_provider_needs_no_credentials_in_production() -> None:
    assert not settings(**PRODUCTION).momo.enabled


def test_no_key_is_needed_where_none_is_sent() -> None:
    s = settings(**without(PRODUCTION, "TMONEY_REAL_API_KEY"), TMONEY_AUTH_MODE="none")
    assert s.tmoney.ready_problems == ()


def test_thunes_without_a_sender_is_not_ready() -> None:
    missing = settings(
        **without(THUNES, "THUNES_SENDER_DOB", "THUNES_PAYER_ID_TG", "THUNES_PAYER_ID_GH")
    ).thunes
    assert missing.ready_problems == ("THUNES_SENDER_DOB", "THUNES_PAYER_ID_<ISO2>")


def test_real_money_does_not_go_to_momos_sandbox_environment() -> None:
    real = {
        "MM_MODE": "real",
        "MOMO_BASE_URL": "https://m.example",
        "MOMO_API_USER": "u",
        "MOMO_API_KEY": "k",
    }
    momo = settings(**real, MOMO_DISBURSE_SUB_KEY="s").momo
    assert momo.ready_problems == ("MOMO_TARGET_ENV",)


def test_real_money_in_production_goes_over_https_only() -> None:
    assert problems({**PRODUCTION, "TMONEY_REAL_CASHOUT_URL": "http://tmoney.example/cashout"}) == (
        "TMONEY_REAL_CASHOUT_URL: is not HTTPS; real money needs https://",
    )


def test_every_problem_is_listed_at_once() -> None:
    found = problems(
        {"ENV": "prod", "PORT": "abc", "MM_ENABLED_PROVIDERS": "TMONEY", "NEPXY_RETRY_FACTOR": "x"}
    )
    assert [line.split(":")[0] for line in found] == [
        "PORT",
        "NEPXY_RETRY_FACTOR",
        "DATABASE_URL",
        "JWT_SECRET",
        "MM_MODE",
        "MM_ENABLED_PROVIDERS",
    ]


def test_what_is_wrong_is_not_called_missing_too() -> None:
    found = problems({**PRODUCTION, "DATABASE_URL": "nonsense", "TMONEY_REAL_CASHOUT_URL": "nonsense"})
    assert [line.split(":")[0] for line in found] == ["DATABASE_URL", "TMONEY_REAL_CASHOUT_URL"]


def test_a_wrong_mode_brings_no_complaints_about_variables_of_the_other() -> None:
    assert len(problems({**PRODUCTION, "MM_MODE": "live"})) == 1


def test_no_message_quotes_a_secret_or_a_whole_phone_number() -> None:
    found = problems(
        {"DATABASE_URL": "hunter2", "JWT_SECRET": "hunter2", "NEPXY_INSTALLATION_ID": "+22890123456"}
    )
    text = " ".join(found)
    assert len(found) == 3
    assert "hunter2" not in text
    assert "90123456" not in text


# Warnings


def test_a_slip_in_a_name_gets_a_did_you_mean() -> None:
    s = settings(TMONEY_SANBOX_API_KEY="k", NEPXY_ZZZ="1", OTHER_THING="1")
    assert s.warnings == (
        "NEPXY_ZZZ: is not a setting and is ignored",
        "TMONEY_SANBOX_API_KEY: is not a setting and is ignored; did you mean TMONEY_SANDBOX_API_KEY?",
    )


def test_the_other_modes_variables_and_secret_files_are_no_slips() -> None:
    assert settings(TMONEY_REAL_API_KEY="k", THUNES_PAYER_ID_CI="7", FLOOZ_RETRY_CAP_S="60").warnings == ()


@pytest.mark.parametrize(
    ("change", "start"),
    [
        ({"JWT_SECRET": "k3Jx9-vQ2m_Zr8Lw4Tn6"}, "JWT_SECRET: is shorter than 32 characters"),
        ({"THUNES_USE_SIMULATION": "true"}, "THUNES_USE_SIMULATION: is never honoured"),
        ({"MOMO_TARGET_ENV": "mtnbenim"}, "MOMO_TARGET_ENV: 'mtnbenim' is no environment that is known"),
        (
            {"TMONEY_REAL_STATUS_URL_TEMPLATE": ""},
            "TMONEY_REAL_STATUS_URL_TEMPLATE: is missing: without a webhook",
        ),
    ],
)
def test_production_warns(change: dict[str, str], start: str) -> None:
    (line,) = settings(**{**PRODUCTION, **change}).warnings
    assert line.startswith(start)


MOMO = {
    "MM_ENABLED_PROVIDERS": "MOMO",
    "MOMO_REAL_BASE_URL": "https://momo.example",
    "MOMO_REAL_SUBSCRIPTION_KEY_DISBURSEMENT": "s",
    "MOMO_REAL_API_USER": "u",
    "MOMO_REAL_API_KEY": "k",
    "MOMO_TARGET_ENV": "mtnbenin",
}


def test_a_webhook_secret_is_needed_only_where_webhooks_are_signed() -> None:
    assert settings(**{**PRODUCTION, **MOMO}).momo.enabled
    (problem,) = problems(without(PRODUCTION, "TMONEY_WEBHOOK_SECRET"))
    assert "TMONEY is enabled without TMONEY_WEBHOOK_SECRET" in problem


def test_real_money_in_development_is_pointed_out() -> None:
    assert settings(MM_MODE="real").warnings[0].startswith("MM_MODE: is real in dev: real money moves")


def test_what_only_a_sandbox_may_do_is_switched_off_elsewhere() -> None:
    s = settings(**PRODUCTION, THUNES_USE_SIMULATION="true")
    assert not s.thunes.use_simulation
    assert settings(THUNES_ALLOW_UNSIGNED_WEBHOOKS="true").thunes.allow_unsigned_webhooks


# Secrets in files


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "jwt"
    file.write_text("j" * 32 + "\n")
    s = settings(JWT_SECRET_FILE=str(file))
    assert s.auth.jwt_secret.get_secret_value() == "j" * 32
    assert s.warnings == ()


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "jwt"
    file.write_text("j" * 32)
    assert problems({"JWT_SECRET": "k" * 32, "JWT_SECRET_FILE": str(file)}) == (
        "JWT_SECRET: JWT_SECRET_FILE is set, too; set one of the two",
    )


def test_a_secret_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    file = tmp_path / "jwt"
    assert problems(
        {"JWT_SECRET_FILE": str(file), "ENV": "prod", **without(PRODUCTION, "ENV", "JWT_SECRET")}
    ) == (f"JWT_SECRET_FILE: {file} cannot be read (No such file or directory); mount it, or mend the path",)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"\xff\xfe", "is not UTF-8 text"), (b"x" * 70_000, "is larger than")],
)
def test_a_secret_file_without_a_secret_says_so(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "jwt"
    file.write_bytes(content)
    (line,) = problems({"JWT_SECRET_FILE": str(file)})
    assert line.startswith(f"JWT_SECRET_FILE: {file} {words}")


def test_the_file_of_a_previous_secret_is_empty_between_two_rotations(tmp_path: Path) -> None:
    file = tmp_path / "previous"
    for content in ("", "\n"):
        file.write_text(content)
        s = settings(JWT_SECRET_PREVIOUS_FILE=str(file), TMONEY_WEBHOOK_SECRET_PREVIOUS_FILE=str(file))
        assert (len(s.auth.jwt_secret_previous), len(s.tmoney.webhook_secret_previous)) == (0, 0)


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    assert settings(PORT_FILE=str(tmp_path / "x")).http.port == 8001


# The process's own environment


def test_a_dotenv_file_is_read_and_the_process_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=9001\nGIT_SHA=from-file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.setenv("GIT_SHA", "from-process")
    s = Settings.from_environ()
    assert (s.http.port, s.git_sha) == (9001, "from-process")


def test_a_given_mapping_is_all_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9002")
    monkeypatch.setenv("port", "9003")
    assert settings().http.port == 8001


def test_nothing_else_touches_the_environment() -> None:
    offenders = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "nepxy").rglob("*.py")
        if file.parent.name != "config" and ("os.environ" in file.read_text() or "getenv" in file.read_text())
    ]
    assert offenders == []


# Development's own secret


def test_development_makes_a_secret_and_keeps_it_for_its_owner_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "a" / ".nepxy"
    first = ensure_dev_secrets(data_dir)
    assert len(first) >= 32
    assert ensure_dev_secrets(data_dir) == first
    (file,) = data_dir.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_that_others_could_read_is_closed_again(tmp_path: Path) -> None:
    ensure_dev_secrets(tmp_path)
    (tmp_path / "jwt_secret").chmod(0o644)
    ensure_dev_secrets(tmp_path)
    assert stat.S_IMODE((tmp_path / "jwt_secret").stat().st_mode) == 0o600


def test_two_processes_that_start_at_once_agree_on_the_secret(tmp_path: Path) -> None:
    barrier, found = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        found.append(ensure_dev_secrets(tmp_path).get_secret_value())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_directory_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as refused:
        ensure_dev_secrets(tmp_path / "file" / "dir")
    assert refused.value.problems[0].startswith("NEPXY_DATA_DIR: ")
    assert "set a directory that this user can write" in refused.value.problems[0]


def test_an_emptied_secret_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "jwt_secret").write_text("")
    with pytest.raises(ConfigError, match="holds no secret; delete it, and a new one is made"):
        ensure_dev_secrets(tmp_path)


def test_only_development_makes_its_own_secret(tmp_path: Path) -> None:
    dev = settings(NEPXY_DATA_DIR=str(tmp_path / "dev")).with_dev_secrets()
    assert dev.auth.jwt_secret == ensure_dev_secrets(tmp_path / "dev")
    given = settings(JWT_SECRET="j" * 32, NEPXY_DATA_DIR=str(tmp_path / "given")).with_dev_secrets()
    assert given.auth.jwt_secret == Secret("j" * 32)
    prod = settings(**PRODUCTION, NEPXY_DATA_DIR=str(tmp_path / "prod"))
    assert prod.with_dev_secrets() is prod
    assert [path.name for path in tmp_path.iterdir()] == ["dev"]


# The catalogue


def test_every_variable_is_documented_once() -> None:
    docs = settings_fields()
    assert len({doc.name for doc in docs}) == len(docs)
    for doc in docs:
        assert doc.description.endswith("."), doc.name
        assert doc.type, doc.name


def test_the_catalogue_has_the_names_that_operators_set() -> None:
    docs = {doc.name: doc for doc in settings_fields()}
    assert docs["ENV"].aliases == ("ENVIRONMENT",)
    assert (docs["PORT"].type, docs["PORT"].default) == ("a whole number from 0 to 65_535", "8001")
    assert docs["TMONEY_REAL_API_KEY"].secret
    assert docs["TMONEY_REAL_API_KEY"].aliases == ("TMONEY_API_KEY",)
    assert docs["MM_HTTP_TIMEOUT_S"].default == "20"
    assert docs["<PROVIDER>_HTTP_TIMEOUT_S"].default == "MM_HTTP_TIMEOUT_S"
    assert "THUNES_PAYER_ID_<ISO2>" in docs


def test_no_secret_has_a_default() -> None:
    assert not [doc for doc in settings_fields() if doc.secret and len(doc.default) > 60]
    assert not any(
        field.default.get_secret_value()
        for group in (Settings, WalletSettings)
        for field in group.model_fields.values()
        if isinstance(field.default, Secret)
    )


def test_every_duration_and_limit_says_its_unit() -> None:
    for doc in settings_fields():
        if doc.type.startswith("a number") and doc.name.endswith("_S") and "<PROVIDER>" not in doc.name:
            assert "second" in doc.description.lower(), doc.name
