"""docker-compose.yml and the Dockerfile: held against the specification, the rules that matter, and each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped] # comes with another package, without its types

from nepxy.config.settings import Settings
from tests.ship.database_home import ROOT, DatabaseHome, bare_environ, rows

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SCHEMA = json.loads((ROOT / "tests/ship/compose_spec/compose-spec.json").read_text())
OURS = ("migrate", "engine", "standby", "sandbox")
LIVE_S = {"s": 1, "m": 60}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


def test_the_file_keeps_the_compose_specification(compose: dict[str, Any]) -> None:
    checker = jsonschema_rs.validator_for(SCHEMA)

    assert [error.message for error in checker.iter_errors(compose)] == []
    wrong = compose | {"services": compose["services"] | {"engine": {"imagee": "x"}}}
    assert not checker.is_valid(wrong), "the schema would refuse a mistake"


def test_everything_is_pinned_by_version(compose: dict[str, Any]) -> None:
    images = {service["image"] for service in compose["services"].values()}
    bases = set(re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE))

    assert bases
    for image in images | bases:
        assert re.search(
            r":(v?\d+\.\d+(\.\d+)?[\w.-]*|\$\{[^}]+:\d[^}]*\})\}?$|@sha256:[0-9a-f]{64}$", image
        ), image
        assert "latest" not in image


def test_postgresql_is_the_version_that_is_promised(compose: dict[str, Any]) -> None:
    assert {compose["services"][name]["image"] for name in ("db", "roles")} == {"postgres:16.10-bookworm"}


@pytest.mark.parametrize("name", OURS)
def test_our_services_can_do_nothing_but_serve(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "10001:10001"
    assert "privileged" not in service
    assert all(mount.startswith("/tmp") for mount in service["tmpfs"])
    assert not service.get("volumes")


def test_a_stop_waits_longer_than_the_drain(compose: dict[str, Any]) -> None:
    for name in ("engine", "standby"):
        service = compose["services"][name]
        grace = re.fullmatch(r"(\d+)([sm])", service["stop_grace_period"])
        assert grace is not None
        drain_s = float(service["environment"]["NEPXY_DRAIN_LIMIT_S"])
        assert int(grace[1]) * LIVE_S[grace[2]] >= drain_s + 20


def test_the_migration_runs_once_before_anything_serves(compose: dict[str, Any]) -> None:
    services = compose["services"]

    assert (services["migrate"]["command"], services["migrate"]["restart"]) == (["migrate", "up"], "no")
    assert services["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert services["roles"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    for name in ("engine", "standby"):
        assert services[name]["depends_on"] == {"roles": {"condition": "service_completed_successfully"}}
    assert services["migrate"]["environment"]["DATABASE_URL_FILE"].endswith("owner_database_url")
    assert services["engine"]["environment"]["DATABASE_URL_FILE"].endswith("/database_url")


def test_only_the_migration_sees_the_owners_password(compose: dict[str, Any]) -> None:
    for name in ("engine", "standby"):
        assert compose["services"][name]["secrets"] == ["database_url", "jwt_secret"]


def test_what_is_mounted_is_there_and_what_is_named_exists(compose: dict[str, Any], tmp_path: Path) -> None:
    run_make_secrets(tmp_path)
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists(), source
            assert source.startswith("./") or source in compose["volumes"], source
        for secret in service.get("secrets", ()):
            assert secret in compose["secrets"]
        for network in service["networks"]:
            assert network in compose["networks"]
        for other in service.get("depends_on", ()):
            assert other in compose["services"]
    for secret in compose["secrets"].values():
        assert secret["file"].startswith("deploy/secrets/")
        assert (tmp_path / Path(secret["file"]).name).stat().st_size >= 32
    assert compose["networks"]["inside"] == {"internal": True}
    assert compose["services"]["db"]["networks"] == ["inside"]


def test_what_prometheus_scrapes_here_is_both_engines_under_the_name_that_the_rules_rely_on(
    compose: dict[str, Any],
) -> None:
    here, example = (
        yaml.safe_load((ROOT / f"deploy/prometheus/{name}.yml").read_text())
        for name in ("compose", "prometheus")
    )

    (job,) = here["scrape_configs"]
    targets = {target.partition(":")[0] for target in job["static_configs"][0]["targets"]}
    assert targets == {"engine", "standby"} <= set(compose["services"])
    assert job["job_name"] == example["scrape_configs"][0]["job_name"]
    assert here["rule_files"] == example["rule_files"]


def run_make_secrets(folder: Path) -> None:
    subprocess.run([str(ROOT / "scripts/make_secrets.sh"), str(folder)], check=True, capture_output=True)


def test_secrets_are_made_once_random_and_closed(tmp_path: Path) -> None:
    folder, other = tmp_path / "one", tmp_path / "two"
    run_make_secrets(folder)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    run_make_secrets(folder)
    run_make_secrets(other)

    assert first == {path.name: path.read_text() for path in folder.iterdir()}
    for name in ("jwt_secret", "app_password"):
        assert re.fullmatch(r"[A-Za-z0-9]{32}", first[name])
        assert first[name] != (other / name).read_text()
    assert folder.stat().st_mode & 0o077 == 0
    assert first["database_url"] == f"postgresql://nepxy_app:{first['app_password']}@db:5432/nepxy"


@pytest.mark.parametrize("name", ["engine", "standby", "migrate"])
def test_with_the_sandboxs_env_the_settings_are_fit_to_start(
    compose: dict[str, Any], tmp_path: Path, name: str
) -> None:
    run_make_secrets(tmp_path)
    variables = dict(
        line.split("=", 1)
        for line in (ROOT / "deploy/sandbox.env").read_text().splitlines()
        if line and not line.startswith("#")
    )
    variables |= {
        key: str(tmp_path / Path(value).name) if key.endswith("_FILE") else value
        for key, value in compose["services"][name]["environment"].items()
    }

    settings = Settings.from_environ(variables)

    assert settings.providers["TMONEY"].ready_problems == ()
    assert [warning for warning in settings.warnings if "SANDBOX_" not in warning] == []


def test_the_databases_first_start_makes_the_roles_and_their_passwords(
    home: DatabaseHome, tmp_path: Path
) -> None:
    """What postgres' image does with /docker-entrypoint-initdb.d, done with psql against a real server."""
    run_make_secrets(tmp_path / "secrets")
    psql = next(
        path
        for path in home.server._bin.parent.parent.glob("pginstall*/bin/psql")
        if os.access(path, os.X_OK)
    )
    socket = re.search(r"host=([^&]+)&port=(\d+)", home.server.url)
    assert socket is not None
    environ = bare_environ(PGHOST=socket[1], PGPORT=socket[2], SECRETS_DIR=str(tmp_path / "secrets"))
    environ["PATH"] = f"{psql.parent}:{environ['PATH']}"
    for command in (
        [
            "psql",
            "-U",
            "postgres",
            "-d",
            "nepxy",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            str(ROOT / "scripts/roles.sql"),
        ],
        [str(ROOT / "deploy/db/20-passwords.sh")],
    ):
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    for role in ("owner", "app"):
        home.passwords[f"nepxy_{role}"] = (tmp_path / "secrets" / f"{role}_password").read_text()
        assert rows(home.url(f"nepxy_{role}"), "SELECT current_user::text") == [(f"nepxy_{role}",)]


