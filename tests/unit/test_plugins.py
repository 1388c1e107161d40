"""Providers of other packages: what they offer is taken as it is, or the start is refused with a line that says why."""

from __future__ import annotations

import configparser
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nepxy.config import plugins as config_plugins
from nepxy.config.fields import setting
from nepxy.config.plugins import SETTINGS_GROUP, classes_of
from nepxy.config.providers import PROVIDER_CLASSES, ProviderSettings, ThunesSettings
from nepxy.config.secret import Secret
from nepxy.config.settings import Settings
from nepxy.errors import ConfigError
from nepxy.providers.registry import GROUP, ProviderPlugin, plugins, plugins_of

ROOT = Path(__file__).parents[2]


class WaveSettings(ProviderSettings):
    """A fifth provider's."""

    name = "WAVE"
    api_key: Secret = setting(Secret(""), "WAVE_{MODE}_API_KEY", "WAVE_API_KEY", description="The key.")
    needs = ("api_key",)


class OtherWave(ProviderSettings):
    name = "WAVE"


class LowerCase(ProviderSettings):
    name = "wave"


class Engine(ProviderSettings):
    name = "ENGINE"


class Alias(ProviderSettings):
    name = "MTN_MOMO"


class Momo(ProviderSettings):
    name = "MOMO"


class Thief(ProviderSettings):
    name = "THIEF"
    api_key: Secret = setting(Secret(""), "TMONEY_API_KEY", description="Another's.")


def build(settings: Any) -> Any:
    return settings


WAVE = ProviderPlugin(settings=WaveSettings, build=build)
UNSET = ProviderPlugin(settings=OtherWave, build=build)
THUNES = ProviderPlugin(settings=ThunesSettings, build=build)
NO_PLUGIN = object()


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Callable[..., EntryPoint]:
    """Makes entry points into this module, under the name of a package outside."""
    outside = ModuleType("outside_package")
    vars(outside).update(globals())
    monkeypatch.setitem(sys.modules, "outside_package", outside)

    def make(name: str, attribute: str, group: str = SETTINGS_GROUP) -> EntryPoint:
        return EntryPoint(name, f"outside_package:{attribute}", group)

    return make


Point = Callable[..., EntryPoint]


def test_the_settings_of_a_fifth_provider_join_the_four(point: Point) -> None:
    classes = classes_of([point("WAVE", "WaveSettings")])
    assert classes == {**PROVIDER_CLASSES, "WAVE": WaveSettings}


def test_installed_twice_is_installed(point: Point) -> None:
    assert "WAVE" in classes_of([point("WAVE", "WaveSettings"), point("WAVE", "WaveSettings")])


