"""The files that are made from the settings model say what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

from nepxy.config.environ import process_environ
from nepxy.config.reference import configuration_page, env_example
from nepxy.config.settings import Settings, settings_fields

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("file", "text", "command"),
    [
        (".env.example", env_example(Settings), "config example > .env.example"),
        ("docs/configuration.md", configuration_page(Settings), "config docs > docs/configuration.md"),
    ],
)
def test_the_file_is_what_the_model_says(file: str, text: str, command: str) -> None:
    assert (ROOT / file).read_text() == text, f"run: python -m nepxy {command}"


@pytest.mark.parametrize("file", [".env.example", "docs/configuration.md"])
def test_every_variable_is_in_it(file: str) -> None:
    text = (ROOT / file).read_text()
    assert not [doc.name for doc in settings_fields() if doc.name not in text]


def test_the_example_as_it_is_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = process_environ()
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    assert process_environ() == before


def test_the_example_with_every_default_uncommented_still_starts() -> None:
    lines = [line[2:] for line in (ROOT / ".env.example").read_text().splitlines() if line.startswith("# ")]
    pairs = [line.partition("=") for line in lines if line.partition("=")[0].replace("_", "").isupper()]
    environ = {name: value for name, separator, value in pairs if separator and value}
    assert len(environ) > 40
    assert Settings.from_environ(environ).warnings == ()


def checked(environ: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nepxy", "config", "check"],
        env=environ, cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_config_check_lists_all_problems_without_starting(tmp_path: Path) -> None:
    ended = checked({"ENV": "prod", "JWT_SECRET": "short", "PORT": "many"}, tmp_path)
    assert ended.returncode == 2
    for name in ("JWT_SECRET", "PORT", "DATABASE_URL", "MM_MODE"):
        assert name in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_config_check_says_which_providers_are_ready(tmp_path: Path) -> None:
    ended = checked({"ENV": "staging", "DATABASE_URL": "postgresql:///x", "JWT_SECRET": "k3Jx9-vQ2m_Zr8Lw4Tn6Yb1Hd7Sg5Fp0"}, tmp_path)  # fmt: skip # noqa: E501
    assert ended.returncode == 0, ended.stderr
    assert "ENV=staging" in ended.stdout
    assert "TMONEY: not ready, lacks TMONEY_SANDBOX_API_KEY" in ended.stdout
