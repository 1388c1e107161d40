"""deploy/fly.*.toml: two apps, variables that exist, and with the secrets of the page a start that is not refused."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from nepxy.config.settings import Settings, settings_fields
from tests.ship.database_home import ROOT

PAGE = (ROOT / "docs/fly_prod_setup.md").read_text()
STRONG = "k3Yx9Qe7Lm2Zt8Vb4Nc6Rw1Hd5Js0PfA"


def toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / f"deploy/fly.{name}.toml").read_text())


def secrets_of_the_page(name: str) -> dict[str, str]:
    """The first column of the page's table, with values as they might be."""
    table = PAGE.partition("### The secrets")[2].partition("MOMO and THUNES")[0]
    names = [
        found
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for found in re.findall(r"`(\w+)`", row)
    ]
    if name == "staging":
        names = [one.replace("_REAL_", "_SANDBOX_") for one in names]

    def value(variable: str) -> str:
        if variable.endswith("DATABASE_URL"):
            return f"postgresql://nepxy_app:{STRONG}@nepxy-prod-db.flycast:5432/nepxy"
        if variable.endswith("URL"):
            return "https://api.example.com/cashout"
        if variable.endswith("TEMPLATE"):
            return "https://api.example.com/cashout/{provider_ref}"
        return "true" if variable.endswith("ALLOWED") else f"{STRONG}{variable}"

    return {variable: value(variable) for variable in names}


@pytest.mark.parametrize("name", ["prod", "staging"])
def test_every_variable_is_one_of_the_settings(name: str) -> None:
    known = {name for field in settings_fields() for name in (field.name, *field.aliases)}
    given = {*toml(name)["env"], *secrets_of_the_page(name)} - {"OWNER_DATABASE_URL"}

    assert given <= known | {"DATABASE_URL"}, given - known


@pytest.mark.parametrize("name", ["prod", "staging"])
def test_with_the_pages_secrets_it_may_start(name: str) -> None:
    secrets = secrets_of_the_page(name)
    secrets.pop("OWNER_DATABASE_URL")

    settings = Settings.from_environ(toml(name)["env"] | secrets)

    assert settings.env.value == name
    enabled = [one for one in settings.providers.values() if one.enabled]
    assert {one.name for one in enabled} == {"TMONEY", "FLOOZ"}
    assert all(one.ready_problems == () for one in enabled)
    assert settings.warnings == ()


@pytest.mark.parametrize("name", ["prod", "staging"])
def test_it_migrates_first_waits_for_the_drain_and_asks_what_is_served(name: str) -> None:
    file = toml(name)

    assert file["deploy"]["release_command"] == "migrate up"
    assert int(file["kill_timeout"].removesuffix("s")) >= float(file["env"]["NEPXY_DRAIN_LIMIT_S"]) + 20
    assert file["kill_signal"] == "SIGTERM"
    service = file["http_service"]
    assert service["force_https"] is True
    assert service["auto_stop_machines"] == "off"
    assert str(service["internal_port"]) == file["env"]["PORT"]
    assert {check["path"] for check in service["checks"]} == {"/readyz"}
    assert file["checks"]["alive"]["path"] == "/healthz"
    assert not re.search(r"(SECRET|PASSWORD|KEY|DATABASE_URL)", " ".join(file["env"]))


def test_production_and_staging_are_kept_apart() -> None:
    prod, staging = toml("prod"), toml("staging")

    assert (prod["app"], staging["app"]) == ("nepxy-prod", "nepxy-staging")
    assert (prod["env"]["ENV"], staging["env"]["ENV"]) == ("prod", "staging")
    assert (prod["env"]["MM_MODE"], staging["env"]["MM_MODE"]) == ("real", "sandbox")