@pytest.mark.parametrize(
    ("name", "attribute", "words"),
    [
        ("WAVE", "Nothing", "cannot be loaded (AttributeError"),
        ("WAVE", "NO_PLUGIN", "is no subclass of nepxy.config.providers.ProviderSettings"),
        ("wave", "LowerCase", "'wave' cannot be a provider's name"),
        ("ENGINE", "Engine", "'ENGINE' cannot be a provider's name"),
        ("WAV", "WaveSettings", "call the entry point WAVE"),
        ("MOMO", "Momo", "MOMO is the name of another provider"),
        ("MTN_MOMO", "Alias", "MTN_MOMO is the name of another provider"),
        ("THIEF", "Thief", "reads TMONEY_API_KEY, a variable of TMONEY"),
    ],
)
def test_settings_that_cannot_be_taken_stop_the_start(
    point: Point, name: str, attribute: str, words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        classes_of([point(name, attribute), point("GOOD", "Nothing")], reserved=Settings.model_fields)
    assert len(refused.value.problems) == 2
    assert words in "\n".join(refused.value.problems)
    assert f"entry point {name} = outside_package:{attribute}" in "\n".join(refused.value.problems)


def test_two_packages_cannot_bring_the_same_provider(point: Point) -> None:
    with pytest.raises(ConfigError, match="WAVE is the name of another provider"):
        classes_of([point("WAVE", "WaveSettings"), point("WAVE", "OtherWave")])


def test_a_fifth_provider_is_set_up_as_the_four_are(point: Point, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_plugins, "entry_points", lambda group: [point("WAVE", "WaveSettings", group)])
    settings = Settings.from_environ(
        {
            "MM_ENABLED_PROVIDERS": "TMONEY,WAVE",
            "WAVE_API_KEY": "key",
            "WAVE_RETRY_BASE_S": "7",
            "WAVE_WEBHOOK_SECRET": "hook",
            "WAVE_API_KEI": "slip",
        }
    )
    wave = settings.providers["WAVE"]
    assert isinstance(settings, Settings)
    assert isinstance(wave, WaveSettings)
    assert (wave.enabled, wave.ready_problems, wave.retry.base_s) == (True, (), 7)
    assert wave.webhook_secret.get_secret_value() == "hook"
    assert settings.providers["TMONEY"].retry.base_s == 30
    assert any("WAVE_API_KEI" in warning for warning in settings.warnings)


def test_a_fifth_provider_that_is_not_named_gets_no_payouts(
    point: Point, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_plugins, "entry_points", lambda group: [point("WAVE", "WaveSettings", group)])
    assert not Settings.from_environ({}).providers["WAVE"].enabled
    with pytest.raises(ConfigError, match="did you mean WAVE"):
        Settings.from_environ({"MM_ENABLED_PROVIDERS": "WAVVE"})


# ---- the providers themselves ------------------------------------------------------------------------------


def test_a_plugin_joins_ours(point: Point) -> None:
    classes: dict[str, type[ProviderSettings]] = {**PROVIDER_CLASSES, "WAVE": WaveSettings}
    found = plugins_of([point("WAVE", "WAVE", GROUP)], classes)
    assert found["WAVE"] is WAVE
    assert set(found) == {*plugins(), "WAVE"}


@pytest.mark.parametrize(
    ("name", "attribute", "words"),
    [
        ("WAVE", "Nothing", "cannot be loaded (AttributeError"),
        ("WAVE", "NO_PLUGIN", "is no nepxy.providers.registry.ProviderPlugin"),
        ("WAV", "WAVE", "call the entry point WAVE"),
        ("WAVE", "UNSET", "OtherWave is not the class"),
        ("TMONEY", "WAVE", "call the entry point WAVE"),
    ],
)
def test_a_plugin_that_cannot_be_taken_stops_the_start(
    point: Point, name: str, attribute: str, words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        plugins_of([point(name, attribute, GROUP)], {**PROVIDER_CLASSES, "WAVE": WaveSettings})
    assert words in refused.value.problems[0]


def test_a_plugin_without_its_settings_stops_the_start(point: Point) -> None:
    with pytest.raises(ConfigError, match=r"offer WaveSettings in nepxy\.provider_settings"):
        plugins_of([point("WAVE", "WAVE", GROUP)], PROVIDER_CLASSES)


def test_nobody_takes_the_place_of_one_of_ours(point: Point) -> None:
    tmoney = plugins()["TMONEY"]
    assert tmoney.settings is PROVIDER_CLASSES["TMONEY"]
    with pytest.raises(ConfigError, match="THUNES is there already"):
        plugins_of([point("THUNES", "THUNES", GROUP)], PROVIDER_CLASSES)


def test_ours_are_offered_by_the_entry_points_that_the_code_knows() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    offered = setup["options.entry_points"]

    def loaded(group: str) -> dict[str, Any]:
        lines = (line.partition("=") for line in offered[group].strip().splitlines())
        points = (EntryPoint(name.strip(), value.strip(), group) for name, _, value in lines)
        return {one.name: one.load() for one in points}

    assert loaded(SETTINGS_GROUP) == PROVIDER_CLASSES
    assert loaded(GROUP) == plugins()