# ---- the Dockerfile ------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def test_the_dockerfile_keeps_the_rules_that_matter() -> None:
    found = instructions()
    words = [word for word, _ in found]

    assert words[0] == "ARG"
    assert words.count("FROM") == 2, "what builds is in no image"
    last_stage = found[max(n for n, word in enumerate(words) if word == "FROM") :]
    by_word = dict(last_stage)
    assert by_word["USER"] == "10001:10001"
    assert words.index("USER") > max(n for n, word in enumerate(words) if word == "COPY")
    assert json.loads(by_word["ENTRYPOINT"]) == ["/usr/local/lib/nepxy/start.sh"]
    assert json.loads(by_word["CMD"]) == ["serve"]
    assert "CMD [" in by_word["HEALTHCHECK"]
    assert by_word["STOPSIGNAL"] == "SIGTERM"
    assert not {"ADD", "VOLUME", "MAINTAINER"} & set(words)
    for word, rest in found:
        assert word != "RUN" or not re.search(r"\b(sudo|curl|wget|apt-get|chmod 777)\b", rest)
        assert word not in ("ENV", "ARG") or not re.search(r"(PASSWORD|SECRET|TOKEN|API_KEY)", rest)
        assert word != "WORKDIR" or rest.startswith("/")


def linted(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    """What hadolint says of it, everything counted as an error."""
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        problem = "hadolint is not installed; requirements.lock has it for Linux on x86-64"
        pytest.fail(problem) if os.environ.get("CI") else pytest.skip(problem)
    return subprocess.run(
        [str(hadolint), "--no-color", "--failure-threshold", "style", str(dockerfile)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_hadolint_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    sound = linted(ROOT / "Dockerfile")
    assert (sound.returncode, sound.stdout) == (0, "")

    spoilt = tmp_path / "Dockerfile"
    spoilt.write_text(DOCKERFILE.replace("WORKDIR /tmp", "WORKDIR tmp").replace('CMD ["serve"]', "CMD serve"))
    found = linted(spoilt)
    assert found.returncode == 1
    assert {"DL3000", "DL3025"} <= set(re.findall(r"DL\d+", found.stdout))


def test_what_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    ignored = {
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    }
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source not in ignored
    assert {".git", ".env", "deploy/secrets", "tests", ".venv"} <= ignored


def test_the_builder_is_the_one_that_is_locked() -> None:
    lines = (ROOT / "deploy/image/build.lock").read_text().splitlines()[1:]
    locked = (ROOT / "requirements.lock").read_text()

    assert lines[0].startswith("setuptools==")
    assert "\n".join(lines) in locked


def test_the_shell_scripts_are_sound() -> None:
    for script in sorted([*ROOT.glob("scripts/*.sh"), *ROOT.glob("deploy/**/*.sh")]):
        assert os.access(script, os.X_OK), script
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert re.search(r"^set -eu", script.read_text(), re.MULTILINE), script
